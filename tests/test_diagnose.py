"""The preflight: every finding on a line of its own, the right exit status, and no secret in any of it."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

import config
import diagnose
import entry
from checks.check import Check, Severity
from checks.installation import check_packages
from checks.report import TerminalDisplay, report_text
from tests.checks.given import ROOT, SECRETS
from tests.environment import DIAGNOSE, run_here
from tests.environment import run as started
from tests.measured import measured

LOADED_FIRST = (
    *("diagnose.py", "entry.py", "checks/__init__.py"),
    *("checks/check.py", "checks/installation.py", "checks/report.py", "terminal.py"),
)
"""What the command loads before it can report that packages are missing or that Python is too old."""


# --- The command -------------------------------------------------------------------------------------


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """The command with nothing but ``environment``; returns its status and all that it printed."""
    done = run_here(diagnose.main, folder, *arguments, **environment)
    text = done.stdout + done.stderr
    assert "Canary" not in text
    assert "Traceback" not in text
    return done.returncode, text


def test_offline_all_is_well(tmp_path: Path) -> None:
    status, text = run(tmp_path, "--offline", **SECRETS)
    assert status == diagnose.EXIT_OK, text
    assert "Market data" not in text
    assert "there is no" in text
    assert text.splitlines()[-1].startswith("Ready: ")
    assert os.listdir(tmp_path) == []
    others = len(config.variable_names()) - len(SECRETS)
    assert f"✓ {others} others at their default (--verbose shows them)" in text
    assert "STOP_LOSS_PERCENT" not in text
    status, text = run(tmp_path, "--offline", "--verbose", **SECRETS)
    assert "✓ STOP_LOSS_PERCENT = 15 (default)" in text


def test_json_is_one_object(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in SECRETS.items()))
    done = started(tmp_path, DIAGNOSE, "--offline", "--json", "--offline")
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (diagnose.EXIT_OK, "")
    assert report["ready"] is True
    found = [check["found"] for check in report["checks"]]
    assert "POLYGON_API_KEY = set (file)" in found
    assert {check["mark"] for check in report["checks"]} == {"ok", "warning"}


def test_bad_configuration_prints_every_fault(tmp_path: Path) -> None:
    environment = {**SECRETS, "PUSHOVER_TOKEN": "CanaryShort", "STOP_LOSS_PERCENT": "nan", "SYMBOL": "?"}
    status, text = run(tmp_path, "--offline", **environment)
    assert status == diagnose.EXIT_CONFIGURATION
    for start in ("PUSHOVER_TOKEN: got a value that", "STOP_LOSS_PERCENT: got 'nan'", "SYMBOL: got '?'"):
        assert f"  ✗ {start}" in text
    assert text.count("see docs/settings.md") == 1
    status, text = run(tmp_path, "--offline")
    assert status == diagnose.EXIT_CONFIGURATION
    assert (
        f"  ✗ No .env in {tmp_path}: python diagnose.py --init asks for the three keys and writes it" in text
    )
    assert text.count(".env.example") == 1
    status, text = run(tmp_path, "--json", **environment)
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
                **measured(),
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


def test_help_needs_nothing_and_tells_the_statuses(tmp_path: Path) -> None:
    status, text = run(tmp_path, "--help")
    assert status == 0
    assert "exit status:" in text
    assert "2  bad configuration" in text
    status, text = run(tmp_path, "--no-such-option")
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


def test_packages_are_one_line_unless_asked_for(tmp_path: Path) -> None:
    pinned = len(check_packages((ROOT / "requirements.txt").read_text(encoding="utf-8")))
    _, text = run(tmp_path, "--offline", **SECRETS)
    assert f"Packages\n  ✓ {pinned} as tested (--verbose shows them)\n\n" in text
    _, text = run(tmp_path, "--offline", "--verbose", **SECRETS)
    assert text.count("\n  ✓ httpx ") == 1


@pytest.mark.parametrize(
    ("address", "line"),
    [
        (
            "tgrm://123456789:AAEabcdefghijklmnopqrstuvwxyz1234567/12345678",
            '✗ SECOND_CHANNEL_URL: Apprise has no service "tgrm"',
        ),
        ("json://example.com", "✗ SECOND_CHANNEL_URL: "),
        ("ntfy://ntfy.example.com/topic", "✗ SECOND_CHANNEL_URL: "),
        ("ntfys://ntfy.example.com/topic", "✓ SECOND_CHANNEL_URL: its address can be used"),
        ("https://example.com/topic", "✓ SECOND_CHANNEL_URL: its address can be used"),
    ],
)
def test_offline_an_address_that_cannot_be_used_is_found(tmp_path: Path, address: str, line: str) -> None:
    status, text = run(tmp_path, "--offline", **SECRETS, SECOND_CHANNEL_URL=address)
    assert line in text and "example.com" not in text
    assert status == (diagnose.EXIT_FAILS if line.startswith("✗") else diagnose.EXIT_OK)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("wyh",), "unknown command wyh; did you mean why?"),
        (("dog",), "unknown command dog; there are why, days, watch"),
        (("--offline", "why"), "why comes first: python diagnose.py why"),
    ],
)
def test_an_unknown_command_is_named_beside_those_that_there_are(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    status, text = run(tmp_path, *words)
    assert status == diagnose.EXIT_CONFIGURATION
    assert said in text and "{why,days,watch}" in text


@pytest.mark.parametrize("option", ["--send-test", "--sockets"])
def test_to_ask_nobody_and_somebody_is_refused(tmp_path: Path, option: str) -> None:
    status, text = run(tmp_path, "--offline", option, **SECRETS)
    assert status == diagnose.EXIT_CONFIGURATION
    assert "--offline contacts nobody" in text


def addresses(place: str) -> dict[str, str]:
    return {
        **SECRETS,
        **{"POLYGON_REST_URL": f"http://{place}", "POLYGON_WS_URL": f"ws://{place}"},
        **{"PUSHOVER_URL": f"http://{place}", "HEARTBEAT_URL": f"http://{place}/CanaryBeat"},
    }


def test_no_network_in_a_pipe_prints_the_report_and_nothing_else(tmp_path: Path) -> None:
    status, text = run(tmp_path, **addresses("127.0.0.1:9"))
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
            env={"PATH": os.environ["PATH"], **measured(), **addresses("127.0.0.1:9")},
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
