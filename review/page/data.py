"""What the charts of the page are drawn from: a `Study` as compact columns. Names no colour and draws nothing.

Times are seconds after the open. The page adds them to the open's New York time of day, so that no viewer's time zone
matters (no session holds a change of the clocks). Floats are of 32 bits: a price of $240.1234 keeps five decimals, a
second's volume every share. Columns are packed, so that a whole session's are a quarter of their size.
"""

from __future__ import annotations

import base64
import math
import sys
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import alerts
from events import OPTION_PRICE_UNIT, SECOND, Condition, DeclineReason, HoldReason
from review import funnel
from review.fills import Trade
from review.study import Seen, Study
from utils import clock_text, new_york, option_price, strike_text
from wording import CONDITIONS, short_name

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

ARRAYS = {"f4": "f", "u4": "I", "u2": "H", "u1": "B"}
MILLISECOND = SECOND // 1_000


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


def column(kind: str, values: Iterable[float | None]) -> dict[str, str]:
    """Numbers as base64 of zlib's little-endian ``f4``, ``u4``, ``u2`` or ``u1``; None becomes NaN. Raises OverflowError."""
    packed = array(ARRAYS[kind], [math.nan if value is None else value for value in values])
    if sys.byteorder == "big":
        packed.byteswap()
    return {"type": kind, "bytes": base64.b64encode(zlib.compress(packed.tobytes(), 9)).decode("ascii")}


def seconds_after_open(study: Study, at: int) -> float:
    """A time (µs of UTC) as seconds after the session's open."""
    return (at - study.session.open) / SECOND


def evaluated_second(study: Study, at: int) -> int:
    """The second (µs, its start) whose bar decided what was decided at a time: it had to arrive first."""
    place = bisect_right(study.seen, at, key=lambda seen: seen.now)
    return study.seen[place - 1].evaluation.start if place else at


def payload(study: Study, misses: Sequence[funnel.Miss], start: float | None = None) -> dict[str, Any]:
    """Everything that the page's script needs, as JSON can hold it. ``start``: the second that is shown at first."""
    opening, rules = study.session.open, study.rules
    gates = list(dict.fromkeys([Obstacle(None, None), *map(gate_of, study.seen)]))
    markers = _markers(study, misses)
    return {
        "symbol": rules.symbol,
        "opening": seconds_of_day(opening),
        "seconds": (study.session.close - opening) // SECOND,
        "start": _first_look(study, markers) if start is None else start,
        "closeup": CLOSEUP_S,
        "isClose": start is not None,
        "seen": _seen_part(study),
        "surge": list(Condition).index(Condition.VOLUME_SURGE),
        "conditions": [
            {
                "name": condition.value,
                "label": short_name(condition, rules.benchmark),
                "limit": CONDITIONS[condition].limit(rules),
            }
            for condition in Condition
        ],
        "gates": [{"name": gate.name, "colour": f"gate-{gate.kind}"} for gate in gates],
        "rows": _rows(study, gates),
        "bars": _bars(study),
        "blind": [_span(study, spell.start, spell.end, spell.cause) for spell in study.blind],
        "down": [_span(study, spell.start, spell.end, spell.cause.value) for spell in study.down],
        "held": [_span(study, spell.start, spell.end, spell.reason.value) for spell in study.held],
        **markers,
        "trades": [path for trade in study.trades.all if (path := _trade(study, trade)) is not None],
    }


def gate_of(seen: Seen) -> Obstacle:
    """What stood in the way at an evaluation: its gate, else what a contract was declined for."""
    evaluation = seen.evaluation
    return Obstacle(
        funnel.stopped_by(seen), evaluation.hold if evaluation.gate is DeclineReason.HELD else None
    )


def _rows(study: Study, gates: Sequence[Obstacle]) -> dict[str, dict[str, str]]:
    evaluations = [seen.evaluation for seen in study.seen]
    places = {gate: place for place, gate in enumerate(gates)}
    starts = [study.index_of(evaluation.start) for evaluation in evaluations]
    return {
        "steps": column("u2", steps(starts)),
        "vwap_rising_s": column("u2", (evaluation.vwap_rising_s for evaluation in evaluations)),
        "passes": column("u1", (_bits(passed is True for passed in item.passes) for item in evaluations)),
        "counts": column("u1", (_bits(passed is not None for passed in item.passes) for item in evaluations)),
        "gate": column("u1", (places[gate_of(seen)] for seen in study.seen)),
        "lag": column("f4", (_rounded(_lag(item.roc5, item.benchmark_roc5), 2) for item in evaluations)),
        **{
            name: column("f4", (_rounded(getattr(item, name), digits) for item in evaluations))
            for name, digits in DIGITS.items()
        },
    }


DIGITS = {
    "price": 4,
    "vwap_1m": 3,
    "vwap_5m": 3,
    "vwap_5m_change": 4,
    "volume": 0,
    "volume_p95": 0,
    "momentum": 5,
    "relative_volume": 2,
}
"""The values of an evaluation that the page shows, and with how many decimals it does: more would only take room."""


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def steps(seconds: Iterable[int]) -> Iterator[int]:
    """Ascending seconds as the steps between them, which nearly all are 1 and take no room."""
    before = 0
    for second in seconds:
        yield second - before
        before = second


