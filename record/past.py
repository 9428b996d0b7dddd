"""What earlier starts have left in the folder, as a start needs it: the session's own record, and what is unsettled."""

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
"""How many of the files that are left alone are named in one line; of more, their number is said."""


class Left(NamedTuple):
    """A record that an earlier start has left, and the position that is open at its end.

    ``header`` is that of the position's entry, or else the newest; None when not even that was written.
    """

    path: Path
    header: Header | None
    open: Opened | None
    untold: frozenset[str] = frozenset()
    """Positions of which it does not say what became of their SELL."""
    told: frozenset[str] = frozenset()


class AtStart(NamedTuple):
    """What a start has to do with: the session's own record, and those of days before that are still to be settled."""

    own: Left | None
    unsettled: list[Left]


def at_start(data_dir: Path, today: str) -> AtStart:
    """Returns what earlier starts left for the session of ``today``. Logs which files it leaves alone.

    Reads the disk: not for the event loop. Raises OSError when the folder cannot be looked through; Damage when the
    session's own record, or without one the newest before it, cannot be read: a position may be in it.
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
            continue  # packed after it was settled, and newer ones have been opened since
        try:
            left = _left(path)
        except (Damage, OSError):
            if is_newest:
                raise
            continue  # it has been named as left alone, and newer ones have been opened since
        is_owed = left.open is not None or bool(left.untold - (frozenset() if own is None else own.told))
        if is_owed or (is_newest and not is_packed(path) and left.header is not None):
            unsettled.append(_unpacked(left))
    return AtStart(own, unsettled)


def own_record(data_dir: Path, date: str) -> Left | None:
    """Returns the session's own record, unpacked if need be; None if there is none.

    Reads the disk: not for the event loop. Raises Damage when it cannot be read, or something else is in its place.
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
    """Returns the record at a path. Raises Damage if there is something else; OSError."""
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
    """Raises Damage when the packed record of the same day holds an open position that the one gone on with lacks.

    Of a record that was unpacked to go on with it, the packed one is the beginning: what it left open is closed since.
    """
    if look_at(packed).kind is not Kind.RECORD:
        return
    try:
        other = glance(packed).open
    except (Damage, OSError):
        return  # it has been named as left alone, or is the beginning of what is read here
    if (
        other is None
        or (left.open is not None and left.open.id == other.id)
        or is_beginning(packed, left.path)
    ):
        return
    reason = f"it leaves position #{other.id} open, and {left.path.name} beside it does not hold that"
    raise Damage(packed, 1, reason)


def _warn_of_later(paths: list[Path], today: str) -> None:
    """Logs positions that are open in a later day's record: the clock was wrong then, or is now."""
    for path in paths:
        try:
            position = glance(path).open
        except (Damage, OSError):
            continue  # it is named as left alone, with its fault
        if position is not None:
            log.critical(
                "later_position",
                text=f"🛑 {path.name} leaves position #{position.id} ({position.contract}) open, and is of a later day than "
                f"{today}: nobody watches it. Look whether you hold it, and whether this machine's clock is right",
                id=position.id,
                contract=position.contract,
            )


def _unpacked(left: Left) -> Left:
    """Returns the same record as a file that can be appended to."""
    if not is_packed(left.path):
        return left
    path = unpack(left.path)
    log.warning("record_unpacked", text=f"📼 {left.path.name} is not finished: unpacked, to go on with it")
    return left._replace(path=path)


def changed(old: Rules, new: Rules) -> str:
    """Returns the rules that differ, in words."""
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
            text=f"⚠️ Left alone in {data_dir / 'sessions'}, no records to go on with: {', '.join(lines[:NAMED])}{more}",
            count=len(lines),
        )
