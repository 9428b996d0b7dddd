"""Nothing is forgotten: the worker's process is killed, started again, and goes on as if nothing had been."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.worker.process_town import process_town
from tests.worker.town import check, die, folded, killed_at_random, to_the_end
from worker.ending import EXIT_LEASE

KILLS = int(os.environ.get("RESTART_PROCESS_KILLS", "1"))
"""Random moments at which the process is killed; by hand, 200."""


async def test_a_kill_with_a_position_open_loses_nothing(tmp_path: Path) -> None:
    async with process_town(tmp_path) as place:
        await place.start()
        await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        await place.clock.sleep(20)
        await place.kill()
        before = folded(place.record())
        assert before.position is not None
        await place.start()
        await place.until(lambda: place.pushes("watching again"), 60, "watching again")
        after = folded(place.record())
        assert after.position is not None
        assert after.position.opened == before.position.opened
        assert after.position.opened_at == before.position.opened_at
        assert after.position.peak >= before.position.peak
        text = place.pushes("watching again")[0].text
        assert f"Watching again #{before.position.opened.id}: gap " in text
        await to_the_end(place)
        assert len(place.pushes("BUY")) == len(place.pushes("SELL")) == 1


async def test_a_process_that_dies_in_its_disks_thread_repeats_its_sell_marked(tmp_path: Path) -> None:
    async with process_town(tmp_path) as place:
        await die(place, "before fsync", "sell")
        assert place.pushes("SELL") == []
        await place.until(lambda: place.pushes("SELL"), 120, "SELL")
        await place.clock.sleep(10)
        assert await place.stop() == 0, place.said()
        check(place)
        assert ["Repeat of" in push.text for push in place.pushes("SELL")] == [True]
        assert len(place.pushes("BUY")) == 1


@pytest.mark.parametrize("seed", range(KILLS))
async def test_a_process_killed_at_a_random_moment_the_story_ends_the_same(tmp_path: Path, seed: int) -> None:
    async with process_town(tmp_path) as place:
        await killed_at_random(place, random.Random(seed))
        await to_the_end(place)


async def test_a_second_copy_is_refused_and_named(tmp_path: Path) -> None:
    async with process_town(tmp_path, lives=3) as place:
        await place.start()
        await place.until(lambda: "🔔" in place.said(), 60, "started")
        first = place.process
        assert first is not None
        await place.start()
        second = place.process
        assert second is not None
        assert await place.ended() == EXIT_LEASE
        said = place.texts()[-1]
        assert f"pid {first.pid}, started 2025-10-02 10:" in said
        place.process = first
        await place.kill()
        await place.start()
        await place.until(lambda: "Record resumed" in place.texts()[-1], 60, "resumed")
