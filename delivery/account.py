"""Tracks whether the push service accepts our pushes, and acts on it. `delivery.standing` decides, and is pure."""

from __future__ import annotations

import msgspec
import structlog

from delivery import outbox, standing
from delivery.answers import Answer, Result
from delivery.holds import Holds
from delivery.obstacles import QUOTA_LOW
from delivery.shared import Shared
from delivery.standing import Mood, Standing
from events import SECOND, HoldReason
from utils import day_text

log = structlog.get_logger("alerts")


class Account:
    """Our standing with the push service. When it changes, retries alerts that waited, and holds or releases entries."""

    def __init__(self, shared: Shared, holds: Holds) -> None:
        self._shared = shared
        self._holds = holds
        self.standing = Standing()
        self.is_healthy = False
        """Whether the last push or request succeeded; False before the first."""
        self.remaining: int | None = None
        """Pushes left this month; None until the service tells."""
        self._takes_nothing = False
        """Whether no push can arrive, as far as was told."""
        self._is_stopping = False
        self._last_ask_at: int | None = None
        """When a stopping program requests, once, whether pushes are accepted again, µs; None: it does not."""

    @property
    def is_push_refused(self) -> bool:
        """Returns whether only urgent alerts are sent: no push can arrive, or a SELL is not delivered."""
        return self._holds.is_push_refused

    def record(self, answer: Answer) -> None:
        """Records what every answer tells: whether the service works, and how many pushes are left."""
        self.is_healthy = answer.result is Result.OK
        if answer.remaining is None:
            return
        was_low = self.remaining is not None and self.remaining < QUOTA_LOW
        if self.remaining is None:
            log.info(
                "quota",
                text=f"📮 Pushover: {answer.remaining:,} pushes left this month",
                remaining=answer.remaining,
            )
        self.remaining = answer.remaining
        if answer.remaining < QUOTA_LOW and not was_low:
            log.warning(
                "quota_low",
                text=f"⚠️ Pushover: only {answer.remaining} pushes left this month; quiet ones are not sent",
                remaining=answer.remaining,
            )

    def refuse(self, answer: Answer) -> None:
        """Records that the service refused a push with ``answer``."""
        self.stand(standing.refused(self.standing, answer, self._shared.clock.now()), answer.reason)

    def doubt(self, now: int) -> None:
        """Schedules a request, at ``now`` (µs), whether pushes are accepted, unless one is scheduled already."""
        self.standing = standing.doubted(self.standing, now)

    def stand(self, new: Standing, reason: str = "") -> None:
        """Replaces our standing, for ``reason``. Schedules the alerts that waited for it, and holds or releases entries."""
        was, self.standing = self.standing.mood, new
        if new.mood is Mood.SPENT and was is not Mood.SPENT:
            log.error(
                "quota_used_up",
                text=f"🛑 Pushover's quota is used up until {self._reset_text}: no push arrives",
                reset=new.reset,
            )
        if new.mood is Mood.TAKEN:
            now = self._shared.clock.now()
            for entry in self._shared.outbox.entries:
                if entry.life.waits and not entry.is_in_flight:
                    entry.due = outbox.due_once_taken(entry.life, now)
            self._shared.wake(urgent=True)
        self.update_hold(reason)

    def update_hold(self, reason: str = "") -> None:
        """Holds entries while no push can arrive or a SELL is not delivered, else releases them.

        ``reason`` is what the service has just said.
        """
        untold = next((e.alert for e in self._shared.outbox.entries if e.keeps_entries_held), None)
        match self.standing.mood:
            case Mood.SPENT:
                text = f"the quota is used up until {self._reset_text}"
            case Mood.REFUSED:
                text = f"Pushover refuses our pushes ({reason})" if reason else "Pushover refuses our pushes"
            case _ if untold is not None:
                text = f"not delivered yet: {untold.title}"
            case _:
                text = "Pushover accepts our pushes"
        if self.standing.takes_nothing and not self._takes_nothing:
            self._shared.gave_up(f"no push arrives: {text}")  # nobody else can tell
        self._takes_nothing = self.standing.takes_nothing
        self._holds.put(HoldReason.PUSH_REFUSED, self.standing.takes_nothing or untold is not None, text)

    def stop(self) -> None:
        """Shortens the wait after a refusal, because the program stops."""
        self._is_stopping = True
        self.request_once_more()

    def request_once_more(self) -> None:
        """Schedules, at a stop, one more request in 5 s whether pushes are accepted: a refused SELL cannot wait 60 s."""
        is_owed = any(e.life.waits and e.alert.persistent for e in self._shared.outbox.entries)
        if not self._is_stopping or self._last_ask_at is not None or not is_owed:
            return
        stand = self.standing
        if stand.mood is Mood.REFUSED and stand.ask_at is not None:
            soon = max(self._shared.clock.now(), stand.refused_at + outbox.RETRY_LEAST_S * SECOND)
            self._last_ask_at = min(stand.ask_at, soon)
            self.standing = msgspec.structs.replace(stand, ask_at=self._last_ask_at)

    def asks_before(self, end: int) -> bool:
        """Returns whether a stop's last request is still to be made, and before ``end`` (µs)."""
        last = self._last_ask_at
        return last is not None and last == self.standing.ask_at and last < end

    @property
    def _reset_text(self) -> str:
        reset = self.standing.reset
        return "it is told" if reset is None else f"{day_text(reset * SECOND)} ET"
