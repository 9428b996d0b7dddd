"""The command and its process: what it prints, and the status it ends with."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import main
from tests.environment import MAIN, environment, run_here
from tests.environment import run as started
from tests.stage import KEY, TOKEN, USER
from worker.ending import EXIT_CONFIG, EXIT_OK

ROOT = Path(main.__file__).parent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py")],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert "IWM-5-VWAP" in process.stdout.readline()
    process.stdout.readline()
    process.send_signal(number)
    output, _ = process.communicate(timeout=25)
    assert process.returncode == EXIT_OK, output
    assert "Stopped" in output
    written = output + (tmp_path / "iwm_momentum.log").read_text(encoding="utf-8")
    assert not any(secret in written for secret in (KEY, TOKEN, USER))


def run(tmp_path: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run_here(main.main, tmp_path, *arguments, **more)


def test_bad_configuration_names_every_fault_and_exits_2(tmp_path: Path) -> None:
    result = run(tmp_path, POLYGON_API_KEY=f"{KEY} x", STOP_LOSS_PERCENT="lots", PUSHOVER_TOKEN="short")
    assert result.returncode == EXIT_CONFIG
    for name in ("POLYGON_API_KEY", "PUSHOVER_TOKEN", "PUSHOVER_USER_KEY", "STOP_LOSS_PERCENT"):
        assert name in result.stderr
    assert "short" not in result.stderr
    assert KEY not in result.stderr


def test_a_service_without_the_package_for_it_ends_the_start_with_status_2(tmp_path: Path) -> None:
    program = (
        "import runpy, sys; sys.modules['apprise'] = None; sys.argv = ['main.py']; "
        f"runpy.run_path({str(ROOT / 'main.py')!r}, run_name='__main__')"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**environment(ROOT), "SECOND_CHANNEL_URL": "tgram://CanaryToken/12345678"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == EXIT_CONFIG, result.stderr
    _, line = result.stderr.splitlines()
    install = f'{sys.executable} -m pip install "apprise>=2.2,<3"'
    assert line.endswith(f"with the package apprise, which is not installed: {install}")
    assert "Canary" not in result.stderr + result.stdout


def test_version_and_help_need_no_keys(tmp_path: Path) -> None:
    version = run(tmp_path, "--version")
    assert re.fullmatch(r"IWM-5-VWAP \d+\.\d+\.\d+, rules [0-9a-f]{8}\n", version.stdout)
    assert run(tmp_path, "--version", STOP_LOSS_PERCENT="10").stdout != version.stdout
    described = started(tmp_path, MAIN, "--help")
    assert described.returncode == 0
    assert "--demo" in described.stdout


@pytest.mark.parametrize("speed", ["0", "41", "fast", "nan"])
def test_a_speed_that_cannot_be_played_is_refused(tmp_path: Path, speed: str) -> None:
    result = run(tmp_path, "--demo", "--speed", speed)
    assert result.returncode == EXIT_CONFIG
    assert "takes a number from 1 to 40" in result.stderr


def test_a_speed_without_the_demo_is_refused(tmp_path: Path) -> None:
    assert "--speed goes with --demo" in run(tmp_path, "--speed", "5").stderr
