"""The folder of the records: which there are, and keeping only as many as are wanted."""

from __future__ import annotations

import glob
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import structlog

from record.journal import FILE_MODE, words
from record.reader import Damage, read_blocks

log = structlog.get_logger("journal")

SUFFIX, PACKED_SUFFIX = ".jsonl", ".jsonl.gz"


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
        reason = words(error) if isinstance(error, OSError) else str(error)
        log.warning(
            "record_not_tidied", text=f"⚠️ Record {path.name} could not be {what}: {reason}", path=path.name
        )
