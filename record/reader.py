"""Reads a record, packed or not, and reports where it is damaged."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import IO, cast

import msgspec

from errors import OurError
from events import AlertKind, AlertOutcome, Closed, Opened, Withdrawn
from record.disk import words
from record.lines import (
    ARRAY,
    SCHEMA,
    SEAL,
    SEAL_BYTES,
    Entry,
    Header,
    Line,
    decode_entry,
    decode_header,
    is_sealed,
)

BLOCK_BYTES = 256 * 1024
"""How much of a record is read at a time, bytes."""

FIRST_BYTES = 8 * 1024
"""How much is read at a time if only the first line is wanted, bytes. A header has about 3,000."""

LINE_MAX = 4 * 1024 * 1024
"""The longest line that is read, bytes. The longest that is written, a chain's, has fewer than 100,000."""

RECORD_MAX = 512 * 1024 * 1024
"""The longest record that is read, bytes. A busy session's has 60 million, but a packed file may unpack to any size."""

HEADER = b'{"type":"header","schema":'
"""The first bytes of a header's line."""

WEIGHTY = (b'"type":"opened"', b'"type":"closed"', b'"type":"withdrawn"', b'"type":"alertoutcome"')
"""Bytes in every line with a decision about a position or an alert's outcome: one of them is in it."""

NAMED = b'"id":"'
"""Bytes in each of those lines, and in few others. One search of a piece for these replaces four."""

GZIP_MAGIC = b"\x1f\x8b"

UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for a line that it cannot decode. Text that is not UTF-8, and deep nesting, have other errors than
its own."""

ENTRY_BEGINS = re.compile(rb"\[(?:\d+(?:,(?:\d+(?:,(?:\{.*)?)?)?)?)?", re.DOTALL)
"""Matches a fact's line that is cut off anywhere: ``[now,number,{``, and then the fact."""


class Damage(OurError):
    """A record that cannot be trusted: in which line, and what is wrong."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


def unsealed(path: Path, line: int) -> Damage:
    """Returns the fault of a line that does not end with its checksum."""
    return Damage(path, line, "the line's checksum is wrong: it was changed, lines are missing, or moved")


def undecodable(path: Path, line: int, error: Exception) -> Damage:
    """Returns the fault of a line that has its checksum, and cannot be decoded."""
    return Damage(path, line, f"written by another version, or not a record ({error})")


def check_header(path: Path, number: int, header: Header, date: str) -> None:
    """Raises Damage for a header that this version cannot read, or that is of another session than ``date``, the first's."""
    if header.schema != SCHEMA:
        reason = f"schema {header.schema} of version {header.version}; this version reads {SCHEMA}"
        raise Damage(path, number, reason)
    if header.session.date != date:
        raise Damage(path, number, f"a header of session {header.session.date} in the record of {date}")


class Record(msgspec.Struct, kw_only=True):
    """A whole record: its lines, and how many bytes of an unfinished line were left out at its end."""

    path: Path
    lines: list[Line]
    torn: int

    @property
    def header(self) -> Header:
        """Returns the newest header. Raises StopIteration for a record without one."""
        return next(line for line in reversed(self.lines) if isinstance(line, Header))

    @property
    def entries(self) -> list[Entry]:
        """Returns the facts in their order, with their decisions."""
        return [line for line in self.lines if isinstance(line, Entry)]


