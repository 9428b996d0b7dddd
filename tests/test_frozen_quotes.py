"""Quotes that arrive now and are of then: a chain that stands still, a row or a snapshot that does, stamps from ahead."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine import Engine
from events import (
    SECOND,
    Chain,
    ChainRow,
    Closed,
    ContractRule,
    Decision,
    Declined,
    DeclineReason,
    ExitReason,
    Hold,
    HoldReason,
    MarkBack,
    MarkLost,
    Opened,
    QuoteSource,
    Tick,
)
from option_quotes import is_live, polled_prices
from rules import Rules
from tests.builders import CALL, SESSION, Story, at, bar, chain, dollars, quote, row
from tests.surge import QUIET_END, calm, exits, opened, quick, reasons, surge

DAY = 20 * 3600
POLL, STREAM = QuoteSource.POLL, QuoteSource.STREAM
NEIGHBOUR = "O:IWM251002C00216000"


def rows_at(second: float, *, age: float = 0.0, count: int = 10, **changes: Any) -> tuple[ChainRow, ...]:
    """Calls around the money, all quoted ``age`` before ``second``. The first is `CALL`."""
    stamp = at(second) - round(age * SECOND)
    return tuple(
        row(
            215.0 + place,
            max(1.39 - place / 8, 0.05),
            max(1.41 - place / 8, 0.07),
            quoted_at=stamp,
            **changes,
        )
        for place in range(count)
    )


def surge_with(
    story: Story, make: Any, *, start: int = QUIET_END, seconds: int = 8, price: float = 215.0
) -> list[Decision]:
    """The market rises; at each second the chain is polled, and answers what ``make`` makes of the second."""
    made = list[Decision]()
    for second in range(start, start + seconds):
        price = round(price + 0.02, 2)
        story.tell(second + 3, bar(second, 660.0, symbol="SPY"))
        story.tell(second + 3, Chain(rows=make(second + 3)))
        made += story.tell(second + 3, bar(second, price, 1000.0 + 200 * (second - QUIET_END)))
    return made


def bought(made: list[Decision]) -> bool:
    return any(isinstance(decision, Opened) for decision in made)


# --- A chain that stands still ---


@pytest.mark.parametrize(
    ("age", "buys"), [(0, True), (15, True), (15.000001, False), (900, False), (DAY, False)]
)
def test_a_chain_whose_newest_stamp_is_over_fifteen_seconds_old_prices_nothing(
    age: float, buys: bool
) -> None:
    story = calm(Story(quick()))
    made = surge_with(story, lambda second: rows_at(second, age=age))
    assert bought(made) is buys
    assert (story.engine.quotes.live_calls(at(QUIET_END + 10)) > 0) is buys
    if not buys:
        assert reasons(made) == {DeclineReason.NO_CONTRACT}
        last = [item for item in made if isinstance(item, Declined)][-1]
        assert last.fallen == ((ContractRule.DELAYED, 10),)


def test_the_newest_of_the_ten_nearest_decides_and_not_one_far_off() -> None:
    far = row(240.0, 0.01, 0.02, quoted_at=at(1000))
    near = rows_at(1000, age=60)
    assert not is_live(Rules(), at(1000), 215.0, [*near, far])
    assert is_live(Rules(), at(1000), 215.0, [*near[:9], far])
    assert is_live(Rules(), at(1000), None, [*near, far]), "without a price every call is asked"


def test_a_quiet_strike_in_a_chain_that_moves_may_be_bought() -> None:
    story = calm(Story(quick()))
    made = surge_with(story, lambda second: (rows_at(second, age=60)[0], *rows_at(second)[1:]))
    assert bought(made)


@pytest.mark.parametrize(("age", "buys"), [(300, True), (301, False), (DAY, False)])
def test_but_not_one_of_another_market(age: float, buys: bool) -> None:
    story = calm(Story(quick()))
    made = surge_with(
        story,
        lambda second: (
            rows_at(second, age=age)[0],
            *(replace(each, open_interest=0.0) for each in rows_at(second)[1:]),
        ),
    )
    assert bought(made) is buys


@pytest.mark.parametrize("stamps", ["delayed", "none", "ahead"])
def test_a_chain_without_a_real_time_quote_of_now_prices_nothing(stamps: str) -> None:
    story = calm(Story(quick()))
    kinds: dict[str, dict[str, Any]] = {
        "delayed": {"real_time": False},
        "none": {"quoted_at": 0},
        "ahead": {},
    }

    def made_rows(second: float) -> tuple[ChainRow, ...]:
        rows = rows_at(second, age=-2.000001 if stamps == "ahead" else 0)
        return tuple(replace(each, **kinds[stamps]) for each in rows)

    made = surge_with(story, made_rows)
    assert not bought(made)
    assert story.engine.quotes.live_calls(at(QUIET_END + 10)) == 0


def test_a_stamp_up_to_two_seconds_ahead_is_of_now() -> None:
    story = calm(Story(quick()))
    assert bought(surge_with(story, lambda second: rows_at(second, age=-2)))


def test_streamed_quotes_price_what_a_chain_that_stands_still_lists() -> None:
    """Its terms are the day's, its greeks are not: they come from the price."""
    story = calm(Story(quick()))
    made: list[Decision] = []
    for second in range(QUIET_END, QUIET_END + 8):
        now = second + 3
        story.tell(now, bar(second, 660.0, symbol="SPY"))
        story.tell(now, Chain(rows=rows_at(now, age=DAY, delta=0.31, iv=0.9)))
        story.tell(now, quote(now, 1.39, 1.41))
        made += story.tell(now, bar(second, round(215.02 + 0.02 * (second - QUIET_END), 2), 2000.0))
    (found,) = [item for item in made if isinstance(item, Opened)]
    assert found.delta == pytest.approx(0.53, abs=0.05)
    assert found.iv == pytest.approx(0.6, abs=0.05)
    assert story.engine.quotes.live_calls(at(QUIET_END + 10)) == 1


