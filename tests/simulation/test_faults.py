"""The table of faults is whole, and a seed draws the same faults each time."""

from __future__ import annotations

import statistics

import pytest

from sim.broken import GARBAGE
from tests.simulation.draw import NONE_SHARE, SESSION_COUNTS, WINDOW_S, draw
from tests.simulation.faults import Choice, Kind, Place
from tests.simulation.kinds import KINDS

SEEDS = range(3000)


def test_each_kind_stands_in_the_table_once_and_each_place_has_one() -> None:
    assert set(KINDS) == set(Kind)
    assert {spec.place for spec in KINDS.values()} == set(Place)


def test_each_broken_event_of_the_market_may_be_drawn() -> None:
    kinds = KINDS[Kind.GARBAGE].options["kind"]
    assert isinstance(kinds, Choice) and set(kinds.values) == set(GARBAGE)


def test_what_is_drawn_is_in_its_range_and_in_order() -> None:
    for seed in SEEDS:
        faults = draw(seed)
        assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
        for fault in faults:
            spec = KINDS[fault.kind]
            assert 0 <= fault.at <= WINDOW_S
            assert fault.seconds == 0 if spec.seconds is None else spec.seconds.holds(fault.seconds)
            assert set(fault.options) == set(spec.options)
            assert all(spec.options[name].holds(value) for name, value in fault.options.items()), fault


def test_a_seed_draws_the_same_faults_each_time_and_another_seed_others() -> None:
    assert all(draw(seed) == draw(seed) for seed in SEEDS)
    assert draw(1) != draw(2)
    assert str(draw(2)[0]) == str(draw(2)[0])


def test_some_seeds_have_none_and_most_a_pair_or_a_triple() -> None:
    counts = [len(draw(seed)) for seed in SEEDS]
    assert counts.count(0) / len(counts) == pytest.approx(NONE_SHARE, abs=0.01)
    assert (counts.count(2) + counts.count(3)) / len(counts) > 0.5
    assert max(counts) == 6


def test_every_kind_is_drawn() -> None:
    assert {fault.kind for seed in SEEDS for fault in draw(seed)} == set(Kind)


def test_faults_come_together_and_near_what_matters() -> None:
    pairs = [draw(seed) for seed in SEEDS if len(draw(seed)) == 2]
    apart = [second.at - first.at for first, second in pairs]
    assert statistics.median(apart) < 60  # 176 s if they knew nothing of each other
    near = [draw(seed, hot=(300.0,)) for seed in SEEDS]
    assert sum(any(abs(fault.at - 300) <= 20 for fault in faults) for faults in near) > 0.4 * len(near)


def test_a_whole_session_has_three_to_thirty() -> None:
    counts = {len(draw(seed, length=23_400.0)) for seed in SEEDS} - {0}
    assert (min(counts), max(counts)) == SESSION_COUNTS
