"""A path that may fail, between a client and a server on loopback: it swallows, resets and drips what goes over it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

UP, DOWN = "up", "down"
"""From the client to the server, and back."""

PIECE = 65_536


class Path:
    """A TCP proxy. What it does to a connection may change while the connection lives."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._parts = parts
        self.url = ""
        """The server's address by way of this path."""
        self.swallows: set[str] = set()
        """The directions in which nothing arrives any more, while both ends take the connection for open."""
        self.reset_at: dict[str, int] = {}
        """After how many bytes of a direction the next connection is reset; it is used once."""
        self.refuses = False
        """Whether new connections are ended at once."""
        self.drip_s: float | None = None
        """Seconds between two bytes on the way down; None for no drip."""
        self.carried = {UP: 0, DOWN: 0}
        """Bytes that came from each end, over all connections."""
        self.connections = 0
        self.resets = 0
        self._pairs: set[asyncio.Task[None]] = set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        self.connections += 1
        if self.refuses:
            writer.transport.abort()
            return
        reset_at, self.reset_at = self.reset_at, {}
        with suppress(OSError):
            there, back = await asyncio.open_connection(self._host, self._port)
            ends = (writer, back)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._move(UP, reader, back, ends, reset_at.get(UP)))
                    group.create_task(self._move(DOWN, there, writer, ends, reset_at.get(DOWN)))
            finally:
                for end in ends:
                    end.transport.abort()

    async def _move(
        self,
        way: str,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        left: int | None,
    ) -> None:
        with suppress(OSError):
            while data := await source.read(PIECE):
                self.carried[way] += len(data)
                if way in self.swallows:
                    continue
                if left is not None:
                    data, left = data[:left], left - len(data)
                for size in self._sizes(way, len(data)):
                    piece, data = data[:size], data[size:]
                    target.write(piece)
                    await target.drain()
                    if self.drip_s is not None and way == DOWN:
                        await asyncio.sleep(self.drip_s)
                if left is not None and left <= 0:
                    self._reset(ends)
                    return
            if not self.swallows and target.can_write_eof():
                target.write_eof()

    def _sizes(self, way: str, size: int) -> list[int]:
        return [1] * size if self.drip_s is not None and way == DOWN else [size]

    def _reset(self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        """Ends both connections with RST, once what was sent before has gone out."""
        self.resets += 1
        for end in ends:
            end.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            end.transport.abort()

    def cut(self) -> None:
        """Ends every connection."""
        for pair in self._pairs:
            pair.cancel()

    async def close(self) -> None:
        """Ends every connection, and waits for that."""
        self.cut()
        await asyncio.gather(*self._pairs, return_exceptions=True)


@asynccontextmanager
async def path_to(url: str) -> AsyncIterator[Path]:
    """A path to the server at ``url``."""
    path = Path(url)
    server = await asyncio.start_server(path._carry, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path.url = urlunsplit(path._parts._replace(netloc=f"127.0.0.1:{port}"))
    try:
        yield path
    finally:
        server.close()
        await path.close()
