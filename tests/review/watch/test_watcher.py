"""Following the session's record: what is waited for, what is survived, and what is said."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from events import FeedRestored, Session, Tick
from record.lines import SEAL_BYTES
from review.places import Unusable
from review.watch.recent import Recent
from review.watch.source import NoRecord, Source
from review.watch.watcher import Watcher
from rules import Rules
from tests.builders import SESSION, at
from tests.made_day import Made
from tests.made_record import resealed, written
from tests.review.studies import EASY, bought
from utils import session_at

NEXT = session_at(SESSION.close)


def watching(place: Path) -> Watcher[Recent]:
    return Watcher(Source(place), lambda _, first: Recent(first))


def read(watcher: Watcher[Recent], now: int) -> Recent:
    """Turns until nothing is left; what is kept then."""
    watcher.turn(now)
    while watcher.is_behind:
        watcher.turn(now)
    assert watcher.kept is not None, watcher.fault
    return watcher.kept


def story_in(folder: Path, session: Session = SESSION, rules: Rules | None = None) -> Made:
    path = folder / "sessions" / f"{session.date}.jsonl"
    path.parent.mkdir(exist_ok=True)
    story = Made(path)
    story.start(session.open - 300_000_000, rules, session)
    return story


def test_without_a_record_it_says_so_and_waits_for_it(tmp_path: Path) -> None:
    watcher = watching(tmp_path)
    for now, text in (
        (at(-3_600), "No record of today (2025-10-02)"),
        (at(-3_600), "The session opens at 09:30 ET"),
        (at(60), "is the program running, with this DATA_DIR?"),
        (at(23_500), "Today's session closed at 16:00 ET: the program was not running in it."),
        (at(3 * 86_400), "The exchange is closed today; the next session opens Mon 06 Oct 09:30 ET."),
    ):
        watcher.turn(now)
        assert watcher.is_waiting and not watcher.is_behind and watcher.kept is None
        assert text in watcher.fault
    story = story_in(tmp_path)
    kept = read(watcher, at(60))
    assert not watcher.fault and not watcher.is_waiting and kept.until == at(-300)
    story.tell(at(61), Tick())
    assert read(watcher, at(62)) is kept and kept.until == at(61)


def test_an_empty_file_is_a_record_that_has_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "2025-10-02.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"")
    watcher = watching(tmp_path)
    watcher.turn(at(0))
    assert watcher.kept is None and not watcher.fault and not watcher.is_behind
    path.unlink()
    story_in(tmp_path)
    assert read(watcher, at(1)).until == at(-300)


def test_what_is_derived_is_what_the_worker_decided(tmp_path: Path) -> None:
    story = story_in(tmp_path, rules=EASY)
    opened = bought(story)
    kept = read(watching(tmp_path), at(200))
    assert kept.engine.position is not None and kept.engine.position.opened == opened
    assert kept.differing == 0


def test_a_restart_is_followed_as_it_comes(tmp_path: Path) -> None:
    story = story_in(tmp_path, rules=EASY)
    watcher = watching(tmp_path)
    read(watcher, at(0))
    opened = bought(story)
    kept = read(watcher, at(200))
    before = kept.engine
    story.start(at(260), EASY)
    story.tell(at(261), FeedRestored())
    assert read(watcher, at(262)) is kept
    assert kept.engine is not before and kept.started_at == at(260)
    assert kept.engine.position is not None and kept.engine.position.opened == opened
    assert [item.text for item in kept.said if "started" in item.text][-1].endswith("after its last line")


def test_what_is_derived_otherwise_than_recorded_is_counted(tmp_path: Path) -> None:
    story = story_in(tmp_path, rules=EASY)
    bought(story)
    story.journal.close()

    def edit(texts: list[bytes]) -> None:
        index = next(index for index, text in enumerate(texts) if b'"type":"opened"' in text)
        texts[index] = texts[index].replace(b'"entry_number":1', b'"entry_number":2')

    copy = resealed(story.path, tmp_path / "2025-10-02.jsonl", edit)
    assert read(watching(copy), at(200)).differing == 1


def test_a_damaged_record_is_said_once_read_no_more_and_begun_anew_when_replaced(tmp_path: Path) -> None:
    story = story_in(tmp_path)
    for second in range(20):
        story.tell(at(second), Tick())
    path = story.path
    good = path.read_bytes()
    bad = bytearray(good)
    bad[-SEAL_BYTES - 20] ^= 1
    path.write_bytes(bad)
    watcher = watching(tmp_path)
    watcher.turn(at(30))
    assert f"{path}, line 21: the line's checksum is wrong" in watcher.fault
    assert not watcher.is_waiting and not watcher.is_behind
    story.tell(at(31), Tick())  # its worker goes on
    kept = watcher.kept
    watcher.turn(at(31))
    assert watcher.kept is kept and "line 21" in watcher.fault
    other = tmp_path / "good"
    other.write_bytes(good)
    os.replace(other, path)
    assert read(watcher, at(32)).until == at(19) and not watcher.fault


def test_a_record_that_lost_its_name_is_read_on_and_said(tmp_path: Path) -> None:
    story = story_in(tmp_path)
    watcher = watching(tmp_path)
    kept = read(watcher, at(0))
    moved = story.path.rename(tmp_path / "moved")
    story.tell(at(1), Tick())
    assert read(watcher, at(2)) is kept and kept.until == at(1)
    assert watcher.fault == f"{story.path} has lost its name, and may still be written: read on"
    moved.rename(story.path)
    assert read(watcher, at(3)) is kept and not watcher.fault


def test_a_record_that_is_replaced_is_begun_anew(tmp_path: Path) -> None:
    story = story_in(tmp_path)
    story.tell(at(1), Tick())
    watcher = watching(tmp_path)
    first = read(watcher, at(2))
    story.path.unlink()
    other = story_in(tmp_path, rules=EASY)
    other.tell(at(5), Tick())
    watcher.turn(at(6))
    second = read(watcher, at(6))
    assert second is not first and second.until == at(5) and second.engine.rules == EASY


def test_a_record_of_another_date_is_not_watched(tmp_path: Path) -> None:
    story = story_in(tmp_path, NEXT)
    story.journal.close()
    story.path.rename(story.path.with_name("2025-10-02.jsonl"))
    watcher = watching(tmp_path)
    watcher.turn(at(60))
    assert watcher.kept is None and "holds the session of 2025-10-03, not of 2025-10-02" in watcher.fault


def test_the_next_days_record_is_gone_on_with_once_it_is_there(tmp_path: Path) -> None:
    story = story_in(tmp_path)
    story.tell(at(23_399), Tick())
    watcher = watching(tmp_path)
    first = read(watcher, at(23_500))
    assert read(watcher, NEXT.open - 3_600_000_000) is first
    packed = story.path.with_name("2025-10-02.jsonl.gz")
    packed.write_bytes(gzip.compress(story.path.read_bytes()))
    story.path.unlink()
    assert read(watcher, NEXT.open - 1_800_000_000) is first
    story_in(tmp_path, NEXT)
    watcher.turn(NEXT.open)
    assert read(watcher, NEXT.open).session == NEXT


def test_a_packed_record_of_today_is_watched(tmp_path: Path) -> None:
    story = story_in(tmp_path)
    story.tell(at(23_399), Tick())
    story.journal.close()
    story.path.with_name("2025-10-02.jsonl.gz").write_bytes(gzip.compress(story.path.read_bytes()))
    story.path.unlink()
    assert read(watching(tmp_path), at(23_500)).until == at(23_399)


def test_a_record_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "sessions" / "2025-10-02.jsonl"
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")
    watcher = watching(tmp_path)
    watcher.turn(at(0))
    assert str(path) in watcher.fault and not watcher.is_waiting and not watcher.is_behind


def test_a_place_is_a_folder_or_a_record(tmp_path: Path) -> None:
    path = written(tmp_path / "2025-10-02.jsonl")
    assert Source(path).find(at(0)).path == path
    with pytest.raises(NoRecord):  # a folder may come with the first session
        Source(tmp_path / "data").find(at(0))
    with pytest.raises(Unusable, match=r"gone\.jsonl"):
        Source(tmp_path / "gone.jsonl")


def test_little_is_derived_at_a_time(tmp_path: Path) -> None:
    story = story_in(tmp_path)
    for second in range(100):
        story.tell(at(second), Tick())
    watcher = watching(tmp_path)
    watcher.turn(at(100), lines=30)
    done, total = watcher.progress
    assert watcher.is_behind and 0 < done < total
    watcher.turn(at(100), lines=1_000)
    assert not watcher.is_behind and watcher.progress == (total, total)
