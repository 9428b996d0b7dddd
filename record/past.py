"""What earlier starts left in the folder: the session's own record, and earlier ones that are still unsettled."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import structlog

from events import Opened
from record.folder import (
    Kind,
    chosen,
    date_of,
    is_beginning,
    is_packed,
    left_alone,
    look_at,
    look_through,
    record_path,
    unpack,
)
from record.lines import Header
from record.reader import Damage, glance
from rules import Rules

log = structlog.get_logger("journal")

NAMED = 8
"""How many of the files left alone one line names. The others are only counted."""


class Left(NamedTuple):
    """A record that an earlier start left, and the position that is open at its end.

    ``header`` is the one under which the position was opened, or else the newest; None if the record has none.
    """

    path: Path
    header: Header | None
    open: Opened | None
    untold: frozenset[str] = frozenset()
    """Positions whose SELL has no outcome in this record."""
    told: frozenset[str] = frozenset()


class AtStart(NamedTuple):
    """The records that matter to a start: the session's own, and earlier days' that are still to be settled."""

    own: Left | None
    unsettled: list[Left]


def at_start(data_dir: Path, today: str) -> AtStart:
    """Returns the records that matter to the session of ``today`` (ISO). Logs which files it leaves alone.

    Reads the disk, so it must not run in the event loop. Raises OSError if the folder cannot be read; Damage if the
    session's own record, or without one the newest earlier record, cannot be read: it may hold an open position.
    """
    found = look_through(data_dir)
    _name(data_dir, left_alone(found, today))
    _warn_of_later([path for path in chosen(found) if date_of(path) > today], today)
    own = own_record(data_dir, today)
    unsettled: list[Left] = []
    before = [path for path in chosen(found) if date_of(path) < today]
    for path in before:
        is_newest = own is None and path == before[-1]
        if is_packed(path) and not is_newest:
            continue  # it was settled before it was packed, and newer records have been started since
        try:
            left = _left(path)
        except (Damage, OSError):
            if is_newest:
                raise
            continue  # it was logged as left alone, and newer records have been started since
        is_owed = left.open is not None or bool(left.untold - (frozenset() if own is None else own.told))
        if is_owed or (is_newest and not is_packed(path) and left.header is not None):
            unsettled.append(_unpacked(left))
    return AtStart(own, unsettled)


def own_record(data_dir: Path, date: str) -> Left | None:
    """Returns the session's own record, unpacked if necessary; None if there is none.

    Reads the disk, so it must not run in the event loop. Raises Damage if the record cannot be read, or something else
    has its name; OSError.
    """
    path = record_path(data_dir, date)
    packed = path.with_name(path.name + ".gz")
    if _is_there(path):
        return _left(path)
    if not _is_there(packed) or look_at(packed).kind is Kind.FOREIGN:
        return None
    return _unpacked(_left(packed))


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _left(path: Path) -> Left:
    """Returns the record at a path. Raises Damage if something else is there; OSError."""
    found = look_at(path)
    if found.kind is not Kind.RECORD:
        raise Damage(path, 1, found.reason)
    seen = glance(path)
    if seen.is_packed and not is_packed(path):
        raise Damage(path, 1, f"it is packed, and its name does not say so: rename it to {path.name}.gz")
    left = Left(path, seen.header, seen.open, seen.untold, seen.told)
    if not is_packed(path):
        _check_packed(left, path.with_name(path.name + ".gz"))
    return left


def _check_packed(left: Left, packed: Path) -> None:
    """Raises Damage if the packed record of the same day leaves a position open that the unpacked one lacks.

    If the packed one is only the beginning of the unpacked one, which was unpacked to go on with it, the unpacked one
    says what became of that position.
    """
    if look_at(packed).kind is not Kind.RECORD:
        return
    try:
        other = glance(packed).open
    except (Damage, OSError):
        return  # it was logged as left alone, or is the beginning of the unpacked record
    if (
        other is None
        or (left.open is not None and left.open.id == other.id)
        or is_beginning(packed, left.path)
    ):
        return
    reason = f"it leaves position #{other.id} open, and {left.path.name} beside it does not hold that"
    raise Damage(packed, 1, reason)


def _warn_of_later(paths: list[Path], today: str) -> None:
    """Logs positions that are open in a later day's record: the clock was wrong then, or is wrong now."""
    for path in paths:
        try:
            position = glance(path).open
        except (Damage, OSError):
            continue  # it was logged as left alone, with its fault
        if position is not None:
            log.critical(
                "later_position",
                text=f"🛑 {path.name} leaves position #{position.id} ({position.contract}) open, and is dated after "
                f"{today}: nobody watches it. Check whether you hold it, and whether this machine's clock is right",
                id=position.id,
                contract=position.contract,
            )


def _unpacked(left: Left) -> Left:
    """Returns the same record as a file that can be appended to. Raises OSError, Damage."""
    if not is_packed(left.path):
        return left
    path = unpack(left.path)
    log.warning(
        "record_unpacked",
        text=f"📼 {left.path.name} was packed before its session was over: unpacked to continue it",
    )
    return left._replace(path=path)


def changed(old: Rules, new: Rules) -> str:
    """Returns the rules that differ, with both values, in words."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return ", ".join(
        f"{name.upper()} {before[name]} → {after[name]}" for name in after if before[name] != after[name]
    )


def _name(data_dir: Path, lines: list[str]) -> None:
    """Logs which files are left alone."""
    if lines:
        more = f", and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
        log.warning(
            "files_left_alone",
            text=f"⚠️ Left alone in {data_dir / 'sessions'}, not usable as records: {', '.join(lines[:NAMED])}{more}",
            count=len(lines),
        )
