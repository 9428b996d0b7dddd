"""The session's record on disk, and the lease on its folder. It keeps what it is given and decides nothing.

A record is a text file of lines. A header stands at every start; then each fact with its time and arrival number,
and the decisions it caused. Every line ends with a CRC-32 of its text, seeded with the line before's, so a changed,
missing or moved line is found. It is the state that a restart folds, the tape that a replay reads, and the proof of
every alert.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import glob
import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, pairwise, takewhile
from pathlib import Path
from typing import IO, Any, Protocol, cast

import msgspec
import structlog

from config import VERSION, Rules
from events import Decision, Event, Session

log = structlog.get_logger("journal")

SCHEMA = 1
"""Version of the record's format. A reader refuses what it does not know."""

SEAL = b" %08x\n"
"""A line ends with a blank, its checksum in hexadecimal, and a newline."""

SEAL_BYTES = len(SEAL % 0)

FILE_MODE, FOLDER_MODE = 0o600, 0o700
SUFFIX, PACKED_SUFFIX = ".jsonl", ".jsonl.gz"
ARRAY = b"["
"""What a fact's line begins with; a header's does not."""

BLOCK_BYTES = 1024 * 1024
"""About how much of a record is read at a time."""

GZIP_MAGIC = b"\x1f\x8b"

HELD_BACK_MAX = 64 * 1024 * 1024
"""Bytes that wait in memory for a disk that does not take them: a session and more."""


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="header"):
    """The first line of a record, and one more at every later start. ``now`` is µs of UTC."""

    schema: int
    version: str
    rules: dict[str, Any]
    rules_hash: str
    session: Session
    now: int
    pid: int


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact: when it was handled (µs of UTC), its arrival number, the fact, and the decisions it caused."""

    now: int
    number: int
    event: Event
    decisions: tuple[Decision, ...] = ()


class _Bare(msgspec.Struct, frozen=True, array_like=True):
    """An `Entry` without decisions, as most are: written shorter, read as the same."""

    now: int
    number: int
    event: Event


class Damage(Exception):
    """A record that cannot be trusted: where, and what is wrong."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class LeaseHeld(Exception):
    """Another copy holds the lease on the folder."""


Line = Header | Entry

_encoder = msgspec.json.Encoder()
_decode_header = msgspec.json.Decoder(Header).decode
_decode_entry = msgspec.json.Decoder(Entry).decode


def sealed(text: bytes, seed: int) -> tuple[bytes, int]:
    """A line of the record with its checksum, and that checksum: the seed of the next."""
    crc = zlib.crc32(text, seed)
    return text + SEAL % crc, crc


def follows(line: bytes, seed: int) -> bool:
    """Whether a line is whole and follows the checksum ``seed``."""
    return line[-SEAL_BYTES:] == SEAL % zlib.crc32(line[:-SEAL_BYTES], seed)


def _is_sealed(line_and_crc: tuple[bytes, int]) -> bool:
    line, crc = line_and_crc
    return line[-SEAL_BYTES:] == SEAL % crc


# --- Reading -----------------------------------------------------------------------------------------


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
        crc32, decode = zlib.crc32, _decode_entry
        for block in blocks:
            good, bad = block, []
            texts = [line[:-SEAL_BYTES] for line in block]
            crcs = [seed := crc32(text, seed) for text in texts]
            # All seals of a block in one comparison: formatting them one by one takes as long as decoding the lines.
            if b"".join([line[-SEAL_BYTES:] for line in block]) != SEAL * len(crcs) % tuple(crcs):
                count = sum(1 for _ in takewhile(_is_sealed, zip(block, crcs, strict=True)))
                good, bad = block[:count], block[count:]
                seed = crcs[count - 1] if count else self.seed
            for text in texts[: len(good)]:
                number += 1
                try:
                    if text[:1] == ARRAY and number > 1:
                        entry = decode(text)
                        yield entry
                        continue
                    header = _decode_header(text)
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


