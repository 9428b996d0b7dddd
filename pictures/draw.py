"""Draws a picture: facts in, a PNG out. The same facts give the same bytes. Needs Pillow.

A picture is 780 pixels wide, twice the 390 of a phone.
"""

from __future__ import annotations

from collections.abc import Iterator

from events import OPTION_PRICE_UNIT, SECOND
from pictures.canvas import Canvas, Colour
from pictures.chart import (
    BLUE,
    GREEN,
    INK,
    LITTLE,
    ORANGE,
    PALE,
    PAPER,
    PURPLE,
    RED,
    SHADES,
    SMALL,
    Box,
    Chart,
    Label,
    down,
    up,
)
from pictures.facts import Dark, DarkSpan, DayPicture, Level, Picture, TradePicture
from utils import clock_text, option_price, span_text

WIDTH, HEIGHT = 780, 1000
"""Pixels of a picture; of a day with few trades, `HEIGHT` is the most."""

LEFT, RIGHT, EDGE = 104, WIDTH - 176, 28
"""Where charts begin and end, and how far everything else stays from the edge."""

TITLE, TEXT = 42, 25
"""Heights of text, pixels."""

LINE_PX = 33
"""From one line of text to the next."""


def draw(picture: Picture) -> bytes:
    """Returns a picture as a PNG."""
    canvas = Canvas(WIDTH, HEIGHT, PAPER)
    height = _trade(canvas, picture) if isinstance(picture, TradePicture) else _day(canvas, picture)
    return canvas.png(height)


def _dollars(value: float) -> str:
    return f"${value:,.2f}"


def _option_dollars(value: float) -> str:
    """Returns a tick's option price, which need not be a whole number of units."""
    return _dollars(value / OPTION_PRICE_UNIT)


def _head(canvas: Canvas, title: str, figure: str, ink: Colour, lines: list[str]) -> float:
    """Writes title, headline figure and lines of text. Returns where they end."""
    canvas.text((EDGE, 58), title, TITLE, INK)
    canvas.text((WIDTH - EDGE, 58), figure, TITLE, ink, anchor="rs")
    y = 58.0 + 12
    for text in lines:
        for part in canvas.fitted(text, TEXT, WIDTH - 2 * EDGE):
            y += LINE_PX
            canvas.text((EDGE, y), part, TEXT, INK)
    return y + 14


def _sign_ink(value: float | None) -> Colour:
    if value is None:
        return PALE
    return GREEN if value >= 0 else RED


def _legend(
    canvas: Canvas,
    y: float,
    lines: list[tuple[str, Colour]],
    dark: list[DarkSpan],
    *,
    has_trades: bool = False,
) -> None:
    """Writes what each colour and each shade is, in a row."""
    x = float(EDGE)

    def entry(text: str) -> None:
        nonlocal x
        canvas.text((x + 32, y), text, SMALL, PALE)
        x += 32 + canvas.width_of(text, SMALL) + 15

    for text, ink in lines:
        canvas.line([(x, y - 7), (x + 26, y - 7)], ink, 4)
        entry(text)
    if has_trades:
        up(canvas, (x + 17, y - 16), LITTLE)
        entry("bought")
        down(canvas, (x + 17, y), LITTLE)
        entry("sold")
    for why in sorted({span.why for span in dark}):
        canvas.box((x, y - 17), (x + 26, y + 2), SHADES[why])
        entry("blind" if why is Dark.BLIND else "not running")


def _vwap_name(seconds: int) -> str:
    return f"VWAP {seconds // 60} min" if seconds % 60 == 0 else f"VWAP {seconds} s"


# --- A trade -----------------------------------------------------------------------------------------


def _trade(canvas: Canvas, trade: TradePicture) -> int:
    """Draws a trade. Returns the picture's height."""
    bought, sold = trade.bought, trade.sold
    figure = "" if trade.percent is None else f"{trade.percent:+.1f} %"
    lines = [
        f"{clock_text(bought.at)} to {clock_text(sold.at)}, held {span_text(sold.at - bought.at)} · {trade.date}",
        f"Sold: {trade.reason}",
        f"By hand: {trade.by_hand}" + (f" ({trade.at_once})" if trade.at_once else ""),
    ]
    y = _head(canvas, f"{trade.symbol} {trade.call}", figure, _sign_ink(trade.percent), lines)
    middle = y + (HEIGHT - y) * 0.46
    _share(canvas, trade, Box(LEFT, y + 48, RIGHT, middle))
    _call(canvas, trade, Box(LEFT, middle + 62, RIGHT, HEIGHT - 52))
    return HEIGHT


