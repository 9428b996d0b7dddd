"""The disk under a worker's record: real files, which fail, and are slow, when the schedule says so."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from record.disk import DiskFile, place_of
from sim.loop import Inline, Process, settle
from tests.simulation.story import DiskAction


class Unexpected(RuntimeError):
    """What nothing expects: no handler of the worker is for it."""


class Disk:
    """What the disk does now. ``note`` is called with everything that is done to a record's file.

    A number is an errno; 0: all well.
    """

    def __init__(self, note: Callable[..., Any]) -> None:
        self.note = note
        self.open_fault = self.write_fault = self.sync_fault = 0
        self.is_short = False
        """Whether half of a write goes through before it fails."""
        self.sync_s = 0.0
        """Seconds that putting something on the disk takes."""
        self.raises_next = False
        """Whether the next write raises what nothing expects."""
        self.hits: Counter[str] = Counter()
        """How often each of these was really in the way."""

    def fail(self, name: str) -> None:
        """Raises the OSError that an attribute asks for, if it does."""
        if fault := getattr(self, name):
            self.hits[name] += 1
            raise OSError(fault, os.strerror(fault))


class SimFile(DiskFile):
    """A record's file on that disk. Once its process is dead nothing reaches it."""

    def __init__(self, path: Path, is_new: bool, disk: Disk, process: Process) -> None:
        self._disk, self._process = disk, process
        self.path = path
        self.synced = 0
        """Its size when it was last put on the disk: what a power cut leaves of it."""
        disk.fail("open_fault")
        super().__init__(path, is_new)
        self.synced = 0 if is_new else self.size()
        disk.note(self, DiskAction.OPEN, self.synced, b"", "")

    def write(self, data: bytes) -> int:
        if self._process.is_dead:
            return len(data)
        before, written, error = self.size(), 0, ""
        try:
            written = self._write(data)
        except OSError as fault:
            error = errno.errorcode.get(fault.errno or 0, "")
            raise
        finally:
            written = self.size() - before
            self._disk.note(self, DiskAction.WRITE, before, data[:written], error)
        return written

    def _write(self, data: bytes) -> int:
        if self._disk.raises_next:
            self._disk.raises_next = False
            self._disk.hits["raises_next"] += 1
            raise Unexpected("something that nothing expects")
        if self._disk.is_short:
            self._disk.hits["is_short"] += 1
            super().write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._disk.fail("write_fault")
        return super().write(data)

    def truncate(self, size: int) -> None:
        if not self._process.is_dead:
            self._disk.fail("write_fault")
            super().truncate(size)
            self.synced = min(self.synced, size)
            self._disk.note(self, DiskAction.TRUNCATE, size, b"", "")

    def sync(self) -> None:
        if self._process.is_dead:
            return
        size = self.size()
        try:
            self._disk.fail("sync_fault")
        except OSError as fault:
            self._disk.note(self, DiskAction.SYNC, size, b"", errno.errorcode[fault.errno or 0])
            raise
        # The files are in memory: there is nothing to wait for, and a power cut is played by `lose_unsynced`.
        self.synced = size
        self._folder = None
        self._disk.note(self, DiskAction.SYNC, size, b"", "")

    def close(self) -> None:
        if not self._process.is_dead:  # else `let_go` closes it
            self._disk.note(self, DiskAction.CLOSE, self.size(), b"", "")
            super().close()

    def let_go(self, *, is_power_cut: bool) -> None:
        """Its process is dead: the kernel closes it. After a power cut, what was not put on the disk is gone."""
        with contextlib.suppress(OSError):
            place = self.place()
            super().close()
            if is_power_cut and place.size > self.synced and place_of(self.path) == place:
                os.truncate(self.path, self.synced)


class SimThread(Inline):
    """Does what a thread beside the loop would, one action after the other.

    One that ``waits`` for the disk is as slow as the disk is.
    """

    def __init__(self, disk: Disk, process: Process, *, waits: bool) -> None:
        self._disk, self._process, self._waits = disk, process, waits
        self._busy_until = 0.0

    def submit(self, action: Callable[[], Any]) -> asyncio.Future[Any]:
        """Does something now, or when the disk comes to it; the future has its result, or what it raised."""
        loop = asyncio.get_running_loop()
        if not self._waits:
            return super().submit(action)
        if self._disk.sync_s:
            self._disk.hits["sync_s"] += 1
        at = max(self._busy_until, loop.time()) + self._disk.sync_s
        if at <= loop.time():
            return super().submit(action)
        self._busy_until = at
        done: asyncio.Future[Any] = loop.create_future()
        loop.call_at(at, self._do, action, done)
        return done

    def _do(self, action: Callable[[], Any], done: asyncio.Future[Any]) -> None:
        if self._process.is_dead:
            return
        try:
            result = action()
        except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
            settle(done, None, error)
        else:
            settle(done, result, None)
