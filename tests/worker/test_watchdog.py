"""The watchdog ends a process whose loop stands, and no other."""

from __future__ import annotations

import asyncio
import io
import threading

import logger
from utils import SystemClock
from worker.ending import EXIT_CRASHED
from worker.watchdog import Watchdog


async def waits_elsewhere() -> None:
    await asyncio.sleep(60)


async def test_the_watchdog_ends_a_process_whose_loop_stands() -> None:
    ended = threading.Event()
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    stream = io.StringIO()
    logger.setup(
        level="INFO",
        log_format="console",
        log_file=None,
        secrets=(),
        clock=SystemClock().now,
        stream=stream,
    )
    other = asyncio.create_task(waits_elsewhere())
    try:
        with Watchdog(asyncio.get_running_loop(), end, limit_s=0.3):
            await asyncio.sleep(0.6)
            assert not ended.is_set()
            ended.wait(5)  # the loop stands here
    finally:
        other.cancel()
        logger.close()
    assert statuses == [EXIT_CRASHED]
    assert "has been stuck" in stream.getvalue()
    assert "test_the_watchdog_ends_a_process" in stream.getvalue()
    assert "waits_elsewhere" in stream.getvalue(), "every task's stack is in the log"
