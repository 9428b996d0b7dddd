"""The preflight against the made vendors: each fault on a line of its own, the right status, and no secret in any."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import config
import diagnose
import preflight
import utils
from events import SECOND, Chain, ChainRow
from preflight import Asked, Mark
from record.lease import Lease
from sim.market import Market
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket, Plan
from tests.patience import PatientClock
from tests.test_diagnose import (
    BEFORE,
    IN_SESSION,
    KEY,
    MINUTE,
    NOWHERE,
    SECRETS,
    SESSION,
    TOKEN,
    USER,
    settings_of,
)

SUNDAY = SESSION.open + (3 * 24 * 60 + 150) * MINUTE
"""Three days later at noon in New York."""

SOCKETS = Asked(sockets=True)
NOBODY = "ws://127.0.0.1:9"


@dataclass
class Report:
    """What the command printed, and its exit status."""

    status: int
    lines: list[str]
    errors: str

    def line(self, subject: str) -> str:
        """The one line about a subject, without its indent."""
        found = [line for line in self.lines if line[2:].startswith(subject)]
        assert len(found) == 1, (subject, self.lines)
        return found[0]

    def failing(self) -> list[str]:
        """The subjects of the lines with a cross."""
        return [line[2:].partition(":")[0] for line in self.lines if line.startswith("✗")]


class Vendors:
    """Both vendors on loopback at one moment of the made day, and what the preflight finds there."""

    def __init__(
        self,
        market: LoopbackMarket,
        pushover: LoopbackPushover,
        clock: utils.Clock,
        home: tuple[Path, pytest.MonkeyPatch, pytest.CaptureFixture[str]],
    ) -> None:
        self.market, self.pushover, self.clock = market, pushover, clock
        self._folder, self._monkeypatch, self._capture = home

    def _addresses(self) -> dict[str, str]:
        return {
            "POLYGON_REST_URL": self.market.rest_url,
            "POLYGON_WS_URL": self.market.ws_url,
            "PUSHOVER_URL": self.pushover.url,
        }

    async def run(self, *arguments: str, **changes: str) -> Report:
        """The command as it is run in a folder with a ``.env``, by the vendors' clock."""
        values = {**SECRETS, **self._addresses(), **changes}
        for name in (*config.variable_names(), *config.ALIASES, "RENDER"):
            self._monkeypatch.delenv(name, raising=False)
        self._monkeypatch.chdir(self._folder)
        text = "".join(f"{name}={value}\n" for name, value in values.items())
        (self._folder / ".env").write_text(text, encoding="utf-8")
        async with asyncio.timeout(60):
            status = await asyncio.to_thread(diagnose.main, arguments, self.clock)
        output, errors = self._capture.readouterr()
        for secret in (*SECRETS.values(), *changes.values(), "Canary"):
            assert "Canary" not in secret or secret not in output + errors
        return Report(status, [line.strip() for line in output.splitlines()], errors)

    async def ask(
        self, asked: Asked | None = None, limit_s: float = preflight.LIMIT_S, **changes: str
    ) -> Report:
        """Only the lines of the vendors, with a limit for each question."""
        settings = settings_of(**{**self._addresses(), **changes})
        async with asyncio.timeout(60):
            checks = await preflight.check_network(settings, self.clock, asked, limit_s=limit_s)
        lines = [check.line().strip() for check in checks]
        assert not [line for line in lines if "Canary" in line]
        status = diagnose.EXIT_FAILS if any(c.mark is Mark.FAIL for c in checks) else diagnose.EXIT_OK
        return Report(status, lines, "")


class Open:
    """Opens `Vendors` at a moment; all are closed when the test ends."""

    def __init__(
        self,
        market: Market,
        stack: AsyncExitStack,
        home: tuple[Path, pytest.MonkeyPatch, pytest.CaptureFixture[str]],
    ) -> None:
        self._market, self._stack, self._home = market, stack, home

    async def __call__(self, at: int, plan: Plan | None = None, speed: float = 1.0) -> Vendors:
        clock = PatientClock(at, speed)
        market = await self._stack.enter_async_context(LoopbackMarket(self._market, clock, KEY, plan=plan))
        pushover = await self._stack.enter_async_context(LoopbackPushover(clock, TOKEN, USER))
        return Vendors(market, pushover, clock, self._home)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(7, SESSION)


