"""The lease: one copy a folder, whatever becomes of its file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import main
from record.lease import Lease, LeaseHeld

ROOT = Path(main.__file__).parent


def test_the_lease_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "data"), Lease(tmp_path / "data")
    first.take("2025-10-02T13:25:00Z")
    with pytest.raises(LeaseHeld, match=f"pid {os.getpid()}, started 2025-10-02T13:25:00Z"):
        second.take("2025-10-02T13:26:00Z")
    first.release()
    second.take("2025-10-02T13:27:00Z")
    second.release()
    second.release()


def test_a_crash_gives_the_lease_back(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys,time; from pathlib import Path; from record.lease import Lease; "
            "lease = Lease(Path(sys.argv[1])); lease.take('then'); print('held', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    lease = Lease(tmp_path)
    with pytest.raises(LeaseHeld, match=f"pid {holder.pid}, started then"):
        lease.take("now")
    holder.kill()
    holder.wait()
    holder.stdout.close()
    lease.take("now")
    lease.release()
