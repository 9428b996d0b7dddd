"""What the parts of one sender share. No part knows the sender itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from delivery.pending import Outbox
from events import Event
from utils import Clock, steady_of


class Shared:
    """The clock, the outbox, where facts are reported, and the events that wake waiting tasks.

    ``report`` is called with every fact of a delivery. ``ask_of`` returns a contract's newest ask in option price units, or
    None.
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
        """Set by everything that may let a stop end its wait."""
        self.gave_up: Callable[[str], None] = lambda _: None
        self.has_ended = False
        """Whether `Sender.run` has ended, so that nothing is sent any more."""
        self._wakes = {True: asyncio.Event(), False: asyncio.Event()}

    def wake_of(self, urgent: bool) -> asyncio.Event:
        """Returns the event that wakes the urgent lane, or the other one."""
        return self._wakes[urgent]

    def wake(self, urgent: bool) -> None:
        """Makes a lane check the outbox again."""
        self._wakes[urgent].set()
