"""The whole worker on a machine that is too slow: late by more than it may be, it buys nothing until it is on time again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from events import Hold, HoldReason
from record.folder import records
from record.reader import read
from tests.stage import Stage, stage
from tests.virtual_loop import VirtualLoop
from worker.ticks import KEEPS_UP_S

pytestmark = pytest.mark.virtual_time


async def stands(play: Stage, seconds: float) -> None:
    """The loop does not turn for so long, between two ticks."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    await play.wait(0.5)
    loop.stand(seconds)
    await play.wait(3)


async def test_a_loop_that_lags_holds_entries_until_it_is_on_time_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await play.until(lambda: play.worker.engine is not None, 30, "watching")
        await play.wait(3)
        await stands(play, 1.5)
        await stands(play, 4.5)
        await play.wait(KEEPS_UP_S)
        await play.stop()
    (path,) = records(tmp_path / "data")
    holds = [entry.event for entry in read(path).entries if isinstance(entry.event, Hold)]
    lagging = [hold.on for hold in holds if hold.reason is HoldReason.LOOP_LAG]
    assert lagging == [True, False]
