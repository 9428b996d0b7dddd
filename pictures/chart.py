"""A chart on a canvas: New York time from left to right, a price from bottom to top."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import ceil, floor, log10

import msgspec

from events import SECOND
from pictures.canvas import Canvas, Colour, Point
from pictures.facts import Dark, DarkSpan
from utils import clock_text, minute_text

PAPER, INK, PALE, GRID = "#ffffff", "#1a1a1a", "#5c5c5c", "#e3e3e3"
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072b2", "#c97800", "#007a5a", "#c44e00", "#a8518a"
"""Okabe and Ito's colours, which people with any colour blindness can tell apart; darker, because they bear text."""

SHADES = {Dark.BLIND: "#e6dfd0", Dark.AWAY: "#d5d9de"}
"""What shades the spans of which nothing is known."""

SMALL = 22
"""The smallest text, pixels: 11 points on a phone that shows the picture at half its size."""

TICKS = 5
"""About so many prices at an axis."""

MINUTE_PX, SECOND_PX = 88, 122
"""Least distance of two times at an axis: ``10:40``, ``10:40:15``."""

TIME_STEPS_S = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
LABEL_PX = SMALL + 6
"""Least distance of two texts, one above the other."""

GAP_S = 30
"""A line is broken where nothing was known for longer."""

BIG, LITTLE = 12, 9
"""Half the width of a triangle, pixels: in a trade's picture, and in a day's."""

SPARE = 0.08
"""Part of a chart's height that stays free above and below its lines."""


class Box(msgspec.Struct, frozen=True):
    """Where a chart lies on its canvas, pixels."""

    left: float
    top: float
    right: float
    bottom: float


class Label(msgspec.Struct, frozen=True):
    """What a line means, written at the right end of it."""

    value: float
    text: str
    ink: Colour


