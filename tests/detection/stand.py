"""The whole worker, every way out of it by a path that may fail, and an outside monitor; how long a fault stays unsaid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.outside import Outside, outside
from tests.proxy import Path as Way
from tests.proxy import path_to
from tests.stage import BEGIN_S
from tests.virtual_loop import LoopClock
from tests.worker.loop_town import LoopTown, loop_town
from tests.worker.town import begin

PERIOD_S, GRACE_S = 60, 120
"""How the outside monitor is set, as docs/deploy.md advises: it rings when no beat has come for both together."""

LOOK_S = 0.1
"""Seconds between two looks at phone and monitor."""

PATIENCE_S = 600
"""Seconds after which nobody will say it any more."""


class Said(NamedTuple):
    """Who said first that something is wrong, and how many seconds after the fault."""

    seconds: float
    by: str


class Stand:
    """A running worker, and what may be done to it."""

    def __init__(self, town: LoopTown, monitor: Outside, ways: dict[str, Way]) -> None:
        self.town = town
        self.faults = town.vendor.faults
        self.pushover = town.pushover
        self.monitor = monitor
        self.ways = ways
        self._beside: list[asyncio.Task[None]] = []

    @property
    def addresses(self) -> dict[str, Any]:
        """What the worker is told of its surroundings."""
        return {
            "polygon_rest_url": self.ways["rest"].url,
            "polygon_ws_url": self.ways["socket"].url,
            "pushover_url": self.ways["push"].url,
            "heartbeat_url": self.monitor.secret,
        }

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on until the end."""
        self._beside.append(asyncio.create_task(work))

    async def end(self) -> None:
        """End what goes on beside."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    async def start(self, **changes: Any) -> None:
        """Start the worker, and wait until it sees everything."""
        await self.town.start(**self.addresses, **changes)
        await self.town.until(lambda: "Backfill SPY: done" in self.town.texts()[-1], 60, "seen")
        await self.town.clock.sleep(8)

    @property
    def life(self) -> Any:
        """The worker that was started last."""
        return self.town.lives[-1]

    async def kill(self) -> None:
        """End the worker as a power cut would."""
        await self.town.kill()

    async def bought(self) -> None:
        """Wait for the BUY."""
        await self.town.until(lambda: self.town.pushes("BUY"), 240, "BUY")

    async def first_said(self, fault: Callable[[Stand], Awaitable[None]]) -> Said:
        """Do the fault, and wait until phone or monitor says so. The last beat came just before the fault."""
        loop = asyncio.get_running_loop()
        known, asked = len(self.pushover.messages), len(self.monitor.asked)
        began = last_beat = loop.time()
        await fault(self)
        while (now := loop.time()) - began < PATIENCE_S:
            for message in self.pushover.messages[known:]:
                if message.title.startswith("⚠️"):
                    return Said(now - began, f"phone: {message.title.removeprefix('⚠️ IWM: ')}")
            new, asked = self.monitor.asked[asked:], len(self.monitor.asked)
            if any(each.endswith("/fail") for each in new):
                return Said(now - began, "monitor: /fail")
            if new:
                last_beat = now
            if now - last_beat >= PERIOD_S + GRACE_S:
                return Said(last_beat + PERIOD_S + GRACE_S - began, "monitor: no beat")
            await asyncio.sleep(LOOK_S)
        raise AssertionError(f"nobody says it\n{self.town.said()}")


@asynccontextmanager
async def stand(folder: Path) -> AsyncIterator[Stand]:
    """A market, a push service and a monitor on virtual time. The worker is still to be started."""
    async with AsyncExitStack() as stack:
        town = await stack.enter_async_context(loop_town(folder))
        town.own = LoopClock(begin(BEGIN_S))
        monitor = await stack.enter_async_context(outside())
        addresses = {"rest": town.vendor.rest_url, "socket": town.vendor.ws_url, "push": town.pushover.url}
        ways = {name: await stack.enter_async_context(path_to(url)) for name, url in addresses.items()}
        monitor_way = await stack.enter_async_context(path_to(monitor.url))
        ways["monitor"], monitor.url = monitor_way, monitor_way.url
        made = Stand(town, monitor, ways)
        try:
            yield made
        finally:
            await made.end()
