"""The contestant: the worker's own way from the socket to what the engine is handed.

``python -m benchmarks.wire_ours PORT EVENTS WARM [--feed]``. Without ``--feed``: connection, decoding, inbox. With
it, the stocks feed between them, too, as in the worker: pacing, silence, and what a reconnect has to fill.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator

import httpx

from benchmarks.contest import Stopwatch
from benchmarks.made_frames import OPEN_MS, SECONDS, SYMBOLS, WireBar
from benchmarks.measured import tell, told
from config import Rules
from events import SECOND, Bar, Session
from main import Inbox
from polygon_client import BadInput, FrameDecoder, Rest, Socket, StocksFeed, scrubber
from utils import ScaledClock

KEY = "benchmark-key"
STEP_S = 10.0
MILLISECOND = SECOND // 1000

SESSION = Session(
    date="2025-10-02",
    open=OPEN_MS * MILLISECOND,
    close=OPEN_MS * MILLISECOND + SECONDS * SECOND,
    early=False,
)


def make_clock() -> ScaledClock:
    """A clock at the session's end: no bar lies ahead of it."""
    return ScaledClock(SESSION.close, 1.0)


async def from_socket(url: str) -> AsyncIterator[Bar]:
    """Bars from a connection and its decoder alone."""
    clock = make_clock()
    decoder = FrameDecoder(BadInput("stocks", clock, scrubber(KEY)))
    socket = Socket("stocks", ws_url=url, api_key=KEY, clock=clock, decoder=decoder, step_s=STEP_S)
    await socket.open()
    await socket.subscribe(f"A.{symbol}" for symbol in SYMBOLS)
    try:
        while True:
            for event in await socket.receive():
                if isinstance(event, Bar):
                    yield event
    finally:
        await socket.close()


async def from_feed(url: str) -> AsyncIterator[Bar]:
    """Bars from the feed. Its REST answers at once that there is nothing to fill."""
    clock = make_clock()
    nothing = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": "OK", "results": []}))
    rest = Rest("http://127.0.0.1", KEY, clock, nothing)
    feed = StocksFeed(
        rest=rest,
        ws_url=url,
        api_key=KEY,
        clock=clock,
        rules=Rules(),
        session=SESSION,
        rng=random.Random(1),
        position_open=lambda: False,
    )
    async for event in feed.events():
        if isinstance(event, Bar):
            yield event


async def receive(port: int, events: int, warm: int, watch: Stopwatch, *, whole_feed: bool) -> list[Bar]:
    """All events through the inbox; the stopwatch runs from event ``warm`` on."""
    inbox = Inbox()
    source = from_feed if whole_feed else from_socket

    async def pump() -> None:
        async for event in source(f"ws://127.0.0.1:{port}"):
            if not await inbox.put(event):
                raise RuntimeError("the inbox has overflown")

    pumping = asyncio.create_task(pump())
    found: list[Bar] = []
    for number in range(events):
        waiting = asyncio.ensure_future(inbox.get()) if inbox.is_empty else None
        found.append(await inbox.get() if waiting is None else await waiting)
        if number == warm:
            watch.start()
    watch.stop()
    pumping.cancel()
    await asyncio.gather(pumping, return_exceptions=True)
    return found


def shown(bar: Bar) -> WireBar:
    """What is compared."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    return WireBar(bar.symbol, bar.start // MILLISECOND, *prices, bar.volume, bar.vwap)
