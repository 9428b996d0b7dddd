"""A tick every second, and the event loop's lag: while it cannot keep up, entries are held."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence

from events import SECOND, Event, Hold, HoldReason, Tick
from utils import Clock

SAMPLE_REAL_S = 0.25
"""Real seconds between two samples of the lag. It may be measured too short by as much."""

KEEPS_UP_S = 5
"""Seconds, by the clock, for which the loop must have kept up before entries are released: one that is blocked again and
again is no better in between."""


class Ticks:
    """The ticks of one session. ``limit_s`` is how many real seconds the loop may be late."""

    def __init__(self, clock: Clock, limit_s: float) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._due = math.inf
        """When the present sample should be taken, in the loop's seconds."""
        self._late_at = 0
        """When the loop was late last, µs."""
        self._is_held = False

    def hold(self) -> Hold | None:
        """Returns the hold that begins because the present sample is overdue; None if none does.

        The session asks before each fact: after a block the facts that have waited come first, and must cause no entry.
        """
        # Real time, whatever the clock's speed, and even if it steps.
        if self._loop.time() - self._due <= self._limit_s:
            return None
        self._late_at = self._clock.now()
        if self._is_held:
            return None
        self._is_held = True
        return Hold(reason=HoldReason.LOOP_LAG, on=True)

    async def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """Yields a tick on every second, and the end of a hold. Begins one if no fact has come since the loop was late."""
        clock = self._clock
        while True:
            due = (clock.now() // SECOND + 1) * SECOND
            while (left := (due - clock.now()) / SECOND) > 0:
                wait = min(left, SAMPLE_REAL_S * clock.speed)
                self._due = self._loop.time() + wait / clock.speed
                await clock.sleep(wait)
                if (hold := self.hold()) is not None:
                    yield (hold,)
            if self._is_held and clock.now() - self._late_at >= KEEPS_UP_S * SECOND:
                self._is_held = False
                yield (Hold(reason=HoldReason.LOOP_LAG, on=False),)
            yield (Tick(),)
