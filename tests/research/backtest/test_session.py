"""One session of a backtest, beside the engine's own decisions and calculations by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import pytest

from events import OPTION_PRICE_UNIT, SECOND, STRIKE_UNIT, Closed, Decision, Evaluation, Event, Opened, Quote
from option_pricing import YEAR, call_price
from research.backtest.greeks import Moment, attributed
from research.backtest.session import Moves, SessionResult, run_session
from research.history.tape import play
from rules import Rules
from tests.research.made import bare, whole

FEE = 0.65


@pytest.fixture(scope="module")
def result() -> SessionResult:
    """The made session, run once."""
    return run_session(whole(), Rules(), FEE)


def test_trades_are_the_positions_that_the_engine_opened_and_closed(result: SessionResult) -> None:
    opened: list[Opened] = []
    closed: dict[str, Closed] = {}

    def take(now: int, event: Event, decisions: Sequence[Decision], evaluation: Evaluation | None) -> None:
        opened.extend(item for item in decisions if isinstance(item, Opened))
        closed.update({item.id: item for item in decisions if isinstance(item, Closed)})

    play(whole(), Rules(), take)
    assert opened and [trade.id for trade in result.trades] == [item.id for item in opened]
    for trade, item in zip(result.trades, opened, strict=True):
        sold = closed[item.id]
        assert (trade.entry, trade.ask, trade.reason) == (item.entry, item.ask, sold.reason.value)
        assert sold.bid is not None and sold.mark is not None
        assert trade.mid_result == pytest.approx(sold.mark / item.mid - 1)
        dollars = (sold.bid - item.ask) / OPTION_PRICE_UNIT * 100 - 2 * FEE
        assert trade.orders[0].result == pytest.approx(dollars / (item.ask / OPTION_PRICE_UNIT * 100))


def test_a_day_is_the_sum_of_its_trades_at_equal_stakes(result: SessionResult) -> None:
    for delay in (0, 5, 15, 30, 60):
        taken = [trade.orders[delay].result for trade in result.trades if trade.orders[delay].fate == "taken"]
        assert result.result(delay) == pytest.approx(sum(each for each in taken if each is not None))
        assert all(
            trade.orders[delay].result is None
            for trade in result.trades
            if trade.orders[delay].fate != "taken"
        )


def test_excursions_are_the_bids_that_came_while_it_was_held(result: SessionResult) -> None:
    facts: list[tuple[int, Event]] = []
    play(whole(), Rules(), lambda now, event, decisions, evaluation: facts.append((now, event)))
    for trade in result.trades:
        assert trade.closed_at is not None and trade.best is not None and trade.worst is not None
        bids = [
            event.bid / trade.ask - 1
            for now, event in facts
            if isinstance(event, Quote)
            and event.contract == trade.contract
            and trade.opened_at < now <= trade.closed_at
        ]
        assert min(bids) >= trade.worst and max(bids) <= trade.best
        assert trade.best in bids or trade.worst in bids
        assert (trade.kept is None) == (trade.best <= 0)


def test_signals_are_counted_behind_gates_of_a_position_too(result: SessionResult) -> None:
    assert result.signals >= len(play(whole(), Rules()).signals)
    assert len(result.signal_moves["10 s"]) <= result.signals
    number, mean = result.usual_moves["10 s"]
    assert number > result.signals and abs(mean) < 5


def test_moves_are_from_the_close_at_the_signal_to_the_last_close_in_time() -> None:
    past = bare()
    moves = Moves(past)
    own = [bar for bar in past.bars if bar.symbol == "IWM"]
    start = own[1_000].start
    later = max((bar for bar in own if bar.start <= start + 60 * SECOND), key=lambda bar: bar.start)
    last = own[-1]
    found = moves.after([start])
    assert found["60 s"] == [pytest.approx((later.close / own[1_000].close - 1) * 10_000)]
    assert found["close"] == [pytest.approx((last.close / own[1_000].close - 1) * 10_000)]
    near_the_end = moves.after([past.session.close - 20 * SECOND])
    assert len(near_the_end["10 s"]) == 1 and near_the_end["30 s"] == []


def test_seconds_without_a_bar_are_counted(result: SessionResult) -> None:
    past = whole()
    seconds = (past.session.close - past.session.open) // SECOND
    assert result.missing_seconds["SPY"] == seconds - sum(bar.symbol == "SPY" for bar in past.bars)
    assert result.missing_blocks == 0
    assert run_session(bare(), Rules(), FEE).missing_blocks > 0


def test_a_result_travels_between_processes(result: SessionResult) -> None:
    assert msgspec.json.decode(msgspec.json.encode(result), type=SessionResult) == result


def test_the_parts_of_a_trade_add_up_to_its_result(result: SessionResult) -> None:
    for trade in result.trades:
        parts, order = trade.attribution, trade.orders[0]
        assert parts is not None and order.result is not None
        dollars = order.result * trade.ask / OPTION_PRICE_UNIT * 100
        assert sum(parts) == pytest.approx(dollars)


def test_each_greek_explains_the_move_that_it_is_of() -> None:
    strike, left, volatility = 241_000 / STRIKE_UNIT, 3 * 3_600 * SECOND, 0.3
    begin = Moment(call_price(241.0, strike, left / YEAR, volatility), 241.0, left)
    nothing = {"crossing": 0.0, "fees": 0.0, "contract": 100}

    moved = Moment(call_price(241.3, strike, left / YEAR, volatility), 241.3, left)
    found = attributed(begin, moved, strike, **nothing)
    assert found is not None and found.delta > 0 and found.gamma > 0
    assert abs(found.rest) < 0.02 * abs(found.delta) and found.theta == 0
    assert found.volatility == pytest.approx(0, abs=1e-6)

    aged = Moment(
        call_price(241.0, strike, (left - 600 * SECOND) / YEAR, volatility), 241.0, left - 600 * SECOND
    )
    found = attributed(begin, aged, strike, **nothing)
    assert found is not None and found.theta < 0 and abs(found.rest) < 0.05 * abs(found.theta)

    dearer = Moment(call_price(241.0, strike, left / YEAR, 0.33), 241.0, left)
    found = attributed(begin, dearer, strike, **nothing)
    assert found is not None and found.volatility > 0 and abs(found.rest) < 0.02 * found.volatility

    found = attributed(begin, begin, strike, crossing=0.02, fees=1.3, contract=100)
    assert found is not None and found.spread == pytest.approx(-2.0) and found.fees == -1.3
    assert math.isclose(sum(found), -3.3)
    assert attributed(begin, Moment(0.0, 241.0, left), strike, **nothing) is None
