"""The book after the close: the whole worker enters the day, and a book that cannot be used costs only the row."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from book.store import NAME, read
from delivery.sender import Sender
from events import SECOND
from pictures.process import drawn_apart
from record.disk import DiskFile
from tests.book.test_store import DAY
from tests.builders import at
from tests.stage import session
from tests.worker.loop_town import loop_town
from tests.worker.test_session import settings
from threads import Result, Thread, Threads
from utils import ScaledClock
from worker import bookkeeper
from worker.context import Context
from worker.ending import EXIT_OK
from worker.inbox import Inbox
from worker.pictures import Pictures

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


def no_thread(name: str) -> Thread:
    """What Python does where the machine has no more threads."""
    raise RuntimeError(f"can't start new thread for {name}")


def context_of(folder: Path, threads: Threads) -> Context:
    """What a worker's parts are handed, with threads of one's own."""
    chosen, clock, inbox = settings(folder), ScaledClock(at(0), 1.0), Inbox()
    sender = Sender(chosen, clock, inbox.put_now, lambda _: None)
    return Context(
        settings=chosen,
        rules=chosen.rules,
        clock=clock,
        random_source=random.Random(1),
        opener=DiskFile,
        threads=threads,
        transport=None,
        dial=None,
        inbox=inbox,
        sender=sender,
        pictures=Pictures(sender, clock, drawn_apart, is_on=False),
    )


async def test_whatever_keeps_a_row_from_the_book_the_worker_goes_on(tmp_path: Path) -> None:
    context = context_of(tmp_path, no_thread)
    with capture_logs() as logs:
        await bookkeeper.enter(context, DAY)
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("book_failed", "RuntimeError: can't start new thread for book")
    ]


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