def _bars(study: Study) -> dict[str, dict[str, str]]:
    """The bars as finally known, and after each the volume-weighted average of the session up to it."""
    known = [(second, bar) for second, bar in enumerate(study.bars) if bar is not None]
    worth = accumulate(bar.vwap * bar.volume for _, bar in known)
    shares = accumulate(bar.volume for _, bar in known)
    return {
        "steps": column("u2", steps(second for second, _ in known)),
        **{
            name: column("f4", (getattr(bar, name) for _, bar in known))
            for name in ("open", "high", "low", "close")
        },
        "day": column(
            "f4",
            (round(paid / count, 3) if count else None for paid, count in zip(worth, shares, strict=True)),
        ),
    }


def seconds_of_day(at: int) -> int:
    """New York's time of day, in seconds after midnight."""
    moment = new_york(at)
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _bits(flags: Iterable[bool]) -> int:
    return sum(flag << place for place, flag in enumerate(flags))


def _lag(own: float | None, benchmark: float | None) -> float | None:
    return None if own is None or benchmark is None else benchmark - own


def _span(study: Study, start: int, end: int, cause: str) -> dict[str, Any]:
    return {"from": seconds_after_open(study, start), "to": seconds_after_open(study, end), "cause": cause}


def _markers(study: Study, misses: Sequence[funnel.Miss]) -> dict[str, list[dict[str, Any]]]:
    """Entries, exits and near misses: where they stand in the price's chart, and what is said of them."""
    found: dict[str, list[dict[str, Any]]] = {"entries": [], "exits": [], "misses": []}
    for miss in misses:
        evaluation = miss.nearest.evaluation
        found["misses"].append(
            _marker(study, evaluation.start, evaluation.price, f"○ Near miss: {miss.text}")
        )
    for trade in study.trades.told:
        opened, closed, at = trade.opened, trade.closed, trade.opened_at
        text = f"▲ BUY {strike_text(opened.strike)}c at {option_price(opened.entry)} #{opened.id}"
        found["entries"].append(_marker(study, evaluated_second(study, at), opened.price, text, said=at))
        if closed is not None and trade.closed_at is not None:
            text = f"▼ SELL at {option_price(closed.mark)}: {alerts.reason_text(closed, study.rules_at(trade.closed_at))} #{closed.id}"
            found["exits"].append(_marker(study, trade.closed_at, closed.price, text))
    return found


def _marker(study: Study, at: int, price: float | None, text: str, said: int | None = None) -> dict[str, Any]:
    """A mark at a time; ``said`` is the time that its text names."""
    named = clock_text(at if said is None else said)
    return {"second": seconds_after_open(study, at), "price": price, "text": f"{named} {text}"}


def _first_look(study: Study, markers: dict[str, list[dict[str, Any]]]) -> float:
    """The second that is shown at first: the first entry, else the nearest miss, else the last evaluation."""
    for name in ("entries", "misses"):
        for marker in markers[name]:
            return float(marker["second"])
    return seconds_after_open(study, study.seen[-1].evaluation.start) if study.seen else 0.0


def _seen_part(study: Study) -> list[float] | None:
    """From when to when (seconds after the open) something was seen, if that is less than half of the session."""
    if not study.seen:
        return None
    first, last = (seconds_after_open(study, row.evaluation.start) for row in (study.seen[0], study.seen[-1]))
    whole = (study.session.close - study.session.open) / SECOND
    margin = (last - first) * SEEN_MARGIN
    return [max(0.0, first - margin), min(whole, last + margin)] if 2 * (last - first) < whole else None


SEEN_MARGIN = 0.03
"""How much of what was seen is left free at either edge of its chart."""


def _trade(study: Study, trade: Trade) -> dict[str, Any] | None:
    """A position's way; None when nothing is known of it."""
    opened, closed = trade.opened, trade.closed
    points = study.marks.get(opened.id, [])
    if not points:
        return None
    ended = trade.closed_at or study.withdrawn_at.get(opened.id)
    begin, end = trade.opened_at, ended or max(points[-1].now, study.until)
    points = [*points, points[-1]._replace(now=end)]  # points are kept where something moved
    return {
        "id": opened.id,
        "from": seconds_after_open(study, begin),
        "to": seconds_after_open(study, end),
        "entry": opened.entry / OPTION_PRICE_UNIT,
        "stop": opened.stop / OPTION_PRICE_UNIT,
        "exit": None if closed is None else _dollars(closed.mark),
        "path": {
            "millisecond": column("u4", (max(0, point.now - begin) // MILLISECOND for point in points)),
            **{
                name: column("f4", (_dollars(getattr(point, part)) for point in points))
                for name, part in PATH.items()
            },
        },
    }


PATH = {"mark": "mark", "peak": "peak", "hard": "hard_level", "tight": "vwap_level"}
"""The lines of a position's chart, and the parts of a `MarkPoint` that they show."""


def _dollars(value: int | None) -> float | None:
    return None if value is None else value / OPTION_PRICE_UNIT
