"""A session's seconds as columns, and the same at coarser levels, of which the page shows the one that suits its view.

A level is for a number of seconds: each group of so many is drawn as one item. Lines pass through a group's lowest and
highest value and sticks end at its highest, so that nothing is hidden from far away; a strip's cell is the darker the more
of its seconds met a condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from events import SECOND, Bar, Condition, Evaluation
from review.page import columns
from review.page.colours import FIRST_GATE, GATES, SHADES, SIGNAL
from review.page.columns import Column
from review.page.data import SECOND_MS, Obstacle, gate_of, time_of
from review.study import Study

GAP_S = 30
"""A line is not drawn across a longer silence."""

LINES_S = (1, 4, 16, 64)
CANDLES_S = (1, 5, 15, 60)
STRIP_S = (1, 2, 4, 8, 16, 32, 64, 128)

VALUES = {
    "price": 4,
    "vwap_1m": 3,
    "vwap_5m": 3,
    "vwap_5m_change": 4,
    "vwap_rising_s": 0,
    "volume": 0,
    "volume_p95": 0,
    "momentum": 5,
    "relative_volume": 2,
}
"""The values of an evaluation that the page shows, and with how many decimals it does: more would only take room."""

LINES = {"close": 4, "day": 3, "vwap_1m": 3, "vwap_5m": 3, "volume_p95": 0}
"""The columns that are drawn as lines, and their decimals."""

CANDLE_FILL = 0.7
"""How much of its time a candle is wide."""

Packed = dict[str, Any]


class Levels(NamedTuple):
    """Levels as JSON can hold them, each kind from the finest to the coarsest.

    The finest lines hold every value of a second, too; ``gates`` names what their column ``gate`` counts.
    """

    lines: list[Packed]
    candles: list[Packed]
    strip: list[Packed]
    gates: list[str]

    def apart(self, most: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns what has at most so many items, and the coarsest levels and the gates' names; then the finer levels."""
        coarse, finer = {}, {}
        for name in ("lines", "candles", "strip"):
            found: list[Packed] = getattr(self, name)
            few = next((place for place, level in enumerate(found) if _items(level) <= most), len(found) - 1)
            finer[name], coarse[name] = found[:few], found[few:]
        return {**coarse, "gates": self.gates}, finer


def _items(level: Packed) -> int:
    return len(level["columns"]["x"]["steps"])


def levels(study: Study) -> Levels:
    """The levels of lines, candles and strip."""
    count = known_seconds(study)
    evaluations: list[Evaluation | None] = [None] * count
    gates: list[Obstacle | None] = [None] * count
    for seen in study.seen:
        second = study.index_of(seen.evaluation.start)
        evaluations[second], gates[second] = seen.evaluation, gate_of(seen)
    bars = [*study.bars, *[None] * count][:count]
    opening = int(time_of(study, study.session.open))
    names = list(dict.fromkeys(gate for gate in gates if gate is not None))
    numbers = {gate: number for number, gate in enumerate(names)}
    lines = _lines(opening, evaluations, bars)
    lines[0]["columns"]["gate"] = columns.packed(None if gate is None else numbers[gate] for gate in gates)
    candles = [_candles(opening, bars, seconds) for seconds in CANDLES_S]
    return Levels(lines, candles, _strip(opening, evaluations, gates), [gate.name for gate in names])


