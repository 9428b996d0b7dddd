"""Lays a frame out as lines of text for any width and height. Pure.

Each part of a frame is some lines; a line is spans of text with what they stand for.
"""

from __future__ import annotations

import functools
import textwrap
import unicodedata
from collections.abc import Sequence

from events import SECOND, Condition
from review.moment import MARKS
from review.watch.frame import STRIP_S, ConditionRow, Flat, Frame, Mood, OpenPosition
from review.watch.plot import LEGEND, Spans, plot
from review.watch.recent import Said
from utils import (
    clock_text,
    minute_text,
    option_price,
    printable,
    share_price,
    signed_percent,
    span_text,
)

WIDTH_LEAST, HEIGHT_LEAST = 80, 24
"""The terminal in which everything must be visible."""

HEAD, CONDITIONS, POSITION, SAID_LEAST, KEYS = 2, 1 + len(Condition), 3, 3, 1
PLOT_LEAST = HEIGHT_LEAST - HEAD - CONDITIONS - POSITION - SAID_LEAST - KEYS
"""Lines of each part; together `HEIGHT_LEAST`."""

NAME, VALUE, NEEDED = 9, 16, 22
"""Columns of a condition's name, value and limit."""

WIDE = 2 + NAME + VALUE + 1 + NEEDED + 1 + STRIP_S
"""From this width on the strip has a cell for each second."""

SEPARATOR = "  "

AT = " " * len("10:41:22 ")
"""What stands below the time of a line that goes on."""

VARIATION = "\N{VARIATION SELECTOR-16}"
"""Asks for the picture of a sign; terminals do not agree on its width, so it is left out."""


# --- Lines -------------------------------------------------------------------------------------------


def cells(text: str) -> int:
    """Returns how many cells of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


@functools.cache
def _cells_of(sign: str) -> int:
    if unicodedata.combining(sign) or sign == VARIATION:
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Returns a text that takes at most ``width`` cells, with an ellipsis where it was cut."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def fitted(line: Spans, width: int) -> Spans:
    """Returns a line of exactly ``width`` cells: cut, or filled up with blanks."""
    made, left = Spans(), width
    for text, mood in line:
        shown = cut(text, left)
        made.append((shown, mood))
        left -= cells(shown)
        if shown != text or left <= 0:
            break
    return [*made, (" " * left, Mood.PLAIN)] if left > 0 else made


def _spread(left: Spans, right: Spans, width: int) -> Spans:
    """Returns a line with a part at either edge; the right one is left out where there is no room."""
    room = width - sum(cells(text) for text, _ in (*left, *right))
    return [*left, (" " * room, Mood.PLAIN), *right] if room > 0 else left


def text_of(line: Spans) -> str:
    """Returns a line's text without what it stands for."""
    return "".join(text for text, _ in line).rstrip()


