"""The account at the loopback Pushover: keys, quota, receipts."""

from __future__ import annotations

from events import SECOND
from sim.push_account import MONTHLY_QUOTA, QUOTA_DAYS, Message, PushAccount
from tests.sim.days import OPEN
from utils import ScaledClock

TOKEN, USER = "t" * 30, "u" * 30
KEYS = {"token": TOKEN, "user": USER}


def account(messages: list[Message] | None = None) -> PushAccount:
    heard = messages if messages is not None else []
    return PushAccount(ScaledClock(OPEN, 1.0), TOKEN, USER, heard.append)


def test_both_keys_must_be_the_accounts_and_a_revoked_token_is_refused() -> None:
    made = account()
    assert made.key_errors(KEYS) == {} and made.key_errors({"token": TOKEN}, user=False) == {}
    assert set(made.key_errors({"token": TOKEN})) == {"user"}
    made.user_valid = False
    assert set(made.key_errors(KEYS)) == {"user"}
    made.revoke()
    assert set(made.key_errors(KEYS)) == {"token"}


def test_an_accepted_message_costs_quota_and_is_kept_without_its_keys() -> None:
    heard: list[Message] = []
    made = account(heard)
    assert made.accept({**KEYS, "message": "hi", "title": "BUY"}) == ""
    assert made.messages == heard and made.remaining == MONTHLY_QUOTA - 1
    assert heard[0].fields == {"message": "hi", "title": "BUY"} and heard[0].shown == "BUY\n\nhi"


def test_an_emergency_message_has_a_receipt_that_can_be_acknowledged() -> None:
    made = account()
    receipts = [made.accept({**KEYS, "message": "hi", "priority": "2", "expire": "60"}) for _ in range(2)]
    assert len({*receipts}) == 2 and {len(receipt) for receipt in receipts} == {30}
    made.acknowledge(receipts[1], "tablet")
    assert made.receipts[receipts[0]]["acknowledged"] == 0
    assert made.receipts[receipts[1]]["acknowledged_by_device"] == "tablet"
    assert made.receipts[receipts[1]]["expires_at"] - OPEN // SECOND in range(60, 120)


def test_the_quota_is_full_again_at_its_reset_and_not_before() -> None:
    made = account()
    made.remaining = 3
    made.renew()
    assert made.remaining == 3 and made.reset == OPEN // SECOND + QUOTA_DAYS * 86_400
    made.reset = now = OPEN // SECOND
    made.renew()
    assert made.remaining == MONTHLY_QUOTA and made.reset == now + 30 * 86_400
    made.remaining, made.reset = 3, None
    made.renew()
    assert made.remaining == 3
