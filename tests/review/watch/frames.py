"""Frames for tests: simulated sessions, and what is kept of them."""

from __future__ import annotations

from pathlib import Path

from events import SECOND, Event
from review.watch.frame import Frame, frame_of
from review.watch.recent import Recent
from review.watch.source import Source
from review.watch.watcher import Watcher
from rules import Rules
from tests.builders import SESSION, at, bar, quote
from tests.made_day import Made
from tests.review.studies import EASY, bought


def record_path(folder: Path) -> Path:
    """Where the simulated session's record is, in a DATA_DIR."""
    path = folder / "sessions" / f"{SESSION.date}.jsonl"
    path.parent.mkdir(exist_ok=True)
    return path


def begun(folder: Path, rules: Rules = EASY) -> Made:
    """A session whose program has started."""
    story = Made(record_path(folder))
    story.start(at(-300), rules)
    return story


def with_position(folder: Path) -> Made:
    """A session with an open position; see `bought`."""
    story = begun(folder)
    bought(story)
    return story


def bars(story: Made, start: int, end: int, price: float = 215.0) -> None:
    """A bar of both symbols for each of these seconds, 2 s after its end."""
    for second in range(start, end):
        story.tell(at(second + 3), bar(second, 660.0, symbol="SPY"))
        story.tell(at(second + 3), bar(second, price))


def go_on(story: Made, seconds: int, bid: float, ask: float) -> int:
    """Bars and quotes of the held call for some seconds more. Returns the last second."""
    assert story.engine is not None and story.engine.position is not None
    begin = (story.engine.position.opened_at - SESSION.open) // SECOND + 1
    for second in range(begin, begin + seconds):
        story.tell(at(second), quote(second, bid, ask))
        bars(story, second - 3, second - 2, 215.02)
    return begin + seconds - 1


def kept(story: Made) -> Recent:
    """What is kept of a record so far."""
    watcher = Watcher(Source(story.path), lambda _, first: Recent(first))
    watcher.turn(SESSION.open, lines=1_000_000)
    assert watcher.kept is not None and not watcher.is_behind, watcher.fault
    return watcher.kept


def frame(story: Made, second: float) -> Frame:
    """The frame at that second."""
    return frame_of(kept(story), at(second))


def told(story: Made, second: float, event: Event, shown: float | None = None) -> Frame:
    """The frame after one fact more."""
    story.tell(at(second), event)
    return frame(story, second if shown is None else shown)
