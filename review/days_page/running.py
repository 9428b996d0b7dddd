"""The running sum as a step line: SVG that stretches with the page while its text keeps its size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date
from html import escape
from itertools import accumulate
from typing import NamedTuple

from followed import dollars_text
from review.days_page.parts import Told, amount, day_title, key
from review.page.parts import note, section
from utils import plural_s

HEIGHT, TOP, BOTTOM = 260, 12, 30
"""Of the chart and of what lies above and below its plot, pixels."""

AXIS_WIDTH = 64
"""Of the amounts beside the plot, pixels: ``−$12,500`` fits."""

DATES = 5
"""Dates below the plot: as many as stand side by side on a phone."""

EDGE = 0.08
"""A date this near an end of the plot, in shares of its width, is set against that end, so that it stays inside."""

OVERSHOOT = 0.08
"""How far a line may lie outside the grid, in shares of an interval: a cent below zero is worth no row of its own."""

STEPS = (1, 2, 2.5, 5, 10)
INTERVALS = 5
"""At most so many between the lines of the grid."""


class Scale(NamedTuple):
    """Where an amount stands in the plot."""

    low: float
    high: float

    def y(self, dollars: float) -> float:
        """Returns pixels from the top."""
        return TOP + (self.high - dollars) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)


def running_section(told: Told) -> str:
    """Returns the sums of all sessions up to each one, at the owner's delay and at none."""
    delays = list(dict.fromkeys((told.own_s, 0)))
    lines = {delay: list(accumulate(told.sum([day], delay).dollars for day in told.days)) for delay in delays}
    totals = [told.sum(told.days, delay) for delay in delays]
    if not any(total.trades for total in totals):
        return section("running", "The running total", note("No trade that could be followed."))
    items = [
        (look, f"{_delay_text(total.delay_s)}: {_total_text(total.dollars, total.trades)}")
        for look, total in zip(("own", "zero"), totals, strict=False)
    ]
    words = "; ".join(text for _, text in items)
    return section(
        "running",
        "The running total",
        note("Dollars of one contract a trade, after fees, session by session."),
        key(*((f"rule {look}", text) for look, text in items)),
        f'<figure class="running" role="img" aria-label="{escape(words)}">{_chart(told, lines)}</figure>',
    )


def _delay_text(delay_s: int) -> str:
    return f"{delay_s} s after each push" if delay_s else "0 s, at the pushes' own prices"


def _total_text(dollars: float, count: int) -> str:
    return f"{dollars_text(dollars, 0)}, {count} trade{plural_s(count)}" if count else "no trade"


def _chart(told: Told, lines: dict[int, list[float]]) -> str:
    values = [0.0, *(value for line in lines.values() for value in line)]
    marks = ticks(min(values), max(values))
    scale = Scale(marks[0], marks[-1])
    labels = "".join(
        f'<text x="{AXIS_WIDTH - 8}" y="{scale.y(mark) + 4:.1f}" text-anchor="end">{_mark_text(mark, marks)}</text>'
        for mark in marks
    )
    grid = "".join(
        f'<line class="{"zero-line" if mark == 0 else "grid"}" x1="0" x2="100%" y1="{scale.y(mark):.1f}" y2="{scale.y(mark):.1f}"/>'
        for mark in marks
    )
    # The owner's line is drawn last, over the other.
    paths = "".join(
        f'<path class="{"own" if delay == told.own_s else "zero"}" d="{_steps(line, scale)}"/>'
        for delay, line in reversed(lines.items())
    )
    return (
        f'<svg class="amounts" width="{AXIS_WIDTH}" height="{HEIGHT}">{labels}</svg>'
        f'<svg class="plot" width="100%" height="{HEIGHT}">{grid}'
        f'<svg x="0" y="0" width="100%" height="{HEIGHT}" viewBox="0 0 {len(told.days)} {HEIGHT}" '
        f'preserveAspectRatio="none">{paths}</svg>'
        f"{''.join(_dates([day.date for day in told.days]))}{''.join(_readings(told, lines))}</svg>"
    )


def _steps(line: Sequence[float], scale: Scale) -> str:
    """Returns a path that starts at zero and steps at each session's beginning, a unit wide each."""
    steps = (f"V{scale.y(value):.1f}H{number}" for number, value in enumerate(line, start=1))
    return f"M0 {scale.y(0):.1f}{''.join(steps)}"


def _mark_text(mark: float, marks: Sequence[float]) -> str:
    if mark == 0:
        return "$0"
    return dollars_text(mark, 0 if all(other == round(other) for other in marks) else 2)


def _dates(days: Sequence[str]) -> Iterator[str]:
    """Yields the dates below the plot, the first and the last among them."""
    count = min(DATES, len(days))
    chosen = [round(place * (len(days) - 1) / max(1, count - 1)) for place in range(count)]
    years = len({day[:4] for day in days}) > 1
    for place in chosen:
        day = date.fromisoformat(days[place])
        share = (place + 0.5) / len(days)
        anchor = "start" if share < EDGE else "end" if share > 1 - EDGE else "middle"
        at = {"start": 0.0, "end": 1.0}.get(anchor, share)
        text = f"{day.day} {day:%b}" + (f" ’{day:%y}" if years else "")
        yield f'<text x="{at:.2%}" y="{HEIGHT - 8}" text-anchor="{anchor}">{text}</text>'


def _readings(told: Told, lines: dict[int, list[float]]) -> Iterator[str]:
    """Yields what a pointer reads that rests on a session."""
    width = 1 / len(told.days)
    for place, day in enumerate(told.days):
        sums = ", ".join(f"{amount(line[place])} at {delay} s" for delay, line in lines.items())
        text = f"{day_title(told, day)}. So far: {sums}"
        yield (
            f'<rect class="reading-area" x="{place * width:.3%}" y="0" width="{width:.3%}" height="{HEIGHT}">'
            f"<title>{escape(text)}</title></rect>"
        )


def ticks(low: float, high: float) -> list[float]:
    """Returns a handful of round amounts, evenly spaced, from about ``low`` to about ``high``; zero if it lies between."""
    span = max(high - low, 1.0)
    rough = span / INTERVALS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(found * power for found in STEPS if found * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + OVERSHOOT), math.ceil(high / step - OVERSHOOT)
    return [number * step for number in range(first, max(last, first + 1) + 1)]
