"""Replays a session without waiting, from its record or from plain bars.

It prints what the engine decides in the lines and alerts of the live program, then sums it up.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import alerts
import logger
from config import Following, load_following, load_rules
from engine import Engine
from events import SECOND, Bar, Decision, DeclineReason, Evaluation, Event, Session
from followed import acted_text, dollars_text
from review import bars, fills
from review.derive import Start, Survey, play, recorded_rules, survey
from review.places import Unusable, check_file, claim
from review.screen import Progress, Screen
from review.trace import TRACE_BEGINS, Trace
from rules import Rules
from utils import clock_text, minute_text, option_price, signed_percent, span_text

# --- Summing up --------------------------------------------------------------------------------------


class Summary:
    """What a session came to."""

    def __init__(self, following: Following | None = None) -> None:
        self.trades = fills.Trades(following)
        self._evaluations = 0
        self._signals: Counter[DeclineReason | None] = Counter()
        self._free: list[int] = []

    def step(
        self, now: int, event: Event, decisions: Sequence[Decision], evaluation: Evaluation | None
    ) -> None:
        """A fact has been handled."""
        self.trades.record(now, event, decisions)
        if evaluation is None:
            return
        self._evaluations += 1
        if evaluation.holds:
            self._signals[evaluation.gate] += 1
            if evaluation.gate is None:
                self._free.append(evaluation.start)

    def signal_lines(self, rules: Rules) -> list[str]:
        """How often all conditions were met, by the gate that was closed, and how often with a rest between."""
        gates = [f"{self._signals[None]} with every gate open"]
        gates += [f"{self._signals[gate]} {gate}" for gate in DeclineReason if self._signals[gate]]
        rest = rules.entry_cooldown_seconds
        spaced: list[int] = []
        for start in self._free:
            if not spaced or start - spaced[-1] >= rest * SECOND:
                spaced.append(start)
        return [
            f"{self._evaluations:,} evaluations; all conditions met in {self._signals.total()}: {', '.join(gates)}",
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
        lines.insert(
            0, f"By hand, one contract each, {acted_text(self.trades.followed(), self.trades.followed(0))}"
        )
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
        + ("" if result is None else f" ({dollars_text(result)} a contract)"),
    ]


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
    summary = Summary(load_following())
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
            f"\nThe record's last line is incomplete ({record.torn} bytes): the program was killed while writing it."
        )
    _print_all(["", *summary.signal_lines(engine.rules), "", *summary.trade_lines(engine.rules)])


def _start_text(start: Start, sets: Mapping[str, str]) -> str:
    session = start.header.session
    changed = "".join(f", {name}={value}" for name, value in sets.items())
    if start.number == 1:
        hours = f"{minute_text(session.open)}–{minute_text(session.close)} ET"
        market = "Simulated market, session" if start.header.simulated else "Session"
        return f"🔁 {market} {session.date}, {hours}: version {start.header.version}, rules {start.digest}{changed}"
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
            engine, summary = Engine(rules, session), Summary(load_following())
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
