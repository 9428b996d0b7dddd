"""What stood in the way of entries, counted and in a sentence: how many seconds got how far, what failed, how nearly.

Every count can be had again from the rows of a trace (`review.trace`): what each one counts is said where it is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from events import SECOND, Condition, DeclineReason, HoldReason, Shortfall
from review import fills
from review.study import Seen, Study
from signals import BUY_FOLLOWS_S, EPISODE_GAP_S, near_miss
from utils import clock_text, minute_text, signed_percent, span_text
from wording import miss_text, stop_text, undefined_text

MISSES_SHOWN = 10

BEFORE_CONDITIONS = (DeclineReason.BLIND, DeclineReason.WARM_UP)
"""Gates that the funnel asks before the conditions: behind them no second could have been a signal."""

PERCENT = 100.0


class Kind(StrEnum):
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

    kind: Kind
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
    """The evaluations at which all conditions held, whatever the gates."""
    return [row for row in study.seen if row.evaluation.holds]


def funnel(study: Study) -> list[Row]:
    """The seconds of the session so far, and how many of them each step leaves.

    ``session``, ``with a bar`` and ``evaluated`` count seconds; ``not blind`` leaves out rows whose gate is blind,
    ``warm`` those whose gate is warm-up; each condition leaves out the rows left at which it is false; each further
    gate, in their order, the rows left at which it was the closed one, or what the contract was declined for.
    """
    left: Sequence[Seen] = study.seen
    rows = [
        (Kind.SECOND, "session", study.seconds),
        (Kind.SECOND, "with a bar", study.bar_seconds),
        (Kind.SECOND, "evaluated", len(left)),
    ]
    for name, gate in (("not blind", DeclineReason.BLIND), ("warm", DeclineReason.WARM_UP)):
        left = [row for row in left if row.evaluation.gate is not gate]
        rows.append((Kind.SECOND, name, len(left)))
    left_out: set[str] = set()
    for index, condition in enumerate(Condition):
        if left and all(row.evaluation.passes[index] is None for row in left):
            left_out.add(condition.value)
        left = [row for row in left if row.evaluation.passes[index] is not False]
        rows.append((Kind.CONDITION, condition.value, len(left)))
    for gate in DeclineReason:
        if gate not in BEFORE_CONDITIONS:
            left = [row for row in left if stopped_by(row) is not gate]
            rows.append((Kind.GATE, gate.value, len(left)))
    rows.append((Kind.RESULT, "fired", sum(row.is_fired for row in left)))
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


# --- The answer in a sentence ------------------------------------------------------------------------

HALF = 0.5
RULES_NAMED = 3
HELD_TOLD_S = 60
"""From so long on, holds are part of the answer: a busy machine has some of a second or two."""


def day_text(study: Study) -> str:
    """The session's day as a person says it, such as ``2 Oct``."""
    day = date.fromisoformat(study.session.date)
    return f"{day.day} {day:%b}"


def answer(study: Study) -> str:
    """Why there was no entry, or which there were: one plain sentence, and what else the day was short of."""
    if study.end <= study.session.open and not study.down:
        return f"The session of {day_text(study)} opens at {minute_text(study.session.open)} ET: nothing to tell yet."
    if study.trades.told:
        first = _entries_text(study)
    else:
        so_far = "" if study.is_over else f" so far (until {clock_text(study.end)} ET)"
        first = f"No entry on {day_text(study)}{so_far}: {_obstacle(study)}."
    return " ".join([first, *_shortcomings(study, first)])


def _entries_text(study: Study) -> str:
    told, withdrawn = study.trades.told, len(study.withdrawn)
    number = f"{len(told)} entr{'y' if len(told) == 1 else 'ies'}" + ("" if study.is_over else " so far")
    text = f"{number} on {day_text(study)}: {told[0].opened.contract} at {clock_text(told[0].opened_at)}"
    if len(told) == 1:
        text += f", {_result_text(told[0])}"
    else:
        results = [trade.crossed_percent for trade in told]
        up = sum(1 for result in results if result is not None and result >= 0)
        down = sum(1 for result in results if result is not None and result < 0)
        parts = [f"{up} up", f"{down} down"] + [f"{len(told) - up - down} open"] * (up + down < len(told))
        paid = sum(value for trade in told if (value := fills.dollars(trade)) is not None)
        text = f"{number} on {day_text(study)}: {', '.join(parts)}; ask→bid {dollars_text(paid)}, one contract each"
    if withdrawn:
        text += f"; {withdrawn} more {'was' if withdrawn == 1 else 'were'} withdrawn, nobody was told"
    return f"{text}."


