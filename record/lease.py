"""The lease on a folder: only one copy of the program may use it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from record.journal import FILE_MODE, FOLDER_MODE


class LeaseHeld(Exception):
    """Another copy holds the lease on the folder."""


class Lease:
    """The right to be the only copy that uses a folder: a lock of the kernel, so a crash gives it back."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "lease"
        self._file: IO[str] | None = None

    def take(self, started: str) -> None:
        """Take the lease. Raises LeaseHeld, naming the holder; OSError when the folder cannot be used."""
        self._path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = open(os.open(self._path, flags, FILE_MODE), "r+", encoding="utf-8")  # noqa: SIM115 - kept open: it is the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip() or "unknown"
            file.close()
            raise LeaseHeld(holder) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}, started {started}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lease back."""
        if self._file is not None:
            self._file.close()
            self._file = None
