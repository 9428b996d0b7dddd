"""The view in the terminal, on Textual's own test driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from entry import EXIT_INTERRUPTED, EXIT_OK
from events import Tick
from review.watch.app import Panel, WatchApp
from review.watch.recent import Recent
from review.watch.source import Source
from review.watch.watcher import Watcher
from tests.builders import at
from tests.review.watch.frames import begun, go_on, record_path, with_position


class Hand:
    """A clock that is set by hand."""

    def __init__(self, second: float) -> None:
        self.second = second

    def __call__(self) -> int:
        return at(self.second)


def view(place: Path, hand: Hand) -> WatchApp:
    return WatchApp(Watcher(Source(place), lambda _, first: Recent(first)), hand)


async def turned(pilot: Pilot[int]) -> None:
    """Has the view take its next turn, without waiting for its timer."""
    app = pilot.app
    assert isinstance(app, WatchApp)
    await pilot.pause()
    app._turn()
    while app._is_reading:
        await pilot.pause()
    app._draw()
    await pilot.pause()


def text(pilot: Pilot[int]) -> str:
    """What the panels show."""
    return "\n".join(panel.render().plain for panel in pilot.app.query(Panel))


def notice(pilot: Pilot[int]) -> str:
    """What is shown instead of a frame; empty with a frame."""
    found = pilot.app.query_one("#notice", Static)
    return str(found.render()) if found.display else ""


async def test_80_by_24_shows_every_part_whole(tmp_path: Path) -> None:
    second = go_on(with_position(tmp_path), 6, 1.59, 1.61)
    async with view(tmp_path, Hand(second)).run_test(size=(80, 24)) as pilot:
        await turned(pilot)
        assert not notice(pilot)
        parts = [*pilot.app.query(Panel), pilot.app.query_one("#keys")]
        assert [part.region.height for part in parts] == [2, 7, 8, 3, 3, 1]
        assert all(pilot.app.screen.region.contains_region(part.region) for part in parts)
        assert parts[-1].region.bottom == 24 and {part.region.width for part in parts} == {80}
        for word in (
            "recording",
            "Last 20 minutes",
            "of 7 conditions met",
            "SPY lag",
            "Sells at: ",
            "Alert BUY",
        ):
            assert word in text(pilot), word
        shot = pilot.app.export_screenshot()
        assert "quit" in shot and "help" in shot and "MOMENTUM" not in shot


async def test_the_frame_follows_the_record(tmp_path: Path) -> None:
    story, hand = begun(tmp_path), Hand(10)
    async with view(tmp_path, hand).run_test(size=(80, 24)) as pilot:
        await turned(pilot)
        assert "09:30:10 ET" in text(pilot) and "nothing recorded for" in text(pilot)
        story.tell(at(11), Tick())
        hand.second = 11
        await turned(pilot)
        assert "09:30:11 ET" in text(pilot) and "recording" in text(pilot)


async def test_a_bigger_terminal_is_used_at_once(tmp_path: Path) -> None:
    second = go_on(with_position(tmp_path), 6, 1.59, 1.61)
    async with view(tmp_path, Hand(second)).run_test(size=(80, 24)) as pilot:
        await turned(pilot)
        await pilot.resize_terminal(140, 50)
        await pilot.pause()
        heights = [panel.region.height for panel in pilot.app.query(Panel)]
        assert heights[0] == 2 and heights[1] > 20 and heights[4] == 8
        assert max(map(len, text(pilot).splitlines())) == 140
        chart = pilot.app.query_one("#chart", Panel).render().plain.splitlines()
        assert len(chart) == heights[1] and {len(line) for line in chart} == {140}


async def test_without_a_record_it_waits_and_shows_it_when_it_comes(tmp_path: Path) -> None:
    hand = Hand(-3_600)
    async with view(tmp_path, hand).run_test(size=(80, 24)) as pilot:
        await turned(pilot)
        assert "No record of today (2025-10-02)" in notice(pilot) and "Waiting for it." in notice(pilot)
        begun(tmp_path)
        hand.second = -299
        await turned(pilot)
        await turned(pilot)
        assert not notice(pilot) and "opens at 09:30 in 4m59s" in text(pilot)


async def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = record_path(tmp_path)
    path.write_bytes(b"nonsense\n")
    async with view(tmp_path, Hand(0)).run_test(size=(80, 24)) as pilot:
        await turned(pilot)
        assert f"{path}, line 1: the line's checksum is wrong" in notice(pilot).replace("\n", "")
        path.unlink()
        begun(tmp_path)
        await turned(pilot)
        await turned(pilot)
        assert not notice(pilot)


@pytest.mark.parametrize(("key", "status"), [("q", EXIT_OK), ("ctrl+c", EXIT_INTERRUPTED)])
@pytest.mark.parametrize("is_helped", [False, True])
async def test_keys_that_end_it(tmp_path: Path, key: str, status: int, is_helped: bool) -> None:
    begun(tmp_path)
    app = view(tmp_path, Hand(0))
    async with app.run_test(size=(80, 24)) as pilot:
        if is_helped:
            await pilot.press("?")
        await pilot.press(key)
    assert app.return_value == status


async def test_help_is_shown_over_a_view_that_goes_on_and_any_key_closes_it(tmp_path: Path) -> None:
    begun(tmp_path)
    hand = Hand(0)
    async with view(tmp_path, hand).run_test(size=(80, 24)) as pilot:
        await pilot.press("?")
        await pilot.pause()
        help_text = pilot.app.screen.query_one(Static)
        assert "The worker is only read." in str(help_text.render())
        assert pilot.app.screen.region.contains_region(help_text.region)
        hand.second = 7
        await turned(pilot)
        await pilot.press("space")
        await pilot.pause()
        assert "09:30:07 ET" in text(pilot)


async def test_no_colour_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    second = go_on(with_position(tmp_path), 6, 1.59, 1.61)
    async with view(tmp_path, Hand(second)).run_test(size=(80, 24)) as pilot:
        await turned(pilot)
        assert pilot.app.no_color
        for word in ("✓ RelVol", "▄", "⣀"):
            assert word in text(pilot)
