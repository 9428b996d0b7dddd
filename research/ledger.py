"""Every set of rules that was ever run on a session, counted for good, and every time the vault was opened.

The best of many looks good by chance alone. So N is what stands here for the span, not what the last command did.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from errors import OurError

FILE = "trials.sqlite"
APPLICATION_ID = 0x49575452
"""`IWTR`: another program's database is never written to."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS trial (
    rules TEXT NOT NULL, symbol TEXT NOT NULL, session TEXT NOT NULL, first_at INTEGER NOT NULL, command TEXT NOT NULL,
    PRIMARY KEY (rules, symbol, session)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS opening (at INTEGER NOT NULL, symbol TEXT NOT NULL, rules TEXT NOT NULL, sessions INTEGER NOT NULL);
"""
BUSY_S = 30.0


class LedgerError(OurError):
    """The ledger cannot be used: why, in a line."""


class Opening(NamedTuple):
    """A time that the vault was opened: when (µs of UTC), under which rules, and how many sessions were shown."""

    at: int
    rules: str
    sessions: int


class Entry(NamedTuple):
    """A set of rules that was run: its hash, when first (µs of UTC) and by which command, and on how many sessions."""

    rules: str
    first_at: int
    command: str
    sessions: int


class Ledger:
    """The ledger of a history. Raises LedgerError, and nothing else, when it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def enter(self, rules: str, symbol: str, sessions: Sequence[str], *, at: int, command: str) -> None:
        """Enters a set of rules (its hash) as run on sessions. What is entered already stays as it is."""
        with self._open() as book:
            book.executemany(
                "INSERT OR IGNORE INTO trial VALUES (?, ?, ?, ?, ?)",
                [(rules, symbol, session, at, command) for session in sessions],
            )

    def trials(self, symbol: str, sessions: Iterable[str]) -> int:
        """Returns how many distinct sets of rules were ever run on any of the sessions."""
        span = sorted(sessions)
        if not span or not self.path.exists():
            return 0
        with self._open() as book:
            row = book.execute(
                "SELECT COUNT(DISTINCT rules) FROM trial WHERE symbol = ? AND session BETWEEN ? AND ?",
                (symbol, span[0], span[-1]),
            ).fetchone()
        return int(row[0])

    def entries(self, symbol: str, sessions: Iterable[str]) -> list[Entry]:
        """Returns every set of rules that was ever run within the span of the sessions, the first one first."""
        span = sorted(sessions)
        if not span or not self.path.exists():
            return []
        with self._open() as book:
            rows = book.execute(
                "SELECT rules, MIN(first_at), command, COUNT(*) FROM trial WHERE symbol = ? AND session BETWEEN ? AND ? "
                "GROUP BY rules ORDER BY MIN(first_at), rules",  # the command is that of the smallest first_at
                (symbol, span[0], span[-1]),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def open_vault(self, symbol: str, rules: str, sessions: int, *, at: int) -> None:
        """Enters that the vault was opened."""
        with self._open() as book:
            book.execute("INSERT INTO opening VALUES (?, ?, ?, ?)", (at, symbol, rules, sessions))

    def openings(self, symbol: str) -> list[Opening]:
        """Returns every time that the vault was opened, the oldest first."""
        if not self.path.exists():
            return []
        with self._open() as book:
            rows = book.execute(
                "SELECT at, rules, sessions FROM opening WHERE symbol = ? ORDER BY at", (symbol,)
            ).fetchall()
        return [Opening(*row) for row in rows]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_S)) as book:
                self._check(book)
                with book:
                    yield book
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"{self.path}: the ledger of trials cannot be used ({error})") from None

    def _check(self, book: sqlite3.Connection) -> None:
        (found,) = book.execute("PRAGMA application_id").fetchone()
        tables = book.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if found != APPLICATION_ID and (found or tables):
            raise LedgerError(f"{self.path}: is another program's database, and stays as it is")
        book.executescript(f"PRAGMA application_id = {APPLICATION_ID}; {SCHEMA}")
