"""A silence about which REST cannot be asked, and a connection that takes nothing: neither proves, nor hangs, anything."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest

from events import FeedCause, FeedRestored
from feeds.massive.bad_input import BadInput
from feeds.massive.socket import Socket
from feeds.massive.wire import FrameDecoder
from feeds.vendor import Lost
from tests.feeds.scene import open_place, status
from tests.feeds.test_silence import PATIENT, pass_by, seen
from tests.wire import KEY, frame
from utils import SystemClock


async def test_a_silence_that_rest_says_nothing_about_is_no_stall() -> None:
    async with open_place(speed=100, rules=PATIENT) as place:
        _, watch = place.stocks()
        await seen(place, watch)
        place.faults.add("rest_html", times=1000, path="/v2/aggs")
        place.faults.add("silence", feed="stocks", seconds=120.0)
        await pass_by(place, watch, 150)
        assert place.faults.fired["rest_html"] >= 2
        assert len(place.server.connects["stocks"]) == 1
    assert watch.facts() == [FeedRestored()]


MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3: what a server adds to the client's key."""


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server's half of the WebSocket handshake."""
    head = await reader.readuntil(b"\r\n\r\n")
    key = next(
        line.partition(b":")[2].strip()
        for line in head.splitlines()
        if line.lower().startswith(b"sec-websocket-key:")
    )
    accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


async def test_a_peer_that_takes_nothing_is_a_lost_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        for text in (frame(status("connected")), frame(status("auth_success"))):
            data = text.encode() if isinstance(text, str) else text
            writer.write(bytes([0x81, len(data)]) + data)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await over.wait()
        writer.transport.abort()
        left.set()

    over, left = asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    clock = SystemClock()
    socket = Socket(
        "options",
        ws_url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        api_key=KEY,
        clock=clock,
        step_s=1.0,
        decoder=FrameDecoder(BadInput("the options socket", clock, str)),
    )
    try:
        await socket.open()
        with pytest.raises(Lost, match=r"subscribe could not be sent within 1 s") as lost:
            await socket.subscribe(f"Q.O:IWM{number:030}" for number in range(400_000))
        assert lost.value.cause is FeedCause.DROPPED
    finally:
        await socket.close()
        over.set()
        await left.wait()
        server.close()
