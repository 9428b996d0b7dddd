"""The files that a record is written to: locks, exclusive names, and syncing to the disk."""

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
except ImportError:  # not a Unix: `entry` refuses to start the worker there
    flock = None  # type: ignore[assignment]


FILE_MODE, FOLDER_MODE = 0o600, 0o700


COPY_BYTES = 1024 * 1024
"""How much of a file is copied at a time, bytes."""


LOCKS_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL})
"""Error numbers of a file system without locks: some network disks."""


FOLDER_SYNC_UNSUPPORTED = frozenset(
    {errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
)
"""Error numbers of a file system that cannot sync folders: some network and shared ones. PostgreSQL's ``fsync_fname``
ignores the first two."""


class Taken(OurError):
    """Another process holds the lock on a file."""


def lock(descriptor: int) -> bool:
    """Locks an open file for this process. Returns whether that worked: False if the file system has no locks.

    The kernel releases the lock when the process ends, however it ends. Raises Taken if another process holds it;
    OSError.
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
    """Returns the system's text for an error, without the path."""
    return error.strerror or type(error).__name__


def sync_folder(folder: Path) -> None:
    """Writes a folder's names to the disk, if the file system can do that on request. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in FOLDER_SYNC_UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


class Place(NamedTuple):
    """Which file it is (device and inode), and its size in bytes."""

    device: int
    inode: int
    size: int


def place_of(path: Path) -> Place | None:
    """Returns which file is at ``path``; None if there is none. Does not follow a link. Raises OSError."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Place(found.st_dev, found.st_ino, found.st_size)


class File(Protocol):
    """What a journal writes to."""

    def write(self, data: bytes) -> int:
        """Writes at the end. Returns how many bytes were written. Raises OSError."""

    def read(self, start: int, size: int) -> bytes:
        """Reads at most ``size`` bytes from ``start`` on. Raises OSError."""

    def truncate(self, size: int) -> None:
        """Cuts the file to a size in bytes. Raises OSError."""

    def sync(self) -> None:
        """Waits until everything is on the disk, including a new file's name. Raises OSError."""

    def place(self) -> Place:
        """Returns which file it is, and its size now. Raises OSError."""

    def size(self) -> int:
        """Returns its size now, bytes. Called before every write, so it must be quick. Raises OSError."""

    def close(self) -> None:
        """Closes the file."""


class Opener(Protocol):
    """Opens a record's file: creates it if ``is_new``, else opens the existing one."""

    def __call__(self, path: Path, is_new: bool = True) -> File:
        """Returns the open file. Raises Taken and OSError: FileExistsError if a new one's name is already used."""


class DiskFile:
    """A locked file on the disk that its owner alone may read, and that only grows at its end.

    Opening it never follows a link and never blocks, as a pipe's opening would.
    """

    def __init__(self, path: Path, is_new: bool = True) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        self._folder: Path | None = path.parent if is_new else None
        """The folder that `sync` must sync once, for the new file's name; None afterwards."""
        self._descriptor = os.open(path, flags | (os.O_CREAT | os.O_EXCL if is_new else 0), FILE_MODE)
        try:
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise OSError(errno.EINVAL, "It is not an ordinary file", str(path))
            lock(self._descriptor)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, data: bytes) -> int:
        """Writes to the page cache. Returns how many bytes were written."""
        return os.write(self._descriptor, data)

    def read(self, start: int, size: int) -> bytes:
        """Reads at most ``size`` bytes from ``start`` on, from the page cache or the disk."""
        return os.pread(self._descriptor, size, start)

    def truncate(self, size: int) -> None:
        """Cuts the file to a size in bytes."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Waits until everything is on the disk, including a new file's name."""
        os.fsync(self._descriptor)
        if self._folder is not None:
            sync_folder(self._folder)
            self._folder = None

    def place(self) -> Place:
        """Returns which file it is, and its size now."""
        found = os.fstat(self._descriptor)
        return Place(found.st_dev, found.st_ino, found.st_size)

    def size(self) -> int:
        """Returns its size, bytes. Seeks to the end: that takes a third of an `fstat`, and writes append in any case."""
        return os.lseek(self._descriptor, 0, os.SEEK_END)

    def close(self) -> None:
        """Closes the file, which releases its lock."""
        os.close(self._descriptor)


def closed_quietly(file: File) -> None:
    """Closes a file. Ignores a failure: everything before was written, or its own failure was reported."""
    with contextlib.suppress(OSError):
        file.close()


def make_parents(folder: Path) -> None:
    """Creates a folder and those above it, if missing. Raises OSError: NotADirectoryError if a file has its name."""
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def make_folder(folder: Path) -> None:
    """Creates a folder of the program's own, if missing. Raises OSError, also if a link or a file has its name."""
    make_parents(folder)
    if folder.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))


def part_of(path: Path) -> Path:
    """Returns an unused name beside ``path``, for a file that is written before it gets its name.

    The process's id alone is not unique: in a container it is the same at every start, and a crash leaves its file.
    """
    numbers = itertools.count()
    while os.path.lexists(part := path.with_name(f"{path.name}.{os.getpid()}-{next(numbers)}.part")):
        pass
    return part


def publish(part: Path, path: Path) -> None:
    """Gives a finished file its name in one step that overwrites nothing. Raises OSError: FileExistsError if it is used.

    That step is a hard link. Without hard links it checks and renames, which leaves a moment in between.
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
