"""The worker in a process of its own that a test may kill, on the test's scaled clock: ``python -m tests.worker.process``.

It says `READY` once everything is imported, and begins when it reads what to do, a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from typing import Any

from pydantic import SecretStr

import logger
from config import Settings
from tests.spawned import READY
from tests.worker.death import Death, MortalTransport
from utils import ScaledClock
from worker.watchdog import Watchdog
from worker.worker import Worker

SECRETS = ("polygon_api_key", "pushover_token", "pushover_user_key")


def end() -> None:
    """Ends this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


async def work(told: dict[str, Any]) -> int:
    """Run a worker with the settings and the clock that were told."""
    clock = ScaledClock(told["start"], told["speed"], told["origin_ns"])
    values: dict[str, Any] = {
        key: SecretStr(value) if key in SECRETS else value for key, value in told["settings"].items()
    }
    settings = Settings(**values)
    logger.setup(
        level="DEBUG", log_format="console", log_file=None, secrets=settings.secrets(), clock=clock.now
    )
    moment, push = told["death"]
    death = Death(moment, push, end)
    worker = Worker(
        settings,
        clock=clock,
        random_source=random.Random(told["seed"]),
        opener=death.opener,
        transport=MortalTransport(death),
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop)
    with Watchdog(loop, limit_s=told["watchdog_s"]):
        return await worker.run()


if __name__ == "__main__":
    print(READY, flush=True)
    sys.exit(asyncio.run(work(json.loads(sys.stdin.readline()))))