# --- Writing -----------------------------------------------------------------------------------------


class File(Protocol):
    """What a journal writes to."""

    def write(self, data: bytes) -> int:
        """Write at the end; returns how many bytes were taken. Raises OSError."""

    def truncate(self, size: int) -> None:
        """Cut to a size in bytes. Raises OSError."""

    def sync(self) -> None:
        """Wait until all is on the disk. Raises OSError."""

    def close(self) -> None:
        """Close it."""


class DiskFile:
    """A file on the disk, for its owner only, appended to. No symlink is followed."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, FILE_MODE)
        _sync_folder(path.parent)

    def write(self, data: bytes) -> int:
        """Write to the page cache."""
        return os.write(self._descriptor, data)

    def truncate(self, size: int) -> None:
        """Cut to a size in bytes."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Wait until all is on the disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


def _sync_folder(folder: Path) -> None:
    """Put a new file's name on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


Opener = Callable[[Path], File]


class Journal:
    """The one writer of a session's record. A write waits for the page cache at most; `sync` for the disk.

    A disk that takes nothing turns it ``off``; lines are then held back and written, in order, by `retry`.
    """

    def __init__(self, path: Path, opener: Opener = DiskFile, held_back_max: int = HELD_BACK_MAX) -> None:
        self.path = path
        self._held_back_max = held_back_max
        self.fault: str | None = None
        """Why nothing can be written at present, in words; None while all is well."""
        self._opener = opener
        self._file: File | None = None
        self._size = 0
        self._seed = 0
        self._number = 0
        self._held_back: list[bytes] = []
        self._held_bytes = 0
        self._is_given_up = False

    @property
    def is_off(self) -> bool:
        """Whether what was given is not (yet) in the file."""
        return self.fault is not None

    def begin(self, rules: Rules, session: Session, now: int, past: Reader | None = None) -> None:
        """Write the header of a start, behind what an earlier start has left (read to its end by now).

        Never raises OSError: see `fault`.
        """
        if past is not None:
            self._size, self._seed, self._number = past.size, past.seed, past.number
        header = Header(
            schema=SCHEMA,
            version=VERSION,
            rules=rules.model_dump(mode="json"),
            rules_hash=rules.digest(),
            session=session,
            now=now,
            pid=os.getpid(),
        )
        self._hold(_encoder.encode(header))
        self.retry()

    def append(self, now: int, event: Event, decisions: Sequence[Decision]) -> None:
        """Write a fact and what it caused, in one write. Never raises OSError: see `fault`."""
        if self._held_bytes > self._held_back_max:
            self._is_given_up = True
            return
        self._number += 1
        made = tuple(decisions)
        line = Entry(now, self._number, event, made) if made else _Bare(now, self._number, event)
        self._hold(_encoder.encode(line))
        if not self.is_off:
            self._flush()

    def retry(self) -> bool:
        """Write what was held back. Returns whether all is well again."""
        if self._is_given_up:
            return False  # facts are missing by now: the record ends before them
        try:
            if self._file is None:
                self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                if self.path.parent.is_symlink():
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                self._file = self._opener(self.path)
            self._file.truncate(self._size)
        except OSError as error:
            self.fault = _words(error)
            return False
        self.fault = None
        self._flush()
        return not self.is_off

    def _hold(self, text: bytes) -> None:
        line, self._seed = sealed(text, self._seed)
        self._held_back.append(line)
        self._held_bytes += len(line)

    def _flush(self) -> None:
        assert self._file is not None
        data = b"".join(self._held_back)
        try:
            taken = self._file.write(data)
        except OSError as error:
            self.fault = _words(error)
            return
        if taken < len(data):
            self.fault = _words(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            return
        self._size += len(data)
        self._held_back.clear()
        self._held_bytes = 0

    def sync(self) -> asyncio.Future[bool]:
        """Have what was written put on the disk, by a thread that begins at once. The future says whether it is there."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        if self.is_off or self._file is None:
            written.set_result(False)
        else:
            loop.run_in_executor(None, self._file.sync).add_done_callback(partial(self._synced, written))
        return written

    def _synced(self, written: asyncio.Future[bool], syncing: asyncio.Future[None]) -> None:
        if written.cancelled():
            return  # nobody asks any more
        match syncing.exception():
            case None:
                written.set_result(True)
            case OSError() as error:
                self.fault = _words(error)
                written.set_result(False)
            case error:
                written.set_exception(error)

    def close(self) -> None:
        """Close the file; what could not be written is said."""
        if self._held_back:
            log.error(
                "record_incomplete",
                text=f"🛑 The record lacks its last {len(self._held_back)} lines: {self.fault}",
                lines=len(self._held_back),
            )
        if self._file is not None:
            self._file.close()
            self._file = None


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__


