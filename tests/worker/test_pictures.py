"""The whole worker with pictures: they come after the alerts, and what draws them can cost it nothing."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from events import SECOND, AlertKind, AlertOutcome, Bar, Closed, Outcome, Tick
from messages.alert import PICTURE_LATEST_S
from pictures.process import Draw, NotDrawn, drawn_apart, flaw
from record.folder import record_path
from record.lines import Entry
from record.reader import read
from tests.pictures.made import drawn_here
from tests.pictures.test_process import FAULTY
from tests.stage import Stage, session, stage
from tests.virtual_loop import VirtualLoop
from tests.worker.loop_town import LoopTown, loop_town
from tests.worker.trades import bought, check_one_of_each, sold
from worker.album import HAND_WAITS_S
from worker.ending import EXIT_OK

pytestmark = pytest.mark.virtual_time


async def hang(facts: bytes) -> bytes:
    await asyncio.Event().wait()
    return facts


async def die(facts: bytes) -> bytes:
    raise NotDrawn("ended by signal 9")


async def break_down(facts: bytes) -> bytes:
    raise RuntimeError("not foreseen")


class Slow:
    """Draws once it is let."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.asked = 0

    async def __call__(self, facts: bytes) -> bytes:
        self.asked += 1
        await self.may.wait()
        return await drawn_here(facts)


def entries(folder: Path) -> list[Entry]:
    record = read(record_path(folder / "data", session().date))
    return [line for line in record.lines if isinstance(line, Entry)]


Seen = tuple[set[tuple[str, int, float]], list[str], int]


def seen(folder: Path) -> Seen:
    """The seconds and the decisions of a record until 20 s after its SELL, and the most µs without a tick."""
    found = entries(folder)
    end = next(e.now for e in found for d in e.decisions if isinstance(d, Closed)) + 20 * SECOND
    found = [entry for entry in found if entry.now <= end]
    ticks = [entry.now for entry in found if isinstance(entry.event, Tick)]
    return (
        {(e.event.symbol, e.event.start, e.event.close) for e in found if isinstance(e.event, Bar)},
        [type(decision).__name__ for entry in found for decision in entry.decisions],
        max(after - before for before, after in pairwise(ticks)),
    )


async def played(folder: Path, **options: Any) -> Stage:
    """Plays the made session until a minute after its SELL."""
    async with stage(folder, **options) as play:
        await bought(play)
        await sold(play)
        await play.wait(60)
        return play


async def test_a_picture_follows_the_sell(tmp_path: Path) -> None:
    play = await played(tmp_path, pictures=True, draw=drawn_here)
    *alerts, last = play.pushover.messages
    assert [message.picture for message in alerts] == [b"", b""]
    assert flaw(last.picture) == ""
    name = alerts[0].text[-7:]
    assert last.title == f"🖼️ IWM: trade {name}"
    assert last.text.endswith(f"\n{name}")
    assert "\nEntry $0.45, peak $0." in last.text
    assert last.at - alerts[-1].at >= 15 * SECOND
    outcomes = [e.event for e in entries(tmp_path) if isinstance(e.event, AlertOutcome)]
    assert outcomes[-1] == AlertOutcome(
        kind=AlertKind.PICTURE, id=name[1:], outcome=Outcome.ACCEPTED, attempts=1
    )


