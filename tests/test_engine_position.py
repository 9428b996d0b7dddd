"""Stories through `Engine.handle`: the position's marks, its exits, and what becomes of its BUY."""

from __future__ import annotations

import pytest

from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Chain,
    Closed,
    ExitReason,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    MarkBack,
    MarkLost,
    Opened,
    Outcome,
    QuoteSource,
    Shutdown,
    Tick,
    Withdrawn,
)
from tests.builders import at, bar, chain, dollars, quote, row
from tests.surge import alarms, exits, opened, outcome, quick, sold, surge


def test_a_dip_of_one_tick_does_not_sell() -> None:
    story, _, second = opened()
    story.tell(second + 10, quote(second + 10, 0.50, 0.52))
    story.tell(second + 11, Tick())
    story.tell(second + 11.5, quote(second + 11.5, 1.39, 1.41))
    made = story.tick(second + 13, second + 20)
    assert exits(made) == []


def test_a_dip_that_holds_two_seconds_sells() -> None:
    story, decision, second = opened()
    story.tell(second + 10, quote(second + 10, 0.50, 0.52))
    assert exits(story.tell(second + 12 - 1e-6, Tick())) == []
    (closed,) = story.tell(second + 12, Tick())
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.mark, closed.bid) == (ExitReason.STOP_LOSS, dollars(0.51), dollars(0.50))
    assert (closed.id, closed.entry, closed.peak) == (decision.id, decision.entry, decision.mid)
    assert story.engine.position is None


def test_an_ask_flash_does_not_raise_the_peak() -> None:
    story, decision, second = opened()
    story.tell(second + 5, quote(second + 5, 1.39, 9.99))  # wide: doubted
    story.tell(second + 6, quote(second + 6, 2.95, 3.00))  # not wide, but does not hold
    story.tell(second + 7, quote(second + 7, 1.39, 1.41))
    story.tick(second + 8, second + 15)
    assert story.engine.position is not None
    assert story.engine.position.peak == decision.mid


def test_a_peak_that_held_and_was_given_back_sells() -> None:
    story, _, second = opened()
    story.tell(second + 5, quote(second + 5, 2.09, 2.11))
    story.tell(second + 8, quote(second + 8, 1.46, 1.48))  # exactly 30 % under 2.10
    (closed,) = story.tick(second + 8, second + 11)
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.peak, closed.limit_percent) == (ExitReason.HARD_GIVEBACK, dollars(2.10), 30)


def test_vwap_giveback_needs_a_price_below_vwap_and_a_feed_that_sees() -> None:
    story, _, second = opened()
    story.tell(second + 5, quote(second + 5, 1.99, 2.01))
    story.tell(second + 8, quote(second + 8, 1.59, 1.61))  # 20 % under 2.00
    assert exits(story.tick(second + 8, second + 11)) == []  # above VWAP
    story.tell(second + 11, FeedLost(cause=FeedCause.DROPPED))
    assert exits(story.tell(second + 11, bar(second + 8, 200.0))) == []  # blind
    story.tell(second + 12, FeedRestored())
    made = story.tell(second + 13, bar(second + 10, 199.0))
    assert exits(made) == [ExitReason.VWAP_GIVEBACK]


def test_exits_that_need_bars_wait_for_one_of_the_symbol_after_a_blind_spell() -> None:
    story, _, second = opened()
    story.tell(second + 1, bar(second - 2, 214.0))  # below VWAP
    story.tell(second + 1, quote(second + 1, 1.99, 2.01))
    story.tell(second + 4, FeedLost(cause=FeedCause.DROPPED))
    story.tell(second + 5, FeedRestored())
    story.tell(second + 8, bar(second + 5, 660.0, symbol="SPY"))
    assert not story.engine.feed.is_blind
    story.tell(second + 8, quote(second + 8, 1.59, 1.61))  # 20 % under 2.00
    story.tell(second + 9, bar(second + 6, 660.0, symbol="SPY"))
    story.tell(second + 9, bar(second + 6, 214.0, backfilled=True))
    assert exits(story.tick(second + 10, second + 13)) == []
    assert exits(story.tell(second + 13, bar(second + 10, 212.0))) == [ExitReason.VWAP_GIVEBACK]


@pytest.mark.parametrize(("age", "is_used"), [(35, True), (36, False)])
def test_values_older_than_thirty_five_seconds_are_not_used(age: int, is_used: bool) -> None:
    """The symbol does not come, the benchmark does: not blind yet, and the last close is not the market's."""
    story, _, second = opened()
    story.tell(second + 1, bar(second - 2, 214.0))  # below VWAP
    story.tell(second + 1, quote(second + 1, 1.99, 2.01))
    now = second - 1 + age
    for later in range(second + 2, now):
        story.tell(later, bar(later - 3, 660.0, symbol="SPY"))
        if later == now - 2:
            story.tell(later, quote(later, 1.59, 1.61))  # 20 % under 2.00
    made = story.tell(now, Tick())
    assert not story.engine.feed.is_blind
    assert exits(made) == ([ExitReason.VWAP_GIVEBACK] if is_used else [])
    assert story.engine.is_fresh(at(now)) is is_used
    assert story.engine.signals.price_age(at(now)) == age * SECOND


