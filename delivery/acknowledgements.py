"""Requests whether emergency pushes were acknowledged. `delivery.receipts` decides, and is pure."""

from __future__ import annotations

import structlog

from delivery import receipts
from delivery.answers import Answer
from delivery.beside import Beside
from delivery.channel import Channel
from delivery.receipts import EMERGENCY_EXPIRE_S, UNACKNOWLEDGED_S, Receipt, Receipts, Verdict
from delivery.shared import Shared
from events import SECOND, AlertOutcome, Outcome
from messages.alert import Alert
from utils import clock_text, span_text

log = structlog.get_logger("alerts")


class Acknowledgements:
    """The emergency pushes that nobody has acknowledged yet. Polls each until it is, or until its repeats have ended."""

    def __init__(self, shared: Shared, channel: Channel, beside: Beside) -> None:
        self._shared = shared
        self._channel = channel
        self._beside = beside
        self._receipts = Receipts()

    @property
    def are_awaited(self) -> bool:
        """Returns whether an emergency push may still be acknowledged."""
        return bool(self._receipts.open)

    def add(self, receipt: Receipt) -> None:
        """Polls ``receipt`` from now on."""
        self._receipts.add(receipt)

    def await_for(self, alert: Alert, receipt: str, now: int, attempts: int) -> None:
        """Polls ``receipt`` of ``alert``, which was accepted at ``now`` (µs) after ``attempts``."""
        self._receipts.add(
            Receipt(
                receipt=receipt,
                kind=alert.kind,
                id=alert.id,
                title=alert.title,
                accepted_at=now,
                due=now + receipts.RECEIPT_POLL_S * SECOND,
                attempts=attempts,
            )
        )

    def due(self, now: int) -> Receipt | None:
        """Returns the receipt that is due to be polled at ``now`` (µs), or None."""
        return self._receipts.due(now)

    async def request(self, receipt: Receipt, now: int) -> None:
        """Requests the state of a receipt at ``now`` (µs), and acts on the answer."""
        self._receipts.record_request(receipt, now)
        answer = await self._channel.receipt(receipt.receipt)
        now = self._shared.clock.now()
        verdict = receipts.classify(receipt, answer, now)
        seconds = (now - receipt.accepted_at) // SECOND
        match verdict:
            case Verdict.ACKNOWLEDGED:
                self._acknowledged(receipt, answer, now)
            case Verdict.WAITS:
                if self._receipts.is_to_be_warned_of(receipt, now):
                    self._warn_of(receipt, seconds)
            case Verdict.EXPIRED | Verdict.UNKNOWN:
                log.warning(
                    "sell_never_acknowledged",
                    text=f"⚠️ Repeats have ended, {verdict.value}: {receipt.title}",
                    id=receipt.id,
                    seconds=seconds,
                )
                self._end(receipt, Outcome.EXPIRED, verdict.value)

    def _acknowledged(self, receipt: Receipt, answer: Answer, now: int) -> None:
        at = receipts.acknowledged_at(receipt, answer, now)
        seconds = (at - receipt.accepted_at) // SECOND
        who = f"on {answer.acknowledged_on}" if answer.acknowledged_on else "on an unnamed device"
        when = f"{who} at {clock_text(at)} ET"
        log.info(
            "sell_acknowledged",
            text=f"✓ SELL acknowledged {when} ({seconds} s): {receipt.title}",
            id=receipt.id,
            seconds=seconds,
        )
        self._end(receipt, Outcome.ACKNOWLEDGED, when)

    def _end(self, receipt: Receipt, outcome: Outcome, detail: str) -> None:
        self._receipts.end(receipt)
        self._shared.report(
            AlertOutcome(
                kind=receipt.kind,
                id=receipt.id,
                outcome=outcome,
                attempts=receipt.attempts,
                detail=detail,
                receipt=receipt.receipt,
            )
        )

    def _warn_of(self, receipt: Receipt, seconds: int) -> None:
        """Reports in the log and on the side channels that nobody has acknowledged."""
        log.warning(
            "sell_unacknowledged",
            text=f"⚠️ Not acknowledged for {seconds} s: {receipt.title}",
            id=receipt.id,
            seconds=seconds,
        )
        title = f"⚠️ Not acknowledged for {span_text(seconds * SECOND)}: {receipt.title}"
        lines = (
            f"Pushed at {clock_text(receipt.accepted_at)} ET; no acknowledgement is known.",
            f"Now: the phone keeps ringing until {clock_text(receipt.accepted_at + EMERGENCY_EXPIRE_S * SECOND)} ET.",
            "You: look at the position.",
            f"#{receipt.id}",
        )
        outcome = AlertOutcome(
            kind=receipt.kind,
            id=receipt.id,
            outcome=Outcome.UNSENT,
            attempts=0,
            detail=f"not acknowledged for {UNACKNOWLEDGED_S} s",
            receipt=receipt.receipt,
        )
        self._beside.post(outcome, title, "\n".join(lines))