def _span(trade: TradePicture) -> tuple[int, int]:
    """Returns the times from the left to the right edge: those that were gathered, and the trade in any case."""
    at = trade.seconds.at
    return min([*at[:1], trade.bought.at]), max([*at[-1:], trade.sold.at + SECOND])


def _share(canvas: Canvas, trade: TradePicture, box: Box) -> None:
    """Draws the share's price with its VWAPs."""
    seconds = trade.seconds
    names = {
        BLUE: trade.symbol,
        ORANGE: _vwap_name(trade.short_vwap_s),
        PURPLE: _vwap_name(trade.long_vwap_s),
    }
    _legend(canvas, box.top - 16, [(text, ink) for ink, text in names.items()], trade.dark)
    columns = {PURPLE: seconds.long_vwap, ORANGE: seconds.vwap, BLUE: seconds.price}
    moments = [moment for moment in (trade.bought, trade.sold) if moment.price is not None]
    known = [value for column in columns.values() for value in column if value is not None]
    chart = Chart(
        canvas,
        box,
        _span(trade),
        [*known, *(moment.price for moment in moments if moment.price is not None)],
        _dollars,
    )
    chart.darken(trade.dark)
    chart.axes(has_times=False)
    chart.upright(trade.bought.at, GREEN)
    chart.upright(trade.sold.at, RED)
    for ink, column in columns.items():
        chart.curve(seconds.at, column, ink, 3 if ink == BLUE else 2.5)
    if trade.bought.price is not None:
        chart.buy(trade.bought.at, trade.bought.price)
    if trade.sold.price is not None:
        chart.sell(trade.sold.at, trade.sold.price)
    chart.labels(_last(names, columns))


def _last(names: dict[Colour, str], columns: dict[Colour, list[float | None]]) -> Iterator[Label]:
    """Yields the last known price of each line."""
    for ink, column in columns.items():
        value = next((each for each in reversed(column) if each is not None), None)
        if value is not None and names.get(ink):
            yield Label(value, _dollars(value), ink)


def _call(canvas: Canvas, trade: TradePicture, box: Box) -> None:
    """Draws the call's mark with its entry, its peak, the levels at which it is sold, and its end."""
    seconds = trade.seconds
    held = [
        (at, mark, peak)
        for at, mark, peak in zip(seconds.at, seconds.mark, seconds.peak, strict=True)
        if trade.bought.at <= at <= trade.sold.at and peak is not None
    ]
    at = [trade.bought.at, *(moment for moment, _, _ in held)]
    marks: list[float | None] = [float(trade.entry), *(mark for _, mark, _ in held)]
    peaks: list[float | None] = [float(trade.entry), *(peak for _, _, peak in held)]
    if trade.exit is not None:
        at, marks, peaks = [*at, trade.sold.at], [*marks, trade.exit], [*peaks, trade.peak]
    falling = [
        level.of_peak for level in trade.levels if level.of_peak is not None and _is_above(trade, level)
    ]
    fixed = [level.price for level in trade.levels if level.price is not None]
    values = [*(value for value in marks if value is not None), trade.entry, trade.peak, *fixed]
    chart = Chart(
        canvas, box, _span(trade), [*values, *(trade.peak * part for part in falling)], _option_dollars
    )
    _legend(canvas, box.top - 16, [(f"{trade.call}, mid", INK), ("peak", GREEN), ("sells at", RED)], [])
    chart.darken(trade.dark)
    chart.axes(has_times=True)
    chart.upright(trade.bought.at, GREEN)
    chart.upright(trade.sold.at, RED)
    chart.curve(at, peaks, GREEN, 2.5, is_stepped=True)
    for part in falling:
        levels = [None if peak is None else peak * part for peak in peaks]
        chart.curve(at, levels, RED, 1.5, dash=(4, 6), is_stepped=True)
    for price in fixed:
        chart.level(price, RED, start=trade.bought.at, end=trade.sold.at)
    chart.level(trade.entry, PALE)
    chart.curve(at, marks, INK, 3.5)
    chart.buy(trade.bought.at, trade.entry)
    if trade.exit is not None:
        chart.sell(trade.sold.at, trade.exit)
    chart.labels(_call_labels(trade))


