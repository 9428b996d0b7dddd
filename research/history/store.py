"""The history on disk: one folder a session, `SYMBOL/DATE/`, of Parquet files and `source.json`. It is whole or absent.

Each file is written beside and renamed, `source.json` last: a folder without one never counts. A block of quotes that is
there is complete, and is never asked for again.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

import utils
from config import VERSION
from errors import OurError
from events import Bar
from research.history.session import Block, Call, ContractQuotes, PastSession, QuoteRow

BARS, CALLS, QUOTES, BLOCKS, SOURCE = (
    "bars.parquet",
    "calls.parquet",
    "quotes.parquet",
    "blocks.parquet",
    "source.json",
)

RECORD = "record.jsonl.gz"
"""The live program's own record, beside what was taken from it."""

GZIP_MAGIC = b"\x1f\x8b"

BAR_COLUMNS = ("symbol", "start", "open", "high", "low", "close", "volume", "vwap")
BAR_SCHEMA = {"symbol": pl.String, "start": pl.Int64, **dict.fromkeys(BAR_COLUMNS[2:], pl.Float64)}
CALL_SCHEMA = {"contract": pl.String, "strike": pl.Int64, "shares": pl.Float64}
QUOTE_SCHEMA = {
    "contract": pl.String,
    "at": pl.Int64,
    "bid": pl.Int64,
    "ask": pl.Int64,
    "bid_size": pl.Float64,
    "ask_size": pl.Float64,
}
BLOCK_SCHEMA = {"contract": pl.String, "number": pl.Int64}

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.]{0,15}", re.ASCII)


class HistoryError(OurError):
    """The history, or a session of it, cannot be used: why, in a line."""


class State(StrEnum):
    """What a session of the history is good for."""

    WHOLE = "whole"
    """Bars and every quote that the rules asked for when it was fetched."""
    BARS_ONLY = "bars only"
    """The plan has no quotes: the signal layer can be computed, and nothing else."""
    PARTIAL = "incomplete"
    """Being fetched, or ended while it was: the next fetch goes on."""
    LEFT_OUT = "left out"
    """Too little of it is there, or it is not what was asked for."""


class Origin(StrEnum):
    """Where a session comes from."""

    VENDOR = "vendor"
    RECORD = "record"
    """The live program's own record."""
    FILES = "files"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session comes from, and what is wrong with it."""

    symbol: str
    benchmark: str
    date: str
    kind: Origin
    origin: str
    """The vendor's address, or the names of the files."""
    version: str = VERSION
    fetched_at: int = 0
    """µs of UTC."""
    requests: int = 0
    state: State = State.WHOLE
    rules: tuple[str, ...] = ()
    """The hashes of the rules for which no quote is missing."""
    faults: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    simulated: bool = False


