"""The least that a program with these libraries takes to its subscription: imports, one connection, nothing else.

``python -m benchmarks.bare_start WS_URL KEY``
"""

from __future__ import annotations

import asyncio
import json
import sys

import holidays
import httpx
import msgspec
import pydantic_settings
import structlog
import websockets

LIBRARIES = (holidays, httpx, msgspec, pydantic_settings, structlog, websockets)
PAIRS = ("A.IWM", "A.SPY")


async def subscribe(url: str, key: str) -> None:
    """Connect, log in, subscribe, and say when it is done."""
    async with websockets.connect(f"{url}/stocks", proxy=None) as connection:
        await connection.recv()
        await connection.send(json.dumps({"action": "auth", "params": key}))
        await connection.recv()
        await connection.send(json.dumps({"action": "subscribe", "params": ",".join(PAIRS)}))
        wanted = set(PAIRS)
        while wanted:
            for event in json.loads(await connection.recv()):
                wanted.discard(event.get("message", "").removeprefix("subscribed to: "))
        print(f"subscribed, {len(LIBRARIES)} libraries", flush=True)


if __name__ == "__main__":
    asyncio.run(subscribe(*sys.argv[1:3]))