@pytest.fixture(scope="module")
def as_ever(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What is seen of the session where pictures are off."""
    folder = tmp_path_factory.mktemp("without")
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(played(folder, pictures=False))
    return seen(folder)


@pytest.mark.parametrize("draw", [hang, die, break_down], ids=lambda each: each.__name__)
async def test_without_a_picture_everything_else_is_as_ever(
    tmp_path: Path, draw: Draw, as_ever: Seen
) -> None:
    with capture_logs() as logs:
        play = await played(tmp_path, pictures=True, draw=draw)
    check_one_of_each(play)
    assert seen(tmp_path) == as_ever
    failed = [line for line in logs if line["event"] == "picture_failed"]
    assert len(failed) == (draw is not hang)


@pytest.mark.real_time
@pytest.mark.parametrize("name", ["hangs", "killed", "eats memory", "endless"])
async def test_a_process_that_fails_loses_no_alert_and_no_second(tmp_path: Path, name: str) -> None:
    command, reason = FAULTY[name]
    draw = partial(drawn_apart, command=command, limit_s=1.0)
    with capture_logs() as logs:
        async with stage(tmp_path, pictures=True, draw=draw) as play:
            await bought(play)
            await sold(play)
            await play.until(lambda: said(logs), 120, "failed")
            await play.wait(20)
            check_one_of_each(play)
    (line,) = said(logs)
    assert reason in line["reason"]
    bars, decisions, longest = seen(tmp_path)
    assert {"Opened", "Closed"} <= set(decisions)
    assert "FeedAlarmed" not in decisions
    assert longest < 10 * SECOND  # a third of a real second
    assert len(bars) > 200


def said(logs: list[Any]) -> list[Any]:
    return [line for line in logs if line["event"] == "picture_failed"]


@pytest.mark.real_time
async def test_a_stop_does_not_wait_for_what_draws(tmp_path: Path) -> None:
    drawing: list[asyncio.Task[bytes]] = []

    async def draw(facts: bytes) -> bytes:
        task = asyncio.create_task(drawn_apart(facts, command=FAULTY["deaf"][0]))
        drawing.append(task)
        try:
            return await task
        finally:
            task.cancel()

    async with stage(tmp_path, pictures=True, draw=draw) as play:
        await bought(play)
        await sold(play)
        await play.until(lambda: drawing, 120, "drawing")
        began = time.monotonic()
        assert await play.stop() == EXIT_OK
        assert time.monotonic() - began < 5
        assert drawing[0].done()


async def test_the_pictures_of_the_day_come_with_the_evening(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "start_s": 23_300,
        "speed": 60,
        "daily_summary": True,
        "draw": drawn_here,
        "pictures": True,
    }
    async with stage(tmp_path, **options) as play:
        await play.until(lambda: play.titles("🌙"), 600, "evening")
        last = play.pushover.messages[-1]
        assert last.text.startswith("No trade\nSeen for ")
        assert flaw(last.picture) == ""
        assert not play.titles("🖼")
        assert last.at - session().close < 302 * SECOND


async def test_the_evening_does_not_wait_for_its_picture_which_follows(tmp_path: Path) -> None:
    slow = Slow()
    options: dict[str, Any] = {
        "start_s": 23_300,
        "speed": 60,
        "daily_summary": True,
        "draw": slow,
        "pictures": True,
    }
    async with stage(tmp_path, **options) as play:
        await play.until(lambda: play.titles("🌙"), 600, "evening")
        last = play.pushover.messages[-1]
        assert last.at - session().close < 302 * SECOND
        assert not last.picture
        slow.may.set()
        await play.until(lambda: play.titles("🖼"), 60, "picture")
        assert play.titles("🖼") == [f"🖼️ IWM: picture of {session().date}"]
        assert flaw(play.pushover.messages[-1].picture) == ""
        assert slow.asked == 1


# --- Restarts ----------------------------------------------------------------------------------------


async def sold_and_killed(place: LoopTown, draw: Draw) -> None:
    """Plays the made session until its SELL is told, and cuts the worker off before there is a picture."""
    await place.start(draw=draw, pictures=True)
    await place.until(lambda: place.pushes("SELL"), 500, "SELL")
    await asyncio.sleep(2)
    await place.kill()


async def test_a_picture_is_caught_up_after_a_restart_once(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await sold_and_killed(place, hang)
        for _ in range(2):
            await place.start(draw=drawn_here, pictures=True)
            await place.until(lambda: place.pushes("🖼"), 120, "picture")
            await asyncio.sleep(2 * HAND_WAITS_S)
            assert await place.stop() == EXIT_OK
        (picture,) = place.pushes("🖼")
        assert flaw(picture.picture) == ""
        assert "Repeat of" not in picture.text  # it was not due when the first one ended


async def test_a_picture_that_may_have_been_sent_says_so(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start(draw=hang, pictures=True)
        await place.until(lambda: place.pushes("SELL"), 500, "SELL")
        await asyncio.sleep(HAND_WAITS_S)
        await place.kill()
        await place.start(draw=drawn_here, pictures=True)
        await place.until(lambda: place.pushes("🖼"), 120, "picture")
        assert "\nRepeat of #" in place.pushes("🖼")[0].text


async def test_a_picture_is_not_caught_up_for_ever(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await sold_and_killed(place, hang)
        await asyncio.sleep(PICTURE_LATEST_S)
        await place.start(draw=drawn_here, pictures=True)
        await place.until(lambda: "Record resumed" in place.said(), 60, "resumed")
        await asyncio.sleep(2 * HAND_WAITS_S)
        assert not place.pushes("🖼")


async def test_a_day_summed_up_at_the_next_start_is_followed_by_its_picture(tmp_path: Path) -> None:
    options: dict[str, Any] = {"daily_summary": True, "draw": drawn_here, "pictures": True}
    async with loop_town(tmp_path) as place:
        await place.start(**options)
        await place.until(lambda: place.pushes("armed"), 120, "armed")
        await place.kill()
    late = session().close - session().open + 120 * SECOND
    async with loop_town(tmp_path, start_s=late / SECOND) as place:
        for _ in range(2):
            await place.start(**options)
            await place.until(lambda: "😴" in place.texts()[-1], 1200, "asleep")
            await asyncio.sleep(60)
            assert await place.stop() == EXIT_OK
        assert [bool(message.picture) for message in place.pushover.messages] == [False, True]
