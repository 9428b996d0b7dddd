"""What `python -m tests.simulation` ends with."""

from __future__ import annotations

from tests.simulation.__main__ import report
from tests.simulation.play import Played, Tally


def tally(*played: Played) -> Tally:
    """Seeds, added up."""
    made = Tally()
    for each in played:
        made.add(each)
    return made


def test_the_table_counts_what_was_drawn_what_hit_and_what_was_broken() -> None:
    lines = report(
        tally(
            Played(0, ("drop", "kill"), ("kill",), (), 2.0),
            Played(1, ("drop",), ("drop",), ("I3 at 5 s",), 4.0),
            Played(2, (), (), (), 3.0),
        ),
        asked=10,
    )
    rows = {
        line.split()[0]: line.split()[1:] for line in lines if line.split()[0] in ("drop", "kill", "halt")
    }
    assert rows == {"drop": ["2", "1", "1"], "kill": ["1", "1", "0"], "halt": ["0", "0", "0"]}
    assert "3 of 10 seeds played, 3.00 CPU seconds each" in lines
    assert lines[-2:] == [
        "seed 1: 1 violations; the first: I3 at 5 s",
        "    python -m tests.simulation --seed 1 --show",
    ]


def test_faults_that_never_hit_are_named_because_they_prove_nothing() -> None:
    lines = report(tally(Played(0, ("no_pong", "kill"), ("kill",), (), 1.0)), asked=1)
    assert "Drawn, and never hit anything: no_pong" in lines


def test_a_broken_promise_without_any_fault_counts_in_all() -> None:
    lines = report(tally(Played(0, (), (), ("I1",), 1.0)), asked=1)
    assert next(line for line in lines if line.startswith("in all")).split()[-1] == "1"
