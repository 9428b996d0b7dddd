"""What the charts of the page show of a `Study`. Names no colour and draws nothing.

Times are milliseconds of New York's day, which the charts print as if they were UTC, so that no viewer's time zone matters
(no session holds a change of the clocks). Links in the tables count seconds after the open.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import alerts
from events import OPTION_PRICE_UNIT, SECOND, DeclineReason, HoldReason
from review import funnel
from review.fills import Trade, change_percent
from review.page.columns import Column, packed
from review.study import Seen, Study
from utils import clock_text, new_york, option_price, strike_text

GATE_KINDS = {
    "time": (DeclineReason.SESSION_CLOSED, DeclineReason.WARM_UP, DeclineReason.PAST_CUTOFF),
    "feed": (
        DeclineReason.HELD,
        DeclineReason.BLIND,
        DeclineReason.NOT_COVERED,
        DeclineReason.LATE_BAR,
    ),
    "position": (DeclineReason.POSITION_OPEN, DeclineReason.COOLDOWN, DeclineReason.MAX_ENTRIES),
    "contract": (
        DeclineReason.CHAIN_TOO_OLD,
        DeclineReason.NO_CONTRACT,
        DeclineReason.QUOTE_TOO_OLD,
        DeclineReason.STOP_TOO_NEAR,
    ),
}
"""Gates that share a colour: the hour, the feed and the machine, a position, the contract."""

KIND_OF = {reason: kind for kind, reasons in GATE_KINDS.items() for reason in reasons}

CLOSEUP_S = 600
"""How much of the session a link in a table shows."""

SEEN_MARGIN = 0.03
"""How much of what was seen is left free at either edge of its chart."""

SECOND_MS = 1_000
MILLISECOND = SECOND // SECOND_MS


class Obstacle(NamedTuple):
    """What stood in the way at an evaluation; neither, when nothing did."""

    reason: DeclineReason | None
    hold: HoldReason | None

    @property
    def name(self) -> str:
        """In words, a hold by its name."""
        if self.reason is None:
            return "open"
        return f"{self.reason}: {self.hold}" if self.hold is not None else self.reason.value

    @property
    def kind(self) -> str:
        """Which colour it has."""
        return "open" if self.reason is None else KIND_OF[self.reason]


def gate_of(seen: Seen) -> Obstacle:
    """What stood in the way at an evaluation: its gate, else what a contract was declined for."""
    evaluation = seen.evaluation
    return Obstacle(
        funnel.stopped_by(seen), evaluation.hold if evaluation.gate is DeclineReason.HELD else None
    )


class Mark(NamedTuple):
    """Something that happened at a time, at a price of the symbol (None without one), and what is said of it."""

    at: float
    price: float | None
    text: str


class Span(NamedTuple):
    """From one time to another there were no entries, and why."""

    start: float
    end: float
    text: str


class Path(NamedTuple):
    """A position's way: when, what its option was worth and the levels that sell it, in dollars a share."""

    id: str
    columns: dict[str, Column]
    entry: float
    exit: float | None

    @property
    def packed(self) -> dict[str, Any]:
        """Its columns as JSON can hold them."""
        return {name: packed(column, PATH_DIGITS.get(name, 4)) for name, column in self.columns.items()}


class Shown(NamedTuple):
    """What the page's charts show besides columns: the session and the part that is seen first, marks, spans, positions."""

    symbol: str
    opening: int
    closing: int
    start: float
    view: tuple[float, float]
    marks: dict[str, list[Mark]]
    spans: dict[str, list[Span]]
    paths: list[Path]

    @property
    def notes(self) -> list[dict[str, object]]:
        """What is said where something happened."""
        marks = [(mark.at, mark.at, mark.text) for part in self.marks.values() for mark in part]
        spans = [tuple(span) for part in self.spans.values() for span in part]
        return [{"from": start, "to": end, "text": text} for start, end, text in marks + spans]


def shown(study: Study, misses: Sequence[funnel.Miss], at: int | None = None) -> Shown:
    """What the charts show of a study, at first the second that starts ``at`` (µs) if one is given."""
    marks = _marks(study, misses)
    start = _first_look(study, marks) if at is None else time_of(study, at)
    opening, closing = (time_of(study, end) for end in (study.session.open, study.session.close))
    paths = (_path(study, trade) for trade in study.trades.all)
    return Shown(
        study.rules.symbol,
        int(opening),
        int(closing),
        start,
        _view(study, opening, closing) if at is None else _around(start, opening, closing),
        marks,
        _spans(study),
        [path for path in paths if path is not None],
    )


def seconds_after_open(study: Study, at: int) -> float:
    """A time (µs of UTC) as seconds after the session's open."""
    return (at - study.session.open) / SECOND


def time_of(study: Study, at: int) -> float:
    """A time (µs of UTC) as milliseconds of New York's day."""
    opening = new_york(study.session.open)
    second = opening.hour * 3600 + opening.minute * 60 + opening.second
    return second * SECOND_MS + (at - study.session.open) / MILLISECOND


