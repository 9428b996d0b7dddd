"""Every decision of a record derived again from its facts, and compared with the recorded one, field by field."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from config import VERSION, ConfigError
from events import Bar, Decision, Event, Quote
from record.lines import Entry, Header
from record.reader import Damage
from sim.replay import Start, Survey, Unusable, check_file, play, recorded_rules, survey
from sim.screen import Progress
from utils import clock_text

EXIT_GOOD, EXIT_BAD, EXIT_USAGE = 0, 1, 2
NOTHING = "nothing"


class Difference(Exception):
    """The first place where what was decided cannot be derived, in words."""


def verify(paths: Sequence[Path]) -> int:
    """Check records, with a line for each. Returns the exit status: 0 all are good, 1 one is not, 2 cannot be read."""
    unusable = 0
    for path in paths:
        try:
            check_file(path)
        except Unusable as error:
            print(f"python -m sim verify: {error}", file=sys.stderr)
            unusable += 1
    if unusable:
        return EXIT_USAGE
    status = EXIT_GOOD
    for path in paths:
        try:
            print(f"✓ {path}: {check(path)}", flush=True)
        except (Difference, Damage, Unusable) as error:
            print(f"✗ {error}", flush=True)
            status = EXIT_BAD
    return status


def check(path: Path) -> str:
    """One record, in words when it is good. Raises Difference, Damage, or Unusable when it cannot be read."""
    record = survey(path)
    if record.torn:
        raise Damage(path, record.lines + 1, f"torn: {record.torn} bytes that are no whole line follow")
    for number, header in record.headers:
        _check_rules(path, number, header)
    decided = _check_lines(path, record)
    starts, (_, newest) = len(record.headers), record.headers[-1]
    version = newest.version
    return (
        f"{newest.session.date}, {record.lines - starts:,} facts, {starts} "
        f"start{'s' if starts > 1 else ''}, {decided} decisions derived again and equal "
        f"(rules {newest.rules_hash}, version {version}"
        + ("" if version == VERSION else f", checked by {VERSION}")
        + ")"
    )


def _check_rules(path: Path, number: int, header: Header) -> None:
    """Raises Damage for rules that this version does not have, or that are not those of their hash."""
    try:
        _, odd = recorded_rules(header, {})
    except ConfigError as error:
        odd = error.faults
    if odd := [item for item in odd if not item.startswith("written by")]:
        by = "" if header.version == VERSION else f"written by version {header.version}, this is {VERSION}: "
        raise Damage(path, number, by + "; ".join(odd))


def _check_lines(path: Path, record: Survey) -> int:
    """Derive everything. Returns the number of decisions; raises Difference at the first that differs."""
    decided = 0
    progress = Progress(f"Verifying {path.name}", record.lines)
    _, header = record.headers[0]
    try:
        for item in play(path):
            progress.tell(item.number)
            if isinstance(item, Start):
                header = item.header
                continue
            decided += len(item.decisions)
            found = difference(item.entry.decisions, item.decisions)
            if found is not None:
                raise Difference(_words(path, item.number, item.entry, header, found))
    finally:
        progress.clear()
    return decided


def _words(path: Path, number: int, entry: Entry, header: Header, found: tuple[str, Any, Any]) -> str:
    field, recorded, derived = found
    by = "" if header.version == VERSION else f" (written by version {header.version}, this is {VERSION})"
    return (
        f"{path}, line {number}: fact {entry.number} at {clock_text(entry.now)} ET, {_name(entry.event)}: "
        f"{field}: recorded {_value(recorded)}, derived {_value(derived)}{by}"
    )


def difference(recorded: Sequence[Decision], derived: Sequence[Decision]) -> tuple[str, Any, Any] | None:
    """The first difference of two lists of decisions: which field, its recorded and its derived value."""
    for index in range(max(len(recorded), len(derived))):
        old = recorded[index] if index < len(recorded) else None
        new = derived[index] if index < len(derived) else None
        if old == new:
            continue
        if old is None or new is None or type(old) is not type(new):
            return "decision", old, new
        for field in old.__struct_fields__:
            was, now = getattr(old, field), getattr(new, field)
            if was != now:
                return f"{type(old).__name__}.{field}", was, now
    return None


def _name(event: Event) -> str:
    """A fact in a few words."""
    name = type(event).__name__
    match event:
        case Bar():
            return f"{name} {event.symbol} of {clock_text(event.start)}"
        case Quote():
            return f"{name} {event.contract}"
        case _:
            return name


def _value(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, msgspec.Struct):
        return f"{type(value).__name__} {getattr(value, 'reason', getattr(value, 'contract', ''))}".rstrip()
    return repr(value) if isinstance(value, float) else str(value)