def open_record(path: Path) -> int:
    """Opens a record for reading and returns the descriptor. Never blocks, as opening a FIFO would.

    Raises OSError, also if it is a link, a folder or no ordinary file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        if is_folder:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "It is not an ordinary file", str(path))
    return descriptor


class Blocks:
    """The raw lines of a record, a block at a time, packed or not, whatever its name. Iterate once.

    Every line but the last ends with a newline. Leaves out most of the zero bytes at the end if there are many.
    Iterating raises OSError; Damage for a broken archive, a line over `LINE_MAX` or a record over `RECORD_MAX`.
    """

    def __init__(self, path: Path, block_bytes: int = BLOCK_BYTES, record_max: int = RECORD_MAX) -> None:
        self.path = path
        self._block_bytes = block_bytes
        self._record_max = record_max
        self.total = 0
        """Bytes read so far, unpacked."""
        self.identity = (0, 0)
        """Device and inode of the file that was read."""
        self.is_packed = False
        """Whether it is compressed, whatever its name says."""
        self._lines = 0

    def __iter__(self) -> Iterator[list[bytes]]:
        for piece in self.pieces():
            lines = io.BytesIO(piece).readlines()
            self._lines += len(lines)
            yield lines

    def pieces(self) -> Iterator[bytes]:
        """Yields the same bytes in pieces of many lines. Each piece but the last ends with a newline."""
        with open(open_record(self.path), "rb") as raw:
            found = os.fstat(raw.fileno())
            self.identity = (found.st_dev, found.st_ino)
            try:
                self.is_packed = raw.peek(2)[:2] == GZIP_MAGIC
                stream: IO[bytes] = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if self.is_packed else raw
                yield from self._read(stream)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise self._damage(f"the archive is broken ({error})") from error
            except OSError as error:
                # A failed read does not name its file, so add it for the report.
                raise OSError(error.errno, words(error), str(self.path)) from error

    def _damage(self, reason: str) -> Damage:
        return Damage(self.path, self._lines + 1, reason)

    def _read(self, stream: IO[bytes]) -> Iterator[bytes]:
        """Yields pieces that end with a newline. Reads by size, not by line: an endless line must not fill the memory."""
        rest = b""
        while block := stream.read(self._block_bytes):
            self.total += len(block)
            if self.total > self._record_max:
                raise self._damage(f"over {self._record_max / 1024**2:g} MiB: no session's record is as long")
            end = block.rfind(b"\n") + 1
            if end:
                yield rest + block[:end]
                rest = b""
            rest += block[end:]
            if len(rest) > LINE_MAX:
                # A power cut may leave many zero bytes: one is enough to know of them.
                rest = rest.rstrip(b"\0") + b"\0"
                if len(rest) > LINE_MAX:
                    raise self._damage(f"a line of over {LINE_MAX // 1024**2} MiB")
        if rest:
            yield rest


class Reader:
    """A record's lines, one by one, because a session's would fill the memory. Iterate once; that sets the attributes.

    Leaves out an unfinished end and counts it in ``torn`` (bytes): the beginning of one line, and zero bytes, as a crash
    or a power cut leaves them. Iterating raises Damage for anything else that is wrong: a checksum, a line that does not
    decode, another schema, another session's header, an archive that breaks off, a line or a record that is too long.
    It raises OSError if the file cannot be read.
    """

    def __init__(self, path: Path, block_bytes: int = BLOCK_BYTES) -> None:
        self.path = path
        self._block_bytes = block_bytes
        self.size = 0
        """Bytes up to the end of the last good line."""
        self.seed = 0
        """The checksum that seeds the next line's."""
        self.number = 0
        """Arrival number of the last fact."""
        self.now = 0
        """When the last fact was handled, µs of UTC; 0 without one."""
        self.torn = 0
        self.identity = (0, 0)
        """Device and inode of the file that was read."""

    def __iter__(self) -> Iterator[Line]:
        blocks = Blocks(self.path, self._block_bytes)
        number, seed, entry, date = 0, 0, None, ""
        crc32, decode = zlib.crc32, decode_entry
        for block in blocks:
            good, bad = block, []
            texts = [line[:-SEAL_BYTES] for line in block]
            crcs = [seed := crc32(text, seed) for text in texts]
            # Compare a block's checksums all at once: formatting them one by one takes as long as decoding the lines.
            seals = b"".join([line[-SEAL_BYTES:] for line in block])
            expected = SEAL * len(crcs) % tuple(crcs)
            if seals != expected:
                count = sum(1 for _ in takewhile(is_sealed, zip(block, crcs, strict=True)))
                good, bad = block[:count], block[count:]
                seed = crcs[count - 1] if count else self.seed
            for text in texts[: len(good)]:
                number += 1
                try:
                    if text[:1] == ARRAY and number > 1:
                        entry = decode(text)
                        yield entry
                        continue
                    header = decode_header(text)
                except UNDECODABLE as error:
                    raise undecodable(self.path, number, error) from error
                date = date or header.session.date
                check_header(self.path, number, header, date)
                yield header
            self._know(good, seed, entry)
            if bad and not is_torn(bad[0], is_first=not number):
                raise unsealed(self.path, number + 1)
        self.torn = blocks.total - self.size
        self.identity = blocks.identity

    def _know(self, lines: Sequence[bytes], seed: int, entry: Entry | None) -> None:
        """Records that these lines are good, and that ``entry`` is the last fact so far."""
        self.size += sum(map(len, lines))
        self.seed = seed
        if entry is not None:
            self.number, self.now = entry.number, entry.now


