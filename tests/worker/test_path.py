"""The whole worker while the path to the vendor dies without a word: half-open connections, one way and both."""

from __future__ import annotations

from pathlib import Path

import pytest

from events import SECOND, FeedCause, FeedLost
from tests.proxy import DOWN, UP, path_to
from tests.worker.loop_town import LoopTown, loop_town

pytestmark = pytest.mark.virtual_time

NOTICED_S = 15.0
"""Seconds within which a path that has died must be noticed in a session."""


def lost(place: LoopTown) -> list[tuple[float, FeedCause]]:
    """When the record has a lost feed, in seconds of the town's clock, and why."""
    return [
        (line.now / SECOND, line.event.cause)
        for line in place.record().entries
        if isinstance(line.event, FeedLost)
    ]


async def seen(place: LoopTown) -> None:
    await place.until(lambda: "Backfill SPY: done" in place.said(), 60, "seen")


@pytest.mark.parametrize("ways", [{DOWN}, {UP, DOWN}], ids=["down", "both"])
async def test_a_half_open_connection_is_noticed_within_fifteen_seconds(
    tmp_path: Path, ways: set[str]
) -> None:
    async with loop_town(tmp_path) as place, path_to(place.vendor.ws_url) as path:
        await place.start(polygon_ws_url=path.url)
        await seen(place)
        path.swallows |= ways
        died_at, connections = place.clock.now() / SECOND, path.connections
        await place.until(lambda: path.connections > connections, 60, "tried again")
        noticed_at, cause = lost(place)[-1]
        assert (cause, noticed_at - died_at <= NOTICED_S) == (FeedCause.STALL, True)
        path.swallows.clear()  # connections of before stay dead: their ends have gone
        await place.until(lambda: place.pushes("feed recovered"), 120, "recovered")


async def test_a_path_that_swallows_only_what_is_sent_costs_nothing_while_bars_flow(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place, path_to(place.vendor.ws_url) as path:
        await place.start(polygon_ws_url=path.url)
        await seen(place)
        path.swallows.add(UP)
        connections = path.connections
        await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        await place.until(lambda: place.pushes("SELL"), 300, "SELL")
        assert path.connections == connections
        assert not place.pushes("feed")
