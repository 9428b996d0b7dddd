"""The page's charts as Bokeh models: their axes, lines and marks, and how wheel, fingers and mouse move them.

Marks and spans are in them. Their columns come at levels (`review.page.levels`), of which the page's script puts in what
the view shows. Times on an axis are New York's wall time written as if it were UTC, which is how Bokeh prints a time: no
viewer's time zone matters.

Why Bokeh: ARCHITECTURE.md, "Why not…".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.core.properties import value
from bokeh.document import Document
from bokeh.models import (
    Axis,
    BasicTicker,
    ColumnDataSource,
    DataRange1d,
    DatetimeTickFormatter,
    FixedTicker,
    LinearColorMapper,
    NoOverlap,
    NumeralTickFormatter,
    PanTool,
    Range1d,
    WheelZoomTool,
)
from bokeh.models.annotations import Span, Title
from bokeh.models.glyphs import Image, Line, Scatter, Segment, Step, VBar, VStrip
from bokeh.plotting import figure
from bokeh.transform import linear_cmap

from review.page.colours import COLOURS, palette
from review.page.data import SECOND_MS, Path, Shown

CLOSEST_S = 20
"""The shortest part of a session that its chart shows."""

PRICE_PX, VOLUME_PX, TRADE_PX = 340, 120, 230
STRIP_ROW_PX, STRIP_TITLE_PX = 19, 26
STRIP_FILL = 0.84
"""How much of its row a cell of the strip is high."""

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


def document(shown: Shown, strip: Sequence[tuple[str, str]]) -> Any:
    """Every chart as JSON: price, volume and the strip with these rows (column, name), then each position.

    Each is named as the element that it stands in. Written again, it is the same to the byte.
    """
    found = Document()
    spans = {
        name: ColumnDataSource({"from": [span.start for span in part], "to": [span.end for span in part]})
        for name, part in shown.spans.items()
    }
    with found.models.freeze():  # it would go through all models again at each
        for plot in (*_session(shown, spans, strip), *(_trade(path, spans) for path in shown.paths)):
            found.add_root(plot)
    return numbered(found.to_json(deferred=False), {})


def numbered(value: Any, numbers: dict[str, str]) -> Any:
    """JSON of models with ids counted from 1, where Bokeh counts on from one document to the next."""
    if isinstance(value, dict):
        return {
            key: numbers.setdefault(part, f"m{len(numbers) + 1}")
            if key == "id" and isinstance(part, str)
            else numbered(part, numbers)
            for key, part in value.items()
        }
    return [numbered(part, numbers) for part in value] if isinstance(value, list) else value


# --- Parts -------------------------------------------------------------------------------------------


def _plot(name: str, height: int, title: str, times: Range1d, **given: Any) -> figure:
    plot = figure(
        name=name,
        height=height,
        sizing_mode="stretch_width",
        title=Title(
            text=title,
            text_font=FONT,
            text_font_size="12px",
            text_font_style="normal",
            text_color=COLOURS["quiet"],
        ),
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
        _dress(axis)
    plot.xaxis[0].formatter = TIMES.clone()
    plot.xaxis[0].major_label_policy = NoOverlap(min_distance=8)
    for grid in (*plot.xgrid, *plot.ygrid):
        grid.grid_line_color = COLOURS["grid"]
    return plot


def _dress(axis: Axis) -> None:
    axis.update(
        major_label_text_font=FONT,
        major_label_text_font_size="12px",
        axis_label_text_font=FONT,
        axis_label_text_font_size="12px",
        axis_label_text_font_style="normal",
        axis_label_standoff=2,
        major_tick_line_color=None,
        minor_tick_line_color=None,
        axis_line_color=COLOURS["line"],
        major_label_text_color=COLOURS["quiet"],
        axis_label_text_color=COLOURS["quiet"],
    )


def _empty(name: str, *columns: str) -> ColumnDataSource:
    """A source that the script fills."""
    return ColumnDataSource({column: [] for column in ("x", *columns)}, name=name)


def _crosshair(name: str) -> Span:
    return Span(dimension="height", name=name, line_width=1, line_color=COLOURS["ink"])


BANDS = {"held": "right_diagonal_line", "blind": "left_diagonal_line", "down": "dot"}
"""Spans without entries, each with a pattern of its own, for eyes that do not tell the colours apart."""


def _bands(plot: figure, spans: dict[str, ColumnDataSource]) -> None:
    for name, pattern in BANDS.items():
        strip = VStrip(
            x0="from",
            x1="to",
            line_color=None,
            fill_color=COLOURS[name],
            fill_alpha=0.1,
            hatch_pattern=pattern,
            hatch_color=COLOURS[name],
            hatch_alpha=0.4,
            hatch_scale=8,
            hatch_weight=1,
        )
        plot.add_glyph(spans[name], strip, name=name, level="underlay")


def _marks(plot: figure, name: str, marks: Sequence[tuple[float, float | None]]) -> None:
    """Marks at these places, of the shape that stands for their kind."""
    marker, size = MARKERS[name]
    is_hollow = marker == "circle"
    known = [mark for mark in marks if mark[1] is not None]
    glyph = Scatter(
        marker=value(marker),
        size=size,
        line_width=1.5,
        line_color=COLOURS[name if is_hollow else "card"],
        fill_color=COLOURS["card" if is_hollow else name],
    )
    source = ColumnDataSource({"x": [at for at, _ in known], "y": [price for _, price in known]})
    plot.add_glyph(source, glyph, name=name)


MARKERS = {"miss": ("circle", 9), "entry": ("triangle", 13), "exit": ("inverted_triangle", 13)}


# --- The session -------------------------------------------------------------------------------------


def _session(
    shown: Shown, spans: dict[str, ColumnDataSource], strip: Sequence[tuple[str, str]]
) -> tuple[figure, ...]:
    start, end = shown.view
    times = Range1d(
        start=start,
        end=end,
        bounds=(shown.opening, shown.closing),
        min_interval=CLOSEST_S * SECOND_MS,
        name="times",
    )
    lines = _empty("lines", "close", "day", "vwap_1m", "vwap_5m", "volume", "surge", "volume_p95")
    plots = (
        _price_plot(shown, times, lines),
        _volume_plot(times, lines),
        _strip_plot(times, strip),
    )
    crosshair = _crosshair("crosshair")
    for plot in plots:
        _bands(plot, spans)
        plot.add_layout(crosshair)
    return plots


def _price_plot(shown: Shown, times: Range1d, lines: ColumnDataSource) -> figure:
    heights = Range1d(start=0, end=1, name="prices")
    plot = _plot("price-chart", PRICE_PX, f"{shown.symbol}, dollars a share", times, y_range=heights)
    plot.yaxis[0].formatter = NumeralTickFormatter(format="0.00")
    plot.xaxis[0].major_label_text_font_size = "0px"
    for name, column, width, dash in (
        ("day", "day", 1.6, "dashed"),
        ("long", "vwap_5m", 1.8, "solid"),
        ("short", "vwap_1m", 1.8, "solid"),
        ("price", "close", 1.2, "solid"),
    ):
        line = Line(x="x", y=column, line_color=COLOURS[name], line_width=width, line_dash=dash)
        plot.add_glyph(lines, line, name=name)
    _candles(plot)
    for name, marks in shown.marks.items():
        _marks(plot, name, [(mark.at, mark.price) for mark in marks])
    return plot


def _candles(plot: figure) -> None:
    """Candles, hollow where the price rises."""
    source = _empty("candles", "open", "high", "low", "close", "falls", "width")
    edge = linear_cmap("falls", [COLOURS["rise"], COLOURS["fall"]], 0, 1)
    fill = linear_cmap("falls", [COLOURS["card"], COLOURS["fall"]], 0, 1)
    plot.add_glyph(source, Segment(x0="x", y0="low", x1="x", y1="high", line_color=edge), name="price")
    body = VBar(x="x", width="width", top="close", bottom="open", line_color=edge, fill_color=fill)
    plot.add_glyph(source, body, name="price")


def _volume_plot(times: Range1d, lines: ColumnDataSource) -> figure:
    heights = Range1d(start=0, end=1, name="volumes")
    plot = _plot("volume-chart", VOLUME_PX, "Volume, shares in each second", times, y_range=heights)
    plot.yaxis[0].formatter = NumeralTickFormatter(format="0.[0]a")
    plot.yaxis[0].ticker = BasicTicker(desired_num_ticks=3)
    plot.xaxis[0].major_label_text_font_size = "0px"
    for name in ("volume", "surge"):
        sticks = Segment(x0="x", y0=0, x1="x", y1=name, line_color=COLOURS[name], line_width=1.2)
        plot.add_glyph(lines, sticks, name=name)
    plot.add_glyph(lines, Line(x="x", y="volume_p95", line_color=COLOURS["p95"], line_width=1.2), name="p95")
    return plot


def _strip_plot(times: Range1d, strip: Sequence[tuple[str, str]]) -> figure:
    """Rows of coloured seconds, the first on top. The script makes an image of each row."""
    rows = len(strip)
    height = rows * STRIP_ROW_PX + STRIP_TITLE_PX + 42
    plot = _plot("strip-chart", height, "Conditions and gate", times, y_range=Range1d(start=0, end=rows))
    middles = [rows - place - 0.5 for place in range(rows)]
    plot.yaxis[0].ticker = FixedTicker(ticks=middles)
    plot.yaxis[0].major_label_overrides = dict(zip(middles, [name for _, name in strip], strict=True))
    plot.yaxis[0].major_label_text_font_size = "11px"
    plot.xaxis[0].axis_label = "New York time"
    plot.ygrid[0].visible = False
    source = ColumnDataSource(
        {
            "row": [column for column, _ in strip],
            "y": [middle - STRIP_FILL / 2 for middle in middles],
            "image": [[[0]] for _ in strip],
            "x": [times.start] * rows,
            "dw": [0] * rows,
        },
        name="strip",
    )
    colours = palette()
    mapper = LinearColorMapper(palette=colours, low=-0.5, high=len(colours) - 0.5)
    plot.add_glyph(source, Image(image="image", x="x", y="y", dw="dw", dh=STRIP_FILL, color_mapper=mapper))
    return plot


# --- A trade -----------------------------------------------------------------------------------------

LEVELS = {
    "tight": (1.4, "dotted"),
    "hard": (1.4, "dashed"),
    "stop": (1.4, "solid"),
    "peak": (1.4, "dotdash"),
    "mark": (1.8, "solid"),
}
"""The lines of a position's chart. A level stands until it moves, so its line goes across, then up or down."""

