"""A disk that fails when it is told to, under the real files of a record."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from record.disk import DiskFile


class Disk:
    """Opens real files whose writes fail while ``fault`` (an errno) is set, and from the first that holds ``fails_at``.

    ``short`` lets half of a write through. ``sync_fault`` fails nothing but putting on the disk.
    """

    def __init__(self) -> None:
        self.fault = self.sync_fault = 0
        self.short = False
        self.fails_at = b""

    def __call__(self, path: Path, is_new: bool = True) -> DiskFile:
        if self.fault:
            raise OSError(self.fault, os.strerror(self.fault))
        return FailingFile(path, is_new, self)


class FailingFile(DiskFile):
    """A file on a disk that fails at times."""

    def __init__(self, path: Path, is_new: bool, disk: Disk) -> None:
        super().__init__(path, is_new)
        self._disk = disk

    def write(self, data: bytes) -> int:
        if self._disk.fails_at and self._disk.fails_at in data:
            self._disk.fault = errno.EIO
        if self._disk.fault:
            if self._disk.short:
                super().write(data[: len(data) // 2])
            raise OSError(self._disk.fault, os.strerror(self._disk.fault))
        if self._disk.short:
            self._disk.short = False
            return super().write(data[: len(data) // 2])
        return super().write(data)

    def sync(self) -> None:
        if fault := self._disk.fault or self._disk.sync_fault:
            raise OSError(fault, os.strerror(fault))
        super().sync()
