"""Ends alerts: delivered, withdrawn, given up or dropped. The end of one may release or withdraw others."""

from __future__ import annotations

import structlog

from delivery import outbox
from delivery.account import Account
from delivery.beside import Beside
from delivery.pending import OUTBOX_MAX, Pending
from delivery.shared import Shared
from events import SECOND, AlertKind, AlertOutcome, Outcome
from messages.alert import Alert, named

log = structlog.get_logger("alerts")

FOLLOWS_MOST_S = 3600
"""Seconds that an all-clear waits for its alarm: far longer than the three attempts of an alarm that is not persistent."""


def log_sent(alert: Alert, now: int, attempts: int, **more: int) -> None:
    """Logs that an alert was accepted at ``now`` (µs), after so many attempts; ``more`` are fields besides."""
    seconds = (now - alert.decided_at) / SECOND
    log.info(
        "alert_sent",
        text=f"✓ Alert sent: {alert.title} ({seconds:.2f} s)",
        kind=alert.kind.value,
        id=alert.id,
        seconds=round(seconds, 3),
        attempts=attempts,
        **more,
    )


class Settling:
    """Ends alerts, reports their outcomes, and releases the alerts that waited for them."""

    def __init__(self, shared: Shared, account: Account, beside: Beside) -> None:
        self._shared = shared
        self._outbox = shared.outbox
        self._account = account
        self._beside = beside

    def finish(self, entry: Pending, outcome: Outcome, detail: str = "", receipt: str = "") -> None:
        """Ends an alert with ``outcome``."""
        self._outbox.settle(entry, outcome)
        self._shared.changed.set()
        alert = entry.alert
        self._shared.report(
            AlertOutcome(
                kind=alert.kind,
                id=alert.id,
                outcome=outcome,
                attempts=entry.attempts,
                detail=detail,
                receipt=receipt,
            )
        )
        self._release(entry, outcome)
        self._account.update_hold()

    def withdraw(self, entry: Pending, reason: str) -> None:
        """Ends an alert without sending it (again), for ``reason``."""
        log.warning(
            "alert_not_sent",
            text=f"🚫 Alert not sent: {entry.alert.title} ({reason})",
            kind=entry.alert.kind.value,
            id=entry.alert.id,
            reason=reason,
        )
        self.finish(entry, self._unsent(entry), reason)

    def give_up(self, entry: Pending, reason: str) -> None:
        """Ends an alert whose attempts have all failed, the last one for ``reason``."""
        alert = entry.alert
        text = f"🛑 Could not deliver after {entry.attempts} attempts: {alert.title} ({reason})"
        if alert.urgent:
            log.critical("could_not_deliver", text=text, kind=alert.kind.value, id=alert.id)
            self._shared.gave_up(f"never delivered: {named(alert)}")
        else:
            log.error("alert_given_up", text=text, kind=alert.kind.value, id=alert.id)
        self._beside.tell(entry)
        self.finish(entry, outbox.ended(entry.life), f"{entry.attempts} attempts failed: {reason}")

    def shed(self) -> None:
        """Drops the least important alerts while there are too many."""
        while len(self._outbox.entries) > OUTBOX_MAX:
            entry = self._outbox.least_important()
            if entry is None:
                return
            log.error(
                "outbox_full",
                text=f"🛑 Too many alerts are waiting ({OUTBOX_MAX}); dropped: {entry.alert.title}",
                kind=entry.alert.kind.value,
                id=entry.alert.id,
            )
            self.finish(entry, self._unsent(entry), "too many alerts were waiting")

    def line_up(self, entry: Pending) -> None:
        """Makes an all-clear wait while its alarm is undelivered: otherwise the phone could show it first.

        If the alarm went to the side channels, the all-clear does, too.
        """
        alarm = self._outbox.alarm_of(entry.alert)
        if alarm is None:
            return
        entry.follows = alarm
        entry.due = max(alarm.life.give_up_at, entry.due + FOLLOWS_MOST_S * SECOND)
        if alarm.is_told_elsewhere:
            self._beside.tell(entry)

    def settle_buy_of(self, sell: Pending) -> None:
        """Withdraws the BUY of ``sell`` if it has not gone out. If its BUY was never delivered, withdraws ``sell``, too."""
        buy = self._outbox.find(AlertKind.BUY, sell.alert.position)
        if buy is not None and not buy.is_in_flight:
            self.withdraw(buy, "its position has closed")
        if self.is_buy_untold(sell):
            self.withdraw(sell, "its BUY was never delivered")

    def is_buy_untold(self, sell: Pending) -> bool:
        """Returns whether its BUY was never delivered that ``sell`` ends, nor of ``sell`` itself."""
        outcome = self._outbox.outcome(AlertKind.BUY, sell.alert.position)
        return outcome in (Outcome.REFUSED, Outcome.UNSENT) and not sell.may_have_arrived

    def _release(self, alarm: Pending, outcome: Outcome) -> None:
        """Releases the all-clears of an alarm that is settled. Withdraws them if nobody was told of the alarm."""
        for entry in self._outbox.followers(alarm):
            entry.follows = None
            if outcome in (Outcome.ACCEPTED, Outcome.LOST):
                entry.due = self._shared.clock.now()
                self._shared.wake(entry.alert.urgent)
            else:
                self.withdraw(entry, "its alarm was never delivered")

    def _unsent(self, entry: Pending) -> Outcome:
        return Outcome.LOST if entry.may_have_arrived else Outcome.UNSENT
