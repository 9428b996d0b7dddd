"""Writes a session of a backtest as a record, by the live program's own writer: `verify`, `why` and the page work on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from events import SECOND, Decision, Evaluation, Event, Session
from record.folder import PACKED_SUFFIX, record_path
from record.journal import Journal
from research.history.tape import EARLY_S, unsold
from review.places import BadArgument
from rules import Rules


def check_folder(folder: Path, days: Sequence[str]) -> None:
    """Raises BadArgument if a session's record is there already: nobody's record is ever replaced."""
    for day in days:
        path = record_path(folder, day)
        for found in (path, path.with_name(f"{day}{PACKED_SUFFIX}")):
            if os.path.lexists(found):
                raise BadArgument(f"--record {folder}: {found} is there already; choose another folder")


class RecordWriter:
    """Writes one session. The record gets its name when it is whole."""

    def __init__(self, folder: Path, day: str) -> None:
        self._path = record_path(folder, day)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._part = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        self._part.unlink(missing_ok=True)
        self._journal = Journal(self._part)

    def begin_session(self, rules: Rules, session: Session, *, is_simulated: bool) -> None:
        """Writes the header of a session that is run from history."""
        self.begin(unsold(rules), session, session.open - EARLY_S * SECOND, is_simulated=is_simulated)

    def begin(self, rules: Rules, session: Session, now: int, *, is_simulated: bool) -> None:
        """Writes the header of a start at ``now`` (µs)."""
        self._journal.begin(rules, session, now, simulated=is_simulated)

    def take(
        self, now: int, event: Event, decisions: Sequence[Decision], evaluation: Evaluation | None = None
    ) -> None:
        """Writes a fact and what was decided on it."""
        self._journal.append(now, event, decisions)

    def end(self) -> None:
        """Gives the record its name. Raises OSError if not all of it could be written."""
        fault = self._journal.fault
        self._journal.close()
        if fault is not None:
            self._part.unlink(missing_ok=True)
            raise OSError(None, fault, str(self._path))
        self._part.rename(self._path)