def test_quotes_of_before_are_not_kept_young_by_polls_that_stand_still() -> None:
    """They price an entry for 3 s after the last poll whose quotes moved, and count as live for no longer than that."""
    story = calm(Story(quick()))
    stuck = rows_at(QUIET_END - 12)
    made = surge_with(story, lambda second: stuck, seconds=1)
    assert not story.engine.quotes.stands_still
    assert story.engine.quotes.live_calls(at(QUIET_END + 3)) == 10
    made += surge_with(story, lambda second: stuck, start=QUIET_END + 1, seconds=10, price=215.02)
    assert story.engine.quotes.stands_still
    assert story.engine.quotes.live_calls(at(QUIET_END + 13)) == 0
    assert all(s <= QUIET_END + 6 for s, decision in story.decisions if isinstance(decision, Opened))
    assert made


def test_an_empty_answer_after_full_ones_leaves_the_last_good_one_and_its_age() -> None:
    story = calm(Story(quick()))
    first = QUIET_END + 2
    story.tell(first, Chain(rows=rows_at(first)))
    for second in range(first + 5, first + 30, 5):
        story.tell(second, Chain(rows=()))
    engine = story.engine
    assert len(engine.quotes.nearest(10)) == 10
    assert engine.quotes.chain_at == at(first)
    story.tell(first + 30, Chain(rows=rows_at(first + 30, count=4)))
    assert (len(engine.quotes.nearest(10)), engine.quotes.chain_at) == (4, at(first + 30))


def test_an_empty_answer_before_any_other_is_an_answer() -> None:
    engine = Engine(Rules(), SESSION)
    engine.handle(at(1), Chain(rows=()))
    assert (engine.quotes.chain, engine.quotes.chain_at, engine.quotes.live_calls(at(1))) == ((), at(1), 0)


# --- Marks ---


