"""What every part of the worker shares: settings, the ways to the outside world, and the request to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
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
from worker.pictures import Pictures
from worker.start import Stage, StartEvent
from worker.starts import Starts

CLOSE_REAL_S = 2.0
"""Real seconds that closing REST's connections may take. Nothing depends on a clean close."""

Result = TypeVar("Result")


@dataclass
class Context:
    """One for the whole worker. Tests and the demo pass their own clock, randomness, opener, threads,
    transport, dial and process id."""

    settings: Settings
    rules: Rules
    """The settings' rules, made once: a session that keeps other rules is recognised by identity."""

    clock: KeptClock
    random_source: random.Random
    opener: Opener
    threads: Threads
    transport: httpx.AsyncBaseTransport | None
    dial: Dial | None
    inbox: Inbox
    sender: Sender
    pictures: Pictures
    starts: Starts
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the worker is asked to stop."""

    may_ask: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the start's stage allows requests to the vendors besides the stocks feed."""

    stage: Stage = Stage.BEGUN

    pid: int = field(default_factory=os.getpid)
    """The process's id, as records show it."""

    @property
    def is_settled(self) -> bool:
        """Returns whether what earlier starts left is settled, so that only sessions follow."""
        return self.stage in start.IS_SETTLED

    def advance(self, event: StartEvent) -> None:
        """Moves the start to its next stage. Raises KeyError for an event that cannot happen in the present one."""
        self.stage = start.after(self.stage, event)
        if self.stage in start.MAY_ASK:
            self.may_ask.set()

    def rest(self, rules: Rules | None = None) -> VendorClient:
        """Returns a client of the vendor's REST. Close it with `close_rest`. ``rules``: see `vendor_client`."""
        settings = self.settings
        key = settings.polygon_api_key.get_secret_value()
        return vendor_client(
            settings.polygon_rest_url, key, self.clock, self.transport, rules=rules, threads=self.threads
        )

    async def unless_stopping(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """Returns the result of ``work``; None if the worker is asked to stop first: a slow disk must not delay a stop."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stop.cancel()
            task.cancel()


async def close_rest(rest: VendorClient) -> None:
    """Closes REST's connections. Ignores failures, and gives up after `CLOSE_REAL_S`."""
    with contextlib.suppress(OSError, httpx.HTTPError):  # TimeoutError is an OSError
        async with asyncio.timeout(CLOSE_REAL_S):
            await rest.aclose()
