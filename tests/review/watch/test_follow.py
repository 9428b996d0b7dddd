"""A record that grows: what is read of it, and what becomes of its file."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from events import Event, Tick
from record.journal import Journal
from record.lines import SEAL_BYTES, Entry, Header, Line
from record.reader import Damage, Reader
from review.watch.follow import GrowingRecord, Replaced, Standing
from tests.builders import SESSION, at
from tests.made_record import RULES, resealed, rewritten, written
from tests.review.records import drop


class Pen:
    """A worker's journal that writes a tick when told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path)
        self.second = 0
        self.journal.begin(RULES, SESSION, at(-300))

    def write(self, count: int = 1, event: Event | None = None) -> None:
        """So many facts, one a second."""
        for _ in range(count):
            self.second += 1
            self.journal.append(at(self.second), event or Tick(), ())


@pytest.fixture
def pen(tmp_path: Path) -> Iterator[Pen]:
    made = Pen(tmp_path / "growing.jsonl")
    yield made
    made.journal.close()


def now_there(lines: Iterator[Line | None]) -> list[Line]:
    """The lines up to the first pause."""
    found: list[Line] = []
    for line in lines:
        if line is None:
            return found
        found.append(line)
    raise AssertionError("the lines of a record that grows never end")


def numbers(lines: list[Line]) -> list[int]:
    return [line.number for line in lines if isinstance(line, Entry)]


def test_every_line_comes_once_as_it_is_written(pen: Pen) -> None:
    record = GrowingRecord(pen.path)
    lines = record.lines()
    pen.write(3)
    first = now_there(lines)
    assert isinstance(first[0], Header) and numbers(first) == [1, 2, 3]
    assert now_there(lines) == []
    pen.write(2)
    assert numbers(now_there(lines)) == [4, 5]
    assert record.size == record.total == pen.path.stat().st_size
    assert [*record.first(4)] == [*Reader(pen.path)][:4]


def test_more_than_a_block_is_read_whole(pen: Pen) -> None:
    pen.write(12_000)
    assert pen.path.stat().st_size > 2 * 256 * 1024
    assert now_there(GrowingRecord(pen.path).lines()) == [*Reader(pen.path)]


@pytest.mark.parametrize("cut", [1, 12, SEAL_BYTES, 30])
def test_a_torn_line_waits_for_its_rest(pen: Pen, cut: int) -> None:
    pen.write(2)
    whole = pen.path.read_bytes()
    pen.path.write_bytes(whole[:-cut])
    lines = GrowingRecord(pen.path).lines()
    assert numbers(now_there(lines)) == [1]
    assert now_there(lines) == []
    with pen.path.open("ab") as file:
        file.write(whole[-cut:])
    assert numbers(now_there(lines)) == [2]


def test_a_torn_line_that_a_new_start_cuts_is_not_missed(tmp_path: Path) -> None:
    path = written(tmp_path / "2025-10-02.jsonl", facts=3)
    with path.open("ab") as file:
        file.write(b"[1759412100000000,4,{")
    lines = GrowingRecord(path).lines()
    assert numbers(now_there(lines)) == [1, 2, 3]
    past = Reader(path)
    assert len([*past]) == 4 and past.torn
    journal = Journal(path)
    journal.begin(RULES, SESSION, at(10), past)
    journal.append(at(11), Tick(), ())
    journal.close()
    header, entry = now_there(lines)
    assert isinstance(header, Header) and isinstance(entry, Entry) and entry.number == 4


def test_zero_bytes_at_the_end_wait_too(pen: Pen) -> None:
    pen.write(2)
    with pen.path.open("ab") as file:
        file.write(b"\0" * 500)
    lines = GrowingRecord(pen.path).lines()
    assert numbers(now_there(lines)) == [1, 2]
    assert now_there(lines) == []


def test_a_file_that_is_written_anew_with_the_same_lines_is_gone_on_with(pen: Pen) -> None:
    pen.write(5)
    record = GrowingRecord(pen.path)
    lines = record.lines()
    assert len(now_there(lines)) == 6
    whole = pen.path.read_bytes()
    pen.path.rename(pen.path.with_name("moved"))
    assert now_there(lines) == [] and record.standing is Standing.GONE
    pen.write(1)  # the worker goes on in the file that lost its name
    assert numbers(now_there(lines)) == [6]
    pen.path.write_bytes(whole)
    with pytest.raises(Replaced, match="another record"):
        now_there(lines)  # what was read is not all there
    lines = GrowingRecord(pen.path).lines()
    assert numbers(now_there(lines)) == [1, 2, 3, 4, 5]
    os.replace(pen.path.with_name("moved"), pen.path)
    assert numbers(now_there(lines)) == [6]


