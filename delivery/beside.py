"""Posts to the side channels what the push service does not accept. Nothing waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import structlog

from delivery.channel import SideChannel
from delivery.pending import Pending
from delivery.shared import Shared
from events import SECOND, AlertOutcome, Outcome
from messages.alert import text_at

log = structlog.get_logger("alerts")

UNANSWERED_S = 60
"""Seconds without an acceptance after which a SELL or safety push goes to the side channels, too."""

POST_DELAYS_S = (0, 5, 10)
"""Pauses before each attempt, seconds."""

CHECK_AFTER_S = 20
"""Seconds after the start until the addresses are checked: loading Apprise takes a second of the machine's time."""

OVERDUE_PAUSE_S = 1.0
"""Seconds between two checks for alerts that the push service has not accepted in time."""


class Beside:
    """Posts SELLs and safety pushes to every side channel that has an address, each alert once."""

    def __init__(self, shared: Shared, channels: Sequence[SideChannel]) -> None:
        self._shared = shared
        self._channels = [channel for channel in channels if channel.is_set]
        self._all = channels
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Returns whether a post is still under way."""
        return bool(self._tasks)

    async def run(self) -> None:
        """Posts what the push service has not accepted for 60 s, even while an answer is outstanding. Never ends by itself."""
        while True:
            now = self._shared.clock.now()
            for entry in self._shared.outbox.entries:
                if now - entry.taken_at >= UNANSWERED_S * SECOND and entry.alert.urgent:
                    self.tell(entry)
            await self._shared.clock.sleep(OVERDUE_PAUSE_S)

    async def check(self) -> None:
        """Say once in the log which address cannot be used. Later than the start, which must not wait for it."""
        await self._shared.clock.sleep(CHECK_AFTER_S)
        for channel in self._channels:
            if fault := await channel.fault():
                log.warning(
                    "second_channel_unusable",
                    text=f"⚠️ {channel.setting}: {fault}. Nothing can be sent there",
                )

    def tell(self, entry: Pending) -> bool:
        """Posts a SELL or safety push, once, and the all-clears that wait for it. Returns whether it is posted."""
        alert = entry.alert
        if not (alert.urgent or entry.follows is not None) or entry.is_told_elsewhere:
            return False
        entry.is_told_elsewhere = True
        outcome = AlertOutcome(kind=alert.kind, id=alert.id, outcome=Outcome.UNSENT, attempts=0)
        text = text_at(alert, self._shared.clock.now(), alert.repeat)
        is_posted = self.post(outcome, alert.title, text)
        for follower in self._shared.outbox.followers(entry):
            self.tell(follower)
        return is_posted

    def tell_rest(self) -> bool:
        """Posts every SELL and safety push that is still undelivered. Returns whether there was one."""
        if self._shared.has_ended:
            return False
        return any([self.tell(entry) for entry in self._shared.outbox.entries])

    def post(self, outcome: AlertOutcome, title: str, text: str) -> bool:
        """Posts a text to each side channel. Reports ``outcome`` with each result. Returns whether there is a channel."""
        for channel in self._channels:
            task = asyncio.create_task(
                self._post(channel, outcome, title, text), name="alerts-second-channel"
            )
            self._tasks.add(task)
            task.add_done_callback(self._forget)
        return bool(self._channels)

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(channel.close() for channel in self._all))

    async def cancel(self) -> None:
        """Cancels the posts that are still under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._shared.changed.set()

    async def _post(self, channel: SideChannel, outcome: AlertOutcome, title: str, text: str) -> None:
        """Makes up to three attempts, and reports the result as a fact of its own."""
        failure, attempts = "", 0
        for attempts, delay in enumerate(POST_DELAYS_S, 1):  # noqa: B007 - counted for the report below
            await self._shared.clock.sleep(delay)
            failure = await channel.post(title, text)
            if not failure:
                break
        kind, alert_id = outcome.kind.value, outcome.id
        if failure:
            log.critical(
                "second_channel_failed",
                text=f"🛑 {channel.name.capitalize()} failed as well: {title} ({failure}; {attempts} attempts)",
                kind=kind,
                id=alert_id,
            )
        else:
            log.info(
                "second_channel_sent",
                text=f"✓ Alert sent to the {channel.name}: {title}",
                kind=kind,
                id=alert_id,
            )
        told = Outcome.UNSENT if failure else Outcome.ACCEPTED
        detail = "; ".join(filter(None, (outcome.detail, failure)))
        self._shared.report(
            msgspec.structs.replace(
                outcome, outcome=told, attempts=attempts, detail=detail, channel=channel.name
            )
        )
