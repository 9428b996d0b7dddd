"""A lane delivers alerts, one after the other. SELLs and safety pushes have a lane of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from delivery import outbox
from delivery.pending import Pending
from delivery.shared import Shared
from events import SECOND


class Lane:
    """Passes the most important alert that is due to ``attempt``. An alert that waits for its next attempt blocks no other."""

    def __init__(self, shared: Shared, urgent: bool, attempt: Callable[[Pending], Awaitable[None]]) -> None:
        self._shared = shared
        self._urgent = urgent
        self._attempt = attempt

    async def run(self) -> None:
        """Delivers until cancelled."""
        clock, entries, wake = self._shared.clock, self._shared.outbox, self._shared.wake_of(self._urgent)
        while True:
            wake.clear()
            entry = entries.next(self._urgent, clock.now())
            if entry is not None and (left := self._pause_left(entry)) > 0:
                entry.due = clock.now() + left
                continue
            if entry is not None:
                await self._attempt(entry)
                self._shared.changed.set()
                continue
            waiting = entries.waiting(self._urgent)
            await self._rest(wake, min((e.due for e in waiting), default=None))

    def _pause_left(self, entry: Pending) -> int:
        """Returns how much is left (µs) of the service's least pause since the last attempt. No clock step shortens it."""
        if entry.begun_at is None:
            return 0
        return entry.begun_at + outbox.RETRY_LEAST_S * SECOND - self._shared.steady()

    async def _rest(self, wake: asyncio.Event, until: int | None) -> None:
        """Waits for ``wake``, or until the time ``until`` (µs) if there is one."""
        if until is None:
            await wake.wait()
            return
        clock = self._shared.clock
        seconds = max(0, until - clock.now()) / SECOND
        waits = {
            asyncio.ensure_future(wake.wait()),
            asyncio.ensure_future(clock.sleep(seconds)),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
