"""``python -m sim``: the command line, and serving until interrupted."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import httpx
import pytest

from sim.__main__ import main
from sim.serve import serve
from tests.measured import measured
from utils import SystemClock, session_on


async def interrupted(
    *arguments: str, meanwhile: Callable[[dict[str, str]], Awaitable[None]] | None = None
) -> tuple[int, str, str]:
    """The command in a process of its own, interrupted once it says that it can be: status, output, errors.

    ``meanwhile`` is given the environment that it prints, and runs before the interrupt.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sim", *arguments),
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, **measured(), "PYTHONWARNINGS": "error"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    head = b""
    try:
        async with asyncio.timeout(20):
            while b"Ctrl-C" not in head:
                head += await process.stdout.readline()
            if meanwhile is not None:
                await meanwhile(exported(head.decode()))
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode is not None
    return process.returncode, (head + out).decode(), err.decode()


def exported(text: str) -> dict[str, str]:
    """The environment that the command prints."""
    lines = (line.removeprefix("export ") for line in text.splitlines() if line.startswith("export"))
    return dict(line.split("=", 1) for line in lines)


async def test_serve_prints_the_environment_and_ends_at_an_interrupt() -> None:
    code, out, err = await interrupted("serve", "--date", "2025-10-02", "--start", "10:30", "--speed", "5")
    assert (code, err) == (0, "")
    assert "Thu 02 Oct 10:30" in out and "cannot follow" in out
    environment = exported(out)
    assert set(environment) == {
        "POLYGON_API_KEY",
        "POLYGON_REST_URL",
        "POLYGON_WS_URL",
        "PUSHOVER_TOKEN",
        "PUSHOVER_USER_KEY",
        "PUSHOVER_URL",
    }
    assert environment["POLYGON_WS_URL"].startswith("ws://127.0.0.1:")


async def test_serve_shows_the_title_of_each_push() -> None:
    async def push(environment: dict[str, str]) -> None:
        form = {"token": environment["PUSHOVER_TOKEN"], "user": environment["PUSHOVER_USER_KEY"]}
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(
                f"{environment['PUSHOVER_URL']}/1/messages.json",
                data={**form, "title": "🟢 BUY", "message": "IWM"},
            )
        assert answer.status_code == 200

    code, out, err = await interrupted("serve", meanwhile=push)
    assert (code, err) == (0, "")
    assert "\n# Push: 🟢 BUY\n" in out


@pytest.mark.parametrize(("day", "is_said"), [(date(2025, 10, 2), False), (date(2035, 10, 2), True)])
def test_serve_says_when_its_session_is_still_to_come(
    day: date, is_said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    session = session_on(day)
    assert session is not None
    asyncio.run(serve(session, SystemClock(), seed=1, port=0, seconds=0))
    out = capsys.readouterr().out
    assert ("# The session has not opened yet" in out) is is_said
    assert "cannot follow" not in out


def test_serve_stops_after_the_seconds_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--seconds", "0.1"]) == 0
    assert "0 requests" in capsys.readouterr().out


def test_serve_says_when_its_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1]), "--seconds", "1"]) == 1
    assert "address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("dance", "invalid choice: 'dance'"),
        ("", "arguments are required: COMMAND"),
        ("serve --date 2025-10-04", "the exchange is closed on 2025-10-04"),
        ("serve --date someday", "takes a date as YYYY-MM-DD"),
        ("serve --start 25:00", "takes a New York time as HH:MM"),
        ("serve --speed 0", "takes a number over 0"),
        ("serve --port 70000", "takes a port from 0"),
    ],
)
def test_bad_arguments_are_explained(arguments: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert text in capsys.readouterr().err
