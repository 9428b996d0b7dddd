"""Counts what kept a day from entries: how many seconds got how far, which conditions failed, and how nearly.

Every count can be recomputed from the rows of a trace (`review.trace`); each function says what it counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from events import SECOND, Condition, DeclineReason, Shortfall
from review.study import Seen, Study
from signals import BUY_FOLLOWS_S, EPISODE_GAP_S, near_miss
from wording import miss_text, undefined_text

MISSES_SHOWN = 10

BEFORE_CONDITIONS = (DeclineReason.BLIND, DeclineReason.WARM_UP)
"""Gates that the funnel asks before the conditions: behind them no second could have been a signal."""

PERCENT = 100.0


class RowKind(StrEnum):
    """What a row of the funnel asks."""

    SECOND = "second"
    CONDITION = "condition"
    GATE = "gate"
    RESULT = "result"


class Row(NamedTuple):
    """One row of the funnel: what it asks, how many seconds are left, of how many in the row before and in the first.

    ``kind`` says what ``name`` is: seconds of the session, an evaluation, a condition, a gate (with what a contract is
    declined for), or what came of it. ``is_left_out``: the rules do without this condition.
    """

    kind: RowKind
    name: str
    left: int
    before: int
    all: int
    is_left_out: bool = False

    @property
    def lost(self) -> int:
        """How many seconds ended here."""
        return self.before - self.left

    @property
    def of_before(self) -> float:
        """Share of the row before, percent."""
        return share(self.left, self.before)

    @property
    def of_all(self) -> float:
        """Share of the first row, percent."""
        return share(self.left, self.all)


def share(part: float, whole: float) -> float:
    """A share in percent; 0 of nothing."""
    return part / whole * PERCENT if whole else 0.0


def stopped_by(row: Seen) -> DeclineReason | None:
    """The gate that was closed at an evaluation, or what its contract was declined for."""
    return row.evaluation.gate or row.declined


def counted(study: Study) -> list[Seen]:
    """The evaluations that could have been a signal: neither blind nor in the warm-up, as their gate says."""
    return [row for row in study.seen if row.evaluation.gate not in BEFORE_CONDITIONS]


def signals(study: Study) -> list[Seen]:
    """The signals: evaluations at which all conditions were met, whatever the gates."""
    return [row for row in study.seen if row.evaluation.holds]


def funnel(study: Study) -> list[Row]:
    """The seconds of the session so far, and how many of them each step leaves.

    ``session``, ``with a bar`` and ``evaluated`` count seconds; ``not blind`` leaves out rows whose gate is blind,
    ``warm`` those whose gate is warm-up; each condition leaves out the rows left at which it is false; each further
    gate, in their order, the rows left at which it was the closed one, or what the contract was declined for.
    """
    left: Sequence[Seen] = study.seen
    rows = [
        (RowKind.SECOND, "session", study.seconds),
        (RowKind.SECOND, "with a bar", study.bar_seconds),
        (RowKind.SECOND, "evaluated", len(left)),
    ]
    for name, gate in (("not blind", DeclineReason.BLIND), ("warm", DeclineReason.WARM_UP)):
        left = [row for row in left if row.evaluation.gate is not gate]
        rows.append((RowKind.SECOND, name, len(left)))
    left_out: set[str] = set()
    for index, condition in enumerate(Condition):
        if left and all(row.evaluation.passes[index] is None for row in left):
            left_out.add(condition.value)
        left = [row for row in left if row.evaluation.passes[index] is not False]
        rows.append((RowKind.CONDITION, condition.value, len(left)))
    for gate in DeclineReason:
        if gate not in BEFORE_CONDITIONS:
            left = [row for row in left if stopped_by(row) is not gate]
            rows.append((RowKind.GATE, gate.value, len(left)))
    rows.append((RowKind.RESULT, "fired", sum(row.is_fired for row in left)))
    before = [rows[0][2], *(count for _, _, count in rows)]
    return [
        Row(kind, name, count, earlier, before[0], name in left_out)
        for (kind, name, count), earlier in zip(rows, before, strict=False)
    ]


class Failing(NamedTuple):
    """How often a condition failed among the counted evaluations.

    ``alone``: every other one held. ``alone_open``: and every gate was open, so that it alone cost an entry.
    """

    condition: Condition
    failed: int
    alone: int
    alone_open: int
    of: int
    is_left_out: bool


def failing(study: Study) -> list[Failing]:
    """For each condition, how often it failed at all and as the only one; blind and warm-up left out."""
    rows = counted(study)
    alone = Counter(row.evaluation.sole_failure for row in rows)
    alone_open = Counter(row.evaluation.sole_failure for row in rows if row.evaluation.gate is None)
    found: list[Failing] = []
    for index, condition in enumerate(Condition):
        passes = [row.evaluation.passes[index] for row in rows]
        is_left_out = bool(passes) and all(passed is None for passed in passes)
        found.append(
            Failing(
                condition,
                passes.count(False),
                alone[condition],
                alone_open[condition],
                len(rows),
                is_left_out,
            )
        )
    return found


class Miss(NamedTuple):
    """Adjacent seconds at which the same condition alone failed while every gate was open.

    ``start`` and ``end`` (µs) are the episode's; ``nearest`` its second that came nearest, and ``missed`` how far that
    was, None where the condition's value is undefined.
    """

    start: int
    end: int
    nearest: Seen
    condition: Condition
    missed: Shortfall | None
    text: str

    @property
    def nearness(self) -> float:
        """What misses are ordered by: comparable between conditions, least first."""
        return float("inf") if self.missed is None else self.missed.ratio


def misses(study: Study) -> list[Miss]:
    """Every near miss that no BUY followed, the nearest first."""
    found = [miss for miss in _episodes(study) if not _is_followed(study, miss)]
    return sorted(found, key=lambda miss: (miss.nearness, miss.start))


def followed(study: Study) -> int:
    """How many near misses a BUY followed within `BUY_FOLLOWS_S`: they cost nothing, and are left out."""
    return sum(_is_followed(study, miss) for miss in _episodes(study))


def _is_followed(study: Study, miss: Miss) -> bool:
    last = miss.end - SECOND
    return any(
        last < row.evaluation.start <= last + BUY_FOLLOWS_S * SECOND for row in study.seen if row.is_fired
    )


def followed_text(study: Study) -> str:
    """How many near misses are left out, as words that go on a sentence; empty without any."""
    count = followed(study)
    if not count:
        return ""
    return f"{count} that a BUY followed within {BUY_FOLLOWS_S} s {'is' if count == 1 else 'are'} left out"


def _episodes(study: Study) -> list[Miss]:
    """Every near miss, followed or not, in the order of time."""
    found: list[Miss] = []
    episode: list[Seen] = []
    for row in study.seen:
        condition = row.evaluation.sole_failure if row.evaluation.gate is None else None
        if episode and not _goes_on(episode[-1], row, condition):
            found.append(_miss(study, episode))
            episode = []
        if condition is not None:
            episode.append(row)
    if episode:
        found.append(_miss(study, episode))
    return found


def _goes_on(last: Seen, row: Seen, condition: Condition | None) -> bool:
    """Whether an evaluation belongs to the same miss as the one before."""
    pause = row.evaluation.start - last.evaluation.start - SECOND
    return last.evaluation.sole_failure is condition and pause <= EPISODE_GAP_S * SECOND


def _miss(study: Study, episode: Sequence[Seen]) -> Miss:
    def distance(row: Seen) -> float:
        missed = near_miss(study.rules_at(row.now), row.evaluation)
        return float("inf") if missed is None else missed.ratio

    nearest = min(episode, key=distance)
    condition = nearest.evaluation.sole_failure
    assert condition is not None, "an episode is made of near misses"
    rules = study.rules_at(nearest.now)
    missed = near_miss(rules, nearest.evaluation)
    return Miss(
        start=episode[0].evaluation.start,
        end=episode[-1].evaluation.start + SECOND,
        nearest=nearest,
        condition=condition,
        missed=missed,
        text=undefined_text(condition, nearest.evaluation, rules.benchmark)
        if missed is None
        else miss_text(missed, rules.benchmark),
    )
