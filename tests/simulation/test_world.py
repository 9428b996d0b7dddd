"""The world itself: a run without faults tells a trade, a run is the same each time, and every kind of fault is played."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from events import SECOND
from tests.simulation import days
from tests.simulation.effects import plays
from tests.simulation.faults import Fault, Kind
from tests.simulation.story import DialEnd, DiskAction, LifeEnd, Place, Story
from tests.simulation.world import run

ROOT = Path(__file__).parents[2]


def titles(story: Story) -> list[str]:
    """The titles of the pushes that were accepted."""
    return [push.text["title"] for push in story.pushes if push.accepted_at is not None]


def hits(story: Story) -> list[int]:
    return [injected.hits for injected in story.injected]


def test_every_kind_of_fault_is_played() -> None:
    assert set(plays()) == set(Kind)


@pytest.mark.parametrize("seed", range(days.MARKETS))
def test_each_market_has_a_trade_that_is_told(seed: int) -> None:
    story = run(seed, ())
    words = [word for title in titles(story) for word in ("BUY", "SELL") if word in title]
    assert words[:2] == ["BUY", "SELL"]
    assert [(life.end, life.status) for life in story.lives] == [(LifeEnd.STOPPED, 0)]
    assert {dial.end for dial in story.dials} == {DialEnd.CONNECTED}
    assert {connection.place for connection in story.connections} == set(Place) - {Place.UNKNOWN}
    arrived = [frame for frame in story.frames if frame.arrived_at is not None]
    assert len(arrived) > 0.99 * len(story.frames) > 1_000
    assert all(frame.at <= (frame.arrived_at or 0) <= frame.at + SECOND for frame in arrived)


def test_what_was_written_was_durable_before_a_push_began() -> None:
    story = run(0, ())
    first = story.pushes[0]
    written = next(each for each in story.disk if b'"type":"opened"' in each.data)
    synced = next(
        each for each in story.disk if each.action is DiskAction.SYNC and each.offset > written.offset
    )
    assert written.at <= synced.at <= first.first_byte_at < (first.arrived_at or 0)


MANY = (
    Fault(Kind.CHOPPED, 20.0, 200.0, {"size": 7, "host": ""}),
    Fault(Kind.OUT_OF_ORDER, 30.0, 60.0, {"by": 8.0}),
    Fault(Kind.KILL, 170.0, 0.0, {"restart": 9.0}),
    Fault(Kind.SYNC_SLOW, 140.0, 60.0, {"by": 0.7}),
    Fault(Kind.PUSH_LOST, 100.0, 0.0, {"times": 2}),
    Fault(Kind.DROP, 260.0, 0.0, {"how": "rst", "bytes": 700, "stage": "now", "feed": ""}),
    Fault(Kind.SUSPEND, 300.0, 20.0, {"stopped": True}),
    Fault(Kind.FOLDER_GONE, 350.0, 0.0, {}),
    Fault(Kind.TERMINATE, 420.0, 0.0, {"restart": 3.0}),
)


def test_the_same_seed_gives_the_same_story_in_whatever_process() -> None:
    text = (
        "from tests.simulation.test_world import MANY; from tests.simulation.world import run; "
        "print(run(9, MANY).digest())"
    )
    found = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    story = run(9, MANY)
    assert found == story.digest()
    assert run(13, MANY).digest() != story.digest()
    assert all(hits(story)) and [life.end for life in story.lives] == [
        LifeEnd.KILLED,
        LifeEnd.STOPPED,
        LifeEnd.STOPPED,
    ]


# --- What faults do ----------------------------------------------------------------------------------


def test_a_killed_worker_leaves_what_it_had_written_and_is_started_again() -> None:
    story = run(4, [Fault(Kind.KILL, 200.0, 0.0, {"restart": 12.0})])
    first, second = story.lives
    assert (first.end, first.status, second.end) == (LifeEnd.KILLED, None, LifeEnd.STOPPED)
    assert second.began_at - (first.ended_at or 0) == 12 * SECOND
    ended = [each for each in story.connections if each.life == 1]
    assert {each.ended_by for each in ended if each.closed_at == first.ended_at} == {"death"}
    assert not [line for line in story.lines if line.life == 1 and line.at > (first.ended_at or 0)]
    assert not [each for each in story.disk if each.life == 1 and each.at > (first.ended_at or 0)]


def test_a_worker_that_cannot_stop_is_cut_off_by_its_own_deadline() -> None:
    story = run(
        4,
        [
            Fault(Kind.TERMINATE, 200.0, 0.0, {"restart": 5.0}),
            Fault(Kind.SUSPEND, 200.0, 60.0, {"stopped": False}),
        ],
    )
    first = story.lives[0]
    assert (first.end, first.status) == (LifeEnd.CUT_OFF, 0)
    assert (first.ended_at or 0) - (first.stop_asked_at or 0) == 23 * SECOND
    assert len(first.pauses) == 1


def test_a_second_copy_ends_and_the_first_goes_on() -> None:
    story = run(0, [Fault(Kind.SECOND_COPY, 60.0)])
    assert [(life.end, life.status) for life in story.lives] == [(LifeEnd.STOPPED, 0), (LifeEnd.ENDED, 4)]


def test_a_push_whose_answer_is_lost_was_accepted_and_one_that_is_cut_was_not() -> None:
    story = run(0, [Fault(Kind.PUSH_LOST, 0.0, 0.0, {"times": 1})])
    assert story.pushes[0].accepted_at is not None and story.pushes[0].status == 0
    story = run(0, [Fault(Kind.PUSH_CUT, 0.0, 0.0, {"times": 1})])
    assert (story.pushes[0].accepted_at, story.pushes[0].status, hits(story)) == (None, 0, [1])


def test_a_half_open_connection_brings_nothing_and_a_new_one_does() -> None:
    story = run(0, [Fault(Kind.HALF_OPEN, 100.0, 240.0, {"to": "client", "feed": "stocks"})])
    at = story.began_at + 100 * SECOND
    old = next(each for each in story.connections if each.place is Place.STOCKS)
    lost = [frame for frame in story.frames if frame.connection == old.number and frame.at > at]
    new = [frame for frame in story.frames if frame.cluster is Place.STOCKS and frame.at > at + 60 * SECOND]
    assert lost and all(frame.arrived_at is None for frame in lost)
    assert new and all(frame.connection != old.number for frame in new[10:]) and hits(story)[0] > 0


def test_an_unexpected_exception_crashes_the_worker_and_the_platform_starts_it_again() -> None:
    story = run(0, [Fault(Kind.CRASH, 60.0, 0.0, {"restart": 2.0})])
    first, second = story.lives
    assert (first.end, first.status, second.end) == (LifeEnd.ENDED, 1, LifeEnd.STOPPED)
    assert [beat.word for beat in story.beats if beat.life == 1][-1] == "fail"
