"""The vendors on loopback ports, in a process of their own: ``python -m benchmarks.loopback START_US SPEED``.

Prints one line of JSON: the environment that points a worker at them, and the clock to share. Runs until its input
ends.
"""

from __future__ import annotations

import asyncio
import json
import sys

from benchmarks.made_record import market
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from utils import ScaledClock

API_KEY = "benchmark-key"
TOKEN = "benchmarkToken0000000000000000"
USER = "benchmarkUser00000000000000000"


async def serve(start: int, speed: float) -> None:
    """Serve the made day from ``start`` (µs) on, ``speed`` times as fast as the machine's clock."""
    made = market()
    made.schedule  # noqa: B018 - sorted before anyone waits for it
    clock = ScaledClock(start, speed)
    async with LoopbackMarket(made, clock, API_KEY) as vendor, LoopbackPushover(clock, TOKEN, USER) as push:
        environment = {
            "POLYGON_API_KEY": API_KEY,
            "POLYGON_REST_URL": vendor.rest_url,
            "POLYGON_WS_URL": vendor.ws_url,
            "PUSHOVER_TOKEN": TOKEN,
            "PUSHOVER_USER_KEY": USER,
            "PUSHOVER_URL": push.url,
        }
        print(json.dumps({"environment": environment, "origin_ns": clock.origin_ns}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
