"""A file of daily results, read with doubt: what is absent, empty or absurd is named by its line, never guessed."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np

import utils
from research.statistics.days import Results
from review.places import Unusable
from utils import plural_s

LARGEST_FILE = 256 * 1024 * 1024
LARGEST_RESULT = 1_000.0
"""A day that multiplies the stake by more is no result."""

PERCENT_DOUBT = 1.0
"""If half of a trial's days with a result go beyond this, they are probably percentages."""

DAY = "day"
FIRST_YEAR, LAST_YEAR = 1900, 2199
"""Results of other years are slips of the hand."""


class TrackRecord(NamedTuple):
    """Daily results of one or more trials. ``columns`` has a row a day, the oldest first, and a column a trial."""

    days: tuple[date, ...]
    names: tuple[str, ...]
    columns: Results
    notes: tuple[str, ...]
    """What is odd about the file, in words."""


def read(path: Path) -> TrackRecord:
    """Reads a CSV file with the column ``day`` and one column for each trial; results are fractions of the stake.

    Raises Unusable, which names the line, and OSError.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise Unusable(f"{path}: is larger than {LARGEST_FILE // 1024**2} MB")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = _Rows(path, csv.reader(file, strict=True))
            names = rows.header()
            found = dict(rows.results(len(names)))
    except UnicodeDecodeError as error:
        raise Unusable(f"{path}: is not a text file in UTF-8 (byte {error.start:,})") from None
    except csv.Error as error:
        raise Unusable(f"{path}: is no CSV file: {error}") from None
    if not found:
        raise Unusable(f"{path}: has no day")
    days = sorted(found)
    columns = np.array([found[day] for day in days], dtype=np.float64)
    notes = [*_order_notes(list(found)), *_calendar_notes(days), *_percent_notes(names, columns)]
    return TrackRecord(tuple(days), names, columns, tuple(notes))


class _Rows:
    """The lines of the file, one by one."""

    def __init__(self, path: Path, reader: Iterator[list[str]]) -> None:
        self._path = path
        self._reader = reader
        self._lines: dict[date, int] = {}

    def header(self) -> tuple[str, ...]:
        """Returns the names of the trials."""
        names = [name.strip() for name in next(self._reader, [])]
        if not names or names[0] != DAY or len(names) == 1:
            got = ",".join(names)[:80]
            raise Unusable(
                f"{self._path}, line 1: must be the names of the columns, separated by commas: day and one for each "
                f"trial, such as day,result; it is {got!r}"
            )
        if len(set(names)) < len(names) or not all(names):
            raise Unusable(f"{self._path}, line 1: each column needs a name of its own")
        return tuple(names[1:])

    def results(self, trials: int) -> Iterator[tuple[date, list[float]]]:
        """Yields each day with its results."""
        for line, cells in enumerate(self._reader, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{self._path}, line {line}"
            if len(cells) != trials + 1:
                raise Unusable(f"{where}: has {len(cells)} cells instead of {trials + 1}")
            day = _day(where, cells[0].strip())
            if day in self._lines:
                raise Unusable(f"{where}: {day} stands on line {self._lines[day]}, too")
            self._lines[day] = line
            yield day, [_result(where, cell.strip()) for cell in cells[1:]]


def _day(where: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise Unusable(f"{where}: a day is written YYYY-MM-DD, not {text[:40]!r}")
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise Unusable(f"{where}: {day} lies outside {FIRST_YEAR} to {LAST_YEAR}")
    return day


def _result(where: str, text: str) -> float:
    if not text:
        raise Unusable(
            f"{where}: a result is empty; write 0 for a session without a trade, and leave out a day that is unknown"
        )
    if text.endswith("%"):
        raise Unusable(f"{where}: results are fractions: write 0.015 instead of {text[:40]!r}")
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Unusable(f"{where}: a result is a number such as -0.0153, not {text[:40]!r}")
    if abs(value) > LARGEST_RESULT:
        raise Unusable(f"{where}: {text[:40]} is no day's result: results are fractions of the stake")
    return value


def _order_notes(days: Sequence[date]) -> list[str]:
    return (
        []
        if list(days) == sorted(days)
        else ["The days are not in order in the file. They are judged in order."]
    )


def _calendar_notes(days: Sequence[date]) -> list[str]:
    """Returns what the exchange's calendar says: sessions that are absent, and days that were none."""
    first, last = days[0].toordinal(), days[-1].toordinal()
    have = set(days)
    sessions = {
        day for day in map(date.fromordinal, range(first, last + 1)) if utils.session_on(day) is not None
    }
    absent, odd = len(sessions - have), sorted(have - sessions)
    notes: list[str] = []
    if absent:
        notes.append(
            f"{absent} session{plural_s(absent)} of the exchange from {days[0]} to {days[-1]} "
            f"{'is' if absent == 1 else 'are'} not in the file. If nothing was traded then, add "
            f"{'it' if absent == 1 else 'them'} with 0: without {'it' if absent == 1 else 'them'}, ratios come out too large."
        )
    if odd:
        notes.append(
            f"{len(odd)} day{plural_s(len(odd))} in the file, such as {odd[0]}, "
            f"{'was' if len(odd) == 1 else 'were'} no session of the exchange."
        )
    return notes


def _percent_notes(names: Sequence[str], columns: Results) -> list[str]:
    notes: list[str] = []
    for name, column in zip(names, columns.T, strict=True):
        moving = np.abs(column[column != 0])
        if len(moving) and float(np.median(moving)) > PERCENT_DOUBT:
            notes.append(
                f"Half of the results of {name} go beyond ±100 %. Are they percentages? Results are fractions: 0.015 is 1.5 %."
            )
    return notes
