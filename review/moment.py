"""One second of a session in full: every condition and gate, and what the next minutes brought."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import utils
from events import SECOND, Condition, DeclineReason, Evaluation
from review.funnel import share, stopped_by
from review.study import Seen, Study
from rules import Rules
from utils import clock_text, share_price, signed_percent, span_text
from wording import CONDITIONS, fine_price, stop_text

AHEAD_S = 600
"""How far the look ahead goes."""

BAR_DELAY_S = 3
"""How long after its second's end a bar may take to arrive when all is well."""

OPEN_S = utils.OPEN.hour * 3600 + utils.OPEN.minute * 60
"""The open in seconds of the New York day."""

NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven")

UNMET_TOLD = 2
"""Of more conditions that are not met, only the names are told."""

MARKS = {True: "✓", False: "✗", None: "–"}


ConditionRow = tuple[Condition, str, str, bool | None]
"""A condition with its value, what it takes, and whether it was met (None: switched off in the rules)."""


class Shown(NamedTuple):
    """A second as text and as data: what was seen of it, its conditions, the gate's state, and what came after.

    ``table`` and ``state`` are empty if there was no evaluation up to it.
    """

    told: str
    """What became of that second, in a sentence."""
    seen: list[str]
    table: list[ConditionRow]
    state: str
    ahead: list[str]
    data: dict[str, Any]

    @property
    def lines(self) -> list[str]:
        """The same as lines of text, without its first."""
        found = list(self.seen)
        if self.table:
            found.append(f"    {'condition':<18}{'value':<36}needed")
            for condition, value, needed, passed in self.table:
                found.append(f"  {MARKS[passed]} {condition:<18}{value:<36}{takes_text(needed, passed)}")
            found.append(f"  {self.state}")
        return [*found, "", *self.ahead]


def takes_text(needed: str, passed: bool | None) -> str:
    """What a condition takes, in words."""
    return "switched off in the rules" if passed is None else needed


def at_of(study: Study, second_of_day: int) -> int:
    """A New York time of day on the session's date, µs."""
    return study.session.open + (second_of_day - OPEN_S) * SECOND


