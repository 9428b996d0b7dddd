"""What the worker leaves behind: a lease for the next one, packed records of earlier days, and what a stop that is cut off names."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from events import SECOND, AlertKind, AlertOutcome, Outcome
from record.lease import Lease
from record.reader import read
from sim.demo import SEED
from tests.outside import outside
from tests.stage import clocks, session, stage, threads
from tests.worker.test_heartbeat import FAIL
from tests.worker.test_record_start import AFTER_S, settings, watched_again
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


async def test_what_a_stop_still_delivers_is_in_the_record(tmp_path: Path) -> None:
    """Else the next start would send the SELL again."""
    path = with_position(tmp_path)
    async with stage(tmp_path, start_s=AFTER_S) as play:
        await watched_again(play)
        assert await play.stop() == EXIT_OK
        assert play.titles("SELL")
    events = [entry.event for entry in read(path).entries]
    told = [event for event in events if isinstance(event, AlertOutcome) and event.kind is AlertKind.SELL]
    assert [event.outcome for event in told] == [Outcome.ACCEPTED]


async def test_a_stop_tries_its_sell_again_while_there_is_time(tmp_path: Path) -> None:
    with_position(tmp_path)
    async with stage(tmp_path, start_s=AFTER_S) as play:
        await watched_again(play)
        play.pushover.answers.append("500")
        assert await play.stop() == EXIT_OK
        assert play.titles("SELL")


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


async def test_a_lease_that_came_back_may_be_disputed_once_more(tmp_path: Path) -> None:
    """diagnose.py holds it for a moment, now and then: only two looks in a row at another copy end the worker."""
    lease, other = tmp_path / "data" / "lease", Lease(tmp_path / "data")
    async with stage(tmp_path, start_s=NEXT_MORNING_S) as play:
        await play.until(lease.exists, 30, "taken")
        for _ in range(2):
            lease.unlink()
            other.acquire("then")
            await play.wait(65)
            other.release()
            await play.wait(65)
            assert not play.running.done()
        assert await play.stop() == EXIT_OK


# --- No beat while a SELL is not told, whatever the hour ---------------------------------------------

UNTOLD = ["400"] * 99


async def test_no_beat_comes_while_an_earlier_days_sell_is_not_told_and_giving_it_up_is_a_failure(
    tmp_path: Path,
) -> None:
    with_position(tmp_path)
    async with (
        outside() as server,
        stage(
            tmp_path,
            start_s=NEXT_MORNING_S,
            heartbeat_url=server.secret,
            prepare=lambda _, pushover: pushover.answers.extend(UNTOLD),
        ) as play,
    ):
        await play.wait(240)
        assert not play.titles("SELL")
        assert set(server.asked) == {FAIL}, "no push arrives, and the watch is told so"
        assert not any("SELL" in body for body in server.bodies)
        await play.wait(720)  # 15 minutes after it was decided it is given up
        assert set(server.asked) == {FAIL}
        assert (
            sum(body.startswith("never delivered: 🚪 IWM 0DTE CALL — SELL #") for body in server.bodies) == 1
        )


async def test_no_beat_comes_after_the_close_while_a_sell_is_not_told(tmp_path: Path) -> None:
    with_position(tmp_path)
    close_s = (session().close - session().open) / SECOND
    async with (
        outside() as server,
        stage(
            tmp_path,
            start_s=close_s - 302,
            heartbeat_url=server.secret,
            prepare=lambda _, pushover: pushover.answers.extend(UNTOLD),
        ) as play,
    ):
        await play.wait(302 + 240)
        assert not play.titles("SELL")
        assert set(server.asked) == {FAIL}, "no push arrives, and the watch is told so"
