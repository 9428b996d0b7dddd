"""Derives a session again: feeds a record's lines, at their times, to a new engine at each header.

`replay`, `verify`, `keeper` and `watch` use this one loop. A record's rules apply as they were, unless some are set anew.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from config import VERSION, ConfigError, load_rules, variable_names
from engine import Engine
from events import SECOND, Decision, Evaluation, Session
from record.lines import Entry, Header, Line
from record.reader import Damage, Reader, is_of
from record.upgrade import known_rules
from review.places import Unusable, check_file
from review.screen import Progress
from rules import Rules
from utils import clock_text, new_york_date

WRITTEN_BY = "written by version"

DAY_S = 86_400

NEAR_S = 3_660 * DAY_S
"""A start continues the newest record even after years; a time further from its session is damage."""

# --- Reading -----------------------------------------------------------------------------------------


class Survey(NamedTuple):
    """A record's headers with their line numbers, its number of lines, and the bytes torn off at its end."""

    headers: list[tuple[int, Header]]
    lines: int
    torn: int


def survey(path: Path) -> Survey:
    """Reads a record once. Raises Unusable if it cannot be read, Damage for any fault except a torn end."""
    check_file(path)
    reader, headers, count = Reader(path), list[tuple[int, Header]](), 0
    progress, order = Progress("Reading", path.stat().st_size), LineOrder(path)
    try:
        for count, line in enumerate(reader, start=1):
            progress.tell(reader.size)
            order.check(line)
            if isinstance(line, Header):
                headers.append((count, line))
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from None
    except RecursionError:
        raise Damage(path, count + 1, "not a record: nested too deeply") from None
    finally:
        progress.clear()
    if not headers:
        raise Damage(path, 1, "empty, or not a record: no header")
    return Survey(headers, count, reader.torn)


class LineOrder:
    """Checks each line of a record against those before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._first: Header | None = None
        self._last: Entry | None = None

    def check(self, line: Line) -> None:
        """Raises Damage for a line that cannot follow the last one, or does not fit the session of the first."""
        self._number += 1
        if isinstance(line, Header):
            self._first = self._first or line
            _check_header(self._path, self._number, line, self._first)
            return
        assert self._first is not None, "a record begins with a header"
        _check_order(self._path, self._number, line, self._last, self._first.session)
        self._last = line


def _check_header(path: Path, number: int, header: Header, first: Header) -> None:
    """Raises Damage for a header whose session cannot exist, differs from the first header's, or does not fit its time."""
    session = header.session
    try:
        opens_on = new_york_date(session.open)
    except (OverflowError, ValueError, OSError):
        opens_on = ""
    if opens_on != session.date or not 0 < session.close - session.open <= DAY_S * SECOND:
        raise Damage(
            path, number, f"there is no such session: {session.date!r}, {session.open} to {session.close}"
        )
    if session.date != first.session.date:
        reason = f"a start in the session of {session.date}, after one of {first.session.date}"
        raise Damage(path, number, reason)
    _check_time(path, number, header.now, session)


def _check_time(path: Path, number: int, now: int, session: Session) -> None:
    """Raises Damage for a time (µs) at which no program writes this session's record."""
    if abs(now - session.open) > NEAR_S * SECOND:
        raise Damage(path, number, f"its time, {now} µs, is not that of the session of {session.date}")


def _check_order(path: Path, number: int, entry: Entry, last: Entry | None, session: Session) -> None:
    """Raises Damage for an entry that does not follow the last one, or does not fit its session's time."""
    if entry.number != (last.number + 1 if last is not None else 1):
        after = "at the beginning" if last is None else f"after {last.number}"
        raise Damage(path, number, f"arrival number {entry.number} {after}: lines are missing or moved")
    _check_time(path, number, entry.now, session)
    if last is not None and entry.now < last.now:
        raise Damage(
            path, number, f"time goes back, from {clock_text(last.now)} to {clock_text(entry.now)} ET"
        )


# --- Rules -------------------------------------------------------------------------------------------


def parse_sets(texts: Iterable[str]) -> dict[str, str]:
    """Returns ``NAME=VALUE`` texts as a mapping. Raises ConfigError with a line for each text that names no rule."""
    names = [name.upper() for name in Rules.model_fields]
    faults: list[str] = []
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        name, value = name.strip().upper(), value.strip()
        if not separator:
            faults.append(f"--set {name}: takes NAME=VALUE")
        elif name not in names:
            faults.append(f"--set {name}: {_no_rule(name, names)}")
        elif not value and name != "BENCHMARK":
            faults.append(f"--set {name}: takes a value")
        else:
            found[name] = value
    if faults:
        raise ConfigError(faults)
    return found


