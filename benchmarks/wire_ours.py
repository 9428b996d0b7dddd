"""The contestant: the worker's own way from the socket to what the engine is handed.

``python -m benchmarks.wire_ours PORT EVENTS WARM [--feed | --frames]``. Without an option: connection, decoding,
inbox. With ``--feed`` the stocks feed between them, too, as in the worker: pacing, silence, and what a reconnect has
to fill. With ``--frames`` what the library takes to hand frames on: they are decoded when the stopwatch has stopped.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Sequence

import httpx
from websockets.asyncio.client import connect

from benchmarks.contest import Stopwatch
from benchmarks.made_frames import OPEN_MS, SECONDS, SYMBOLS, WireBar
from benchmarks.measured import tell, told
from events import SECOND, Bar, Event, Session
from polygon_client import FRAMES_WAITING_MAX, BadInput, FrameDecoder, Rest, Socket, StocksFeed, scrubber
from rules import Rules
from utils import ScaledClock
from worker.inbox import Inbox

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


async def from_socket(url: str, inbox: Inbox) -> AsyncIterator[Sequence[Event]]:
    """Facts from a connection and its decoder alone. They come out here, none is put into ``inbox``."""
    clock = make_clock()
    decoder = FrameDecoder(BadInput("stocks", clock, scrubber(KEY)))
    socket = Socket("stocks", ws_url=url, api_key=KEY, clock=clock, decoder=decoder, step_s=STEP_S)
    await socket.open()
    await socket.subscribe(f"A.{symbol}" for symbol in SYMBOLS)
    try:
        while True:
            yield [event for event in await socket.receive() if isinstance(event, Bar)]
    finally:
        await socket.close()


def from_feed(url: str, inbox: Inbox) -> AsyncIterator[Sequence[Event]]:
    """Facts from the feed that ``inbox`` has not taken at once. Its REST answers that there is nothing to fill."""
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
        offer=inbox.offer,
    )
    return feed.events()


async def receive(port: int, events: int, warm: int, watch: Stopwatch, *, whole_feed: bool) -> list[Bar]:
    """All events through the inbox; the stopwatch runs from event ``warm`` on."""
    inbox = Inbox()
    source = from_feed if whole_feed else from_socket

    async def pump() -> None:
        async for batch in source(f"ws://127.0.0.1:{port}", inbox):
            if not inbox.offer(batch):
                raise RuntimeError("the inbox has overflown")

    found: list[Bar] = []
    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(pump())
        while len(found) < events:
            event = await inbox.get()
            if not isinstance(event, Bar):
                continue  # what the feed says of itself
            found.append(event)
            if len(found) == warm:
                watch.start()
        watch.stop()
        pumping.cancel()
    return found


async def receive_frames(port: int, events: int, warm: int, watch: Stopwatch) -> list[Bar]:
    """All frames as bytes; the stopwatch runs from the one with event ``warm`` on."""
    clock = make_clock()
    decoder = FrameDecoder(BadInput("stocks", clock, scrubber(KEY)))
    decoder.asked.update(SYMBOLS)
    received: list[bytes] = []
    async with connect(f"ws://127.0.0.1:{port}/stocks", max_queue=FRAMES_WAITING_MAX) as connection:
        await connection.send(json.dumps({"action": "auth", "params": KEY}))
        await connection.send(json.dumps({"action": "subscribe", "params": ",".join(SYMBOLS)}))
        while is_status(frame := await connection.recv(decode=False)):
            pass
        size = frame.count(b'"ev"')
        received.append(frame)
        while len(received) * size < events:
            if len(received) * size <= warm:
                watch.start()
            received.append(await connection.recv(decode=False))
        watch.stop()
    now = clock.now()
    return [event for frame in received for event in decoder.decode(frame, now) if isinstance(event, Bar)]


def is_status(frame: bytes) -> bool:
    """Whether a frame holds statuses and no bars."""
    return b'"ev": "status"' in frame


def shown(bar: Bar) -> WireBar:
    """What is compared."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    return WireBar(bar.symbol, bar.start // MILLISECOND, *prices, bar.volume, bar.vwap)


def main() -> None:
    """Receive, and tell."""
    port, events, warm = map(int, sys.argv[1:4])
    watch = Stopwatch()
    if "--frames" in sys.argv:
        found = asyncio.run(receive_frames(port, events, warm, watch))
    else:
        found = asyncio.run(receive(port, events, warm, watch, whole_feed="--feed" in sys.argv))
    tell(told(watch, [shown(bar) for bar in found]))


if __name__ == "__main__":
    main()