TRADE_MARGIN, TRADE_MARGIN_S = 0.04, 5
"""How much of its time is left free at either edge of a position's chart, and at least how many seconds."""


def _trade(path: Path, spans: dict[str, ColumnDataSource]) -> figure:
    """An option while its position was open: its mark, and the levels that sell."""
    times = [time for time in path.columns["x"] if time is not None]
    begin, end = times[0], times[-1]
    room = max(TRADE_MARGIN_S * SECOND_MS, (end - begin) * TRADE_MARGIN)
    whole = (begin - room, end + room)
    plot = _plot(
        f"trade-{path.id}",
        TRADE_PX,
        "The option, dollars a share",
        Range1d(start=whole[0], end=whole[1], bounds=whole),
        y_range=DataRange1d(range_padding=0.08),
    )
    plot.yaxis[0].formatter = NumeralTickFormatter(format="0.00")
    plot.xaxis[0].axis_label = "New York time"
    _bands(plot, spans)
    source = _empty(f"path-{path.id}", *LEVELS)
    for name, (width, dash) in LEVELS.items():
        step = Step(x="x", y=name, mode="after", line_color=COLOURS[name], line_width=width, line_dash=dash)
        plot.add_glyph(source, step, name=name)
    _marks(plot, "entry", [(begin, path.entry)])
    _marks(plot, "exit", [(end, path.exit)])
    plot.add_layout(_crosshair(f"crosshair-{path.id}"))
    return plot
