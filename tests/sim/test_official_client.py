"""The vendor's official clients understand the loopback market."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from massive import RESTClient, WebSocketClient  # type: ignore[import-untyped]
from massive.websocket.models import EquityAgg  # type: ignore[import-untyped]

from events import SECOND
from sim.account import Plan
from tests.sim.clients import KEY, Raw, serving
from tests.sim.days import OPEN, calls


def values(bar: EquityAgg) -> tuple[Any, ...]:
    """A bar of the official client as comparable values."""
    return (
        *(bar.symbol, bar.start_timestamp, bar.open, bar.high, bar.low, bar.close),
        *(bar.vwap, bar.fractional_volume),
    )


async def test_the_official_client_receives_what_a_raw_one_does() -> None:
    logging.getLogger("WebSocketClient").setLevel(logging.CRITICAL)
    async with serving(plan=Plan(connections=2), speed=60.0) as server:
        theirs: list[EquityAgg] = []

        async def take(messages: Sequence[Any]) -> None:
            theirs.extend(messages)

        host = server.ws_url.removeprefix("ws://")
        official = WebSocketClient(
            api_key=KEY, feed=host, market="stocks", secure=False, subscriptions=["A.IWM", "A.SPY"]
        )
        running = asyncio.create_task(official.connect(take, proxy=None))
        async with Raw(server) as raw:
            await raw.subscribed("A.IWM", "A.SPY")
            while not theirs:
                await server.clock.sleep(0.5)
            raw.forget()
            ours = await raw.data(60)
            expected = [
                tuple(event[name] for name in ("sym", "s", "o", "h", "l", "c", "vw", "dv")) for event in ours
            ]
            async with asyncio.timeout(8):
                while expected[-1] not in map(values, theirs):
                    await server.clock.sleep(0.5)
        await official.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    received = [values(bar) for bar in theirs]
    assert received[received.index(expected[0]) :][: len(expected)] == expected


async def test_the_official_rest_client_reads_the_chain_and_the_seconds() -> None:
    async with serving() as server:

        def ask() -> tuple[list[Any], list[Any]]:
            client = RESTClient(api_key=KEY, base=server.rest_url)
            chain = client.list_snapshot_options_chain("IWM", params={"contract_type": "call", "limit": 25})
            seconds = client.list_aggs("SPY", 1, "second", OPEN // 1000, OPEN // 1000 + 60_000, limit=25)
            out = list(chain), list(seconds)
            for pool in (client.client, client.vx.client):
                pool.clear()
            return out

        chain, seconds = await asyncio.to_thread(ask)
        assert [row.details.ticker for row in chain] == calls(server.market)
        assert any(row.greeks and row.greeks.delta and row.greeks.delta > 0.9 for row in chain)
        known = server.market.known_between("SPY", OPEN, OPEN + 60 * SECOND, OPEN + 3000 * SECOND)
        assert [(bar.timestamp, bar.close, bar.vwap) for bar in seconds] == [
            (bar.start // 1000, bar.close, bar.vwap) for bar in known
        ]
