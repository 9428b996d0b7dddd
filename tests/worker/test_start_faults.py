"""A start, and what goes on beside a session, where a part of it fails: said, and ending no more than it must."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from events import SECOND, Tick
from record.folder import record_path
from record.journal import Journal
from rules import Rules
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.stage import session, stage
from tests.test_risk_manager import closed
from tests.worker.test_record_start import AFTER_S, DATE, bought, ended, watched_again
from worker.ending import EXIT_CRASHED, EXIT_OK
from worker.heartbeat import say_failed

pytestmark = pytest.mark.virtual_time


async def test_a_record_that_does_not_follow_from_itself_ends_the_start(tmp_path: Path) -> None:
    """Each line is whole, and a position is closed that was never opened."""
    path = record_path(tmp_path / "data", DATE)
    record = Journal(path)
    now = session().open + 60 * SECOND
    record.begin(Rules(), session(), now)
    record.append(now + SECOND, Tick(), [closed()])
    record.close()
    before = path.read_bytes()
    status, said = await ended(tmp_path)
    assert status == EXIT_CRASHED
    assert f"{DATE}.jsonl" in said
    assert "it does not follow from what is before (" in said
    assert path.read_bytes() == before


async def test_a_position_that_cannot_be_priced_at_the_start_is_watched_all_the_same(tmp_path: Path) -> None:
    path = record_path(tmp_path / "data", DATE)
    path.parent.mkdir(parents=True)
    path.write_bytes(bought())

    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add("rest_html", path="/v3/snapshot", times=3)

    with capture_logs() as logs:
        async with stage(tmp_path, start_s=AFTER_S, prepare=prepare) as play:
            await watched_again(play)
            assert await play.stop() == EXIT_OK
            assert play.titles("SELL")
    assert "position_not_priced" in [line["event"] for line in logs]


async def test_a_lease_that_cannot_be_looked_at_is_looked_at_again(tmp_path: Path) -> None:
    data, aside = tmp_path / "data", tmp_path / "aside"
    with capture_logs() as logs:
        async with stage(tmp_path, start_s=86_400 - 3_600) as play:
            await play.until((data / "lease").exists, 30, "taken")
            data.rename(aside)
            data.symlink_to(data)
            await play.until(
                lambda: "lease_not_taken" in [line["event"] for line in logs], 130, "looked at in vain"
            )
            data.unlink()
            aside.rename(data)
            await play.wait(130)
            assert await play.stop() == EXIT_OK
    found = [line["event"] for line in logs]
    assert "lease_taken" not in found
    assert "lease_disputed" not in found


async def test_an_outside_watch_that_cannot_be_reached_ends_nothing() -> None:
    async with asyncio.timeout(20):
        await say_failed(SecretStr("http://127.0.0.1:9/CanaryPath"), "exit 1: a fault")
