"""Emergency pushes that wait to be acknowledged: when each is polled, and what an answer means. Pure.

The session's record holds each receipt, so a restart goes on polling it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from delivery.answers import Answer, Result, is_receipt
from events import SECOND, AlertKind, AlertOutcome, Outcome

EMERGENCY_EXPIRE_S = 1500
"""Seconds for which an emergency push is repeated. Pushover repeats at most 50 times, here every 30 s
(https://pushover.net/api#priority)."""

RECEIPT_POLL_S = 30
"""Seconds between two polls of one receipt."""

RECEIPT_SPACING_S = 5
"""Seconds between two polls of any receipts: Pushover allows one in 5 s (https://pushover.net/api/receipts)."""

UNACKNOWLEDGED_S = 300
"""Seconds after which an emergency push that nobody acknowledged goes to the side channels."""

RECEIPT_GRACE_S = 60
"""Seconds for which a receipt is still polled after the last repeat."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """An emergency push that waits to be acknowledged. Times are µs; ``attempts`` are those of the push."""

    receipt: str
    kind: AlertKind
    id: str
    title: str
    accepted_at: int
    due: int
    attempts: int = 1
    warned: bool = False

    @property
    def ends_at(self) -> int:
        """Returns when it is no longer polled, µs."""
        return self.accepted_at + (EMERGENCY_EXPIRE_S + RECEIPT_GRACE_S) * SECOND


class Verdict(StrEnum):
    """What is known of a receipt."""

    WAITS = "waits"
    ACKNOWLEDGED = "acknowledged"
    EXPIRED = "never acknowledged"
    UNKNOWN = "whether it was acknowledged is unknown"


def classify(receipt: Receipt, answer: Answer, now: int) -> Verdict:
    """Returns what an answer at ``now`` (µs) means. A refused or failed request proves nothing."""
    if answer.result is Result.OK and answer.acknowledged:
        return Verdict.ACKNOWLEDGED
    if answer.result is Result.OK and (answer.expired or now >= receipt.ends_at):
        return Verdict.EXPIRED
    return Verdict.UNKNOWN if now >= receipt.ends_at else Verdict.WAITS


def acknowledged_at(receipt: Receipt, answer: Answer, now: int) -> int:
    """Returns when it was acknowledged, µs: the service's time if that is possible, else ``now``."""
    told = (answer.acknowledged_at or 0) * SECOND
    return told if receipt.accepted_at - SECOND <= told <= now + SECOND else now


class Receipts:
    """The receipts that are polled: ``open``, the oldest first."""

    def __init__(self) -> None:
        self.open: list[Receipt] = []
        self._asked_at: int | None = None

    def add(self, receipt: Receipt) -> None:
        """Adds a receipt, unless it is polled already."""
        if all(each.receipt != receipt.receipt for each in self.open):
            self.open.append(receipt)

    def due(self, now: int) -> Receipt | None:
        """Returns the receipt to poll at ``now`` (µs), or None. Two polls are `RECEIPT_SPACING_S` apart."""
        if self._asked_at is not None and now < self._asked_at + RECEIPT_SPACING_S * SECOND:
            return None
        return next((each for each in self.open if now >= each.due), None)

    def record_request(self, receipt: Receipt, now: int) -> None:
        """Records that a receipt is polled at ``now`` (µs), and schedules its next poll."""
        self._asked_at = now
        self._replace(receipt, due=now + RECEIPT_POLL_S * SECOND)

    def is_to_be_warned_of(self, receipt: Receipt, now: int) -> bool:
        """Returns whether nobody has acknowledged it for 5 minutes at ``now`` (µs). True only once for each receipt."""
        is_late = not receipt.warned and now - receipt.accepted_at >= UNACKNOWLEDGED_S * SECOND
        if is_late:
            self._replace(receipt, warned=True)
        return is_late

    def end(self, receipt: Receipt) -> None:
        """Stops polling a receipt."""
        self.open = [each for each in self.open if each.receipt != receipt.receipt]

    def _replace(self, receipt: Receipt, **changes: object) -> None:
        self.open = [
            msgspec.structs.replace(each, **changes) if each.receipt == receipt.receipt else each
            for each in self.open
        ]


class Remembered:
    """The receipts in a record that nobody is known to have acknowledged."""

    def __init__(self) -> None:
        self._open: dict[str, Receipt] = {}

    def record(self, now: int, outcome: AlertOutcome, title: str) -> None:
        """Applies an outcome from the record, handled at ``now`` (µs). ``title`` is the push's."""
        receipt = outcome.receipt
        if not is_receipt(receipt):
            return
        if outcome.channel:
            if receipt in self._open:
                self._open[receipt] = msgspec.structs.replace(self._open[receipt], warned=True)
        elif outcome.outcome is Outcome.ACCEPTED:
            self._open[receipt] = Receipt(
                receipt=receipt,
                kind=outcome.kind,
                id=outcome.id,
                title=title,
                accepted_at=now,
                due=now,
                attempts=outcome.attempts,
            )
        else:
            self._open.pop(receipt, None)

    def outstanding(self, now: int) -> list[Receipt]:
        """Returns the receipts that may still be acknowledged at ``now`` (µs), the oldest first."""
        return [each for each in self._open.values() if now < each.ends_at]
