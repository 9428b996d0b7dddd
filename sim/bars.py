"""Plain bars from CSV files as the facts of a live session: each arrives 2 s after its end."""

from __future__ import annotations

import csv
import functools
import gzip
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import msgspec

from events import SECOND, Bar, Event, FeedRestored, Session, Tick
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

HOUR_US = 3600 * SECOND
GZIP_MAGIC = b"\x1f\x8b"


class BadFile(Exception):
    """A file that cannot be read as bars: which, where, and why."""


class BadRow(Exception):
    """A row that is no bar: why."""


class Loaded(msgspec.Struct, kw_only=True):
    """The bars of all files by the New York date of their session, each in the order of arrival, and what was left out."""

    sessions: dict[str, tuple[Session, list[Bar]]]
    rows: int = 0
    bad: int = 0
    shown: list[str] = []
    others: Counter[str] = msgspec.field(default_factory=Counter)
    outside: int = 0

    def notes(self) -> list[str]:
        """What was left out, in words."""
        notes = list(self.shown)
        if self.bad > len(self.shown):
            notes.append(f"… and {self.bad - len(self.shown):,} bad rows more")
        if self.bad:
            notes.append(f"{self.bad:,} of {self.rows:,} rows are bad and left out")
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

    Raises BadFile for a file without the columns, or an archive that breaks off; OSError when one cannot be read.
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
    columns = _columns(path, next(lines, ""))
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        loaded.rows += 1
        try:
            bar = _bar(line, columns)
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
    number = 0
    with path.open("rb") as raw:
        is_packed = raw.peek(2)[:2] == GZIP_MAGIC
        try:
            for line in gzip.GzipFile(fileobj=raw) if is_packed else raw:
                number += 1
                if number % TOLD_EVERY == 0:
                    progress(raw.tell())
                yield line.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadFile(f"{path}, after line {number}: the archive is broken ({error})") from error


def _columns(path: Path, line: str) -> dict[str, int]:
    """Where each column stands. Raises BadFile when one is missing or stands there twice."""
    try:
        names = [name.strip().lower() for name in next(csv.reader([line]), [])]
    except csv.Error as error:
        raise BadFile(f"{path}, line 1: not CSV ({error})") from None
    if missing := [name for name in COLUMNS if name not in names]:
        raise BadFile(f"{path}, line 1: no column {', '.join(missing)}; takes {','.join(COLUMNS)}")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise BadFile(f"{path}, line 1: column {', '.join(twice)} twice")
    return {name: names.index(name) for name in COLUMNS}


def _bar(line: str, columns: dict[str, int]) -> Bar:
    """The bar of a row. Raises BadRow for anything that is not one."""
    try:
        cells = next(csv.reader([line]))
    except csv.Error as error:
        raise BadRow(f"not CSV ({error})") from None
    if len(cells) <= max(columns.values()):
        raise BadRow(f"{len(cells)} cells are too few")
    cell = {name: cells[index].strip() for name, index in columns.items()}
    symbol = cell["sym"].upper()
    if not symbol:
        raise BadRow("no symbol")
    start_ms = cell["start_ms"]
    if not (start_ms.isascii() and start_ms.isdigit()):
        raise BadRow(f"start_ms {start_ms!r} is not a whole number")
    start = int(start_ms[:20])
    if not START_MS_MIN <= start < START_MS_MAX or start % MILLI:
        raise BadRow(f"start_ms {start_ms} is not the milliseconds of a whole second since 1970")
    opening, high, low, close = (_number(cell, name) for name in ("open", "high", "low", "close"))
    volume, vwap = _number(cell, "volume", may_be_zero=True), _number(cell, "vwap", may_be_zero=True)
    if high < low:
        raise BadRow(f"high {high!r} is below low {low!r}")
    if vwap == 0:
        if volume:
            raise BadRow("vwap is 0 with a volume")
        vwap = close  # without volume it weighs nothing
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


def _number(cell: dict[str, str], name: str, *, may_be_zero: bool = False) -> float:
    text = cell[name]
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not (0 < value < math.inf or (may_be_zero and value == 0)):
        raise BadRow(f"{name} {text[:40]!r} is not a number {'from 0 up' if may_be_zero else 'over 0'}")
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
