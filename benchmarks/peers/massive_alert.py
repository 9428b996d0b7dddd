"""The vendor's own client with httpx, as one would begin: a handler that looks at the bar and posts. No record.

``python -m benchmarks.peers.massive_alert HOST:PORT PUSH_URL KEY VOLUME``. What it decides by is the least there can
be: a bar of IWM with at least that volume.
"""

from __future__ import annotations

import asyncio
import sys

import httpx
from massive import WebSocketClient  # type: ignore[import-untyped]
from massive.websocket.models import WebSocketMessage  # type: ignore[import-untyped]

PUSH = "/1/messages.json"


async def main() -> None:
    """Post at every large bar until the connection ends."""
    feed, push_url, key, volume = sys.argv[1:5]
    least = float(volume)
    client = WebSocketClient(
        api_key=key, feed=feed, secure=False, subscriptions=["A.IWM", "A.SPY"], max_reconnects=0
    )
    async with httpx.AsyncClient(base_url=push_url, trust_env=False) as http:

        async def handle(messages: list[WebSocketMessage]) -> None:
            for message in messages:
                if message.symbol == "IWM" and message.volume >= least:
                    form = {
                        "token": key,
                        "user": "u" * 30,
                        "title": "🔥 IWM 0DTE CALL — BUY",
                        "message": f"IWM ${message.close:.2f} | VWAP ${message.vwap:.2f}\nVolume {message.volume:,}",
                        "priority": "1",
                    }
                    (await http.post(PUSH, data=form)).raise_for_status()

        await client.connect(handle)


if __name__ == "__main__":
    asyncio.run(main())
