"""Folders, records, logs and certificates that this user may not use, what stands in their place, and a clock beyond every calendar."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

import config
import diagnose
import entry
import utils
from checks.check import Severity
from checks.places import check_lease, check_places
from events import SECOND
from record.folder import record_path
from review.places import Unusable, find
from sim import demo
from tests.environment import DIAGNOSE, LOOPBACK, MAIN, bare, run
from tests.made_record import written
from tests.measured import measured
from tests.test_config import KEYS

__all__ = ["bare"]  # a fixture that every test here uses, too


@pytest.fixture
def nobody() -> Iterator[None]:
    """Another user than root, whom nothing is forbidden."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_may_not_be_searched_is_a_failing_line(tmp_path: Path, nobody: None) -> None:
    closed = Path(f"/tmp/iwm-closed-{os.getpid()}-{os.geteuid()}")
    closed.mkdir()
    try:
        (closed / "log").touch()
        closed.chmod(0)
        settings_, _ = config.load(
            {**KEYS, "DATA_DIR": str(closed / "data"), "LOG_FILE": str(closed / "log")}, None
        )
        checks = check_places(settings_, {})
        lease, is_running = check_lease(settings_.data_dir)
        assert [check.severity for check in (*checks, lease)] == [Severity.FAIL] * 3
        assert checks[0].found == f"DATA_DIR: {closed}/data cannot be used (Permission denied)"
        assert checks[1].found == f"LOG_FILE: {closed}/log cannot be used (Permission denied)"
        assert not is_running
        with pytest.raises(config.ConfigError) as caught:
            config.load(KEYS, closed / ".env")
        assert caught.value.faults == [
            f"{closed}/.env: cannot be read (Permission denied); it takes a file that this user may read"
        ]
    finally:
        closed.chmod(0o700)
        (closed / "log").unlink()
        closed.rmdir()


@pytest.mark.parametrize("locked", ["data", "data/sessions"])
def test_a_folder_of_records_that_cannot_be_read_is_not_one_without_records(
    locked: str, nobody: None
) -> None:
    home = Path(f"/tmp/iwm-unread-{os.getpid()}-{os.geteuid()}")
    (home / "data" / "sessions").mkdir(parents=True)
    try:
        (home / locked).chmod(0)
        for day in (None, date(2026, 11, 27)):
            with pytest.raises(Unusable) as told:
                find(home / "data", day, 0)
            assert str(told.value) == (
                f"{home}/data/sessions: cannot be listed (Permission denied); let this user read it, "
                "or name another folder"
            )
        (home / locked).chmod(0o700)
        with pytest.raises(Unusable, match="no record in"):
            find(home / "data", None, 0)
    finally:
        (home / locked).chmod(0o700)
        shutil.rmtree(home)


def runs_for_others() -> bool:
    """Whether this Python can be run as another user: only root can, and not one that lies in root's own folder."""
    try:
        done = subprocess.run([sys.executable, "-c", ""], user=65534, group=65534, cwd="/", check=False)
    except PermissionError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(not runs_for_others(), reason="needs a Python that can be run as another user")
def test_another_users_record_and_log_are_told_by_the_checks() -> None:
    home = Path(f"/tmp/iwm-foreign-{os.getpid()}")
    record = home / "data" / "sessions" / "2026-11-27.jsonl"
    record.parent.mkdir(parents=True)
    try:
        record.write_text("x", encoding="utf-8")
        record.chmod(0)
        (home / "iwm_momentum.log").touch()
        (home / "iwm_momentum.log").chmod(0o666)
        said = run(home, DIAGNOSE, "--offline", env={**KEYS, **LOOPBACK}, user=65534, group=65534)
        assert said.returncode == entry.EXIT_FAILED
        assert "✗ DATA_DIR: 2026-11-27.jsonl is damaged, or cannot be read (Permission denied)" in said.stdout
        assert "⚠ LOG_FILE: " in said.stdout
        assert (
            f"not renamed when it is full: it would grow on — give this user write permission for {home}"
            in said.stdout
        )
        said = run(home, DIAGNOSE, "--offline", env={**KEYS, **LOOPBACK})
        assert "✓ LOG_FILE: " in said.stdout
        (home / "data").chmod(0o777)
        record.parent.chmod(0o777)
        said = run(home, MAIN, env={**KEYS, **LOOPBACK}, user=65534, group=65534)
        assert said.returncode == entry.EXIT_FAILED
        assert "let this user read the file and start again" in said.stdout
        assert "Traceback" not in said.stdout + said.stderr
        assert record.read_bytes() == b"x"
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("kind", ["loop", "dangling", "file"])
def test_what_stands_where_a_folder_should_be_is_a_failing_line(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "data"
    if kind == "file":
        place.touch()
    else:
        place.symlink_to("data" if kind == "loop" else "gone")
    for command, status in (
        ((DIAGNOSE, "--offline"), entry.EXIT_FAILED),
        ((MAIN,), entry.EXIT_CONFIGURATION),
    ):
        done = run(tmp_path, *command, env={**KEYS, **LOOPBACK})
        assert done.returncode == status
        assert str(place) in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
    if kind != "dangling":
        assert run(tmp_path, DIAGNOSE, "why").stderr.count("cannot be listed") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("SSLKEYLOGFILE", "/gone/keys"), ("SSLKEYLOGFILE", "pipe"), ("SSL_CERT_FILE", "pipe")],
)
def test_what_speaks_to_its_own_loopback_alone_goes_on_without_the_machines_tls(
    tmp_path: Path, name: str, value: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = run(tmp_path, "-m", "sim", "serve", "--seconds", "0.1", "--port", "0", env={name: value})
    assert (done.returncode, done.stderr) == (entry.EXIT_OK, "")
    with subprocess.Popen(
        [sys.executable, MAIN, "--demo", "--keep", "kept"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **measured(), name: value},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("A simulated session on local sockets: ")
        process.kill()


class Cut:
    """Leaves of a record what a machine without room took of it, and ends."""

    def __init__(self, settings: config.Settings, *_: object) -> None:
        self._path = record_path(settings.data_dir, str(demo.DAY))

    async def run(self) -> int:
        written(self._path)
        self._path.write_bytes(self._path.read_bytes()[:-20])
        return entry.EXIT_OK

    def stop(self) -> None:
        """It has ended."""


async def test_a_demo_whose_record_finds_no_room_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await demo.play(40.0, Cut, tmp_path / "kept") == entry.EXIT_FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The demo's record could not be written completely on this machine: ")


def test_a_clock_beyond_every_calendar_is_a_failing_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {**KEYS, **LOOPBACK}.items():
        monkeypatch.setenv(name, value)
    beyond = 253_402_300_800 * SECOND  # the year 10,000
    assert diagnose.main(["--offline"], utils.ScaledClock(beyond, 1.0)) == entry.EXIT_FAILED
    shown = capsys.readouterr().out
    assert "set this machine's clock (NTP)" in shown
