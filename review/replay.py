"""A session once more, on the same engine, without waiting: from its record, or from plain bars.

The facts go to a fresh engine in their order and with their times; what it decides is shown in the lines and the
alerts of the live program, then summed up. A record's rules are used as they were, unless some are set anew.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import alerts
import logger
from config import VERSION, ConfigError, load_rules
from engine import Engine
from events import SECOND, Bar, Decision, DeclineReason, Evaluation, Event, Session
from record.lines import Entry, Header
from record.reader import Damage, Reader, is_of
from review import bars, fills
from review.places import Unusable, check_file, claim
from review.screen import Progress, Screen
from review.trace import TRACE_BEGINS, Trace
from rules import Rules
from utils import clock_text, minute_text, new_york_date, option_price, signed_percent, span_text

# --- Reading -----------------------------------------------------------------------------------------


class Survey(NamedTuple):
    """A record at a glance: its headers with their line numbers, its lines, and the bytes torn off at its end."""

    headers: list[tuple[int, Header]]
    lines: int
    torn: int


def survey(path: Path) -> Survey:
    """Read a record through. Raises Unusable when it cannot be read, Damage for what is wrong but a torn end."""
    check_file(path)
    reader, headers, count = Reader(path), list[tuple[int, Header]](), 0
    progress = Progress("Reading", path.stat().st_size)
    last: Entry | None = None
    try:
        for count, line in enumerate(reader, start=1):
            progress.tell(reader.size)
            if isinstance(line, Header):
                _check_header(path, count, line, headers[0][1] if headers else line)
                headers.append((count, line))
            else:
                _check_order(path, count, line, last, headers[0][1].session)
                last = line
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from None
    except RecursionError:
        raise Damage(path, count + 1, "not a record: nested too deeply") from None
    finally:
        progress.clear()
    if not headers:
        raise Damage(path, 1, "empty, or not a record: no header")
    return Survey(headers, count, reader.torn)


def _check_header(path: Path, number: int, header: Header, first: Header) -> None:
    """Raises Damage for a header of no session that there can be, of another one than the first, or out of its time."""
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
    """Raises Damage for a time in which nobody writes a session's record, µs."""
    if abs(now - session.open) > NEAR_S * SECOND:
        raise Damage(path, number, f"its time, {now} µs, is not that of the session of {session.date}")


def _check_order(path: Path, number: int, entry: Entry, last: Entry | None, session: Session) -> None:
    """Raises Damage for an entry that does not come right after the last, or out of its session's time."""
    if entry.number != (last.number + 1 if last is not None else 1):
        after = "at the beginning" if last is None else f"after {last.number}"
        raise Damage(path, number, f"arrival number {entry.number} {after}: lines are missing or moved")
    _check_time(path, number, entry.now, session)
    if last is not None and entry.now < last.now:
        raise Damage(
            path, number, f"time goes back, from {clock_text(last.now)} to {clock_text(entry.now)} ET"
        )


WRITTEN_BY = "written by version"
DAY_S = 86_400
NEAR_S = 3_660 * DAY_S
"""A start after a long pause goes on with the newest record, years later, too: times beyond this are nobody's."""

# --- Rules -------------------------------------------------------------------------------------------


def parse_sets(texts: Iterable[str]) -> dict[str, str]:
    """``NAME=VALUE`` texts as a mapping. Raises ConfigError, with a line for each that names no rule."""
    names = [name.upper() for name in Rules.model_fields]
    faults: list[str] = []
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        name, value = name.strip().upper(), value.strip()
        if not separator:
            faults.append(f"--set {name}: takes NAME=VALUE")
        elif name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            faults.append(f"--set {name}: no such rule{hint}")
        elif not value and name != "BENCHMARK":
            faults.append(f"--set {name}: takes a value")
        else:
            found[name] = value
    if faults:
        raise ConfigError(faults)
    return found