def held(**rules: Any) -> tuple[Story, int]:
    """An open position whose call has just been quoted by the stream, with a neighbour."""
    story, _, second = opened(quick(**rules))
    story.tell(second + 1, quote(second + 1, 1.39, 1.41))
    story.tell(second + 1, quote(second + 1, 0.90, 0.92, contract=NEIGHBOUR))
    return story, second + 1


def lost(story: Story) -> bool:
    return any(isinstance(decision, MarkLost) for _, decision in story.decisions)


@pytest.mark.parametrize("source", [POLL, STREAM])
@pytest.mark.parametrize(("age", "sells"), [(15, True), (15.000001, False), (900, False)])
def test_a_quote_over_fifteen_seconds_old_sells_nothing(source: QuoteSource, age: float, sells: bool) -> None:
    """The position has seen nothing since it opened: whatever is told is newer than what is known."""
    story, _, second = opened()
    now = second + 1000
    story.tell(now, Tick())
    old = quote(now - age, 0.50, 0.52, source=source)
    made = story.tell(now, old) + story.tick(now + 1, now + 5)
    assert (exits(made) != []) is sells


@pytest.mark.parametrize(("age", "sells"), [(15, True), (15.000001, False), (900, False)])
def test_nor_does_the_row_of_a_chain(age: float, sells: bool) -> None:
    story, _, second = opened()
    now = second + 1000
    story.tell(now, Tick())
    mine = row(bid=0.50, ask=0.52, quoted_at=at(now) - round(age * SECOND))
    made = story.tell(now, Chain(rows=(mine, *rows_at(now)[1:]))) + story.tick(now + 1, now + 5)
    assert (exits(made) != []) is sells


@pytest.mark.parametrize("age", [0, 20, 900, DAY])
def test_a_row_that_is_marked_delayed_is_no_mark_whatever_its_stamp(age: float) -> None:
    story, _, second = opened()
    now = second + 1000
    mine = row(bid=0.50, ask=0.52, real_time=False, quoted_at=at(now) - age * SECOND)
    story.tell(now, Chain(rows=(mine, *rows_at(now)[1:])))
    assert exits(story.tick(now + 1, now + 5)) == []


def test_a_quote_without_change_stands_while_its_socket_brings_the_others() -> None:
    story, second = held()
    for s in range(second + 1, second + 60):
        story.tell(s, quote(s, 0.90, 0.92, contract=NEIGHBOUR))
        if s % 15 == 0:
            story.tell(s, quote(second, 1.39, 1.41, source=POLL))
        story.tell(s, Tick())
    assert not lost(story)


def test_it_does_not_stand_when_polls_alone_bring_the_others() -> None:
    """The stream is silent: the neighbours move in every poll, the held contract's own stamp does not."""
    story, second = held()
    for s in range(second + 2, second + 60, 2):
        stuck = row(bid=1.39, ask=1.41, quoted_at=at(second))
        story.tell(s, Chain(rows=(stuck, *rows_at(s)[1:])))
        story.tell(s, quote(second, 1.39, 1.41, source=POLL))
        story.tell(s, Tick())
    times = [s for s, decision in story.decisions if isinstance(decision, MarkLost)]
    # Confirmed until its stamp is over 15 s old, then missed for 20.
    assert times == [second + 36]
    assert story.engine.position is not None


def test_it_does_not_stand_when_the_polls_stand_still_themselves() -> None:
    story, second = held()
    stuck = rows_at(second)
    for s in range(second + 2, second + 60, 2):
        story.tell(s, Chain(rows=stuck))
        story.tell(s, quote(second, 1.39, 1.41, source=POLL))
        story.tell(s, Tick())
    assert lost(story)


def test_a_mark_that_was_lost_is_back_with_a_quote_of_now() -> None:
    story, second = held()
    story.tick(second + 1, second + 40)
    assert lost(story)
    story.tell(second + 40, quote(second + 10, 1.20, 1.22, source=POLL))
    assert not any(isinstance(decision, MarkBack) for _, decision in story.decisions)
    story.tell(second + 41, quote(second + 41, 1.39, 1.41, source=POLL))
    assert any(isinstance(decision, MarkBack) for _, decision in story.decisions)


