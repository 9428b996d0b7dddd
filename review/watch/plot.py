"""Draws the price and both VWAPs of the last minutes with braille dots, two by four in a cell. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from events import SECOND
from review.watch.frame import PLOT_S, Mood
from signals import Traded
from utils import minute_text

BLANK = 0x2800
"""The braille pattern without dots; each dot is a bit above it."""

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot, by its row and column in the cell."""

ROWS, COLUMNS = len(DOTS), len(DOTS[0])

LEAST_SPAN = 0.02
"""The least span of prices (dollars) that the height shows: a flat tape is drawn flat."""

TICK_S = 300
"""Spacing (s) of the times below the plot."""

SERIES: tuple[tuple[Mood, str, int, int], ...] = (
    (Mood.LONG, "vwap_5m", 2, 4),
    (Mood.SHORT, "vwap_1m", 3, 4),
    (Mood.PRICE, "price", 1, 1),
)
"""What is drawn, the last on top: the field, and how many of so many dot columns: lines differ without colours."""

LEGEND: tuple[tuple[Mood, str, str], ...] = (
    (Mood.PRICE, "⣀⣀", "price"),
    (Mood.SHORT, "⣀⡀", "VWAP 1 min"),
    (Mood.LONG, "⡀⡀", "VWAP 5 min"),
)
"""How each looks, and its name."""

Spans = list[tuple[str, Mood]]


def plot(points: Sequence[Traded], at: int, width: int, height: int) -> list[Spans]:
    """Returns ``height`` lines of ``width`` cells: the last `PLOT_S` before ``at`` (µs), with prices at the right edge
    and times in the last line."""
    values = [value for point in points for _, name, _, _ in SERIES if (value := getattr(point, name))]
    if not values:
        empty = "no second with a bar in the last 20 minutes"
        return [
            [(empty.center(width) if row == height // 2 else " " * width, Mood.QUIET)]
            for row in range(height)
        ]
    middle, span = (max(values) + min(values)) / 2, max(max(values) - min(values), LEAST_SPAN)
    low, high = middle - span / 2, middle + span / 2
    labels = [f" ${high:,.2f}", f" ${low:,.2f}"]
    room = max(map(len, labels))
    drawing = _Drawing(width - room, height - 1, at, low, high)
    for mood, name, drawn, of in SERIES:
        drawing.draw(points, mood, name, drawn, of)
    lines = drawing.lines()
    for row, line in enumerate(lines):
        label = labels[0] if row == 0 else labels[1] if row == len(lines) - 1 else ""
        line.append((label.ljust(room), Mood.QUIET))
    return [*lines, [(_times(at, width - room).ljust(width), Mood.QUIET)]]


def _times(at: int, width: int) -> str:
    """Returns the times below the plot, each under its column."""
    text = [" "] * width
    left, tick = at - PLOT_S * SECOND, TICK_S * SECOND
    for moment in range(-(-left // tick) * tick, at + 1, tick):
        label = minute_text(moment)
        column = (moment - left) * width // (PLOT_S * SECOND) - len(label) // 2
        if 0 <= column <= width - len(label):
            text[column : column + len(label)] = label
    return "".join(text)


class _Drawing:
    """The cells: which dots are set, and what the topmost of them belongs to."""

    def __init__(self, width: int, height: int, at: int, low: float, high: float) -> None:
        self._columns, self._rows = width * COLUMNS, height * ROWS
        self._at, self._low, self._span = at, low, high - low
        self._dots = [[0] * width for _ in range(height)]
        self._moods = [[Mood.PLAIN] * width for _ in range(height)]

    def draw(self, points: Sequence[Traded], mood: Mood, name: str, drawn: int, of: int) -> None:
        """Draws one value over time: ``drawn`` of ``of`` columns. Neighbouring columns are joined; over a gap, nothing is."""
        left, last = self._at - PLOT_S * SECOND, None
        for column, group in groupby(points, lambda point: self._column(point.start - left)):
            values = [value for point in group if (value := getattr(point, name)) is not None]
            if not values or not 0 <= column < self._columns:
                continue
            rows = [self._row(value) for value in values]
            if last is not None and last[0] == column - 1:
                rows.append(last[1])
            last = column, self._row(values[-1])
            if column % of < drawn:
                for row in range(min(rows), max(rows) + 1):
                    self._set(column, row, mood)

    def _column(self, since: int) -> int:
        return since * self._columns // (PLOT_S * SECOND)

    def _row(self, value: float) -> int:
        share = (value - self._low) / self._span
        return round((1 - share) * (self._rows - 1))

    def _set(self, column: int, row: int, mood: Mood) -> None:
        y, x = row // ROWS, column // COLUMNS
        self._dots[y][x] |= DOTS[row % ROWS][column % COLUMNS]
        self._moods[y][x] = mood

    def lines(self) -> list[Spans]:
        """Returns the lines, neighbouring cells of one mood together."""
        made: list[Spans] = []
        for dots, moods in zip(self._dots, self._moods, strict=True):
            cells = [(chr(BLANK + dot) if dot else " ", mood) for dot, mood in zip(dots, moods, strict=True)]
            made.append(
                [
                    ("".join(cell for cell, _ in group), mood)
                    for mood, group in groupby(cells, key=lambda cell: cell[1])
                ]
            )
        return made
