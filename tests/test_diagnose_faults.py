"""The checks when a part of the program, or of the machine, fails under them: the report says so, and ends as one that fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import config
import diagnose
import entry
from tests.checks.given import SECRETS, SESSION
from tests.environment import DIAGNOSE, LOOPBACK, bare, run
from utils import Clock

__all__ = ["bare"]

WITHOUT = (
    "import runpy, sys\n"
    "sys.modules[sys.argv[1]] = None\n"
    "sys.argv = sys.argv[2:]\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
)
"""A command on a machine that lacks a module."""


class Failing(Clock):
    """A clock of which one reading fails."""

    speed = 1.0

    def __init__(self, error: Exception) -> None:
        self._errors = [error]

    def now(self) -> int:
        if self._errors:
            raise self._errors.pop()
        return SESSION.open

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits for it")


class Far(Failing):
    """A clock in a year that no calendar knows."""

    def __init__(self) -> None:
        self._errors = []

    def now(self) -> int:
        return 253_402_290_000_000_000


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with good settings."""
    for name in (*config.variable_names(), *config.ALIASES, "RENDER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**SECRETS, **LOOPBACK}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.shows_keys  # pytest notes log lines before they are redacted
def test_a_fault_of_its_own_is_a_line_and_its_traceback_holds_no_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = RuntimeError(f"no such thing as {SECRETS['POLYGON_API_KEY']}")
    assert diagnose.main(["--offline"], Failing(error)) == diagnose.EXIT_FAILS
    output, errors = capsys.readouterr()
    assert "✗ the checks were ended by a fault of their own (RuntimeError) — report it" in output
    assert "RuntimeError: no such thing as" in errors
    assert SECRETS["POLYGON_API_KEY"] not in output + errors


def test_what_the_machine_refuses_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        diagnose.main(["--offline"], Failing(RuntimeError("can't start new thread"))) == diagnose.EXIT_FAILS
    )
    output, errors = capsys.readouterr()
    assert "✗ it may start no more threads — raise the limit" in output
    assert "fault of their own" not in output + errors


def test_a_clock_that_no_calendar_reaches_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose.main([], Far()) == diagnose.EXIT_FAILS
    output, _ = capsys.readouterr()
    assert "✗ no session near this machine's time (" in output
    assert "— set this machine's clock (NTP)" in output
    assert "Market data" not in output, "nobody is asked"


def test_a_program_that_cannot_be_loaded_is_a_line(folder: Path) -> None:
    done = run(folder, "-c", WITHOUT, "threads", DIAGNOSE, "--offline", env={**SECRETS, **LOOPBACK})
    assert (done.returncode, done.stderr) == (entry.EXIT_FAILED, "")
    assert "✗ threads: ModuleNotFoundError: import of threads halted" in done.stdout
    assert "DATA_DIR" not in done.stdout


def test_why_without_its_part_of_the_program_says_so(folder: Path) -> None:
    done = run(folder, "-c", WITHOUT, "review.why", DIAGNOSE, "why")
    assert (done.returncode, done.stdout) == (entry.EXIT_FAILED, "")
    assert done.stderr.startswith("diagnose.py why needs review/ and all of requirements.txt (")
    assert os.listdir(folder) == []
