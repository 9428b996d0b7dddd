"""What every part of the worker is handed: settings, what stands for the outside, and the stop that was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from config import Settings
from delivery.sender import Sender
from feeds.vendor import Dial, VendorClient
from polygon_client import vendor_client
from record.disk import Opener
from rules import Rules
from threads import Threads
from utils import KeptClock
from worker import start
from worker.inbox import Inbox
from worker.start import Stage, Step

CLOSE_REAL_S = 2.0
"""Real seconds that closing REST's connections may take: nothing depends on it but politeness."""

Result = TypeVar("Result")


@dataclass
class Context:
    """One for the whole worker. Tests and the demo bring a clock, randomness, a file opener, threads, an HTTP transport and a dial of their own."""

    settings: Settings
    rules: Rules
    """The rules that the settings make, once: whether a session keeps other ones is asked by identity."""

    clock: KeptClock
    random_source: random.Random
    opener: Opener
    threads: Threads
    transport: httpx.AsyncBaseTransport | None
    dial: Dial | None
    inbox: Inbox
    sender: Sender
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the worker is asked to stop."""

    may_ask: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the start's stage lets the vendors be asked."""

    stage: Stage = Stage.BEGUN

    @property
    def is_settled(self) -> bool:
        """Returns whether what earlier starts have left is settled, and sessions follow one another."""
        return self.stage in start.IS_SETTLED

    def advance(self, step: Step) -> None:
        """Moves the start on. Raises KeyError for a step that cannot come."""
        self.stage = start.after(self.stage, step)
        if self.stage in start.MAY_ASK:
            self.may_ask.set()

    def rest(self, rules: Rules | None = None) -> VendorClient:
        """Returns a client of the vendor's REST, to be closed by `close_rest`. ``rules``: see `vendor_client`."""
        settings = self.settings
        key = settings.polygon_api_key.get_secret_value()
        return vendor_client(
            settings.polygon_rest_url, key, self.clock, self.transport, rules=rules, threads=self.threads
        )

    async def unless_stopping(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """Returns what ``work`` comes to; None once asked to stop: a disk that does not answer must not hold a stop."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stop.cancel()
            task.cancel()


async def close_rest(rest: VendorClient) -> None:
    """Closes REST's connections. What fails in it, or takes too long, matters to nobody any more."""
    with contextlib.suppress(OSError, httpx.HTTPError):  # TimeoutError is an OSError
        async with asyncio.timeout(CLOSE_REAL_S):
            await rest.aclose()
