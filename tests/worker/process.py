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

import httpx
from pydantic import SecretStr

import logger
from config import Settings
from record.disk import DiskFile
from utils import ScaledClock
from worker.watchdog import Watchdog
from worker.worker import Worker

READY = "ready"

SECRETS = ("polygon_api_key", "pushover_token", "pushover_user_key")


class Death:
    """Ends the process, as a power cut would, at one moment of one push (``buy`` or ``sell``).

    The moments: ``before fsync`` of the decision just written, ``before send`` of what is on the disk by then,
    ``before answer`` to what was sent, ``before outcome`` is written.
    """

    def __init__(self, moment: str, push: str) -> None:
        self._at = (moment, push)

    def comes(self, moment: str, push: str) -> None:
        """That moment is here for that push."""
        if (moment, push) == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingFile(DiskFile):
    """A record's file; the process may end before or after a decision is synced, or before an outcome is written."""

    death = Death("", "")
    decided = ""

    def write(self, data: bytes) -> int:
        for push, decision in (("buy", b'"type":"opened"'), ("sell", b'"type":"closed"')):
            if decision in data:
                self.decided = push
            if b'"type":"alertoutcome"' in data and f'"kind":"{push}"'.encode() in data:
                self.death.comes("before outcome", push)
        return super().write(data)

    def sync(self) -> None:
        self.death.comes("before fsync", self.decided)
        super().sync()
        self.death.comes("before send", self.decided)


class DyingTransport(httpx.AsyncHTTPTransport):
    """The ordinary transport; the process may end before the answer to a push is seen."""

    def __init__(self, death: Death) -> None:
        super().__init__()
        self._death = death

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("messages.json"):
            return await super().handle_async_request(request)
        push = next((word for word in ("BUY", "SELL") if word.encode() in request.content), "").lower()
        response = await super().handle_async_request(request)
        self._death.comes("before answer", push)
        return response


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
    death = DyingFile.death = Death(*told.get("death", ("", "")))
    worker = Worker(
        settings,
        clock=clock,
        random_source=random.Random(told["seed"]),
        opener=DyingFile,
        transport=DyingTransport(death),
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop)
    with Watchdog(loop, limit_s=told["watchdog_s"]):
        return await worker.run()


if __name__ == "__main__":
    print(READY, flush=True)
    sys.exit(asyncio.run(work(json.loads(sys.stdin.readline()))))
