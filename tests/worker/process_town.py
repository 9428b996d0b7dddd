"""A town whose worker is a process of its own, on a scaled clock: it is killed as any process is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import main
from events import SECOND
from sim.demo import SEED
from tests.spawned import spawn
from tests.stage import BEGIN_S, KEY, SPEED, TOKEN, USER
from tests.worker.town import Town, begin, opened_town
from utils import ScaledClock
from worker.watchdog import WATCHDOG_REAL_S

ROOT = Path(main.__file__).parent

CALM_LOAD = 2.0
"""How many may be ready to run for each processor, on average of a minute, before a town's clock goes more slowly."""

DEATH_REAL_S = 300.0
"""Real seconds in which a worker has come to its death."""

START_REAL_S = 15.0
"""Real seconds that a worker is given to start and to say something, whatever the clock's speed."""


async def spawn_worker(output: Path) -> asyncio.subprocess.Process:
    """A worker's process that has imported everything and waits to be told what to do."""
    return await spawn("tests.worker.process", output, 4 * START_REAL_S)


def output_of(folder: Path, number: int) -> Path:
    """Where that worker prints to, counted from 0."""
    return folder / f"output-{number}.txt"


def text_of(output: Path) -> str:
    return output.read_text(encoding="utf-8")


class ProcessTown(Town):
    """The loopback market and Pushover in this process, and a worker in another."""

    process: asyncio.subprocess.Process | None = None

    def __init__(self, *surroundings: Any) -> None:
        super().__init__(*surroundings)
        self.outputs: list[Path] = []
        self.spawned: list[asyncio.subprocess.Process] = []
        """The workers to come: no market time passes while they are imported."""

    async def start(
        self, death: tuple[str, str] = ("", ""), watchdog_s: float = WATCHDOG_REAL_S, **changes: Any
    ) -> None:
        told = {
            "start": self.clock.start,
            "speed": self.clock.speed,
            "origin_ns": self.clock.origin_ns,
            "seed": SEED,
            "death": death,
            "watchdog_s": watchdog_s,
            "settings": {
                "polygon_api_key": KEY,
                "pushover_token": TOKEN,
                "pushover_user_key": USER,
                "polygon_rest_url": self.vendor.rest_url,
                "polygon_ws_url": self.vendor.ws_url,
                "pushover_url": self.pushover.url,
                "data_dir": str(self.folder / "data"),
                "daily_summary": False,
                "pictures": False,
                **changes,
            },
        }
        output = output_of(self.folder, len(self.outputs))
        self.outputs.append(output)
        self.process = self.spawned.pop(0) if self.spawned else await spawn_worker(output)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told).encode() + b"\n")

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def died(self) -> None:
        assert self.process is not None
        await asyncio.wait_for(self.process.wait(), DEATH_REAL_S)
        assert self.process.returncode == -signal.SIGKILL, self.said()

    async def ended(self) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), 20)

    async def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 25)

    async def until(self, holds: Callable[[], Any], seconds: float, what: str) -> None:
        """Wait until something holds, at most that many market seconds, and as long as a busy machine may need."""
        end, real_end = self.clock.now() + round(seconds * SECOND), time.monotonic() + START_REAL_S
        while not holds():
            assert self.process is not None
            assert self.process.returncode is None, f"the worker ended: {self.said()}"
            is_over = self.clock.now() >= end and time.monotonic() >= real_end
            assert not is_over, f"not within {seconds:g} market seconds: {what}\n{self.said()}"
            await asyncio.sleep(0.01)

    def texts(self) -> list[str]:
        return [text_of(path) for path in self.outputs]

    async def close(self) -> None:
        if self.process is not None:
            await end(self.process)


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def bearable(speed: float) -> float:
    """How many times the machine's pace a worker can bear now: on a busy machine one that is too fast sees gaps and lags."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return speed / max(1.0, load / CALM_LOAD)


@asynccontextmanager
async def process_town(
    folder: Path, start_s: float = BEGIN_S, speed: float = SPEED, *, lives: int = 2
) -> AsyncIterator[ProcessTown]:
    """A town that begins so many seconds after the open; so many of its workers are imported before."""
    spawned: list[asyncio.subprocess.Process] = []
    try:
        for number in range(lives):
            spawned.append(await spawn_worker(output_of(folder, number)))
        async with opened_town(ProcessTown, folder, ScaledClock(begin(start_s), bearable(speed))) as place:
            place.spawned = list(spawned)
            yield place
    finally:
        for process in spawned:
            await end(process)
