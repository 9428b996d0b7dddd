"""20,000 cases of everything that comes in from outside, and the cases that once failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.case import KEPT, Case, case_of, smallest
from tests.fuzz.kinds import KINDS, made, quiet, run, wrong
from tests.fuzz.shares import SEED, SLICES

CASES = 20_000


@pytest.mark.parametrize("part", range(SLICES))
@pytest.mark.parametrize("name", sorted(KINDS))
def test_whatever_comes_in_nothing_raises_and_nothing_good_is_lost(name: str, part: int) -> None:
    share = CASES * KINDS[name].share // 100 // SLICES
    found = run(name, SEED, part * share, (part + 1) * share)
    assert found.count == share
    assert [failure.told() for failure in found.failures] == []


@pytest.mark.parametrize("path", sorted(KEPT.glob("*.json")), ids=lambda path: path.stem)
def test_what_once_failed_holds(path: Path) -> None:
    with quiet():
        assert wrong(case_of(path.read_text(encoding="utf-8"))) == ""


def test_a_case_can_be_kept_and_made_again_from_its_seed() -> None:
    for name in KINDS:
        case = made(name, 7, 11)
        assert case_of(case.written()).pieces == case.pieces == made(name, 7, 11).pieces


def test_a_failing_case_is_made_small() -> None:
    case = Case("frames", (b"aaaa", b"bbxbb", b"cccc"))
    assert smallest(case, lambda one: b"x" in b"".join(one.pieces)).pieces == (b"x",)


def test_the_shares_are_of_a_hundred() -> None:
    assert sum(kind.share for kind in KINDS.values()) == 100
