"""Reads a record, packed or not, and says where it is damaged."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise, takewhile
from pathlib import Path
from typing import IO, cast

import msgspec

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
    follows,
    is_sealed,
)

BLOCK_BYTES = 1024 * 1024
"""About how much of a record is read at a time."""

GZIP_MAGIC = b"\x1f\x8b"


class Damage(Exception):
    """A record that cannot be trusted: where, and what is wrong."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class Record(msgspec.Struct, kw_only=True):
    """A record as read whole: its lines, and how many bytes at its end were torn off."""

    path: Path
    lines: list[Line]
    torn: int

    @property
    def header(self) -> Header:
        """The newest header."""
        return next(line for line in reversed(self.lines) if isinstance(line, Header))

    @property
    def entries(self) -> list[Entry]:
        """The facts, in their order."""
        return [line for line in self.lines if isinstance(line, Entry)]


def read_blocks(path: Path) -> Iterator[list[bytes]]:
    """The raw lines of a record, some at a time; packed or not, whatever its name.

    Raises OSError, or Damage for a broken archive.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as raw:
        is_packed = raw.peek(2)[:2] == GZIP_MAGIC
        stream: IO[bytes] = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if is_packed else raw
        lines = 0
        try:
            while block := stream.readlines(BLOCK_BYTES):
                lines += len(block)
                yield block
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise Damage(path, lines + 1, f"the archive is broken ({error})") from error


class Reader:
    """A record's lines, one by one: a session's would fill the memory. Iterate once; then the rest is known.

    What is torn off at the end is left out and counted in ``torn`` (bytes). Iterating raises Damage for anything
    else that is wrong: a checksum in the middle, a line that does not decode, another schema, an archive that
    breaks off; and OSError when the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """Bytes up to the last good line."""
        self.seed = 0
        """The checksum that the next line is seeded with."""
        self.number = 0
        """Arrival number of the last fact."""
        self.now = 0
        """When that was, µs of UTC; 0 without a fact."""
        self.torn = 0

    def __iter__(self) -> Iterator[Line]:
        blocks = read_blocks(self.path)
        number, seed, entry = 0, 0, None
        crc32, decode = zlib.crc32, decode_entry
        for block in blocks:
            good, bad = block, []
            texts = [line[:-SEAL_BYTES] for line in block]
            crcs = [seed := crc32(text, seed) for text in texts]
            # All seals of a block in one comparison: formatting them one by one takes as long as decoding the lines.
            if b"".join([line[-SEAL_BYTES:] for line in block]) != SEAL * len(crcs) % tuple(crcs):
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
                except msgspec.MsgspecError as error:
                    reason = f"written by another version, or not a record ({error})"
                    raise Damage(self.path, number, reason) from error
                if header.schema != SCHEMA:
                    reason = (
                        f"schema {header.schema} of version {header.version}; this version reads {SCHEMA}"
                    )
                    raise Damage(self.path, number, reason)
                yield header
            if bad:
                tail = [*bad, *chain.from_iterable(blocks)]
                _judge_tail(self.path, tail, number + 1, seed)
                self.torn = sum(map(len, tail))
            self._know(good, seed, entry)

    def _know(self, lines: Sequence[bytes], seed: int, entry: Entry | None) -> None:
        """These lines were good; the last fact so far was ``entry``."""
        self.size += sum(map(len, lines))
        self.seed = seed
        if entry is not None:
            self.number, self.now = entry.number, entry.now


def read(path: Path) -> Record:
    """Read a whole record. Raises what a `Reader` does."""
    reader = Reader(path)
    lines = list(reader)
    return Record(path=path, lines=lines, torn=reader.torn)


def first_header(path: Path) -> Header | None:
    """The header that a record begins with; None when not even that was written. Raises what a `Reader` does."""
    first = next(iter(Reader(path)), None)
    assert first is None or isinstance(first, Header), "decode refuses a record that begins otherwise"
    return first


def _judge_tail(path: Path, tail: Sequence[bytes], number: int, seed: int) -> None:
    """Torn is what nothing whole follows. A later line that follows its own predecessor proves damage before it."""
    for previous, line in pairwise(tail):
        seeds = [zlib.crc32(previous[:-SEAL_BYTES], seed)]
        with contextlib.suppress(ValueError):
            seeds.append(int(previous[-SEAL_BYTES:], 16))
        if any(follows(line, seed) for seed in seeds):
            raise Damage(
                path, number, "the line's checksum is wrong: it was changed, lines are missing, or moved"
            )
