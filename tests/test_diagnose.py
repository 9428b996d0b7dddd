"""The preflight: every finding on a line of its own, the right exit status, and no secret in any of it."""

from __future__ import annotations

import ast
import asyncio
import errno
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType

import pytest

import config
import diagnose
import entry
import utils
from checks.check import Check, Severity
from checks.installation import MODULES, check_modules, check_packages, check_python
from checks.places import check_lease, check_places
from checks.report import TerminalDisplay, report_text
from checks.sessions import check_calendar
from checks.settings import OFF_AT_ZERO, check_oddities, check_settings
from events import SECOND, Session
from record.lease import Lease
from tests.disk import Disk

KEY = "CanaryPolygonKey0123456789"
TOKEN = "CanaryTokenaaaaaaaaaaaaaaaaaaa"
USER = "CanaryUserbbbbbbbbbbbbbbbbbbbb"
SECRETS = {"POLYGON_API_KEY": KEY, "PUSHOVER_TOKEN": TOKEN, "PUSHOVER_USER_KEY": USER}
ROOT = Path(__file__).parent.parent

MINUTE = 60 * SECOND
LOADED_FIRST = (
    *("diagnose.py", "entry.py", "checks/__init__.py"),
    *("checks/check.py", "checks/installation.py", "checks/report.py"),
)
"""What the command loads before it can report that packages are missing or that Python is too old."""

NOWHERE = "http://127.0.0.1:9"
"""An address that nothing listens on."""


def session_of(day: str) -> Session:
    session = utils.session_on(date.fromisoformat(day))
    assert session is not None
    return session


SESSION = session_of("2025-10-02")


def settings_of(**changes: str) -> config.Settings:
    return config.load({**SECRETS, **changes}, None)[0]


IN_SESSION = SESSION.open + 70 * MINUTE
BEFORE = SESSION.open - 60 * MINUTE


# --- Without the vendors -----------------------------------------------------------------------------


def test_python_and_packages() -> None:
    assert check_python((3, 11, 0)).line() == "  ✓ Python 3.11.0"
    assert check_python((3, 10, 13)).line() == "  ✗ Python 3.10.13 — install Python 3.11 or newer"

    def installed(name: str) -> str:
        found = {"httpx": "0.28.1", "structlog": "1.0"}
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    text = (
        "# why\nhttpx==0.28.1 \\\n    --hash=sha256:00ff\n    # via -r requirements.in\nstructlog==26.1.0  # newer\n"
        "msgspec==0.22.0\n\nnumpy==2.4.6\n-r other.txt\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n"
    )
    assert [check.line().strip() for check in check_packages(text, installed)] == [
        "✓ httpx 0.28.1",
        "⚠ structlog 1.0 — tested with 26.1.0: pip install -r requirements.txt",
        "✗ msgspec: missing — pip install -r requirements.txt",
        "⚠ numpy: only the demo and reports need it — pip install -r requirements.txt",
    ]


