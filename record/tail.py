"""A record's file as far as the program knows it: nothing is written behind what it does not know."""

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
    """The sealed lines that are not in the file yet, in order. Most stay here for one write only."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self.lines: list[bytes] = []
        self.seed = 0
        """The checksum that seeds the next line."""

    @property
    def is_full(self) -> bool:
        """Returns whether no more lines may wait."""
        return self._bytes > self._bytes_max

    def add(self, text: bytes) -> None:
        """Seals a line and adds it."""
        line, self.seed = sealed(text, self.seed)
        self.lines.append(line)
        self._bytes += len(line)

    def clear(self) -> None:
        """Forgets all lines: they are in the file, or do not belong there."""
        self.lines.clear()
        self._bytes = 0


class Tail:
    """The open file, how long it is, and what it ends with. It cuts only what a write of its own left unfinished,
    and the torn end that a `Reader` has understood."""

    def __init__(self, path: Path, opener: Opener) -> None:
        self.path = path
        self._opener = opener
        self._past: Reader | None = None
        self.file: File | None = None
        """None until it is opened, and after it was closed."""
        self.size = 0
        """How many bytes of the file are known: those read, and those written behind them."""
        self._ending = b""
        """The seal that these bytes end with."""
        self._is_unfinished = False
        """Whether a write has failed, so that a part of it may stand in the file."""

    def go_on(self, past: Reader) -> None:
        """Goes on behind what ``past`` has read, to its end."""
        self._past = past
        self.size = past.size
        self._ending = SEAL % past.seed if past.size else b""

    def open(self) -> None:
        """Makes the file, or opens the very one that was read. Raises OSError, Taken."""
        past = self._past
        make_folder(self.path.parent)
        if past is None:
            self.file = self._opener(self.path)
            return
        file = self._opener(self.path, False)
        try:
            if file.place() != (*past.identity, past.size + past.torn):
                raise OSError(errno.EBUSY, CHANGED)
            file.truncate(past.size)  # the torn end, which the reader has understood
        except OSError:
            closed_quietly(file)
            raise
        self.file = file

    def mend(self, file: File, held_back: Sequence[bytes]) -> str | None:
        """Cuts what a write of ours left unfinished. Returns why that failed, or that somebody changed the file.

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
        """Writes lines at the end. Returns a fault if they are not in the file, or not all of them."""
        try:
            if file.size() != self.size:
                return CHANGED  # nothing is written behind what is not known
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
