"""The page's charts as Bokeh models: their axes, lines and marks, and how wheel, fingers and mouse move them.

They hold no prices: the page's script puts those in from the columns of `review.page.data`, and colours from the page's
style, so that a chart follows light and dark. Times on an axis are New York's wall time written as if it were UTC, which is
how Bokeh prints a time: no viewer's time zone matters.

Why Bokeh: docs/records.md, "The page".
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from bokeh.document import Document
from bokeh.models import (
    Axis,
    BasicTicker,
    ColumnDataSource,
    CrosshairTool,
    DatetimeTickFormatter,
    FixedTicker,
    Model,
    NoOverlap,
    NumeralTickFormatter,
    PanTool,
    Range1d,
    WheelZoomTool,
)
from bokeh.models.annotations import Span, Title
from bokeh.plotting import figure

CLOSEST_S = 20
"""The shortest part of a session that its chart shows."""

SECOND_MS = 1_000
PRICE_PX, VOLUME_PX, TRADE_PX = 340, 120, 230
STRIP_ROW_PX, STRIP_TITLE_PX = 19, 26
RIGHT_PX, LEFT_PX = 78, 8
"""Room for the labels of the price, so that charts above each other have their seconds above each other."""

FONT = "system-ui, sans-serif"
TIMES = DatetimeTickFormatter(
    milliseconds="%H:%M:%S",
    seconds="%H:%M:%S",
    minsec="%H:%M:%S",
    minutes="%H:%M",
    hourmin="%H:%M",
    hours="%H:%M",
    days="%H:%M",
)


class Chart:
    """One or several plots that move together, and the name of the style's colour for each coloured part."""

    def __init__(self) -> None:
        self._document = Document()
        self._paints: list[tuple[Model, str, str]] = []

    def paint(self, model: Model, **colours: str) -> None:
        """Name the style's colour that a property of a model takes."""
        self._paints += [(model, name, colour) for name, colour in colours.items()]

    def add(self, plot: figure) -> None:
        """Add a plot below the ones before."""
        self._document.add_root(plot)

    def as_json(self) -> dict[str, Any]:
        """The models as the script takes them. Written again, they are the same to the byte."""
        numbers: dict[str, str] = {}
        made = self._document.to_json(deferred=False)
        return {
            "document": _numbered(made, numbers),
            "paints": [[numbers[model.id], name, colour] for model, name, colour in self._paints],
        }


def _numbered(value: Any, numbers: dict[str, str]) -> Any:
    """JSON of models with ids counted from 1, where Bokeh counts on from one document to the next."""
    if isinstance(value, dict):
        return {
            key: numbers.setdefault(part, f"m{len(numbers) + 1}")
            if key == "id" and isinstance(part, str)
            else _numbered(part, numbers)
            for key, part in value.items()
        }
    return [_numbered(part, numbers) for part in value] if isinstance(value, list) else value


# --- Parts -------------------------------------------------------------------------------------------


def _plot(chart: Chart, height: int, title: str, times: Range1d, **given: Any) -> figure:
    heading = Title(text=title, text_font=FONT, text_font_size="12px", text_font_style="normal")
    chart.paint(heading, text_color="quiet")
    plot = figure(
        height=height,
        sizing_mode="stretch_width",
        title=heading,
        x_range=times,
        x_axis_type="datetime",
        y_axis_location="right",
        tools="",
        toolbar_location=None,
        min_border_left=LEFT_PX,
        min_border_right=RIGHT_PX,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **given,
    )
    wheel, hand = WheelZoomTool(dimensions="width"), PanTool(dimensions="width")
    plot.add_tools(wheel, hand)
    plot.toolbar.active_scroll, plot.toolbar.active_drag = wheel, hand
    for axis in (*plot.xaxis, *plot.yaxis):
        _dress(chart, axis)
    plot.xaxis[0].formatter = TIMES.clone()
    plot.xaxis[0].major_label_policy = NoOverlap(min_distance=8)
    for grid in (*plot.xgrid, *plot.ygrid):
        chart.paint(grid, grid_line_color="grid")
    return plot


