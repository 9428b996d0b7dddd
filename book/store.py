"""The book on the disk: SQLite, written by the worker after each close and by ``diagnose.py days``."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from book.rows import DayRow, TradeRow
from errors import OurError

NAME = "book.sqlite"

SCHEMA = 1
"""The layout of the tables, in SQLite's ``user_version``. A book of a later one is left alone."""

APPLICATION = 0x49574D35
"""SQLite's ``application_id``: the letters IWM5. A database of another program is left alone."""

FILE_MODE = 0o600

WAIT_S = 5.0
"""How long a writer waits for another one: `diagnose.py days` and the worker may both write."""

TABLES = """
CREATE TABLE day (
    date TEXT PRIMARY KEY,
    facts TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE trade (
    date TEXT NOT NULL REFERENCES day (date) ON DELETE CASCADE,
    id TEXT NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (date, id)
) WITHOUT ROWID;
"""


BESIDE = ("-journal", "-wal", "-shm")
"""How the names of the files end that SQLite keeps beside a database. A journal is half of what a crash leaves."""


class BookError(OurError):
    """The book cannot be used; the text says why and what to do."""


class BookDamaged(BookError):
    """The book is no database, or holds what no book holds: only a new one helps."""


def path_in(data_dir: Path) -> Path:
    """Returns where the book is."""
    return data_dir / NAME


def enter(path: Path, days: Sequence[DayRow], *, wait_s: float = WAIT_S) -> None:
    """Enters sessions, or replaces what is entered of them. Makes the book if there is none.

    Waits ``wait_s`` seconds at most for another writer. Raises BookError; the book is then as it was.
    """
    with _opened(path, is_writer=True, wait_s=wait_s) as book:
        for day in days:
            _put(book, day)


def read(path: Path, first: str = "", last: str = "9999") -> list[DayRow]:
    """Returns the sessions from ``first`` to ``last`` (dates in ISO form), the oldest first. Raises BookError.

    A book that is not there, or was only just created, has none. Raises BookDamaged for a row that cannot be read.
    """
    if not os.path.lexists(path):
        return []
    with _opened(path, is_writer=False) as book:
        if _is_empty(book):
            return []
        days = book.execute(
            "SELECT date, facts FROM day WHERE date BETWEEN ? AND ? ORDER BY date", (first, last)
        ).fetchall()
        trades: dict[str, list[TradeRow]] = {}
        for date, facts in book.execute(
            "SELECT date, facts FROM trade WHERE date BETWEEN ? AND ?", (first, last)
        ):
            trades.setdefault(date, []).append(_decoded(path, facts, TradeRow))
    rows: list[DayRow] = []
    for date, facts in days:
        day = _decoded(path, facts, DayRow)
        if day.date != date:
            raise _damaged(path, f"the row of {date} holds {day.date}")
        made = sorted(trades.get(date, ()), key=lambda trade: trade.opened_at)
        rows.append(msgspec.structs.replace(day, trades=tuple(made)))
    return rows


def set_aside(path: Path) -> Path:
    """Renames a damaged book, so that a new one can be made. Returns its new name. Raises OSError.

    What SQLite keeps beside it goes along: without its journal a book can never be repaired.
    """
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.damaged-{number}")):
        number += 1
    path.rename(aside)
    for ending in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    return aside


def _put(book: sqlite3.Connection, day: DayRow) -> None:
    book.execute("DELETE FROM trade WHERE date = ?", (day.date,))
    book.execute(
        "INSERT OR REPLACE INTO day VALUES (?, ?)",
        (day.date, _encoded(msgspec.structs.replace(day, trades=()))),
    )
    book.executemany(
        "INSERT INTO trade VALUES (?, ?, ?)", [(day.date, trade.id, _encoded(trade)) for trade in day.trades]
    )


def _encoded(row: DayRow | TradeRow) -> str:
    return msgspec.json.encode(row).decode()


def _decoded(path: Path, facts: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(facts, type=kind)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, reason: str) -> BookDamaged:
    return BookDamaged(
        f"{path}: damaged ({reason}); python diagnose.py days --rebuild sets it aside and makes it again from the records"
    )


@contextlib.contextmanager
def _opened(path: Path, *, is_writer: bool, wait_s: float = WAIT_S) -> Iterator[sqlite3.Connection]:
    """Yields the book; what a writer did is kept if nothing is raised. Raises BookError for whatever is wrong with it."""
    try:
        if is_writer and not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE))
        if path.is_symlink() or not path.is_file():
            raise BookError(f"{path}: not an ordinary file; move it away")
        if not os.access(path, os.R_OK):  # SQLite would only say that it cannot open it
            raise BookError(f"{path}: this user may not read it; give it to this user, or move it away")
        # A reader may have to undo what a crash left half written, so it opens the book for writing, too, where it may.
        book = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=wait_s)
        with contextlib.closing(book), book:
            _check(path, book, is_writer=is_writer)
            yield book
    except sqlite3.OperationalError as error:  # locked, full, read-only: the book itself may be well
        raise BookError(f"{path}: {error}") from None
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        raise BookError(f"{path}: {error.strerror or error}") from None


def _check(path: Path, book: sqlite3.Connection, *, is_writer: bool) -> None:
    """Begins a writer's transaction, makes the tables of a new book, and refuses one that is not ours. Raises BookError."""
    if is_writer:
        book.execute("BEGIN IMMEDIATE")
    application, schema = (
        book.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if _is_empty(book) and not application:
        if is_writer:
            for statement in filter(str.strip, TABLES.split(";")):
                book.execute(statement)
            book.execute(f"PRAGMA application_id = {APPLICATION}")
            book.execute(f"PRAGMA user_version = {SCHEMA}")
        return
    if application != APPLICATION:
        raise BookError(f"{path}: a database of another program; move it away")
    if schema != SCHEMA:
        raise BookError(
            f"{path}: written by a later version of the program; update it, or move the file away"
        )


def _is_empty(book: sqlite3.Connection) -> bool:
    """Returns whether a database has no table, as a file that was created and never written."""
    return not book.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
