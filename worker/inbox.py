"""One bounded queue of facts, with one consumer."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Coroutine, Sequence
from typing import Any

from events import Bar, Event, Quote

INBOX_MAX = 10_000
"""How many facts may wait for the engine: about ten seconds of the busiest feed. More is an overflow."""


class Inbox:
    """One bounded queue of facts with one consumer. Accepts facts that must not be lost even beyond the limit."""

    def __init__(self) -> None:
        self._facts: collections.deque[Event] = collections.deque()
        self._arrived = asyncio.Event()
        self._has_room = asyncio.Event()
        """Cleared once the inbox is full, set when half of it is free again."""
        self._has_room.set()

    @property
    def is_full(self) -> bool:
        """Returns whether it refuses facts that REST can bring again."""
        return len(self._facts) >= INBOX_MAX

    def offer(self, events: Sequence[Event]) -> bool:
        """Adds all facts if there is room for them. Else returns False: then the caller must `put` them one by one."""
        if not self._has_room.is_set() or len(self._facts) + len(events) >= INBOX_MAX:
            return False
        self._facts += events
        self._arrived.set()
        return True

    async def put(self, event: Event) -> bool:
        """Adds a fact. Returns False if the inbox overflows. A backfilled bar waits for room: it is in no hurry."""
        if not self._has_room.is_set():
            if isinstance(event, Bar) and event.backfilled:
                await self._has_room.wait()
            elif isinstance(event, (Bar, Quote)) and self.is_full:
                return False
        self.put_now(event)
        return True

    def put_now(self, event: Event) -> None:
        """Adds a fact even to a full inbox: outcomes, holds and the shutdown are never dropped."""
        self._facts.append(event)
        self._arrived.set()
        if len(self._facts) >= INBOX_MAX:
            self._has_room.clear()

    async def get(self) -> Event:
        """Waits for a fact and removes the oldest one."""
        while not self._facts:
            self._arrived.clear()
            await self._arrived.wait()
        return self._pop()

    async def get_within(self, nap: Coroutine[Any, Any, None]) -> Event | None:
        """Removes the oldest fact; returns None if none comes before ``nap`` is over."""
        waiting = (asyncio.ensure_future(nap), asyncio.ensure_future(self._arrived.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return self.next()

    def next(self) -> Event | None:
        """Removes the oldest fact; returns None if there is none now."""
        if not self._facts:
            self._arrived.clear()
            return None
        return self._pop()

    def _pop(self) -> Event:
        event = self._facts.popleft()
        if not self._has_room.is_set() and len(self._facts) <= INBOX_MAX // 2:
            self._has_room.set()
        return event