def recorded_rules(header: Header, sets: Mapping[str, str]) -> tuple[Rules, list[str]]:
    """The rules of a header with ``sets`` on top, and what is odd about the header's. Raises ConfigError.

    Another version may not have had all of today's rules: those are at their defaults. That the header's own are
    complete is what its hash proves.
    """
    known = {name: value for name, value in header.rules.items() if name in Rules.model_fields}
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
    """The hash of rules as a header holds them, whichever those of its version were: see `Rules.digest`."""
    text = json.dumps(rules, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


# --- The loop ----------------------------------------------------------------------------------------


class Start(NamedTuple):
    """A header: a new engine stands there, with what was before folded into it.

    ``digest`` is the hash of the rules, as the version of then printed it unless some were set anew.
    """

    number: int
    header: Header
    engine: Engine
    odd: list[str]
    before: Entry | None
    digest: str


class Step(NamedTuple):
    """A fact that the engine has handled: the record's line, and what was decided and evaluated now."""

    number: int
    entry: Entry
    decisions: list[Decision]
    evaluation: Evaluation | None


def play(path: Path, sets: Mapping[str, str] | None = None) -> Iterator[Start | Step]:
    """Every line of a surveyed record through engines, as the live program did: a new one at each header.

    Raises ConfigError for rules that cannot be, and Damage for a fact whose numbers nobody can reckon with: the live
    program would not have got over it.
    """
    decided: dict[int, list[Decision]] = {}
    engine: Engine | None = None
    last: Entry | None = None
    for number, line in enumerate(Reader(path), start=1):
        if isinstance(line, Header):
            rules, odd = recorded_rules(line, sets or {})
            engine = Engine(rules, line.session)
            # Read again, not remembered: a session's facts would fill the memory.
            is_own = True
            for earlier in islice(Reader(path), number - 1):
                if isinstance(earlier, Header):
                    # SYMBOL may have been changed at a start in between.
                    is_own = is_of(earlier, line.rules.get("symbol", ""))
                elif is_own:
                    engine.restore(earlier.now, earlier.event, decided.get(earlier.number, ()))
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
        yield Step(number, line, made, engine.evaluation if engine.evaluation is not before else None)


# --- Summing up --------------------------------------------------------------------------------------


class Summary:
    """What a session came to."""

    def __init__(self) -> None:
        self.trades = fills.Trades()
        self._evaluations = 0
        self._signals: Counter[DeclineReason | None] = Counter()
        self._free: list[int] = []

    def step(
        self, now: int, event: Event, decisions: Sequence[Decision], evaluation: Evaluation | None
    ) -> None:
        """A fact has been handled."""
        self.trades.learn(now, event, decisions)
        if evaluation is None:
            return
        self._evaluations += 1
        if evaluation.holds:
            self._signals[evaluation.gate] += 1
            if evaluation.gate is None:
                self._free.append(evaluation.start)

    def signal_lines(self, rules: Rules) -> list[str]:
        """How often all conditions held, by the gate that was closed, and how often with a rest between."""
        gates = [f"{self._signals[None]} with every gate open"]
        gates += [f"{self._signals[gate]} {gate}" for gate in DeclineReason if self._signals[gate]]
        rest = rules.entry_cooldown_seconds
        spaced: list[int] = []
        for start in self._free:
            if not spaced or start - spaced[-1] >= rest * SECOND:
                spaced.append(start)
        return [
            f"{self._evaluations:,} evaluations; all conditions held in {self._signals.total()}: {', '.join(gates)}",
            f"With every gate open and at least {rest} s apart: {len(spaced)}",
        ]

    def trade_lines(self, rules: Rules) -> list[str]:
        """Every trade, then what following it by hand would have brought."""
        trades = self.trades.all
        if not trades:
            return ["No trades."]
        lines = [
            "Trades (told: mark against entry, as the SELL says; ask→bid: in at the BUY's ask, out at the SELL's bid):"
        ]
        for trade in trades:
            lines += _trade_lines(trade, rules)
        told = [value for trade in self.trades.told if (value := fills.dollars(trade)) is not None]
        if told:
            lines.append(f"  {len(told)} closed, one contract each, ask→bid: {_signed_dollars(sum(told))}")
        return [*lines, "", *fills.table(self.trades)] if self.trades.told else lines


def _trade_lines(trade: fills.Trade, rules: Rules) -> list[str]:
    opened, closed = trade.opened, trade.closed
    head = f"  #{opened.id}  {opened.contract}  {clock_text(trade.opened_at)} {option_price(opened.entry)}"
    if trade.is_withdrawn:
        return [f"{head}  withdrawn, nobody was told"]
    if closed is None or trade.closed_at is None:
        return [f"{head}  still open"]
    result = fills.dollars(trade)
    return [
        f"{head} → {clock_text(trade.closed_at)} {option_price(closed.mark)} "
        f"({span_text(trade.closed_at - trade.opened_at)})  peak {option_price(closed.peak)}  "
        f"{alerts.reason_text(closed, rules)}",
        f"           P&L told {signed_percent(trade.told_percent)}, mid→mid {signed_percent(trade.mid_percent)}, "
        f"ask→bid {signed_percent(trade.crossed_percent)}"
        + ("" if result is None else f" ({_signed_dollars(result)} a contract)"),
    ]


def _signed_dollars(value: float) -> str:
    return f"{'-' if value < 0 else '+'}${abs(value):,.2f}"


# --- The command -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _shown(
    trace: Path | None, progress: Progress, *, verbose: bool, with_contracts: bool
) -> Iterator[tuple[Screen, Trace | None]]:
    """A screen, with the log's lines on it, and the trace file. Raises Unusable when that cannot be written."""
    screen = Screen(progress, verbose=verbose, with_contracts=with_contracts)
    with contextlib.ExitStack() as stack:
        table: Trace | None = None
        if trace is not None:
            descriptor = claim(trace, "--trace", TRACE_BEGINS)
            table = Trace(stack.enter_context(open(descriptor, "w", encoding="utf-8", newline="")))
        logger.setup(level="INFO", log_format="console", log_file=None, secrets=(), clock=screen.clock)
        stack.callback(logger.close)
        stack.callback(progress.clear)
        yield screen, table


