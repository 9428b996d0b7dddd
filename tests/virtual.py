"""A clock that jumps to whatever is waited for next: hours pass in no time, and always in the same way."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

from events import SECOND

TURNS = 40
"""Turns of the loop in which everything that can go on without time passing has gone on."""


class VirtualClock:
    """Stands still until `until` or `wait` lets it go on."""

    speed = 1.0

    def __init__(self, start: int) -> None:
        self._now = start
        self._order = count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        """Now, in µs of UTC."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of this clock."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + round(seconds * SECOND), next(self._order), woken))
        await woken

    async def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Let time pass until something holds, at most so many seconds. Returns whether it does."""
        end = self._now + round(seconds * SECOND)
        while True:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if condition():
                return True
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)
            if not self._sleepers or self._sleepers[0][0] > end:
                self._now = max(self._now, end)
                return False
            self._now = max(self._now, self._sleepers[0][0])
            while self._sleepers and self._sleepers[0][0] <= self._now:
                woken = heapq.heappop(self._sleepers)[2]
                if not woken.done():
                    woken.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Let so many seconds pass."""
        await self.until(lambda: False, seconds)