class History:
    """The sessions below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # --- What is there ---

    def dates(self, symbol: str) -> list[str]:
        """Returns the dates of which there is a session, the oldest first."""
        return [path.name for path in self._sessions(symbol) if (path / SOURCE).is_file()]

    def _sessions(self, symbol: str) -> Iterator[Path]:
        folder = self.folder / symbol
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            if _is_date(path.name) and path.is_dir():
                yield path

    def symbols(self) -> list[str]:
        """Returns the symbols of which there is a session."""
        if not self.folder.is_dir():
            return []
        found = sorted(path.name for path in self.folder.iterdir() if SYMBOL.fullmatch(path.name))
        return [name for name in found if self.dates(name)]

    def source(self, symbol: str, day: str) -> Source | None:
        """Returns where a session comes from; None if there is none. Raises HistoryError if that cannot be read."""
        path = self._folder(symbol, day) / SOURCE
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Source)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, ValueError) as error:
            raise HistoryError(
                f"{path}: is damaged ({error}); remove its folder and fetch the session again"
            ) from None
        if (found.symbol, found.date) != (symbol, day):
            raise HistoryError(f"{path}: is of {found.symbol} on {found.date}, not of {symbol} on {day}")
        return found

    def read(self, symbol: str, day: str) -> PastSession:
        """Returns a session. Raises HistoryError if it is absent or damaged."""
        source = self.source(symbol, day)
        session = utils.session_on(date.fromisoformat(day))
        if source is None or session is None:
            raise HistoryError(f"{self._folder(symbol, day)}: there is no session of {symbol} on {day}")
        folder = self._folder(symbol, day)
        bars = _bars(_table(folder / BARS, BAR_SCHEMA))
        calls = [Call(*row) for row in _table(folder / CALLS, CALL_SCHEMA).iter_rows()]
        quotes = _quotes(_table(folder / QUOTES, QUOTE_SCHEMA), _table(folder / BLOCKS, BLOCK_SCHEMA))
        return PastSession(symbol, source.benchmark, session, bars, calls, quotes)

    def record(self, symbol: str, day: str) -> Path:
        """Returns where the record of a session is that came from one."""
        return self._folder(symbol, day) / RECORD

    # --- Writing ---

    def write(self, source: Source, past: PastSession, record: Path | None = None) -> None:
        """Writes a session, or replaces it. ``record``: the live program's record of it, which is copied.

        Raises OSError; then what was there before stands.
        """
        folder = self._folder(source.symbol, source.date)
        part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            _frame(
                ([getattr(bar, name) for name in BAR_COLUMNS] for bar in past.bars), BAR_SCHEMA
            ).write_parquet(part / BARS)
            _frame(
                ((call.contract, call.strike, call.shares) for call in past.calls), CALL_SCHEMA
            ).write_parquet(part / CALLS)
            every = [past.quotes[name] for name in sorted(past.quotes)]
            _frame(
                ((found.contract, *row) for found in every for row in found.rows), QUOTE_SCHEMA
            ).write_parquet(part / QUOTES)
            _frame(
                ((found.contract, number) for found in every for number in sorted(found.known)), BLOCK_SCHEMA
            ).write_parquet(part / BLOCKS)
            if record is not None:
                _copy_packed(record, part / RECORD)
            (part / SOURCE).write_bytes(msgspec.json.format(msgspec.json.encode(source)) + b"\n")
            _put_on_disk(part)
            self._replace(folder, part)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

    def _replace(self, folder: Path, part: Path) -> None:
        """Gives the new folder its name. A folder cannot be replaced at once, so the old one goes aside first."""
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)

    def mend(self, symbol: str) -> None:
        """Puts right what a killed process has left: an old folder comes back if the new one is not there."""
        folder = self.folder / symbol
        if not folder.is_dir():
            return
        for path in sorted(folder.iterdir()):
            left = re.fullmatch(r"\.(\d{4}-\d{2}-\d{2})\.\d+\.(part|old)", path.name)
            if left is None:
                continue
            home = folder / left[1]
            if left[2] == "old" and not (home / SOURCE).is_file() and (path / SOURCE).is_file():
                shutil.rmtree(home, ignore_errors=True)
                path.rename(home)
            else:
                shutil.rmtree(path, ignore_errors=True)

    def _folder(self, symbol: str, day: str) -> Path:
        if not SYMBOL.fullmatch(symbol) or not _is_date(day):
            raise HistoryError(f"{symbol} on {day}: is no session's name")
        return self.folder / symbol / day


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _frame(rows: Iterable[Any], schema: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def _table(path: Path, schema: dict[str, Any]) -> pl.DataFrame:
    """Returns a table with exactly these columns. Raises HistoryError for another, or for a damaged or absent file."""
    try:
        found = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise HistoryError(
            f"{path}: cannot be read ({type(error).__name__}); fetch the session again"
        ) from None
    if dict(found.schema) != {name: kind() for name, kind in schema.items()}:
        raise HistoryError(f"{path}: has other columns than this version writes; fetch the session again")
    if any(count for count in found.null_count().row(0)) if len(found.columns) and found.height else False:
        raise HistoryError(f"{path}: has empty cells; fetch the session again")
    return found


def _bars(table: pl.DataFrame) -> list[Bar]:
    return [Bar(**dict(zip(BAR_COLUMNS, row, strict=True))) for row in table.iter_rows()]


def _quotes(quotes: pl.DataFrame, blocks: pl.DataFrame) -> dict[str, ContractQuotes]:
    known: dict[str, set[int]] = {}
    rows: dict[str, list[QuoteRow]] = {}
    for contract, number in blocks.iter_rows():
        known.setdefault(contract, set()).add(number)
    for contract, *values in quotes.iter_rows():
        rows.setdefault(contract, []).append(QuoteRow(*values))
    return {
        name: ContractQuotes(name, rows.get(name, []), frozenset(numbers)) for name, numbers in known.items()
    }


def with_blocks(past: PastSession, found: Iterable[tuple[Block, list[QuoteRow]]]) -> PastSession:
    """Returns the session with more blocks of quotes; each ``found`` is complete."""
    added: dict[str, list[tuple[Block, list[QuoteRow]]]] = {}
    for block, rows in found:
        added.setdefault(block.contract, []).append((block, rows))
    quotes = dict(past.quotes)
    for contract, items in added.items():
        before = quotes.get(contract)
        rows = [] if before is None else list(before.rows)
        known = set() if before is None else set(before.known)
        for block, more in items:
            if block.number not in known:
                rows += more
                known.add(block.number)
        quotes[contract] = ContractQuotes(contract, sorted(rows), frozenset(known))
    return past._replace(quotes=quotes)


def _copy_packed(source: Path, target: Path) -> None:
    """Copies a record as it is if it is packed, and packs it if it is not."""
    with source.open("rb") as file, target.open("wb") as out:
        if file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC):
            shutil.copyfileobj(file, out)
            return
        with gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=0) as packed:
            shutil.copyfileobj(file, packed)


def _put_on_disk(folder: Path) -> None:
    """Waits until the files of a folder, and their names, are on the disk."""
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
