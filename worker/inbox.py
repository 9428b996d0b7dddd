"""One bounded queue of facts, with one consumer."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Coroutine, Sequence
from typing import Any

from events import Bar, Event, Quote

INBOX_MAX = 10_000
"""Facts that may wait for the engine: about ten seconds of the busiest feed. More is an overflow."""


class Inbox:
    """One bounded queue of facts with one consumer. Facts that must not be lost are taken beyond the bound."""

    def __init__(self) -> None:
        self._facts: collections.deque[Event] = collections.deque()
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        """Cleared once the inbox is full, set when half of it is free again."""
        self._has_room.set()

    @property
    def is_full(self) -> bool:
        """Whether facts that can be had again are refused."""
        return len(self._facts) >= INBOX_MAX

    def offer(self, events: Sequence[Event]) -> bool:
        """Put facts in at once if there is room for all; else returns False, and they are to be put one by one."""
        if not self._has_room.is_set() or len(self._facts) + len(events) >= INBOX_MAX:
            return False
        self._facts += events
        self._arrived.set()
        return True

    async def put(self, event: Event) -> bool:
        """Put a fact in; returns False when it overflows. Backfill waits for room: it is in no hurry."""
        if not self._has_room.is_set():
            if isinstance(event, Bar) and event.backfilled:
                await self._has_room.wait()
            elif isinstance(event, (Bar, Quote)) and self.is_full:
                return False
        self.put_now(event)
        return True

    def put_now(self, event: Event) -> None:
        """Put a fact in that is never dropped: outcomes, holds, the shutdown."""
        self._facts.append(event)
        self._arrived.set()
        if len(self._facts) >= INBOX_MAX:
            self._has_room.clear()

    async def get(self) -> Event:
        """The oldest fact."""
        while not self._facts:
            self._arrived.clear()
            await self._arrived.wait()
        return self._take()

    async def get_within(self, nap: Coroutine[Any, Any, None]) -> Event | None:
        """The oldest fact, or None when none has come before ``nap`` is over."""
        waiting = (asyncio.ensure_future(nap), asyncio.ensure_future(self._arrived.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return self.next()

    def next(self) -> Event | None:
        """The oldest fact, or None when there is none just now."""
        if not self._facts:
            self._arrived.clear()
            return None
        return self._take()

    def _take(self) -> Event:
        event = self._facts.popleft()
        if not self._has_room.is_set() and len(self._facts) <= INBOX_MAX // 2:
            self._has_room.set()
        return event
