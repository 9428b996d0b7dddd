"""Plain bars from CSV files as the facts of a live session: each arrives 2 s after its end.

A file is a person's: what is wrong in it is named by file and line, and nothing is guessed but a VWAP. Numbers have
the same bounds as on the wire.
"""

from __future__ import annotations

import csv
import functools
import gzip
import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import msgspec

from errors import OurError
from events import (
    PRICE_MAX,
    PRICE_MIN,
    SECOND,
    VOLUME_LIMIT,
    Bar,
    Event,
    FeedRestored,
    Session,
    Tick,
    is_vwap,
    typical_price,
)
from utils import new_york_date, session_on

COLUMNS = ("sym", "start_ms", "open", "high", "low", "close", "volume", "vwap")
MILLI = 1000
"""µs in a millisecond; and milliseconds in a second."""

DELAY_S = 2
"""The vendor holds a bar this long after its end."""

EARLY_S, LATE_S = 300, 30
"""The live program connects this long before the open, and leaves this long after the close."""

START_MS_MIN, START_MS_MAX = 631_152_000_000, 4_102_444_800_000
"""1990 and 2100: a start outside is not in milliseconds."""

SHOWN = 5
"""Bad rows that are shown; the others are counted."""

TOLD_EVERY = 1000
"""Rows between two words about the progress."""

LINE_BYTES = 16 * 1024
"""A row has about 80 bytes. A longer line is no row, and a file may be one line without end."""

UNPACKED_FREE, UNPACKED_RATIO = 4 * 1024 * 1024, 100
"""Beyond the first of these, an archive that unpacks to more than so many times its size holds no bars (they: 4 to 8)."""

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.:/^-]{0,31}", re.ASCII)

HOUR_US = 3600 * SECOND
GZIP_MAGIC = b"\x1f\x8b"


class BadFile(OurError):
    """A file that cannot be read as bars: which, where, and why."""


class BadRow(OurError):
    """A row that is no bar: why."""


class Loaded(msgspec.Struct, kw_only=True):
    """The bars of all files by the New York date of their session, each in the order of arrival, and what was left out."""

    sessions: dict[str, tuple[Session, list[Bar]]]
    rows: int = 0
    bad: int = 0
    shown: list[str] = []
    mended: int = 0
    """Rows whose VWAP cannot be one: the typical price stands in, as it does live."""
    repeats: int = 0
    """Rows of a second that an earlier row has told: they replace it, as a correction does live."""
    others: Counter[str] = msgspec.field(default_factory=Counter)
    outside: int = 0

    def notes(self) -> list[str]:
        """What was left out, in words."""
        notes = list(self.shown)
        if self.bad > len(self.shown):
            notes.append(f"… and {self.bad - len(self.shown):,} bad rows more")
        if self.bad:
            notes.append(f"{self.bad:,} of {self.rows:,} rows are bad and left out")
        if self.mended:
            notes.append(
                f"{self.mended:,} rows have a VWAP over 1% outside low and high: (high + low + close) / 3 is taken"
            )
        if self.repeats:
            notes.append(f"{self.repeats:,} rows repeat a second: the last of each counts")
        if self.others:
            names = ", ".join(sorted(self.others)[:SHOWN])
            notes.append(
                f"{self.others.total():,} rows of symbols that the rules do not watch ({names}) left out"
            )
        if self.outside:
            notes.append(
                f"{self.outside:,} rows long before the open, after the close, or of days without a session left out"
            )
        return notes


def arrival(bar: Bar) -> int:
    """When a bar arrives, µs."""
    return bar.end + DELAY_S * SECOND


