"""What a soak has seen, its clock, and the tasks that it consists of."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from events import SECOND
from sim.push_account import Message
from tests.soak.clock import SoakClock
from tests.soak.draw import Fault, Plan
from tests.soak.lives import Life, Sample

WAIT_REAL_S = 1.0


@dataclass(slots=True)
class Seen:
    """What a soak has seen."""

    plan: Plan
    folder: Path
    speed: float
    lives: list[Life] = field(default_factory=list)
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


class Ground:
    """What the parts of a soak share: its time, what was seen, its tasks, and whether it is to end."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.begin()

    def begin(self) -> None:
        """The market's time begins to pass."""
        plan, speed = self.seen.plan, self.seen.speed
        self.times = msgspec.structs.replace(plan.times(speed), origin_ns=time.monotonic_ns())
        self.clock = SoakClock(self.times)

    def awake(self) -> int:
        """Returns how far the soak is, µs of the days."""
        return self.clock.awake()

    def day(self) -> int:
        """Returns which day it is, from 0."""
        return sum(night.at <= self.awake() for night in self.times.nights)

    async def until(self, at: int) -> bool:
        """Waits until ``at`` (µs of the days). Returns False if the run is to end before."""
        while not self.stop.is_set() and (left := at - self.awake()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), min(left / SECOND / self.times.speed, WAIT_REAL_S))
        return not self.stop.is_set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task of the soak."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        """A task that fails ends the run: what it should have done would be missing without a word."""
        if not task.cancelled() and task.exception() is not None:
            self.stop.set()

    async def end(self) -> None:
        """Ends every task."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def failures(self) -> list[BaseException]:
        """Returns what the tasks have raised."""
        done = [task for task in self._tasks if task.done() and not task.cancelled()]
        return [error for task in done if (error := task.exception()) is not None]
