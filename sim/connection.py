"""One WebSocket of the simulated vendor: what it has asked for, and how it is written to and ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from sim.account import Witness
from sim.wire import dumps, status_event

SEND_REAL_SECONDS = 5.0
"""A client that does not take a frame within this is a slow consumer and loses its connection."""


@dataclass(eq=False, slots=True)
class Connection:
    """One WebSocket and what it has asked for."""

    cluster: str
    socket: web.WebSocketResponse
    transport: asyncio.Transport
    number: int
    authenticated: bool = False
    ended: bool = False
    client_code: int | None = None
    pairs: set[str] = field(default_factory=set)
    quotes: dict[str, tuple[float, float, int, int]] = field(default_factory=dict)
    last: str = ""
    """The last good frame that was sent."""
    since: int = 0
    """When the connection was made, µs."""
    witness: Witness | None = None

    def abort(self) -> None:
        """Ends the TCP connection without a close frame."""
        self.ended = True
        self.transport.close()

    async def send(self, payload: str | bytes) -> None:
        """Sends one frame. A client that does not take it in time, or is gone, loses the connection."""
        if self.ended or self.socket.closed:
            return
        written = None if self.witness is None else self.witness.frame(self, payload)
        try:
            async with asyncio.timeout(SEND_REAL_SECONDS):
                if isinstance(payload, bytes):
                    await self.socket.send_bytes(payload)
                else:
                    await self.socket.send_str(payload)
        except (TimeoutError, ConnectionError):
            self.abort()
        else:
            if written is not None:
                written()

    async def say(self, *statuses: tuple[str, str]) -> None:
        """Sends status events in one frame."""
        await self.send(dumps([status_event(status, message) for status, message in statuses]))

    async def close(self, code: int) -> None:
        """Closes with a close frame and an empty reason."""
        self.ended = True
        await self.socket.close(code=code)