def evaluated_second(study: Study, at: int) -> int:
    """The second (µs, its start) whose bar decided what was decided at a time: it had to arrive first."""
    place = bisect_right(study.seen, at, key=lambda seen: seen.now)
    return study.seen[place - 1].evaluation.start if place else at


# --- What is seen first ------------------------------------------------------------------------------


def _first_look(study: Study, marks: dict[str, list[Mark]]) -> float:
    """The first entry, else the nearest miss, else the last evaluation."""
    for name in ("entry", "miss"):
        for mark in marks[name]:
            return mark.at
    return time_of(study, study.seen[-1].evaluation.start if study.seen else study.session.open)


def _view(study: Study, opening: float, closing: float) -> tuple[float, float]:
    """The part in which something was seen, if it is less than half of the session; else all of it."""
    if study.seen:
        first, last = (time_of(study, row.evaluation.start) for row in (study.seen[0], study.seen[-1]))
        margin = (last - first) * SEEN_MARGIN
        if 2 * (last - first) < closing - opening:
            return max(opening, first - margin), min(closing, last + margin)
    return opening, closing


def _around(at: float, opening: float, closing: float) -> tuple[float, float]:
    span = CLOSEUP_S * SECOND_MS
    begin = min(max(at - span / 2, opening), closing - span)
    return begin, begin + span


# --- Marks, spans, positions -------------------------------------------------------------------------


def _marks(study: Study, misses: Sequence[funnel.Miss]) -> dict[str, list[Mark]]:
    """Entries, exits and near misses: where they stand in the price's chart, and what is said of them."""
    found: dict[str, list[Mark]] = {"entry": [], "exit": [], "miss": []}
    for miss in misses:
        evaluation = miss.nearest.evaluation
        found["miss"].append(_mark(study, evaluation.start, evaluation.price, f"○ Near miss: {miss.text}"))
    for trade in study.trades.told:
        opened, closed, at = trade.opened, trade.closed, trade.opened_at
        text = f"▲ BUY {strike_text(opened.strike)}c at {option_price(opened.entry)} #{opened.id}"
        found["entry"].append(_mark(study, evaluated_second(study, at), opened.price, text, said=at))
        if closed is not None and trade.closed_at is not None:
            reason = alerts.reason_text(closed, study.rules_at(trade.closed_at))
            text = f"▼ SELL at {option_price(closed.mark)}: {reason} #{closed.id}"
            found["exit"].append(_mark(study, trade.closed_at, closed.price, text))
    return found


def _mark(study: Study, at: int, price: float | None, text: str, said: int | None = None) -> Mark:
    """A mark at a time; ``said`` is the time that its text names."""
    return Mark(time_of(study, at), price, f"{clock_text(at if said is None else said)} {text}")


def _spans(study: Study) -> dict[str, list[Span]]:
    """When the feed was blind, entries were held, the program was not running."""
    kinds = {
        "held": ("Entries held", [(span.start, span.end, span.reason.value) for span in study.held]),
        "blind": ("Blind", [(span.start, span.end, span.cause) for span in study.blind]),
        "down": ("Not running", [(span.start, span.end, span.cause.value) for span in study.down]),
    }
    return {
        name: [
            Span(
                time_of(study, start),
                time_of(study, end),
                f"{words} {clock_text(start)}–{clock_text(end)}: {cause}",
            )
            for start, end, cause in spans
        ]
        for name, (words, spans) in kinds.items()
    }


PATH = {"mark": "mark", "peak": "peak", "hard": "hard_level", "tight": "vwap_level"}
"""The lines of a position's chart, and the parts of a `MarkPoint` that they show."""

PATH_DIGITS = {"x": 0, "change": 1}
"""With how many decimals a column of a position is kept that is not of prices."""


def _path(study: Study, trade: Trade) -> Path | None:
    """A position's way; None when nothing is known of it."""
    opened, closed = trade.opened, trade.closed
    points = study.marks.get(opened.id, [])
    if not points:
        return None
    ended = trade.closed_at or study.withdrawn_at.get(opened.id)
    begin, end = trade.opened_at, ended or max(points[-1].now, study.until)
    points = [*points, points[-1]._replace(now=end)]  # points are kept where something moved
    columns: dict[str, Column] = {
        "x": [time_of(study, max(begin, point.now)) for point in points],
        "change": [change_percent(point.mark, opened.entry) for point in points],
        "stop": [opened.stop / OPTION_PRICE_UNIT] * len(points),
        **{name: [_dollars(getattr(point, part)) for point in points] for name, part in PATH.items()},
    }
    return Path(
        opened.id,
        columns,
        opened.entry / OPTION_PRICE_UNIT,
        None if closed is None else _dollars(closed.mark),
    )


def _dollars(value: int | None) -> float | None:
    return None if value is None else value / OPTION_PRICE_UNIT