def known_seconds(study: Study) -> int:
    """How many seconds of the session columns hold: a line's reach beyond the last that has a bar, and at least one."""
    newest = next((second for second in reversed(range(len(study.bars))) if study.bars[second]), 0)
    if study.seen:
        newest = max(newest, *(study.index_of(seen.evaluation.start) for seen in study.seen))
    return min(newest + 1 + GAP_S, (study.session.close - study.session.open) // SECOND)


def _level(seconds: int, first: float, step: float, found: Mapping[str, tuple[Column, int]]) -> Packed:
    """A level whose items stand at times (ms) from ``first`` on. Columns come with their decimals."""
    longest = max(len(column) for column, _ in found.values())
    times: Column = [first + step * place for place in range(longest)]
    packed = {name: columns.packed(column, digits) for name, (column, digits) in found.items()}
    return {"seconds": seconds, "columns": {"x": columns.packed(times), **packed}}


# --- Lines and sticks --------------------------------------------------------------------------------


def _lines(
    opening: int, evaluations: Sequence[Evaluation | None], bars: Sequence[Bar | None]
) -> list[Packed]:
    is_seen = [evaluation is not None for evaluation in evaluations]
    values: dict[str, Column] = {
        name: [None if item is None else getattr(item, name) for item in evaluations] for name in VALUES
    }
    surge = list(Condition).index(Condition.VOLUME_SURGE)
    values["surge"] = [
        item.volume if item is not None and item.passes[surge] else None for item in evaluations
    ]
    values["lag"] = [_lag(item) for item in evaluations]
    for name in LINES.keys() & VALUES.keys():
        values[name] = columns.carried(values[name], is_seen, GAP_S)
    is_traded = [bar is not None for bar in bars]
    values["close"] = columns.carried([None if bar is None else bar.close for bar in bars], is_traded, GAP_S)
    values["day"] = columns.carried(_day_average(bars), is_traded, GAP_S)
    digits = {**VALUES, **LINES, "surge": 0, "lag": 2}
    finest = {name: (column, digits[name]) for name, column in values.items()}
    found = [_level(LINES_S[0], opening, SECOND_MS, finest)]
    for seconds in LINES_S[1:]:
        drawn = {
            name: (columns.grouped(values[name], seconds, columns.extremes), LINES[name]) for name in LINES
        } | {name: (columns.grouped(values[name], seconds, columns.peak), 0) for name in ("volume", "surge")}
        found.append(_level(seconds, opening, seconds * SECOND_MS / 2, drawn))
    return found


def _lag(item: Evaluation | None) -> float | None:
    if item is None or item.roc5 is None or item.benchmark_roc5 is None:
        return None
    return item.benchmark_roc5 - item.roc5


def _day_average(bars: Sequence[Bar | None]) -> Column:
    """The volume-weighted average of the session up to each second."""
    worth = accumulate(0.0 if bar is None else bar.vwap * bar.volume for bar in bars)
    shares = accumulate(0.0 if bar is None else bar.volume for bar in bars)
    return [paid / count if count else None for paid, count in zip(worth, shares, strict=True)]


# --- Candles -----------------------------------------------------------------------------------------


def _candles(opening: int, bars: Sequence[Bar | None], seconds: int) -> Packed:
    def part(name: str) -> Column:
        return [None if bar is None else getattr(bar, name) for bar in bars]

    opens = columns.grouped(part("open"), seconds, columns.first)
    closes = columns.grouped(part("close"), seconds, columns.last)
    falls = [
        float(start is not None and end is not None and end < start)
        for start, end in zip(opens, closes, strict=True)
    ]
    width = seconds * SECOND_MS
    found: dict[str, tuple[Column, int]] = {
        "open": (opens, 4),
        "high": (columns.grouped(part("high"), seconds, columns.highest), 4),
        "low": (columns.grouped(part("low"), seconds, columns.lowest), 4),
        "close": (closes, 4),
        "falls": ([*falls], 0),
        "width": ([width * CANDLE_FILL] * len(opens), 0),
    }
    return _level(seconds, opening + width / 2, width, found)


# --- The strip ---------------------------------------------------------------------------------------

UNSEEN, UNMET, MET = range(3)
"""A condition in a second: not evaluated or left out, not met, met."""


def _strip(
    opening: int, evaluations: Sequence[Evaluation | None], gates: Sequence[Obstacle | None]
) -> list[Packed]:
    """Rows of places in the palette (`review.page.colours`)."""
    conditions = {
        f"is_{condition}": bytes(_state(item, place) for item in evaluations)
        for place, condition in enumerate(Condition)
    }
    signals = bytes(SIGNAL * (item is not None and item.holds) for item in evaluations)
    kinds = bytes(0 if gate is None else FIRST_GATE + GATES.index(gate.kind) for gate in gates)
    found = []
    for seconds in STRIP_S:
        places = range(0, len(evaluations), seconds)
        rows: dict[str, Column] = {
            name: [_shade(states[first : first + seconds]) for first in places]
            for name, states in conditions.items()
        }
        rows["signals"] = [max(signals[first : first + seconds]) for first in places]
        rows["gates"] = [_most(kinds[first : first + seconds]) for first in places]
        found.append(
            _level(seconds, opening, seconds * SECOND_MS, {name: (row, 0) for name, row in rows.items()})
        )
    return found


def _state(item: Evaluation | None, place: int) -> int:
    passed = None if item is None else item.passes[place]
    return UNSEEN if passed is None else MET if passed else UNMET


def _shade(states: bytes) -> int:
    """The palette's place for a condition: the first is nothing, then the more seconds met it, the further."""
    met = states.count(MET)
    counted = met + states.count(UNMET)
    return 1 + round(met / counted * (SHADES - 1)) if counted else 0


def _most(kinds: bytes) -> int:
    """The kind that most of the seconds have that have one."""
    known = kinds.replace(b"\0", b"")
    return max(set(known), key=known.count) if known else 0
