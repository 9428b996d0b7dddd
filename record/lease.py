"""The lease on a folder: only one copy of the program may use it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from errors import OurError
from record.disk import FILE_MODE, Taken, lock, make_parents, place_of

MARK = b"pid "
"""What a lease begins with."""

HOLDER_BYTES = 200
"""The most that is read of who holds a lease."""


class LeaseHeld(OurError):
    """Another copy holds the lease on the folder."""


class Misplaced(OurError, OSError):
    """Something else stands where the program keeps a file of its own, and is left alone."""


class Lease:
    """The right to be the only copy that uses a folder: a lock of the kernel, so a crash gives it back."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "lease"
        self._descriptor: int | None = None
        self.is_locked = False
        """Whether it is held; False also where the file system has no locks."""

    def take(self, started: str) -> None:
        """Acquires the lease. Raises LeaseHeld, naming the holder; OSError when the folder cannot be used: Misplaced when
        something else stands in the lease's place."""
        make_parents(self.path.parent)
        descriptor = self._open()
        try:
            self.is_locked = lock(descriptor)
        except Taken:
            holder = os.pread(descriptor, HOLDER_BYTES, 0).decode("ascii", "replace")
            os.close(descriptor)
            shown = "".join(character if character.isprintable() else " " for character in holder).strip()
            raise LeaseHeld(shown or "unknown") from None
        except OSError:
            os.close(descriptor)
            raise
        self.release()
        self._descriptor = descriptor
        text = MARK + f"{os.getpid()}, started {started}\n".encode()
        # A full disk does not take the name of who holds the lease; held it is.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text, 0)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags, FILE_MODE)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO) or (
                error.errno in (errno.EACCES, errno.EPERM) and place_of(self.path) is not None
            ):
                raise Misplaced(error.errno, error.strerror, str(self.path)) from None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            fault = "It is not an ordinary file"
        elif not MARK.startswith(os.pread(descriptor, len(MARK), 0).rstrip(b"\0")):
            fault = "It holds something else"  # what the program did not write is not written over
        else:
            return descriptor
        os.close(descriptor)
        raise Misplaced(errno.EINVAL, fault, str(self.path))

    def is_lost(self) -> bool:
        """Returns whether the lease's name no longer leads to the file that is locked, or there never was one. Raises OSError."""
        if self._descriptor is None:
            return True
        found, ours = place_of(self.path), os.fstat(self._descriptor)
        return found is None or found[:2] != (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """Releases the lease."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
