"""The report's charts as Bokeh models, in the one palette of the pages (`review.page.colours`).

Each is named as the element that it stands in. Dates on an axis are midnight as if New York were UTC, so that no
viewer's time zone matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import numpy as np
from bokeh.document import Document
from bokeh.models import (
    ColumnDataSource,
    DatetimeTicker,
    DatetimeTickFormatter,
    FactorRange,
    HoverTool,
    NoOverlap,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.models.annotations import Span
from bokeh.models.glyphs import Line, Scatter, Segment, Step, VArea, VBar
from bokeh.plotting import figure

from research.report_page.parts import Mean
from research.statistics.days import Results
from research.statistics.intervals import band
from review.page.charts import numbered
from review.page.colours import COLOURS

HEIGHT_PX = 300
FONT = "system-ui, sans-serif"
DATES = DatetimeTickFormatter(days="%-d %b %Y", months="%b %Y", years="%Y", hours="%-d %b")
SHORT = {"volatility": "IV"}
"""Names for which a phone's axis has no room."""

DAY_MS = 86_400_000
FINE = "+0.00%"
PERCENT, DOLLARS = "+0.0%", "$0,0.00"


Plot: TypeAlias = figure


def document(plots: Sequence[Plot]) -> Any:
    """Returns the charts as JSON; written again, it is the same to the byte."""
    found = Document()
    for plot in plots:
        found.add_root(plot)
    return numbered(found.to_json(deferred=False), {})


def equity(days: Sequence[date], results: Results, *, with_band: bool) -> Plot:
    """Returns the running sum over the sessions, and where 95% of histories of the same days, drawn again, would run."""
    plot = _plot("equity-chart", PERCENT, x_axis_type="datetime")
    first = _milliseconds(days[0]) - DAY_MS  # what runs begins at 0, before the first session
    columns = {
        "x": [first, *map(_milliseconds, days)],
        "day": ["before", *(day.isoformat() for day in days)],
        "sum": _from_nothing(results.cumsum()),
        "result": _from_nothing(results),
    }
    tips = [("session", "@day"), ("result", "@result{+0.00%}"), ("so far", "@sum{+0.00%}")]
    if with_band:
        columns["low"], columns["high"] = map(_from_nothing, band(results))
        tips.append(("95% of draws", "@low{+0.0%} to @high{+0.0%}"))
    source = ColumnDataSource(columns)
    if with_band:
        plot.add_glyph(
            source, VArea(x="x", y1="low", y2="high", fill_color=COLOURS["short"], fill_alpha=0.13)
        )
    line = plot.add_glyph(source, Line(x="x", y="sum", line_color=COLOURS["short"], line_width=2))
    plot.add_glyph(source, Scatter(x="x", y="sum", size=4, fill_color=COLOURS["short"], line_color=None))
    plot.xaxis[0].formatter = DATES.clone()
    plot.xaxis[0].ticker = DatetimeTicker(desired_num_ticks=4)
    _hover(plot, line, tips)
    return plot


def means(name: str, found: Sequence[Mean], look: str) -> Plot:
    """Returns means side by side, each with its interval."""
    names = [SHORT.get(each.name, each.name) for each in found]
    plot = _plot(name, look, x_range=FactorRange(factors=names))
    source = ColumnDataSource(
        {
            "x": names,
            "mean": [each.value for each in found],
            "low": [each.interval.low for each in found],
            "high": [each.interval.high for each in found],
            "n": [each.trades for each in found],
            "colour": [COLOURS["long" if each.value < 0 else "short"] for each in found],
        }
    )
    bars = VBar(x="x", top="mean", width=0.6, fill_color="colour", fill_alpha=0.55, line_color=None)
    drawn = plot.add_glyph(source, bars)
    plot.add_glyph(
        source, Segment(x0="x", x1="x", y0="low", y1="high", line_color=COLOURS["ink"], line_width=1.6)
    )
    digits = "{+0.00%}" if look == PERCENT else "{$0,0.00}"
    _hover(
        plot,
        drawn,
        [("", "@x"), ("mean", f"@mean{digits}"), ("95%", f"@low{digits} to @high{digits}"), ("n", "@n")],
    )
    return plot


def walk(chain: Results, seen: float) -> Plot:
    """Returns the running sum of the sessions after each choice, beside the mean that the choices had seen."""
    plot = _plot("walk-chart", PERCENT, x_range=Range1d(start=0, end=len(chain)))
    source = ColumnDataSource({"x": np.arange(1, len(chain) + 1), "sum": chain.cumsum()})
    plot.add_glyph(source, Step(x="x", y="sum", mode="before", line_color=COLOURS["short"], line_width=2))
    straight = ColumnDataSource({"x": [0, len(chain)], "sum": [0.0, seen * len(chain)]})
    plot.add_glyph(
        straight, Line(x="x", y="sum", line_color=COLOURS["quiet"], line_width=1.6, line_dash="dashed")
    )
    plot.xaxis[0].axis_label = "sessions after the first choice"
    return plot


def field(before: Results, after: Results, names: Sequence[str], chosen: int) -> Plot:
    """Returns every trial's mean day in the first half beside that in the second, the judged one marked."""
    plot = _plot("field-chart", FINE, x_axis_label="mean day, first half", y_axis_label="second half")
    plot.xaxis[0].formatter = NumeralTickFormatter(format=FINE)
    plot.add_layout(Span(location=0, dimension="height", line_color=COLOURS["quiet"], line_width=1))
    source = ColumnDataSource(
        {
            "x": before,
            "y": after,
            "name": list(names),
            "colour": [COLOURS["long" if place == chosen else "short"] for place in range(len(names))],
            "size": [13 if place == chosen else 7 for place in range(len(names))],
        }
    )
    dots = Scatter(x="x", y="y", size="size", fill_color="colour", fill_alpha=0.6, line_color="colour")
    drawn = plot.add_glyph(source, dots)
    tips = [("", "@name"), ("first half", f"@x{{{FINE}}}"), ("second half", f"@y{{{FINE}}}")]
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips))
    return plot


def _from_nothing(values: Results) -> Results:
    return np.concatenate(([0.0], values))


def _milliseconds(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000


def _plot(name: str, look: str, **given: Any) -> Plot:
    plot = figure(
        name=name,
        height=HEIGHT_PX,
        sizing_mode="stretch_width",
        y_axis_location="right",
        tools="",
        toolbar_location=None,
        min_border_left=8,
        min_border_right=8,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **given,
    )
    for axis in (*plot.xaxis, *plot.yaxis):
        axis.update(
            major_label_text_font=FONT,
            major_label_text_font_size="12px",
            axis_label_text_font=FONT,
            axis_label_text_font_size="12px",
            axis_label_text_font_style="normal",
            major_tick_line_color=None,
            minor_tick_line_color=None,
            axis_line_color=COLOURS["line"],
            major_label_text_color=COLOURS["quiet"],
            axis_label_text_color=COLOURS["quiet"],
        )
    plot.yaxis[0].formatter = NumeralTickFormatter(format=look)
    plot.xaxis[0].major_label_policy = NoOverlap(min_distance=8)
    plot.xgrid[0].visible = False
    plot.ygrid[0].grid_line_color = COLOURS["grid"]
    plot.add_layout(Span(location=0, dimension="width", line_color=COLOURS["quiet"], line_width=1))
    return plot


def _hover(plot: Plot, drawn: Any, tips: list[tuple[str, str]]) -> None:
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips, mode="vline", attachment="vertical"))
