"""The ordinary worker against the loopback market and the loopback Pushover, on a scaled clock."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from config import Settings
from events import SECOND, Session
from pictures.process import Draw, drawn_apart
from record.disk import DiskFile, Opener
from record.folder import date_of, records
from review import verify
from sim.account import Plan
from sim.bars import SimBar
from sim.demo import DAY, EPISODES, SEED, START_S
from sim.episodes import Episode
from sim.market import Market
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.patience import PatientClock
from tests.virtual_loop import LoopClock, inline, is_virtual
from threads import DaemonThread, Threads
from utils import ScaledClock, session_on
from worker.worker import Worker

KEY = "canary-polygon-key-5f1e"
TOKEN = "canarytoken000canarytoken00012"
USER = "canaryuser0000canaryuser000034"

SPEED = 30.0

BUSY_REAL_S = 5.0
"""Real seconds that anything is waited for at least: a second of a busy machine is many of the market's."""

BEGIN_S = START_S + 40
"""50 market seconds before the surge: time to connect, to fill the gap, and to see VWAP rise for 30 s."""

KNOWN_S = START_S - 900
"""Seconds after the open from which REST knows the made market: longer before the story than any rule looks back."""


@cache
def session() -> Session:
    """The made day."""
    found = session_on(DAY)
    assert found is not None
    return found


class LateMarket(Market):
    """A made market of which REST knows nothing before `KNOWN_S`, and the rest to the letter.

    Every start fills in what it missed, and derives it again as the record is verified: of a whole morning that is most of a
    test's work. No more of it than this has a part in what is decided.
    """

    def known_between(self, symbol: str, first: int, last: int, at: int) -> list[SimBar]:
        """The bars as REST knows them."""
        return super().known_between(symbol, max(first, session().open + KNOWN_S * SECOND), last, at)


@cache
def market(episodes: tuple[Episode, ...] = EPISODES) -> Market:
    """The made market of the day; making one takes a while, so each is made once."""
    return LateMarket(SEED, session(), episodes=episodes)


@cache
def whole_market() -> Market:
    """The same with all of its morning."""
    return Market(SEED, session(), episodes=EPISODES)


def settings(vendor: LoopbackMarket, pushover: LoopbackPushover, folder: Path, **changes: Any) -> Settings:
    """Settings that point at the loopback."""
    values: dict[str, Any] = {
        "polygon_api_key": SecretStr(KEY),
        "pushover_token": SecretStr(TOKEN),
        "pushover_user_key": SecretStr(USER),
        "polygon_rest_url": vendor.rest_url,
        "polygon_ws_url": vendor.ws_url,
        "pushover_url": pushover.url,
        "data_dir": folder / "data",
        "log_file": folder / "worker.log",
        "daily_summary": False,
        "pictures": False,
    }
    return Settings(**{**values, **changes})


class Stage:
    """A running worker, and what surrounds it."""

    def __init__(
        self,
        worker: Worker,
        vendor: LoopbackMarket,
        pushover: LoopbackPushover,
        clock: ScaledClock,
        own: ScaledClock,
    ) -> None:
        self.worker = worker
        self.own = own
        """The worker's clock; ``clock`` has the true time."""
        self.vendor = vendor
        self.pushover = pushover
        self.clock = clock
        self.began = clock.now()
        self.running = asyncio.create_task(worker.run(), name="worker")

    def titles(self, word: str = "") -> list[str]:
        """Titles of the pushes accepted so far that contain a word."""
        return [message.title for message in self.pushover.messages if word in message.title]

    @property
    def market_s(self) -> float:
        """Market seconds since the beginning."""
        return (self.clock.now() - self.began) / SECOND

    async def until(self, holds: Callable[[], Any], seconds: float, what: str = "") -> None:
        """Wait until something holds, at most that many market seconds, and as long as a busy machine may need.

        Fails when it does not, or the worker ends.
        """
        end, real_end = self.market_s + seconds, time.monotonic() + BUSY_REAL_S
        while not holds():
            assert not self.running.done(), f"the worker ended: {self.running}"
            is_over = self.market_s >= end and (is_virtual() or time.monotonic() >= real_end)
            assert not is_over, f"not within {seconds:g} market seconds: {what}; {self.titles()}"
            await asyncio.sleep(0.15 if self.clock.speed == 1.0 else 0.005)

    async def wait(self, seconds: float) -> None:
        """Let market time pass."""
        await self.clock.sleep(seconds)

    async def stop(self) -> int:
        """Ask the worker to stop, and wait until it has."""
        self.worker.stop()
        return await self.running

    async def end(self) -> None:
        """End the worker, whatever it is doing."""
        if not self.running.done():
            self.worker.stop()
        await asyncio.wait([self.running], timeout=25)
        assert self.running.done(), "the worker did not stop"


def threads() -> Threads:
    """What the worker puts on the disk with: on virtual time nothing may run in another thread."""
    return inline if is_virtual() else DaemonThread


def clocks(begin: int, speed: float, wall_off: int = 0) -> tuple[ScaledClock, ScaledClock]:
    """The true time, and the worker's clock, whose wall clock is off (µs).

    They go with the loop's time where that is virtual, else at so many times the machine's pace.
    """
    if is_virtual():
        return LoopClock(begin), LoopClock(begin, wall_off)
    clock = PatientClock(begin, speed)
    return clock, PatientClock(clock.start, speed, clock.origin_ns, wall_off)


@asynccontextmanager
async def stage(
    folder: Path,
    *,
    start_s: float = BEGIN_S,
    speed: float = SPEED,
    episodes: tuple[Episode, ...] = EPISODES,
    plan: Plan | None = None,
    opener: Opener = DiskFile,
    transport: httpx.AsyncBaseTransport | None = None,
    prepare: Callable[[LoopbackMarket, LoopbackPushover], None] | None = None,
    wall_off_s: float = 0.0,
    made: Market | None = None,
    draw: Draw = drawn_apart,
    **changes: Any,
) -> AsyncIterator[Stage]:
    """A worker that starts ``start_s`` seconds after the open, on a wall clock that is off. Ends it in any case.

    ``made`` is another market than the one of ``episodes``, and ``draw`` makes the pictures, where they are on. It is longer
    than 40 lines because it lists all that a test may bring.
    """
    made = market(episodes) if made is None else made
    clock, own = clocks(session().open + round(start_s * SECOND), speed, round(wall_off_s * SECOND))
    async with (
        LoopbackMarket(made, clock, KEY, plan=plan) as vendor,
        LoopbackPushover(clock, TOKEN, USER) as pushover,
    ):
        if prepare is not None:
            prepare(vendor, pushover)
        worker = Worker(
            settings(vendor, pushover, folder, **changes),
            clock=own,
            random_source=random.Random(SEED),
            opener=opener,
            threads=threads(),
            transport=transport,
            draw=draw,
        )
        play = Stage(worker, vendor, pushover, clock, own)
        try:
            yield play
        finally:
            await play.end()
        verify_records(folder / "data")


def verify_records(data: Path) -> None:
    """Derive every decision of the day's records again. Raises at the first that comes out differently."""
    for path in records(data):
        if date_of(path) == session().date:  # others are what a test has laid there
            verify.check(path)
