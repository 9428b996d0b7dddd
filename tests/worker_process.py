"""The worker in a process of its own that a test may kill, on the test's scaled clock: ``python -m tests.worker_process JSON``."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from typing import Any

from pydantic import SecretStr

import logger
from config import Settings
from main import Worker
from utils import ScaledClock

SECRETS = ("polygon_api_key", "pushover_token", "pushover_user_key")


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
    worker = Worker(settings, clock=clock, random_source=random.Random(told["seed"]))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    return await worker.run()


if __name__ == "__main__":
    sys.exit(asyncio.run(work(json.loads(sys.argv[1]))))
