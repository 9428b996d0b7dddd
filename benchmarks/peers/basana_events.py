"""Basana: its backtesting dispatcher, one source of events, one handler.

Its fast path: an event class of our own that carries floats (its `Bar` wants decimals), dispatched one at a time.
Corrections are events like others.
"""

from __future__ import annotations

import asyncio
import datetime

import basana

from benchmarks.contest import HOLD_S, Found, Row, Run, Stopwatch, Tape, contend
from benchmarks.peers.windows import Conditions


class Print(basana.Event):
    """One print of one bar."""

    __slots__ = ("row",)

    def __init__(self, when: datetime.datetime, row: Row) -> None:
        super().__init__(when)
        self.row = row


class Watch:
    """The seven conditions at each new bar of the watched symbol."""

    def __init__(self, tape: Tape) -> None:
        self.conditions = Conditions(tape.numbers, tape.seconds)
        self.found: Found = []

    async def on_print(self, event: Print) -> None:
        """A first print or a repeat."""
        row = event.row
        if row.symbol:
            self.conditions.benchmark(row.second, row.close)
        elif row.is_repeat:
            self.conditions.correct(row.second, row.close, row.volume, row.vwap)
        else:
            mask = self.conditions.own(row.second, row.close, row.volume, row.vwap)
            self.found.append((row.second, mask))


def prepare(tape: Tape) -> Run:
    """A dispatcher with its source and its handler."""
    whens = [
        datetime.datetime.fromtimestamp(tape.open_s + second + 1 + HOLD_S, tz=datetime.UTC)
        for second in range(tape.seconds)
    ]
    source = basana.FifoQueueEventSource(events=[Print(whens[row.batch], row) for row in tape.stream])
    dispatcher = basana.backtesting_dispatcher()
    dispatcher.stop_on_handler_exceptions = True
    watch = Watch(tape)
    dispatcher.subscribe(source, watch.on_print)

    def run(_: Stopwatch) -> Found:
        asyncio.run(dispatcher.run(stop_signals=[]))
        return watch.found

    return run


if __name__ == "__main__":
    contend(prepare)
