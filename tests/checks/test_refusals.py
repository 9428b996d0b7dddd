"""What a machine refuses to the checks themselves: each is a line of the report, and ends no check but its own."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from pathlib import Path

import pytest

import entry
from checks.check import Check, Severity
from checks.installation import check_modules, check_requirements
from checks.places import check_lease, check_places
from checks.questions import Inquiry
from record.lease import Lease
from tests.checks.given import settings_of
from tests.disk import Disk
from tests.environment import run
from tests.refusals import no_more_files, ordinary_user, users_folder
from utils import SystemClock

TOO_LONG = Path("/tmp") / ("a" * 300)


def lines(found: list[Check]) -> list[str]:
    return [check.line().strip() for check in found]


def refused(_: Path) -> int:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


# --- Places ---


def test_a_place_that_may_not_even_be_looked_at_is_a_line() -> None:
    with users_folder() as folder:
        data = folder / "locked" / "data"
        data.mkdir(parents=True)
        data.parent.chmod(0)
        settings = settings_of(DATA_DIR=str(data), LOG_FILE=str(folder / "iwm.log"))
        with ordinary_user():
            first, last = lines(check_places(settings, {}))
    assert first.startswith(f"✗ DATA_DIR: {data} cannot be used (Permission denied) — name a folder ")
    assert last.startswith("✓ LOG_FILE: ")


def test_a_folder_of_records_that_cannot_be_looked_through_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_bytes(b"")
    settings = settings_of(DATA_DIR=str(tmp_path), LOG_FILE=str(tmp_path / "iwm.log"))
    found = lines(check_places(settings, {}))
    assert (
        f"✗ DATA_DIR: {tmp_path}/sessions cannot be listed (Not a directory) "
        "— give this user permission to read it: the worker does not start" in found
    )


def test_a_disk_that_does_not_say_how_much_is_free_is_a_line(tmp_path: Path) -> None:
    settings = settings_of(DATA_DIR=str(tmp_path), LOG_FILE=str(tmp_path / "iwm.log"))
    found = lines(check_places(settings, {}, free=refused))
    assert (
        "⚠ DATA_DIR: its free space cannot be read (Input/output error) — a session needs up to 60 MB"
        in found
    )


def test_a_folder_in_which_this_user_may_make_no_file_is_a_line(tmp_path: Path) -> None:
    disk = Disk()
    disk.fault = errno.EACCES
    settings = settings_of(DATA_DIR=str(tmp_path), LOG_FILE=str(tmp_path / "iwm.log"))
    first, *_ = lines(check_places(settings, {}, opener=disk))
    assert (
        first == f"✗ DATA_DIR: {tmp_path} cannot be written (Permission denied) "
        f"— give this user write permission for {tmp_path}"
    )


def test_rights_that_an_ordinary_user_lacks_are_lines() -> None:
    with users_folder() as folder:
        (folder / "iwm.log").touch(mode=0o666)
        (folder / "iwm.log").chmod(0o666)
        settings = settings_of(DATA_DIR=str(folder / "data"), LOG_FILE=str(folder / "iwm.log"))
        folder.chmod(0o555)
        with ordinary_user():
            found = lines(check_places(settings, {}))
    right = f"give this user write permission for {folder}"
    assert found[0] == f"✗ DATA_DIR: {folder}/data cannot be written — {right}"
    assert (
        found[-1]
        == f"⚠ LOG_FILE: {folder}/iwm.log can be written, but not renamed when it is full: it would grow on — {right}"
    )


# --- The lease ---


def test_a_lease_that_cannot_be_looked_for_is_a_line() -> None:
    check, is_running = check_lease(TOO_LONG)
    assert check.line().strip() == (
        f"✗ lease: cannot be checked (File name too long) — give this user permission to list {TOO_LONG}"
    )
    assert not is_running


def test_a_lease_that_this_user_may_not_write_is_a_line() -> None:
    with users_folder() as folder:
        lease = Lease(folder)
        lease.acquire("then")
        lease.release()
        lease.path.chmod(0o400)
        with ordinary_user():
            check, is_running = check_lease(folder)
    assert check.line().strip() == (
        f"✗ lease: cannot be taken (Permission denied) — give this user write permission for {folder}/lease"
    )
    assert not is_running


# --- Questions ---


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ssl.SSLError(1, "[SSL: BAD_RECORD_MAC]"), "SSLError"),
        (UnicodeError("label empty or too long"), "UnicodeError"),
        (OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)), "OSError"),
    ],
)
async def test_whatever_a_question_raises_is_its_own_failing_line(error: Exception, words: str) -> None:
    async def ask() -> Check | None:
        raise error

    (check,) = await Inquiry(settings=settings_of(), clock=SystemClock()).limited("Group", "subject", ask)
    assert check.severity is Severity.FAIL
    assert check.found.startswith("subject: ")
    assert words in check.found
    assert check.do == "check its address, and the proxy and certificates of this machine"


async def test_a_question_that_is_never_answered_is_a_failing_line() -> None:
    async def ask() -> Check | None:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    inquiry = Inquiry(settings=settings_of(), clock=SystemClock(), limit_s=0.05)
    (check,) = await inquiry.limited("Group", "subject", ask)
    assert check.line().strip() == (
        "✗ subject: no answer within 0.05 s — check this machine's network; else that server is down"
    )


# --- The installation ---


def test_what_lacks_to_load_a_module_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, line in (
        ("crowded_module", "raise OSError(24, 'Too many open files')"),
        ("broken_module", "raise KeyError('part')"),
    ):
        (tmp_path / f"{name}.py").write_text(line, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert lines(check_modules(("events", "broken_module", "crowded_module", "broken_module"))) == [
        "✗ it may open no more files — raise the limit (ulimit -n)"
    ]
    assert lines(check_modules(("broken_module",))) == [
        "✗ broken_module: KeyError: 'part' — the installation is incomplete: install it again"
    ]


def test_a_list_of_packages_that_cannot_be_read_is_told() -> None:
    with no_more_files():
        found = check_requirements(every=True)
    assert lines(found) == [
        f"✗ {entry.FOLDER}/requirements.txt: cannot be read (Too many open files) "
        "— the installation is incomplete: install it again"
    ]


WITHOUT_FILES = """
import certifi, httpx, ssl
from checks import machine
from tests.refusals import no_more_files
with no_more_files():
    faults = machine.faults(None)
print(*faults, sep="\\n")
"""


def test_connections_that_cannot_be_set_up_are_told(tmp_path: Path) -> None:
    """Its certificates are read once in a process."""
    done = run(tmp_path, "-c", WITHOUT_FILES, env={"https_proxy": "http://127.0.0.1:9"})
    assert done.stdout.splitlines() == [
        "TLS cannot be set up on this machine (Too many open files); check OPENSSL_CONF, and Python's ssl module",
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY: no connection can be made with them (OSError); unset them",
    ], done.stderr