def whole(frame: Frame, width: int, height: int = HEIGHT_LEAST) -> list[Spans]:
    """Returns a frame as lines, one part below the other; a height above the least goes to the plot and to what happened."""
    extra = max(0, height - HEIGHT_LEAST)
    lines = [
        *head(frame, width),
        *chart(frame, width, PLOT_LEAST + extra // 2),
        *conditions(frame, width),
        *position(frame, width),
        *said(frame, width, SAID_LEAST + extra - extra // 2),
    ]
    return [fitted(line, width) for line in lines]


# --- Parts -------------------------------------------------------------------------------------------


def head(frame: Frame, width: int) -> list[Spans]:
    """Returns price, time, session and record; then the feed and its lag."""
    price: Spans = [(f"{frame.symbol} {share_price(frame.price)}", Mood.TITLE)]
    if frame.price_age is not None:
        price.append((f" {span_text(frame.price_age)} ago", Mood.QUIET))
    price += [(f"{SEPARATOR}{frame.date} {clock_text(frame.at)} ET", Mood.PLAIN)]
    price += [(f"{SEPARATOR}{frame.session.text}", frame.session.mood)]
    lag = "n/a" if frame.lag is None else f"{frame.lag / SECOND:.1f} s"
    feed: Spans = [
        ("Feed ", Mood.QUIET),
        (frame.feed.text, frame.feed.mood),
        (f"{SEPARATOR}lag {lag}", Mood.PLAIN),
    ]
    ages = ", ".join(
        f"{symbol} {'no bar' if age is None else f'{span_text(age)} ago'}" for symbol, age in frame.ages
    )
    feed.append((f"{SEPARATOR}{ages}", Mood.QUIET))
    right: Spans = [(frame.record.text, frame.record.mood)]
    if frame.fault:
        return [price, [(printable(frame.fault), Mood.BAD)]]
    second = _spread(feed, right, width)
    # What is wrong with the record comes before everything else about the feed.
    return [price, second if second is not feed else _spread(right, feed[1:3], width)]


def chart(frame: Frame, width: int, height: int) -> list[Spans]:
    """Returns the plot of the last 20 minutes under its legend."""
    legend: Spans = [("Last 20 minutes", Mood.TITLE)]
    newest = frame.evaluated
    values = (None, None, None) if newest is None else (newest.price, newest.vwap_1m, newest.vwap_5m)
    for (mood, look, name), value in zip(LEGEND, values, strict=True):
        legend += [(SEPARATOR + look, mood), (f" {name} {share_price(value)}", mood)]
    return [legend, *plot(frame.points, frame.at, width, height - 1)]


def conditions(frame: Frame, width: int) -> list[Spans]:
    """Returns the gate, and each condition with value, limit and the strip of the last minute."""
    enabled = [row.is_met for row in frame.conditions if row.is_met is not None]
    met = f"{sum(enabled)} of {len(enabled)} conditions met" if enabled else "no second evaluated yet"
    when = "" if frame.evaluated is None else f" at {clock_text(frame.evaluated.start)}"
    gate: Spans = [(frame.gate.text, frame.gate.mood), (f"{SEPARATOR}{met}{when}", Mood.PLAIN)]
    right: Spans = [("last 60 s → now", Mood.QUIET)]
    return [_spread(gate, right, _row_width(width)), *(_condition(row, width) for row in frame.conditions)]


def _row_width(width: int) -> int:
    return WIDE if width >= WIDE else min(width, WIDE - STRIP_S // 2 - 1)


MOODS = {True: Mood.GOOD, False: Mood.BAD, None: Mood.QUIET}


def _condition(row: ConditionRow, width: int) -> Spans:
    name, value, needed = NAME, VALUE, NEEDED
    strip = _strip(row.strip, 1 if width >= WIDE else 2)
    gap = " " if width >= WIDE else ""
    return [
        (f"{MARKS[row.is_met]} ", MOODS[row.is_met]),
        (cut(row.short, name - 1).ljust(name), Mood.PLAIN),
        (cut(row.value, value).ljust(value) + " ", Mood.PLAIN),
        (cut(row.needed, needed).ljust(needed) + gap, Mood.QUIET),
        (strip, MOODS[True]),
    ]


def _strip(passes: Sequence[bool | None], seconds: int) -> str:
    """Returns the strip with so many seconds in a cell: filled where it was met, a dot where not, blank without a bar."""
    signs = {(False, False): "·", (True, True): "▄", (True, False): "▖", (False, True): "▗"}
    made = ""
    for index in range(0, len(passes), seconds):
        part = passes[index : index + seconds]
        first, last = part[0], part[-1]
        made += " " if first is None and last is None else signs[bool(first), bool(last)]
    return made


def position(frame: Frame, width: int) -> list[Spans]:
    """Returns the open position with its mark, peak, levels and result; or that there is none."""
    held = frame.position
    return _flat(held) if isinstance(held, Flat) else _open(held, frame.at)


def _flat(flat: Flat) -> list[Spans]:
    limit = f" of at most {flat.entries_max}" if flat.entries_max else ""
    first: Spans = [
        ("No open position", Mood.TITLE),
        (f"{SEPARATOR}entries today: {flat.entries}{limit}", Mood.PLAIN),
    ]
    if flat.last is None:
        return [first, [], []]
    last = flat.last
    text = f"Last: {last.contract} #{last.id}  "
    return [
        first,
        [
            (text, Mood.PLAIN),
            (signed_percent(flat.last_percent), _sign(flat.last_percent)),
            (f" at mark {option_price(last.mark)}", Mood.PLAIN),
        ],
        [
            (
                f"Sold for: {last.reason}; entry {option_price(last.entry)}, bid {option_price(last.bid)}, "
                f"peak {option_price(last.peak)}",
                Mood.QUIET,
            )
        ],
    ]


def _open(held: OpenPosition, at: int) -> list[Spans]:
    age = span_text(held.mark_age)
    if held.mark is None:
        mark: Spans = [(f"P&L n/a: no usable mark for {age}", Mood.BAD)]
    else:
        mark = [
            ("P&L ", Mood.PLAIN),
            (signed_percent(held.bid_percent), _sign(held.bid_percent)),
            (f" at bid {option_price(held.bid)}×{held.bid_size:g}, ", Mood.PLAIN),
            (signed_percent(held.mark_percent), _sign(held.mark_percent)),
            (f" at mark {option_price(held.mark)}", Mood.PLAIN),
            (f" ({age} ago)", Mood.QUIET),
        ]
    return [
        [
            (f"{held.contract} #{held.id}", Mood.TITLE),
            (
                f"{SEPARATOR}entry {option_price(held.entry)} at {clock_text(held.opened_at)}, "
                f"held {span_text(at - held.opened_at)}",
                Mood.PLAIN,
            ),
        ],
        [*mark, (f"{SEPARATOR}peak {option_price(held.peak)}", Mood.PLAIN)],
        [
            (
                f"Sells at: stop {option_price(held.stop)}, giveback {option_price(held.hard_level)}, "
                f"below VWAP {option_price(held.vwap_level)}, {minute_text(held.time_stop)} ET",
                Mood.PLAIN,
            )
        ],
    ]


def _sign(percent: float | None) -> Mood:
    return Mood.QUIET if percent is None else Mood.GOOD if percent >= 0 else Mood.BAD


def said(frame: Frame, width: int, height: int) -> list[Spans]:
    """Returns what happened last, the newest at the bottom; nothing yet is said, too."""
    lines: list[Spans] = []
    for item in reversed(frame.said):
        left = height - len(lines)
        if not left:
            break
        lines = [*_item(item, width, left), *lines]
    if not lines:
        lines = [[("Nothing has happened yet", Mood.QUIET)]]
    return [*lines, *([] for _ in range(height - len(lines)))]


def _item(item: Said, width: int, height: int) -> list[Spans]:
    """Returns what happened in at most ``height`` lines; the last one may be too long."""
    mood = Mood.WARN if item.is_warning else Mood.PLAIN
    parts = textwrap.wrap(printable(item.text).replace(VARIATION, ""), width - len(AT) - 1) or [""]
    if len(parts) > height:
        parts = [*parts[: height - 1], " ".join(parts[height - 1 :])]
    times = [f"{clock_text(item.at)} ", *[AT] * (len(parts) - 1)]
    return [[(time, Mood.QUIET), (part, mood)] for time, part in zip(times, parts, strict=True)]
