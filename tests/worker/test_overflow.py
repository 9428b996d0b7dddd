"""The whole worker when the vendor sends more than it can handle."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from events import FeedCause
from tests.stage import Stage, stage

pytestmark = pytest.mark.virtual_time


def sees(play: Stage) -> bool:
    """Whether bars come in time, and none is missing."""
    engine = play.worker.engine
    return engine is not None and not engine.feed.is_blind and not engine.feed.gaps.exist


async def test_more_bars_than_can_be_handled_reopen_the_feed_and_what_was_dropped_is_fetched(
    tmp_path: Path,
) -> None:
    with capture_logs() as logs:
        async with stage(tmp_path) as play:
            await play.until(lambda: sees(play), 60, "up")
            play.vendor.faults.add("overload", feed="stocks")
            await play.until(lambda: "stocks_lost" in [line["event"] for line in logs], 30, "overflow")
            await play.until(lambda: sees(play), 120, "back")
            await play.stop()
    (lost,) = [line for line in logs if line["event"] == "stocks_lost"]
    assert lost["cause"] is FeedCause.OVERFLOW
    assert [line["event"] for line in logs].count("stocks_connected") == 2
