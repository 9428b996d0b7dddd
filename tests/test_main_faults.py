"""The worker's command where something fails under it: a line, the right status, and a word to the outside watch."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import entry
from tests.environment import LOOPBACK, MAIN, ROOT, bare, run
from tests.measured import measured
from tests.outside import outside
from tests.test_config import KEYS

__all__ = ["bare"]

NO_LOOP = """
import asyncio, sys
import main
class Crowded(asyncio.DefaultEventLoopPolicy):
    calls = 0
    def new_event_loop(self):
        self.calls += 1
        if self.calls == 1:
            raise PermissionError(13, "Permission denied")
        return super().new_event_loop()
asyncio.set_event_loop_policy(Crowded())
sys.exit(main.main(sys.argv[1:]))
"""
"""A machine on which no event loop can be made at first."""


async def test_a_worker_that_cannot_even_begin_is_told_to_the_outside_watch(tmp_path: Path) -> None:
    async with outside() as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", NO_LOOP),
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                **measured(ROOT),
                **KEYS,
                **LOOPBACK,
                "HEARTBEAT_URL": server.secret.get_secret_value(),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == entry.EXIT_FAILED
        assert server.asked == ["POST /CanaryPath/fail"]
        assert server.bodies == ["exit 1: PermissionError: [Errno 13] Permission denied"]
    said = output.decode() + (tmp_path / "iwm_momentum.log").read_text(encoding="utf-8")
    assert "PermissionError: [Errno 13] Permission denied" in said
    assert "CanaryPath" not in said


# --- The demo ---


def test_a_machine_that_cannot_run_the_demo_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", NO_LOOP, "--demo")
    assert (done.returncode, done.stdout) == (entry.EXIT_FAILED, "")
    assert "The demo cannot run on this machine: Permission denied\n" in done.stderr


def test_the_demo_without_its_market_says_so(tmp_path: Path) -> None:
    program = (
        "import runpy, sys\nsys.modules['sim'] = None\nsys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = run(tmp_path, "-c", program, MAIN, "--demo")
    assert (done.returncode, done.stdout) == (entry.EXIT_CONFIGURATION, "")
    assert done.stderr.startswith("The demo cannot begin: sim is missing in ")


def test_the_demo_ends_with_its_reader(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(
        *(tmp_path, MAIN, "--demo", "--speed", "40", "--keep", "kept"),
        stdout=writer,
        stderr=subprocess.PIPE,
        capture_output=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (entry.EXIT_PIPE, "")