@pytest.mark.parametrize(("ahead", "sells"), [(2, True), (2.000001, False), (86_400, False)])
@pytest.mark.parametrize("source", [POLL, STREAM])
def test_a_quote_from_ahead_is_none_and_bars_no_later_one(
    source: QuoteSource, ahead: float, sells: bool
) -> None:
    story, _, second = opened()
    made = story.tell(second + 1, quote(second + 1 + ahead, 0.50, 0.52, source=source))
    made += story.tick(second + 2, second + 5)
    assert (exits(made) != []) is sells
    if not sells:
        story.tell(second + 5, quote(second + 5, 1.99, 2.01))
        story.tick(second + 6, second + 9)
        position = story.engine.position
        assert position is not None and position.peak == dollars(2.00)


def test_a_quote_from_ahead_buys_nothing_while_flat() -> None:
    story = calm(Story(quick()))
    story.tell(QUIET_END + 2, quote(QUIET_END + 3600, 0.10, 0.12))
    assert story.engine.quotes.ask_of(CALL) is None
    found = [item for item in surge(story) if isinstance(item, Opened)]
    assert found[0].ask == dollars(1.41)


def test_an_old_snapshot_of_one_contract_buys_nothing_while_flat() -> None:
    story = calm(Story(quick()))
    made: list[Decision] = []
    for second in range(QUIET_END, QUIET_END + 8):
        now = second + 3
        story.tell(now, bar(second, 660.0, symbol="SPY"))
        story.tell(now, Chain(rows=rows_at(now, age=DAY)))
        story.tell(now, quote(now - DAY, 0.44, 0.45, source=POLL))
        made += story.tell(now, bar(second, round(215.02 + 0.02 * (second - QUIET_END), 2), 2000.0))
    assert made and not bought(made)


@pytest.mark.parametrize(
    ("is_doubted", "behind", "sells"),
    [(True, 0, True), (True, 15, True), (True, 16, False), (False, 0, False)],
)
def test_while_the_clock_is_in_doubt_marks_are_judged_by_their_neighbours(
    is_doubted: bool, behind: int, sells: bool
) -> None:
    """This clock is ten minutes ahead of the vendor's: every stamp is old, and the stop must work all the same."""
    story, second = held()
    if is_doubted:
        story.tell(second + 600, Hold(reason=HoldReason.CLOCK_DOUBT, on=True))
    for s in range(600, 604):
        story.tell(second + s, quote(second + s - 570, 0.90, 0.92, contract=NEIGHBOUR))
        story.tell(second + s, quote(second + s - 570 - behind, 0.50, 0.52))
    assert exits([decision for _, decision in story.decisions]) == ([ExitReason.STOP_LOSS] if sells else [])


@pytest.mark.parametrize(("factor", "is_mark"), [(100, False), (2, True)])
def test_a_quote_in_another_unit_is_no_mark_and_no_peak(factor: float, is_mark: bool) -> None:
    """For ten seconds: a peak of it would sell at the next good quote. No volatility makes the call cost $140."""
    story, second = held()
    for s in range(second + 1, second + 11):
        story.tell(s, bar(s - 3, 215.1))
        story.tell(s, quote(s, 1.39 * factor, 1.41 * factor))
    position = story.engine.position
    assert position is not None
    assert position.peak == (dollars(1.40 * factor) if is_mark else dollars(1.40))
    made = story.tell(second + 11, quote(second + 11, 1.39, 1.41)) + story.tick(second + 12, second + 15)
    assert (exits(made) != []) is is_mark


# --- Others of the kind ---