def replay_record(
    path: Path, sets: Mapping[str, str], trace: Path | None, *, verbose: bool, surveyed: Survey | None = None
) -> None:
    """Replay a record; ``surveyed`` is what `survey` found, where that was asked. Raises Unusable, Damage, ConfigError."""
    record = surveyed or survey(path)
    for _, header in record.headers:
        recorded_rules(header, sets)  # every fault before the first line
    summary = Summary()
    progress = Progress("Replaying", record.lines, quiet=verbose)
    engine: Engine | None = None
    with _shown(trace, progress, verbose=verbose, with_contracts=True) as (screen, table):
        for item in play(path, sets):
            progress.tell(item.number)
            if isinstance(item, Start):
                engine = item.engine
                screen.begin(item.header.now, engine, _start_text(item, sets), item.odd)
                if item.before is not None:
                    screen.watch_again(item.before.now)
                continue
            screen.step(item.entry.now, item.entry.event, item.decisions)
            summary.step(item.entry.now, item.entry.event, item.decisions, item.evaluation)
            if table is not None and item.evaluation is not None:
                table.write(item.evaluation, item.decisions)
    assert engine is not None, "a record that was read has a header"
    if record.torn:
        print(
            f"\nThe record's last line is torn ({record.torn} bytes): the program was killed as it wrote it."
        )
    _print_all(["", *summary.signal_lines(engine.rules), "", *summary.trade_lines(engine.rules)])


def _start_text(start: Start, sets: Mapping[str, str]) -> str:
    session = start.header.session
    changed = "".join(f", {name}={value}" for name, value in sets.items())
    if start.number == 1:
        hours = f"{minute_text(session.open)}–{minute_text(session.close)} ET"
        return f"🔁 Session {session.date}, {hours}: version {start.header.version}, rules {start.digest}{changed}"
    gap = (
        "nothing before" if start.before is None else f"gap {span_text(start.header.now - start.before.now)}"
    )
    return (
        f"🔁 The program started again: {gap}, version {start.header.version}, rules {start.digest}{changed}"
    )


def replay_bars(paths: Sequence[Path], sets: Mapping[str, str], trace: Path | None, *, verbose: bool) -> None:
    """Replay plain bars under the environment's rules. Raises Unusable or ConfigError."""
    rules = load_rules({**os.environ, **sets})
    for path in paths:
        check_file(path)
    reading = Progress("Reading", sum(path.stat().st_size for path in paths))
    try:
        loaded = bars.load(paths, rules.symbols, reading.tell)
    except bars.BadFile as error:
        raise Unusable(str(error)) from None
    except OSError as error:
        raise Unusable(f"{error.filename}: {error.strerror}") from None
    finally:
        reading.clear()
    _print_all(loaded.notes())
    _check_watched(loaded, rules)
    total = sum(len(found) for _, found in loaded.sessions.values())
    progress = Progress("Replaying", total, quiet=verbose)
    done = 0
    with _shown(trace, progress, verbose=verbose, with_contracts=False) as (screen, table):
        for session, found in loaded.sessions.values():
            engine, summary = Engine(rules, session), Summary()
            screen.begin(session.open, engine, _session_text(session, rules, sets, len(found)), [])
            for now, event in bars.facts(session, found):
                before = engine.evaluation
                decisions = engine.handle(now, event)
                evaluation = engine.evaluation if engine.evaluation is not before else None
                screen.step(now, event, decisions)
                summary.step(now, event, decisions, evaluation)
                if table is not None and evaluation is not None:
                    table.write(evaluation, decisions)
                done += isinstance(event, Bar)
                progress.tell(done)
            progress.clear()
            _print_all(["", *summary.signal_lines(rules), ""])


def _check_watched(loaded: bars.Loaded, rules: Rules) -> None:
    """Raises Unusable when no session has a bar of the watched symbol, without which nothing is evaluated."""
    lacking = [
        day
        for day, (session, found) in loaded.sessions.items()
        if not any(bar.symbol == rules.symbol and session.open <= bar.start < session.close for bar in found)
    ]
    if len(lacking) == len(loaded.sessions):
        only = ", ".join(sorted({bar.symbol for _, found in loaded.sessions.values() for bar in found}))
        there = f", only of {only}" if only else ""
        raise Unusable(
            f"no bar of {rules.symbol} inside a session{there}: nothing to evaluate. "
            "SYMBOL is what is watched: --set SYMBOL=NAME changes it"
        )
    _print_all(f"{day}: no bar of {rules.symbol}, so nothing is evaluated" for day in lacking)


def _session_text(session: Session, rules: Rules, sets: Mapping[str, str], count: int) -> str:
    changed = "".join(f", {name}={value}" for name, value in sets.items())
    hours = f"{minute_text(session.open)}–{minute_text(session.close)} ET"
    return (
        f"🔁 Session {session.date}, {hours}: {count:,} bars without a chain, rules {rules.digest()}{changed}"
    )


def _print_all(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)
