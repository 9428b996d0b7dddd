"""The preflight: every finding on a line of its own, the right exit status, and no secret in any of it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import date
from pathlib import Path
from types import MappingProxyType

import pytest

import config
import diagnose
import utils
from diagnose import Check, Mark
from events import SECOND, Chain, ChainRow, Session
from journal import Lease
from sim.market import Market
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket, Plan

KEY = "CanaryPolygonKey0123456789"
TOKEN = "CanaryTokenaaaaaaaaaaaaaaaaaaa"
USER = "CanaryUserbbbbbbbbbbbbbbbbbbbb"
SECRETS = {"POLYGON_API_KEY": KEY, "PUSHOVER_TOKEN": TOKEN, "PUSHOVER_USER_KEY": USER}
ROOT = Path(__file__).parent.parent

MINUTE = 60 * SECOND
NOWHERE = "http://127.0.0.1:9"
"""An address that nothing listens on."""


def session_of(day: str) -> Session:
    session = utils.session_on(date.fromisoformat(day))
    assert session is not None
    return session


SESSION = session_of("2025-10-02")


def settings_of(**changes: str) -> config.Settings:
    return config.load({**SECRETS, **changes}, None)[0]


class Vendors:
    """Both vendors on loopback at one moment of the made day, and what the preflight finds there."""

    def __init__(self, market: LoopbackMarket, pushover: LoopbackPushover, clock: utils.Clock) -> None:
        self.market, self.pushover, self._clock = market, pushover, clock

    async def lines(self, **changes: str) -> list[str]:
        """The lines of the checks that need the network."""
        addresses = {"POLYGON_REST_URL": self.market.rest_url, "PUSHOVER_URL": self.pushover.url}
        checks = await diagnose.check_network(settings_of(**{**addresses, **changes}), self._clock)
        lines = [check.line().strip() for check in checks]
        assert not [line for line in lines if "Canary" in line]
        return lines


class Open:
    """Opens `Vendors` at a moment; all are closed when the test ends."""

    def __init__(self, market: Market, stack: AsyncExitStack) -> None:
        self._market, self._stack = market, stack

    async def __call__(self, at: int, plan: Plan | None = None) -> Vendors:
        clock = utils.ScaledClock(at, 1.0)
        market = await self._stack.enter_async_context(LoopbackMarket(self._market, clock, KEY, plan=plan))
        pushover = await self._stack.enter_async_context(LoopbackPushover(clock, TOKEN, USER))
        return Vendors(market, pushover, clock)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(7, SESSION)


@pytest.fixture
async def vendors_at(market: Market) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:
        yield Open(market, stack)


IN_SESSION = SESSION.open + 70 * MINUTE
BEFORE = SESSION.open - 60 * MINUTE


# --- With the vendors --------------------------------------------------------------------------------


async def test_all_is_well_in_a_session(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    key, chain, stocks, user, quota = await vendors.lines()
    assert key == "✓ key: accepted; the exchange says open"
    assert chain.startswith("✓ option chain: IWM calls of 2025-10-02: ")
    assert ", REAL-TIME, the newest " in chain
    assert "with delta" in chain
    assert stocks.startswith("✓ stock bars: ")
    assert "s old" in stocks
    assert user == "✓ user: valid; devices: phone"
    assert quota.startswith("✓ quota: 10000 of 10000 pushes left until ")
    # A cheap question each: nothing is sent and no socket is opened.
    assert not vendors.pushover.messages
    assert vendors.market.connects == {"stocks": [], "options": []}


async def test_what_cannot_be_proven_before_the_open_is_said(vendors_at: Open) -> None:
    vendors = await vendors_at(BEFORE)
    key, chain, stocks, *_ = await vendors.lines()
    assert key == "✓ key: accepted; the exchange says extended-hours"
    assert chain.endswith("that quotes are fresh shows only after the open")
    # The day before the made one has no bars: that, too, is no failure before the open.
    assert stocks == (
        "⚠ stock bars: 0 seconds of IWM in the last half hour of the session — ask again during a session"
    )


async def test_a_bad_key(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    key, chain, stocks, user, quota = await vendors.lines(POLYGON_API_KEY="CanaryOtherKey")
    remedy = "— check POLYGON_API_KEY against the dashboard at massive.com"
    assert key == f"✗ key: key refused (401): Unknown API Key {remedy}"
    assert chain == f"✗ option chain: key refused (401): Unknown API Key {remedy}"
    assert stocks == f"✗ stock bars: key refused (401): Unknown API Key {remedy}"
    assert user.startswith("✓")
    assert quota.startswith("✓")


async def test_a_plan_without_option_quotes(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("no_quotes")
    _, chain, *_ = await vendors.lines()
    assert chain.startswith("✗ option chain: ")
    assert chain.endswith(
        "0 quoted, no last_quote — the plan has no option quotes: Options Advanced is needed"
    )


async def test_a_delayed_plan(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add("delayed_quotes")
    vendors.market.faults.add("aggregates_lag", by=900)
    _, chain, stocks, *_ = await vendors.lines()
    assert chain.startswith("✗ option chain: ")
    assert chain.endswith("timeframe is not REAL-TIME — a delayed plan: Options Advanced is needed")
    assert stocks.startswith("✗ stock bars: ")
    assert "the newest 15m" in stocks
    assert stocks.endswith("a delayed plan, or a halt: Stocks Advanced is needed")


async def test_a_plan_without_chain_or_bars(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION, Plan(chain=False, aggregates=False))
    _, chain, stocks, *_ = await vendors.lines()
    remedy = "the plan does not include it: Stocks Advanced and Options Advanced are needed"
    assert chain.startswith("✗ option chain: not in the plan (403): ")
    assert chain.endswith(remedy)
    assert stocks.startswith("✗ stock bars: not in the plan (403): ")


async def test_a_clock_that_is_off_and_an_unscheduled_closing(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    fault = vendors.market.faults.add("skewed_date", by=-45)
    key, *_ = await vendors.lines()
    assert "this machine's clock is 45 s off — set the clock" in key or "clock is 44 s off" in key
    assert key.startswith("✗ key: accepted")
    vendors.market.faults.clear(fault.name)
    vendors.market.faults.add("market_closed")
    key, *_ = await vendors.lines()
    assert key == (
        "⚠ key: accepted; the exchange says closed, the calendar says open — no entries while it stays so"
    )


async def test_wrong_push_keys(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    *_, user, quota = await vendors.lines(PUSHOVER_USER_KEY="CanaryUserxxxxxxxxxxxxxxxxxxxx")
    assert user == (
        "✗ user: refused, 400: user identifier is not a valid user, group, or subscribed user key "
        "— check PUSHOVER_USER_KEY at pushover.net"
    )
    assert quota.startswith("✓")
    *_, user, quota = await vendors.lines(PUSHOVER_TOKEN="CanaryTokenxxxxxxxxxxxxxxxxxxx")
    assert user == "✗ user: refused, 400: application token is invalid — check PUSHOVER_TOKEN at pushover.net"
    assert quota.startswith("✗ quota: refused, 400: application token is invalid")


@pytest.mark.parametrize(("remaining", "mark"), [(200, "✓"), (199, "⚠"), (0, "✗")])
async def test_a_quota_that_runs_out(vendors_at: Open, remaining: int, mark: str) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.pushover.remaining = remaining
    *_, quota = await vendors.lines()
    assert quota.startswith(f"{mark} quota: {remaining} of 10000 pushes left until ")


async def test_no_network(vendors_at: Open) -> None:
    vendors = await vendors_at(IN_SESSION)
    lines = await vendors.lines(POLYGON_REST_URL=NOWHERE, PUSHOVER_URL=NOWHERE)
    assert [line.split(" — ")[1] for line in lines] == [
        *["check this machine's network, and POLYGON_REST_URL"] * 3,
        *["check this machine's network, and PUSHOVER_URL"] * 2,
    ]
    assert all(line.startswith("✗") for line in lines)


@pytest.mark.parametrize("fault", ["rest_html", "rest_bad_json", "rest_429", "rest_reset"])
async def test_a_vendor_in_trouble_costs_its_own_line_only(vendors_at: Open, fault: str) -> None:
    vendors = await vendors_at(IN_SESSION)
    vendors.market.faults.add(fault, times=4, path="/v3/snapshot/")
    key, chain, stocks, *_ = await vendors.lines()
    assert key.startswith("✓")
    assert chain.startswith("✗ option chain: ")
    assert " — " in chain
    assert stocks.startswith("✓")


# --- What a chain says -------------------------------------------------------------------------------


def row(**changes: object) -> ChainRow:
    values: dict[str, object] = {
        **{"contract": "O:IWM251002C00215000", "strike": 215_000, "shares": 100.0},
        **{
            "bid": 13_900,
            "ask": 14_100,
            "bid_size": 35.0,
            "ask_size": 40.0,
            "quoted_at": IN_SESSION - SECOND,
        },
        **{"real_time": True, "iv": 0.28, "delta": 0.42, "open_interest": 1000.0},
    }
    return ChainRow(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "now", "mark", "words"),
    [
        ((), IN_SESSION, Mark.FAIL, "none"),
        ((), BEFORE, Mark.WARNING, "none listed yet"),
        ((row(),), IN_SESSION, Mark.OK, "1 strikes, 1 quoted, REAL-TIME, the newest 1s old, 1 with delta"),
        ((row(), row(quoted_at=0)), IN_SESSION, Mark.OK, "2 strikes, 1 quoted"),
        ((row(bid=0, ask=0),), IN_SESSION, Mark.FAIL, "no last_quote"),
        ((row(real_time=False), row()), IN_SESSION, Mark.FAIL, "not REAL-TIME"),
        ((row(quoted_at=IN_SESSION - 5 * MINUTE),), IN_SESSION, Mark.WARNING, "the newest 5m00s old"),
        ((row(quoted_at=BEFORE - 17 * 60 * MINUTE),), BEFORE, Mark.OK, "shows only after the open"),
        # In the first minutes, yesterday's quotes are still what there is.
        ((row(quoted_at=BEFORE - 17 * 60 * MINUTE),), SESSION.open + MINUTE, Mark.OK, "REAL-TIME"),
    ],
)
def test_what_a_chain_says(rows: tuple[ChainRow, ...], now: int, mark: Mark, words: str) -> None:
    check = diagnose.judge_chain(Chain(rows=rows), SESSION, "IWM", now)
    assert check.mark is mark
    assert words in check.found
    assert bool(check.do) is (mark is not Mark.OK)


# --- Without the vendors -----------------------------------------------------------------------------


def test_python_and_packages() -> None:
    assert diagnose.check_python((3, 11, 0)).line() == "  ✓ Python 3.11.0"
    assert diagnose.check_python((3, 10, 13)).line() == "  ✗ Python 3.10.13 — install Python 3.11 or newer"

    def installed(name: str) -> str:
        found = {"httpx": "0.28.1", "structlog": "1.0"}
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    text = "# why\nhttpx==0.28.1\nstructlog==26.1.0  # newer\nmsgspec==0.22.0\n\nnumpy==2.4.6\n-r other.txt\n"
    assert [check.line().strip() for check in diagnose.check_packages(text, installed)] == [
        "✓ httpx 0.28.1",
        "⚠ structlog 1.0 — tested with 26.1.0: pip install -r requirements.txt",
        "✗ msgspec: missing — pip install -r requirements.txt",
        "⚠ numpy: only the demo needs it — pip install -r requirements.txt",
    ]


def test_the_packages_that_are_pinned_are_the_ones_installed() -> None:
    checks = diagnose.check_packages((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    assert len(checks) >= 10
    assert {check.mark for check in checks} == {Mark.OK}


def test_modules_that_cannot_be_imported_are_named() -> None:
    assert [check.line() for check in diagnose.check_modules(("events", "utils"))] == [
        "  ✓ all 2 can be imported"
    ]
    (check,) = diagnose.check_modules(("events", "no_such_module"))
    assert check.mark is Mark.FAIL
    assert check.found.startswith("no_such_module: ModuleNotFoundError")
    existing = {path.stem for path in ROOT.glob("*.py")} - {"diagnose"}
    assert set(diagnose.MODULES) == existing


def test_each_setting_and_where_it_came_from() -> None:
    environment = {**SECRETS, "STOP_LOSS_PERCENT": "20", "HEARTBEAT_URL": "https://hc.example.com/Canary"}
    settings, sources = config.load(environment, None)
    checks = diagnose.check_settings(settings, sources, verbose=True)
    lines = [check.line().strip() for check in checks][1:]
    assert len(lines) == len(config.variable_names())
    assert "✓ POLYGON_API_KEY = set (environment)" in lines
    assert "✓ HEARTBEAT_URL = set (environment)" in lines
    assert "✓ SECOND_CHANNEL_URL = not set (default)" in lines
    assert "✓ STOP_LOSS_PERCENT = 20 (environment)" in lines
    assert "✓ DAILY_SUMMARY = on (default)" in lines
    assert not [line for line in lines if "Canary" in line]
    # Without being asked for all, only what was given, and how many were not.
    short = [check.line().strip() for check in diagnose.check_settings(settings, sources)][1:]
    assert short == [
        *(line for line in lines if line.endswith("(environment)")),
        f"✓ {len(lines) - 5} others at their default (--verbose shows them)",
    ]


def odd(environment: Mapping[str, str] = MappingProxyType({}), /, **changes: str) -> list[str]:
    """What is found odd besides the missing heartbeat."""
    settings = settings_of(**{"HEARTBEAT_URL": "https://hc.example.com/x", **changes})
    return [check.line().strip() for check in diagnose.check_oddities(settings, environment)]


def test_the_defaults_are_not_odd_but_for_the_heartbeat() -> None:
    assert odd() == []
    (line,) = odd(HEARTBEAT_URL="")
    assert line.startswith("⚠ HEARTBEAT_URL is not set: when the whole machine dies, nobody tells you")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PUSHOVER_TOKEN": USER}, "are the same"),
        ({"POLYGON_WS_URL": "wss://delayed.massive.com"}, "delayed feed"),
        ({"SELL_PRIORITY": "1"}, "SELL_PRIORITY"),
        ({"LOG_LEVEL": "ERROR"}, "LOG_LEVEL"),
        ({"ON_SHUTDOWN": "keep"}, "unwatched"),
        ({"BENCHMARK": ""}, "BENCHMARK is empty"),
        ({"RELATIVE_VOLUME_MIN": "0"}, "RELATIVE_VOLUME_MIN is 0"),
        ({"DELTA_STRETCH_DOWN": "0", "DELTA_STRETCH_UP": "0"}, "delta range"),
        ({"HARD_TIME_STOP": "15:59"}, "HARD_TIME_STOP is later than 15:55"),
        ({"MAX_LAG_SECONDS": "61"}, "MAX_LAG_SECONDS"),
        ({"WARMUP_SECONDS": "21600"}, "there can be no entry at all"),
        *[({name: "0"}, f"{name} is 0: this protection is off") for name in diagnose.OFF_AT_ZERO],
    ],
)
def test_what_is_legal_and_odd(changes: dict[str, str], words: str) -> None:
    (line,) = odd(**changes)
    assert line.startswith("⚠")
    assert words in line


def test_a_slip_of_the_pen_in_the_environment() -> None:
    assert odd({"STOP_LOSS_PERCENTS": "1", "PATH": "/bin", "MASSIVE_API_KEY": "x", "SYMBOL": "IWM"}) == [
        "⚠ the environment has STOP_LOSS_PERCENTS, which is no setting — did you mean STOP_LOSS_PERCENT?"
    ]


def test_places_that_can_and_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    good = settings_of(DATA_DIR=str(tmp_path / "new" / "data"), LOG_FILE=str(tmp_path / "iwm.log"))
    assert {check.mark for check in diagnose.check_places(good, {})} == {Mark.OK}
    assert not (tmp_path / "new").exists()
    data, log = diagnose.check_places(
        settings_of(DATA_DIR=str(file / "data"), LOG_FILE=str(tmp_path / "l")), {}
    )
    assert data.mark is Mark.FAIL
    assert data.found == f"DATA_DIR: {file / 'data'} cannot be used: {file} is a file, not a folder"
    assert log.mark is Mark.OK
    data, _ = diagnose.check_places(settings_of(DATA_DIR=str(file), LOG_FILE=str(tmp_path / "l")), {})
    assert data.mark is Mark.FAIL
    assert data.found == f"DATA_DIR: {file} cannot be used: {file} is a file, not a folder"


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    def log(path: Path) -> Check:
        _, check = diagnose.check_places(settings_of(DATA_DIR=str(tmp_path), LOG_FILE=str(path)), {})
        return check

    written = tmp_path / "iwm.log"
    written.write_text("kept\n")
    assert log(written).found == f"LOG_FILE: {written} can be written"
    assert written.read_text() == "kept\n"
    assert log(tmp_path).found == f"LOG_FILE: {tmp_path} is a folder, not a file"
    link = tmp_path / "link"
    link.symlink_to(written)
    assert log(link).found == f"LOG_FILE: {link} is a symbolic link, which the log refuses"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert log(pipe).found.startswith(f"LOG_FILE: {pipe} cannot be opened (")
    below = written / "below.log"
    assert log(below).found == f"LOG_FILE: {below} cannot be used: {written} is a file, not a folder"
    assert {log(path).mark for path in (tmp_path, link, pipe, below)} == {Mark.FAIL}


def test_a_copy_that_is_running_is_told(tmp_path: Path) -> None:
    settings = settings_of(DATA_DIR=str(tmp_path), LOG_FILE=str(tmp_path / "iwm.log"))
    lease = Lease(tmp_path)
    lease.take("2025-10-02T13:25:00Z")
    _, check, _ = diagnose.check_places(settings, {})
    assert check.mark is Mark.WARNING
    assert check.found == (
        f"DATA_DIR: a copy is running there (pid {os.getpid()}, started 2025-10-02T13:25:00Z)"
    )
    lease.release()
    # The file stays; nobody holds it, and the preflight does not keep it either.
    for _ in range(2):
        assert {check.mark for check in diagnose.check_places(settings, {})} == {Mark.OK}
    lease.take("2025-10-02T13:26:00Z")
    lease.release()


@pytest.mark.parametrize(
    ("now", "lines"),
    [
        (
            IN_SESSION,
            [
                "now Thu 02 Oct 10:40 in New York",
                "in session: Thu 02 Oct 09:30–16:00 New York, closes in 5h20m",
                "that day: no entry from 15:30, time stop 15:55",
            ],
        ),
        (
            BEFORE,
            [
                "now Thu 02 Oct 08:30 in New York",
                "session today: Thu 02 Oct 09:30–16:00 New York, opens in 1h00m",
                "that day: no entry from 15:30, time stop 15:55",
            ],
        ),
        (
            session_of("2025-11-26").close,
            [
                "now Wed 26 Nov 16:00 in New York",
                "no session now; next: Fri 28 Nov 09:30–13:00 New York (early close), opens in 41h30m",
                "that day: no entry from 12:30, time stop 12:55",
                "next early close: Fri 28 Nov 13:00",
            ],
        ),
    ],
)
def test_the_calendar(now: int, lines: list[str]) -> None:
    checks = diagnose.check_calendar(settings_of(), now)
    assert [check.found for check in checks] == lines
    assert {check.mark for check in checks} == {Mark.OK}


def test_the_last_close_is_found_over_a_holiday() -> None:
    monday = session_of("2025-12-01")
    assert diagnose.last_close(monday.open) == session_of("2025-11-28").close
    assert diagnose.last_close(monday.close) == monday.close


# --- The command -------------------------------------------------------------------------------------


async def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run the command with nothing but ``environment``; returns its status and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "diagnose.py"),
        *arguments,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode is not None
    text = output.decode()
    assert "Canary" not in text
    assert "Traceback" not in text
    return process.returncode, text


async def test_offline_all_is_well(tmp_path: Path) -> None:
    status, text = await run(tmp_path, "--offline", **SECRETS)
    assert status == diagnose.EXIT_OK, text
    assert "Market data" not in text
    assert "there is no" in text
    assert text.splitlines()[-1].startswith("Ready: ")
    assert os.listdir(tmp_path) == []
    others = len(config.variable_names()) - len(SECRETS)
    assert f"✓ {others} others at their default (--verbose shows them)" in text
    assert "STOP_LOSS_PERCENT" not in text
    status, text = await run(tmp_path, "--offline", "--verbose", **SECRETS)
    assert "✓ STOP_LOSS_PERCENT = 15 (default)" in text


async def test_json_is_one_object(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in SECRETS.items()))
    status, text = await run(tmp_path, "--offline", "--json", "--offline")
    report = json.loads(text)
    assert status == diagnose.EXIT_OK
    assert report["ready"] is True
    found = [check["found"] for check in report["checks"]]
    assert "POLYGON_API_KEY = set (file)" in found
    assert {check["mark"] for check in report["checks"]} == {"ok", "warning"}


async def test_bad_configuration_prints_every_fault(tmp_path: Path) -> None:
    environment = {**SECRETS, "PUSHOVER_TOKEN": "CanaryShort", "STOP_LOSS_PERCENT": "nan", "SYMBOL": "?"}
    status, text = await run(tmp_path, "--offline", **environment)
    assert status == diagnose.EXIT_CONFIGURATION
    for start in ("PUSHOVER_TOKEN: got a value that", "STOP_LOSS_PERCENT: got 'nan'", "SYMBOL: got '?'"):
        assert f"  ✗ {start}" in text
    assert text.count("see .env.example") == 1
    status, text = await run(tmp_path, "--offline")
    assert status == diagnose.EXIT_CONFIGURATION
    assert f"  ✗ No .env in {tmp_path}: copy .env.example there" in text
    assert text.count(".env.example") == 1
    status, text = await run(tmp_path, "--json", **environment)
    assert status == diagnose.EXIT_CONFIGURATION
    assert json.loads(text)["ready"] is False


async def test_the_whole_command_against_the_vendors(tmp_path: Path, vendors_at: Open) -> None:
    """On today's real date: the made chain is another day's, and that is a line of its own."""
    vendors = await vendors_at(IN_SESSION)
    addresses = {"POLYGON_REST_URL": vendors.market.rest_url, "PUSHOVER_URL": vendors.pushover.url}
    status, text = await run(tmp_path, **SECRETS, **addresses)
    assert "key: accepted" in text
    assert "✓ user: valid; devices: phone" in text
    assert status == diagnose.EXIT_FAILS  # the made vendor's clock shows 2025
    assert "this machine's clock is" in text
    status, text = await run(tmp_path, **{**SECRETS, **addresses, "POLYGON_API_KEY": "CanaryOther"})
    assert status == diagnose.EXIT_FAILS
    assert "✗ key: key refused (401)" in text


async def test_no_network_ends_with_1(tmp_path: Path) -> None:
    status, text = await run(tmp_path, **SECRETS, POLYGON_REST_URL=NOWHERE, PUSHOVER_URL=NOWHERE)
    assert status == diagnose.EXIT_FAILS
    assert text.count("check this machine's network") == 5


async def test_ctrl_c_ends_without_a_traceback(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        while await reader.read(1024):
            pass
        writer.close()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        nobody = f"http://127.0.0.1:{port}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "diagnose.py"),
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                **SECRETS,
                "POLYGON_REST_URL": nobody,
                "PUSHOVER_URL": nobody,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(60):
            await asked.wait()
            process.send_signal(signal.SIGINT)
            output, _ = await process.communicate()
    assert (process.returncode, output.decode()) == (diagnose.EXIT_INTERRUPTED, "")


async def test_help_needs_nothing_and_tells_the_statuses(tmp_path: Path) -> None:
    status, text = await run(tmp_path, "--help")
    assert status == 0
    assert "exit status:" in text
    assert "2  bad configuration" in text
    status, text = await run(tmp_path, "--no-such-option")
    assert status == 2


def test_the_report_groups_and_counts() -> None:
    checks = [
        Check("A", Mark.OK, "one"),
        Check("B", Mark.WARNING, "two", "do this"),
        Check("A", Mark.FAIL, "three", "do that"),
    ]
    assert diagnose.report_text(checks) == (
        "A\n  ✓ one\n  ✗ three — do that\n\nB\n  ⚠ two — do this\n\n"
        "Not ready: 1 well, 1 to look at, 1 failing"
    )


async def test_why_without_the_simulation_says_what_is_missing(tmp_path: Path) -> None:
    """The two files alone, as on a machine that has only the worker: another command, so no check is printed."""
    for name in ("diagnose.py", "requirements.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(tmp_path / "diagnose.py"), "why", "2025-10-02"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert (process.returncode, output) == (diagnose.EXIT_FAILS, b"")
    assert errors.decode().startswith("diagnose.py why needs sim/ and all of requirements.txt (")
