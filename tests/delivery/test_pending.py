"""What is still to be told: it is remembered for long enough."""

from __future__ import annotations

from delivery.pending import REMEMBERED_MAX, Outbox
from events import AlertKind, Outcome
from tests.delivery.stories import START, sell


def test_outbox_forgets_the_oldest_outcomes_only() -> None:
    outbox = Outbox()
    for number in range(REMEMBERED_MAX + 1):
        outbox.settle(outbox.add(sell(START, f"{number}"), START), Outcome.ACCEPTED)
    assert outbox.entries == []
    assert outbox.outcome(AlertKind.SELL, "0") is None
    assert outbox.outcome(AlertKind.SELL, "1") is Outcome.ACCEPTED
    assert not outbox.sold("0")
    assert outbox.sold("1")
