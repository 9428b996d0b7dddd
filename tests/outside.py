"""A server on loopback that answers with whatever bytes a test hands it, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pydantic import SecretStr

ENDLESS = b"ENDLESS"
"""Stands for an answer whose body never ends."""

INTERIM = b"INTERIM"
"""Stands for interim answers (103) that no final one ever follows."""

DRIP = b"DRIP"
"""Stands for an answer that comes byte by byte and never ends."""

BAD_RECORD = b"BAD RECORD"
"""Stands for a TLS record that nobody can read."""

GARBAGE_RECORD = b"\x17\x03\x03\x00\x20" + b"?" * 32
"""A TLS record as it stands on the wire that no key opens: whoever reads it raises `ssl.SSLError`."""

PIECE = b"x" * 65_536


def reply(status: str = "200 OK", body: bytes = b"", *headers: str) -> bytes:
    """An answer as it stands on the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Outside:
    """What was asked, and what is answered next; the last answer is given again and again."""

    answers: deque[bytes]
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Method and path of each request."""
    heads: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    poured: int = 0
    """Bytes of endless answers that were taken off our hands."""

    @property
    def secret(self) -> SecretStr:
        """Its address as a setting."""
        return SecretStr(self.url)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection with one request."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lengths = [line for line in head.splitlines() if line.lower().startswith("content-length:")]
            body = await reader.readexactly(int(lengths[0].partition(":")[2])) if lengths else b""
            self.asked.append(" ".join(head.split()[:2]))
            self.heads.append(head.lower())
            self.bodies.append(body.decode())
            answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
            if answer == ENDLESS:
                await self._pour(writer, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", PIECE)
            elif answer == INTERIM:
                hint = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"a" * 1_000 + b"\r\n\r\n"
                await self._pour(writer, b"", hint * 64)
            elif answer == DRIP:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
                while True:
                    writer.write(b".")
                    await writer.drain()
                    await asyncio.sleep(0.02)
            elif answer == BAD_RECORD:
                os.write(writer.get_extra_info("socket").fileno(), GARBAGE_RECORD)
                await asyncio.sleep(1)
            else:
                writer.write(answer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()

    async def _pour(self, writer: asyncio.StreamWriter, begin: bytes, piece: bytes) -> None:
        writer.write(begin)
        while True:
            writer.write(piece)
            await writer.drain()
            self.poured += len(piece)


@asynccontextmanager
async def outside(*answers: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Outside]:
    """A server that gives these answers."""
    made = Outside(deque(answers or (reply(),)))
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await made.talk(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    host = "localhost" if tls else "127.0.0.1"
    made.url = f"http{'s' if tls else ''}://{host}:{server.sockets[0].getsockname()[1]}/CanaryPath"
    try:
        yield made
    finally:
        server.close()
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
