"""The simulated stocks socket's data: every bar when its time has come, and again when it is corrected."""

from __future__ import annotations

import heapq
from bisect import bisect_right

from events import SECOND
from sim.account import MarketAccount
from sim.bars import SimBar
from sim.connection import Connection
from sim.frames import Frames
from sim.wire import Event, bar_event, bar_frames


class BarStream:
    """Plays the market's schedule to ``connections``, the open ones of the stocks cluster."""

    def __init__(self, account: MarketAccount, connections: list[Connection], frames: Frames) -> None:
        self._account, self._faults = account, account.faults
        self._connections, self._frames = connections, frames

    async def play(self) -> None:
        """Sends each bar when its time has come, and once more later if a fault makes it late for somebody."""
        schedule, clock = self._account.market.schedule, self._account.clock
        held: list[tuple[int, int, SimBar]] = []
        index = bisect_right(schedule, clock.now(), key=lambda item: item[0])
        while index < len(schedule) or held:
            coming = [queue[0][0] for queue in (schedule[index : index + 1], held) if queue]
            await clock.sleep((min(coming) - clock.now()) / SECOND)
            now = clock.now()
            due: list[tuple[SimBar, bool]] = []
            while held and held[0][0] <= now:
                due.append((heapq.heappop(held)[2], True))
            while index < len(schedule) and schedule[index][0] <= now:
                at, order, bar = schedule[index]
                index += 1
                due.append((bar, False))
                if fault := self._faults.find("late", feed="stocks", symbol=bar.symbol):
                    heapq.heappush(held, (at + int(fault["by"] * SECOND), order, bar))
            await self._send(due)

    async def _send(self, due: list[tuple[SimBar, bool]]) -> None:
        """Sends bars to whoever gets them now; each comes with whether it was held back."""
        for connection in tuple(self._connections):
            wanted = [bar for bar, is_held in due if self._is_sent(connection, bar, is_held)]
            for frame in bar_frames(wanted):
                await self._frames.send(connection, [self._event(bar) for bar in frame])

    def _event(self, bar: SimBar) -> Event:
        """The bar's event, absurd if a fault asks for it."""
        event = bar_event(bar)
        fault = self._faults.find("absurd_print", symbol=bar.symbol)
        if fault is None:
            return event
        self._faults.use(fault)
        volume = bar.volume * fault["volume"]
        prices = {key: round(event[key] * fault["factor"], 4) for key in ("o", "h", "l", "c", "vw")}
        return {**event, **prices, "v": int(volume), "dv": f"{volume:.3f}"}

    def _is_sent(self, connection: Connection, bar: SimBar, is_held: bool) -> bool:
        """Whether a bar goes over a connection now; ``is_held`` if it was held back for a time."""
        if not {f"A.{bar.symbol}", "A.*"} & connection.pairs:
            return False
        if self._is_faulty(connection, "one_silent", bar.symbol, is_used=True):
            return False
        if not is_held:
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
