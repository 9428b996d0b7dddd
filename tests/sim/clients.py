"""A loopback market for a test, and bare clients of its sockets and its REST."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from events import SECOND
from sim.bars import SimBar
from sim.market import Market
from sim.server import LoopbackMarket
from tests.patience import PatientClock
from tests.sim.days import OPEN, day

KEY = "made0up0key"

SPEED = 120.0

CHAIN = "/v3/snapshot/options/IWM"


@contextlib.asynccontextmanager
async def serving(
    *, market: Market | None = None, start: int = 3600, speed: float = SPEED, **options: Any
) -> AsyncIterator[LoopbackMarket]:
    """A loopback market from ``start`` seconds after the open, at ``speed`` times real time."""
    clock = PatientClock(OPEN + start * SECOND, speed)
    async with LoopbackMarket(market or day(), clock, KEY, **options) as server:
        yield server


class Raw:
    """A bare client of one cluster."""

    def __init__(self, server: LoopbackMarket, cluster: str = "stocks") -> None:
        self.url, self.server = f"{server.ws_url}/{cluster}", server
        self.frames: list[list[Any]] = []
        self._waiting: list[Any] = []

    async def __aenter__(self) -> Self:
        self.socket: ClientConnection = await connect(self.url, proxy=None, ping_interval=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def say(self, action: str, params: str) -> None:
        await self.socket.send(json.dumps({"action": action, "params": params}))

    async def frame(self) -> list[Any]:
        async with asyncio.timeout(8):
            frame = json.loads(await self.socket.recv())
        assert isinstance(frame, list)
        self.frames.append(frame)
        return frame

    async def event(self) -> Any:
        while not self._waiting:
            self._waiting = list(await self.frame())
        return self._waiting.pop(0)

    def forget(self) -> None:
        """Drops the events that have come and were not looked at."""
        self._waiting.clear()

    async def statuses(self, count: int) -> list[tuple[str, str]]:
        """Returns the next so many status events; skips data in between."""
        out: list[tuple[str, str]] = []
        while len(out) < count:
            event = await self.event()
            if event["ev"] == "status":
                out.append((event["status"], event["message"]))
        return out

    async def data(self, count: int) -> list[dict[str, Any]]:
        """Returns the next so many data events; skips statuses in between."""
        out: list[dict[str, Any]] = []
        while len(out) < count:
            event = await self.event()
            if event["ev"] != "status":
                out.append(event)
        return out

    async def subscribed(self, *pairs: str, key: str = KEY) -> Self:
        await self.say("auth", key)
        assert await self.statuses(2) == [
            ("connected", "Connected Successfully"),
            ("auth_success", "authenticated"),
        ]
        await self.say("subscribe", ",".join(pairs))
        assert await self.statuses(len(pairs)) == [("success", f"subscribed to: {pair}") for pair in pairs]
        return self

    async def closing(self) -> ConnectionClosed:
        """Returns how the connection ends; keeps what still comes in ``frames``."""
        async with asyncio.timeout(8):
            try:
                while True:
                    self.frames.append(json.loads(await self.socket.recv()))
            except ConnectionClosed as error:
                return error


@contextlib.asynccontextmanager
async def rest(server: LoopbackMarket, key: str = KEY) -> AsyncIterator[httpx.AsyncClient]:
    """A bare client of the REST endpoints."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        base_url=server.rest_url, headers=headers, verify=False, trust_env=False, timeout=8
    ) as client:
        yield client


def versions(event: dict[str, Any]) -> list[SimBar]:
    """The day's bars of a bar event's second: the first print, and the final one after corrections."""
    asked = (day().first_print(event["sym"], event["s"] * 1000), day().final(event["sym"], event["s"] * 1000))
    return [bar for bar in asked if bar is not None]


def aggregates(symbol: str, begin: int, end: int) -> str:
    return f"/v2/aggs/ticker/{symbol}/range/1/second/{begin // 1000}/{end // 1000}"