def test_a_sell_names_no_price_that_is_old() -> None:
    story, _, second = opened()
    (closed,) = [d for d in story.tell(second + 5, Shutdown(close_position=True)) if isinstance(d, Closed)]
    assert closed.price is not None and closed.vwap is not None
    story, _, second = opened()
    story.tell(second + 300, quote(second + 300, 1.39, 1.41))
    (closed,) = [d for d in story.tell(second + 301, Shutdown(close_position=True)) if isinstance(d, Closed)]
    assert (closed.price, closed.vwap, closed.mark) == (None, None, dollars(1.40))


def test_with_a_position_open_every_silence_of_a_symbol_is_told() -> None:
    story, decision, second = opened()
    begin = second
    for _ in range(3):
        for s in range(begin, begin + 70):  # IWM is silent for 70 s
            story.tell(s, bar(s - 3, 660.0, symbol="SPY"))
        story.tell(begin + 70, bar(begin + 67))
        begin += 71
    told = [(type(d), d.cause, d.symbol, d.position) for _, d in alarms(story)]
    assert told == [
        (kind, FeedCause.UNSEEN, "IWM", decision.id)
        for _ in range(3)
        for kind in (FeedAlarmed, FeedRecovered)
    ]


def test_below_vwap_for_two_blocks_sells() -> None:
    story, _, second = opened()
    start = second - 2
    for s in range(start, start + 90):
        story.tell(s + 3, quote(s + 3, 1.39, 1.41))
        story.tell(s + 3, bar(s, 660.0, symbol="SPY"))
        made = story.tell(s + 3, bar(s, 215.0 - (s - start) * 0.001, 500.0))
        if exits(made):
            break
    assert exits(made) == [ExitReason.VWAP_PERSISTENCE]


@pytest.mark.parametrize(
    ("now", "sells"), [(23_100 - 1e-6, False), (23_100, True)], ids=["15:54:59", "15:55:00"]
)
def test_the_time_stop_comes_at_its_second_even_blind_and_without_marks(now: float, sells: bool) -> None:
    story, _, _ = opened()
    story.tell(200, FeedLost(cause=FeedCause.DROPPED))
    made = story.tell(now, Tick())
    assert exits(made) == ([ExitReason.TIME_STOP] if sells else [])


def test_a_time_stop_that_passed_while_the_program_was_down_says_how_late() -> None:
    story, _, _ = opened()
    made = story.tell(23_100 + 65, Tick())
    (closed,) = [d for d in made if isinstance(d, Closed)]
    assert closed.late == 65 * SECOND


def test_shutdown_closes_or_keeps() -> None:
    story, _, second = opened()
    assert exits(story.tell(second + 5, Shutdown(close_position=True))) == [ExitReason.SHUTDOWN]
    kept, _, second = opened()
    assert exits(kept.tell(second + 5, Shutdown(close_position=False))) == []
    assert kept.engine.position is not None


def test_a_lost_mark_is_told_once_and_its_return_once() -> None:
    story, decision, second = opened()
    start = second
    story.tell(start + 1, quote(start + 1, 1.39, 1.41))
    story.tick(start + 2, start + 60)
    story.tell(start + 60, quote(start + 60, 1.39, 1.41))
    lost, back = [(s, d) for s, d in story.decisions if isinstance(d, MarkLost | MarkBack)]
    assert isinstance(lost[1], MarkLost)
    assert isinstance(back[1], MarkBack)
    assert (lost[0], back[0]) == (start + 21, start + 60)
    assert lost[1].since == back[1].since == at(start + 1)
    assert lost[1].id == decision.id


def test_without_a_usable_mark_givebacks_wait_for_one() -> None:
    story, _, second = opened()
    story.tell(second + 5, quote(second + 5, 1.99, 2.01))
    story.tell(second + 8, quote(second + 8, 1.59, 1.61))  # 20 % under the peak, above VWAP
    story.bars(second + 5, second + 40, 215.3)
    assert any(isinstance(d, MarkLost) for _, d in story.decisions)
    assert exits(story.tell(second + 43, bar(second + 40, 213.0))) == []
    made = story.tell(second + 44, quote(second + 44, 1.59, 1.61))
    assert [type(d) for d in made] == [MarkBack, Closed]
    assert exits(made) == [ExitReason.VWAP_GIVEBACK]


def test_a_dip_just_before_a_long_gap_does_not_sell() -> None:
    story, decision, second = opened()
    story.tell(second + 5, quote(second + 5, 0.50, 0.52))
    assert exits(story.tell(second + 135, FeedLost(cause=FeedCause.NOT_CONNECTED))) == []
    made = story.tell(second + 136, quote(second + 136, 1.39, 1.41))
    assert [type(d) for d in made] == [MarkBack]
    assert exits(story.tick(second + 137, second + 145)) == []
    assert story.engine.position is not None
    assert story.engine.position.peak == decision.mid