def _dress(chart: Chart, axis: Axis) -> None:
    axis.update(
        major_label_text_font=FONT,
        major_label_text_font_size="12px",
        axis_label_text_font=FONT,
        axis_label_text_font_size="12px",
        axis_label_text_font_style="normal",
        axis_label_standoff=2,
        major_tick_line_color=None,
        minor_tick_line_color=None,
    )
    chart.paint(axis, axis_line_color="line", major_label_text_color="quiet", axis_label_text_color="quiet")


def _empty(*columns: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in columns})


def _line(chart: Chart, plot: figure, name: str, width: float, dash: str = "solid") -> None:
    drawn = plot.line("x", "y", source=_empty("x", "y"), name=name, line_width=width, line_dash=dash)
    chart.paint(drawn.glyph, line_color=name)


def _step(chart: Chart, plot: figure, name: str, width: float, dash: str = "solid") -> None:
    """A level: it stands until it moves, so its line goes across, then up or down."""
    drawn = plot.step(
        "x", "y", source=_empty("x", "y"), name=name, mode="after", line_width=width, line_dash=dash
    )
    chart.paint(drawn.glyph, line_color=name)


BANDS = {"held": "right_diagonal_line", "blind": "left_diagonal_line", "down": "dot"}
"""Spans without entries, each with a pattern of its own, for eyes that do not tell the colours apart."""


def _bands(chart: Chart, plot: figure, spans: dict[str, ColumnDataSource]) -> None:
    for name, pattern in BANDS.items():
        drawn = plot.vstrip(
            "from",
            "to",
            source=spans[name],
            name=name,
            level="underlay",
            line_color=None,
            hatch_pattern=pattern,
            hatch_scale=8,
            hatch_weight=1,
        )
        chart.paint(drawn.glyph, fill_color=f"{name}-fill", hatch_color=name)


def _spans() -> dict[str, ColumnDataSource]:
    """The spans of a chart, which its plots share."""
    return {name: _empty("from", "to") for name in BANDS}


def _marks(chart: Chart, plot: figure, name: str, marker: str, size: int, *, hollow: bool = False) -> None:
    drawn = plot.scatter(
        "x", "y", source=_empty("x", "y"), name=name, marker=marker, size=size, line_width=1.5
    )
    chart.paint(drawn.glyph, line_color=name if hollow else "card", fill_color="card" if hollow else name)


# --- The session -------------------------------------------------------------------------------------


@functools.cache
def session_chart(symbol: str, opening_s: int, seconds: int, strip: tuple[str, ...]) -> dict[str, Any]:
    """Price, volume, and the strip of conditions with these rows, over a session of so many ``seconds``, as JSON.

    ``opening_s`` is the open in seconds of the New York day.
    """
    chart = Chart()
    first, last = opening_s * SECOND_MS, (opening_s + seconds) * SECOND_MS
    times = Range1d(
        start=first, end=last, bounds=(first, last), min_interval=CLOSEST_S * SECOND_MS, name="times"
    )
    spans = _spans()
    plots = (
        _price_plot(chart, symbol, times, spans),
        _volume_plot(chart, times, spans),
        _strip_plot(chart, strip, times, spans),
    )
    crosshair = Span(dimension="height", name="crosshair", line_width=1)
    chart.paint(crosshair, line_color="ink")
    for plot in plots:
        plot.add_tools(CrosshairTool(overlay=crosshair, dimensions="height"))
        chart.add(plot)
    return chart.as_json()


