"""Plays a soak: the loopback market and Pushover in this process, the worker in another, and a fault every 30 s."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from sim.market import Market
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.soak.clock import seconds
from tests.soak.draw import Plan, episodes
from tests.soak.ground import Ground, Seen
from tests.soak.hand import Hand
from tests.soak.lives import Lives
from tests.soak.worker import Told
from tests.stage import KEY, TOKEN, USER

SAMPLE_REAL_S = 1.0
"""Real seconds between two looks at the worker's process."""

NEXT_MARKET_S = 60
"""Market seconds before the end of a day at which the next one's market is made: the worker sleeps."""


async def made(plan: Plan, number: int) -> Market:
    """Makes a day's market beside the loop."""
    day, seed = plan.days[number], plan.seed * 1_000 + number
    return await asyncio.to_thread(lambda: Market(seed, day.session, episodes=episodes(random.Random(seed))))


class Soak:
    """One run. ``shown`` is called with what was seen, once a real second; after `stop` it ends with what it has."""

    def __init__(self, plan: Plan, folder: Path, speed: float, shown: Callable[[Seen], None]) -> None:
        self._plan, self._shown = plan, shown
        self.seen = Seen(plan, folder, speed)
        self.ground = ground = Ground(self.seen)
        self._lives = Lives(folder, self._told, ground.awake, plan.deaths)
        self._pushover = LoopbackPushover(ground.clock, TOKEN, USER)
        self._vendor: LoopbackMarket | None = None

    def stop(self) -> None:
        """Ends the run with what it has."""
        self.ground.stop.set()

    async def run(self) -> Seen:
        """Plays all of it, and returns what was seen."""
        seen, ground, began = self.seen, self.ground, time.monotonic()
        seen.lives = self._lives.all
        market = await made(self._plan, 0)
        await self._lives.prepare()
        ground.begin()
        self._pushover = pushover = LoopbackPushover(ground.clock, TOKEN, USER)
        hand = Hand(ground, self._lives, pushover, self._served)
        try:
            async with pushover, self._serving(market):
                for work in (self._lives.run(), self._sample(), hand.bring_all(), hand.tap()):
                    ground.spawn(work)
                await self._play_days()
                seen.awake = min(ground.awake(), self._plan.awake)
                await self._lives.stop()
        finally:
            await ground.end()
            await self._lives.close()
            seen.messages = pushover.messages
            seen.real_s = time.monotonic() - began
        return seen

    # --- Days ---

    def _served(self) -> LoopbackMarket:
        """The day's market."""
        assert self._vendor is not None
        return self._vendor

    @contextlib.asynccontextmanager
    async def _serving(self, market: Market) -> AsyncIterator[None]:
        """Serves the first day. The market of a day is closed when the next one's opens, at the same port."""
        self._vendor = await LoopbackMarket(market, self.ground.clock, KEY).__aenter__()
        try:
            yield
        finally:
            await self._close()

    async def _play_days(self) -> None:
        """Waits for the end of each day, and opens the next one's market."""
        end = 0
        for number, day in enumerate(self._plan.days):
            end += day.end - day.begin
            if number + 1 == len(self._plan.days):
                break
            if not await self.ground.until(end - seconds(NEXT_MARKET_S)):
                return
            market = await made(self._plan, number + 1)
            port = int(self._served().rest_url.rpartition(":")[2])
            await self._close()
            self._vendor = await LoopbackMarket(market, self.ground.clock, KEY, port=port).__aenter__()
        await self.ground.until(end)

    async def _close(self) -> None:
        """Closes the day's market, and adds up what it saw."""
        vendor = self._served()
        await vendor.__aexit__(None, None, None)
        self.seen.fired += vendor.faults.fired
        self.seen.connects.update({name: len(at) for name, at in vendor.connects.items()})

    # --- The worker ---

    def _told(self, pipe: int) -> Told:
        """What a process of the worker is told."""
        vendor = self._served()
        settings: dict[str, str | bool] = {
            "polygon_api_key": KEY,
            "pushover_token": TOKEN,
            "pushover_user_key": USER,
            "polygon_rest_url": vendor.rest_url,
            "polygon_ws_url": vendor.ws_url,
            "pushover_url": self._pushover.url,
            "data_dir": str(self.seen.data),
            "log_file": str(self.seen.folder / "worker.log"),
            "log_level": "DEBUG",
        }
        return Told(self.ground.times, self._plan.steps, settings, pipe)

    async def _sample(self) -> None:
        """Looks at the worker's process once a second."""
        loop, seen, ground = asyncio.get_running_loop(), self.seen, self.ground
        while True:
            began = loop.time()
            await asyncio.sleep(SAMPLE_REAL_S)
            seen.late_s = max(seen.late_s, loop.time() - began - SAMPLE_REAL_S)
            at = seen.awake = ground.awake()
            life = self._lives.now
            if life is not None and (sample := life.look(at, ground.day())) is not None:
                seen.samples.append(sample)
            self._shown(seen)
