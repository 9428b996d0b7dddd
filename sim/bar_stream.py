"""The simulated stocks socket's data: every bar when its time has come, and again when it is corrected."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import msgspec

from events import SECOND
from sim.account import MarketAccount
from sim.bars import MILLI, Correction, SimBar
from sim.connection import Connection
from sim.faults import happens, part_of
from sim.frames import Frames
from sim.wire import Event, bar_event, bar_frames

SECOND_MS, DAY_MS = 1_000, 86_400_000

CORRECTED_VOLUME, CORRECTED_VWAP = 1.25, 0.002
"""A correction that a fault asks for: the volume times this, and so many dollars more."""


class BarStream:
    """Plays the market's schedule to ``connections``, the open ones of the stocks cluster."""

    def __init__(self, account: MarketAccount, connections: list[Connection], frames: Frames) -> None:
        self._account, self._faults = account, account.faults
        self._connections, self._frames = connections, frames
        self._held: list[tuple[int, int, SimBar, bool]] = []
        """What is sent later: when, its place in the order, the bar, and whether it is for those alone whom a fault
        has kept it from (``late``)."""

    async def play(self) -> None:
        """Sends each bar when its time has come, and once more later if a fault makes it late for somebody."""
        schedule, clock, held = self._account.market.schedule, self._account.clock, self._held
        index = bisect_right(schedule, clock.now(), key=lambda item: item[0])
        while index < len(schedule) or held:
            coming = [queue[0][0] for queue in (schedule[index : index + 1], held) if queue]
            await clock.sleep((min(coming) - clock.now()) / SECOND)
            now = clock.now()
            due: list[tuple[SimBar, bool]] = []
            while held and held[0][0] <= now:
                _, _, bar, is_late = heapq.heappop(held)
                due.append((bar, is_late))
            while index < len(schedule) and schedule[index][0] <= now:
                due += self._come(*schedule[index])
                index += 1
            await self._send(due)

    def _come(self, at: int, order: int, bar: SimBar) -> Iterator[tuple[SimBar, bool]]:
        """A bar's time has come: yields it if it is sent now, and keeps what is sent later."""
        if any(self._is_used(fault) for fault in self._account.halts if fault.covers(bar.start)):
            return
        fault = self._faults.find("missed_bars", symbol=bar.symbol)
        if fault is not None and happens(fault["share"], bar.start, len(bar.symbol)):
            self._faults.use(fault)
            return
        if (fault := self._faults.find("corrections")) and happens(fault["share"], bar.start, 2):
            self._faults.use(fault)
            self._correct(at + int(fault["age"] * SECOND), order, bar)
        if fault := self._faults.take("out_of_order"):
            later = int(part_of(bar.start, ord(bar.symbol[0])) * fault["by"] * SECOND)
            heapq.heappush(self._held, (at + later, order, bar, False))
            return
        if fault := self._faults.find("late", feed="stocks", symbol=bar.symbol):
            heapq.heappush(self._held, (at + int(fault["by"] * SECOND), order, bar, True))
        yield bar, False

    def _is_used(self, fault: Any) -> bool:
        self._faults.use(fault)
        return True

    def _correct(self, at: int, order: int, bar: SimBar) -> None:
        """A bar will be sent again with late trades in it, and REST has it so from then on."""
        volume = round(bar.volume * CORRECTED_VOLUME, 3)
        changed = msgspec.structs.replace(
            bar,
            volume=volume,
            vwap=round(bar.vwap + CORRECTED_VWAP, 4),
            accumulated=round(bar.accumulated + volume - bar.volume, 3),
        )
        self._account.corrected[bar.symbol, bar.start] = Correction(at, changed)
        heapq.heappush(self._held, (at, order, changed, False))

    async def _send(self, due: list[tuple[SimBar, bool]]) -> None:
        """Sends bars to whoever gets them now; each comes with whether it is late for some."""
        for connection in tuple(self._connections):
            wanted = [bar for bar, is_late in due if self._is_sent(connection, bar, is_late)]
            for frame in bar_frames(wanted):
                await self._frames.send(connection, [event for bar in frame for event in self._events(bar)])

    def _events(self, bar: SimBar) -> Iterator[Event]:
        """The bar's event, absurd if a fault asks for it, and what faults make of it besides."""
        event = self._event(bar)
        yield event
        if fault := self._faults.take("wrong_symbol"):
            yield {**event, "sym": fault["other"]}
        if self._faults.take("wrong_day", symbol=bar.symbol):
            yield {**event, "s": event["s"] - DAY_MS, "e": event["e"] - DAY_MS}
        if fault := self._faults.take("future", symbol=bar.symbol):
            end = self._account.clock.now() // MILLI + int(fault["by"] * SECOND_MS)
            yield {**event, "s": end - SECOND_MS, "e": end}

    def _event(self, bar: SimBar) -> Event:
        event = bar_event(bar)
        fault = self._faults.find("absurd_print", symbol=bar.symbol)
        if fault is None:
            return event
        self._faults.use(fault)
        volume = bar.volume * fault["volume"]
        prices = {key: round(event[key] * fault["factor"], 4) for key in ("o", "h", "l", "c", "vw")}
        return {**event, **prices, "v": int(volume), "dv": f"{volume:.3f}"}

    def _is_sent(self, connection: Connection, bar: SimBar, is_late: bool) -> bool:
        """Whether a bar goes over a connection now; ``is_late`` if it was held back from some."""
        if not {f"A.{bar.symbol}", "A.*"} & connection.pairs:
            return False
        if self._is_faulty(connection, "one_silent", bar.symbol, is_used=True):
            return False
        if not is_late:
            return not self._is_faulty(connection, "late", bar.symbol, is_used=True)
        late = self._faults.find("late", feed="stocks", symbol=bar.symbol)
        return late is None or self._is_faulty(connection, "late", bar.symbol)

    def _is_faulty(self, connection: Connection, name: str, symbol: str, *, is_used: bool = False) -> bool:
        """Whether a symbol's fault is in force on a connection: a new connection may cure it."""
        fault = self._faults.find(name, feed="stocks", symbol=symbol)
        if fault is None or (fault["cured"] and connection.since > fault.asked_at):
            return False
        if is_used:
            self._faults.use(fault)
        return True
