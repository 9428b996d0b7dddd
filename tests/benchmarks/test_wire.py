"""The wire benchmark: what its server sends is what our side finds. Nothing is timed, no peer is needed."""

from __future__ import annotations

import asyncio
import json

import pytest

from benchmarks.contest import Stopwatch
from benchmarks.made_frames import SIZES, SYMBOLS, frames, wire_bar
from benchmarks.measured import middle, percentile, told
from benchmarks.wire import serving
from benchmarks.wire_ours import receive, receive_frames, shown

EVENTS, WARM = 300, 20


def test_every_way_finds_the_events_that_were_sent() -> None:
    wanted = [wire_bar(number) for number in range(EVENTS)]
    with serving(EVENTS) as ports:
        assert set(ports) == set(SIZES)
        for port in ports.values():
            for whole_feed in (False, True):
                watch = Stopwatch()
                found = asyncio.run(receive(port, EVENTS, WARM, watch, whole_feed=whole_feed))
                assert [shown(bar) for bar in found] == wanted
                assert watch.cpu > 0
            found = asyncio.run(receive_frames(port, EVENTS, WARM, Stopwatch()))
            assert [shown(bar) for bar in found] == wanted


def test_frames_hold_as_many_events_as_asked_in_their_order() -> None:
    made = [json.loads(frame) for frame in frames(50, 120)]
    assert [len(events) for events in made] == [50, 50, 20]
    assert {event["sym"] for events in made for event in events} == set(SYMBOLS)
    starts = [event["s"] for events in made for event in events]
    assert starts == sorted(starts)


def test_made_bars_can_be_bars() -> None:
    for number in range(0, 46_800, 17):
        bar = wire_bar(number)
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.volume > 0


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1.0), (50, 2.5), (99, 3.97), (100, 4.0)]
)  # fmt: skip
def test_percentiles_lie_between_neighbours(percent: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(value)


def test_one_value_is_every_percentile() -> None:
    assert percentile([7.0], 99) == middle([7.0]) == 7.0


def test_a_result_names_what_was_found_by_its_digest() -> None:
    watch = Stopwatch()
    one, same, other = told(watch, [[1, 2.5]]), told(watch, [(1, 2.5)]), told(watch, [(1, 2.6)])
    assert one["digest"] == same["digest"] != other["digest"]
    assert one["count"] == 1
    assert told(watch, [], more=3)["more"] == 3
