"""Transitions, marks, and every exit rule at its boundary."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from events import (
    SECOND,
    Closed,
    Decision,
    Declined,
    DeclineReason,
    ExitReason,
    FeedAlarmed,
    FeedCause,
    FeedRecovered,
    MarkBack,
    MarkLost,
    Opened,
    Withdrawn,
)
from risk_manager import TRANSITIONS, Book, Mark, Marks, Persistence, PositionState, View, exit_reason
from rules import Rules
from tests.builders import CALL, at, dollars

RULES = Rules()


def opened(entry: float = 1.45, mid: float = 1.40, **changes: Any) -> Opened:
    """A position opened on a call of a two-cent spread."""
    values: dict[str, Any] = {
        "id": "7f3a91",
        "contract": CALL,
        "strike": 215_000,
        "expiry": "2025-10-02",
        "price": 215.34,
        "vwap": 215.12,
        "momentum": 0.045,
        "volume_z": 1.8,
        "delta": 0.42,
        "iv": 0.285,
        "in_range": True,
        "mid": dollars(mid),
        "bid": dollars(mid - 0.01),
        "ask": dollars(mid + 0.01),
        "bid_size": 35,
        "ask_size": 40,
        "entry": dollars(entry),
        "stop": dollars(entry) * 85 // 100,
        "pay_limit": dollars(entry),
        "pay_until": at(30),
        "time_stop": at(23_100),
        "entry_number": 1,
        "considered": 14,
        "fallen": (),
        "cost_percent": 2.1,
    }
    return Opened(**{**values, **changes})


def mark(bid: float, ask: float) -> Mark:
    return Mark(bid=dollars(bid), ask=dollars(ask), bid_size=10)


def closed() -> Closed:
    return Closed(
        id="7f3a91",
        contract=CALL,
        reason=ExitReason.STOP_LOSS,
        price=None,
        vwap=None,
        entry=14_500,
        opened_at=at(0),
        peak=14_000,
        mark=None,
        mark_at=None,
        bid=None,
        bid_size=None,
        limit_percent=15,
        time_stop=at(23_100),
    )


DECISIONS: dict[type[Decision], Decision] = {
    Opened: opened(),
    Closed: closed(),
    Withdrawn: Withdrawn(id="7f3a91", contract=CALL, detail=""),
    Declined: Declined(reason=DeclineReason.BLIND, hold=None, price=1, vwap=1, momentum=1, volume_z=None),
    FeedAlarmed: FeedAlarmed(cause=FeedCause.STALL, since=0, position=None, untold=0),
    FeedRecovered: FeedRecovered(cause=FeedCause.STALL, gap_start=0, gap_end=1, position=None),
    MarkLost: MarkLost(id="7f3a91", contract=CALL, since=0, mark=None),
    MarkBack: MarkBack(id="7f3a91", contract=CALL, since=0, mark=1),
}


def book_in(phase: PositionState) -> Book:
    book = Book(RULES)
    if phase is PositionState.OPEN:
        book.evolve(at(10), DECISIONS[Opened], at(7))
    return book


@pytest.mark.parametrize("phase", list(PositionState))
@pytest.mark.parametrize("kind", get_args(Decision), ids=lambda kind: kind.__name__)
def test_what_is_not_in_the_table_is_refused(phase: PositionState, kind: type[Decision]) -> None:
    book = book_in(phase)
    if kind in TRANSITIONS[phase]:
        book.evolve(at(20), DECISIONS[kind], at(17))
        assert book.phase is TRANSITIONS[phase][kind]
        assert (book.position is not None) is (book.phase is PositionState.OPEN)
    else:
        with pytest.raises(KeyError):
            book.evolve(at(20), DECISIONS[kind], at(17))
        assert book.phase is phase


def test_the_cooldown_is_over_at_exactly_three_hundred_seconds() -> None:
    book = book_in(PositionState.OPEN)
    book.evolve(at(100), DECISIONS[Closed], at(97))
    assert book.rests_until == at(400)
    assert book.entries == 1


def test_a_withdrawn_buy_counts_nothing_and_rests_thirty_seconds() -> None:
    book = book_in(PositionState.OPEN)
    book.evolve(at(100), DECISIONS[Withdrawn], at(97))
    assert (book.entries, book.rests_until, book.position) == (0, at(130), None)


def test_a_buy_withdrawn_after_its_close_undoes_the_cooldown() -> None:
    book = book_in(PositionState.OPEN)
    book.evolve(at(20), DECISIONS[Closed], at(17))
    book.evolve(at(21), DECISIONS[Withdrawn], at(17))
    assert (book.entries, book.rests_until) == (0, at(51))


# --- Marks ---


def test_a_mark_must_hold_two_seconds_to_sell_or_to_raise_the_peak() -> None:
    marks = Marks(RULES, opened(mid=1.40), at(0))
    marks.record(at(10), mark(0.99, 1.01))
    assert marks.span(at(10)) == (dollars(1.00), dollars(1.40))
    assert marks.span(at(12) - 1) == (dollars(1.00), dollars(1.40))
    assert marks.span(at(12)) == (dollars(1.00), dollars(1.00))
    marks.record(at(13), mark(1.99, 2.01))
    assert marks.span(at(13)) == (dollars(1.00), dollars(2.00))
    assert marks.span(at(15)) == (dollars(2.00), dollars(2.00))


def test_marks_act_at_once_when_nothing_has_to_hold() -> None:
    marks = Marks(Rules(mark_hold_seconds=0), opened(), at(0))
    marks.record(at(1), mark(0.99, 1.01))
    assert marks.span(at(1)) == (dollars(1.0), dollars(1.0))


def test_a_zero_bid_counts_as_half_the_ask() -> None:
    marks = Marks(RULES, opened(), at(0))
    marks.record(at(1), mark(0.0, 0.03))
    assert marks.usable.mid == dollars(0.015)


@pytest.mark.parametrize(("bid", "ask"), [(1.0, 0.0), (0.0, 0.0), (1.10, 1.00)])
def test_without_an_ask_or_crossed_there_is_no_mark(bid: float, ask: float) -> None:
    marks = Marks(RULES, opened(mid=1.40), at(0))
    marks.record(at(1), mark(bid, ask))
    assert marks.usable.mid == dollars(1.40)
    assert marks.usable_at == at(0)


@pytest.mark.parametrize(
    ("bid", "ask", "counts"),
    [(0.03, 0.06, True), (0.03, 0.0601, False), (1.75, 2.25, True), (1.74, 2.25, False)],
)
def test_a_quote_is_wide_beyond_three_cents_and_a_quarter_of_its_mid(
    bid: float, ask: float, counts: bool
) -> None:
    marks = Marks(RULES, opened(entry=0.05, mid=0.05), at(0))
    marks.record(at(1), mark(bid, ask))
    assert (marks.usable_at == at(1)) is counts


def test_a_wide_quote_counts_after_five_seconds_of_unbroken_width() -> None:
    marks = Marks(RULES, opened(mid=1.40), at(0))
    marks.record(at(10), mark(1.00, 1.80))
    marks.record(at(12), mark(1.01, 1.80))
    marks.settle(at(15) - 1)
    assert marks.usable_at == at(0)
    marks.settle(at(15))
    assert (marks.usable_at, marks.usable.mid) == (at(15), dollars(1.405))


def test_a_good_quote_between_breaks_the_width() -> None:
    marks = Marks(RULES, opened(mid=1.40), at(0))
    marks.record(at(10), mark(1.00, 1.80))
    marks.record(at(13), mark(1.39, 1.41))
    marks.record(at(14), mark(1.00, 1.80))
    marks.settle(at(16))
    assert marks.usable_at == at(13)


def test_a_wide_quote_counts_at_once_when_its_ask_is_at_the_stop() -> None:
    position = opened(entry=1.00, mid=0.98)
    marks = Marks(RULES, position, at(0))
    marks.record(at(1), mark(0.30, 0.8501))
    assert marks.usable_at == at(0)
    marks.record(at(2), mark(0.30, 0.85))
    assert marks.usable_at == at(2)


@pytest.mark.parametrize("after", [mark(1.00, 2.00), mark(1.00, 0.0), mark(1.10, 1.00)])
def test_a_tick_does_not_grow_older_by_an_unusable_quote_after_it(after: Mark) -> None:
    for tick, held in ((mark(0.99, 1.01), dollars(1.40)), (mark(1.99, 2.01), dollars(2.00))):
        marks = Marks(RULES, opened(mid=1.40), at(0))
        marks.record(at(10), tick)
        marks.record(at(10) + 1, after)
        assert marks.span(at(14)) == (min(tick.mid, dollars(1.40)), held)
        marks.record(at(14), tick)
        assert marks.span(at(14)) == (tick.mid, tick.mid), "seen again, two seconds after it was seen first"


def test_a_wide_quote_that_nobody_has_seen_for_long_does_not_count() -> None:
    marks = Marks(RULES, opened(mid=1.40), at(0))
    marks.record(at(10), mark(1.00, 1.80))
    marks.settle(at(30))
    assert marks.usable_at == at(0)
    marks.record(at(10), mark(1.00, 1.80))
    marks.settle(at(30) - 1)
    assert marks.usable_at == at(30) - 1


def test_a_mark_is_lost_after_twenty_seconds() -> None:
    marks = Marks(RULES, opened(), at(0))
    marks.record(at(5), mark(1.39, 1.41))
    assert not marks.is_lost(at(25) - 1)
    assert marks.is_lost(at(25))
    marks.record(at(26), mark(1.39, 1.41))
    assert not marks.is_lost(at(26))


# --- Persistence ---


def persists(seconds: list[int], *, above: int = 0, blind_at: int | None = None) -> bool:
    persistence = Persistence(RULES, at(above))
    for second in seconds:
        persistence.record(at(second), is_below=True, was_blind=second == blind_at)
    return persistence.holds


@pytest.mark.parametrize(
    ("seconds", "holds"),
    [
        (list(range(1, 61)), True),
        (list(range(1, 60)), False),
        (list(range(3, 61, 3)), True),  # exactly 10 in each block
        (list(range(6, 61, 3)), False),  # 9 in the first
        ([*range(1, 31), *range(33, 60, 3), 60], True),
        ([*range(1, 31), *range(36, 60, 3), 60], False),  # 9 in the second
    ],
)
def test_two_blocks_below_vwap_with_ten_evaluations_in_each(seconds: list[int], holds: bool) -> None:
    assert persists(seconds) is holds


def test_one_evaluation_at_vwap_starts_the_count_anew() -> None:
    persistence = Persistence(RULES, at(0))
    for second in range(1, 91):
        persistence.record(at(second), is_below=second != 30, was_blind=False)
        assert persistence.holds is (second >= 90)


def test_a_blind_spell_starts_the_count_anew() -> None:
    assert not persists(list(range(1, 89)), blind_at=30)
    assert persists(list(range(1, 90)), blind_at=30)


# --- Exit rules ---


def view(**changes: Any) -> View:
    values: dict[str, Any] = {
        "now": at(100),
        "opened": opened(entry=0.30, mid=0.29),
        "highest": dollars(0.29),
        "hard_level": 0,
        "vwap_level": 0,
        "below_vwap": False,
        "persists": False,
        "is_stopping": False,
    }
    return View(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"now": at(23_100) - 1}, None),
        ({"now": at(23_100)}, ExitReason.TIME_STOP),
        ({"highest": 2551}, None),
        ({"highest": None, "hard_level": 9999, "vwap_level": 9999, "below_vwap": True}, None),
        ({"highest": 2550}, ExitReason.STOP_LOSS),  # 0.255 against 0.30 is -15 %; a float says it is not
        ({"hard_level": 2899}, None),
        ({"hard_level": 2900}, ExitReason.HARD_GIVEBACK),
        ({"vwap_level": 2900}, None),
        ({"vwap_level": 2899, "below_vwap": True}, None),
        ({"vwap_level": 2900, "below_vwap": True}, ExitReason.VWAP_GIVEBACK),
        ({"vwap_level": 2900, "below_vwap": None}, None),
        ({"persists": True}, ExitReason.VWAP_PERSISTENCE),
        ({"persists": None}, None),
        ({"is_stopping": True}, ExitReason.SHUTDOWN),
    ],
)
def test_each_exit_at_its_boundary(changes: dict[str, Any], reason: ExitReason | None) -> None:
    assert exit_reason(view(**changes)) is reason


def test_the_exits_are_asked_in_their_order() -> None:
    everything: dict[str, Any] = {
        "now": at(23_100),
        "highest": 1,
        "hard_level": 1,
        "vwap_level": 1,
        "below_vwap": True,
        "persists": True,
        "is_stopping": True,
    }
    calm: dict[str, Any] = {
        "now": at(100),
        "highest": dollars(0.29),
        "hard_level": 0,
        "vwap_level": 0,
        "persists": False,
        "is_stopping": False,
    }
    found = []
    steps = (
        {"now": at(100)},
        {"highest": 2900, "hard_level": 2900, "vwap_level": 2900},
        {"hard_level": 0},
        {"vwap_level": 0},
        {"persists": False},
    )
    for step in ({}, *steps):
        everything.update(step)
        found.append(exit_reason(view(**everything)))
    assert found == list(ExitReason)
    assert exit_reason(view(**calm)) is None


def test_the_peak_rises_only_to_what_held() -> None:
    book = book_in(PositionState.OPEN)
    position = book.position
    assert position is not None
    assert position.peak == dollars(1.40)
    position.marks.record(at(20), mark(2.09, 2.11))
    position.apply_time(at(20))
    position.marks.record(at(21), mark(1.49, 1.51))
    position.apply_time(at(22) - 1)
    assert position.peak == dollars(1.40)
    position.apply_time(at(22))  # all that held in the last two seconds: 2.10, then 1.50
    assert position.peak == dollars(1.50)
    position.apply_time(at(23) + SECOND)
    assert position.peak == dollars(1.50)


def test_a_mark_that_is_lost_does_not_raise_the_peak() -> None:
    """A tick just before the program was killed, and nothing for long: nobody knows that it held."""
    position = book_in(PositionState.OPEN).position
    assert position is not None
    position.marks.record(at(20), mark(2.09, 2.11))
    position.apply_time(at(40))
    assert position.peak == dollars(1.40)