class Chart:
    """A chart in ``box`` for the times [start, end] (µs) and for all ``values``; ``price_text`` words one of them."""

    def __init__(
        self,
        canvas: Canvas,
        box: Box,
        span: tuple[int, int],
        values: Iterable[float],
        price_text: Callable[[float], str],
    ) -> None:
        self._canvas, self._box = canvas, box
        self._start, self._end = span
        self._price_text = price_text
        known = list(values)
        least, most = min(known, default=0.0), max(known, default=1.0)
        spare = max((most - least) * SPARE, most * 0.0002, 1e-6)
        self._least, self._most = least - spare, most + spare

    def x(self, at: int) -> float:
        """Returns where a time (µs) lies."""
        box = self._box
        part = (min(max(at, self._start), self._end) - self._start) / max(1, self._end - self._start)
        return box.left + part * (box.right - box.left)

    def y(self, value: float) -> float:
        """Returns where a price lies."""
        box = self._box
        return box.bottom - (value - self._least) / (self._most - self._least) * (box.bottom - box.top)

    def darken(self, spans: Sequence[DarkSpan]) -> None:
        """Shades the spans of which nothing is known."""
        box = self._box
        for span in spans:
            if span.end <= self._start or span.start >= self._end:
                continue
            left, right = self.x(span.start), max(self.x(span.end), self.x(span.start) + 2)
            self._canvas.box((left, box.top), (right, box.bottom), SHADES[span.why])

    def axes(self, *, has_times: bool) -> None:
        """Draws the prices at the left, and the times below unless another chart with the same ones follows."""
        box, canvas = self._box, self._canvas
        for value in price_ticks(self._least, self._most):
            y = self.y(value)
            canvas.line([(box.left, y), (box.right, y)], GRID, 1)
            canvas.text((box.left - 10, y), self._price_text(value), SMALL, PALE, anchor="rm")
        step, times = time_ticks(self._start, self._end, box.right - box.left)
        for at in times:
            x = self.x(at)
            canvas.line([(x, box.top), (x, box.bottom)], GRID, 1)
            if has_times:
                text = minute_text(at) if step % 60 == 0 else clock_text(at)
                canvas.text((x, box.bottom + 30), text, SMALL, PALE, anchor="ms")
        canvas.line([(box.left, box.bottom), (box.right, box.bottom)], PALE, 1.5)

    def curve(
        self,
        at: Sequence[int],
        values: Sequence[float | None],
        ink: Colour,
        width: float,
        *,
        dash: tuple[float, float] | None = None,
        is_stepped: bool = False,
    ) -> None:
        """Draws a line through the values that are known and within the chart; broken where none was for over `GAP_S`."""
        longest = max(GAP_S * SECOND, 3 * max((b - a for a, b in pairwise(at)), default=0))
        run: list[Point] = []
        last = 0
        for moment, value in zip(at, values, strict=True):
            if value is None or value < self._least:
                continue
            if run and moment - last > longest:
                self._run(run, ink, width, dash)
                run = []
            if run and is_stepped:
                run.append((self.x(moment), run[-1][1]))
            run.append((self.x(moment), self.y(value)))
            last = moment
        self._run(run, ink, width, dash)

    def _run(
        self, run: list[Point], ink: Colour, width: float, dash: tuple[float, float] | None = None
    ) -> None:
        if len(run) == 1:  # a single second is a dot
            (x, y) = run[0]
            run = [(x - 1, y), (x + 1, y)]
        if run:
            self._canvas.line(run, ink, width, dash)

    def level(
        self,
        value: float,
        ink: Colour,
        *,
        start: int | None = None,
        end: int | None = None,
        dash: tuple[float, float] | None = (10, 7),
    ) -> None:
        """Draws a level line from ``start`` to ``end`` (µs), by default across the whole chart."""
        box = self._box
        left = box.left if start is None else self.x(start)
        right = box.right if end is None else self.x(end)
        self._canvas.line([(left, self.y(value)), (right, self.y(value))], ink, 2, dash)

    def upright(self, at: int, ink: Colour) -> None:
        """Draws a thin line at a time (µs), from top to bottom."""
        x = self.x(at)
        self._canvas.line([(x, self._box.top), (x, self._box.bottom)], ink, 1.5, (4, 5))

    def buy(self, at: int, value: float, size: float = BIG, name: str = "") -> None:
        """Draws a triangle that points up to the price at which it was bought, with a name below it."""
        x, y = self.x(at), self.y(value)
        up(self._canvas, (x, y), size)
        if name:
            below = min(y + 2 * size + SMALL, self._box.bottom - 6)
            self._canvas.text((x, below), name, SMALL, GREEN, anchor="ms")

    def sell(self, at: int, value: float, size: float = BIG) -> None:
        """Draws a triangle that points down to the price at which it was sold."""
        down(self._canvas, (self.x(at), self.y(value)), size)

    def labels(self, labels: Iterable[Label]) -> None:
        """Writes at the right what the lines mean, moved apart where they would touch."""
        box = self._box
        placed = sorted(((self.y(label.value), label) for label in labels), key=lambda pair: pair[0])
        ys = spread([y for y, _ in placed], LABEL_PX, box.top + SMALL / 2, box.bottom - SMALL / 2)
        for y, (_, label) in zip(ys, placed, strict=True):
            self._canvas.text((box.right + 10, y), label.text, SMALL, label.ink, anchor="lm")


def up(canvas: Canvas, tip: Point, size: float) -> None:
    """Draws a BUY's triangle below its tip, twice as wide as ``size``."""
    x, y = tip
    canvas.shape([(x, y), (x - size, y + 1.8 * size), (x + size, y + 1.8 * size)], GREEN, PAPER)


def down(canvas: Canvas, tip: Point, size: float) -> None:
    """Draws a SELL's triangle above its tip, twice as wide as ``size``."""
    x, y = tip
    canvas.shape([(x, y), (x - size, y - 1.8 * size), (x + size, y - 1.8 * size)], RED, PAPER)


def spread(places: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """Returns sorted places moved apart to at least ``least``, within [low, high] as far as there is room."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, low, moved[-1] + least if moved else low))
    limit = high
    for number in reversed(range(len(moved))):
        moved[number] = min(moved[number], limit)
        limit = moved[number] - least
    return moved


def price_ticks(least: float, most: float) -> list[float]:
    """Returns round prices between two, about `TICKS` of them."""
    rough = (most - least) / TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(power * part for part in (1, 2, 2.5, 5, 10) if power * part >= rough * 0.999)
    return [number * step for number in range(ceil(least / step), floor(most / step) + 1)]


def time_ticks(start: int, end: int, width: float) -> tuple[int, list[int]]:
    """Returns the step (s) of the times at an axis ``width`` pixels long, and round times between two (µs)."""
    seconds = (end - start) / SECOND
    step = TIME_STEPS_S[-1]
    for step in TIME_STEPS_S:
        if seconds / step * (SECOND_PX if step % 60 else MINUTE_PX) <= width:
            break
    first = -(-start // (step * SECOND))
    return step, [number * step * SECOND for number in range(first, end // (step * SECOND) + 1)]
