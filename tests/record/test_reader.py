"""Reading a record: whatever is changed, cut, missing, moved or not ours is found."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

import main
from events import AlertKind, AlertOutcome, Decision, Outcome, Tick
from record.folder import Kind, look_at, pack, record_path
from record.journal import Journal
from record.lines import encode
from record.reader import LINE_MAX, RECORD_MAX, Blocks, Damage, first_header, glance, read
from rules import Rules
from tests.builders import SESSION, at
from tests.made_record import DECISIONS, FACTS, RULES, rewritten, written
from tests.test_risk_manager import closed, opened

ROOT = Path(main.__file__).parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record_path(tmp_path, "2025-10-02")


def test_what_was_written_is_read(path: Path) -> None:
    record = read(written(path))
    assert record.torn == 0
    assert (record.header.session, record.header.rules_hash) == (SESSION, RULES.digest())
    assert Rules.model_validate(record.header.rules) == RULES
    assert [entry.number for entry in record.entries] == list(range(1, 13))
    assert [entry.event for entry in record.entries] == FACTS * 2
    assert record.entries[4].decisions == (DECISIONS[0],)
    assert record.entries[9].decisions == (DECISIONS[1],)


def test_bars_are_written_with_their_keys(path: Path) -> None:
    text = written(path).read_text(encoding="utf-8")
    keys = '"symbol":"IWM","start":1759411801000000,"open":215.01,"high":215.01,"low":215.01,"close":215.01'
    assert f'{keys},"volume":500.25,"vwap":215.0123' in text


def test_every_flipped_bit_is_found(path: Path) -> None:
    good = written(path, 6).read_bytes()
    lines = read(path).lines
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        path.write_bytes(bad)
        if position == len(good) - 1:
            # The very last newline: what is left is what a crash leaves of a line.
            record = read(path)
            assert record.lines == lines[:-1]
            assert record.torn > 0
            continue
        with pytest.raises(Damage) as found:
            read(path)
        assert found.value.line == good[:position].count(b"\n") + 1


def test_every_truncation_keeps_the_whole_lines_and_counts_the_rest(path: Path) -> None:
    good = written(path, 6).read_bytes()
    lines = read(path).lines
    for size in range(len(good)):
        path.write_bytes(good[:size])
        record = read(path)
        whole = good[:size].count(b"\n")
        assert record.lines == lines[:whole]
        assert record.torn == size - (good[:size].rfind(b"\n") + 1)


@pytest.mark.parametrize("change", ["drop", "swap", "double"])
@pytest.mark.parametrize("number", [1, 4, 9])
def test_a_missing_or_moved_line_is_found(path: Path, change: str, number: int) -> None:
    raw = written(path).read_bytes().splitlines(keepends=True)
    match change:
        case "drop":
            del raw[number]
        case "swap":
            raw[number], raw[number + 1] = raw[number + 1], raw[number]
        case _:
            raw.insert(number, raw[number])
    path.write_bytes(b"".join(raw))
    with pytest.raises(Damage) as found:
        read(path)
    assert found.value.line in (number + 1, number + 2)


@pytest.mark.parametrize(
    "tail", [b"", b"[17594118000", b'{"type":"header","sch', b"[1759411800000000,7,{}] 00000000"]
)
@pytest.mark.parametrize("zeros", [0, 1, 4096, 9 * 1024 * 1024])
def test_the_beginning_of_one_line_and_zeros_behind_it_are_torn(path: Path, tail: bytes, zeros: int) -> None:
    """What a crash leaves, and a power cut on some file systems."""
    good = written(path).read_bytes()
    path.write_bytes(good + tail + bytes(zeros))
    record = read(path)
    assert len(record.lines) == 13
    assert record.torn == len(tail) + zeros


NOT_TORN = {
    "a whole line of another chain": b'[1759411800000000,13,{"type":"tick"}] 00000000\n',
    "two torn lines": b'[1759411800000000,13,{"type"\n[17594118',
    "an empty line": b"\n",
    "a word": b"note to myself",
    "a bracket and a word": b"[note to myself]",
    "half a fact and a word": b"[1759411800000000,13 or so",
    "zeros before a word": bytes(7) + b"[17",
    "zeros and a newline": bytes(7) + b"\n",
    "a line longer than any": b"[" + b"1" * (LINE_MAX + 1),
}


@pytest.mark.parametrize("tail", NOT_TORN.values(), ids=NOT_TORN.keys())
def test_anything_else_at_the_end_is_damage(path: Path, tail: bytes) -> None:
    path.write_bytes(written(path).read_bytes() + tail)
    with pytest.raises(Damage) as found:
        read(path)
    assert found.value.line == 14


def test_of_a_file_without_a_whole_line_only_our_own_beginning_is_torn(path: Path) -> None:
    header = written(path, 0).read_bytes()
    for begun in (b"", b"{", header[:20], header[:-1], header[:40] + bytes(9)):
        path.write_bytes(begun)
        assert first_header(path) is None
        assert read(path).torn == len(begun)
    for foreign in (
        b"hello",
        b"[1759411800000000,1",
        b"\xef\xbb\xbf" + header,
        b'{"type":"other"',
        b"\n",
        b" ",
        bytes(1),
        bytes(512),
        bytes(9 * 1024 * 1024),
    ):
        path.write_bytes(foreign)
        with pytest.raises(Damage) as found:
            read(path)
        assert found.value.line == 1


def test_line_ends_that_an_editor_has_changed_are_damage(path: Path) -> None:
    path.write_bytes(written(path).read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(Damage, match="line 1: the line's checksum is wrong"):
        read(path)


def test_a_header_of_another_session_is_damage(path: Path) -> None:
    header = read(written(path, 0)).header
    other = replace(header, session=replace(header.session, date="2025-10-03"))
    with pytest.raises(Damage, match="line 2: a header of session 2025-10-03 in the record of 2025-10-02"):
        read(rewritten(path, [encode(header), encode(other)]))


# --- Bounds ---


MEMORY = """
import resource, sys
from pathlib import Path
from record.past import at_start
from record.reader import Damage, glance, read
def start(path): return at_start(path.parent.parent, "2025-10-02")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for look in (read, glance, start):
    try:
        print(type(look(Path(sys.argv[1]))).__name__)
    except Damage as damage:
        print(damage.reason)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024 < 60)
