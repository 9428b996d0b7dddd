"""The book after the close: the whole worker enters the day, and a book that cannot be used costs only the row."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from book.store import NAME, read
from events import SECOND
from tests.book.test_store import DAY
from tests.measured import measured
from tests.stage import session
from tests.worker.handed import context_of
from tests.worker.loop_town import loop_town
from threads import Result, Thread
from worker import bookkeeper
from worker.ending import EXIT_OK

pytestmark = pytest.mark.virtual_time

ROOT = Path(bookkeeper.__file__).parent.parent

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


def no_thread(name: str) -> Thread:
    """What Python does where the machine has no more threads."""
    raise RuntimeError(f"can't start new thread for {name}")


async def test_whatever_keeps_a_row_from_the_book_the_worker_goes_on(tmp_path: Path) -> None:
    context = context_of(tmp_path, no_thread)
    with capture_logs() as logs:
        await bookkeeper.enter(context, DAY)
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("book_failed", "RuntimeError: can't start new thread for book")
    ]


WITHOUT_SQLITE = """
import asyncio, sys
from pathlib import Path
sys.modules["_sqlite3"] = None
import msgspec
from structlog.testing import capture_logs
from book.rows import DayRow
from tests.worker.handed import context_of
from threads import DaemonThread
from worker import bookkeeper

async def enter():
    day = msgspec.json.decode(sys.argv[2], type=DayRow)
    await bookkeeper.enter(context_of(Path(sys.argv[1]), DaemonThread), day)

with capture_logs() as logs:
    asyncio.run(enter())
print(*(line["text"] for line in logs))
"""


def test_a_python_without_sqlite_costs_only_the_row(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SQLITE, str(tmp_path), msgspec.json.encode(DAY).decode()],
        cwd=ROOT,
        env={**os.environ, **measured()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == (
        "📒 Session 2025-10-02 could not be entered in the book: this Python has no SQLite "
        "(import of _sqlite3 halted; None in sys.modules)\n"
    ), done.stderr


class StuckThread:
    """A disk that never answers."""

    def submit(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        return asyncio.get_running_loop().create_future()

    def last(self) -> None:
        pass


async def test_a_disk_that_never_answers_delays_a_stop_by_a_second_at_most(tmp_path: Path) -> None:
    context = context_of(tmp_path, lambda _: StuckThread())
    context.stopping.set()
    began = time.monotonic()
    with capture_logs() as logs:
        await bookkeeper.enter(context, DAY)
    assert time.monotonic() - began < bookkeeper.STOP_REAL_S + 1
    assert "the disk has not answered in time" in logs[0]["text"]
