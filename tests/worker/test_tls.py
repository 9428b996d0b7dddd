"""The whole worker with a service behind TLS whose records cannot always be read, over real sockets: nothing ends by it."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.delivery.test_exchange import tls
from tests.outside import BAD_RECORD, GARBAGE_RECORD, outside
from tests.stage import stage
from tests.worker.test_heartbeat import BEAT
from worker.ending import EXIT_OK

pytestmark = pytest.mark.virtual_time

__all__ = ["tls"]  # a fixture that every test here uses, too

PIECE = 65_536


class Front:
    """A TLS server that passes everything on to a plain one, and spoils the answers with the numbers that ``spoils`` takes.

    An answer begins with ``begins``; empty: each piece that comes back is one.
    """

    def __init__(self, spoils: Callable[[int], bool], begins: bytes) -> None:
        self._spoils, self._begins = spoils, begins
        self._answers = 0
        self._talks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.WriteTransport] = []
        self.spoilt = 0
        self.port = 0
        self.target = 0
        """The port of the plain server."""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self._ends += writer.transport, back.transport
        asked = asyncio.create_task(self._pass_on(reader, back))
        with suppress(OSError):
            while piece := await there.read(PIECE):
                is_new = piece.startswith(self._begins)
                self._answers += is_new
                if is_new and self._spoils(self._answers):
                    self.spoilt += 1
                    os.write(writer.get_extra_info("socket").fileno(), GARBAGE_RECORD)
                    await asked  # who cannot read it hangs up
                    break
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()
        back.transport.abort()
        await asked

    async def _pass_on(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                back.write(piece)
                await back.drain()

    async def close(self) -> None:
        """End every connection."""
        for each in self._ends:
            each.abort()
        await asyncio.gather(*self._talks)


@asynccontextmanager
async def front(tls: ssl.SSLContext, spoils: Callable[[int], bool], begins: bytes) -> AsyncIterator[Front]:
    """Such a server."""
    made = Front(spoils, begins)
    server = await asyncio.start_server(made.talk, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()


CASES: dict[str, tuple[Callable[[int], bool], bytes, str]] = {
    "polygon_rest_url": (lambda number: number % 10 in range(4, 8), b"HTTP/", "SSLError"),
    # asyncio's own TLS calls it a lost connection.
    "polygon_ws_url": (lambda number: number % 90 == 0, b"", "connection lost without a close frame"),
    "pushover_url": (lambda number: number % 2 == 0, b"HTTP/", "SSLError"),
}
"""Which answers of a service are spoilt, how one begins, and what the log says of it."""


@pytest.mark.parametrize("setting", CASES)
async def test_records_that_cannot_be_read_cost_their_exchange_and_no_alert(
    tmp_path: Path, tls: ssl.SSLContext, setting: str
) -> None:
    spoils, begins, said = CASES[setting]
    async with front(tls, spoils, begins) as before:

        def prepare(vendor: LoopbackMarket, pushover: LoopbackPushover) -> None:
            there = pushover.url if setting == "pushover_url" else vendor.rest_url
            before.target = int(there.rpartition(":")[2])

        address: dict[str, Any] = {
            setting: f"{'wss' if setting == 'polygon_ws_url' else 'https'}://localhost:{before.port}"
        }
        with capture_logs() as logs:
            async with stage(tmp_path, prepare=prepare, **address) as play:
                await play.until(lambda: play.titles("BUY"), 200, "a BUY")
                await play.until(lambda: said in repr(logs), 200, said)
                assert await play.stop() == EXIT_OK
                assert play.titles("SELL")
    assert before.spoilt
    assert "crashed" not in {line["event"] for line in logs}


@pytest.mark.real_time
async def test_an_outside_watch_and_a_second_channel_whose_records_cannot_be_read_cost_a_line_each(
    tmp_path: Path, tls: ssl.SSLContext
) -> None:
    """Every answer: of the beats, of each attempt at the second channel, and of ``/fail`` at the end."""

    async with outside(BAD_RECORD, tls=tls) as watch, outside(BAD_RECORD, tls=tls) as channel:
        addresses: dict[str, Any] = {"heartbeat_url": watch.secret, "second_channel_url": channel.secret}
        with capture_logs() as logs:
            async with stage(tmp_path, **addresses) as play:
                await play.until(lambda: play.titles("BUY"), 200, "a BUY")
                await play.until(lambda: watch.asked.count(BEAT) >= 2, 150, "two beats")
                play.pushover.answers.extend(["400"] * 9)
                assert await play.stop() == EXIT_OK
    said = [line["text"] for line in logs if line["event"] == "heartbeat_failed"]
    assert set(said) == {
        f"💔 HEARTBEAT_URL{signal} not reached: the request failed (SSLError): not counted"
        for signal in ("", "/start", "/fail")
    }
    assert channel.bodies
    (failed,) = [line for line in logs if line["event"] == "second_channel_failed"]
    assert "SSLError" in failed["text"]
    assert "crashed" not in {line["event"] for line in logs}