"""


@pytest.mark.parametrize(
    ("filling", "reason"),
    [(b"1", "a line of over 4 MiB"), (b"\n", "the line's checksum is wrong"), (b"\0", "Record")],
)
def test_a_small_archive_that_unpacks_to_much_takes_little_memory(
    path: Path, filling: bytes, reason: str
) -> None:
    """100 MB behind a good beginning: one line without end, very many short ones, or zeros."""
    good = written(path).read_bytes()
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(good + b"[" * (filling == b"1"))
        for _ in range(100):
            file.write(filling * 1_000_000)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, *_, is_bounded = done.stdout.splitlines()
    assert first.startswith(reason)
    assert is_bounded == "True"


def test_a_read_that_fails_names_the_file() -> None:
    """The system's own error does not, and whoever reports it must."""
    place = Path("/proc/self/mem")
    if not place.exists():
        pytest.skip("needs a file of which nothing can be read")
    with pytest.raises(OSError, match="Input/output error: '/proc/self/mem'"):
        read(place)


def test_an_archive_that_claims_more_than_any_session_is_damage(path: Path) -> None:
    size = len(written(path).read_bytes())
    pack(path)
    packed = path.with_name(path.name + ".gz")
    assert sum(map(len, Blocks(packed, record_max=size)))
    with pytest.raises(Damage, match=r"over .* MiB: no session's record is as long"):
        list(Blocks(packed, record_max=size - 1))
    assert RECORD_MAX == 512 * 1024**2


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/passwd", path)])
def test_what_is_no_ordinary_file_is_refused_without_waiting(
    path: Path, make: Callable[[Path], object]
) -> None:
    path.parent.mkdir(parents=True)
    make(path)
    with pytest.raises(OSError, match=r"directory|ordinary file|symbolic"):
        read(path)
    assert look_at(path).kind is Kind.FOREIGN


