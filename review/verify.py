"""Every decision of a record derived again from its facts, and compared with the recorded one, field by field."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from config import VERSION, ConfigError
from errors import OurError
from events import Bar, Decision, Event, Quote
from record.lines import Header
from record.reader import Damage
from review.derive import WRITTEN_BY, Handled, Start, Survey, play, recorded_rules, survey
from review.places import Choice, NoSession, Unusable, check_file, named
from review.screen import Progress
from utils import clock_text

EXIT_GOOD, EXIT_BAD, EXIT_USAGE = 0, 1, 2
NOTHING = "nothing"


class Difference(OurError):
    """The first place where what was decided cannot be derived, in words."""


def verify(words: Sequence[str], now: int) -> int:
    """Check the records that words of the command line name, with a line for each.

    Returns the exit status: 0 all are good, 1 one is not, 2 one cannot be had.
    """
    records: list[Choice] = []
    for word in words:
        try:
            found = named(word, now)
            check_file(found.path)
            records.append(found)
        except ConfigError as error:
            print("python -m review verify: bad settings:", *error.faults, sep="\n  ", file=sys.stderr)
        except (Unusable, NoSession) as error:
            print(f"python -m review verify: {error}", file=sys.stderr)
    if len(records) < len(words):
        return EXIT_USAGE
    status = EXIT_GOOD
    for found in records:
        try:
            said = f"✓ {found.path}: {check(found.path, found.date)}"
        except (Difference, Damage, Unusable) as error:
            said, status = f"✗ {error}", EXIT_BAD
        except OSError as error:  # it was readable a moment ago
            said, status = f"✗ {found.path}: {error.strerror or error}", EXIT_BAD
        print(said, flush=True)
    return status


def check(path: Path, dated: str = "") -> str:
    """One record, in words when it is good.

    ``dated`` is the session that it should hold (empty: any). Raises Difference, Damage, or Unusable when it cannot be
    read or holds another session.
    """
    record = survey(path)
    if record.torn:
        raise Damage(path, record.lines + 1, f"torn: {record.torn} bytes that are no whole line follow")
    Choice(path, dated).check(record.headers[0][1].session.date)
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
    if odd := [item for item in odd if not item.startswith(WRITTEN_BY)]:
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
                raise Difference(_words(path, record, item, header, found))
    finally:
        progress.clear()
    return decided


def _words(path: Path, record: Survey, item: Handled, header: Header, found: tuple[str, Any, Any]) -> str:
    field, recorded, derived = found
    what = (
        f"line {item.number}: fact {item.entry.number} at {clock_text(item.entry.now)} ET, {_name(item.entry.event)}: "
        f"{field}: recorded {_value(recorded)}, derived {_value(derived)}"
    )
    if header.version == VERSION:
        return f"{path}, {what}"
    facts = record.lines - len(record.headers)
    return (
        f"{path}: decides differently since {VERSION}; {what}. The record itself, written by version {header.version}, "
        f"is whole: {facts:,} facts"
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
