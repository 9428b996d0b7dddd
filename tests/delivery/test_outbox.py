"""An alert's life: every row of its table, when the next attempt is, and that a SELL is never forgotten."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from delivery import outbox
from delivery.answers import Result
from delivery.outbox import (
    ATTEMPTS,
    MOVES,
    PHASES,
    RETRY_LEAST_S,
    Attempts,
    Care,
    Move,
    Phase,
    Turn,
    begin,
    step,
)
from delivery.pending import Pending
from events import SECOND, Outcome
from tests.delivery.stories import sell

START = 1_759_416_000 * SECOND
END = START + 900 * SECOND


def life(care: Care, **changes: object) -> Attempts:
    return replace(Attempts(care=care, give_up_at=END), **changes)


def test_the_table_has_a_row_for_every_answer_and_every_care() -> None:
    assert set(MOVES) == {(result, care) for result in Result for care in Care}


@pytest.mark.parametrize(
    ("result", "care", "outcome"),
    [
        (Result.OK, Care.ONCE, Outcome.ACCEPTED),
        (Result.OK, Care.SAFETY, Outcome.ACCEPTED),
        (Result.OK, Care.PERSISTENT, Outcome.ACCEPTED),
        (Result.REFUSED, Care.ONCE, Outcome.REFUSED),
        (Result.REFUSED, Care.SAFETY, None),
        (Result.REFUSED, Care.PERSISTENT, None),
        (Result.FAILED, Care.ONCE, None),
        (Result.FAILED, Care.SAFETY, None),
        (Result.FAILED, Care.PERSISTENT, None),
        (Result.LOST, Care.ONCE, Outcome.LOST),
        (Result.LOST, Care.SAFETY, Outcome.LOST),
        (Result.LOST, Care.PERSISTENT, None),
    ],
)
def test_what_a_first_answer_settles(result: Result, care: Care, outcome: Outcome | None) -> None:
    what = step(begin(life(care), START), result, START)
    assert what.outcome is outcome
    assert what.attempts.made == 1
    assert what.attempts.may_have_arrived is (result is Result.LOST)
    assert what.attempts.was_refused is (result is Result.REFUSED)


@pytest.mark.parametrize(
    ("care", "dues"),
    [
        (Care.ONCE, [5, 10, None]),
        (Care.SAFETY, [5, 10, None]),
        (Care.PERSISTENT, [5, 10, 30, 30, 30]),
    ],
)
def test_a_failed_attempt_is_made_again_after_5_and_10_seconds(care: Care, dues: list[int | None]) -> None:
    attempts, now = life(care), START
    for due in dues:
        what = step(begin(attempts, now), Result.FAILED, now)
        assert what.outcome is (Outcome.UNSENT if due is None else None)
        if due is not None:
            assert what.due == now + due * SECOND
            attempts, now = what.attempts, what.due


@pytest.mark.parametrize(("left", "is_last"), [(30, False), (29, True)])
def test_a_sell_is_tried_to_the_end_of_its_time(left: int, is_last: bool) -> None:
    now = END - left * SECOND
    what = step(begin(life(Care.PERSISTENT, made=ATTEMPTS), now), Result.FAILED, now)
    assert (what.outcome is Outcome.UNSENT) is is_last


@pytest.mark.parametrize(("now", "outcome"), [(END - 1, None), (END, Outcome.REFUSED)])
def test_a_refused_sell_waits_until_its_time_is_over(now: int, outcome: Outcome | None) -> None:
    what = step(begin(life(Care.PERSISTENT), now), Result.REFUSED, now)
    assert (what.move, what.outcome) == (Move.WAIT, outcome)
    assert what.due == END
    assert outbox.is_over(what.attempts, now) is (outcome is not None)


def test_a_refused_safety_push_is_then_tried_like_a_sell() -> None:
    waiting = step(begin(life(Care.SAFETY), START), Result.REFUSED, START).attempts
    assert waiting.care is Care.PERSISTENT
    what = step(begin(replace(waiting, made=ATTEMPTS), START), Result.FAILED, START)
    assert (what.outcome, what.due) == (None, START + 30 * SECOND)
    assert not what.attempts.waits


@pytest.mark.parametrize(("passed", "due"), [(0, 5), (4, 5), (5, 5), (60, 60)])
def test_what_waits_is_tried_once_pushes_are_taken_but_not_under_5_seconds(passed: int, due: int) -> None:
    waiting = step(begin(life(Care.PERSISTENT), START), Result.REFUSED, START).attempts
    assert outbox.due_once_taken(waiting, START + passed * SECOND) == START + due * SECOND


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, Outcome.UNSENT),
        ({"was_refused": True}, Outcome.REFUSED),
        ({"may_have_arrived": True, "was_refused": True}, Outcome.LOST),
    ],
)
def test_what_may_have_arrived_is_never_called_unsent(changes: dict[str, object], outcome: Outcome) -> None:
    assert outbox.ended(life(Care.PERSISTENT, **changes)) is outcome


@pytest.mark.parametrize(
    ("care", "changes", "untold"),
    [
        (Care.PERSISTENT, {"made": ATTEMPTS - 1}, False),
        (Care.PERSISTENT, {"made": ATTEMPTS}, True),
        (Care.PERSISTENT, {"was_refused": True}, True),
        (Care.ONCE, {"made": ATTEMPTS}, False),
        (Care.SAFETY, {"made": ATTEMPTS}, False),
    ],
)
def test_what_keeps_entries_held(care: Care, changes: dict[str, object], untold: bool) -> None:
    assert life(care, **changes).is_untold is untold


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(Result), max_size=60), st.integers(0, 20_000_000))
def test_a_sell_is_told_or_tried_until_its_time_is_over(results: list[Result], slow_us: int) -> None:
    attempts, now, at = life(Care.PERSISTENT), START, []
    for result in results:
        attempts = begin(attempts, now)
        at.append(now)
        now += slow_us
        what = step(attempts, result, now)
        attempts = what.attempts
        if what.outcome is not None:
            assert (what.outcome is Outcome.ACCEPTED) is (result is Result.OK)
            assert result is Result.OK or now + 30 * SECOND > END
            break
        # Pushes are taken again a minute later.
        now = outbox.due_once_taken(attempts, now + 60 * SECOND) if attempts.waits else what.due
        assert now <= END + 60 * SECOND
        if attempts.waits and now >= END:
            break
    assert all(later - earlier >= RETRY_LEAST_S * SECOND for earlier, later in pairwise(at))
    assert (Result.OK in results[: len(at)]) is (bool(at) and results[len(at) - 1] is Result.OK)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(Result), min_size=3, max_size=3))
def test_a_buy_has_three_attempts_at_most(results: list[Result]) -> None:
    attempts, now = life(Care.ONCE), START
    for result in results:
        what = step(begin(attempts, now), result, now)
        if what.outcome is not None:
            return
        attempts, now = what.attempts, what.due
    raise AssertionError("no end after three attempts")


WAITING, READYING, HELD_UP, IN_FLIGHT, SETTLED = Phase


@pytest.mark.parametrize(
    ("turn", "after"),
    [
        (Turn.BEGIN, {WAITING: READYING}),
        (Turn.DISK_SLOW, {READYING: HELD_UP}),
        (Turn.DISK_AWAITED, {HELD_UP: WAITING}),
        (Turn.SEND, {READYING: IN_FLIGHT}),
        (Turn.POSTPONE, {IN_FLIGHT: WAITING}),
        (
            Turn.SETTLE,
            {WAITING: SETTLED, READYING: SETTLED, HELD_UP: SETTLED, IN_FLIGHT: SETTLED},
        ),
    ],
)
@pytest.mark.parametrize("phase", Phase)
def test_each_pair_of_phase_and_turn_leads_to_one_phase_or_raises(
    phase: Phase, turn: Turn, after: dict[Phase, Phase]
) -> None:
    entry = Pending(sell(START), START, None)
    entry.phase = phase
    if phase in after:
        entry.turn(turn)
        assert entry.phase is after[phase]
        return
    with pytest.raises(KeyError):
        entry.turn(turn)
    assert entry.phase is phase


def test_every_phase_but_the_last_is_left_and_every_phase_but_the_first_is_reached() -> None:
    assert {phase for phase, _ in PHASES} == set(Phase) - {SETTLED}
    assert set(PHASES.values()) == set(Phase)
    assert {turn for _, turn in PHASES} == set(Turn)
