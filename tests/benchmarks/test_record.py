"""The rebuild benchmark's record: written as the worker writes it, cut as a crash leaves it. Nothing is timed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks import rebuild
from benchmarks.contest import Stopwatch
from benchmarks.environments import Environments
from benchmarks.harness import Context
from benchmarks.made_record import SURGES_S, Scribe, cut, market, session
from benchmarks.rebuild_ours import fold, read, replayed, state
from events import SECOND
from record.lines import Entry, Header
from record.reader import Reader
from sim.market import Market

PART_S = 90


@pytest.fixture(scope="module")
def made() -> Market:
    return market()


@pytest.fixture(scope="module")
def record(made: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("record") / "2025-10-02.jsonl"
    Scribe(path, made).write(until=session().open + PART_S * SECOND)
    return path


def test_the_record_holds_what_a_worker_records(record: Path) -> None:
    lines = list(Reader(record))
    assert isinstance(lines[0], Header)
    kinds = Counter(type(line.event).__name__ for line in lines if isinstance(line, Entry))
    assert kinds["Tick"] == 300 + PART_S
    assert kinds["Chain"] == PART_S // 5
    assert kinds["Quote"] > 5 * PART_S
    assert kinds["Bar"] > PART_S
    assert kinds["FeedRestored"] == 1


def test_folding_and_replaying_arrive_at_the_same(record: Path) -> None:
    watch = Stopwatch()
    folded = fold(record, watch)
    assert state(folded) == state(replayed(record, Stopwatch()))
    assert folded.evaluations > PART_S // 2
    assert watch.cpu > 0
    assert read(record, Stopwatch()) == sum(1 for _ in Reader(record))


def test_folding_leaves_the_record_as_it_was(record: Path) -> None:
    before = record.read_bytes()
    fold(record, Stopwatch())
    assert record.read_bytes() == before


def test_a_part_is_what_was_written_until_then(record: Path, tmp_path: Path) -> None:
    part, moment = tmp_path / "part.jsonl", session().open + 40 * SECOND
    facts = cut(record, part, moment)
    entries = [line for line in Reader(part) if isinstance(line, Entry)]
    assert [entry.number for entry in entries] == list(range(1, facts + 1))
    assert max(entry.now for entry in entries) < moment
    assert record.read_bytes().startswith(part.read_bytes())
    whole = tmp_path / "whole.jsonl"
    cut(record, whole, session().close)
    assert whole.read_bytes() == record.read_bytes()


def test_the_day_has_its_stories(made: Market) -> None:
    begin = session().open + SURGES_S[0] * SECOND
    assert made.spot(begin + 130 * SECOND) > made.spot(begin)
    assert made.spot(begin + 130 * SECOND) > made.spot(begin + 430 * SECOND)


def context(folder: Path, cache: Path) -> Context:
    """A run with a folder of its own."""
    folder.mkdir()
    said: list[str] = []
    return Context(
        quick=True, directory=folder, environments=Environments(cache, said.append), say=said.append
    )


def test_a_made_record_is_kept_for_the_next_run_until_it_is_another(record: Path, tmp_path: Path) -> None:
    cache, first = tmp_path / "cache", tmp_path / "first"
    kept = cache / f"record-{rebuild.maker_digest()}"
    (cache / "record-of-other-code").mkdir(parents=True)
    first.mkdir()
    (first / rebuild.RECORD).write_bytes(record.read_bytes())
    (first / rebuild.ABOUT).write_text(f'{{"facts": 7, "sha256": "{rebuild.sha256_of(record)}"}}')
    rebuild.keep(first, kept)
    assert [folder.name for folder in cache.iterdir()] == [kept.name]

    path, made = rebuild.record_of(context(tmp_path / "second", cache))
    assert path == tmp_path / "second" / rebuild.RECORD
    assert path.read_bytes() == record.read_bytes()
    assert made["facts"] == 7

    with (kept / rebuild.RECORD).open("ab") as file:
        file.write(b"!")
    assert not rebuild.take_kept(kept, first)
    assert not (first / rebuild.RECORD).exists(), "nothing is made behind what was no good"
    assert not rebuild.take_kept(cache / "none", first)
