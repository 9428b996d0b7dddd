"""A record's open file, as far as the program knows it. It never appends to bytes that it does not know."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from record.disk import File, Opener, closed_quietly, make_folder, words
from record.lines import SEAL, SEAL_BYTES, sealed
from record.reader import Reader

CHANGED = "Its file was changed by another program"


class HeldBack:
    """The lines that are not in the file yet, with their checksums, in order. Most leave with the next write."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self.lines: list[bytes] = []
        self.seed = 0
        """The checksum that seeds the next line's."""

    @property
    def is_full(self) -> bool:
        """Returns whether no more lines fit in."""
        return self._bytes > self._bytes_max

    def add(self, text: bytes) -> None:
        """Adds a line with its checksum."""
        line, self.seed = sealed(text, self.seed)
        self.lines.append(line)
        self._bytes += len(line)

    def clear(self) -> None:
        """Removes all lines: they are in the file, or do not belong there."""
        self.lines.clear()
        self._bytes = 0


class Tail:
    """The open file, how long it is, and what it ends with.

    It truncates only bytes that a failed write of its own left, and the unfinished end that a `Reader` has recognised.
    """

    def __init__(self, path: Path, opener: Opener) -> None:
        self.path = path
        self._opener = opener
        self._past: Reader | None = None
        self.file: File | None = None
        """None before it is opened and after it is closed."""
        self.size = 0
        """How many bytes of the file are known: those that were read, and those written after them."""
        self._ending = b""
        """The checksum that these bytes end with, as text."""
        self._is_unfinished = False
        """Whether a write has failed, so that a part of it may be in the file."""

    def go_on(self, past: Reader) -> None:
        """Makes the file go on after the lines that ``past`` has read to their end."""
        self._past = past
        self.size = past.size
        self._ending = SEAL % past.seed if past.size else b""

    def open(self) -> None:
        """Creates the file, or opens the one that was read, if it is unchanged. Raises OSError, Taken."""
        past = self._past
        make_folder(self.path.parent)
        if past is None:
            self.file = self._opener(self.path)
            return
        file = self._opener(self.path, False)
        try:
            if file.place() != (*past.identity, past.size + past.torn):
                raise OSError(errno.EBUSY, CHANGED)
            file.truncate(past.size)  # cuts the unfinished end that the reader has recognised
        except OSError:
            closed_quietly(file)
            raise
        self.file = file

    def mend(self, file: File, held_back: Sequence[bytes]) -> str | None:
        """Cuts off what a failed write of ours left. Returns a fault if that fails, or if somebody changed the file.

        ``held_back`` are the lines whose write may have failed.
        """
        try:
            return self._mend(file, held_back)
        except OSError as error:
            return words(error)

    def _mend(self, file: File, held_back: Sequence[bytes]) -> str | None:
        extra = file.place().size - self.size
        if extra < 0 or file.read(self.size - len(self._ending), len(self._ending)) != self._ending:
            return CHANGED
        if extra:
            unfinished = b"".join(held_back)[:extra]
            if not self._is_unfinished or file.read(self.size, extra) != unfinished:
                return CHANGED
            file.truncate(self.size)
        self._is_unfinished = False
        return None

    def write(self, file: File, data: bytes) -> str | None:
        """Writes lines at the end. Returns a fault unless all of them are in the file."""
        try:
            if file.size() != self.size:
                return CHANGED  # never append to bytes that are not known
            self._is_unfinished = True
            taken = file.write(data)
        except OSError as error:
            return words(error)
        if taken < len(data):
            return os.strerror(errno.ENOSPC)
        self.size += len(data)
        self._ending = data[-SEAL_BYTES:]
        self._is_unfinished = False
        return None
