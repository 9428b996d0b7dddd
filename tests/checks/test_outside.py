"""The outside watch and the second channel: tried, and believed only when they say so."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import diagnose
from checks.check import Check, Severity
from checks.outside import Outside
from checks.questions import Asked, Inquiry
from checks.vendors import check_network
from sim.pushover import LoopbackPushover
from tests.checks.given import IN_SESSION, NOWHERE, TOKEN, USER, settings_of
from tests.checks.made_vendors import Open, answering, http
from tests.outside import DRIP, ENDLESS, outside, reply
from utils import ScaledClock

ODD = "compare it with the address that its service shows"


@asynccontextmanager
async def checked(send_test: bool = False, **changes: str) -> AsyncIterator[dict[str, list[Check]]]:
    """The lines about push and the outside, by the name that they begin with. The market is not there."""
    clock = ScaledClock(IN_SESSION, 1.0)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        settings = settings_of(
            POLYGON_REST_URL=NOWHERE, POLYGON_WS_URL="ws://127.0.0.1:9", PUSHOVER_URL=pushover.url, **changes
        )
        checks = await check_network(settings, clock, Asked(send_test=send_test), limit_s=3.0)
        found: dict[str, list[Check]] = {}
        for check in checks:
            assert "Canary" not in check.line()
            found.setdefault(check.found.partition(":")[0], []).append(check)
        yield found


@pytest.mark.parametrize(
    ("answer", "severity", "words"),
    [
        (reply("200 OK", b"OK"), Severity.OK, "answered 200, and has counted this as a beat"),
        (ENDLESS, Severity.OK, "answered 200, and has counted this as a beat"),
        (reply("200 OK", b"OK (not found)"), Severity.FAIL, 'answered 200 "OK (not found)"'),
        (reply("302 Found", b"", "Location: /login"), Severity.FAIL, "answered 302"),
        (
            reply("200 OK", gzip.compress(bytes(9_000_000), mtime=0), "Content-Encoding: gzip"),
            Severity.FAIL,
            "answered 200 with a compressed body, which is not read",
        ),
        (DRIP, Severity.FAIL, "no answer in time (TimeoutError)"),
    ],
)
async def test_only_a_counted_beat_is_one(answer: bytes, severity: Severity, words: str) -> None:
    async with outside(answer) as server, checked(HEARTBEAT_URL=server.url) as found:
        (check,) = found["HEARTBEAT_URL"]
        assert (check.severity, check.found) == (severity, f"HEARTBEAT_URL: {words}")


@pytest.mark.parametrize(
    ("answer", "severity", "words"),
    [
        (reply("200 OK"), Severity.OK, "test accepted; it should have arrived there by now"),
        (reply("204 No Content"), Severity.OK, "test accepted; it should have arrived there by now"),
        (reply("302 Found", b"", "Location: /login"), Severity.FAIL, "test not accepted, status 302"),
        (reply("404 Not Found"), Severity.FAIL, "test not accepted, status 404"),
        (DRIP, Severity.FAIL, "test not accepted, no answer in time (TimeoutError)"),
    ],
)
async def test_a_test_is_really_posted_to_the_second_channel(
    answer: bytes, severity: Severity, words: str
) -> None:
    async with outside(answer) as server, checked(send_test=True, SECOND_CHANNEL_URL=server.url) as found:
        (check,) = found["SECOND_CHANNEL_URL"]
        assert (check.severity, check.found) == (severity, f"SECOND_CHANNEL_URL: {words}")
        assert server.asked == ["POST /CanaryPath"]
        assert server.bodies[0].startswith("🔔 IWM: test\n\nSent by diagnose.py at ")
        # The push is tried beside it, and neither waits for the other.
        assert found["test push"][0].severity is Severity.OK


class Papers:
    """A side channel of another kind."""

    name, setting, is_set = "paper channel", "PAPER_URL", True

    def __init__(self, answer: int | str | None, fault: str = "") -> None:
        self.done: list[str] = []
        self._fault = fault
        self._answer = answer

    async def post(self, title: str, text: str, limit_s: float | None = None) -> str:
        assert limit_s is not None
        self.done.append(f"{title}\n\n{text}")
        return str(self._answer)

    async def fault(self, limit_s: float | None = None) -> str:
        assert limit_s is not None
        return self._fault

    async def status(self, limit_s: float) -> int | str | None:
        assert limit_s > 0
        return self._answer

    async def close(self) -> None:
        self.done.append("closed")


@pytest.mark.parametrize(
    ("send_test", "answer", "line"),
    [
        (True, "", "✓ PAPER_URL: test accepted; it should have arrived there by now"),
        (
            True,
            "no paper",
            f"✗ PAPER_URL: test not accepted, no paper — check this machine's network, then {ODD}",
        ),
        (
            False,
            200,
            "✓ PAPER_URL: its server answers (200); nothing was posted, so more is unknown",
        ),
        (False, None, "✓ PAPER_URL: not tested; --send-test sends one test there"),
        (False, "odd", f"✗ PAPER_URL: no such paper — {ODD}"),
        (False, "no paper", "✗ PAPER_URL: no paper — check this machine's network, and PAPER_URL"),
    ],
)
async def test_another_channel_is_tried_in_the_same_way(
    send_test: bool, answer: int | str | None, line: str
) -> None:
    channel = Papers(answer, fault="" if answer != "odd" else "no such paper")
    inquiry = Inquiry(
        settings=settings_of(), clock=ScaledClock(IN_SESSION, 1.0), asked=Asked(send_test=send_test)
    )
    (check,) = await Outside(inquiry, [channel]).ask()
    assert check.line().strip() == line
    assert channel.done[-1] == "closed"
    assert len(channel.done) == 1 + send_test


async def test_without_being_asked_to_nothing_is_posted() -> None:
    async with outside(reply("405 Method Not Allowed")) as server:
        async with checked(SECOND_CHANNEL_URL=server.url) as found:
            (check,) = found["SECOND_CHANNEL_URL"]
            assert check.severity is Severity.OK
        assert server.asked == ["HEAD /CanaryPath"]


async def test_a_second_channel_that_is_not_there_fails() -> None:
    async with checked(send_test=True, SECOND_CHANNEL_URL=f"{NOWHERE}/Canary") as found:
        (check,) = found["SECOND_CHANNEL_URL"]
        assert check.severity is Severity.FAIL
        assert check.found.startswith("SECOND_CHANNEL_URL: test not accepted, no connection")
        assert check.do == f"check this machine's network, then {ODD}"


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("204 No Content", "✓ HEARTBEAT_URL: answered 204, and has counted this as a beat"),
        (
            "404 Not Found",
            "✗ HEARTBEAT_URL: answered 404 — compare it with the address that its service shows",
        ),
        ("500 Oh", "✗ HEARTBEAT_URL: answered 500 — compare it with the address that its service shows"),
    ],
)
async def test_the_heartbeats_address(vendors_at: Open, status: str, line: str) -> None:
    vendors = await vendors_at(IN_SESSION)
    async with answering(http(status)) as (address, asked):
        report = await vendors.run(HEARTBEAT_URL=f"http://{address}/CanaryBeat")
    assert asked == [b"GET /CanaryBeat HTTP/1.1"]
    assert report.line("HEARTBEAT_URL: answered") == line
    assert report.status == (diagnose.EXIT_OK if line.startswith("✓") else diagnose.EXIT_FAILS)


async def test_the_second_channel_is_asked_and_told_nothing(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    elsewhere = vendors.pushover.elsewhere_url
    report = await vendors.run(SECOND_CHANNEL_URL=elsewhere)
    assert report.line("SECOND_CHANNEL_URL: its") == (
        "✓ SECOND_CHANNEL_URL: its server answers (405); nothing was posted, so more is unknown"
    )
    assert vendors.pushover.texts == []
    report = await vendors.run(SECOND_CHANNEL_URL=f"{vendors.pushover.url}/CanaryGone")
    assert report.line("SECOND_CHANNEL_URL: its").startswith("⚠")
    assert report.status == diagnose.EXIT_OK


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_apprise_is_tried_only_when_asked_to(vendors_at: Open, form: tuple[str, ...]) -> None:
    vendors = await vendors_at(IN_SESSION)
    async with outside() as good, outside(reply("404 Not Found")) as bad:
        places = [server.url.removeprefix("http://").removesuffix("/CanaryPath") for server in (good, bad)]
        url = " ".join(f"json://CanaryUser:CanaryPassword@{place}/CanaryTopic" for place in places)
        report = await vendors.run(*form, SECOND_CHANNEL_URL=url)
        assert (good.asked, bad.asked) == ([], [])
        assert report.status == diagnose.EXIT_OK
        told = "\n".join(report.lines)
        for name in ("SECOND_CHANNEL_URL", "SECOND_CHANNEL_URL (json 2)"):
            assert f"{name}: not tested; --send-test sends one test there" in told
        report = await vendors.run("--send-test", *form, SECOND_CHANNEL_URL=url)
        assert report.status == diagnose.EXIT_FAILS
        told = "\n".join(report.lines)
        assert "SECOND_CHANNEL_URL: test accepted; it should have arrived there by now" in told
        assert (
            "SECOND_CHANNEL_URL (json 2): test not accepted, Failed to send JSON POST notification: " in told
        )
        assert "Canary" not in told + report.errors
        (body,) = map(json.loads, good.bodies)
        assert body["title"] == "🔔 IWM: test"
        assert body["message"].startswith("Sent by diagnose.py at ")


async def test_an_address_that_apprise_does_not_know_is_found_without_a_test(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    report = await vendors.run(SECOND_CHANNEL_URL="tgrm://CanaryToken/12345678")
    assert report.line("SECOND_CHANNEL_URL: A") == (
        '✗ SECOND_CHANNEL_URL: Apprise has no service "tgrm" (https://appriseit.com/services/ lists them) '
        "— compare it with the address that its service shows"
    )
    assert report.status == diagnose.EXIT_FAILS
