"""Seeds of the simulation keep every promise: some of each market, and those in which something was wrong once."""

from __future__ import annotations

import pytest

from tests.simulation.days import MARKETS
from tests.simulation.kept_seeds import KEPT, Kept
from tests.simulation.play import judged, play

BLOCKS, EACH = 8, 2
"""So many tests play so many seeds each. A test's seeds share a market, which is made once; a seed takes about two CPU
seconds, and `python -m tests.simulation` plays as many as one likes."""


@pytest.mark.parametrize("block", range(BLOCKS))
def test_seeds_keep_every_promise(block: int) -> None:
    first = block % MARKETS + MARKETS * EACH * (block // MARKETS)
    played = [play(seed) for seed in range(first, first + MARKETS * EACH, MARKETS)]
    assert {each.seed: each.violations for each in played if each.violations} == {}


@pytest.mark.parametrize("kept", KEPT, ids=[str(kept.seed) for kept in KEPT])
def test_what_was_wrong_once_stays_right(kept: Kept) -> None:
    assert judged(kept.seed, kept.faults)[1] == []


def test_a_seed_makes_the_same_story_each_time() -> None:
    kept = KEPT[-1]
    _, violations = judged(kept.seed, kept.faults, twice=True)
    assert violations == []
