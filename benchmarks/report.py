"""The results as a table, as JSON, and as one self-contained HTML page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from benchmarks.harness import NO_GOAL, PASS, Row

WHOLE = 100
"""From here on a figure is printed without decimals."""

RATIO, HALF = "×", 0.5
COLOURS = {PASS: "#2a7d46", NO_GOAL: "#667", "short": "#b3402a"}
WIDTH, LABEL_WIDTH, BAR_HEIGHT, GAP = 1000, 430, 18, 12


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
    """The ratios as bars on a logarithmic scale, goals as ticks; no script, nothing loaded from elsewhere."""
    ratios = [row for row in rows if row.unit == RATIO]
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
        f"{_bars(ratios)}<p>Ratios on a logarithmic scale. A line marks the goal.</p>"
        f"<table><tr>{head}</tr>{body}</table>"
    )


def _bars(rows: Sequence[Row]) -> str:
    values = [value for row in rows for value in (row.figure, row.goal) if value]
    if not values:
        return ""
    low, high = math.log10(min(values)) - 0.2, math.log10(max(values)) + 0.2
    scale = (WIDTH - LABEL_WIDTH - 90) / max(high - low, 1e-9)

    def at(value: float) -> float:
        return LABEL_WIDTH + (math.log10(value) - low) * scale

    parts: list[str] = []
    for index, row in enumerate(rows):
        top, end = index * (BAR_HEIGHT + GAP), at(row.figure)
        middle = top + BAR_HEIGHT - 4
        label = html.escape(f"{row.benchmark}: {row.what}")
        parts.append(
            f'<text x="{LABEL_WIDTH - 8}" y="{middle}" text-anchor="end" font-size="13">{label}</text>'
        )
        parts.append(
            f'<rect x="{LABEL_WIDTH}" y="{top}" width="{end - LABEL_WIDTH:.1f}" height="{BAR_HEIGHT}"'
            f' fill="{COLOURS[row.verdict]}"/>'
        )
        parts.append(
            f'<text x="{end + 6:.1f}" y="{middle}" font-size="13">{amount(row.figure, RATIO)}</text>'
        )
        if row.goal:
            x = at(row.goal)
            parts.append(
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{top + BAR_HEIGHT + 3}" stroke="#000" stroke-width="2"/>'
            )
    height = len(rows) * (BAR_HEIGHT + GAP)
    return f'<svg viewBox="0 -4 {WIDTH} {height + 8}" width="100%" font-family="system-ui">{"".join(parts)}</svg>'
