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
"""The first bytes of a lease."""

HOLDER_BYTES = 200
"""How many bytes are read of the holder's name."""


class LeaseHeld(OurError):
    """Another copy holds the lease on the folder."""


class Misplaced(OurError, OSError):
    """Something else has the name of a file of the program's own. The program leaves it alone."""


class Lease:
    """The right to be the only copy that uses a folder. It is a lock of the kernel, so a crash releases it."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "lease"
        self._descriptor: int | None = None
        self.is_locked = False
        """Whether the lock is held; False if the file system has no locks."""

    def acquire(self, started: str) -> None:
        """Acquires the lease. ``started`` tells others since when it is held.

        Raises LeaseHeld, which names the holder; OSError if the folder cannot be used: Misplaced if something else has
        the lease's name.
        """
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
        # On a full disk the holder's name cannot be written, but the lock is held all the same.
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
            fault = "It holds something else"  # never overwrite a file that the program did not write
        else:
            return descriptor
        os.close(descriptor)
        raise Misplaced(errno.EINVAL, fault, str(self.path))

    def is_lost(self) -> bool:
        """Returns whether the lease is not held, or its name no longer leads to the locked file. Raises OSError."""
        if self._descriptor is None:
            return True
        found, ours = place_of(self.path), os.fstat(self._descriptor)
        return found is None or found[:2] != (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """Releases the lease."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