def test_the_packages_that_are_pinned_are_the_ones_installed() -> None:
    checks = check_packages((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    assert len(checks) >= 30
    assert {check.severity for check in checks} == {Severity.OK}


def test_modules_that_cannot_be_imported_are_named() -> None:
    assert [check.line() for check in check_modules(("events", "utils"))] == ["  ✓ all 2 can be imported"]
    (check,) = check_modules(("events", "no_such_module"))
    assert check.severity is Severity.FAIL
    assert check.found.startswith("no_such_module: ModuleNotFoundError")
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {
        "sim",
        "review",
        "tests",
        "benchmarks",
    }
    assert set(MODULES) == {path.stem for path in ROOT.glob("*.py")} - {"diagnose", "entry"} | packages


def test_each_setting_and_where_it_came_from() -> None:
    environment = {**SECRETS, "STOP_LOSS_PERCENT": "20", "HEARTBEAT_URL": "https://hc.example.com/Canary"}
    settings, sources = config.load(environment, None)
    checks = check_settings(settings, sources, verbose=True)
    lines = [check.line().strip() for check in checks][1:]
    assert len(lines) == len(config.variable_names())
    assert "✓ POLYGON_API_KEY = set (environment)" in lines
    assert "✓ HEARTBEAT_URL = set (environment)" in lines
    assert "✓ SECOND_CHANNEL_URL = not set (default)" in lines
    assert "✓ STOP_LOSS_PERCENT = 20 (environment)" in lines
    assert "✓ DAILY_SUMMARY = on (default)" in lines
    assert not [line for line in lines if "Canary" in line]
    # Without being asked for all, only what was given, and how many were not.
    short = [check.line().strip() for check in check_settings(settings, sources)][1:]
    assert short == [
        *(line for line in lines if line.endswith("(environment)")),
        f"✓ {len(lines) - 5} others at their default (--verbose shows them)",
    ]


def odd(environment: Mapping[str, str] = MappingProxyType({}), /, **changes: str) -> list[str]:
    """What is found odd besides the missing heartbeat."""
    settings = settings_of(**{"HEARTBEAT_URL": "https://hc.example.com/x", **changes})
    return [check.line().strip() for check in check_oddities(settings, environment)]


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
        ({"MAX_LAG_SECONDS": "2"}, "MAX_LAG_SECONDS is under 3"),
        ({"ENTRY_BAR_SECONDS": "2"}, "ENTRY_BAR_SECONDS is under 3"),
        ({"ENTRY_QUOTE_SECONDS": "0.5"}, "ENTRY_QUOTE_SECONDS is under 1"),
        ({"VOLUME_MIN_BARS": "1000"}, "VOLUME_MIN_BARS is more than an ordinary VOLUME_WINDOW_SECONDS holds"),
        ({"MOMENTUM_SECONDS": "10"}, "MOMENTUM_MIN_BARS is more than an ordinary MOMENTUM_SECONDS holds"),
        ({"WARMUP_SECONDS": "21600"}, "there can be no entry at all"),
        *[({name: "0"}, f"{name} is 0: this protection is off") for name in OFF_AT_ZERO],
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


def places(folder: Path, disk: Disk | None = None, free: int = 10**9, /, **changes: str) -> list[str]:
    """What is found about the places: a writable log, and ``free`` bytes, unless it is said otherwise."""
    settings = settings_of(**{"DATA_DIR": str(folder), "LOG_FILE": str(folder.parent / "iwm.log"), **changes})
    checks = check_places(settings, {}, opener=disk, free=lambda _: free)
    return [check.line().strip() for check in checks]


def test_places_that_can_and_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    new = tmp_path / "new" / "data"
    log = f"✓ LOG_FILE: {tmp_path}/iwm.log can be written"
    room = "✓ DATA_DIR: 1,000 MB free"
    assert places(new, LOG_FILE=f"{tmp_path}/iwm.log") == [f"✓ DATA_DIR: {new} can be made", room, log]
    assert not (tmp_path / "new").exists()
    data = tmp_path / "data"
    (data / "sessions").mkdir(parents=True)
    assert places(data) == [f"✓ DATA_DIR: {data} can be written", room, log]
    for place in (file, file / "data"):
        assert places(place, LOG_FILE=f"{tmp_path}/iwm.log") == [
            f"✗ DATA_DIR: {place} cannot be used: {file} is a file, not a folder "
            "— name a folder that is one, or can be made",
            log,
        ]
    # What was written as a trial is gone.
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_nothing(tmp_path: Path, number: int) -> None:
    disk = Disk()
    disk.fault = number
    first, *_ = places(tmp_path, disk, LOG_FILE=f"{tmp_path}/iwm.log")
    assert first == (
        f"✗ DATA_DIR: {tmp_path} cannot be written ({os.strerror(number)}) "
        "— make room, or repair the disk: no entries until then"
    )
    assert os.listdir(tmp_path) == []


def test_a_disk_that_takes_only_a_part(tmp_path: Path) -> None:
    disk = Disk()
    disk.short = True
    first, *_ = places(tmp_path, disk, LOG_FILE=f"{tmp_path}/iwm.log")
    assert first.startswith(f"✗ DATA_DIR: {tmp_path} cannot be written (No space left on device)")
    assert os.listdir(tmp_path) == []


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(tmp_path)],
        capture_output=True,
        timeout=30,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        settings = settings_of(DATA_DIR=str(tmp_path), LOG_FILE=f"{tmp_path}/iwm.log")
        first, room, _ = (check.line().strip() for check in check_places(settings, {}))
    finally:
        subprocess.run(["umount", str(tmp_path)], timeout=30, check=True)
    assert first.startswith(f"✗ DATA_DIR: {tmp_path} cannot be written (No space left on device)")
    assert room.startswith("✗ DATA_DIR: 0 MB free, a session needs up to 68 MB — make room")


@pytest.mark.parametrize(
    ("free", "keep", "line"),
    [
        (67_999_999, 60, "✗ DATA_DIR: 67 MB free, a session needs up to 68 MB — "),
        (68_000_000, 2, "✗"),
        (68_000_000, 1, "✓ DATA_DIR: 68 MB free"),
        (539_999_999, 60, "⚠ DATA_DIR: 539 MB free, enough for about 59 more sessions; KEEP_SESSIONS is 60"),
        (540_000_000, 60, "✓ DATA_DIR: 540 MB free"),
    ],
)
def test_room_for_the_records(tmp_path: Path, free: int, keep: int, line: str) -> None:
    found = places(tmp_path, None, free, KEEP_SESSIONS=str(keep), LOG_FILE=f"{tmp_path}/iwm.log")[1]
    if line == "✗":
        line = "⚠ DATA_DIR: 68 MB free, enough for about 1 more sessions; KEEP_SESSIONS is 2"
    assert found.startswith(line)


def test_records_that_are_there_need_no_more_room(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    for day in (1, 2):
        (tmp_path / "sessions" / f"2025-10-0{day}.jsonl.gz").touch()
    log = f"{tmp_path}/iwm.log"
    assert places(tmp_path, None, 69_000_000, KEEP_SESSIONS="3", LOG_FILE=log)[1].startswith("✓")
    assert places(tmp_path, None, 69_000_000, KEEP_SESSIONS="4", LOG_FILE=log)[1].startswith("⚠")


def test_on_render_only_a_mounted_disk_outlives_a_deploy(tmp_path: Path) -> None:
    settings = settings_of(DATA_DIR=str(tmp_path / "data"), LOG_FILE=f"{tmp_path}/iwm.log")

    def line(mount: Path) -> Check:
        checks = check_places(
            settings, {"RENDER": "true"}, free=lambda _: 10**9, is_mount=lambda path: path == mount
        )
        return checks[2]

    assert line(tmp_path).line().strip() == f"✓ DATA_DIR: on the disk that is mounted at {tmp_path}"
    # The root of the container is mounted, too, and is lost.
    assert line(Path("/")).severity is Severity.FAIL
    assert line(Path("/")).found == (
        f"DATA_DIR: {tmp_path}/data is not on a disk: a deploy loses it, and forgets an open position"
    )


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    def log(path: Path) -> Check:
        settings = settings_of(DATA_DIR=str(tmp_path), LOG_FILE=str(path))
        return check_places(settings, {})[-1]

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
    assert {log(path).severity for path in (tmp_path, link, pipe, below)} == {Severity.FAIL}


def test_a_copy_that_is_running_is_told(tmp_path: Path) -> None:
    check, is_running = check_lease(tmp_path / "none")
    assert (check.severity, is_running) == (Severity.OK, False)
    assert not (tmp_path / "none").exists()
    lease = Lease(tmp_path)
    lease.take("2025-10-02T13:25:00Z")
    check, is_running = check_lease(tmp_path)
    assert (check.severity, is_running) == (Severity.WARNING, True)
    assert check.found == (
        f"lease: a copy is running on DATA_DIR (pid {os.getpid()}, started 2025-10-02T13:25:00Z)"
    )
    lease.release()
    # The file stays; nobody holds it, and the preflight does not keep it either.
    for _ in range(2):
        assert check_lease(tmp_path)[0].line().strip() == "✓ lease: free, no copy runs on DATA_DIR"
    lease.take("2025-10-02T13:26:00Z")
    lease.release()
    (tmp_path / "lease").unlink()
    (tmp_path / "lease").mkdir()
    check, is_running = check_lease(tmp_path)
    assert (check.severity, is_running) == (Severity.FAIL, False)
    assert check.found == f"lease: cannot be taken ({os.strerror(errno.EISDIR)})"


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
    checks = check_calendar(settings_of(), now)
    assert [check.found for check in checks] == lines
    assert {check.severity for check in checks} == {Severity.OK}


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
    assert (process.returncode, output.decode()) == (entry.EXIT_INTERRUPTED, "")


async def test_help_needs_nothing_and_tells_the_statuses(tmp_path: Path) -> None:
    status, text = await run(tmp_path, "--help")
    assert status == 0
    assert "exit status:" in text
    assert "2  bad configuration" in text
    status, text = await run(tmp_path, "--no-such-option")
    assert status == 2


def test_the_report_groups_and_counts() -> None:
    checks = [
        Check("A", Severity.OK, "one"),
        Check("B", Severity.WARNING, "two", "do this"),
        Check("A", Severity.FAIL, "three", "do that"),
    ]
    assert report_text(checks) == (
        "A\n  ✓ one\n  ✗ three — do that\n\nB\n  ⚠ two — do this\n\n"
        "Not ready: 1 well, 1 to look at, 1 failing"
    )


async def test_why_without_the_simulation_says_what_is_missing(tmp_path: Path) -> None:
    """The command's own files alone, as on a machine that has only the worker: another command, so no check is printed."""
    (tmp_path / "checks").mkdir()
    for name in LOADED_FIRST:
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
    assert errors.decode().startswith("diagnose.py why needs review/ and all of requirements.txt (")


async def test_packages_are_one_line_unless_asked_for(tmp_path: Path) -> None:
    pinned = len(check_packages((ROOT / "requirements.txt").read_text(encoding="utf-8")))
    _, text = await run(tmp_path, "--offline", **SECRETS)
    assert f"Packages\n  ✓ {pinned} as tested (--verbose shows them)\n\n" in text
    _, text = await run(tmp_path, "--offline", "--verbose", **SECRETS)
    assert text.count("\n  ✓ httpx ") == 1


@pytest.mark.parametrize("option", ["--send-test", "--sockets"])
async def test_to_ask_nobody_and_somebody_is_refused(tmp_path: Path, option: str) -> None:
    status, text = await run(tmp_path, "--offline", option, **SECRETS)
    assert status == diagnose.EXIT_CONFIGURATION
    assert "--offline asks nobody" in text


def addresses(place: str) -> dict[str, str]:
    return {
        **SECRETS,
        **{"POLYGON_REST_URL": f"http://{place}", "POLYGON_WS_URL": f"ws://{place}"},
        **{"PUSHOVER_URL": f"http://{place}", "HEARTBEAT_URL": f"http://{place}/CanaryBeat"},
    }


async def test_no_network_in_a_pipe_prints_the_report_and_nothing_else(tmp_path: Path) -> None:
    status, text = await run(tmp_path, **addresses("127.0.0.1:9"))
    assert status == diagnose.EXIT_FAILS
    assert "Asking" not in text
    assert "\r" not in text
    assert text.startswith("Machine\n")
    assert text.splitlines()[-1].startswith("Not ready: ")


async def test_on_a_terminal_it_says_what_it_waits_for(tmp_path: Path) -> None:
    terminal, side = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "diagnose.py"), "--json"),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **addresses("127.0.0.1:9")},
            stdout=asyncio.subprocess.PIPE,
            stderr=side,
        )
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
        shown = os.read(terminal, 65_536).decode()
    finally:
        os.close(side)
        os.close(terminal)
    wipe = TerminalDisplay.WIPE
    assert f"{wipe}Asking: key, option chain, stock bars" in shown
    assert shown.endswith(wipe)
    assert "Canary" not in shown
    # What goes to a pipe meanwhile is the report alone.
    assert json.loads(output)["ready"] is False


@pytest.mark.parametrize("name", [*LOADED_FIRST, "main.py", "sim/__main__.py", "review/__main__.py"])
def test_an_old_python_can_read_it_to_say_that_it_is_too_old(name: str) -> None:
    ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 8))
