"""The folder of the records: which of its files are records, packing them, and removing the oldest."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import stat
from collections.abc import Callable, Iterator
from datetime import date
from enum import Enum
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, NamedTuple

import structlog

from record.disk import FILE_MODE, part_of, place_of, publish, sync_folder, words
from record.reader import Blocks, Damage, Reader, first_header

log = structlog.get_logger("journal")

SUFFIX, PACKED_SUFFIX = ".jsonl", ".jsonl.gz"
NOTES_SUFFIX = ".tried.json"
"""Ending of a file of notes beside a record: which rules were tried on it."""


HOLDS = "holds the session of"
"""How the reason begins for a file whose name has another date than its header."""


class Kind(Enum):
    """What a file in the folder is, by its name and its content."""

    RECORD = "a record"
    DAMAGED = "damaged, or cannot be read"
    FOREIGN = "not a record"
    NOTES = "noted beside a record"


class Found(NamedTuple):
    """A file in the folder, what it is, and why it is not a record, if it is none."""

    path: Path
    kind: Kind
    reason: str = ""


def record_path(data_dir: Path, date: str) -> Path:
    """Returns the path of a session's record. ``date`` is the session's, in ISO form."""
    return data_dir / "sessions" / f"{date}{SUFFIX}"


def date_of(path: Path) -> str:
    """Returns the session's date in a record's name, packed or not."""
    return path.name.removesuffix(PACKED_SUFFIX).removesuffix(SUFFIX)


def is_packed(path: Path) -> bool:
    """Returns whether a record is compressed, by its name. A packed record is finished: nobody appends to it."""
    return path.name.endswith(PACKED_SUFFIX)


def look_at(path: Path) -> Found:
    """Returns what a file is. A record's name is exactly its date, and it begins with a header of that date."""
    if not path.name.endswith((SUFFIX, PACKED_SUFFIX)) or not _is_date(date_of(path)):
        is_notes = path.name.endswith(NOTES_SUFFIX) and _is_date(path.name.removesuffix(NOTES_SUFFIX))
        return Found(path, Kind.NOTES) if is_notes else Found(path, Kind.FOREIGN, "not named as a record")
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            return Found(path, Kind.FOREIGN, _what_stands_there(mode))
        header = first_header(path)
    except Damage as damage:
        return Found(path, Kind.DAMAGED, damage.reason)
    except OSError as error:
        return Found(path, Kind.DAMAGED, words(error))
    if header is not None and header.session.date != date_of(path):
        return Found(path, Kind.FOREIGN, f"{HOLDS} {header.session.date}")
    return Found(path, Kind.RECORD)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _what_stands_there(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link"
    return "a folder" if stat.S_ISDIR(mode) else "not an ordinary file"


def look_through(data_dir: Path) -> list[Found]:
    """Returns every file in the folder, sorted by name; none if there is no folder.

    Raises OSError if the folder cannot be read, or is a link.
    """
    folder = data_dir / "sessions"
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "It is a link", str(folder))
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [look_at(folder / name) for name in names]


def records(data_dir: Path) -> list[Path]:
    """Returns every record in the folder, even a damaged one, the oldest first.

    If a day's record is there twice because packing was interrupted, returns the unpacked one.
    """
    try:
        found = look_through(data_dir)
    except OSError:
        return []  # `look_through` tells why, for callers that need it
    return chosen(found)


def misnamed(data_dir: Path) -> dict[str, str]:
    """Returns what is wrong with each file that is named like a record but is none, by the date in its name."""
    try:
        found = look_through(data_dir)
    except OSError:
        return {}
    wrong: dict[str, str] = {}
    for path, kind, reason in found:
        if kind is Kind.FOREIGN and path.name.endswith((SUFFIX, PACKED_SUFFIX)) and _is_date(date_of(path)):
            what = (
                f"{reason}, not of {date_of(path)}"
                if reason.startswith(HOLDS)
                else f"is {reason}, not a record"
            )
            wrong[date_of(path)] = f"{path}: {what}"
    return wrong


def chosen(found: list[Found]) -> list[Path]:
    """Returns the records among the files found, one for each date, the oldest first."""
    by_date: dict[str, Path] = {}
    for item in sorted(
        found, key=lambda item: not is_packed(item.path)
    ):  # packed first: an unpacked one wins
        if item.kind in (Kind.RECORD, Kind.DAMAGED):
            by_date[date_of(item.path)] = item.path
    return [by_date[date] for date in sorted(by_date)]


