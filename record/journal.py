"""Writes a session's record. Nothing else does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from config import VERSION
from events import Decision, Event, Session
from record.anew import written_anew
from record.disk import (
    DiskFile,
    File,
    Opener,
    Place,
    Taken,
    closed_quietly,
    place_of,
    words,
)
from record.lines import SCHEMA, Bare, Entry, Header, encode
from record.reader import Reader
from record.tail import HeldBack, Tail
from rules import Rules
from threads import DaemonThread, LazyThread, Threads

log = structlog.get_logger("journal")

HELD_BACK_MAX = 64 * 1024 * 1024
"""The most bytes that wait in memory while the disk cannot be written. A busy session has 60 million."""

OTHER_FILE = "Another file stands in its place"
OTHER_WRITER = "Another copy of the program writes it"

Result = TypeVar("Result")


class Journal:
    """The only writer of a session's record. A write goes to the page cache; a thread waits for the disk.

    While the file cannot be written, `is_off` is True: lines are held back, and `look` writes them later, in order.
    """

    def __init__(
        self,
        path: Path,
        opener: Opener = DiskFile,
        held_back_max: int = HELD_BACK_MAX,
        threads: Threads = DaemonThread,
        pid: int | None = None,
    ) -> None:
        """``pid`` goes into the headers; None: this process's."""
        self.path = path
        self._pid = os.getpid() if pid is None else pid
        self._opener = opener
        self._tail = Tail(path, opener)
        self._thread = LazyThread(threads, "record")
        self.fault: str | None = None
        """Why nothing can be written at present, in words; None while everything is written."""
        self._number = 0
        """Arrival number of the last fact."""
        self._held = HeldBack(held_back_max)
        self._is_given_up = self._is_closed = False
        self._is_looking = False
        self._is_moving = False
        """Whether a thread is copying the file to a new one under its name. Meanwhile lines are held back."""
        self._unsynced: list[asyncio.Future[bool]] = []
        """The syncs that wait for that copy."""
        self._unsynced_fault: str | None = None
        """Why the last fsync failed, in words; None once the file was copied anew. A second fsync would prove nothing:
        after lost writes the kernel reports the error only once."""

    @property
    def is_off(self) -> bool:
        """Returns whether some appended line is not in the file yet."""
        return self.fault is not None

    def begin(
        self,
        rules: Rules,
        session: Session,
        now: int,
        past: Reader | None = None,
        *,
        simulated: bool = False,
    ) -> None:
        """Writes the header of a start: into a new file, or after the lines of an earlier start.

        ``past`` has read those to their end. ``now`` is µs of UTC. ``simulated``: see `Header`. Raises Taken if another
        process writes the record.
        Never raises OSError: see `fault`.
        """
        if past is not None:
            self._tail.go_on(past)
            self._held.seed, self._number = past.seed, past.number
        header = Header(
            schema=SCHEMA,
            version=VERSION,
            rules=rules.model_dump(mode="json"),
            rules_hash=rules.digest(),
            session=session,
            now=now,
            pid=self._pid,
            simulated=simulated,
        )
        self._held.add(encode(header))
        try:
            self._try()
        except Taken:
            self._held.clear()  # the header must not get into another process's record
            raise

    def append(self, now: int, event: Event, decisions: Sequence[Decision]) -> None:
        """Writes a fact, the time it was handled (µs), and the decisions it caused, in one write.

        Never raises OSError: see `fault`.
        """
        if self._held.is_full:
            self._is_given_up = True
            return
        self._number += 1
        made = tuple(decisions)
        line = Entry(now, self._number, event, made) if made else Bare(now, self._number, event)
        self._held.add(encode(line))
        if self.fault is None and not self._is_moving:
            self._flush()

    # --- Trying again ---

    def look(self) -> None:
        """Checks that the name still leads to the file and that nobody changed it, and writes the lines held back.

        Never waits: `fault` shows the result a little later. Copies the file anew if it was moved or removed, or if the
        disk has lost writes.
        """
        if self._tail.file is None:
            self.retry()
        elif not (self._is_looking or self._is_moving or self._is_given_up):
            self._is_looking = True
            self._thread.submit(partial(place_of, self.path)).add_done_callback(self._looked)

    def _looked(self, looking: asyncio.Future[Place | None]) -> None:
        self._is_looking = False
        file = self._tail.file
        if self._is_closed or file is None:
            return
        try:
            found, ours = looking.result(), file.place()
        except OSError as error:
            self.fault = words(error)
            return
        replaced: Place | None = None
        if found is None:
            why = f"was gone from {self.path}"
        elif found[:2] != ours[:2]:
            self.fault = OTHER_FILE
            return
        elif self._unsynced_fault is None:
            self.retry()
            return
        elif (fault := self._tail.mend(file, self._held.lines)) is not None:
            self.fault = fault
            return
        else:
            why, replaced = f"could not be flushed to disk ({self._unsynced_fault})", ours
        self._is_moving = True
        anew = partial(written_anew, file, self._tail.size, self.path, self._opener, replaced)
        self._thread.submit(anew).add_done_callback(partial(self._moved, why))

    def _moved(self, why: str, moving: asyncio.Future[File]) -> None:
        self._is_moving = False
        unsynced, self._unsynced = self._unsynced, []
        match moving.exception():
            case None:
                self._change_to(moving.result(), why)
            case OSError() as error:
                self.fault = _fault_of(error)
            case Taken():
                self.fault = OTHER_WRITER
            case error:
                raise error
        for written in unsynced:
            self._sync(written)

    def _change_to(self, file: File, why: str) -> None:
        """Goes on in the new copy of the file."""
        old = self._tail.file
        if self._is_closed or old is None:
            closed_quietly(file)
            return
        self._tail.file = file
        self._thread.submit(partial(closed_quietly, old))
        self.fault = self._unsynced_fault = None
        self._flush()
        log.warning(
            "record_written_anew",
            text=f"📼 The session's record {why}: rewritten in full",
            path=str(self.path),
        )

    def retry(self) -> bool:
        """Writes the lines held back. Returns whether everything is written now."""
        try:
            self._try()
        except Taken:
            self.fault = OTHER_WRITER
        return not self.is_off

    def _try(self) -> None:
        """Opens the file if needed, checks that nobody changed it, and writes the lines held back. Raises Taken."""
        if self._is_given_up or self._is_moving:
            return  # after giving up, facts were dropped: the record must end before them
        try:
            if self._tail.file is None:
                self._tail.open()
            file = self._tail.file
            assert file is not None, "it is open, or an error was raised"
            self.fault = self._tail.mend(file, self._held.lines)
        except OSError as error:
            self.fault = _fault_of(error)
        if self.fault is None:
            self._flush()
            self.fault = self.fault or self._unsynced_fault

    def _flush(self) -> None:
        file = self._tail.file
        if file is None or not self._held.lines:
            return
        fault = self._tail.write(file, b"".join(self._held.lines))
        if fault is None:
            self._held.clear()
        else:
            self.fault = fault

    # --- The disk ---

    def sync(self) -> asyncio.Future[bool]:
        """Begins to sync the file, in the thread. The future's result is whether everything written is on the disk."""
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._is_moving:
            self._unsynced.append(written)
        else:
            self._sync(written)
        return written

    def _sync(self, written: asyncio.Future[bool]) -> None:
        if written.cancelled():
            return
        if self.is_off or self._tail.file is None or self._is_closed:
            written.set_result(False)
        else:
            self._thread.submit(self._tail.file.sync).add_done_callback(partial(self._synced, written))

    def _synced(self, written: asyncio.Future[bool], syncing: asyncio.Future[None]) -> None:
        if written.cancelled():
            return  # nobody waits any more
        match syncing.exception():
            case None:
                written.set_result(True)
            case OSError() as error:
                self.fault = self._unsynced_fault = words(error)
                written.set_result(False)
            case error:
                written.set_exception(error)

    def close(self) -> asyncio.Future[None] | None:
        """Closes the file without waiting for the disk. Logs how many lines could not be written.

        Returns a future if the thread closes it: another writer of the file must wait for that.
        """
        if self._held.lines:
            reason = self.fault or "The disk has not answered"
            log.error(
                "record_incomplete",
                text=f"🛑 The record is missing its last {len(self._held.lines)} lines: {reason}",
                lines=len(self._held.lines),
            )
        self._is_closed = True
        file, self._tail.file = self._tail.file, None
        if not self._thread.is_started:
            if file is not None:
                closed_quietly(file)
            return None
        closing = None if file is None else self._thread.submit(partial(closed_quietly, file))
        self._thread.last()
        return closing


def _fault_of(error: OSError) -> str:
    return OTHER_FILE if isinstance(error, FileExistsError) else words(error)
