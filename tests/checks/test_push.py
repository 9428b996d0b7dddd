"""Push against the made service: user, quota, and one real test."""

from __future__ import annotations

import pytest

import diagnose
from checks.questions import Asked
from tests.checks.given import IN_SESSION
from tests.checks.made_vendors import Open


async def test_wrong_push_keys(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    report = await vendors.run(PUSHOVER_USER_KEY="CanaryUserxxxxxxxxxxxxxxxxxxxx")
    assert report.line("user") == (
        "✗ user: refused, 400: user identifier is not a valid user, group, or subscribed user key "
        "— check PUSHOVER_USER_KEY at pushover.net"
    )
    assert report.failing() == ["user"]
    assert report.status == diagnose.EXIT_FAILS
    report = await vendors.run("--send-test", PUSHOVER_TOKEN="CanaryTokenxxxxxxxxxxxxxxxxxxx")
    remedy = "refused, 400: application token is invalid — check PUSHOVER_TOKEN at pushover.net"
    assert report.line("user") == f"✗ user: {remedy}"
    assert report.line("quota") == f"✗ quota: {remedy}"
    assert report.line("test push") == "✗ test push: not sent — see the lines above"
    assert not vendors.pushover.asked("messages.json")


@pytest.mark.parametrize(("remaining", "mark"), [(200, "✓"), (199, "⚠"), (0, "✗")])
async def test_a_quota_that_runs_out(vendors_at: Open, remaining: int, mark: str) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.pushover.remaining = remaining
    report = await vendors.run()
    assert report.line("quota").startswith(f"{mark} quota: {remaining} of 10000 pushes left until ")


async def test_a_real_push_when_asked_for(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    report = await vendors.run("--send-test")
    assert report.status == diagnose.EXIT_OK, report.lines
    assert report.line("test push").startswith("✓ test push: accepted after ")
    (message,) = vendors.pushover.messages
    assert message.title == "🔔 IWM: test"
    assert message.fields["priority"] == "1"
    assert message.text.startswith("Sent by diagnose.py at 10:40:")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("400", "✗ test push: refused, 400: this message was refused by request — check PUSHOVER_TOKEN"),
        ("cut", "⚠ test push: sent, but the answer was lost (connection closed without an answer"),
    ],
)
async def test_a_push_that_is_not_taken(vendors_at: Open, answer: str, words: str) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.pushover.answers.append(answer)
    report = await vendors.run("--send-test")
    assert report.line("test push").startswith(words)
    assert report.errors == ""


async def test_a_push_that_the_service_cannot_take_at_present(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.pushover.answers.extend(["500"] * 9)
    report = await vendors.ask(Asked(send_test=True), limit_s=4.0)
    assert report.line("test push").startswith("✗ test push: not accepted within ")
    assert not vendors.pushover.messages
