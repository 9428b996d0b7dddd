"""Reads a record as it grows: each whole line once its newline is there, with its seal checked."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import islice
from pathlib import Path

from errors import OurError
from record.folder import PACKED_SUFFIX
from record.lines import ARRAY, SEAL, SEAL_BYTES, Header, Line, decode_entry, decode_header
from record.reader import (
    BLOCK_BYTES,
    GZIP_MAGIC,
    LINE_MAX,
    RECORD_MAX,
    UNDECODABLE,
    Damage,
    Reader,
    check_header,
    is_torn,
    open_record,
    undecodable,
    unsealed,
)
from review.derive import LineOrder

MARK_BYTES = 64
"""How much of what cannot be read is remembered, to notice when it changes."""


class Replaced(OurError):
    """Another record has taken a record's place: what was read of the old one does not count any more."""


class Standing(Enum):
    """What has become of the file that is being read."""

    GROWS = "stands under its name"
    PACKED = "was finished and packed"
    GONE = "has lost its name, and may still be written"


class GrowingRecord:
    """One record, read from its beginning and then as it grows. Opens the file at once; raises OSError.

    A file that is written anew with the same lines under the same name, as the worker does when the name was lost, is
    gone on with where the old one was left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.standing = Standing.GROWS
        self._file = open_record(path)
        self._is_packed = os.pread(self._file, len(GZIP_MAGIC), 0) == GZIP_MAGIC
        self._place = _Place()
        self._packed = Reader(path) if self._is_packed else None

    @property
    def size(self) -> int:
        """Returns how many bytes of whole lines have been read (of a packed record: unpacked)."""
        return self._place.size if self._packed is None else self._packed.size

    @property
    def total(self) -> int:
        """Returns how many bytes the file has now."""
        return os.fstat(self._file).st_size

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def lines(self) -> Iterator[Line | None]:
        """Yields every line, and None whenever there is no more yet. Never ends.

        Raises Damage for what a record cannot hold, Replaced when another record stands under its name, and OSError.
        """
        order = LineOrder(self.path)
        for line in self._lines():
            if line is not None:
                order.check(line)
            yield line

    def first(self, count: int) -> Iterable[Line]:
        """Reads that many lines from the beginning again. Raises what `lines` does."""
        if self._packed is not None:
            return islice(Reader(self.path), count)
        return islice(self._read(_Place()), count)

    def mark(self) -> bytes:
        """Returns what stands where reading has got to: `is_same` compares it."""
        return os.pread(self._file, SEAL_BYTES + MARK_BYTES, max(0, self._place.size - SEAL_BYTES))

    def is_same(self, mark: bytes) -> bool:
        """Returns whether the name still leads to the open file, and the file still holds what stood there."""
        ours = os.fstat(self._file)
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino) and self.mark().startswith(mark)

    def _lines(self) -> Iterator[Line | None]:
        if self._packed is not None:
            yield from self._packed
        while True:
            if self._packed is None:
                try:
                    yield from self._read(self._place)
                except Damage:
                    self._look()  # maybe another record was written into the file
                    raise
            if not self._look():
                yield None

    def _read(self, place: _Place) -> Iterator[Line]:
        """Yields the whole lines from ``place`` on, and moves it behind them."""
        while True:
            block = os.pread(self._file, BLOCK_BYTES, place.size)
            if len(block) == BLOCK_BYTES and b"\n" not in block:
                block = os.pread(self._file, LINE_MAX, place.size)  # a long line
            end = block.rfind(b"\n") + 1
            if not end:
                self._check_torn(block, place)
                return
            for line in io.BytesIO(block[:end]):
                yield place.decode(self.path, line)

    def _check_torn(self, rest: bytes, place: _Place) -> None:
        """Raises Damage for what cannot become a line: its beginning stands there while it is written, or after a crash."""
        if len(rest) >= LINE_MAX and not rest.endswith(b"\0"):
            raise Damage(self.path, place.number + 1, f"a line of over {LINE_MAX // 1024**2} MiB")
        if rest.strip(b"\0") and not is_torn(rest, is_first=not place.number):
            raise unsealed(self.path, place.number + 1)

    # --- What stands under the name ---

    def _look(self) -> bool:
        """Looks whether the name still leads to the open file; returns whether it led to another, which is open now.

        Raises Replaced when that is another record.
        """
        ours = os.fstat(self._file)
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            is_packed = os.path.lexists(f"{self.path}.gz") and not self.path.name.endswith(PACKED_SUFFIX)
            self.standing = Standing.PACKED if is_packed else Standing.GONE
            return False
        self.standing = Standing.GROWS
        if (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino):
            self._change()
            return True
        if not self._holds_ours(self._file):
            raise Replaced(f"{self.path}: does not hold any more what was read of it")
        return False

    def _holds_ours(self, file: int) -> bool:
        """Returns whether a file holds what was read: a seal continues the one before it, so the last stands for all."""
        place = self._place
        if self._packed is not None or not place.size:
            return True
        return os.pread(file, SEAL_BYTES, place.size - SEAL_BYTES) == SEAL % place.seed

    def _change(self) -> None:
        """Goes on in the file that now has the name. Raises Replaced unless it begins with the lines that were read."""
        if self._packed is not None:
            raise Replaced(f"{self.path}: is another file")
        other = open_record(self.path)
        if not self._holds_ours(other):
            os.close(other)
            raise Replaced(f"{self.path}: is another record")
        os.close(self._file)
        self._file = other


class _Place:
    """A place between two lines: how many bytes, lines and seals lie before it."""

    def __init__(self) -> None:
        self.size = self.number = self.seed = 0
        self._date = ""

    def decode(self, path: Path, line: bytes) -> Line:
        """Returns the line that stands here, and goes on behind it. Raises Damage."""
        text = line[:-SEAL_BYTES]
        seed = zlib.crc32(text, self.seed)
        number = self.number + 1
        if line[-SEAL_BYTES:] != SEAL % seed:
            raise unsealed(path, number)
        if self.size + len(line) > RECORD_MAX:
            raise Damage(path, number, f"over {RECORD_MAX // 1024**2} MiB: no session's record is as long")
        try:
            found: Line = decode_entry(text) if text[:1] == ARRAY and self.number else decode_header(text)
        except UNDECODABLE as error:
            raise undecodable(path, number, error) from error
        if isinstance(found, Header):
            self._date = self._date or found.session.date
            check_header(path, number, found, self._date)
        self.size, self.number, self.seed = self.size + len(line), number, seed
        return found
