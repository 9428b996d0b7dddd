"""More pushes than are plausible: entries are held, it is told once, and a SELL goes out all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from events import Hold, HoldReason
from tests.worker.loop_town import loop_town
from tests.worker.town import check

pytestmark = pytest.mark.virtual_time


async def test_the_push_cap_holds_entries_is_told_once_and_lets_every_sell_out(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start(push_cap_count=1, push_cap_seconds=60)
        await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        await place.until(lambda: place.pushes("SELL"), 300, "SELL")
        await place.until(lambda: "✓ Entries released, fewer than 1 pushes" in place.said(), 120, "released")
        assert await place.stop() == 0
        holds = [
            line.event.on
            for line in place.record().entries
            if isinstance(line.event, Hold) and line.event.reason is HoldReason.PUSH_CAP
        ]
        assert holds[:2] == [True, False]  # and again at the SELL
        (told,) = place.pushes("too many pushes")
        assert told.text.startswith("1 pushes within 1m00s, at ")
        check(place)
