"""Kills and refusals of the disk at some of the steps of a short session; ``python -m tests.fuzz --kills --disk`` runs all."""

from __future__ import annotations

import functools

import pytest

from tests.fuzz import disk, kills
from tests.fuzz.shares import SEED, SLICES, some

EVERY_KILL, EVERY_REFUSAL, EVERY_BYTE = 23, 29, 11

PARTS = pytest.mark.parametrize("part", range(SLICES))


@functools.cache
def steps() -> list[str]:
    return kills.steps()


@functools.cache
def disk_steps() -> list[str]:
    return disk.steps()


def test_the_session_has_a_buy_and_a_sell_and_every_kind_of_step() -> None:
    assert {"open", "write", "write, half done", "fsync", "fsync done"} == set(disk_steps())
    assert {"send", "under way", "accepted, not answered", "answered"} == set(steps()) - set(disk_steps())
    assert steps().count("answered") >= 2


@PARTS
def test_whoever_is_killed_loses_no_sell_and_repeats_nothing_unmarked(part: int) -> None:
    assert kills.failures(some(steps(), EVERY_KILL)[part::SLICES]) == []


@PARTS
@pytest.mark.parametrize("lasts", [False, True])
def test_a_disk_that_refuses_a_step_costs_no_sell_and_is_told(part: int, lasts: bool) -> None:
    for number, place in enumerate(some(disk_steps(), EVERY_REFUSAL)[part::SLICES]):
        fault = disk.FAULTS[(number + SEED) % len(disk.FAULTS)]
        assert disk.refused(place, fault, lasts=lasts) == ""


def test_a_changed_byte_or_a_cut_is_damage_or_means_the_same() -> None:
    count, wrong = disk.spoilt_failures(EVERY_BYTE, SEED)
    assert count > 1_000
    assert wrong == []