def _price_plot(chart: Chart, symbol: str, times: Range1d, spans: dict[str, ColumnDataSource]) -> figure:
    plot = _plot(
        chart, PRICE_PX, f"{symbol}, dollars a share", times, y_range=Range1d(start=0, end=1, name="prices")
    )
    plot.yaxis[0].formatter = NumeralTickFormatter(format="0.00")
    plot.xaxis[0].major_label_text_font_size = "0px"
    _bands(chart, plot, spans)
    _line(chart, plot, "day", 1.6, "dashed")
    _line(chart, plot, "long", 1.8)
    _line(chart, plot, "short", 1.8)
    _line(chart, plot, "price", 1.2)
    for name in ("rise", "fall"):
        source = _empty("x", "open", "high", "low", "close", "width")
        wick = plot.segment("x", "low", "x", "high", source=source, name=f"{name}-wicks", line_width=1)
        body = plot.vbar("x", "width", "close", "open", source=source, name=f"{name}-bodies", line_width=1)
        chart.paint(wick.glyph, line_color=name)
        chart.paint(body.glyph, line_color=name, fill_color="card" if name == "rise" else name)
    _marks(chart, plot, "miss", "circle", 9, hollow=True)
    _marks(chart, plot, "entry", "triangle", 13)
    _marks(chart, plot, "exit", "inverted_triangle", 13)
    return plot


def _volume_plot(chart: Chart, times: Range1d, spans: dict[str, ColumnDataSource]) -> figure:
    plot = _plot(
        chart,
        VOLUME_PX,
        "Volume, shares in each second",
        times,
        y_range=Range1d(start=0, end=1, name="volumes"),
    )
    plot.yaxis[0].formatter = NumeralTickFormatter(format="0.[0]a")
    plot.yaxis[0].ticker = BasicTicker(desired_num_ticks=3)
    plot.xaxis[0].major_label_text_font_size = "0px"
    _bands(chart, plot, spans)
    for name in ("volume", "surge"):
        sticks = plot.segment("x", 0, "x", "y", source=_empty("x", "y"), name=name, line_width=1.2)
        chart.paint(sticks.glyph, line_color=name)
    _line(chart, plot, "p95", 1.2)
    return plot


def _strip_plot(
    chart: Chart, names: Sequence[str], times: Range1d, spans: dict[str, ColumnDataSource]
) -> figure:
    """Rows of coloured seconds, the first on top."""
    rows = len(names)
    height = rows * STRIP_ROW_PX + STRIP_TITLE_PX + 42
    plot = _plot(chart, height, "Conditions and gate", times, y_range=Range1d(start=0, end=rows))
    middles = [rows - place - 0.5 for place in range(rows)]
    plot.yaxis[0].ticker = FixedTicker(ticks=middles)
    plot.yaxis[0].major_label_overrides = dict(zip(middles, names, strict=True))
    plot.yaxis[0].major_label_text_font_size = "11px"
    plot.xaxis[0].axis_label = "New York time"
    plot.ygrid[0].visible = False
    _bands(chart, plot, spans)
    plot.image_rgba(
        "image",
        "x",
        "y",
        "dw",
        "dh",
        source=_empty("image", "x", "y", "dw", "dh"),
        name="strip",
        level="glyph",
    )
    return plot


# --- A trade -----------------------------------------------------------------------------------------


@functools.cache
def trade_chart() -> dict[str, Any]:
    """An option while its position was open, as JSON: its mark, and the levels that sell. The script says when."""
    chart = Chart()
    times = Range1d(start=0, end=1, name="times")
    plot = _plot(chart, TRADE_PX, "The option, dollars a share", times)
    plot.y_range.update(range_padding=0.08)
    plot.yaxis[0].formatter = NumeralTickFormatter(format="0.00")
    plot.xaxis[0].axis_label = "New York time"
    _bands(chart, plot, _spans())
    for name, width, dash in (
        ("tight", 1.4, "dotted"),
        ("hard", 1.4, "dashed"),
        ("stop", 1.4, "solid"),
        ("peak", 1.4, "dotdash"),
        ("mark", 1.8, "solid"),
    ):
        _step(chart, plot, name, width, dash)
    _marks(chart, plot, "entry", "triangle", 13)
    _marks(chart, plot, "exit", "inverted_triangle", 13)
    crosshair = Span(dimension="height", line_width=1)
    chart.paint(crosshair, line_color="ink")
    plot.add_tools(CrosshairTool(overlay=crosshair, dimensions="height"))
    chart.add(plot)
    return chart.as_json()