def load(paths: Sequence[Path], symbols: Sequence[str], progress: Callable[[int], None]) -> Loaded:
    """Read the files and sort their bars into sessions. ``progress`` is told the number of bytes read.

    Raises BadFile for a file without the columns, with a line of no end, or an archive that breaks off or has no end;
    OSError when one cannot be read.
    """
    loaded = Loaded(sessions={})
    days: defaultdict[str, list[Bar]] = defaultdict(list)
    read = 0
    for path in paths:

        def tell(at: int, before: int = read) -> None:
            progress(before + at)

        for bar in _bars(path, symbols, loaded, tell):
            days[_date(bar.start // HOUR_US)].append(bar)
        read += path.stat().st_size
    for day in sorted(days):
        session = session_on(date.fromisoformat(day))
        if session is None:
            loaded.outside += len(days[day])
            continue
        begin, end = session.open - EARLY_S * SECOND, session.close + LATE_S * SECOND
        kept = [bar for bar in days[day] if begin <= arrival(bar) < end]
        loaded.outside += len(days[day]) - len(kept)
        loaded.repeats += len(kept) - len({(bar.symbol, bar.start) for bar in kept})
        if kept:
            # Sorted by arrival alone: what arrives together stays in the order of the files.
            loaded.sessions[day] = session, sorted(kept, key=arrival)
    return loaded


@functools.cache
def _date(hour: int) -> str:
    return new_york_date(hour * HOUR_US)


def _bars(
    path: Path, symbols: Sequence[str], loaded: Loaded, progress: Callable[[int], None]
) -> Iterator[Bar]:
    """The good bars of a file; the others are counted in ``loaded``."""
    lines = _lines(path, progress)
    header = next(lines, None)
    if header is None:
        raise BadFile(f"{path}: the file is empty; its first line must name {','.join(COLUMNS)}")
    columns = _columns(path, header)
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        loaded.rows += 1
        try:
            bar = _bar(line, columns, loaded)
        except BadRow as error:
            loaded.bad += 1
            if len(loaded.shown) < SHOWN:
                loaded.shown.append(f"{path}, line {number}: {error}")
            continue
        if bar.symbol in symbols:
            yield bar
        else:
            loaded.others[bar.symbol] += 1


def _lines(path: Path, progress: Callable[[int], None]) -> Iterator[str]:
    """The lines of a file, packed or not, whatever its name."""
    number = unpacked = 0
    with path.open("rb") as raw:
        is_packed = raw.peek(2)[:2] == GZIP_MAGIC
        file = gzip.GzipFile(fileobj=raw) if is_packed else raw
        try:
            while line := file.readline(LINE_BYTES):
                number += 1
                unpacked += len(line)
                if len(line) == LINE_BYTES:
                    raise BadFile(f"{path}, line {number}: over {LINE_BYTES:,} bytes long: no file of bars")
                if unpacked > UNPACKED_FREE and is_packed and unpacked > UNPACKED_RATIO * raw.tell():
                    raise BadFile(
                        f"{path}, after line {number}: unpacks to over {UNPACKED_RATIO} times its size: no bars"
                    )
                if number % TOLD_EVERY == 0:
                    progress(raw.tell())
                yield line.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadFile(f"{path}, after line {number}: the archive is broken ({error})") from error


class Columns(msgspec.Struct, frozen=True):
    """Where each column stands, and how many there are, unknown ones included."""

    places: dict[str, int]
    count: int


def _columns(path: Path, line: str) -> Columns:
    """Where each column stands. Raises BadFile when one is missing or stands there twice."""
    try:
        names = [name.strip().lower() for name in next(csv.reader([line]), [])]
    except csv.Error as error:
        raise BadFile(f"{path}, line 1: not CSV ({error})") from None
    if missing := [name for name in COLUMNS if name not in names]:
        raise BadFile(f"{path}, line 1: no column {', '.join(missing)}; takes {','.join(COLUMNS)}")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise BadFile(f"{path}, line 1: column {', '.join(twice)} twice")
    return Columns({name: names.index(name) for name in COLUMNS}, len(names))


def _bar(line: str, columns: Columns, loaded: Loaded) -> Bar:
    """The bar of a row. Raises BadRow for anything that is not one."""
    cell = _cells(line, columns)
    symbol = cell["sym"].upper()
    if not SYMBOL.fullmatch(symbol):
        raise BadRow(f"sym {symbol[:40]!r} is no symbol" if symbol else "no symbol")
    start = _start_ms(cell["start_ms"])
    opening, high, low, close = (
        _number(cell, name, PRICE_MIN, PRICE_MAX) for name in ("open", "high", "low", "close")
    )
    volume = _number(cell, "volume", 0, math.nextafter(VOLUME_LIMIT, 0))
    vwap = _number(cell, "vwap", 0, math.inf)
    if high < low:
        raise BadRow(f"high {high!r} is below low {low!r}")
    for name, value in (("open", opening), ("close", close)):
        if not low <= value <= high:
            raise BadRow(f"{name} {value!r} is outside low {low!r} and high {high!r}")
    if vwap == 0:
        if volume:
            raise BadRow("vwap is 0 with a volume")
        vwap = close  # without volume it weighs nothing
    elif not is_vwap(vwap, low, high):
        loaded.mended += 1
        vwap = typical_price(low, high, close)
    return Bar(
        symbol=symbol,
        start=start * MILLI,
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=volume,
        vwap=vwap,
    )


def _cells(line: str, columns: Columns) -> dict[str, str]:
    """The cells of a row by their columns. Raises BadRow unless there are as many as columns.

    One more, and every number behind it stands one place off: ``1,234`` without quotes is volume 1 and VWAP 234.
    Empty ones at the end are nothing.
    """
    try:
        cells = next(csv.reader([line]))
    except csv.Error as error:
        raise BadRow(f"not CSV ({error})") from None
    while len(cells) > columns.count and not cells[-1].strip():
        cells.pop()
    if len(cells) != columns.count:
        many = "few" if len(cells) < columns.count else "many"
        raise BadRow(f"{len(cells)} cells are too {many}: there are {columns.count} columns")
    return {name: cells[index].strip() for name, index in columns.places.items()}


def _start_ms(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise BadRow(f"start_ms {text[:40]!r} is not a whole number")
    start = int(text[:20])
    if not START_MS_MIN <= start < START_MS_MAX or start % MILLI:
        raise BadRow(f"start_ms {text[:40]} is not the milliseconds of a whole second since 1970")
    return start


def _number(cell: dict[str, str], name: str, least: float, most: float) -> float:
    text = cell[name]
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not least <= value <= most or value == math.inf:
        bounds = f"from {least:g} up" if most == math.inf else f"from {least:g} to {most:,.0f}"
        raise BadRow(f"{name} {text[:40]!r} is not a number {bounds}")
    return value


def facts(session: Session, bars: Sequence[Bar]) -> Iterator[tuple[int, Event]]:
    """The session as the engine would have got it: when (µs), and the fact. ``bars`` are in the order of arrival.

    A file cannot tell a silent feed from seconds without a trade, so its gaps make nobody blind: a tick follows the
    bars of each second, there is none where there are no bars, and the silence of one symbol means nothing.
    """
    yield session.open - EARLY_S * SECOND, FeedRestored(gaps_tell=False)
    for index, bar in enumerate(bars, start=1):
        now = arrival(bar)
        yield now, bar
        if index == len(bars) or arrival(bars[index]) > now:
            yield now, Tick()
