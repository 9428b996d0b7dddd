"""Files as a record is written to them, and the thread that waits for the disk."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from pathlib import Path
from typing import NamedTuple, Protocol

from errors import OurError

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # not a Unix: whoever starts the program says so
    flock = None  # type: ignore[assignment]


FILE_MODE, FOLDER_MODE = 0o600, 0o700


COPY_BYTES = 1024 * 1024
"""How much of a file is copied at a time."""


LOCKS_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL})
"""What a file system says that has no locks: some network disks."""


FOLDER_SYNC_UNSUPPORTED = frozenset(
    {errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
)
"""What a file system says that does not sync folders: some network and shared ones. PostgreSQL ignores the first two."""


class Taken(OurError):
    """Another process holds the lock on a file."""


def lock(descriptor: int) -> bool:
    """Locks an open file for this process. Returns whether that worked: False where there are no locks.

    The kernel gives the lock back when the process ends, however it ends. Raises Taken when another process has it.
    """
    if flock is None:
        return False
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise Taken("it writes the session's record") from None
    except OSError as error:
        if error.errno in LOCKS_UNSUPPORTED:
            return False
        raise
    return True


def words(error: OSError) -> str:
    """Returns why the system refused, without the path."""
    return error.strerror or type(error).__name__


def sync_folder(folder: Path) -> None:
    """Puts the names in a folder on the disk, where the file system does that on request. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in FOLDER_SYNC_UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


class Place(NamedTuple):
    """A file on the disk: which one it is (device and inode), and its size in bytes."""

    device: int
    inode: int
    size: int


def place_of(path: Path) -> Place | None:
    """Returns what a name leads to; None if nothing does. A link is not followed. Raises OSError."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Place(found.st_dev, found.st_ino, found.st_size)


class File(Protocol):
    """What a journal writes to."""

    def write(self, data: bytes) -> int:
        """Writes at the end; returns how many bytes were taken. Raises OSError."""

    def read(self, start: int, size: int) -> bytes:
        """Reads at most ``size`` bytes from ``start`` on. Raises OSError."""

    def truncate(self, size: int) -> None:
        """Cuts to a size in bytes. Raises OSError."""

    def sync(self) -> None:
        """Waits until all is on the disk, the name of a new file, too. Raises OSError."""

    def place(self) -> Place:
        """Returns which file it is, and its size now. Raises OSError."""

    def size(self) -> int:
        """Returns its size now: asked before every write, so it must be quick. Raises OSError."""

    def close(self) -> None:
        """Closes it."""


class Opener(Protocol):
    """Opens a record's file: makes a new one, or goes on with one that is there."""

    def __call__(self, path: Path, is_new: bool = True) -> File:
        """Raises OSError: FileExistsError when a new one is to be made where something stands. Raises Taken."""


class DiskFile:
    """A file on the disk, for its owner only, appended to, and locked. No link is followed, and nothing is waited for."""

    def __init__(self, path: Path, is_new: bool = True) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._folder: Path | None = path.parent if is_new else None
        """The folder whose names are still to be put on the disk."""
        self._descriptor = os.open(path, flags | (os.O_CREAT | os.O_EXCL if is_new else 0), FILE_MODE)
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise OSError(errno.EINVAL, "It is not an ordinary file", str(path))
            lock(self._descriptor)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, data: bytes) -> int:
        """Writes to the page cache."""
        return os.write(self._descriptor, data)

    def read(self, start: int, size: int) -> bytes:
        """Reads from any place."""
        return os.pread(self._descriptor, size, start)

    def truncate(self, size: int) -> None:
        """Cuts to a size in bytes."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Waits until all is on the disk."""
        os.fsync(self._descriptor)
        if self._folder is not None:
            sync_folder(self._folder)
            self._folder = None

    def place(self) -> Place:
        """Returns which file it is, and its size."""
        found = os.fstat(self._descriptor)
        return Place(found.st_dev, found.st_ino, found.st_size)

    def size(self) -> int:
        """Returns its size, by seeking to the end: that takes a third of `fstat`, and writes append in any case."""
        return os.lseek(self._descriptor, 0, os.SEEK_END)

    def close(self) -> None:
        """Closes it."""
        os.close(self._descriptor)


def closed_quietly(file: File) -> None:
    """Closes a file. A failure is not reported: all that matters was done, or its failure was reported, before."""
    with contextlib.suppress(OSError):
        file.close()


def make_parents(folder: Path) -> None:
    """Makes a folder that is not there, and those above it. Raises OSError, also when a file stands there."""
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def make_folder(folder: Path) -> None:
    """Makes a folder that is not there, as the program's own. Raises OSError, also when a link or a file stands there."""
    make_parents(folder)
    if folder.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))


def part_of(path: Path) -> Path:
    """Returns where a file is written before it gets its name: a name that nothing has.

    The process's number alone is no such name: in a container it is the same at every start, and a crash leaves its file.
    """
    numbers = itertools.count()
    while os.path.lexists(part := path.with_name(f"{path.name}.{os.getpid()}-{next(numbers)}.part")):
        pass
    return part


def publish(part: Path, path: Path) -> None:
    """Gives a finished file its name, in one step that overwrites nothing. Raises OSError; FileExistsError if it is taken.

    A hard link is that step; where the file system has none, a look and a renaming come near it.
    """
    try:
        os.link(part, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        if place_of(path) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        part.rename(path)
        return
    part.unlink()
