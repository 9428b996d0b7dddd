"""A crash loop: told once, entries held until a start has lasted, exits as ever. Starts that were asked to end count for nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from events import SECOND, AlertKind, Declined, DeclineReason, Hold, HoldReason, Opened
from messages import notices
from rules import Rules
from tests.stage import session
from tests.virtual import VirtualClock
from tests.virtual_loop import inline
from tests.worker.loop_town import LoopTown, loop_town
from tests.worker.town import check, decisions_of
from threads import Thread
from worker.starts import FIRST_LINE, KEPT_MAX, LOOP_SPAN_S, LOOP_STARTS, TOLD_SPAN_S, Starts

pytestmark = pytest.mark.virtual_time

NOW = session().open


async def crash(place: LoopTown, times: int, after_s: float = 5.0) -> None:
    """Let so many starts end as by a kill, each after so many seconds."""
    for _ in range(times):
        await place.start()
        await place.until(lambda: "🔌 Connected" in place.texts()[-1], 30, "connected")
        await place.clock.sleep(after_s)
        await place.kill()


def held_spans(place: LoopTown) -> list[tuple[int, bool]]:
    """When the record has entries held for a crash loop, and released, in seconds of the session."""
    return [
        ((line.now - NOW) // SECOND, line.event.on)
        for line in place.record().entries
        if isinstance(line.event, Hold) and line.event.reason is HoldReason.CRASH_LOOP
    ]


async def test_the_third_start_of_a_crash_loop_holds_entries_and_is_told_once(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await crash(place, LOOP_STARTS + 2)
        await place.start()
        await place.until(lambda: decisions_of(place.record(), Declined), 300, "a signal")
        await place.clock.sleep(5)
        assert not decisions_of(place.record(), Opened)
        declined = decisions_of(place.record(), Declined)
        assert {(each.reason, each.hold) for each in declined} == {
            (DeclineReason.HELD, HoldReason.CRASH_LOOP)
        }
        (told,) = place.pushes("crash loop")
        assert told.text.startswith(f"Started {LOOP_STARTS} times within 10m00s, last at ")
        assert "⏰ No entries allowed: held (crash loop)" in place.said()
        assert await place.stop() == 0


async def test_entries_are_released_once_a_start_has_lasted(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await crash(place, LOOP_STARTS - 1)
        began = (place.clock.now() - NOW) // SECOND
        await place.start()
        await place.until(lambda: "✓ Entries released, the program has run" in place.said(), 700, "released")
        await place.clock.sleep(1)  # it is said before it is recorded
        (held, on), (released, still) = held_spans(place)
        assert (on, still) == (True, False)
        assert began <= held <= began + 1
        assert began + LOOP_SPAN_S <= released <= began + LOOP_SPAN_S + 1
        assert await place.stop() == 0


async def test_a_position_is_sold_in_a_crash_loop_that_is_told_instead_of_each_start(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start()
        await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        await place.kill()
        await crash(place, 3, after_s=2.0)
        await place.start()
        await place.until(lambda: place.pushes("SELL"), 600, "SELL")
        assert len(place.pushes("crash loop")) == 1
        assert len(place.pushes("watching again")) == LOOP_STARTS - 2
        assert "The open position is watched" in place.pushes("crash loop")[0].text
        assert await place.stop() == 0
        check(place)


async def test_starts_that_were_asked_to_end_are_no_crash_loop(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        for _ in range(LOOP_STARTS + 1):
            await place.start()
            await place.until(lambda: "🔌 Connected" in place.texts()[-1], 30, "connected")
            assert await place.stop() == 0
        await place.start()
        await place.until(lambda: place.pushes("BUY"), 300, "BUY")
        assert "🔁" not in place.said()


# --- The file ----------------------------------------------------------------------------------------


def starts(folder: Path, at_s: float = 0.0) -> Starts:
    """A start so many seconds after the open."""
    made = Starts(folder, VirtualClock(NOW + round(at_s * SECOND)), inline)
    made.begin()
    return made


def counted(folder: Path) -> int:
    """How many starts the file has."""
    return (folder / "starts").read_bytes().count(b"\nstart ")


async def test_starts_count_for_ten_minutes_also_on_a_clock_that_was_set_back(tmp_path: Path) -> None:
    starts(tmp_path)
    assert not starts(tmp_path, -300).is_loop
    assert starts(tmp_path, 100).is_loop
    assert counted(tmp_path) == 3
    assert not starts(tmp_path, 100 + LOOP_SPAN_S).is_loop
    assert counted(tmp_path) == 1


async def test_a_loop_that_goes_on_is_told_again_after_half_an_hour(tmp_path: Path) -> None:
    told = [at for at in range(0, 2 * TOLD_SPAN_S, 100) if starts(tmp_path, at).owed(Rules(), None)]
    assert told == [200, 200 + TOLD_SPAN_S]


async def test_the_file_stays_small(tmp_path: Path) -> None:
    for at in range(4 * KEPT_MAX):
        starts(tmp_path, at)
    assert counted(tmp_path) == KEPT_MAX
    assert len((tmp_path / "starts").read_bytes()) < 1_500
    assert (tmp_path / "starts").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        FIRST_LINE,
        FIRST_LINE + b"told 0\nstart 17594",
        FIRST_LINE + b"start x\nstart -5\n\xff\nstart 9" + b"9" * 99,
    ],
)
async def test_what_a_crash_left_unfinished_counts_for_nothing(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "starts").write_bytes(torn)
    for expected in (1, 2):
        starts(tmp_path)
        assert counted(tmp_path) == expected


@pytest.mark.parametrize("what", ["text", "folder", "link", "pipe", "no folder"])
async def test_what_is_not_its_own_is_left_alone_and_said(tmp_path: Path, what: str) -> None:
    place, other = tmp_path / "starts", tmp_path / "other"
    match what:
        case "text":
            place.write_text("mine", encoding="utf-8")
        case "folder":
            place.mkdir()
        case "link":
            place.symlink_to(other)
        case "pipe":
            os.mkfifo(place)
    with capture_logs() as logs:
        for _ in range(LOOP_STARTS):
            made = starts(tmp_path / "absent" if what == "no folder" else tmp_path)
            assert not made.is_loop
            await made.end()
    assert [line["event"] for line in logs] == ["starts_unusable"] * LOOP_STARTS
    assert not other.exists()
    if what == "text":
        assert place.read_text(encoding="utf-8") == "mine"


async def test_a_disk_that_fills_up_and_a_machine_without_threads_cost_a_line_each(tmp_path: Path) -> None:
    made = starts(tmp_path)
    (tmp_path / "starts").unlink()
    (tmp_path / "starts").mkdir()
    with capture_logs() as logs:
        await made.end()

    def no_thread(name: str) -> Thread:
        raise RuntimeError(f"can't start new thread for {name}")

    with capture_logs() as more:
        lonely = Starts(tmp_path, VirtualClock(NOW), no_thread)
        lonely.begin()
        await lonely.end()
    assert [line["event"] for line in logs] == ["starts_unwritten"]
    assert [line["event"] for line in more] == ["starts_unusable", "starts_unwritten"]


async def test_the_kind_of_push_is_a_safety_push_only_with_a_position() -> None:
    made = [
        notices.crash_loop(NOW, Rules(), starts=3, span_s=600, held_until=NOW, position=position)
        for position in (None, "7f3a91")
    ]
    assert [alert.kind for alert in made] == [AlertKind.CRASH_LOOP] * 2
    assert [alert.urgent for alert in made] == [False, True]