def left_alone(found: list[Found], current: str) -> list[str]:
    """Returns the files that the worker leaves alone, each with its reason: non-records, and records after ``current``."""
    kept = set(chosen(found))
    lines: list[str] = []
    for path, kind, reason in found:
        if path in kept and date_of(path) > current:
            lines.append(f"{shown(path)} (of a later day than {current})")
        elif kind is Kind.RECORD and path not in kept:
            lines.append(f"{shown(path)} (the same day's unpacked record is beside it)")
        elif kind in (Kind.FOREIGN, Kind.DAMAGED):
            lines.append(f"{shown(path)} ({reason})")
    return lines


def shown(path: Path) -> str:
    """Returns a file's name with unprintable characters replaced: anybody may have created the file."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in path.name
    )


# --- Packing and removing ----------------------------------------------------------------------------


def pack(path: Path) -> Path:
    """Compresses a finished record. Removes the unpacked file only once the packed one is complete on the disk.

    Raises Damage if the record is not whole; OSError: FileExistsError if another file has the packed one's name.
    """
    _check_whole(path)
    packed = path.with_name(path.name + ".gz")
    if place_of(packed) is not None:
        if not is_beginning(packed, path):
            raise FileExistsError(errno.EEXIST, f"another file stands at {packed.name}")
        packed.unlink()  # left by an earlier packing that was interrupted before its last step
    with _published(packed) as raw, gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as stream:
        for block in Blocks(path):
            stream.writelines(block)
    path.unlink()
    return packed


@contextlib.contextmanager
def _published(path: Path) -> Iterator[BinaryIO]:
    """Yields a new file to write. Names it ``path`` once it is complete and on the disk; removes it after any failure.

    Raises OSError, which names ``path``: FileExistsError if that name is used.
    """
    part = part_of(path)
    try:
        with open(
            os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "wb"
        ) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        publish(part, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename in (None, str(part)):
            raise OSError(error.errno, words(error), str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def unpack(packed: Path) -> Path:
    """Writes a packed record out again, so that it can be appended to. Keeps the packed one. Raises OSError, Damage."""
    _check_whole(packed)
    path = packed.with_name(packed.name.removesuffix(".gz"))
    with _published(path) as file:
        for block in Blocks(packed):
            file.writelines(block)
    return path


def _check_whole(path: Path) -> None:
    """Raises Damage unless every line of a record is good. Only a whole record may be packed, unpacked or removed."""
    reader = Reader(path)
    lines = sum(1 for _ in reader)
    if reader.torn or not lines:
        raise Damage(path, lines + 1, "empty" if not lines else f"{reader.torn} bytes at its end are torn")


def is_beginning(packed: Path, path: Path) -> bool:
    """Returns whether an unpacked record begins with all the lines of a packed one."""
    pairs = zip_longest(_lines(packed), _lines(path))
    try:
        first, whole = next(pairs, (None, None))
        return first == whole is not None and all(part == whole for part, whole in pairs if part is not None)
    except (Damage, OSError):
        return False


def _lines(path: Path) -> Iterator[bytes]:
    for block in Blocks(path):
        yield from block


def tidy(data_dir: Path, keep: int, current: str) -> None:
    """Packs the records of days before ``current``, and removes the oldest beyond ``keep``. Logs faults.

    Never touches the current day's record, later ones, or a file that is not a whole record.
    """
    try:
        paths = chosen(look_through(data_dir))
    except OSError as error:
        log.warning(
            "folder_not_tidied",
            text=f"⚠️ {data_dir / 'sessions'} cannot be listed: {words(error)}",
        )
        return
    paths = [path for path in paths if date_of(path) <= current]
    excess = max(0, len(paths) - keep)
    for path in paths[:excess]:
        if date_of(path) < current:
            _attempt("removed", path, _remove)
    for path in paths[excess:]:
        if not is_packed(path) and date_of(path) < current:
            _attempt("packed", path, pack)


def _remove(path: Path) -> None:
    """Removes a record and the notes beside it. Raises Damage if it is not whole; OSError."""
    _check_whole(path)
    path.unlink()
    path.with_name(date_of(path) + NOTES_SUFFIX).unlink(missing_ok=True)


def _attempt(what: str, path: Path, action: Callable[[Path], object]) -> None:
    try:
        action(path)
    except (OSError, Damage) as error:
        reason = words(error) if isinstance(error, OSError) else error.reason
        log.warning(
            "record_not_tidied", text=f"⚠️ Record {path.name} could not be {what}: {reason}", path=path.name
        )