def show(study: Study, at: int) -> Shown:
    """The second that starts at ``at`` (µs): its evaluation, or why there was none and the one before."""
    starts = [row.evaluation.start for row in study.seen]
    index = bisect_right(starts, at) - 1
    row = study.seen[index] if index >= 0 else None
    lines: list[str] = []
    missing = None
    if row is None or row.evaluation.start != at:
        missing = why_not(study, at)
        if row is None:
            lines.append("There was no evaluation before it.")
        else:
            ago = span_text(at - row.evaluation.start)
            lines += [f"The last one before, {ago} earlier:", ""]
    bought = next((item for item in study.seen if item.is_fired and item.now // SECOND * SECOND == at), None)
    if bought is not None:
        second = clock_text(bought.evaluation.start)
        lines.insert(
            0, f"The BUY of {clock_text(at)} was decided about the second {second}: see --at {second}."
        )
    table: list[ConditionRow] = []
    if row is not None:
        table = conditions(study.rules_at(row.now), row.evaluation)
        lines.append(_seen_text(row))
    ahead, data = _ahead(study, at, decided_at=row.now if row is not None and missing is None else at)
    told = _told(study, row) if row is not None and missing is None else f"no BUY: not evaluated, {missing}"
    return Shown(
        f"{clock_text(at)}: {told}.",
        lines,
        table,
        "" if row is None else _state_text(study, row),
        ahead,
        {
            "second": utils.utc_iso(at),
            "answer": told,
            "not_evaluated": missing,
            "evaluation": None if row is None else _data(row, table),
            "next_10_minutes": data,
        },
    )


def _told(study: Study, row: Seen) -> str:
    """What became of an evaluated second, to follow its time."""
    evaluation, rules = row.evaluation, study.rules_at(row.now)
    table = conditions(rules, evaluation)
    unmet = [item for item in table if item[3] is False]
    enabled = NUMBERS[sum(item[3] is not None for item in table)]
    if len(unmet) > UNMET_TOLD:
        names = ", ".join(item[0] for item in unmet)
        return f"no BUY: {NUMBERS[len(unmet)]} of {enabled} conditions not met ({names})"
    if unmet:
        return "no BUY: " + ", ".join(
            f"{name} not met ({value}; needs {needed})" for name, value, needed, _ in unmet
        )
    met = f"all {enabled} conditions met"
    if row.is_fired:
        return f"{met}; the BUY was decided at {clock_text(row.now)}"
    gate, held = stopped_by(row), study.held_at(row.now)
    if gate is DeclineReason.POSITION_OPEN and held is not None:
        since = f"since {clock_text(held.opened_at)}"
        if held.opened_at > evaluation.start:
            since += f", and this second was seen at {clock_text(row.now)}"
        return f"{met}; no BUY because a position was open (#{held.opened.id}, {since})"
    return f"{met}; no BUY, {stop_text(gate, evaluation.hold, rules, study.session, '')}"


def why_not(study: Study, at: int) -> str:
    """Why a second has no evaluation, in words."""
    session = study.session
    if at < session.open:
        return f"it is before the open ({utils.minute_text(session.open)})"
    if at >= session.close:
        return f"it is after the close ({utils.minute_text(session.close)})"
    if at >= study.end:
        return f"the record only reaches {clock_text(study.end)} so far"
    for down in study.down:
        if down.start < at + SECOND and at < down.end:
            return (
                f"the program was not running ({down.cause}), {clock_text(down.start)}–{clock_text(down.end)}"
            )
    return _without_bar(study, at)


def _without_bar(study: Study, at: int) -> str:
    """Why a second has no evaluation although the program ran: its bar did not come, or not in time."""
    symbol, due = study.rules.symbol, at + (1 + BAR_DELAY_S) * SECOND
    is_known = study.closes[study.index_of(at)] is not None
    blind = next((span for span in study.blind if span.start < at + SECOND and at < span.end), None)
    if blind is not None:
        bar = "was filled in afterwards" if is_known else "is unknown"
        span = f"{clock_text(blind.start)}–{clock_text(blind.end)}"
        return f"the feed was blind ({blind.cause}), {span}; its bar of {symbol} {bar}"
    ended = next((down for down in study.down if at < down.start < due), None)
    if ended is not None:
        return f"its bar of {symbol} had not arrived when the program ended ({ended.cause}) at {clock_text(ended.start)}"
    if is_known:
        return f"its bar of {symbol} arrived late: filled in afterwards, or out of order"
    if due > study.until and study.until < study.session.close:
        return f"its bar of {symbol} may still arrive: a bar takes about 2 s"
    return f"no bar of {symbol} exists for it: nothing was traded in that second"


def conditions(rules: Rules, evaluation: Evaluation) -> list[ConditionRow]:
    """Every condition at an evaluation."""
    return [
        (
            condition,
            CONDITIONS[condition].value(evaluation, rules),
            CONDITIONS[condition].needed(evaluation, rules),
            passed,
        )
        for condition, passed in evaluation.by_condition.items()
    ]


def _seen_text(row: Seen) -> str:
    evaluation = row.evaluation
    late = max(0, row.now - evaluation.start - SECOND) / SECOND
    return (
        f"{clock_text(evaluation.start)} ET: {evaluation.symbol} {fine_price(evaluation.price)}; "
        f"seen at {clock_text(row.now)}, {late:.1f} s after the second's end"
    )


def _state_text(study: Study, row: Seen) -> str:
    evaluation = row.evaluation
    gate = "open" if evaluation.gate is None else f"closed: {evaluation.gate}"
    if evaluation.hold is not None:
        gate += f" ({evaluation.hold})"
    held = study.held_at(row.now)
    position = "none" if held is None else f"#{held.opened.id} {held.opened.contract}"
    decision = row.decision or "none"
    if row.declined is not None and row.declined is not evaluation.gate:
        decision += f" ({row.declined})"
    return f"Gate {gate}. Feed {'blind' if row.is_blind else 'well'}. Position {position}. Decision: {decision.lower()}."


def _data(row: Seen, table: list[ConditionRow]) -> dict[str, Any]:
    return {
        "start": utils.utc_iso(row.evaluation.start),
        "seen": utils.utc_iso(row.now),
        "conditions": [
            {"condition": condition, "value": value, "needed": needed, "holds": passed}
            for condition, value, needed, passed in table
        ],
        "gate": row.evaluation.gate,
        "hold": row.evaluation.hold,
        "blind": row.is_blind,
        "decision": row.decision or None,
        "declined": row.declined,
    }


# --- What came after ---------------------------------------------------------------------------------


def _ahead(study: Study, at: int, *, decided_at: int) -> tuple[list[str], dict[str, Any] | None]:
    """What the minutes after a second, and after what was decided with it, brought: signals, entries, prices.

    As data it is None when none of them is in the session as far as it is recorded.
    """
    end = at + AHEAD_S * SECOND
    starts = [row.evaluation.start for row in study.seen]
    rows = study.seen[bisect_right(starts, at) : bisect_left(starts, end + SECOND)]
    held = [row for row in rows if row.evaluation.holds]
    stops = Counter(gate.value for row in held if (gate := stopped_by(row)) is not None)
    entries = [trade for trade in study.trades.told if decided_at < trade.opened_at <= end]
    if min(end, study.end) <= max(at, study.session.open):
        return ["The record has nothing for the 10 minutes after it."], None
    unseen = _unseen(study, at, end)
    lines = [_ahead_heading(study, end), _signals_line(held, stops)]
    names = [f"{clock_text(trade.opened_at)} {trade.opened.contract}" for trade in entries]
    lines.append(f"  Entries: {', '.join(names) or 'none'}")
    if unseen >= SECOND:
        lines.append(f"  Not seen: {span_text(unseen)} (the program was not running, or the feed was blind)")
    best, worst = _extremes(study, at)
    if best is None or worst is None:
        lines.append(f"  {study.rules.symbol}: no prices")
    else:
        lines.append(
            f"  {study.rules.symbol}: at best {_move(best)}, at worst {_move(worst)}, from {fine_price(best.base)}"
        )
    return lines, {
        "until": utils.utc_iso(min(end, study.end)),
        "unseen_seconds": unseen // SECOND,
        "signals": len(held),
        "stopped": dict(stops),
        "entries": [trade.opened.id for trade in entries],
        "best_percent": None if best is None else best.percent,
        "worst_percent": None if worst is None else worst.percent,
    }


def _unseen(study: Study, start: int, end: int) -> int:
    """How long between two times nothing could be seen, µs. The feed is not blind while the program is down."""
    spans = [(span.start, span.end) for span in study.down] + [(span.start, span.end) for span in study.blind]
    return sum(max(0, min(until, end) - max(since, start)) for since, until in spans)


def _ahead_heading(study: Study, end: int) -> str:
    if end <= study.end:
        return f"The next 10 minutes, until {clock_text(end)}:"
    if study.end >= study.session.close:
        return f"What followed until the close, {clock_text(study.end)}:"
    return f"What followed until {clock_text(study.end)}, where the record ends so far:"


def _signals_line(held: Sequence[Seen], stops: Counter[str]) -> str:
    text = f"  Signals: {len(held)}"
    if held:
        text += f", the first at {clock_text(held[0].evaluation.start)}"
    if stops:
        text += " (" + ", ".join(f"{gate} {count}" for gate, count in stops.most_common()) + ")"
    return text


class PriceMove(NamedTuple):
    """The price at a second against that of an earlier one."""

    at: int
    price: float
    base: float

    @property
    def percent(self) -> float:
        """The change in percent of the earlier price."""
        return share(self.price - self.base, self.base)


def _move(move: PriceMove) -> str:
    return f"{signed_percent(move.percent, 2)} ({share_price(move.price)} at {clock_text(move.at)})"


def _extremes(study: Study, at: int) -> tuple[PriceMove | None, PriceMove | None]:
    """The highest and the lowest close of the next minutes, against the last one up to ``at``."""
    first = min(max(0, study.index_of(at) + 1), len(study.closes))
    base = next((close for close in reversed(study.closes[:first]) if close is not None), None)
    ahead = [
        (close, index)
        for index, close in enumerate(study.closes[first : first + AHEAD_S], first)
        if close is not None
    ]
    if base is None or not ahead:
        return None, None
    moves = [PriceMove(study.session.open + index * SECOND, close, base) for close, index in ahead]
    return max(moves, key=lambda move: move.price), min(moves, key=lambda move: move.price)
