"""What the worker leaves behind: a lease for the next one, packed records of earlier days, and what a stop that is cut off names."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from events import SECOND
from record.lease import Lease
from sim.demo import SEED
from tests.stage import clocks, session, stage, threads
from tests.worker.test_record_start import AFTER_S, settings
from tests.worker.test_watch import with_position
from worker.ending import EXIT_OK
from worker.watchdog import Deadline
from worker.worker import Worker

pytestmark = pytest.mark.virtual_time

NEXT_MORNING_S = 86_400 - 3_600
"""08:30 of the next day, seconds after the session's open."""


async def test_a_worker_that_has_ended_leaves_the_lease_to_the_next(tmp_path: Path) -> None:
    async with stage(tmp_path, start_s=NEXT_MORNING_S) as play:
        await play.until((tmp_path / "data" / "lease").exists, 10, "started")
        assert await play.stop() == EXIT_OK
    lease = Lease(tmp_path / "data")
    lease.acquire("now")
    lease.release()


async def test_a_day_that_a_start_has_settled_is_packed(tmp_path: Path) -> None:
    """Its SELL asks for no acknowledgement, so nothing more is due for its record."""
    path = with_position(tmp_path)
    async with stage(tmp_path, start_s=NEXT_MORNING_S, sell_priority=1) as play:
        await play.until(lambda: play.titles("SELL"), 60, "SELL")
        await play.until(lambda: not path.exists(), 5, "packed")
        assert path.with_name(path.name + ".gz").exists()
        await play.stop()


async def test_a_stop_that_is_cut_off_asks_the_worker_what_is_unfinished(tmp_path: Path) -> None:
    clock, _ = clocks(session().open + round(AFTER_S * SECOND), 1.0)
    deadline = Deadline()
    worker = Worker(
        settings(tmp_path),
        clock=clock,
        random_source=random.Random(SEED),
        threads=threads(),
        deadline=deadline,
    )
    assert deadline.unfinished == worker.unfinished