def _result_text(trade: fills.Trade) -> str:
    if trade.closed is None or trade.closed_at is None:
        return "still open"
    return (
        f"sold {clock_text(trade.closed_at)} ({trade.closed.reason}), told {signed_percent(trade.told_percent)}, "
        f"ask→bid {signed_percent(trade.crossed_percent)}"
    )


def dollars_text(value: float) -> str:
    """A result in dollars with its sign."""
    return f"{'-' if value < 0 else '+'}${abs(value):,.2f}"


def _obstacle(study: Study) -> str:
    """What stood in the way of an entry, the weightiest first."""
    if study.withdrawn:
        name, detail = next(iter(study.withdrawn.items()))
        at = next(trade.opened_at for trade in study.trades.all if trade.opened.id == name)
        because = f" ({detail})" if detail else ""
        if len(study.withdrawn) == 1:
            return f"the BUY of {clock_text(at)} was withdrawn before it could arrive{because}"
        return f"{len(study.withdrawn)} BUYs were withdrawn before they could arrive, the first at {clock_text(at)}{because}"
    if any(span.reason is HoldReason.MARKET_CLOSED and span.end >= study.until for span in study.held):
        return "the exchange was closed, although the calendar has a session"
    if found := signals(study):
        return _stopped_text(study, found)
    span = max(1, study.end - study.session.open)
    if study.down_us >= span:
        return "the program was not running in the session"
    seeing = [row for row in study.seen if not row.is_blind]
    if not seeing and study.blind:
        when = "whenever the program ran" if study.down else "all day" if study.is_over else "all the time"
        return f"blind {when} ({_longest(study)})"
    if study.down_us > HALF * span:
        return f"the program was not running for {span_text(study.down_us)} of {span_text(span)}; {_unmet(study)}"
    if study.blind_us > HALF * span:
        return (
            f"blind for {span_text(study.blind_us)} of {span_text(span)} ({_longest(study)}); {_unmet(study)}"
        )
    return _unmet(study)


def _longest(study: Study) -> str:
    """What the longest blind spell came from."""
    return max(study.blind, key=lambda span: span.end - span.start).cause


def _unmet(study: Study) -> str:
    """No second met all conditions: which came nearest to it."""
    if not study.seen:
        return f"no bar of {study.rules.symbol} came"
    if not counted(study):
        gates = {row.evaluation.gate for row in study.seen}
        if DeclineReason.BLIND not in gates:
            return f"nothing but the first {span_text(study.rules.warmup_seconds * SECOND)} after the open was seen"
        return "every second that was seen was blind or in the warm-up"
    found = sorted(failing(study), key=lambda item: -item.alone)
    alone = [f"{item.condition} alone failed in {item.alone:,}" for item in found if item.alone]
    if alone:
        return f"no second met all conditions; {', '.join(alone[:RULES_NAMED])}"
    worst = max(found, key=lambda item: item.failed)
    part = share(worst.failed, worst.of)
    return f"no second met all conditions, nor all but one; {worst.condition} failed most, in {part:.0f} % of the seconds"


def _stopped_text(study: Study, found: Sequence[Seen]) -> str:
    """Signals without an entry: how many, and what stopped them."""
    causes = Counter((stopped_by(row), row.evaluation.hold) for row in found)
    number = f"{len(found)} signal{'' if len(found) == 1 else 's'}"
    texts = [
        (stop_text(gate, hold, study.rules, study.session, _fallen_text(study)), count)
        for (gate, hold), count in causes.most_common()
    ]
    if len(texts) == 1:
        return f"{number}, {'' if len(found) == 1 else 'all '}{texts[0][0]}"
    return f"{number}, " + ", ".join(f"{count} {text}" for text, count in texts)


def _fallen_text(study: Study) -> str:
    most = study.fallen.most_common(RULES_NAMED)
    return f" ({', '.join(f'{rule} {count}' for rule, count in most)})" if most else ""


def _shortcomings(study: Study, said: str) -> list[str]:
    """How long it was blind or not running, unless that was said."""
    texts: list[str] = []
    if study.down and "not running" not in said:
        texts.append(f"It was not running for {span_text(study.down_us)} of the session.")
    if study.held_us >= HELD_TOLD_S * SECOND and "held" not in said:
        reasons = ", ".join(dict.fromkeys(span.reason for span in study.held))
        texts.append(f"Entries were held for {span_text(study.held_us)} ({reasons}).")
    if study.is_down_now:
        texts.append(f"Nothing has been recorded since {clock_text(study.until)} ET: is the program running?")
    if study.blind and "blind" not in said:
        spells = f" in {len(study.blind)} spells" if len(study.blind) > 1 else ""
        texts.append(f"It was blind for {span_text(study.blind_us)}{spells}.")
    return texts