# --- The folder --------------------------------------------------------------------------------------


def record_path(data_dir: Path, date: str) -> Path:
    """Where a session's record is written."""
    return data_dir / "sessions" / f"{date}{SUFFIX}"


def records(data_dir: Path) -> list[Path]:
    """Every record in the folder, the oldest first; of one packed half-way, the unpacked one."""
    found: dict[str, Path] = {}
    folder = data_dir / "sessions"
    for path in sorted(folder.glob(f"*{PACKED_SUFFIX}")) + sorted(folder.glob(f"*{SUFFIX}")):
        found[date_of(path)] = path
    return [found[date] for date in sorted(found)]


def date_of(path: Path) -> str:
    """The session's date in a record's name, packed or not."""
    return path.name.removesuffix(PACKED_SUFFIX).removesuffix(SUFFIX)


def is_packed(path: Path) -> bool:
    """Whether a record is compressed: finished, and not to be written any more."""
    return path.name.endswith(PACKED_SUFFIX)


def pack(path: Path) -> Path:
    """Compress a finished record. The packed one is complete on the disk before the other is removed."""
    packed = path.with_name(path.name + ".gz")
    part = packed.with_name(packed.name + ".part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(part, flags, FILE_MODE), "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as stream:
            for block in read_blocks(path):
                stream.writelines(block)
        raw.flush()
        os.fsync(raw.fileno())
    part.replace(packed)
    path.unlink()
    return packed


def tidy(data_dir: Path, keep: int, current: str | None = None) -> None:
    """Pack every record but the ``current`` date's, and remove the oldest beyond ``keep``. Faults are logged."""
    paths = records(data_dir)
    for path in paths[: max(0, len(paths) - keep)]:
        _attempt("removed", path, _remove)
    for path in paths[max(0, len(paths) - keep) :]:
        if path.name.endswith(SUFFIX) and path.name != f"{current}{SUFFIX}":
            _attempt("packed", path, pack)


def _remove(path: Path) -> None:
    """Remove a record, and what was noted beside it."""
    for beside in path.parent.glob(f"{glob.escape(date_of(path))}.*"):
        beside.unlink()


def _attempt(what: str, path: Path, action: Callable[[Path], object]) -> None:
    try:
        action(path)
    except (OSError, Damage) as error:
        reason = _words(error) if isinstance(error, OSError) else str(error)
        log.warning(
            "record_not_tidied", text=f"⚠️ Record {path.name} could not be {what}: {reason}", path=path.name
        )


class Lease:
    """The right to be the only copy that uses a folder: a lock of the kernel, so a crash gives it back."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "lease"
        self._file: IO[str] | None = None

    def take(self, started: str) -> None:
        """Take the lease. Raises LeaseHeld, naming the holder; OSError when the folder cannot be used."""
        self._path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = open(os.open(self._path, flags, FILE_MODE), "r+", encoding="utf-8")  # noqa: SIM115 - kept open: it is the lock
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip() or "unknown"
            file.close()
            raise LeaseHeld(holder) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}, started {started}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lease back."""
        if self._file is not None:
            self._file.close()
            self._file = None