def _no_rule(name: str, names: Sequence[str]) -> str:
    """Returns why a name is not one of the rules' ``names``, and where those are listed."""
    if name in variable_names():
        return "is a setting, but not a rule: it decides nothing; rules are those from SYMBOL on in docs/settings.md"
    near = difflib.get_close_matches(name, names, n=1)
    return f"no such rule; did you mean {near[0]}?" if near else "no such rule; docs/settings.md lists them"


def recorded_rules(header: Header, sets: Mapping[str, str]) -> tuple[Rules, list[str]]:
    """Returns the rules of a header, changed by ``sets``, and what is odd about the header's. Raises ConfigError.

    Rules that the version of then did not have get their defaults. The header's hash proves that its own are complete.
    """
    known = known_rules(header)
    texts = {name.upper(): str(value) for name, value in known.items()}
    lacking = sorted(name.upper() for name in Rules.model_fields.keys() - known.keys())
    odd = [
        f"rule {name.upper()} is unknown to version {VERSION}" for name in header.rules.keys() - known.keys()
    ]
    digest = digest_of(header.rules)
    if digest != header.rules_hash:
        odd.append(f"the rules' hash is {digest}, the header says {header.rules_hash}")
    if header.version == VERSION:
        odd += [f"rule {name} is missing; its default is used" for name in lacking]
    else:
        defaults = f"; rules that it did not have are at their defaults: {', '.join(lacking)}"
        odd.append(f"{WRITTEN_BY} {header.version}, this is {VERSION}" + defaults * bool(lacking))
    rules = load_rules(texts, env_file=None)
    return (load_rules({**texts, **sets}, env_file=None) if sets else rules), sorted(odd)


def digest_of(rules: Mapping[str, Any]) -> str:
    """Returns the hash of a header's rules, whatever its version's rules were. Compare `Rules.digest`."""
    text = json.dumps(rules, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


# --- The loop ----------------------------------------------------------------------------------------


class Start(NamedTuple):
    """A header and its new engine, which has already restored everything before it.

    ``digest`` is the rules' hash: the recorded one, unless some rules are set anew.
    """

    number: int
    header: Header
    engine: Engine
    odd: list[str]
    before: Entry | None
    digest: str


class Handled(NamedTuple):
    """A fact that the engine handled: the record's line, and what the engine decided and evaluated now."""

    number: int
    entry: Entry
    decisions: list[Decision]
    evaluation: Evaluation | None


class Pause(Enum):
    """What `derive` yields between two lines."""

    NO_LINE = "the record has no more lines yet"
    RESTORING = "a line before a restart was remembered"


def play(path: Path, sets: Mapping[str, str] | None = None) -> Iterator[Start | Handled]:
    """Feeds every line of a surveyed record to an engine, as the live program did. Each header starts a new engine.

    Raises ConfigError for invalid rules, and Damage for a fact whose numbers cannot be computed with: it would have ended
    the live program.
    """
    for item in derive(path, Reader(path), lambda count: islice(Reader(path), count), sets):
        if not isinstance(item, Pause):
            yield item


def derive(
    path: Path,
    lines: Iterable[Line | None],
    first: Callable[[int], Iterable[Line]],
    sets: Mapping[str, str] | None = None,
) -> Iterator[Start | Handled | Pause]:
    """Does the same for ``lines`` that may come one by one: None stands for no line yet.

    ``first`` reads that many lines of the record again. Raises what `play` does.
    """
    decided: dict[int, list[Decision]] = {}
    engine: Engine | None = None
    last: Entry | None = None
    number = 0
    for line in lines:
        if line is None:
            yield Pause.NO_LINE
            continue
        number += 1
        if isinstance(line, Header):
            rules, odd = recorded_rules(line, sets or {})
            engine = Engine(rules, line.session)
            # Reads the lines again instead of keeping them: a session's facts would fill the memory.
            for _ in _restore(engine, line, first(number - 1), decided):
                yield Pause.RESTORING
            yield Start(number, line, engine, odd, last, rules.digest() if sets else line.rules_hash)
            continue
        assert engine is not None, "a record begins with a header"
        before = engine.evaluation
        try:
            made = engine.handle(line.now, line.event)
        except ArithmeticError as error:
            raise Damage(path, number, f"its numbers cannot be ({error})") from error
        if made:
            decided[line.number] = made
        last = line
        yield Handled(number, line, made, engine.evaluation if engine.evaluation is not before else None)


def _restore(
    engine: Engine, header: Header, lines: Iterable[Line], decided: Mapping[int, Sequence[Decision]]
) -> Iterator[Line]:
    """Has the engine of a later start remember the lines before it, one by one. ``decided``: what each fact caused."""
    is_own = True
    for line in lines:
        if isinstance(line, Header):
            # A start in between may have changed SYMBOL.
            is_own = is_of(line, header.rules.get("symbol", ""))
        elif is_own:
            engine.restore(line.now, line.event, decided.get(line.number, ()))
        yield line
