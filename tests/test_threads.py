"""Threads for what may block: nothing waits for one whose disk never answers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from sim.loop import Inline, inline
from threads import DaemonThread, LazyThread

ROOT = Path(__file__).parent.parent


def test_a_disks_thread_does_not_keep_the_process() -> None:
    """As one that waits for a disk without end would: those of asyncio are waited for."""
    program = (
        "import asyncio, time; from threads import DaemonThread, in_thread\n"
        "async def main():\n"
        "    asyncio.ensure_future(in_thread(DaemonThread, 'slow', lambda: time.sleep(60)))\n"
        "    await asyncio.sleep(0.1)\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=20)


@pytest.mark.virtual_time
async def test_a_lazy_thread_starts_with_its_first_action_and_stays_the_only_one() -> None:
    """Two would put a record on the disk and close its file in any order."""
    started: list[str] = []

    def start(name: str) -> Inline:
        started.append(name)
        return inline(name)

    thread = LazyThread(start, "record")
    assert (thread.is_started, started) == (False, [])
    assert [await thread.submit(lambda: 1), await thread.submit(lambda: 2)] == [1, 2]
    assert (thread.is_started, started) == (True, ["record"])


async def test_what_an_action_raises_reaches_whoever_waits_for_it() -> None:
    def fails() -> None:
        raise OSError("no disk")

    thread = DaemonThread("disk")
    with pytest.raises(OSError, match="no disk"):
        await asyncio.wait_for(thread.submit(fails), 20)
    thread.last()
