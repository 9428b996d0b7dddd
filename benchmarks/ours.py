"""The contestant: facts through `Engine.handle`, every print as it arrives, corrections included."""

from __future__ import annotations

import sys

from benchmarks.contest import HOLD_S, Found, Row, Run, Stopwatch, Tape, contend
from engine import Engine
from events import SECOND, Bar, Covered, Event, FeedRestored, Session
from rules import Rules

DATE = "2025-10-02"

Passes = tuple[bool | None, ...]
"""Which conditions held, in their order; None where one is left out."""


def facts(tape: Tape, rows: list[Row]) -> list[tuple[int, Event]]:
    """When each print arrives (µs), and the fact; before them, a feed that is connected and lacks nothing."""
    begin = (tape.open_s - 1) * SECOND
    made: list[tuple[int, Event]] = [(begin, FeedRestored())]
    made += [
        (begin, Covered(symbol=symbol, start=begin, end=tape.open_s * SECOND)) for symbol in tape.symbols
    ]
    for row in rows:
        bar = Bar(
            symbol=tape.symbols[row.symbol],
            start=(tape.open_s + row.second) * SECOND,
            open=row.open,
            high=row.high,
            low=row.low,
            close=row.close,
            volume=row.volume,
            vwap=row.vwap,
        )
        made.append(((tape.open_s + row.batch + 1 + HOLD_S) * SECOND, bar))
    return made


def session_of(tape: Tape) -> Session:
    """The hours of the made session."""
    return Session(
        date=DATE, open=tape.open_s * SECOND, close=(tape.open_s + tape.seconds) * SECOND, early=False
    )


def mask(passes: Passes) -> int:
    """A bit for each condition that holds."""
    return sum(1 << bit for bit, holds in enumerate(passes) if holds)


def feed(engine: Engine, rows: list[tuple[int, Event]]) -> list[tuple[int, Passes]]:
    """Hand every fact to the engine. Returns what held at each second; this loop and the list are under the stopwatch."""
    found: list[tuple[int, Passes]] = []
    last = engine.evaluation
    handle = engine.handle
    for now, event in rows:
        handle(now, event)
        if engine.evaluation is not last:
            last = engine.evaluation
            if last is not None:
                found.append((last.start, last.passes))
    return found


def prepare(tape: Tape, *, final: bool = False) -> Run:
    """``final``: the last corrected bars only, as contestants get them that cannot take a correction."""
    rules = Rules(**tape.rules)
    made = facts(tape, tape.final if final else tape.stream)
    begin = (tape.open_s + tape.measured_from + 1 + HOLD_S) * SECOND
    before = [fact for fact in made if fact[0] < begin] if tape.measured_from else []
    measured = made[len(before) :]
    early = Engine(rules, session_of(tape)) if before else None
    if early is not None:
        feed(early, before)

    def run(watch: Stopwatch) -> Found:
        engine = early or Engine(rules, session_of(tape))
        passes = feed(engine, measured)
        watch.stop()  # what is made for the comparison alone does not count
        found = [(start // SECOND - tape.open_s, mask(held)) for start, held in passes]
        watch.start()
        return found

    return run


def prepare_final(tape: Tape) -> Run:
    """The same on the final bars."""
    return prepare(tape, final=True)


if __name__ == "__main__":
    contend(prepare_final if "--final" in sys.argv else prepare)
