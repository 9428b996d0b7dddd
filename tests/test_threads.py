"""Threads for what may block: nothing waits for one whose disk never answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
