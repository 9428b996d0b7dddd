"""Why an alert is not sent: each obstacle alone, and which one is named of several."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from delivery.obstacles import QUOTA_LOW, Circumstances, obstacle
from events import SECOND
from messages.alert import Alert, Priority
from tests.delivery.stories import DECIDED, ID, buy, sell, system

CLEAR = Circumstances()
BUY = buy()


@pytest.mark.parametrize(
    ("given", "after_s", "why"),
    [
        (CLEAR, 0, ""),
        (CLEAR, 29, ""),
        (CLEAR, 30, "it is 30 s old"),
        (Circumstances(ask=BUY.pay_limit), 0, ""),
        (Circumstances(ask=BUY.pay_limit + 50), 0, "the ask $1.525 has passed its limit $1.52"),
        (Circumstances(is_sold=True), 0, "its position has closed"),
        (Circumstances(is_unrecorded=True), 0, "its decision could not be recorded"),
        (Circumstances(is_push_refused=True), 0, "Pushover refuses our pushes"),
        (Circumstances(remaining=0), 0, ""),
        (Circumstances(is_unrecorded=True, is_sold=True), 60, "its decision could not be recorded"),
        (Circumstances(is_sold=True, ask=10**6), 60, "its position has closed"),
        (Circumstances(ask=10**6, is_push_refused=True), 60, "it is 60 s old"),
    ],
)
def test_a_buy_is_withdrawn_once_it_would_mislead(given: Circumstances, after_s: int, why: str) -> None:
    assert obstacle(BUY, DECIDED + after_s * SECOND, given) == why


HARD = Circumstances(is_unrecorded=True, is_sold=True, is_push_refused=True, ask=10**6, remaining=0)


def test_a_sell_is_sent_unless_nobody_was_told_of_the_buy() -> None:
    assert obstacle(sell(), DECIDED + 10**12, HARD) == ""
    assert obstacle(sell(), DECIDED, replace(HARD, is_buy_untold=True)) == "its BUY was never delivered"


def test_a_safety_push_is_always_sent() -> None:
    assert obstacle(system(DECIDED, position=ID), DECIDED, replace(HARD, is_buy_untold=True)) == ""


QUIET = replace(system(DECIDED), priority=Priority.QUIET)
LOUD = replace(system(DECIDED), priority=Priority.HIGH)


@pytest.mark.parametrize(
    ("alert", "given", "why"),
    [
        (QUIET, Circumstances(remaining=QUOTA_LOW), ""),
        (QUIET, Circumstances(remaining=QUOTA_LOW - 1), "only 199 pushes are left this month"),
        (system(DECIDED), Circumstances(remaining=0), "only 0 pushes are left this month"),
        (LOUD, Circumstances(remaining=0), ""),
        (LOUD, Circumstances(is_push_refused=True), "Pushover refuses our pushes"),
    ],
)
def test_other_pushes_are_sent_while_pushes_are_taken_and_left(
    alert: Alert, given: Circumstances, why: str
) -> None:
    assert obstacle(alert, DECIDED, given) == why