@pytest.fixture
async def vendors_at(
    market: Market,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:
        yield Open(market, stack, (tmp_path, monkeypatch, capsys))


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives every connection one answer (none: it keeps it waiting). Yields its port and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).strip())
        if answer:
            writer.write(answer)
        else:
            while await reader.read(4096):
                pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def http(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


# --- All is well -------------------------------------------------------------------------------------


async def test_all_is_well_in_a_session(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_OK, report.lines
    assert report.line("key") == "✓ key: accepted; the exchange says open"
    assert re.fullmatch(
        r"✓ clock: [0-1]\.\d s (behind|ahead of) the vendor's, which is told in whole seconds \(limit 2 s\)",
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


async def test_the_sockets_in_a_session(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION, speed=4.0)
    report = await vendors.run("--sockets")
    assert report.status == diagnose.EXIT_OK, report.lines
    seen = re.fullmatch(
        r"✓ stocks socket: connected, key accepted, 2 of 2 subscribed, (\d+) bars, \d+\.\d s late \(median, limit 15 s\)",
        report.line("stocks socket"),
    )
    # Enough are 5; more than one may come in the last frame.
    assert seen is not None and int(seen[1]) >= 5, report.line("stocks socket")
    assert report.line("options socket").startswith(
        "✓ options socket: connected, key accepted, 10 of 10 subscribed, "
    )
    assert report.errors.splitlines() == [diagnose.SOCKETS_WARNING]
    # Closed with a close frame, so that the account's only connection is free at once.
    assert {(ended.cluster, ended.code) for ended in vendors.market.ended} == {
        ("options", 1000),
        ("stocks", 1000),
    }


async def test_before_the_open_what_cannot_be_proven_is_said(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_OK, report.lines
    assert report.line("key") == "✓ key: accepted; the exchange says extended-hours"
    assert report.line("option chain").endswith("that quotes are fresh shows only after the open")
    assert report.line("contracts") == "✓ contracts: how many calls pass the rules shows only after the open"
    # The day before the made one has no bars: that, too, is no failure before the open.
    assert report.line("stock bars") == (
        "⚠ stock bars: 0 seconds of IWM in the last session's last half hour — ask again during a session"
    )
    # Nobody is connected at that hour, so both sockets are tried without being asked for.
    assert report.line("stocks socket") == (
        "✓ stocks socket: connected, key accepted, 2 of 2 subscribed; that bars flow shows only after the open"
    )
    assert report.line("options socket").endswith("that quotes flow shows only after the open")
    assert report.errors == ""


async def test_a_sunday(vendors_at: Open) -> None:
    vendors = await vendors_at(SUNDAY)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_OK, report.lines
    assert "✓ now Sun 05 Oct 12:00 in New York" in report.lines
    assert report.line("no session now").startswith("✓ no session now; next: Mon 06 Oct 09:30–16:00")
    assert report.line("key") == "✓ key: accepted; the exchange says closed"
    assert report.line("option chain") == (
        "⚠ option chain: IWM calls of 2025-10-06: none listed yet — ask again in the morning of that day"
    )
    assert report.line("stocks socket").startswith("✓")
    assert report.line("options socket") == (
        "⚠ options socket: connected, key accepted; no contract is known to subscribe to — see option chain"
    )


@pytest.mark.parametrize(
    ("minutes", "connected"),
    [(-11, False), (-9, True), (0, True), (389, True), (390.5, True), (392, False)],
)
def test_when_a_worker_elsewhere_may_be_connected(minutes: float, connected: bool) -> None:
    now = SESSION.open + int(minutes * MINUTE)
    assert preflight.may_be_connected(SESSION, now) is connected


# --- Market data: what goes wrong --------------------------------------------------------------------


async def test_a_bad_key(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE)
    report = await vendors.run(POLYGON_API_KEY="CanaryOtherKey")
    assert report.status == diagnose.EXIT_FAILS
    remedy = "— check POLYGON_API_KEY against the dashboard at massive.com"
    for subject in ("key", "option chain", "stock bars"):
        assert report.line(subject) == f"✗ {subject}: key refused (401): Unknown API Key {remedy}"
    for market in ("stocks", "options"):
        assert report.line(f"{market} socket") == (
            f"✗ {market} socket: auth_failed: authentication failed — The vendor refuses the API key (it says: "
            "authentication failed). Check POLYGON_API_KEY against the vendor's dashboard and start again."
        )
    assert report.failing() == ["key", "option chain", "stock bars", "stocks socket", "options socket"]
    # A refusal tells the time as well as any answer.
    assert report.line("clock").startswith("✓")


async def test_a_plan_without_option_quotes(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION, Plan(option_channels=()))
    vendors.market.faults.add("no_quotes")
    report = await vendors.ask(SOCKETS, limit_s=5.0)
    assert report.status == diagnose.EXIT_FAILS
    assert report.line("option chain").endswith(
        "0 quoted, no last_quote — the plan has no option quotes: Options Advanced is needed"
    )
    assert report.line("contracts").startswith("⚠ contracts: none passes now; of ")
    assert "fell to each rule: unquoted 19" in report.line("contracts")
    assert report.line("options socket").startswith(
        "⚠ options socket: connected, key accepted, 0 of 10 subscribed, not Q.O:IWM"
    )
    assert report.line("options socket").endswith(
        "the plan has no quote stream (Options Advanced has); without it the chain is polled, every 2 s"
    )
    assert report.failing() == ["option chain"]


async def test_a_delayed_plan(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("delayed_quotes")
    vendors.market.faults.add("aggregates_lag", by=900)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_FAILS
    assert report.line("option chain").endswith(
        "timeframe is not REAL-TIME — a delayed plan: Options Advanced is needed"
    )
    assert "fell to each rule: delayed 1" in report.line("contracts")
    assert "the newest 15m" in report.line("stock bars")
    assert report.line("stock bars").endswith("a delayed plan, or a halt: Stocks Advanced is needed")
    assert report.failing() == ["option chain", "stock bars"]


async def test_bars_of_a_delayed_plan_on_the_socket(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION, speed=20.0)
    vendors.market.faults.add("late", by=40.0)
    report = await vendors.ask(SOCKETS)
    found = re.fullmatch(
        r"✗ stocks socket: connected, key accepted, 2 of 2 subscribed, 5 bars, (\d+\.\d) s late \(median, limit 15 s\) "
        r"— a delayed plan or address: real time is needed",
        report.line("stocks socket"),
    )
    assert found is not None, report.line("stocks socket")
    assert float(found[1]) >= 40
    assert report.status == diagnose.EXIT_FAILS


async def test_a_plan_without_chain_bars_and_streaming(vendors_at: Open) -> None:
    plan = Plan(chain=False, aggregates=False, websocket=False)
    report = await (await vendors_at(BEFORE, plan)).run()
    remedy = "the plan does not include it: Stocks Advanced and Options Advanced are needed"
    for subject in ("option chain", "stock bars"):
        assert report.line(subject).startswith(f"✗ {subject}: not in the plan (403): ")
        assert report.line(subject).endswith(remedy)
    assert "Your plan has no websocket access for stocks" in report.line("stocks socket")
    assert report.failing() == ["option chain", "stock bars", "stocks socket", "options socket"]


async def test_a_plan_without_second_bars_on_the_socket(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE, Plan(stock_channels=("AM",)))
    report = await vendors.ask(SOCKETS, limit_s=5.0)
    assert report.line("stocks socket") == (
        "✗ stocks socket: connected, key accepted, 0 of 2 subscribed, not A.IWM, A.SPY (the vendor says: not "
        "authorized) — Stocks Advanced is needed for bars in real time"
    )


@pytest.mark.parametrize("feed", ["stocks", "options"])
@pytest.mark.parametrize("fault", ["evict", "max_connections_at_auth"])
async def test_another_copy_has_the_connection(vendors_at: Open, feed: str, fault: str) -> None:
    vendors = await vendors_at(BEFORE)
    vendors.market.faults.add(fault, feed=feed)
    report = await vendors.run()
    assert vendors.market.faults.fired[fault] == 1
    assert report.line(f"{feed} socket") == (
        f"✗ {feed} socket: max_connections: another copy has taken the connection — another copy has the account's "
        "only connection: stop it, or do not run this one (a second key does not help)"
    )
    assert report.failing() == [f"{feed} socket"]
    assert report.status == diagnose.EXIT_FAILS


async def test_a_pair_that_is_not_acknowledged(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE)
    vendors.market.faults.add("no_ack", feed="stocks", pair="A.SPY")
    report = await vendors.ask(SOCKETS, limit_s=5.0)
    assert report.line("stocks socket") == (
        "✗ stocks socket: connected, key accepted, 1 of 2 subscribed, not A.SPY "
        "— ask again; if it stays, check SYMBOL and BENCHMARK"
    )


async def test_a_socket_on_which_no_bars_come(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("silence", feed="stocks")
    report = await vendors.ask(SOCKETS, limit_s=5.0)
    assert report.line("stocks socket") == (
        "✗ stocks socket: connected, key accepted, 2 of 2 subscribed, but no bars came in time "
        "— ask again; if it stays: a halt, or the plan"
    )


@pytest.mark.parametrize(("by", "text"), [(-45, "ahead of"), (45, "behind")])
async def test_a_clock_that_is_off(vendors_at: Open, by: float, text: str) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("skewed_date", by=by)
    report = await vendors.run()
    assert report.status == diagnose.EXIT_FAILS
    assert report.failing() == ["clock"]
    found = re.fullmatch(
        rf"✗ clock: (4\d\.\d) s {text} the vendor's, which is told in whole seconds \(limit 2 s\) "
        r"— set this machine's clock \(NTP\): entries are held until then",
        report.line("clock"),
    )
    assert found is not None, report.line("clock")
    assert abs(float(found[1]) - abs(by)) < 3


@pytest.mark.parametrize(
    ("by", "fails", "text"),
    [
        (1.2, False, "s behind"),
        (-1.2, False, "s ahead of"),
        (2.8, True, "s behind"),
        (-2.8, True, "s ahead of"),
    ],
)
async def test_a_clock_at_both_sides_of_its_limit(
    vendors_at: Open, by: float, fails: bool, text: str
) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("skewed_date", by=by)
    report = await vendors.run()
    assert report.line("clock").startswith("✗ clock: " if fails else "✓ clock: ")
    assert f" {text} the vendor's, which is told in whole seconds (limit 2 s)" in report.line("clock")


async def test_a_clock_that_is_days_off(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("skewed_date", by=-3 * 86_400)
    report = await vendors.run()
    assert report.line("clock").startswith("✗ clock: 3 days ahead of the vendor's")


async def test_a_clock_that_cannot_be_compared(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("no_date")
    report = await vendors.run()
    assert "clock: could not be compared with the vendor's" in report.line("clock")


async def test_an_unscheduled_closing(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("market_closed")
    report = await vendors.run()
    assert report.line("key") == (
        "⚠ key: accepted; the exchange says closed, the calendar says open — no entries while it stays so"
    )
    assert report.status == diagnose.EXIT_OK


@pytest.mark.parametrize("fault", ["rest_html", "rest_bad_json", "rest_429", "rest_reset"])
async def test_a_vendor_in_trouble_costs_its_own_line_only(vendors_at: Open, fault: str) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add(fault, times=4, path="/v3/snapshot/")
    report = await vendors.run()
    assert report.failing() == ["option chain"]
    assert " — " in report.line("option chain")
    # What follows from it is not said as another fault.
    assert not [line for line in report.lines if "contracts" in line]


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
    assert preflight.LIMIT_S + CLOSE_TIMEOUT_S + 0.5 + start_s <= 15.0


# --- Push and the outside watch ----------------------------------------------------------------------


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
        ("cut", "⚠ test push: sent, and the answer was lost (connection closed without an answer"),
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
        "✓ SECOND_CHANNEL_URL: its server answers (405); nothing was posted, so more is not known"
    )
    assert vendors.pushover.texts == []
    report = await vendors.run(SECOND_CHANNEL_URL=f"{vendors.pushover.url}/CanaryGone")
    assert report.line("SECOND_CHANNEL_URL: its").startswith("⚠")
    assert report.status == diagnose.EXIT_OK


# --- A copy that is running --------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--sockets",)])
async def test_a_copy_that_runs_here_keeps_its_sockets(
    vendors_at: Open, tmp_path: Path, arguments: Sequence[str]
) -> None:
    vendors = await vendors_at(BEFORE)
    lease = Lease(tmp_path / "data")
    lease.take("2025-10-02T12:25:00Z")
    try:
        report = await vendors.run(*arguments)
    finally:
        lease.release()
    assert "started 2025-10-02T12:25:00Z" in report.line("lease")
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


# --- What a chain says -------------------------------------------------------------------------------


def row(**changes: object) -> ChainRow:
    values: dict[str, object] = {
        **{"contract": "O:IWM251002C00215000", "strike": 215_000, "shares": 100.0},
        **{"bid": 13_900, "ask": 14_100, "bid_size": 35.0, "ask_size": 40.0},
        **{"quoted_at": IN_SESSION - SECOND, "real_time": True},
        **{"iv": 0.28, "delta": 0.42, "open_interest": 1000.0},
    }
    return ChainRow(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "now", "mark", "words"),
    [
        ((), IN_SESSION, Mark.FAIL, "none"),
        ((), BEFORE, Mark.WARNING, "none listed yet"),
        ((row(),), IN_SESSION, Mark.OK, "1 strikes, 1 quoted, REAL-TIME, 1 with delta, the newest 1s old"),
        ((row(), row(quoted_at=0)), IN_SESSION, Mark.OK, "2 strikes, 1 quoted"),
        ((row(bid=0, ask=0),), IN_SESSION, Mark.FAIL, "no last_quote"),
        ((row(real_time=False), row()), IN_SESSION, Mark.FAIL, "not REAL-TIME"),
        ((row(quoted_at=IN_SESSION - 5 * MINUTE),), IN_SESSION, Mark.WARNING, "the newest 5m00s old"),
        ((row(quoted_at=IN_SESSION - 15 * SECOND),), IN_SESSION, Mark.OK, "the newest 15s old"),
        ((row(quoted_at=IN_SESSION - 16 * SECOND),), IN_SESSION, Mark.WARNING, "the newest 16s old"),
        ((row(quoted_at=BEFORE - 17 * 60 * MINUTE),), BEFORE, Mark.OK, "shows only after the open"),
        # In the first minutes, yesterday's quotes are still what there is.
        ((row(quoted_at=BEFORE - 17 * 60 * MINUTE),), SESSION.open + MINUTE, Mark.OK, "REAL-TIME"),
    ],
)
def test_what_a_chain_says(rows: tuple[ChainRow, ...], now: int, mark: Mark, words: str) -> None:
    check = preflight.judge_chain(Chain(rows=rows), SESSION, "IWM", now)
    assert check.mark is mark
    assert words in check.found
    assert bool(check.do) is (mark is not Mark.OK)


def test_how_many_calls_fall_to_each_rule() -> None:
    """Hand-made: one call falls to each of four rules, and one is taken."""
    rows = (
        row(contract="O:IWM251002C00213000", strike=213_000, bid=0),
        row(contract="O:IWM251002C00214000", strike=214_000, ask=16_000),
        row(),
        row(contract="O:IWM251002C00216000", strike=216_000, open_interest=3.0),
        row(contract="O:IWM251002C00217000", strike=217_000, delta=0.05, bid=2_100, ask=2_150),
    )
    rules = settings_of().rules
    check = preflight.judge_contracts(Chain(rows=rows), rules, SESSION, 214.6, IN_SESSION)
    assert check.line().strip() == (
        "✓ contracts: O:IWM251002C00215000 (Δ0.42, spread 1.4%) would be taken now; of 5 calls, fell to each rule: "
        "unquoted 1, spread 1, open interest 1, delta 1"
    )
    check = preflight.judge_contracts(Chain(rows=rows[:2]), rules, SESSION, 214.6, IN_SESSION)
    assert check.mark is Mark.WARNING
    assert check.found == "contracts: none passes now; of 2 calls, fell to each rule: unquoted 1, spread 1"
    check = preflight.judge_contracts(Chain(rows=rows[2:3]), rules, SESSION, 214.6, IN_SESSION)
    assert check.found.endswith("would be taken now; of 1 call")


def test_a_chain_is_said_to_stand_still_from_when_the_worker_takes_it_so() -> None:
    assert settings_of().rules.quote_frozen_seconds == preflight.QUOTE_AGE_SECONDS


@pytest.mark.parametrize(
    ("age_s", "told"),
    [(15, "would be taken now"), (16, "none passes now; of 1 call, fell to each rule: delayed 1")],
)
def test_a_chain_that_stands_still_passes_no_call(age_s: int, told: str) -> None:
    """Though it has just come, and says REAL-TIME."""
    frozen = row(quoted_at=IN_SESSION - age_s * SECOND)
    check = preflight.judge_contracts(Chain(rows=(frozen,)), settings_of().rules, SESSION, 214.6, IN_SESSION)
    assert told in check.found


def test_the_nearest_calls_with_and_without_a_price() -> None:
    rows = tuple(
        row(contract=f"O:IWM251002C00{strike}000", strike=strike * 1000) for strike in range(210, 221)
    )
    chain = Chain(rows=rows)
    assert preflight.nearest(chain, 212.2, 2) == ["O:IWM251002C00212000", "O:IWM251002C00213000"]
    assert preflight.nearest(chain, None, 1) == ["O:IWM251002C00215000"]
    assert preflight.nearest(None, 212.2, 2) == []


def test_the_last_close_is_found_over_a_holiday() -> None:
    monday = utils.session_at(SUNDAY)
    assert preflight.last_close(monday.open) == SESSION.close + 24 * 60 * MINUTE
    assert preflight.last_close(monday.close) == monday.close
