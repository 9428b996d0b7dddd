"""The worker in a process of its own, wired as `main.py` does it, on a soak's clock: ``python -m tests.soak.worker``.

It says `READY` once everything is imported, and begins when it reads a `Told`, a line of JSON. Beside the worker runs a task that
says once a second, into a pipe, how many other tasks there are and how late its loop was: nobody could see that from outside.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr

import entry
import logger
import main
from config import Settings
from tests.soak.clock import SoakClock, Step, Times
from tests.spawned import READY

SECRETS = ("polygon_api_key", "pushover_token", "pushover_user_key")

LOOK_S = 0.05
"""Real seconds between two looks at the loop's lag."""


class Told(msgspec.Struct, frozen=True):
    """What a worker's process is told: its clock, its settings, and the pipe into which it says how its loop does."""

    times: Times
    steps: tuple[Step, ...]
    settings: dict[str, str | bool]
    pipe: int


class Loop(msgspec.Struct, frozen=True):
    """How the loop did in one real second: the other tasks now, and how late (ms) each look at it was."""

    tasks: int
    lags: tuple[float, ...]


async def gauge(pipe: int) -> None:
    """Says once a second how the loop does. A pipe that is full loses a line."""
    loop, lags = asyncio.get_running_loop(), list[float]()
    said_at = loop.time()
    while True:
        began = loop.time()
        await asyncio.sleep(LOOK_S)
        now = loop.time()
        lags.append(round((now - began - LOOK_S) * 1000, 1))
        if now - said_at >= 1:
            line = msgspec.json.encode(Loop(len(asyncio.all_tasks()) - 1, tuple(lags))) + b"\n"
            lags, said_at = [], now
            try:
                os.write(pipe, line)
            except BlockingIOError:
                continue


async def work(told: Told) -> int:
    """Runs the worker as `main.work` does, watched by `gauge`. Returns its exit status."""
    values: dict[str, Any] = {
        key: SecretStr(str(value)) if key in SECRETS else value for key, value in told.settings.items()
    }
    settings = Settings(**values)
    clock = SoakClock(told.times, told.steps)
    logger.setup(
        level=settings.log_level,
        log_format=settings.log_format,
        log_file=Path(settings.log_file),
        secrets=settings.secrets(),
        clock=clock.now,
    )
    os.set_blocking(told.pipe, False)
    gauging = asyncio.create_task(gauge(told.pipe), name="gauge")
    try:
        return await main.work(settings, clock)
    finally:
        gauging.cancel()
        logger.close()


if __name__ == "__main__":
    print(READY, flush=True)
    status = asyncio.run(work(msgspec.json.decode(sys.stdin.readline(), type=Told)))
    entry.let_go()
    sys.exit(status)
