"""Plays a soak: the loopback market and Pushover in this process, the worker in another, and a fault every 30 s."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from record.folder import record_path
from sim.market import Market
from sim.push_account import MONTHLY_QUOTA, Message
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.soak.clock import SoakClock, Times, seconds
from tests.soak.draw import Fault, Kind, Plan, episodes
from tests.soak.lives import Life, Lives, Sample
from tests.soak.worker import Told
from tests.stage import KEY, TOKEN, USER

TAP_S = 20
"""Market seconds after which the owner taps an emergency push."""

QUOTA_BACK_S = 90
"""Market seconds after which a spent quota is full again."""

SAMPLE_REAL_S = 1.0

PORT_REAL_S = 10.0
"""Real seconds in which the market's port is free again after a night."""


@dataclass(slots=True)
class Seen:
    """What a soak has seen."""

    plan: Plan
    folder: Path
    speed: float
    lives: list[Life]
    samples: list[Sample] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    done: list[Fault] = field(default_factory=list)
    """The faults that were brought."""
    fired: Counter[str] = field(default_factory=Counter)
    """How often each fault really happened, by its name or its kind."""
    stops: list[tuple[int, int]] = field(default_factory=list)
    """From when to when the worker was stopped by SIGSTOP, µs of UTC."""
    connects: Counter[str] = field(default_factory=Counter)
    awake: int = 0
    """How far it came, µs of the days."""
    real_s: float = 0.0
    late_s: float = 0.0
    """The longest that this process's own loop was late, real seconds: its own doing, not the worker's."""

    @property
    def data(self) -> Path:
        """The worker's folder."""
        return self.folder / "data"


