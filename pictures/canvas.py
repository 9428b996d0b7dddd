"""A sheet to draw on: lines, shapes and text, in pixels from the upper left. Needs Pillow.

Everything is drawn at twice its size and reduced at the end, which smooths every edge: Pillow's own lines have steps.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from math import hypot

from PIL import Image, ImageDraw, ImageFont

FINE = 2
"""How many times its size everything is drawn."""

Point = tuple[float, float]
Colour = str

PLAIN_SIGNS = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "→": ">", "≤": "<=", "≥": ">=", "×": "x", "\N{NO-BREAK SPACE}": " "}
)
"""Pillow's own font has Latin letters, digits and common signs alone; triangles and arrows are drawn as shapes."""


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * FINE)


class Canvas:
    """A sheet of ``width`` times ``height`` pixels."""

    def __init__(self, width: int, height: int, paper: Colour) -> None:
        self._image = Image.new("RGB", (width * FINE, height * FINE), paper)
        self._pen = ImageDraw.Draw(self._image)

    def text(self, at: Point, text: str, size: int, ink: Colour, *, anchor: str = "ls") -> None:
        """Writes a line of text ``size`` pixels high. ``anchor`` is Pillow's: ``ls`` begins at ``at``, on the base line."""
        place = (at[0] * FINE, at[1] * FINE)
        self._pen.text(place, text.translate(PLAIN_SIGNS), fill=ink, font=_font(size), anchor=anchor)

    def width_of(self, text: str, size: int) -> float:
        """Returns how wide a line of text is, pixels."""
        return float(_font(size).getlength(text.translate(PLAIN_SIGNS))) / FINE

    def fitted(self, text: str, size: int, width: float) -> list[str]:
        """Returns the text in lines that are no wider than ``width``, broken between words; a longer word stays whole."""
        lines: list[str] = []
        for word in text.split():
            joined = f"{lines[-1]} {word}" if lines else word
            if lines and self.width_of(joined, size) <= width:
                lines[-1] = joined
            else:
                lines.append(word)
        return lines

    def cut(self, text: str, size: int, width: float) -> str:
        """Returns the text, or as much of it as is no wider than ``width``, with three dots."""
        if self.width_of(text, size) <= width:
            return text
        while text and self.width_of(f"{text}...", size) > width:
            text = text[:-1]
        return f"{text}..."

    def line(
        self, points: Sequence[Point], ink: Colour, width: float, dash: tuple[float, float] | None = None
    ) -> None:
        """Draws a line through ``points``; ``dash`` is the length of a stroke and of the space behind it."""
        runs = [points] if dash is None else _dashes(points, *dash)
        for run in runs:
            fine = [(x * FINE, y * FINE) for x, y in run]
            self._pen.line(fine, fill=ink, width=max(1, round(width * FINE)), joint="curve")

    def shape(self, points: Sequence[Point], ink: Colour, rim: Colour) -> None:
        """Draws a filled shape with a rim, which sets it off from what lies below."""
        fine = [(x * FINE, y * FINE) for x, y in points]
        self._pen.polygon(fine, fill=ink)
        self._pen.line([*fine, fine[0]], fill=rim, width=FINE * 2, joint="curve")

    def box(self, upper_left: Point, lower_right: Point, ink: Colour) -> None:
        """Fills a rectangle."""
        (left, top), (right, bottom) = upper_left, lower_right
        self._pen.rectangle((left * FINE, top * FINE, right * FINE, bottom * FINE), fill=ink)

    def png(self, height: int) -> bytes:
        """Returns the sheet's upper part, ``height`` pixels of it, as a PNG."""
        out = io.BytesIO()
        part = (0, 0, self._image.width, height * FINE)
        self._image.reduce(FINE, part).save(out, "PNG", optimize=True)
        return out.getvalue()


def _dashes(points: Sequence[Point], stroke: float, space: float) -> Iterator[list[Point]]:
    """Yields the strokes of a broken line."""
    left, is_on = stroke, True
    run: list[Point] = [points[0]]
    for (x0, y0), (x1, y1) in pairwise(points):
        length, done = hypot(x1 - x0, y1 - y0), 0.0
        while length - done > left:
            done += left
            turn = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length)
            if is_on:
                yield [*run, turn]
            run = [turn]
            is_on = not is_on
            left = stroke if is_on else space
        left -= length - done
        run.append((x1, y1))
    if is_on and len(run) > 1:
        yield run
