"""A loop that is blocked for longer than two seconds holds entries, and releases them once it keeps up again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from events import SECOND, Declined, DeclineReason, Hold, HoldReason, Opened
from tests.virtual_loop import VirtualLoop
from tests.worker.loop_town import LoopTown, loop_town
from tests.worker.town import check, decisions_of
from worker.ticks import KEEPS_UP_S, SAMPLE_REAL_S

pytestmark = pytest.mark.virtual_time

LIMIT_S = 2.0
"""LOOP_LAG_SECONDS."""


def stand(seconds: float) -> None:
    """Block the loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.stand(seconds)


def holds(place: LoopTown) -> list[tuple[float, bool]]:
    """When entries were held and released, in seconds of the town's clock."""
    return [
        (line.now / SECOND, line.event.on)
        for line in place.record().entries
        if isinstance(line.event, Hold) and line.event.reason is HoldReason.LOOP_LAG
    ]


async def test_a_block_of_over_two_seconds_holds_entries_and_they_are_released_after_it(
    tmp_path: Path,
) -> None:
    async with loop_town(tmp_path) as place:
        await place.start()
        await place.until(lambda: "Backfill SPY: done" in place.said(), 60, "seen")
        for step in range(4):  # wherever in its second the loop is blocked
            await place.clock.sleep(5.125 - (place.clock.now() % SECOND) / SECOND + step / 4)
            before = len(holds(place))
            stand(LIMIT_S + SAMPLE_REAL_S + 0.01)
            ended_at = place.clock.now() / SECOND
            await place.clock.sleep(KEEPS_UP_S + 2.5)
            (held_at, on), (released_at, still) = holds(place)[before:]
            assert (on, still) == (True, False)
            assert held_at - ended_at < 0.1
            assert KEEPS_UP_S <= released_at - ended_at <= KEEPS_UP_S + 1.1
        before = len(holds(place))
        for _ in range(5):
            await place.clock.sleep(1.3)
            stand(LIMIT_S - 0.1)
        await place.clock.sleep(3)
        assert len(holds(place)) == before
        assert not place.pushes("blind")
        assert await place.stop() == 0


async def test_no_entry_is_given_by_a_loop_that_cannot_keep_up(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start()
        await place.until(lambda: "Backfill SPY: done" in place.said(), 60, "seen")

        async def block() -> None:
            while True:
                await asyncio.sleep(0.4)
                stand(2.4)

        blocking = asyncio.create_task(block())
        await place.until(lambda: decisions_of(place.record(), Declined), 300, "a signal")
        await place.clock.sleep(60)
        blocking.cancel()
        assert not decisions_of(place.record(), Opened)
        reasons = {(each.reason, each.hold) for each in decisions_of(place.record(), Declined)}
        assert (DeclineReason.HELD, HoldReason.LOOP_LAG) in reasons
        assert await place.stop() == 0
        check(place)
