"""Nothing is forgotten: the worker dies at any moment, is started again, and goes on as if nothing had been.

Here it is cut off on virtual time (`tests/worker/loop_town.py`); `tests/worker/test_restart_process.py` kills real processes.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from events import SECOND, AlertKind, AlertOutcome, Outcome
from record.folder import record_path
from tests.stage import session
from tests.worker.loop_town import loop_town
from tests.worker.town import check, die, killed_at_random, to_the_end
from worker.ending import EXIT_CRASHED

pytestmark = pytest.mark.virtual_time

KILLS = int(os.environ.get("RESTART_KILLS", "4"))
"""Random moments at which the worker is killed; by hand, 200."""

MOMENTS = pytest.mark.parametrize(
    ("moment", "arrived"),
    [("before fsync", 0), ("before send", 0), ("before answer", 1), ("before outcome", 1)],
)


async def test_a_position_kept_at_a_stop_is_watched_again(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start(on_shutdown="keep")
        await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        assert await place.stop() == 0
        assert len(place.pushes("unwatched")) == 1
        await place.start()
        await place.until(lambda: place.pushes("watching again"), 60, "watching again")
        await to_the_end(place)
        assert len(place.pushes("SELL")) == 1


async def test_a_time_stop_that_passed_while_down_is_told_at_the_next_start(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start(hard_time_stop="15:55", no_entry_after="15:30")
        await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        await place.kill()
    late = session().close - session().open + 120 * SECOND
    async with loop_town(tmp_path, start_s=late / SECOND) as place:
        await place.start()
        await place.until(lambda: place.pushes("SELL"), 600, "SELL")
        (sell,) = place.pushes("SELL")
        assert re.match(r"Reason: Time stop 15:55 ET\n\d+m", sell.text), sell.text
        await place.until(lambda: "😴" in place.said(), 1200, "asleep")
        assert await place.stop() == 0


async def test_a_day_whose_evening_was_missed_is_summed_up_once_at_the_next_start(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start(daily_summary="on")
        await place.until(lambda: place.pushes("armed"), 120, "armed")
        await place.kill()
    late = session().close - session().open + 120 * SECOND
    async with loop_town(tmp_path, start_s=late / SECOND) as place:
        for _ in range(2):
            await place.start(daily_summary="on")
            await place.until(lambda: "😴" in place.texts()[-1], 1200, "asleep")
            assert await place.stop() == 0
        (evening,) = place.pushes("🌙")
        assert evening.title == f"🌙 IWM: {session().date}"
        assert evening.text.startswith("No trade\nSeen for ")
        assert " of 6h30m, blind for " in evening.text


async def test_a_damaged_record_stops_the_start_and_is_kept(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start()
        await place.until(lambda: "Backfill IWM: done" in place.said(), 60, "backfilled")
        await place.kill()
        path = record_path(tmp_path / "data", session().date)
        text = bytearray(path.read_bytes())
        text[len(text) // 2] ^= 1
        path.write_bytes(text)
        await place.start()
        assert await place.ended() == EXIT_CRASHED
        assert "checksum is wrong" in place.said()
        assert path.read_bytes() == text


async def test_a_torn_record_is_cut_and_said(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start()
        await place.until(lambda: "Backfill IWM: done" in place.said(), 60, "backfilled")
        await place.kill()
        path = record_path(tmp_path / "data", session().date)
        with path.open("ab") as file:
            file.write(b'[1759416000000000,99999,{"type":"ti')
        await place.start()
        await place.until(lambda: "Record resumed" in place.said(), 60, "resumed")
        assert "left by a crash" in place.said()
        await to_the_end(place)


@MOMENTS
async def test_a_crash_around_a_sell_repeats_it_marked(tmp_path: Path, moment: str, arrived: int) -> None:
    async with loop_town(tmp_path) as place:
        await die(place, moment, "sell")
        assert len(place.pushes("SELL")) == arrived
        await place.until(lambda: len(place.pushes("SELL")) == arrived + 1, 120, "SELL repeated")
        await place.clock.sleep(10)
        assert await place.stop() == 0, place.said()
        check(place)
        assert [("Repeat of" in push.text) for push in place.pushes("SELL")] == [False] * arrived + [True]
        assert len(place.pushes("BUY")) == 1


@MOMENTS
async def test_a_crash_around_a_buy_repeats_it_marked_or_counts_it_as_told(
    tmp_path: Path, moment: str, arrived: int
) -> None:
    """Marked while it is under 30 s old; told when it is older: then there is a position, and its SELL."""
    async with loop_town(tmp_path) as place:
        await die(place, moment, "buy")
        await to_the_end(place)
        repeated = [push for push in place.pushes("BUY") if "Repeat of" in push.text]
        assert len(place.pushes("BUY")) == arrived + len(repeated)
        assert len(place.pushes("SELL")) == 1
        outcomes = [
            entry.event.outcome
            for entry in place.record().entries
            if isinstance(entry.event, AlertOutcome) and entry.event.kind is AlertKind.BUY
        ]
        assert outcomes == [Outcome.ACCEPTED if repeated else Outcome.LOST]


@pytest.mark.parametrize("seed", range(KILLS))
async def test_killed_at_a_random_moment_the_story_ends_the_same(tmp_path: Path, seed: int) -> None:
    async with loop_town(tmp_path) as place:
        await killed_at_random(place, random.Random(seed))
        await to_the_end(place)
