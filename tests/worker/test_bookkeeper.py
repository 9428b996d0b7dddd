"""The book after the close: the whole worker enters the day, and a book that cannot be used costs only the row."""

from __future__ import annotations

from pathlib import Path

import pytest

from book.store import NAME, read
from events import SECOND
from tests.stage import session
from tests.worker.loop_town import loop_town
from worker.ending import EXIT_OK

pytestmark = pytest.mark.virtual_time

LATE_S = (session().close - session().open) // SECOND + 120


@pytest.mark.parametrize("damage", ["", "no database", "a folder"])
async def test_a_day_is_entered_once_it_is_over_and_a_bad_book_stops_nothing(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "data" / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    if damage == "a folder":
        path.mkdir()
    elif damage:
        path.write_text(damage * 1000)
    async with loop_town(tmp_path) as place:
        await place.start()
        await place.until(lambda: place.pushes("SELL"), 600, "SELL")
        await place.kill()
    async with loop_town(tmp_path, start_s=LATE_S) as place:
        await place.start(daily_summary="on")
        await place.until(lambda: place.pushes("🌙"), 600, "evening")
        await place.until(lambda: "😴" in place.said(), 1200, "asleep")
        assert await place.stop() == EXIT_OK
        assert ("could not be entered in the book" in place.said()) is bool(damage)
        if damage:
            return
        (day,) = read(path)
        (trade,) = day.trades
        assert (day.date, day.entries, day.withdrawn) == (session().date, 1, 0)
        assert trade.closed_at is not None and set(trade.followed) == {0, 5, 15, 30, 60}
        first = place.pushes("🌙")[0].text.splitlines()
        assert first[0].startswith(("0 trades", "1 trade"))
