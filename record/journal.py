"""The one writer of a session's record."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from config import VERSION
from events import Decision, Event, Session
from record.disk import (
    COPY_BYTES,
    DiskFile,
    File,
    Opener,
    Place,
    Taken,
    make_folder,
    part_of,
    place_of,
    publish,
    sync_folder,
    words,
)
from record.lines import SCHEMA, SEAL, SEAL_BYTES, Bare, Entry, Header, encode, sealed
from record.reader import Reader
from rules import Rules
from threads import DaemonThread, Thread, Threads

log = structlog.get_logger("journal")

HELD_BACK_MAX = 64 * 1024 * 1024
"""Bytes that wait in memory for a disk that does not take them: a session and more."""

OTHER_FILE = "Another file stands in its place"
CHANGED = "Its file was changed by another program"
OTHER_WRITER = "Another copy of the program writes it"

Result = TypeVar("Result")


class Journal:
    """The one writer of a session's record. A write waits for the page cache at most; a thread waits for the disk.

    A disk that takes nothing turns it ``off``; lines are then held back and written, in order, by `look`. It cuts
    nothing but what a write of its own has left unfinished, and the torn end that a `Reader` has understood.
    """

    def __init__(
        self,
        path: Path,
        opener: Opener = DiskFile,
        held_back_max: int = HELD_BACK_MAX,
        threads: Threads = DaemonThread,
    ) -> None:
        self.path = path
        self._threads = threads
        self._held_back_max = held_back_max
        self.fault: str | None = None
        """Why nothing can be written at present, in words; None while all is well."""
        self._opener = opener
        self._file: File | None = None
        self._past: Reader | None = None
        self._size = 0
        """How many bytes of the file are known: what was read, and what was written behind it."""
        self._ending = b""
        """The seal that these bytes end with."""
        self._seed = 0
        self._number = 0
        self._held_back: list[bytes] = []
        self._held_bytes = 0
        self._is_unfinished = False
        """A write has failed: a part of what is held back may stand in the file."""
        self._is_given_up = False
        self._is_closed = False
        self._thread: Thread | None = None
        self._is_looking = False
        self._is_moving = False
        """The file is being written anew under its name; what comes meanwhile is held back."""
        self._unsynced: list[asyncio.Future[bool]] = []
        """Who waits for the disk until that is done."""
        self._unsynced_fault: str | None = None
        """Why the disk has not kept what was written, in words: until it is written anew. Asked again, a kernel that has
        lost it says that all is well."""

    @property
    def is_off(self) -> bool:
        """Whether what was given is not (yet) in the file."""
        return self.fault is not None

    def begin(self, rules: Rules, session: Session, now: int, past: Reader | None = None) -> None:
        """Write the header of a start: into a new file, or behind what an earlier start has left.

        ``past`` has read that to its end. Raises Taken when another process writes the record. Never raises OSError:
        see `fault`.
        """
        if past is not None:
            self._past = past
            self._size, self._seed, self._number = past.size, past.seed, past.number
            self._ending = SEAL % past.seed if past.size else b""
        header = Header(
            schema=SCHEMA,
            version=VERSION,
            rules=rules.model_dump(mode="json"),
            rules_hash=rules.digest(),
            session=session,
            now=now,
            pid=os.getpid(),
        )
        self._hold(encode(header))
        try:
            self._try()
        except Taken:
            self._held_back.clear()  # nothing of it belongs there
            raise

    def append(self, now: int, event: Event, decisions: Sequence[Decision]) -> None:
        """Write a fact and what it caused, in one write. Never raises OSError: see `fault`."""
        if self._held_bytes > self._held_back_max:
            self._is_given_up = True
            return
        self._number += 1
        made = tuple(decisions)
        line = Entry(now, self._number, event, made) if made else Bare(now, self._number, event)
        self._hold(encode(line))
        if self.fault is None and not self._is_moving:
            self._flush()

    # --- Trying again ---

    def look(self) -> None:
        """See whether the name still leads to the file, whether that is as it was left, and write what was held back.

        Never waits: what is found shows in `fault` a little later. A file that has lost its name is written anew, and one
        that the disk has not kept.
        """
        if self._file is None:
            self.retry()
        elif not (self._is_looking or self._is_moving or self._is_given_up):
            self._is_looking = True
            self._in_thread(partial(place_of, self.path)).add_done_callback(self._looked)

    def _looked(self, looking: asyncio.Future[Place | None]) -> None:
        self._is_looking = False
        if self._is_closed or self._file is None:
            return
        try:
            found, ours = looking.result(), self._file.place()
        except OSError as error:
            self.fault = words(error)
            return
        if found is None:
            self._write_anew(f"was gone from {self.path}", None)
        elif found[:2] != ours[:2]:
            self.fault = OTHER_FILE
        elif self._unsynced_fault is not None:
            if self._is_as_left(self._file):
                self._write_anew(f"could not be put on the disk ({self._unsynced_fault})", ours)
        else:
            self.retry()

    def _is_as_left(self, file: File) -> bool:
        """Whether nobody else has changed the file, what a write of ours has left unfinished being cut."""
        try:
            fault = self._mend(file)
        except OSError as error:
            fault = words(error)
        self.fault = fault or self.fault  # what is wrong already stays so until it is mended
        return fault is None

    def _write_anew(self, why: str, ours: Place | None) -> None:
        """Have the file written anew under its name, where nothing stands, or the file ``ours``."""
        assert self._file is not None
        self._is_moving = True
        anew = partial(written_anew, self._file, self._size, self.path, self._opener, ours)
        self._in_thread(anew).add_done_callback(partial(self._moved, why))

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
        """Go on in the file that was written anew."""
        if self._is_closed or self._file is None:
            closed_quietly(file)
            return
        old, self._file = self._file, file
        self._in_thread(partial(closed_quietly, old))
        self.fault = self._unsynced_fault = None
        self._flush()
        log.warning(
            "record_written_anew",
            text=f"📼 The session's record {why}: written anew, all of it",
            path=str(self.path),
        )

    def retry(self) -> bool:
        """Write what was held back. Returns whether all is well again."""
        try:
            self._try()
        except Taken:
            self.fault = OTHER_WRITER
        return not self.is_off

    def _try(self) -> None:
        """Open the file if it is not, see that it is as it was left, and write what was held back. Raises Taken."""
        if self._is_given_up or self._is_moving:
            return  # given up: facts are missing by now, and the record ends before them
        try:
            if self._file is None:
                self._file = self._open()
            self.fault = self._mend(self._file)
        except OSError as error:
            self.fault = _fault_of(error)
        if self.fault is None:
            self._flush()
            self.fault = self.fault or self._unsynced_fault

    def _open(self) -> File:
        """Make the file, or open the very one that was read. Raises OSError, Taken."""
        past = self._past
        make_folder(self.path.parent)
        if past is None:
            return self._opener(self.path)
        file = self._opener(self.path, False)
        try:
            if file.place() != (*past.identity, past.size + past.torn):
                raise OSError(errno.EBUSY, CHANGED)
            file.truncate(past.size)  # the torn end, which the reader has understood
        except OSError:
            closed_quietly(file)
            raise
        return file

    def _mend(self, file: File) -> str | None:
        """Cut what a write of ours has left unfinished. Returns a fault when the file is not as it was left."""
        extra = file.place().size - self._size
        if extra < 0 or file.read(self._size - len(self._ending), len(self._ending)) != self._ending:
            return CHANGED
        if extra:
            unfinished = b"".join(self._held_back)[:extra]
            if not self._is_unfinished or file.read(self._size, extra) != unfinished:
                return CHANGED
            file.truncate(self._size)
        self._is_unfinished = False
        return None

    def _hold(self, text: bytes) -> None:
        line, self._seed = sealed(text, self._seed)
        self._held_back.append(line)
        self._held_bytes += len(line)

    def _flush(self) -> None:
        if self._file is None or not self._held_back:
            return
        data = b"".join(self._held_back)
        try:
            if self._file.size() != self._size:
                self.fault = CHANGED  # nothing is written behind what is not known
                return
            self._is_unfinished = True
            taken = self._file.write(data)
        except OSError as error:
            self.fault = words(error)
            return
        if taken < len(data):
            self.fault = os.strerror(errno.ENOSPC)
            return
        self._size += len(data)
        self._ending = data[-SEAL_BYTES:]
        self._is_unfinished = False
        self._held_back.clear()
        self._held_bytes = 0

    # --- The disk ---

    def sync(self) -> asyncio.Future[bool]:
        """Have what was written put on the disk, by a thread that begins at once. The future says whether it is there."""
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._is_moving:
            self._unsynced.append(written)
        else:
            self._sync(written)
        return written

    def _sync(self, written: asyncio.Future[bool]) -> None:
        if written.cancelled():
            return
        if self.is_off or self._file is None or self._is_closed:
            written.set_result(False)
        else:
            self._in_thread(self._file.sync).add_done_callback(partial(self._synced, written))

    def _synced(self, written: asyncio.Future[bool], syncing: asyncio.Future[None]) -> None:
        if written.cancelled():
            return  # nobody asks any more
        match syncing.exception():
            case None:
                written.set_result(True)
            case OSError() as error:
                self.fault = self._unsynced_fault = words(error)
                written.set_result(False)
            case error:
                written.set_exception(error)

    def _in_thread(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        if self._thread is None:
            self._thread = self._threads("record")
        return self._thread.submit(action)

    def close(self) -> asyncio.Future[None] | None:
        """Close the file, without waiting for the disk; what could not be written is said.

        Returns a future where that is done by the thread: another writer has to wait for it.
        """
        if self._held_back:
            reason = self.fault or "The disk has not answered"
            log.error(
                "record_incomplete",
                text=f"🛑 The record lacks its last {len(self._held_back)} lines: {reason}",
                lines=len(self._held_back),
            )
        self._is_closed = True
        file, self._file = self._file, None
        if self._thread is None:
            if file is not None:
                closed_quietly(file)
            return None
        closing = None if file is None else self._thread.submit(partial(closed_quietly, file))
        self._thread.last()
        return closing


def closed_quietly(file: File) -> None:
    """Close a file of which all that matters has been done, and has been said when it failed."""
    with contextlib.suppress(OSError):
        file.close()


def _fault_of(error: OSError) -> str:
    return OTHER_FILE if isinstance(error, FileExistsError) else words(error)


def written_anew(file: File, size: int, path: Path, opener: Opener, ours: Place | None) -> File:
    """A record's first ``size`` bytes as a new file under its name. It waits for the disk.

    Only the file ``ours`` is replaced, and only while nobody has added to it. Raises OSError: FileExistsError when another
    file stands there, which is left alone.
    """
    make_folder(path.parent)
    part = part_of(path)
    new = opener(part)
    try:
        start = 0
        while start < size:
            block = file.read(start, min(COPY_BYTES, size - start))
            if not block:
                raise OSError(errno.EBUSY, CHANGED)
            if new.write(block) < len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            start += len(block)
        new.sync()
        if ours is not None and (found := place_of(path)) is not None and found[:2] == ours[:2]:
            if found.size != size:  # changed while it was copied: what others have written would be lost
                raise OSError(errno.EBUSY, CHANGED)
            part.replace(path)
        else:
            publish(part, path)
    except OSError:
        closed_quietly(new)
        part.unlink(missing_ok=True)
        raise
    try:
        sync_folder(path.parent)
    except OSError as error:
        # The file is whole under its name, and ours: to give it up would leave another file in its place.
        log.warning(
            "record_name_unsynced",
            text=f"⚠️ The record's name {path} is not on the disk yet ({words(error)}): lost if the machine goes down now",
        )
    return new