def test_an_unchanged_quote_confirmed_by_a_poll_stands() -> None:
    story, _, second = opened()
    start = second
    story.tell(start + 1, quote(start + 1, 1.39, 1.41))
    for s in (start + 16, start + 31):
        story.tick(s - 14, s)
        story.tell(
            s, quote(start, 1.39, 1.41, source=QuoteSource.POLL)
        )  # older by its own time, the same prices
    story.tick(start + 32, start + 45)
    assert not any(isinstance(d, MarkLost) for _, d in story.decisions)


@pytest.mark.parametrize(
    ("ask", "source", "stands"),
    [
        (1.41, QuoteSource.POLL, True),
        (1.42, QuoteSource.POLL, False),
        (1.41, QuoteSource.STREAM, False),
    ],
)
def test_only_a_poll_of_the_same_prices_confirms(ask: float, source: QuoteSource, stands: bool) -> None:
    story, _, second = opened()
    story.tell(second + 1, quote(second + 1, 1.39, 1.41))
    story.tell(second + 16, quote(second, 1.39, ask, source=source))
    story.tell(second + 21, Tick())
    assert any(isinstance(d, MarkLost) for _, d in story.decisions) is not stands


def test_a_confirmed_quote_keeps_its_own_time() -> None:
    story, _, second = opened()
    story.tell(second + 10, quote(second + 10, 1.39, 1.41))
    story.tell(second + 11, quote(second + 1, 1.39, 1.41, source=QuoteSource.POLL))
    story.tell(second + 12, quote(second + 5, 0.10, 0.12))  # older than what the poll has confirmed
    assert exits(story.tick(second + 13, second + 20)) == []


def test_a_row_without_a_quote_of_its_own_is_no_price() -> None:
    story, _, second = opened()
    story.tell(second + 1, quote(second + 1, 1.39, 1.41))
    story.tell(second + 16, Chain(rows=(row(bid=1.39, ask=1.41, quoted_at=0),)))
    story.tell(second + 21, Tick())
    assert any(isinstance(d, MarkLost) for _, d in story.decisions)


def test_a_wide_quote_that_counted_does_not_confirm_itself() -> None:
    story, _, second = opened()
    story.tell(second + 1, quote(second + 1, 1.20, 2.00))
    story.tick(second + 2, second + 40)
    (lost,) = [(s, d) for s, d in story.decisions if isinstance(d, MarkLost)]
    assert lost[0] == second + 26, "it counted at 6"


def test_an_older_quote_of_other_prices_changes_nothing() -> None:
    story, _, second = opened()
    story.tell(second + 10, quote(second + 10, 1.39, 1.41))
    for s in range(11, 20):
        story.tell(second + s, quote(second + 9, 0.10, 0.12, source=QuoteSource.POLL))
    assert story.engine.position is not None


def test_the_chain_prices_the_position_too() -> None:
    story, _, second = opened()
    story.tell(second + 10, chain(second + 10, row(bid=0.50, ask=0.52)))
    assert exits(story.tell(second + 12, Tick())) == [ExitReason.STOP_LOSS]


@pytest.mark.parametrize("result", [Outcome.REFUSED, Outcome.UNSENT])
def test_a_buy_that_never_arrived_is_withdrawn(result: Outcome) -> None:
    story, decision, second = opened()
    (made,) = story.tell(second + 1, outcome(decision, result))
    assert made == Withdrawn(id=decision.id, contract=decision.contract, detail="why")
    assert (story.engine.position, story.engine.book.entries) == (None, 0)
    story.tick(second + 2, second + 20)
    assert "Closed" not in story.kinds()


def test_a_withdrawn_second_entry_leaves_the_first_ones_cooldown_and_count() -> None:
    story, second = sold(quick(entry_cooldown_seconds=60, alarm_spacing_seconds=0))
    price = story.bars(second - 2, second + 60)
    surge(story, start=second + 60, price=price)
    again = [d for _, d in story.decisions if isinstance(d, Opened)][-1]
    assert again.entry_number == 2
    story.tell(second + 72, outcome(again, Outcome.UNSENT))
    assert (story.engine.book.entries, story.engine.book.rests_until) == (1, at(second + 72 + 30))


@pytest.mark.parametrize("result", [Outcome.ACCEPTED, Outcome.LOST])
def test_a_buy_that_may_have_arrived_stays(result: Outcome) -> None:
    story, decision, second = opened()
    assert story.tell(second + 1, outcome(decision, result)) == []
    assert story.engine.position is not None


def test_an_outcome_of_something_else_withdraws_nothing() -> None:
    story, decision, second = opened()
    other = AlertOutcome(kind=AlertKind.BUY, id="000000", outcome=Outcome.REFUSED, attempts=1)
    sell = AlertOutcome(kind=AlertKind.SELL, id=decision.id, outcome=Outcome.REFUSED, attempts=1)
    assert story.tell(second + 1, other) == []
    assert story.tell(second + 1, sell) == []
    story.tell(second + 2, outcome(decision, Outcome.REFUSED))
    assert story.tell(second + 3, outcome(decision, Outcome.REFUSED)) == [], "once is enough"
