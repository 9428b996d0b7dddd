"""How good events reach a client of the simulated sockets, and how a fault swallows or spoils them on the way."""

from __future__ import annotations

from collections.abc import Iterator

from sim.broken import BROKEN_EVENTS, BROKEN_FRAMES, GARBAGE, flood
from sim.connection import Connection
from sim.faults import Faults
from sim.wire import Event, dumps


class Frames:
    """Sends events in frames. Kinds of garbage take turns over all connections."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._garbage_turn = 0

    async def send(self, connection: Connection, events: list[Event]) -> None:
        """Sends good events in one frame, unless a fault swallows or spoils them."""
        if self._faults.take("silence", feed=connection.cluster):
            return
        if connection.last and self._faults.take("repeat", feed=connection.cluster):
            await connection.send(connection.last)
            return
        connection.last = dumps(events)
        if fault := self._faults.take("burst", feed=connection.cluster):
            for _ in range(fault["frames"]):
                await connection.send(connection.last)
        if fault := self._faults.take("flood", feed=connection.cluster):
            await connection.send(flood(fault["size"]))
        if fault := self._faults.take("overload", feed=connection.cluster):
            for _ in range(fault["frames"]):
                await connection.send(dumps(events * fault["copies"]))
        times = 2 if self._faults.take("duplicates", feed=connection.cluster) else 1
        for payload in self._spoil(connection, events):
            for _ in range(times):
                await connection.send(payload)

    def _spoil(self, connection: Connection, events: list[Event]) -> Iterator[str | bytes]:
        """The frames to send: the good events, with garbage before or among them if a fault asks for it."""
        fault = self._faults.take("garbage", feed=connection.cluster)
        if fault is None:
            yield connection.last
            return
        kind = fault["kind"] or GARBAGE[self._garbage_turn % len(GARBAGE)]
        self._garbage_turn += 1
        if kind in BROKEN_FRAMES:
            yield BROKEN_FRAMES[kind]
            yield connection.last
        else:
            broken = BROKEN_EVENTS[kind](events[0])
            yield dumps([broken, events[0], broken, *events[1:], broken])