def test_another_record_under_the_name_is_noticed(pen: Pen, tmp_path: Path) -> None:
    pen.write(5)
    lines = GrowingRecord(pen.path).lines()
    now_there(lines)
    other = resealed(pen.path, tmp_path / "other", lambda texts: texts.insert(1, texts.pop(0)))
    os.replace(other, pen.path)
    with pytest.raises(Replaced):
        now_there(lines)


def test_a_record_that_got_shorter_is_noticed(pen: Pen) -> None:
    pen.write(5)
    lines = GrowingRecord(pen.path).lines()
    now_there(lines)
    os.truncate(pen.path, 100)
    with pytest.raises(Replaced, match="does not hold any more"):
        now_there(lines)


def test_another_record_that_is_written_into_the_file_is_noticed(pen: Pen, tmp_path: Path) -> None:
    pen.write(5)
    lines = GrowingRecord(pen.path).lines()
    now_there(lines)
    pen.path.write_bytes(written(tmp_path / "2025-10-02.jsonl", facts=40).read_bytes())
    with pytest.raises(Replaced, match="does not hold any more"):
        now_there(lines)


def test_a_record_that_is_packed_meanwhile_has_ended(pen: Pen) -> None:
    pen.write(2)
    record = GrowingRecord(pen.path)
    lines = record.lines()
    now_there(lines)
    pen.path.with_name("growing.jsonl.gz").write_bytes(gzip.compress(pen.path.read_bytes()))
    pen.path.unlink()
    assert now_there(lines) == [] and record.standing is Standing.PACKED


def test_a_packed_record_is_read_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path / "2025-10-02.jsonl")
    expected = [*Reader(path)]
    packed = tmp_path / "2025-10-02.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    record = GrowingRecord(packed)
    lines = record.lines()
    assert now_there(lines) == expected and now_there(lines) == []
    assert [*record.first(3)] == expected[:3]
    os.replace(path, packed)
    with pytest.raises(Replaced, match="another file"):
        now_there(lines)


def test_a_changed_byte_is_damage_at_its_line(pen: Pen) -> None:
    pen.write(9)
    text = bytearray(pen.path.read_bytes())
    place = text.index(b"\n", len(text) // 2 + 900) - SEAL_BYTES - 5
    line = text[:place].count(b"\n") + 1
    text[place] ^= 1
    pen.path.write_bytes(text)
    with pytest.raises(Damage, match="checksum") as damaged:
        now_there(GrowingRecord(pen.path).lines())
    assert damaged.value.line == line


def test_what_somebody_else_wrote_at_the_end_is_damage(pen: Pen) -> None:
    pen.write(1)
    with pen.path.open("ab") as file:
        file.write(b"hello")
    with pytest.raises(Damage, match="line 3"):
        now_there(GrowingRecord(pen.path).lines())


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([b'{"type":"header"}'], "written by another version, or not a record"),
        ([b"[1,1,{}]"], "written by another version, or not a record"),
    ],
)
def test_what_is_sealed_and_no_record_is_damage(tmp_path: Path, texts: list[bytes], reason: str) -> None:
    path = rewritten(tmp_path / "2025-10-02.jsonl", texts)
    with pytest.raises(Damage, match=reason):
        now_there(GrowingRecord(path).lines())


def test_a_line_without_an_end_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "2025-10-02.jsonl"
    path.write_bytes(b"[" * (4 * 1024 * 1024))
    with pytest.raises(Damage, match="over 4 MiB"):
        now_there(GrowingRecord(path).lines())


def test_lines_that_are_missing_are_damage(pen: Pen, tmp_path: Path) -> None:
    pen.write(5)
    copy = resealed(pen.path, tmp_path / "copy.jsonl", drop(3))
    with pytest.raises(Damage, match="arrival number"):
        now_there(GrowingRecord(copy).lines())