def is_torn(line: bytes, *, is_first: bool) -> bool:
    """Returns whether a bad line is what a crash leaves of a good one: its beginning, then nothing or zero bytes.

    A crash leaves no newline, and text that does not begin like a line of ours was written by somebody else. A file of
    zero bytes alone (``is_first``) may be anybody's, because our first line is on the disk moments after the start.
    """
    text = line.rstrip(b"\0")
    if b"\n" in line or b"\0" in text:
        return False
    if is_first and not text:
        return False
    begins_header = text.startswith(HEADER) or HEADER.startswith(text)
    return begins_header or (not is_first and ENTRY_BEGINS.fullmatch(text) is not None)


def read(path: Path) -> Record:
    """Returns a whole record. Raises what a `Reader` raises."""
    reader = Reader(path)
    lines = list(reader)
    return Record(path=path, lines=lines, torn=reader.torn)


def first_header(path: Path) -> Header | None:
    """Returns the header that a record begins with; None if it is empty. Raises what a `Reader` raises."""
    first = next(iter(Reader(path, FIRST_BYTES)), None)
    assert first is None or isinstance(first, Header), "decode refuses a record that begins otherwise"
    return first


# --- A look at what a record holds -----------------------------------------------------------------------------------


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """What a start must know of a record before it reads all of it.

    ``open`` is the position that is open at its end. ``header`` is the one under which that was opened, or else the
    newest.
    """

    header: Header | None
    open: Opened | None
    is_packed: bool
    untold: frozenset[str]
    """Positions that were sold in this record, whose SELL has no outcome in it."""
    told: frozenset[str]
    """Positions whose SELL has an outcome in this record, even if another day's record sold them."""


class _Looked:
    """What `glance` has found so far."""

    def __init__(self) -> None:
        self.header: Header | None = None
        self.open: Opened | None = None
        self.opened_under: Header | None = None
        self.sold: set[str] = set()
        self.told: set[str] = set()

    def see(self, entry: Entry) -> None:
        """Records a fact and its decisions."""
        event = entry.event
        if isinstance(event, AlertOutcome) and event.kind is AlertKind.SELL and not event.channel:
            self.told.add(event.id)
        for decision in entry.decisions:
            match decision:
                case Opened():
                    self.open, self.opened_under = decision, self.header
                case Closed():
                    self.open = None
                    self.sold.add(decision.id)
                case Withdrawn():
                    self.open = None
                    self.sold.discard(decision.id)
                case _:
                    pass


def glance(path: Path) -> Glance:
    """Returns a record's header and positions, in a third of the time that reading it takes.

    Does not compare checksums: only a `Reader` tells whether a record is good. Raises OSError; Damage for what cannot be
    a record at all.
    """
    blocks, before, seen = Blocks(path), 0, _Looked()
    for piece in blocks.pieces():
        number, before = before, before + piece.count(b"\n")
        if not (HEADER in piece or NAMED in piece):
            continue  # so it is for nearly all pieces
        for line in io.BytesIO(piece):
            number += 1
            text = line[:-SEAL_BYTES]
            try:
                if text.startswith(HEADER):
                    seen.header = decode_header(text)
                elif line.endswith(b"\n") and any(word in text for word in WEIGHTY):
                    seen.see(decode_entry(text))
            except UNDECODABLE as error:
                if line.endswith(b"\n"):
                    raise Damage(path, number, f"not a line of a record ({error})") from error
    return Glance(
        header=seen.header if seen.open is None else seen.opened_under,
        open=seen.open,
        is_packed=blocks.is_packed,
        untold=frozenset(seen.sold - seen.told),
        told=frozenset(seen.told),
    )


def is_of(header: Header, symbol: str) -> bool:
    """Returns whether the facts after a header are of ``symbol``: an engine records only its own symbol's."""
    return header.rules.get("symbol") == symbol
