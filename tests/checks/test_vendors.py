"""The preflight against the made vendors: each fault on a line of its own, the right status, and no secret in any."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

import config
import diagnose
import utils
from checks.check import Severity
from checks.questions import LIMIT_S, Asked
from checks.vendors import check_network
from record.lease import Lease
from tests.checks.given import BEFORE, IN_SESSION, KEY, NOWHERE
from tests.checks.made_vendors import NOBODY, SOCKETS, SUNDAY, Open, Vendors, answering
from tests.test_config import KEYS


async def test_all_is_well_in_a_session(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_OK, report.lines
    assert report.line("key") == "✓ key: accepted; the exchange says open"
    assert re.fullmatch(
        r"✓ clock: [0-1]\.\d s (behind|ahead of) the vendor's, which comes in whole seconds \(limit 2 s\)",
        report.line("clock"),
    )
    chain = report.line("option chain")
    assert chain.startswith("✓ option chain: IWM calls of 2025-10-02: ")
    assert ", REAL-TIME, " in chain
    assert " with delta, the newest " in chain
    assert report.line("stock bars").endswith("s old")
    assert report.line("user") == "✓ user: valid; devices: phone"
    assert report.line("quota").startswith("✓ quota: 10000 of 10000 pushes left until ")
    # Nothing is sent, and no socket is opened: a copy that runs elsewhere keeps its own.
    assert report.line("sockets") == (
        "⚠ sockets: not tried, because a copy that runs elsewhere would be blind for a minute "
        "— if there is none: python diagnose.py --sockets"
    )
    assert not vendors.pushover.messages
    assert vendors.market.connects == {"stocks": [], "options": []}
    assert report.errors == ""


async def test_a_last_session_without_bars_is_no_failure_before_the_open(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE)
    vendors.market.faults.add("rest_no_rows", path="/v2/aggs", times=10)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_OK, report.lines
    assert report.line("stock bars") == (
        "⚠ stock bars: 0 seconds of IWM in the last half hour of the last session — run this again during a session"
    )


async def test_before_the_open_what_cannot_be_proven_is_said(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_OK, report.lines
    assert report.line("key") == "✓ key: accepted; the exchange says extended-hours"
    assert report.line("option chain").endswith("whether quotes are fresh can be told only after the open")
    assert (
        report.line("contracts")
        == "✓ contracts: how many calls pass the rules can be told only after the open"
    )
    bars = report.line("stock bars")
    assert (
        bars.startswith("✓ stock bars: 1")
        and "seconds of IWM in the last half hour of the last session" in bars
    )
    assert bars.endswith("whether they are real-time can be told only after the open")
    # Nobody is connected at that hour, so both sockets are tried without being asked for.
    assert report.line("stocks socket") == (
        "✓ stocks socket: connected, key accepted, 2 of 2 subscribed; whether bars flow can be told only after the open"
    )
    assert report.line("options socket").endswith("whether quotes flow can be told only after the open")
    assert report.errors == ""


async def test_a_sunday(vendors_at: Open) -> None:
    vendors = await vendors_at(SUNDAY)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_OK, report.lines
    assert "✓ now Sun 05 Oct 12:00 in New York" in report.lines
    assert report.line("no session now").startswith("✓ no session now; next: Mon 06 Oct 09:30–16:00")
    assert report.line("key") == "✓ key: accepted; the exchange says closed"
    assert report.line("option chain") == (
        "⚠ option chain: IWM calls of 2025-10-06: none listed yet — run this again on the morning of that day"
    )
    assert report.line("stocks socket").startswith("✓")
    assert report.line("options socket") == (
        "⚠ options socket: connected, key accepted; there is no known contract to subscribe to — see option chain"
    )


async def test_no_network(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE)
    report = await vendors.run(
        POLYGON_REST_URL=NOWHERE,
        POLYGON_WS_URL=NOBODY,
        PUSHOVER_URL=NOWHERE,
        HEARTBEAT_URL=f"{NOWHERE}/CanaryBeat",
        SECOND_CHANNEL_URL=f"{NOWHERE}/CanarySecond",
    )
    assert report.status == diagnose.EXIT_FAILS
    assert report.failing() == [
        *("key", "option chain", "stock bars", "stocks socket", "options socket"),
        *("user", "quota", "HEARTBEAT_URL", "SECOND_CHANNEL_URL"),
    ]
    for subject in ("key", "option chain", "stock bars"):
        assert report.line(subject).endswith("— check this machine's network, and POLYGON_REST_URL")
    for subject in ("stocks socket", "options socket"):
        assert report.line(subject).endswith("— check this machine's network, and POLYGON_WS_URL")
    for subject in ("user", "quota"):
        assert report.line(subject).endswith("— check this machine's network, and PUSHOVER_URL")
    assert report.line("clock").startswith("⚠ clock: could not be compared")
    assert report.errors == ""


async def test_servers_that_never_answer_do_not_keep_it_waiting(vendors_at: Open) -> None:
    """Each question has a limit of its own and all run at once: the whole is over soon after one limit."""
    vendors = await vendors_at(IN_SESSION)
    async with answering(b"") as (address, asked):
        report = await vendors.ask(
            Asked(sockets=True, send_test=True),
            limit_s=2.0,
            POLYGON_REST_URL=f"http://{address}",
            POLYGON_WS_URL=f"ws://{address}",
            PUSHOVER_URL=f"http://{address}",
            HEARTBEAT_URL=f"http://{address}/CanaryBeat",
            SECOND_CHANNEL_URL=f"http://{address}/CanarySecond",
        )
    assert len(asked) >= 9  # three by REST, two by sockets, two for push, two outside; some of them twice
    assert report.failing() == [
        *("key", "option chain", "stock bars", "stocks socket", "options socket"),
        *("user", "quota", "test push", "HEARTBEAT_URL", "SECOND_CHANNEL_URL"),
    ]
    for subject in ("key", "option chain", "stock bars"):
        assert f"✗ {subject}: no answer " in report.line(subject)


def test_the_limits_of_everything_that_waits_stay_under_15_seconds() -> None:
    """The longest way: one question to its limit, then the closing of its socket, and the start of the program."""
    from feeds.massive.dial import CLOSE_TIMEOUT_S  # noqa: PLC0415

    start_s = 3.0
    assert LIMIT_S + CLOSE_TIMEOUT_S + 0.5 + start_s <= 15.0


@pytest.mark.parametrize("arguments", [(), ("--sockets",)])
async def test_a_copy_that_runs_here_keeps_its_sockets(
    vendors_at: Open, tmp_path: Path, arguments: Sequence[str]
) -> None:
    vendors = await vendors_at(BEFORE)
    lease = Lease(tmp_path / "data")
    lease.acquire("2025-10-02 08:25:00 ET")
    try:
        report = await vendors.run(*arguments)
    finally:
        lease.release()
    assert "started 2025-10-02 08:25:00 ET" in report.line("lease")
    assert report.line("lease").startswith("⚠ lease: a copy is running on DATA_DIR (pid ")
    assert report.line("sockets") == (
        "⚠ sockets: not tried, because a copy is running on DATA_DIR and would lose its connection "
        "— its log says whether bars come"
    )
    assert vendors.market.connects == {"stocks": [], "options": []}
    assert report.status == diagnose.EXIT_OK
    assert report.errors == ""


async def test_a_copy_elsewhere_on_the_account_is_cut_off_by_our_sockets(vendors_at: Open) -> None:
    """Why they are not tried unasked in a session: the vendor gives the newcomer the connection."""
    vendors = await vendors_at(BEFORE)
    await vendors.ask(SOCKETS, limit_s=5.0)
    assert vendors.market.evictions == []
    async with somebodys_socket(vendors) as is_open:
        await vendors.ask(SOCKETS, limit_s=5.0)
        assert not is_open()
    assert [cluster for cluster, _ in vendors.market.evictions] == ["stocks"]


@asynccontextmanager
async def somebodys_socket(vendors: Vendors) -> AsyncIterator[Callable[[], bool]]:
    """A stocks connection of somebody else on the same account."""
    from websockets.asyncio.client import connect  # noqa: PLC0415

    async with connect(f"{vendors.market.ws_url}/stocks", proxy=None) as socket:
        await socket.recv()
        await socket.send('{"action":"auth","params":"' + KEY + '"}')
        await socket.recv()
        yield lambda: vendors.market.open_connections("stocks") > 0


async def test_a_server_that_cannot_be_reached_is_named_and_its_setting_only_if_it_was_set() -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("CANARY")

    found = await check_network(
        config.load(KEYS, None)[0], utils.SystemClock(), transport=httpx.MockTransport(fail)
    )
    lines = {check.found: check.do for check in found}
    for subject, host in (("key", "api.massive.com"), ("user", "api.pushover.net")):
        text = f"{subject}: {host} could not be reached (no connection)"
        assert lines[text] == "check this machine's network"


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]"),
        UnicodeError("label empty or too long"),
        ValueError("Port out of range 0-65535"),
        httpx.InvalidURL("URL too long"),
        OSError(113, "No route to host"),
        ImportError("Using SOCKS proxy, but the 'socksio' package is not installed"),
    ],
)
async def test_whatever_a_connection_raises_is_a_failing_line(error: Exception) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    found = await check_network(
        config.load({**KEYS, "HEARTBEAT_URL": "https://hc.example.com/CANARY"}, None)[0],
        utils.SystemClock(),
        transport=httpx.MockTransport(fail),
    )
    failing = [check.found for check in found if check.severity is Severity.FAIL]
    for subject in ("key", "option chain", "stock bars", "user", "quota", "HEARTBEAT_URL"):
        assert any(text.startswith(f"{subject}: ") for text in failing), subject
    assert "CANARY" not in "".join(failing)
