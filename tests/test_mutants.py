"""The deliberate faults of `tests.mutants` fit the program as it is. Whether the tests notice them takes an hour: see CONTRIBUTING.md."""

from __future__ import annotations

from collections import Counter

from tests.mutants.mutant import catalogue
from tests.mutants.tree import ROOT

LEAST = 150


def test_every_mutant_applies_once_and_is_still_python() -> None:
    mutants = list(catalogue())
    for mutant in mutants:
        mutant.check()
    assert len(mutants) >= LEAST


def test_mutants_have_names_of_their_own_and_say_what_they_break() -> None:
    mutants = list(catalogue())
    assert {
        name: count for name, count in Counter(mutant.name for mutant in mutants).items() if count > 1
    } == {}
    patches = Counter((mutant.file, mutant.mutated) for mutant in mutants)
    assert max(patches.values()) == 1
    for mutant in mutants:
        assert mutant.breaks and "\n" not in mutant.breaks, mutant.name
        assert all((ROOT / name).is_file() for name in mutant.tests), mutant.name


def test_a_mutant_knows_the_lines_that_it_changes() -> None:
    mutants = {mutant.name: mutant for mutant in catalogue()}
    for name, words in (
        ("gate-cutoff-boundary", ["if now >= self._entry_end:"]),
        ("record-fsync-is-a-no-op", ["os.fsync(self._descriptor)"]),
    ):
        first, last = mutants[name].lines()
        lines = mutants[name].text.splitlines()[first - 1 : last]
        assert [line.strip() for line in lines if line.strip() in words] == words
        assert len(lines) <= len(words) + 1
