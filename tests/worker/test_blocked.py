"""That no entry is possible is told after 90 s, once an hour, and when it is over; not while another push tells why."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Engine
from events import AlertKind, Event, FeedCause, FeedLost, FeedRestored, Hold, HoldReason, Tick
from rules import Rules
from tests.builders import SESSION, at, bar, chain, row
from tests.worker.loop_town import loop_town
from worker.blocked import BLOCKED_S, SPACING_S, Blocked


class Story:
    """A feed that is seen, second after second, and a chain that comes or not."""

    def __init__(self) -> None:
        self.engine, self.blocked = Engine(Rules(), SESSION), Blocked()
        self.told: list[tuple[int, AlertKind]] = []
        self.now = 0
        self.tell(FeedRestored())

    def tell(self, event: Event) -> None:
        self.engine.handle(at(self.now), event)

    def until(self, second: int, *, has_chain: bool) -> None:
        """Let seconds pass with bars and, each 5 s, a chain."""
        while self.now < second:
            self.now += 1
            for symbol in ("IWM", "SPY"):
                self.tell(bar(self.now - 3, symbol=symbol))
            if has_chain and self.now % 5 == 0:
                self.tell(chain(self.now, row()))
            self.tell(Tick())
            self.told += [(self.now, alert.kind) for alert in self.blocked.owed(at(self.now), self.engine)]


SKEW_S = 60
"""CHAIN_SKEW_SECONDS: from this age on a chain is no whole one."""


def test_a_chain_that_comes_no_more_is_told_and_when_it_is_back() -> None:
    story = Story()
    story.until(100, has_chain=True)
    story.until(400, has_chain=False)
    story.until(420, has_chain=True)
    assert [kind for _, kind in story.told] == [AlertKind.ENTRIES_BLOCKED, AlertKind.ENTRIES_POSSIBLE]
    blocked, possible = (second for second, _ in story.told)
    assert blocked == 100 + SKEW_S + 1 + BLOCKED_S
    assert possible == 405


def test_one_that_comes_and_goes_rings_once_an_hour() -> None:
    story = Story()
    for second in range(200, SPACING_S + 1_000, 400):
        story.until(second, has_chain=True)
        story.until(second + 200, has_chain=False)
    told = [second for second, kind in story.told if kind is AlertKind.ENTRIES_BLOCKED]
    assert len(told) == 2
    assert told[1] - told[0] >= SPACING_S


@pytest.mark.parametrize(
    "event",
    [
        Hold(reason=HoldReason.RECORD_OFF, on=True),
        FeedLost(cause=FeedCause.DROPPED),
    ],
)
def test_what_is_told_otherwise_is_not_told_twice(event: Event) -> None:
    story = Story()
    story.until(100, has_chain=True)
    story.tell(event)
    for _ in range(300):
        story.now += 1
        story.tell(Tick())
        assert not list(story.blocked.owed(at(story.now), story.engine))


def test_nothing_rings_outside_the_hours_of_entries() -> None:
    story = Story()
    for second in (-100, 0, 6 * 3600 + 1, 7 * 3600):  # entries end at 15:30
        for passed in (0, 2 * BLOCKED_S):
            now = at(second + passed if second != 0 else -1)
            assert not list(story.blocked.owed(now, story.engine))


@pytest.mark.virtual_time
async def test_a_gap_that_rest_never_fills_is_told(tmp_path: Path) -> None:
    async with loop_town(tmp_path) as place:
        await place.start(no_entry_after="15:30")
        await place.until(lambda: "Backfill SPY: done" in place.said(), 60, "seen")
        place.vendor.faults.add("rest_500", path="/v2/aggs", times=10_000)
        place.vendor.faults.add("drop", feed="stocks")
        await place.until(lambda: place.pushes("no entries possible"), BLOCKED_S + 15, "told")
        (told,) = place.pushes("no entries possible")
        assert "seconds are missing that the vendor's REST has not answered for" in told.text
        place.vendor.faults.clear("rest_500")
        await place.until(lambda: place.pushes("entries possible again"), 120, "over")
        assert await place.stop() == 0
