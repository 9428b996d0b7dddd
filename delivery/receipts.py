"""Emergency pushes that wait to be acknowledged: what is asked when, and what an answer means. Pure.

A receipt is a fact of the session's record, so a restart goes on asking for it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from delivery.answers import Answer, Result, is_receipt
from events import SECOND, AlertKind, AlertOutcome, Outcome

EMERGENCY_EXPIRE_S = 1500
"""Seconds after which an emergency push is no longer repeated: 50 repeats are the vendor's most."""

RECEIPT_POLL_S = 30
"""Pause between two questions for one receipt."""

RECEIPT_SPACING_S = 5
"""Pause between two questions for any receipts: the vendor allows one in 5 s."""

UNACKNOWLEDGED_S = 300
"""Seconds after which an emergency push that nobody acknowledged is told elsewhere."""

RECEIPT_GRACE_S = 60
"""How long after its last repeat a receipt is still asked for."""


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
        """When it is no longer asked for."""
        return self.accepted_at + (EMERGENCY_EXPIRE_S + RECEIPT_GRACE_S) * SECOND


class Verdict(StrEnum):
    """What is known of a receipt."""

    WAITS = "waits"
    ACKNOWLEDGED = "acknowledged"
    EXPIRED = "never acknowledged"
    UNKNOWN = "whether it was acknowledged is not known"


def classify(receipt: Receipt, answer: Answer, now: int) -> Verdict:
    """Returns what an answer at ``now`` (µs) means. A question that was refused or failed proves nothing."""
    if answer.result is Result.OK and answer.acknowledged:
        return Verdict.ACKNOWLEDGED
    if answer.result is Result.OK and (answer.expired or now >= receipt.ends_at):
        return Verdict.EXPIRED
    return Verdict.UNKNOWN if now >= receipt.ends_at else Verdict.WAITS


def acknowledged_at(receipt: Receipt, answer: Answer, now: int) -> int:
    """When it was acknowledged, µs: what the service says if that can be, else ``now``."""
    told = (answer.acknowledged_at or 0) * SECOND
    return told if receipt.accepted_at - SECOND <= told <= now + SECOND else now


class Receipts:
    """The receipts that are asked for. ``open`` holds them, the oldest first."""

    def __init__(self) -> None:
        self.open: list[Receipt] = []
        self._asked_at: int | None = None

    def add(self, receipt: Receipt) -> None:
        """Ask for this one from now on, unless it is asked for already."""
        if all(each.receipt != receipt.receipt for each in self.open):
            self.open.append(receipt)

    def due(self, now: int) -> Receipt | None:
        """The receipt that is asked for at ``now`` (µs), if any: two questions are 5 s apart."""
        if self._asked_at is not None and now < self._asked_at + RECEIPT_SPACING_S * SECOND:
            return None
        return next((each for each in self.open if now >= each.due), None)

    def asked(self, receipt: Receipt, now: int) -> None:
        """Record that it was asked for at ``now`` (µs)."""
        self._asked_at = now
        self._replace(receipt, due=now + RECEIPT_POLL_S * SECOND)

    def is_to_be_warned_of(self, receipt: Receipt, now: int) -> bool:
        """Whether to warn that nobody has acknowledged it for 5 minutes at ``now`` (µs). True once for each receipt."""
        is_late = not receipt.warned and now - receipt.accepted_at >= UNACKNOWLEDGED_S * SECOND
        if is_late:
            self._replace(receipt, warned=True)
        return is_late

    def end(self, receipt: Receipt) -> None:
        """Stop asking for it."""
        self.open = [each for each in self.open if each.receipt != receipt.receipt]

    def _replace(self, receipt: Receipt, **changes: object) -> None:
        self.open = [
            msgspec.structs.replace(each, **changes) if each.receipt == receipt.receipt else each
            for each in self.open
        ]


class Remembered:
    """The receipts that a record holds and nobody is known to have acknowledged."""

    def __init__(self) -> None:
        self._open: dict[str, Receipt] = {}

    def learn(self, now: int, outcome: AlertOutcome, title: str) -> None:
        """Apply an outcome that the record holds, written at ``now`` (µs)."""
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
        """Those that may still be acknowledged at ``now`` (µs), the oldest first."""
        return [each for each in self._open.values() if now < each.ends_at]
