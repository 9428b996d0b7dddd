"""The one writer of a session's record."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from config import VERSION, Rules
from events import Decision, Event, Session
from record.lines import SCHEMA, Bare, Entry, Header, encode, sealed
from record.reader import Reader

log = structlog.get_logger("journal")

FILE_MODE, FOLDER_MODE = 0o600, 0o700

HELD_BACK_MAX = 64 * 1024 * 1024
"""Bytes that wait in memory for a disk that does not take them: a session and more."""


class File(Protocol):
    """What a journal writes to."""

    def write(self, data: bytes) -> int:
        """Write at the end; returns how many bytes were taken. Raises OSError."""

    def truncate(self, size: int) -> None:
        """Cut to a size in bytes. Raises OSError."""

    def sync(self) -> None:
        """Wait until all is on the disk. Raises OSError."""

    def close(self) -> None:
        """Close it."""


class DiskFile:
    """A file on the disk, for its owner only, appended to. No symlink is followed."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, FILE_MODE)
        _sync_folder(path.parent)

    def write(self, data: bytes) -> int:
        """Write to the page cache."""
        return os.write(self._descriptor, data)

    def truncate(self, size: int) -> None:
        """Cut to a size in bytes."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Wait until all is on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


def _sync_folder(folder: Path) -> None:
    """Put a new file's name on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


Opener = Callable[[Path], File]


class Journal:
    """The one writer of a session's record. A write waits for the page cache at most; `sync` for the disk.

    A disk that takes nothing turns it ``off``; lines are then held back and written, in order, by `retry`.
    """

    def __init__(self, path: Path, opener: Opener = DiskFile, held_back_max: int = HELD_BACK_MAX) -> None:
        self.path = path
        self._held_back_max = held_back_max
        self.fault: str | None = None
        """Why nothing can be written at present, in words; None while all is well."""
        self._opener = opener
        self._file: File | None = None
        self._size = 0
        self._seed = 0
        self._number = 0
        self._held_back: list[bytes] = []
        self._held_bytes = 0
        self._is_given_up = False

    @property
    def is_off(self) -> bool:
        """Whether what was given is not (yet) in the file."""
        return self.fault is not None

    def begin(self, rules: Rules, session: Session, now: int, past: Reader | None = None) -> None:
        """Write the header of a start, behind what an earlier start has left (read to its end by now).

        Never raises OSError: see `fault`.
        """
        if past is not None:
            self._size, self._seed, self._number = past.size, past.seed, past.number
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
        self.retry()

    def append(self, now: int, event: Event, decisions: Sequence[Decision]) -> None:
        """Write a fact and what it caused, in one write. Never raises OSError: see `fault`."""
        if self._held_bytes > self._held_back_max:
            self._is_given_up = True
            return
        self._number += 1
        made = tuple(decisions)
        line = Entry(now, self._number, event, made) if made else Bare(now, self._number, event)
        self._hold(encode(line))
        if not self.is_off:
            self._flush()

    def retry(self) -> bool:
        """Write what was held back. Returns whether all is well again."""
        if self._is_given_up:
            return False  # facts are missing by now: the record ends before them
        try:
            if self._file is None:
                self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                if self.path.parent.is_symlink():
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                self._file = self._opener(self.path)
            self._file.truncate(self._size)
        except OSError as error:
            self.fault = words(error)
            return False
        self.fault = None
        self._flush()
        return not self.is_off

    def _hold(self, text: bytes) -> None:
        line, self._seed = sealed(text, self._seed)
        self._held_back.append(line)
        self._held_bytes += len(line)

    def _flush(self) -> None:
        assert self._file is not None
        data = b"".join(self._held_back)
        try:
            taken = self._file.write(data)
        except OSError as error:
            self.fault = words(error)
            return
        if taken < len(data):
            self.fault = words(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            return
        self._size += len(data)
        self._held_back.clear()
        self._held_bytes = 0

    def sync(self) -> asyncio.Future[bool]:
        """Have what was written put on the disk, by a thread that begins at once. The future says whether it is there."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        if self.is_off or self._file is None:
            written.set_result(False)
        else:
            loop.run_in_executor(None, self._file.sync).add_done_callback(partial(self._synced, written))
        return written

    def _synced(self, written: asyncio.Future[bool], syncing: asyncio.Future[None]) -> None:
        if written.cancelled():
            return  # nobody asks any more
        match syncing.exception():
            case None:
                written.set_result(True)
            case OSError() as error:
                self.fault = words(error)
                written.set_result(False)
            case error:
                written.set_exception(error)

    def close(self) -> None:
        """Close the file; what could not be written is said."""
        if self._held_back:
            log.error(
                "record_incomplete",
                text=f"🛑 The record lacks its last {len(self._held_back)} lines: {self.fault}",
                lines=len(self._held_back),
            )
        if self._file is not None:
            self._file.close()
            self._file = None


def words(error: OSError) -> str:
    """Why the system refused, without the path."""
    return error.strerror or type(error).__name__
