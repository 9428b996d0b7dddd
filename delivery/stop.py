"""A stop hurries the alerts that are still undelivered, waits for them, and logs those that are left."""

from __future__ import annotations

import asyncio

import structlog

from delivery import outbox
from delivery.account import Account
from delivery.beside import Beside
from delivery.pending import Pending
from delivery.shared import Shared
from events import SECOND
from messages.alert import Alert
from utils import number_text

log = structlog.get_logger("alerts")

DRAIN_SHARE = 0.3
"""The share of a stop's time after which undelivered alerts go to the side channels, too."""


class Stop:
    """Waits until everything is delivered, for as long as the host allows."""

    def __init__(self, shared: Shared, account: Account, beside: Beside) -> None:
        self._shared = shared
        self._account = account
        self._beside = beside

    async def drain(self, seconds: float) -> None:
        """Waits until everything is delivered, at most ``seconds`` (real), or until no attempt falls into that time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        for entry in tuple(self._shared.outbox.entries):
            if entry.attempts:
                self._beside.tell(entry)  # it has failed before, and there is no time for more failures
                self._hurry(entry, seconds)
        self._account.stop()
        soon = loop.call_later(seconds * DRAIN_SHARE, self._beside.tell_rest)
        try:
            async with asyncio.timeout_at(end):
                while self._works_within(end - loop.time()) or self._beside.tell_rest():
                    self._shared.changed.clear()
                    await self._shared.changed.wait()
        except TimeoutError:
            log.warning(
                "drain_timed_out", text=f"⏱️ Alerts not sent within {number_text(seconds)} s", seconds=seconds
            )
        finally:
            soon.cancel()

    def _hurry(self, entry: Pending, seconds: float) -> None:
        """Advances the next attempt of a SELL if that fits into half of ``seconds`` (real): its pause of 30 s is too long."""
        if not entry.alert.persistent or entry.life.waits or entry.is_in_flight:
            return
        clock = self._shared.clock
        now = clock.now()
        due = outbox.due_once_taken(entry.life, now)
        if due <= now + int(seconds / 2 * clock.speed * SECOND):
            entry.due = min(entry.due, due)
            self._shared.wake(urgent=True)

    def _works_within(self, seconds: float) -> bool:
        """Returns whether something is being sent, or will be within so many real seconds."""
        clock = self._shared.clock
        end = clock.now() + int(seconds * clock.speed * SECOND)
        coming = (e.is_in_flight or e.due < end for e in self._shared.outbox.entries)
        is_asked = self._account.asks_before(end)
        return not self._shared.has_ended and (self._beside.is_busy or is_asked or any(coming))


def log_left(left: list[Alert]) -> None:
    """Logs every alert in ``left``, which the stop leaves undelivered."""
    for alert in left:
        text = f"🛑 Alert left unsent: {alert.title}"
        if alert.urgent:
            log.critical("sell_left_unsent", text=text, kind=alert.kind.value, id=alert.id)
        else:
            log.error("alert_left_unsent", text=text, kind=alert.kind.value, id=alert.id)
