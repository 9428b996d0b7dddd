"""The lease: one copy a folder, whatever becomes of its file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import main
from record.folder import record_path
from record.lease import Lease, LeaseHeld, Misplaced
from tests.made_record import written
from tests.measured import measured
from tests.test_config import KEYS
from worker.ending import EXIT_CRASHED, EXIT_OK

ROOT = Path(main.__file__).parent


def test_the_lease_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "data"), Lease(tmp_path / "data")
    first.acquire("2025-10-02T13:25:00Z")
    with pytest.raises(LeaseHeld, match=f"pid {os.getpid()}, started 2025-10-02T13:25:00Z"):
        second.acquire("2025-10-02T13:26:00Z")
    first.release()
    second.acquire("2025-10-02T13:27:00Z")
    second.release()
    second.release()


def test_a_crash_gives_the_lease_back(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys,time; from pathlib import Path; from record.lease import Lease; "
            "lease = Lease(Path(sys.argv[1])); lease.acquire('then'); print('held', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    lease = Lease(tmp_path)
    with pytest.raises(LeaseHeld, match=f"pid {holder.pid}, started then"):
        lease.acquire("now")
    holder.kill()
    holder.wait()
    holder.stdout.close()
    lease.acquire("now")
    lease.release()


NO_ROOM = """
import sys
from collections.abc import Callable
from pathlib import Path
from record.lease import Lease, LeaseHeld, Misplaced
folder = Path(sys.argv[1])
(folder / "lease").touch()
with open(folder / "ballast", "wb", buffering=0) as ballast:
    try:
        while ballast.write(bytes(4096)):
            pass
    except OSError:
        pass
first = Lease(folder)
first.acquire("then")
assert first.is_locked
try:
    Lease(folder).acquire("now")
except LeaseHeld as error:
    print(f"held: {error}")
"""


def test_a_full_disk_does_not_give_the_lease_away(tmp_path: Path) -> None:
    """It takes the lock and not the name of its holder."""
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path}"
    probe = [unshare or "unshare", "-rm", "sh", "-c", mount]
    if unshare is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs unshare -rm and tmpfs")
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", f'{mount} && exec "{sys.executable}" -c "$SCRIPT" {tmp_path}'],
        cwd=ROOT,
        env={**os.environ, **measured(), "SCRIPT": NO_ROOM},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "held: unknown\n", done.stderr


@pytest.mark.parametrize("content", [b"", b"pid 7, started then\n", bytes(40), b"pi"])
def test_what_an_earlier_copy_has_left_is_taken_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lease").write_bytes(content)
    lease = Lease(tmp_path)
    lease.acquire("now")
    assert (tmp_path / "lease").read_text("ascii") == f"pid {os.getpid()}, started now\n"
    lease.release()


def a_file(place: Path) -> None:
    place.write_bytes(b"the lease of my flat")


def a_link(place: Path) -> None:
    place.symlink_to(place.with_name("flat"))


@pytest.mark.parametrize("make", [a_file, a_link, os.mkdir, os.mkfifo])
def test_something_else_in_its_place_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    place = tmp_path / "lease"
    make(place)
    before = place.lstat()
    with pytest.raises(Misplaced) as found:
        Lease(tmp_path).acquire("now")
    assert found.value.filename == str(place)
    assert found.value.strerror
    after = place.lstat()
    assert (after.st_ino, after.st_size, after.st_mode) == (before.st_ino, before.st_size, before.st_mode)


def test_a_lease_whose_name_no_longer_leads_to_it_is_lost(tmp_path: Path) -> None:
    lease, path = Lease(tmp_path / "data"), tmp_path / "data" / "lease"
    assert lease.is_lost(), "it was never taken"
    lease.acquire("then")
    assert not lease.is_lost()
    path.unlink()
    assert lease.is_lost()
    lease.acquire("again")
    assert not lease.is_lost()
    path.rename(path.with_name("aside"))
    path.write_bytes(b"")
    assert lease.is_lost()
    shutil.rmtree(path.parent)
    assert lease.is_lost()
    lease.acquire("once more")
    assert not lease.is_lost()
    lease.release()
    assert lease.is_lost()


FAILING = """
import errno, os, sys
from pathlib import Path
from record.lease import Lease
from tests.refusals import no_more_locks
no_more_locks(errno.EIO)
before = os.listdir("/proc/self/fd")
lease = Lease(Path(sys.argv[1]))
try:
    lease.acquire("now")
except OSError as error:
    print(error.strerror, lease.is_locked, os.listdir("/proc/self/fd") == before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be made to fail a lock")
def test_a_lock_that_fails_is_no_lease_and_leaves_no_file_open(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **measured()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "Input/output error False True\n", done.stderr


def test_without_locks_the_program_can_still_be_loaded() -> None:
    """On Windows there is no fcntl: whoever starts the program says so, and no import fails before."""
    program = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import tempfile; from pathlib import Path; import main, diagnose; from record.lease import Lease\n"
        "lease = Lease(Path(tempfile.mkdtemp())); lease.acquire('now'); print(lease.is_locked, lease.is_lost())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **measured()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "False False\n", done.stderr


def test_without_locks_the_checks_say_so_and_what_needs_none_goes_on(tmp_path: Path) -> None:
    program = (
        "import runpy, sys\n"
        "sys.modules['fcntl'] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
    )
    path = written(record_path(tmp_path, "2025-10-02"))
    for command, status, said in (
        (("diagnose", "--offline"), EXIT_CRASHED, "this system has no file locks (fcntl): "),
        (("diagnose", "why", "2025-10-02", "--data-dir", str(tmp_path)), EXIT_OK, "2 Oct"),
        (("sim", "verify", str(path)), 1, str(path)),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program, *command],
            cwd=ROOT,
            env={**os.environ, **measured(), **KEYS},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (status, ""), command
        assert said in done.stdout
