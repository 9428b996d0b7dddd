"""What the parts of one sender have in common. No part knows the sender itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from delivery.pending import Outbox
from events import Event
from utils import Clock, steady_of


class Shared:
    """The clock, the outbox, whom to tell of outcomes, and what wakes those who wait.

    ``report`` is given every fact of a delivery. ``ask_of`` answers a contract's newest ask in units of an option price,
    None when there is none.
    """

    def __init__(
        self, clock: Clock, report: Callable[[Event], None], ask_of: Callable[[str], int | None]
    ) -> None:
        self.clock = clock
        self.report = report
        self.ask_of = ask_of
        self.steady = steady_of(clock)
        self.outbox = Outbox()
        self.changed = asyncio.Event()
        """Set by all that may bring a stop nearer to its end."""
        self.gave_up: Callable[[str], None] = lambda _: None
        self.has_ended = False
        """Whether `Sender.run` has ended: nobody sends any more."""
        self._wakes = {True: asyncio.Event(), False: asyncio.Event()}

    def wake_of(self, urgent: bool) -> asyncio.Event:
        """What wakes the urgent lane, or the other one."""
        return self._wakes[urgent]

    def wake(self, urgent: bool) -> None:
        """Have a lane look at the outbox again."""
        self._wakes[urgent].set()
