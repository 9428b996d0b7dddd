"""I6 by real records: one whose decisions follow from its facts, and ones whose do not."""

from __future__ import annotations

from pathlib import Path

from engine import Engine
from record.folder import record_path
from record.journal import Journal
from rules import Rules
from tests.builders import SESSION, at
from tests.made_record import FACTS, written
from tests.simulation.books import Books
from tests.simulation.invariants.limits import derived_again
from tests.simulation.made_story import Made


def violations(folder: Path) -> list[str]:
    """What is wrong with the record in a folder."""
    made = Made(folder / "other")
    made.changes = {"folder": folder, "session": SESSION.date}
    return [violation.seen for violation in derived_again(Books(made.story()))]


def test_decisions_that_follow_from_the_facts_are_in_order(tmp_path: Path) -> None:
    record, engine = Journal(record_path(tmp_path, SESSION.date)), Engine(Rules(), SESSION)
    record.begin(Rules(), SESSION, at(-300))
    for number, fact in enumerate(FACTS):
        record.append(at(number), fact, engine.handle(at(number), fact))
    record.close()
    assert violations(tmp_path) == []


def test_decisions_that_do_not_follow_are_found(tmp_path: Path) -> None:
    written(record_path(tmp_path, SESSION.date))
    (seen,) = violations(tmp_path)
    assert "nothing" in seen


def test_a_spoilt_byte_is_found(tmp_path: Path) -> None:
    path = written(record_path(tmp_path, SESSION.date), facts=4)
    spoilt = bytearray(path.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    path.write_bytes(spoilt)
    assert violations(tmp_path)


def test_no_record_is_none_to_derive(tmp_path: Path) -> None:
    assert violations(tmp_path) == []
