"""Push against a service whose answers lack something, and one that has had enough."""

from __future__ import annotations

import httpx
import pytest

from checks.questions import Asked
from checks.vendors import check_network
from tests.checks.given import settings_of
from utils import SystemClock


async def lines(answers: dict[str, httpx.Response]) -> dict[str, str]:
    """What is found about push, by its subject, where the service gives these answers by the last part of their path."""

    def answer(request: httpx.Request) -> httpx.Response:
        return answers.get(request.url.path.rpartition("/")[2], httpx.Response(503))

    found = await check_network(
        settings_of(), SystemClock(), Asked(), transport=httpx.MockTransport(answer), limit_s=2.0
    )
    return {check.found.partition(":")[0]: check.line().strip() for check in found if check.group == "Push"}


async def test_a_user_without_devices_and_a_quota_that_is_not_told_are_to_look_at() -> None:
    found = await lines(
        {
            "validate.json": httpx.Response(200, json={"status": 1, "devices": []}),
            "limits.json": httpx.Response(200, json={"status": 1}),
        }
    )
    assert found["user"].startswith("⚠ user: valid, but no device is registered — install the Pushover app")
    assert found["quota"] == "⚠ quota: not told"


@pytest.mark.parametrize("subject", ["user", "quota"])
async def test_too_many_questions_are_no_fault_of_the_keys(subject: str) -> None:
    too_many = httpx.Response(429, json={"status": 0, "errors": ["too many requests"]})
    found = await lines({"validate.json": too_many, "limits.json": too_many})
    assert found[subject].startswith(f"✗ {subject}: refused, 429")
    assert found[subject].endswith(
        "— the month's pushes are used up, or there were too many requests at once: see pushover.net"
    )
