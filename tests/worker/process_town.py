"""A town whose worker is a process of its own, on a scaled clock: it is killed as any process is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import main
from events import SECOND
from sim.demo import SEED
from tests.measured import measured
from tests.stage import BEGIN_S, KEY, SPEED, TOKEN, USER
from tests.worker.process import READY
from tests.worker.town import Town, begin, opened_town
from utils import ScaledClock
from worker.watchdog import WATCHDOG_REAL_S

ROOT = Path(main.__file__).parent

START_REAL_S = 15.0
"""Real seconds that a worker is given to start and to say something, whatever the clock's speed."""


async def spawn(output: Path) -> asyncio.subprocess.Process:
    """A worker's process that has imported everything and waits to be told what to do."""
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.worker.process"),
            cwd=ROOT,
            env={**os.environ, **measured()},
            stdin=asyncio.subprocess.PIPE,
            stdout=file,
            stderr=file,
        )
    async with asyncio.timeout(4 * START_REAL_S):
        while not text_of(output).startswith(READY):
            assert process.returncode is None, text_of(output)
            await asyncio.sleep(0.01)
    return process


def text_of(output: Path) -> str:
    return output.read_text(encoding="utf-8")


class ProcessTown(Town):
    """The loopback market and Pushover in this process, and a worker in another."""

    process: asyncio.subprocess.Process | None = None
    spawned: asyncio.subprocess.Process | None = None
    """The first worker: no market time passes while it is imported."""

    def __init__(self, *surroundings: Any) -> None:
        super().__init__(*surroundings)
        self.outputs: list[Path] = []

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
        output = self.folder / f"output-{len(self.outputs)}.txt"
        self.outputs.append(output)
        self.process = self.spawned or await spawn(output)
        self.spawned = None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told).encode() + b"\n")

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def died(self) -> None:
        assert self.process is not None
        await asyncio.wait_for(self.process.wait(), 60)
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
        for process in (self.process, self.spawned):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()


@asynccontextmanager
async def process_town(
    folder: Path, start_s: float = BEGIN_S, speed: float = SPEED
) -> AsyncIterator[ProcessTown]:
    """A town that begins so many seconds after the open; its first worker is imported before."""
    spawned = await spawn(folder / "output-0.txt")
    try:
        async with opened_town(ProcessTown, folder, ScaledClock(begin(start_s), speed)) as place:
            place.spawned = spawned
            yield place
    finally:
        if spawned.returncode is None:
            spawned.kill()
            await spawned.wait()