class Soak:
    """One run. ``shown`` is called with what was seen, once a real second; after `stop` it ends with what it has."""

    def __init__(self, plan: Plan, folder: Path, speed: float, shown: Callable[[Seen], None]) -> None:
        self._plan, self._shown = plan, shown
        self._stop = asyncio.Event()
        self._times: Times = plan.times(speed)
        self._clock = SoakClock(self._times)
        self._pushover = LoopbackPushover(self._clock, TOKEN, USER, self._accepted)
        self._vendor: LoopbackMarket | None = None
        self._lives = Lives(folder, self._told, self._awake, plan.deaths)
        self._tasks: set[asyncio.Task[None]] = set()
        self._going_down = asyncio.Lock()
        self.seen = Seen(plan, folder, speed, self._lives.all)

    def stop(self) -> None:
        """Ends the run with what it has."""
        self._stop.set()

    async def run(self) -> Seen:
        """Plays all of it, and returns what was seen."""
        seen, began = self.seen, time.monotonic()
        market = await self._made(0)
        await self._lives.prepare()
        self._begin()
        try:
            async with self._pushover, self._serving(market):
                self._spawn(self._lives.run())
                self._spawn(self._sample())
                self._spawn(self._bring_all())
                await self._play_days()
                seen.awake = min(self._clock.awake(), self._plan.awake)
                await self._lives.stop()
                self._count()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._lives.close()
            seen.messages = self._pushover.messages
            seen.real_s = time.monotonic() - began
        return seen

    # --- Days ---

    def _begin(self) -> None:
        """The market's time begins to pass."""
        self._times = msgspec.structs.replace(self._times, origin_ns=time.monotonic_ns())
        self._clock = SoakClock(self._times)
        self._pushover.clock = self._clock

    async def _made(self, number: int) -> Market:
        """Makes a day's market beside the loop."""
        day, seed = self._plan.days[number], self._plan.seed * 1_000 + number
        return await asyncio.to_thread(
            lambda: Market(seed, day.session, episodes=episodes(random.Random(seed)))
        )

    @contextlib.asynccontextmanager
    async def _serving(self, market: Market) -> AsyncIterator[None]:
        """Serves the first day. The market of a day is closed when the next one's opens, at the same port."""
        self._vendor = await LoopbackMarket(market, self._clock, KEY).__aenter__()
        try:
            yield
        finally:
            self._count()
            await self._vendor.__aexit__(None, None, None)

    async def _play_days(self) -> None:
        """Waits for the end of each day, and opens the next one's market."""
        end = 0
        for number, day in enumerate(self._plan.days):
            end += day.end - day.begin
            if number + 1 == len(self._plan.days):
                break
            if not await self._until(end - seconds(60)):
                return
            market = await self._made(number + 1)
            await self._open_next(market)
        await self._until(end)

    async def _open_next(self, market: Market) -> None:
        assert self._vendor is not None
        port = int(self._vendor.rest_url.rpartition(":")[2])
        self._count()
        await self._vendor.__aexit__(None, None, None)
        self._vendor = await LoopbackMarket(market, self._clock, KEY, port=port).__aenter__()

    def _count(self) -> None:
        """Adds up what the day's market saw."""
        assert self._vendor is not None
        self.seen.fired += self._vendor.faults.fired
        self.seen.connects.update({name: len(at) for name, at in self._vendor.connects.items()})
        self._vendor.faults.fired.clear()
        for times in self._vendor.connects.values():
            times.clear()

    async def _until(self, at: int) -> bool:
        """Waits until ``at`` (µs of the days). Returns False if the run is to end before."""
        while not self._stop.is_set() and (left := at - self._clock.awake()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), min(left / 1e6 / self._times.speed, 1.0))
        return not self._stop.is_set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        """A task of the soak that fails ends the run: what it should have done would be missing without a word."""
        if not task.cancelled() and task.exception() is not None:
            self._stop.set()

    def failures(self) -> list[BaseException]:
        """What the soak's own tasks have raised."""
        return [
            error
            for task in self._tasks
            if task.done() and not task.cancelled() and (error := task.exception())
        ]

    # --- The worker ---

    def _told(self, pipe: int) -> Told:
        """What a process of the worker is told."""
        assert self._vendor is not None
        return Told(
            self._times,
            self._plan.steps,
            {
                "polygon_api_key": KEY,
                "pushover_token": TOKEN,
                "pushover_user_key": USER,
                "polygon_rest_url": self._vendor.rest_url,
                "polygon_ws_url": self._vendor.ws_url,
                "pushover_url": self._pushover.url,
                "data_dir": str(self.seen.data),
                "log_file": str(self.seen.folder / "worker.log"),
                "log_level": "DEBUG",
            },
            pipe,
        )

    async def _sample(self) -> None:
        """Looks at the worker's process once a second."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(SAMPLE_REAL_S)
            self.seen.late_s = max(self.seen.late_s, loop.time() - began - SAMPLE_REAL_S)
            at = self.seen.awake = self._clock.awake()
            life = self._lives.now
            if life is not None and life.began and (sample := life.look(at, self._day(at))) is not None:
                self.seen.samples.append(sample)
            self._shown(self.seen)

    def _awake(self) -> int:
        return self._clock.awake()

    def _day(self, at: int) -> int:
        return sum(night.at <= at for night in self._plan.nights)

    # --- The phone ---

    def _accepted(self, message: Message) -> None:
        if message.receipt:
            self._spawn(self._tap(message.receipt))

    async def _tap(self, receipt: str) -> None:
        await self._clock.sleep(TAP_S)
        self._pushover.acknowledge(receipt)

    # --- Faults ---

    async def _bring_all(self) -> None:
        for fault in self._plan.faults:
            if not await self._until(fault.at):
                return
            self.seen.done.append(fault)
            self._bring(fault)
        if self._vendor is not None:  # what has hit nothing by now would disturb the calm end
            self._vendor.faults.clear()

    def _bring(self, fault: Fault) -> None:
        assert self._vendor is not None
        life = self._lives.now
        if fault.kind is not Kind.MARKET and (life is not None or fault.kind in (Kind.PUSH, Kind.PUSH_DOWN)):
            self.seen.fired[fault.kind.value] += 1
        match fault.kind:
            case Kind.MARKET:
                lasts = fault.seconds or None
                self._vendor.faults.add(fault.name, seconds=lasts, **fault.options)
            case Kind.PUSH:
                self._pushover.answers.append(fault.name)
                self._spawn(self._take_back(fault))
                if "429" in fault.name:
                    self._spawn(self._refill())
            case Kind.PUSH_DOWN:
                self._spawn(self._push_down(fault))
            case Kind.KILL | Kind.TERMINATE if life is not None:
                life.signal(signal.SIGCONT)
                life.end(signal.SIGKILL if fault.kind is Kind.KILL else signal.SIGTERM)
            case Kind.STOP if life is not None:
                self._spawn(self._stopped(fault, life))
            case Kind.DISK if life is not None:
                self._spawn(self._full(fault, life))
            case _:  # the clock's steps are the worker's own, and nothing can be done to a process that is not there
                return

    async def _take_back(self, fault: Fault) -> None:
        """No push may have come: then the fault has hit nothing, and must not wait for the next SELL with all others."""
        await self._clock.sleep(fault.seconds)
        if fault.name in self._pushover.answers:
            self._pushover.answers.remove(fault.name)
            self.seen.fired[Kind.PUSH.value] -= 1

    async def _refill(self) -> None:
        await self._clock.sleep(QUOTA_BACK_S)
        self._pushover.remaining = MONTHLY_QUOTA

    async def _push_down(self, fault: Fault) -> None:
        async with self._going_down:  # one that is drawn meanwhile comes after it
            await self._pushover.down()
            await self._clock.sleep(fault.seconds)
            await self._pushover.up()

    async def _stopped(self, fault: Fault, life: Life) -> None:
        began = self._clock.now()
        life.signal(signal.SIGSTOP)
        await self._clock.sleep(fault.seconds)
        life.signal(signal.SIGCONT)
        self.seen.stops.append((began, self._clock.now()))

    async def _full(self, fault: Fault, life: Life) -> None:
        day = self._plan.days[self._day(self._clock.awake())].session
        record = record_path(self.seen.data, day.date)
        life.limit_files(record.stat().st_size if record.exists() else 0)
        await self._clock.sleep(fault.seconds)
        life.limit_files(-1)