# --- A look at what a record holds ---


def test_a_glance_takes_only_the_push_services_word_for_a_told_sell(path: Path) -> None:
    """A SELL that only a side channel took is still to be sent."""
    sold = closed()
    record = Journal(path)
    record.begin(RULES, SESSION, at(0))
    record.append(at(1), Tick(), [opened()])
    record.append(at(2), Tick(), [sold])
    for second, channel in ((3, "second channel"), (4, "")):
        told = AlertOutcome(
            kind=AlertKind.SELL, id=sold.id, outcome=Outcome.ACCEPTED, attempts=1, channel=channel
        )
        record.append(at(second), told, [])
        seen = glance(path)
        assert (seen.untold, seen.told) == (
            (frozenset({sold.id}), frozenset()) if channel else (frozenset(), frozenset({sold.id}))
        )
    record.close()


def test_a_glance_finds_the_newest_header_and_the_position_that_is_open(path: Path) -> None:
    assert glance(written(path)).open == DECISIONS[1]
    assert glance(pack(path)).open == DECISIONS[1]
    bought, sold = opened(), closed()
    cases: list[tuple[list[Decision], Decision | None]] = [
        ([bought], bought),
        ([bought, sold], None),
        ([], None),
    ]
    for decisions, left in cases:
        path.unlink(missing_ok=True)
        record = Journal(path)
        record.begin(RULES, SESSION, at(0))
        record.append(at(1), Tick(), [])
        for decision in decisions:
            record.append(at(2), Tick(), [decision])
        record.close()
        seen = glance(path)
        assert seen.open == left
        assert seen.header == read(path).header


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([b'[1,1,{"type":"tick"}]'], "not a record"),
        ([b"hello"], "not a record"),
        ([b""], "line 1: written by another version, or not a record"),
        ([b'{"type":"header","schema":99}'], "not a record"),
    ],
)
def test_what_is_no_record_is_refused(path: Path, texts: list[bytes], reason: str) -> None:
    with pytest.raises(Damage, match=reason):
        read(rewritten(path, texts))


def test_a_record_of_another_schema_says_so(path: Path) -> None:
    header = read(written(path, 0)).header
    other = encode(replace(header, schema=2, version="9.9.9"))
    with pytest.raises(Damage, match=r"schema 2 of version 9\.9\.9; this version reads 1"):
        read(rewritten(path, [other]))


def test_an_empty_record_has_no_header(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    assert first_header(path) is None
    assert read(path).lines == []


def test_the_name_of_a_record_is_not_trusted(path: Path) -> None:
    packed = pack(written(path))
    renamed = packed.rename(path)
    assert len(read(renamed).lines) == 13


@pytest.mark.parametrize("is_sealed", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        b'{"type":"header","schema":1,"x":' + b"[" * 100_000,
        b'{"type":"header","schema":1,"version":"\xff"}',
        b'[1,1,{"type":"tick"},[{"type":"opened","id":"\xff"}]]',
        b'[1,1,{"type":"tick"},[{"type":"opened","id":"1","x":' + b'{"a":' * 100_000,
    ],
)
def test_what_no_decoder_takes_is_damage(path: Path, text: bytes, is_sealed: bool) -> None:
    """Text that is not UTF-8, or nested beyond what is followed: msgspec raises errors of another kind for these."""
    header = written(path, 0).read_bytes()
    if is_sealed:
        rewritten(path, [header[:-10], text])
    else:
        path.write_bytes(header + text + b" 00000000\n")
    for look in (read, glance):
        with pytest.raises(Damage) as found:
            look(path)
        assert found.value.line == 2


@pytest.mark.parametrize("cut", [5, 40, 200])
def test_a_broken_archive_is_damage(path: Path, cut: int) -> None:
    packed = pack(written(path))
    packed.write_bytes(packed.read_bytes()[:-cut])
    with pytest.raises(Damage, match="archive is broken"):
        read(packed)
