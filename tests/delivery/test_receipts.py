"""Receipts: what is asked when, what an answer means, and what a record remembers."""

from __future__ import annotations

import pytest

from delivery import receipts
from delivery.answers import Answer, Result
from delivery.receipts import EMERGENCY_EXPIRE_S, Receipt, Receipts, Remembered, Verdict, classify
from events import SECOND, AlertKind, AlertOutcome, Outcome

NOW = 1_759_416_000 * SECOND
ONE, TWO = "r" * 30, "s" * 30
END_S = EMERGENCY_EXPIRE_S + 60


def at(seconds: float) -> int:
    return NOW + round(seconds * SECOND)


def receipt(name: str = ONE, due: int = NOW) -> Receipt:
    return Receipt(receipt=name, kind=AlertKind.SELL, id="7f3a91", title="SELL", accepted_at=NOW, due=due)


def said(**fields: object) -> Answer:
    return Answer(result=Result.OK, **fields)  # type: ignore[arg-type]


REFUSED = Answer(result=Result.REFUSED, status=404)
LOST = Answer(result=Result.LOST)


@pytest.mark.parametrize(
    ("answer", "seconds", "verdict"),
    [
        (said(), 30, Verdict.WAITS),
        (said(acknowledged=True), 30, Verdict.ACKNOWLEDGED),
        (said(acknowledged=True, expired=True), 30, Verdict.ACKNOWLEDGED),
        (said(expired=True), 30, Verdict.EXPIRED),
        (said(), END_S - 1, Verdict.WAITS),
        (said(), END_S, Verdict.EXPIRED),
        (REFUSED, 30, Verdict.WAITS),
        (LOST, END_S - 1, Verdict.WAITS),
        (REFUSED, END_S, Verdict.UNKNOWN),
        (LOST, END_S, Verdict.UNKNOWN),
    ],
)
def test_a_question_that_came_to_nothing_proves_nothing(
    answer: Answer, seconds: int, verdict: Verdict
) -> None:
    assert classify(receipt(), answer, at(seconds)) is verdict


@pytest.mark.parametrize(
    ("told_s", "found_s"),
    [(10, 10), (None, 60), (-2, 60), (-1, -1), (61, 61), (62, 60), (10**9, 60)],
)
def test_a_time_that_cannot_be_is_not_believed(told_s: int | None, found_s: int) -> None:
    told = None if told_s is None else NOW // SECOND + told_s
    found = receipts.acknowledged_at(receipt(), said(acknowledged_at=told), at(60))
    assert found == at(found_s)


def test_two_questions_for_receipts_are_five_seconds_apart() -> None:
    open_ones = Receipts()
    open_ones.add(receipt(ONE))
    open_ones.add(receipt(TWO))
    open_ones.add(receipt(ONE))
    assert len(open_ones.open) == 2
    first = open_ones.due(NOW)
    assert first is not None
    open_ones.record_request(first, NOW)
    assert open_ones.due(at(4.9)) is None
    second = open_ones.due(at(5))
    assert second is not None
    assert (first.receipt, second.receipt) == (ONE, TWO)
    open_ones.record_request(second, at(5))
    assert open_ones.due(at(29.9)) is None
    assert open_ones.due(at(30)) is not None
    open_ones.end(first)
    assert [each.receipt for each in open_ones.open] == [TWO]


def test_nobody_for_five_minutes_is_said_once() -> None:
    open_ones = Receipts()
    open_ones.add(receipt())
    (held,) = open_ones.open
    assert not open_ones.is_to_be_warned_of(held, at(299.9))
    assert open_ones.is_to_be_warned_of(held, at(300))
    (held,) = open_ones.open
    assert not open_ones.is_to_be_warned_of(held, at(330))


def outcome(result: Outcome, name: str = ONE, channel: str = "") -> AlertOutcome:
    return AlertOutcome(
        kind=AlertKind.SELL, id="7f3a91", outcome=result, attempts=2, receipt=name, channel=channel
    )


def remembered(*outcomes: AlertOutcome) -> Remembered:
    record = Remembered()
    for each in outcomes:
        record.record(NOW, each, "SELL")
    return record


def test_a_record_remembers_what_nobody_has_acknowledged() -> None:
    (left,) = remembered(outcome(Outcome.ACCEPTED)).outstanding(at(100))
    assert (left.receipt, left.id, left.accepted_at, left.attempts, left.warned) == (
        ONE,
        "7f3a91",
        NOW,
        2,
        False,
    )
    (told,) = remembered(
        outcome(Outcome.ACCEPTED), outcome(Outcome.ACCEPTED, channel="second channel")
    ).outstanding(at(400))
    assert told.warned


@pytest.mark.parametrize("end", [Outcome.ACKNOWLEDGED, Outcome.EXPIRED])
def test_a_record_forgets_what_has_ended(end: Outcome) -> None:
    assert remembered(outcome(Outcome.ACCEPTED), outcome(end)).outstanding(at(100)) == []


def test_a_record_is_asked_about_no_longer_than_repeats_last() -> None:
    record = remembered(outcome(Outcome.ACCEPTED))
    assert len(record.outstanding(at(END_S) - 1)) == 1
    assert record.outstanding(at(END_S)) == []


@pytest.mark.parametrize("name", ["", "r" * 31, "r" * 29 + "/", "../../etc"])
def test_what_is_no_receipt_is_never_asked_for(name: str) -> None:
    assert remembered(outcome(Outcome.ACCEPTED, name)).outstanding(NOW) == []