AGES = st.sampled_from((-86_400, -3, -2, 0, 1, 14, 15, 16, 40, 900, DAY))
ANSWERS = st.lists(
    st.tuples(st.integers(1, 60), st.sampled_from(("row", "poll", "stream")), AGES, st.booleans()),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(ANSWERS)
def test_no_stamp_of_then_or_of_later_ever_sells_and_a_restart_agrees(
    answers: list[tuple[int, str, int, bool]],
) -> None:
    """Good quotes at 1.40 go on; all that says 0.51 is old, from ahead or delayed, and nobody sells on it."""
    story, second = held()
    for s in range(1, 61):
        now = second + s
        story.tell(now, quote(now, 1.39, 1.41))
        for due, kind, age, is_delayed in answers:
            if due != s or (-2 <= age <= 15 and not (is_delayed and kind == "row")):
                continue
            if kind == "row":
                bad = row(bid=0.50, ask=0.52, quoted_at=at(now) - age * SECOND, real_time=not is_delayed)
                story.tell(now, Chain(rows=(bad, *rows_at(now)[1:])))
            else:
                story.tell(now, quote(now - age, 0.50, 0.52, source=POLL if kind == "poll" else STREAM))
        story.tell(now, Tick())
    assert not any(isinstance(decision, Closed | MarkLost) for _, decision in story.decisions)
    restored = Engine(story.engine.rules, SESSION)
    for now, event, decisions in story.log:
        restored.restore(now, event, decisions)
    position, mine = story.engine.position, restored.position
    assert position is not None and mine is not None
    assert (mine.peak, mine.marks.usable, mine.marks.usable_at) == (
        position.peak,
        position.marks.usable,
        position.marks.usable_at,
    )
    assert restored.quotes.newest == story.engine.quotes.newest
    assert chain(0, row()).rows[0].contract == CALL


STAMPS = st.lists(
    st.tuples(
        st.sampled_from((-86_400, -3, -2, 0, 1, 14, 15, 16, 60, 299, 300, 301, 900, DAY)), st.booleans()
    ),
    min_size=10,
    max_size=10,
)


@settings(max_examples=80, deadline=None)
@given(STAMPS, st.booleans())
def test_no_stamp_of_then_or_of_later_ever_buys(stamps: list[tuple[int, bool]], is_alone: bool) -> None:
    """What is bought is marked REAL-TIME and not of another market, in an answer whose newest quote is of now."""
    interest = [1000.0, *([0.0 if is_alone else 1000.0] * 9)]  # the first alone is a candidate, or all are

    def made_rows(second: float) -> tuple[ChainRow, ...]:
        return tuple(
            replace(each, quoted_at=at(second) - age * SECOND, real_time=is_real, open_interest=calls)
            for each, (age, is_real), calls in zip(rows_at(second), stamps, interest, strict=True)
        )

    story = calm(Story(quick()))
    found = [each for each in surge_with(story, made_rows) if isinstance(each, Opened)]
    moves = any(is_real and -2 <= age <= 15 for age, is_real in stamps)
    if not moves:
        assert found == [] and story.engine.quotes.live_calls(at(QUIET_END + 10)) == 0
    for decision in found:
        age, is_real = stamps[decision.strike // 1000 - 215]
        assert is_real and -2 <= age <= 300
    if all(is_real and -2 <= age <= 15 for age, is_real in stamps):
        assert found


def test_without_a_price_of_the_share_no_call_is_the_nearest() -> None:
    engine = Engine(Rules(), SESSION)
    engine.handle(at(1), chain(1, row()))
    assert engine.quotes.nearest(3) == ()
    assert engine.holds == frozenset()


def test_a_poll_prices_its_real_time_rows_while_its_quotes_move() -> None:
    rules = Rules()
    fresh, quiet = (
        row(quoted_at=at(100)),
        row(216.0, quoted_at=at(100) - rules.chain_max_seconds * SECOND - 1),
    )
    delayed = row(217.0, quoted_at=at(100), real_time=False)
    assert list(polled_prices(rules, at(101), 215.0, (fresh, quiet, delayed))) == [fresh.contract]
    assert polled_prices(rules, at(100) + 60 * SECOND, 215.0, (fresh, quiet, delayed)) == {}
