"""Carries out what an attempt's answer leads to. `outbox.step` decides that, and is pure."""

from __future__ import annotations

from typing import assert_never

import structlog

from delivery.account import Account
from delivery.acknowledgements import Acknowledgements
from delivery.answers import Answer, Result, is_receipt
from delivery.beside import Beside
from delivery.holds import Holds
from delivery.outbox import Move, Step
from delivery.pending import Pending
from delivery.settling import Settling, log_sent
from delivery.shared import Shared
from events import AlertKind, Outcome

log = structlog.get_logger("alerts")


class FollowUp:
    """Logs the result of an attempt, and settles the alert or schedules the next attempt."""

    def __init__(
        self,
        shared: Shared,
        *,
        account: Account,
        holds: Holds,
        settling: Settling,
        beside: Beside,
        acknowledgements: Acknowledgements,
    ) -> None:
        self._shared = shared
        self._outbox = shared.outbox
        self._account = account
        self._holds = holds
        self._settling = settling
        self._beside = beside
        self._acknowledgements = acknowledgements

    def follow(self, entry: Pending, answer: Answer, what: Step) -> None:
        """Carries out ``what`` follows from ``answer``."""
        entry.life = what.attempts
        match what.move:
            case Move.ACCEPTED:
                self._accepted(entry, answer)
            case Move.REFUSED | Move.WAIT:
                self._refused(entry, answer, what)
            case Move.LOST:
                self._lost(entry, answer)
            case Move.RETRY | Move.RETRY_ON:
                self._failed(entry, answer, what)
            case _:
                assert_never(what.move)

    def _accepted(self, entry: Pending, answer: Answer) -> None:
        alert = entry.alert
        now = self._shared.clock.now()
        log_sent(alert, now, entry.attempts)
        receipt = answer.receipt if is_receipt(answer.receipt) else ""
        self._settling.finish(entry, Outcome.ACCEPTED, receipt=receipt)
        self._holds.count(now)
        if receipt:
            self._acknowledgements.await_for(alert, receipt, now, entry.attempts)
        elif answer.receipt:
            log.warning(
                "receipt_unusable",
                text="⚠️ Pushover returned an unusable receipt: the program cannot tell whether the SELL is acknowledged",
                id=alert.id,
            )

    def _refused(self, entry: Pending, answer: Answer, what: Step) -> None:
        self._log_refusal(entry, answer, what)
        self._account.refuse(answer)
        if what.outcome is None:
            self._outbox.postpone(entry, what.due)
            self._account.update_hold()
            self._beside.tell(entry)
            self._account.request_once_more()
        elif what.move is Move.WAIT:
            self._settling.give_up(entry, answer.reason)
        else:
            self._settling.finish(entry, what.outcome, answer.reason)

    def _log_refusal(self, entry: Pending, answer: Answer, what: Step) -> None:
        alert = entry.alert
        again = "tried again once Pushover accepts pushes" if what.outcome is None else "not sent again"
        text = f"🛑 Alert refused, {again}: {alert.title} ({answer.reason})"
        if alert.kind is AlertKind.SELL:
            log.critical("sell_refused", text=text, id=alert.id, status=answer.status, errors=answer.errors)
        else:
            log.error(
                "alert_refused",
                text=text,
                kind=alert.kind.value,
                id=alert.id,
                status=answer.status,
                errors=answer.errors,
            )
        if alert.kind is AlertKind.BUY and self._outbox.sold(alert.position):
            log.warning(
                "buy_refused_after_sell",
                text=f"⚠️ The BUY of #{alert.position} was refused after its SELL had gone out: "
                "ignore that SELL",
                id=alert.id,
            )

    def _lost(self, entry: Pending, answer: Answer) -> None:
        """Ends an alert whose answer was lost, without repeating it: it may have been accepted."""
        alert = entry.alert
        log.warning(
            "alert_answer_lost",
            text=f"❓ Alert sent, answer lost, not repeated: {alert.title} ({answer.reason})",
            kind=alert.kind.value,
            id=alert.id,
            attempts=entry.attempts,
        )
        self._beside.tell(entry)
        self._settling.finish(entry, Outcome.LOST, answer.reason)

    def _failed(self, entry: Pending, answer: Answer, what: Step) -> None:
        """Schedules the next attempt after a failed one, or gives the alert up."""
        alert = entry.alert
        word = "lost its answer" if answer.result is Result.LOST else "failed"
        log.warning(
            "alert_attempt_failed",
            text=f"⚠️ Alert attempt {entry.attempts} {word}: {alert.title} ({answer.reason})",
            kind=alert.kind.value,
            id=alert.id,
            attempts=entry.attempts,
        )
        if alert.kind is AlertKind.BUY and self._outbox.sold(alert.position):
            self._settling.withdraw(entry, "its position has closed")
        elif what.outcome is not None:
            self._settling.give_up(entry, answer.reason)
        else:
            self._outbox.postpone(entry, what.due)
            self._account.update_hold()
