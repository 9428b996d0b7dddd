"""The vendor's own client, as its documentation shows it: ``WebSocketClient(...)``, a handler that is given models.

``python -m benchmarks.peers.massive_wire PORT EVENTS WARM``. The handler keeps what it is given; there is no queue
behind it, as the documentation has none.
"""

from __future__ import annotations

import asyncio
import sys

from massive import WebSocketClient  # type: ignore[import-untyped]
from massive.websocket.models import EquityAgg, WebSocketMessage  # type: ignore[import-untyped]

from benchmarks.contest import Stopwatch
from benchmarks.made_frames import SYMBOLS, WireBar
from benchmarks.measured import tell, told


def shown(bar: EquityAgg) -> WireBar:
    """What is compared."""
    volume = float(bar.fractional_volume or bar.volume)
    return WireBar(bar.symbol, bar.start_timestamp, bar.open, bar.high, bar.low, bar.close, volume, bar.vwap)


async def receive(port: int, events: int, warm: int, watch: Stopwatch) -> list[EquityAgg]:
    """All events; the stopwatch runs from the frame with event ``warm`` on."""
    client = WebSocketClient(
        api_key="benchmark-key",
        feed=f"127.0.0.1:{port}",
        secure=False,
        subscriptions=[f"A.{symbol}" for symbol in SYMBOLS],
    )
    found: list[EquityAgg] = []

    async def handle(messages: list[WebSocketMessage]) -> None:
        before = len(found)
        for message in messages:
            found.append(message)
        if before <= warm < len(found):
            watch.start()
        if len(found) >= events:
            watch.stop()
            await client.close()

    await client.connect(handle)
    return found


def main() -> None:
    """Receive, and tell."""
    port, events, warm = map(int, sys.argv[1:4])
    watch = Stopwatch()
    found = asyncio.run(receive(port, events, warm, watch))
    tell(told(watch, [shown(bar) for bar in found]))


if __name__ == "__main__":
    main()
