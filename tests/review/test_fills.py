"""What a trader would have got: which quote stood at a time, and what following a push late comes to."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from events import (
    AlertKind,
    AlertOutcome,
    Closed,
    DeclineReason,
    ExitReason,
    Opened,
    Outcome,
    QuoteSource,
    Tick,
    Withdrawn,
)
from review.fills import DELAYS_S, OLDEST_S, QuoteHistory, Trade, Trades, dollars, fills, table
from review.replay import Summary
from rules import Rules
from tests.builders import CALL, Story, at, chain, quote, row
from tests.builders import dollars as price

# --- Which quote stood -------------------------------------------------------------------------------


def standing(quotes: QuoteHistory, second: float) -> tuple[int, int] | None:
    """Bid and ask that stood at a second."""
    found = quotes.standing(CALL, at(second))
    return None if found is None else (found.bid, found.ask)


def test_the_newest_quote_stands_until_the_next() -> None:
    quotes = QuoteHistory()
    quotes.record(at(10.4), quote(10, 1.40, 1.42))
    quotes.record(at(12.1), quote(12, 1.43, 1.45))
    assert standing(quotes, 10.3) is None  # not known yet
    assert standing(quotes, 10.4) == (price(1.40), price(1.42))
    assert standing(quotes, 12.0) == (price(1.40), price(1.42))
    assert standing(quotes, 12.1) == (price(1.43), price(1.45))
    assert standing(quotes, 12.1 + OLDEST_S) == (price(1.43), price(1.45))
    assert standing(quotes, 12.2 + OLDEST_S) is None
    assert quotes.standing("O:IWM251002C00230000", at(12)) is None


def test_a_row_of_the_chain_is_a_quote() -> None:
    quotes = QuoteHistory()
    quotes.record(at(5), chain(4, row(bid=1.38, ask=1.40)))
    assert standing(quotes, 5) == (price(1.38), price(1.40))


def test_a_row_without_a_quote_is_none() -> None:
    quotes = QuoteHistory()
    unquoted = replace(chain(4, row(bid=0, ask=0)).rows[0], quoted_at=0)
    quotes.record(at(5), replace(chain(4), rows=(unquoted,)))
    assert standing(quotes, 5) is None


def test_an_older_quote_never_replaces_a_newer_one() -> None:
    quotes = QuoteHistory()
    quotes.record(at(10), quote(10, 1.40, 1.42))
    quotes.record(at(11), chain(9, row(bid=1.30, ask=1.32)))
    quotes.record(at(11), quote(9.5, 1.31, 1.33))
    assert standing(quotes, 11) == (price(1.40), price(1.42))


@pytest.mark.parametrize("source", list(QuoteSource))
def test_a_poll_that_says_the_same_confirms_it(source: QuoteSource) -> None:
    """An unchanged quote is not sent again: the chain shows that it still stands. An old stream quote shows nothing."""
    quotes = QuoteHistory()
    quotes.record(at(10), quote(10, 1.40, 1.42))
    quotes.record(at(24), quote(9, 1.40, 1.42, source=source))
    expected = (price(1.40), price(1.42)) if source is QuoteSource.POLL else None
    assert standing(quotes, 30) == expected


@pytest.mark.parametrize(
    ("age", "stands"), [(OLDEST_S, True), (OLDEST_S + 1, False), (900, False), (72_000, False)]
)
@pytest.mark.parametrize("source", list(QuoteSource))
def test_a_quote_of_another_time_is_no_price_whenever_it_came(
    source: QuoteSource, age: float, stands: bool
) -> None:
    quotes = QuoteHistory()
    quotes.record(at(1000), quote(1000 - age, 0.40, 0.45, source=source))
    assert (standing(quotes, 1000) is not None) is stands


@pytest.mark.parametrize(("age", "stands"), [(OLDEST_S, True), (OLDEST_S + 1, False), (72_000, False)])
def test_a_chain_that_stands_still_prices_nothing(age: float, stands: bool) -> None:
    quotes = QuoteHistory()
    quotes.record(at(1000), chain(1000 - age, row(bid=0.40, ask=0.45), row(216.0, 0.20, 0.22)))
    assert (standing(quotes, 1000) is not None) is stands


def test_a_quiet_strike_of_a_chain_that_moves_has_a_price_and_a_delayed_row_has_none() -> None:
    quotes, delayed = QuoteHistory(), QuoteHistory()
    mine = row(bid=0.40, ask=0.45, quoted_at=at(940))
    quotes.record(at(1000), chain(1000, mine, row(216.0, 0.20, 0.22)))
    delayed.record(at(1000), chain(1000, replace(mine, real_time=False, quoted_at=at(1000)), row(216.0)))
    assert standing(quotes, 1000) == (price(0.40), price(0.45))
    assert standing(delayed, 1000) is None


# --- A trade -----------------------------------------------------------------------------------------


def opened_at(second: float, **changes: object) -> Opened:
    """A BUY at $1.41 (mid $1.40, bid $1.39, ask $1.41), to be paid up to $1.48."""
    made = Opened(
        id="7f3a91",
        contract=CALL,
        strike=215_000,
        expiry="2025-10-02",
        price=215.34,
        vwap=215.12,
        momentum=0.045,
        volume_z=1.8,
        delta=0.42,
        iv=0.285,
        in_range=True,
        mid=price(1.40),
        bid=price(1.39),
        ask=price(1.41),
        bid_size=35,
        ask_size=40,
        entry=price(1.41),
        stop=price(1.1985),
        pay_limit=price(1.48),
        pay_until=at(second + 30),
        time_stop=at(23_100),
        entry_number=1,
        considered=14,
        fallen=(),
        cost_percent=2.1,
    )
    return replace(made, **changes)


def closed_at(mark: float | None, bid: float | None) -> Closed:
    """The SELL of it."""
    return Closed(
        id="7f3a91",
        contract=CALL,
        reason=ExitReason.STOP_LOSS,
        price=214.89,
        vwap=214.95,
        entry=price(1.41),
        opened_at=at(100),
        peak=price(1.60),
        mark=None if mark is None else price(mark),
        mark_at=at(200),
        bid=None if bid is None else price(bid),
        bid_size=35,
        limit_percent=15.0,
        time_stop=at(23_100),
    )


def played(*, sell: float | None = 200, last: float = 300) -> Trades:
    """A trade at second 100 while the quote climbs a cent a second, sold while it falls a cent a second."""
    trades = Trades()
    for second in range(90, round(last)):
        climb = (second - 100) / 100
        mid = 1.40 + climb if sell is None or second < sell else 1.40 - (second - sell) / 100
        trades.record(at(second), quote(second, round(mid - 0.01, 2), round(mid + 0.01, 2)), [])
        if second == 100:
            trades.record(at(second), Tick(), [opened_at(second)])
        if second == sell:
            trades.record(at(second), Tick(), [closed_at(1.40, 1.39)])
    return trades


def test_each_delay_pays_the_ask_and_gets_the_bid_of_its_time() -> None:
    trades = played()
    (trade,) = trades.told
    found = fills(trade, trades.quotes)
    assert [fill.delay_s for fill in found] == list(DELAYS_S) == [0, 5, 15, 30, 60]
    assert [fill.paid for fill in found] == [price(1.41 + delay / 100) for delay in DELAYS_S]
    assert [fill.got for fill in found] == [price(1.39 - delay / 100) for delay in DELAYS_S]
    assert [fill.is_over_limit for fill in found] == [False, False, True, True, True]
    assert found[0].percent == pytest.approx((1.39 - 1.41) / 1.41 * 100)
    assert found[4].percent == pytest.approx((0.79 - 2.01) / 2.01 * 100)


def test_without_delay_it_is_the_quote_that_the_decision_saw() -> None:
    """What arrives in the same microsecond, but after the decision, is not part of it."""
    trades = played(last=210)
    (trade,) = trades.told
    trades.quotes.record(at(209), quote(209, 9.0, 9.1))
    late = Trades()
    late.record(at(1), quote(1, 1.39, 1.41), [opened_at(1)])
    late.record(at(1), quote(1, 5.0, 5.1), [])
    assert fills(late.told[0], late.quotes)[0].paid == price(1.41)
    assert fills(trade, trades.quotes)[0].got == price(1.39)


def test_a_missing_quote_is_said_and_not_guessed() -> None:
    trades = played(last=206)
    (trade,) = trades.told
    found = fills(trade, trades.quotes)
    assert [fill.got is None for fill in found] == [
        False,
        False,
        False,
        True,
        True,
    ]  # 15 s: 5 s and 15 s old at most
    assert [fill.percent is None for fill in found] == [False, False, False, True, True]
    text = "\n".join(table(trades))
    assert "1.71*→—" in text
    assert f"— no quote was recorded in the {OLDEST_S} s before" in text


def test_an_open_trade_has_no_exit() -> None:
    trades = played(sell=None)
    (trade,) = trades.told
    assert [fill.got for fill in fills(trade, trades.quotes)] == [None] * 5
    assert trade.told_percent is None
    assert dollars(trade) is None


def test_an_absent_side_cannot_be_traded() -> None:
    trades = Trades()
    trades.record(at(100), quote(100, 1.39, 0), [opened_at(100)])
    trades.record(at(101), quote(101, 0, 0.05), [closed_at(0.025, 0)])
    first = fills(trades.told[0], trades.quotes)[0]
    assert first.paid is None  # nobody offers
    assert first.got == 0  # nobody bids: it is worth nothing
    trades.record(at(106), quote(106, 1.0, 1.1), [])
    second = fills(trades.told[0], trades.quotes)[1]
    assert second.percent is not None


def test_results_against_entry_mid_and_the_crossed_spread() -> None:
    trade = Trade(
        opened_at=at(100), opened=opened_at(100), bought=None, closed_at=at(200), closed=closed_at(1.68, 1.65)
    )
    assert trade.told_percent == pytest.approx((1.68 / 1.41 - 1) * 100)
    assert trade.mid_percent == pytest.approx((1.68 / 1.40 - 1) * 100)
    assert trade.crossed_percent == pytest.approx((1.65 / 1.41 - 1) * 100)
    assert dollars(trade) == pytest.approx(24.0)


def test_a_close_without_any_price() -> None:
    trade = Trade(
        opened_at=at(100), opened=opened_at(100), bought=None, closed_at=at(200), closed=closed_at(None, None)
    )
    assert (trade.told_percent, trade.mid_percent, trade.crossed_percent) == (None, None, None)
    assert dollars(trade) is None


def test_the_table() -> None:
    lines = table(played())
    assert lines == [
        "Followed by hand, entry at the ask and exit at the bid, so many seconds after each push:",
        "           0 s                5 s                15 s               30 s               60 s",
        "  #7f3a91  1.41→1.39 -1.4%    1.46→1.34 -8.2%    1.56*→1.24 -20.5%  1.71*→1.09 -36.3%  2.01*→0.79 -60.7%",
        "  mean     -1.4%              -8.2%              -20.5%             -36.3%             -60.7%",
        "  * above what the BUY said to pay at most",
    ]
    assert table(Trades()) == []


# --- The summary -------------------------------------------------------------------------------------


def test_a_withdrawn_entry_is_no_trade() -> None:
    summary = Summary()
    for second in range(100, 110):
        decisions = [opened_at(second)] if second == 100 else []
        summary.step(at(second), quote(second, 1.39, 1.41), decisions, None)
    withdrawn = Withdrawn(id="7f3a91", contract=CALL, detail="older than 30 s")
    outcome = AlertOutcome(kind=AlertKind.BUY, id="7f3a91", outcome=Outcome.UNSENT, attempts=3)
    summary.step(at(130), outcome, [withdrawn], None)
    lines = summary.trade_lines(Rules())
    assert lines[1].endswith("withdrawn, nobody was told")
    assert len(lines) == 2


def test_an_open_position_is_said() -> None:
    summary = Summary()
    summary.step(at(100), quote(100, 1.39, 1.41), [opened_at(100)], None)
    lines = summary.trade_lines(Rules())
    assert "  #7f3a91  O:IWM251002C00215000  09:31:40 $1.41  still open" in lines
    assert any("1.41→—" in line for line in lines)


def test_closed_trades_are_summed_up() -> None:
    summary = Summary()
    summary.step(at(100), quote(100, 1.39, 1.41), [opened_at(100)], None)
    summary.step(at(220), quote(220, 1.19, 1.21), [closed_at(1.20, 1.19)], None)
    text = "\n".join(summary.trade_lines(Rules()))
    assert "09:31:40 $1.41 → 09:33:40 $1.20 (2m00s)  peak $1.60  Stop loss -14.9% (limit -15%)" in text
    assert "P&L told -14.9%, mid→mid -14.3%, ask→bid -15.6% (-$22.00 a contract)" in text
    assert "1 closed, one contract each, ask→bid: -$22.00" in text


def test_signals_are_counted_by_gate_and_spaced() -> None:
    story = Story(Rules(benchmark="", relative_volume_min=0.0)).connect()
    story.bars(0, 700, step=0.0)
    summary = Summary()
    evaluation = story.evaluation
    story_passes = tuple(True if passed is not None else None for passed in evaluation.passes)
    for second, gate in ((700, None), (701, None), (999, None), (1000, None), (1300, None)):
        held = replace(evaluation, start=at(second), passes=story_passes, gate=gate)
        summary.step(at(second + 3), Tick(), [], held)
    warm_up = replace(evaluation, start=at(500), passes=story_passes, gate=DeclineReason.WARM_UP)
    summary.step(at(503), Tick(), [], warm_up)
    fallen = (False, *story_passes[1:])
    summary.step(at(1400), Tick(), [], replace(evaluation, start=at(1397), passes=fallen))
    assert summary.signal_lines(Rules()) == [
        "7 evaluations; all conditions held in 6: 5 with every gate open, 1 warm-up",
        "With every gate open and at least 300 s apart: 3",
    ]
    assert summary.trade_lines(Rules()) == ["No trades."]