def _call_labels(trade: TradePicture) -> Iterator[Label]:
    yield Label(trade.entry, f"Entry {option_price(trade.entry)}", PALE)
    if trade.peak > trade.entry:
        yield Label(trade.peak, f"Peak {option_price(trade.peak)}", GREEN)
    if trade.exit is not None:
        yield Label(trade.exit, f"Exit {option_price(trade.exit)}", INK)
    for level in trade.levels:
        if level.of_peak is not None and _is_above(trade, level):
            yield Label(trade.peak * level.of_peak, level.name, RED)
        elif level.price is not None:
            yield Label(level.price, f"{level.name} {option_price(level.price)}", RED)


def _is_above(trade: TradePicture, level: Level) -> bool:
    """Whether a level that follows the peak came to lie above every fixed one: below them it can sell nothing."""
    floor = max((each.price for each in trade.levels if each.price is not None), default=0)
    return level.of_peak is not None and trade.peak * level.of_peak > floor


# --- A day -------------------------------------------------------------------------------------------

TRADES_SHOWN = 12
"""Trades that are listed below the chart; more are counted."""

CHART_MOST = 460
"""Height of a day's chart, if its trades leave so much room."""

BELOW_PX = 52
"""Room for the times below a chart."""


def _day(canvas: Canvas, day: DayPicture) -> int:
    """Draws a day. Returns the picture's height."""
    known = [trade.dollars for trade in day.trades if trade.dollars is not None]
    total = sum(known) if known else None
    figure = "" if total is None else f"{'-' if round(total) < 0 else '+'}${abs(total):,.0f}"
    y = _head(canvas, f"{day.symbol}, {day.date}", figure, _sign_ink(total), [day.headline, *day.lines])
    listed = day.trades[:TRADES_SHOWN]
    more = len(day.trades) - len(listed)
    rows = (len(listed) + bool(more)) * LINE_PX + (20 if listed else 0)
    top = y + 48
    bottom = min(top + CHART_MOST, HEIGHT - BELOW_PX - rows)
    _session(canvas, day, Box(LEFT, top, WIDTH - EDGE - 10, bottom))
    y = bottom + BELOW_PX
    for trade in listed:
        y += LINE_PX
        canvas.text((EDGE, y), f"{trade.number}", TEXT, PALE)
        text = canvas.cut(trade.text, TEXT, WIDTH - 2 * EDGE - 40)
        canvas.text((EDGE + 40, y), text, TEXT, INK if trade.sold is None else _sign_ink(trade.dollars))
    if more:
        canvas.text((EDGE, y + LINE_PX), f"and {more} more: see the evening's message", TEXT, PALE)
    return round(bottom + BELOW_PX + rows)


def _session(canvas: Canvas, day: DayPicture, box: Box) -> None:
    """Draws the share's price over the session, with the trades in it."""
    seconds = day.seconds
    names = [(day.symbol, BLUE), (_vwap_name(day.long_vwap_s), ORANGE)]
    _legend(canvas, box.top - 16, names, day.dark, has_trades=bool(day.trades))
    known = [value for column in (seconds.price, seconds.long_vwap) for value in column if value is not None]
    chart = Chart(canvas, box, (day.open, day.close), known, _dollars)
    chart.darken(day.dark)
    if not known:
        middle = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
        canvas.text(middle, "no price was seen", TEXT, PALE, anchor="mm")
        return
    chart.axes(has_times=True)
    chart.curve(seconds.at, seconds.price, BLUE, 2)
    chart.curve(seconds.at, seconds.long_vwap, ORANGE, 2.5)
    for trade in day.trades:
        if trade.sold is not None and trade.sold.price is not None:
            chart.sell(trade.sold.at, trade.sold.price, LITTLE)
        if trade.bought.price is not None:
            chart.buy(trade.bought.at, trade.bought.price, LITTLE, f"{trade.number}")
