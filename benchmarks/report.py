"""The results as a table, as JSON, and as one self-contained HTML page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.harness import NO_GOAL, PASS, Row

WHOLE = 100
"""From here on a figure is printed without decimals."""

RATIO, HALF = "×", 0.5
COLOURS = {PASS: "#2a7d46", NO_GOAL: "#667", "short": "#b3402a"}
WIDTH, LABEL_WIDTH, TEXT_WIDTH, BAR_HEIGHT, GAP = 1250, 560, 170, 18, 8

FACTOR_MIN, FACTOR_MAX = 0.001, 1_000.0
"""The ends of a chart: a share can be less than nothing, when what it is taken from was disturbed."""


def number(value: float) -> str:
    """Three significant digits are what such measurements carry."""
    if value >= WHOLE or value == int(value):
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{digits}f}"


def amount(value: float, unit: str) -> str:
    """A figure with its unit. A small ratio reads better the other way round: 1/6.45."""
    if unit == RATIO:
        return f"1/{number(1 / value)}" if 0 < value < HALF else f"{number(value)} ×"
    return f"{number(value)} {unit}"


def goal(row: Row) -> str:
    """What the figure should be."""
    if row.goal is None:
        return ""
    return f"{'≤' if row.at_most else '≥'} {amount(row.goal, row.unit)}"


def cells(row: Row) -> tuple[str, ...]:
    """A row as texts."""
    middle = "" if row.median is None else amount(row.median, row.unit)
    return (row.benchmark, row.what, goal(row), amount(row.figure, row.unit), middle, row.verdict, row.note)


HEADER = ("benchmark", "what", "goal", "figure", "median", "verdict", "note")


def table(rows: Sequence[Row]) -> str:
    """A table in Markdown, aligned for a terminal."""
    lines = [HEADER, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def page(rows: Sequence[Row], machine: str, versions: dict[str, str]) -> str:
    """What is judged beside its goal, the other ratios, and the table; no script, nothing loaded from elsewhere."""
    judged = [
        Bar(row, distance(row), f"{cells(row)[3]} ({goal(row)})") for row in rows if row.goal is not None
    ]
    ratios = [Bar(row, row.figure, cells(row)[3]) for row in rows if row.goal is None and row.unit == RATIO]
    peers = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(row)) + "</tr>" for row in rows
    )
    head = "".join(f"<th>{name}</th>" for name in HEADER)
    return (
        "<!doctype html><meta charset=utf-8><title>Benchmarks</title>"
        "<style>body{font:14px system-ui;max-width:1250px;margin:2em auto;color:#223}"
        "table{border-collapse:collapse}td,th{text-align:left;padding:3px 10px;border-bottom:1px solid #ddd}"
        "td:not(:last-child){white-space:nowrap}</style>"
        f"<h1>Benchmarks</h1><p>{html.escape(machine)}</p><p>{html.escape(peers)}</p>"
        f"<h2>Goals</h2><p>The line is the goal; to its left it is met, to its right it is missed by that "
        f"factor, on a logarithmic scale.</p>{_chart(judged)}"
        f"<h2>Other ratios</h2><p>The line is 1: as much as the other.</p>{_chart(ratios)}"
        f"<h2>All figures</h2><table><tr>{head}</tr>{body}</table>"
    )


class Bar(NamedTuple):
    """A row of a chart: how long it is drawn, as a factor of what the line stands for, and what is written behind."""

    row: Row
    factor: float
    text: str


def distance(row: Row) -> float:
    """By which factor a row's figure misses its goal; under 1 it is met. Raises ValueError without a goal."""
    if row.goal is None:
        raise ValueError(f"{row.what} has no goal")
    if row.at_most:
        return row.figure / row.goal
    return row.goal / row.figure if row.figure > 0 else math.inf


def _chart(bars: Sequence[Bar]) -> str:
    """Bars from a line at 1, on a logarithmic scale. What is beyond its ends, or not above 0, is drawn to the end."""
    if not bars:
        return ""
    drawn = [min(max(bar.factor, FACTOR_MIN), FACTOR_MAX) for bar in bars]
    low, high = math.log10(min(*drawn, 0.5)), math.log10(max(*drawn, 2.0))
    scale = (WIDTH - LABEL_WIDTH - TEXT_WIDTH) / (high - low)

    def at(value: float) -> float:
        return LABEL_WIDTH + (math.log10(value) - low) * scale

    line, height = at(1.0), len(bars) * (BAR_HEIGHT + GAP)
    parts: list[str] = []
    for index, (bar, value) in enumerate(zip(bars, drawn, strict=True)):
        top, end = index * (BAR_HEIGHT + GAP), at(value)
        middle = top + BAR_HEIGHT - 4
        label = html.escape(f"{bar.row.benchmark}: {bar.row.what}")
        parts.append(
            f'<text x="{LABEL_WIDTH - 8}" y="{middle}" text-anchor="end" font-size="13">{label}</text>'
            f'<rect x="{min(line, end):.1f}" y="{top}" width="{abs(end - line):.1f}" height="{BAR_HEIGHT}"'
            f' fill="{COLOURS[bar.row.verdict]}"/>'
            f'<text x="{max(line, end) + 6:.1f}" y="{middle}" font-size="13">{html.escape(bar.text)}</text>'
        )
    parts.append(
        f'<line x1="{line:.1f}" x2="{line:.1f}" y1="-4" y2="{height}" stroke="#000" stroke-width="2"/>'
    )
    return f'<svg viewBox="0 -4 {WIDTH} {height + 8}" width="100%" font-family="system-ui">{"".join(parts)}</svg>'
