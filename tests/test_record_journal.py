"""The record on disk: whatever is changed, cut, missing or moved is found, and a disk that fails loses nothing."""

from __future__ import annotations

import errno
import gzip
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

import main
from config import Rules
from events import AlertKind, AlertOutcome, Decision, Declined, DeclineReason, Event, Outcome, Tick
from record.folder import pack, record_path, records, tidy
from record.journal import Journal
from record.lease import Lease, LeaseHeld
from record.lines import Entry, Header, encode, sealed
from record.reader import Damage, Reader, first_header, read
from tests.builders import SESSION, at, bar, chain, quote, row
from tests.disk import Disk
from tests.test_risk_manager import opened

RULES = Rules()
ROOT = Path(main.__file__).parent

FACTS: list[Event] = [
    Tick(),
    bar(1, 215.01, 500.25, vwap=215.0123),
    bar(2, backfilled=True),
    quote(3, 1.39, 1.41),
    chain(4, row(), row(216.0, delta=None, iv=None)),
    AlertOutcome(kind=AlertKind.BUY, id="7f3a91", outcome=Outcome.ACCEPTED, attempts=1),
]
DECISIONS: list[Decision] = [
    Declined(reason=DeclineReason.BLIND, hold=None, price=1.5, vwap=1.25, momentum=0.1, volume_z=None),
    opened(),
]


def written(path: Path, facts: int = 12) -> Path:
    """A record of a start and some facts."""
    record = Journal(path)
    record.begin(RULES, SESSION, at(-300))
    for number in range(facts):
        made = [DECISIONS[number % 2]] if number % 5 == 4 else []
        record.append(at(number), FACTS[number % len(FACTS)], made)
    record.close()
    return path


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


def test_a_second_start_goes_on_in_the_same_chain(path: Path) -> None:
    written(path)
    past = Reader(path)
    assert len(list(past)) == 13
    again = Journal(path)
    again.begin(RULES, SESSION, at(100), past)
    again.append(at(101), Tick(), [])
    again.close()
    record = read(path)
    assert [type(line) for line in record.lines].count(Header) == 2
    assert record.entries[-1] == Entry(at(101), 13, Tick())


def test_every_flipped_bit_is_found(path: Path) -> None:
    good = written(path, 6).read_bytes()
    lines = read(path).lines
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        path.write_bytes(bad)
        try:
            record = read(path)
        except Damage as damage:
            assert damage.line == good[:position].count(b"\n") + 1
            continue
        # Only the end may go as torn, for nothing that follows proves that it once was whole: the last line, and
        # the one before when the newline between them is gone.
        assert record.torn > 0
        whole = len(lines) - (2 if good[position : position + 1] == b"\n" and position < len(good) - 1 else 1)
        assert record.lines == lines[:whole]


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


def test_zeros_behind_the_end_are_torn(path: Path) -> None:
    """What a power cut leaves on some file systems."""
    good = written(path).read_bytes()
    path.write_bytes(good + bytes(4096))
    assert read(path).torn == 4096


def test_a_torn_end_is_cut_by_the_next_start(path: Path) -> None:
    good = written(path).read_bytes()
    path.write_bytes(good + b"[17594118000")
    past = Reader(path)
    list(past)
    again = Journal(path)
    again.begin(RULES, SESSION, at(100), past)
    again.close()
    assert path.read_bytes().startswith(good + b'{"type":"header"')
    assert read(path).torn == 0


def rewritten(path: Path, texts: list[bytes]) -> Path:
    """A record of these texts with good checksums."""
    seed, out = 0, b""
    for text in texts:
        line, seed = sealed(text, seed)
        out += line
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out)
    return path


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


def test_files_are_the_owners_only_and_no_symlink_is_followed(tmp_path: Path, path: Path) -> None:
    written(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    target = tmp_path / "elsewhere"
    target.write_text("mine", encoding="utf-8")
    link = path.with_name("2025-10-03.jsonl")
    link.symlink_to(target)
    record = Journal(link)
    record.begin(RULES, SESSION, at(0))
    assert record.is_off
    assert target.read_text(encoding="utf-8") == "mine"
    with pytest.raises(OSError, match="symbolic"):
        read(link)
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "sessions").symlink_to(tmp_path)
    record = Journal(record_path(folder, "2025-10-03"))
    record.begin(RULES, SESSION, at(0))
    assert record.is_off


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("first", range(6))
def test_a_disk_that_fails_for_a_while_loses_nothing(path: Path, fault: int, short: bool, first: int) -> None:
    disk = Disk()
    record = Journal(path, disk)
    if first == 0:
        disk.fault = fault
    record.begin(RULES, SESSION, at(-300))
    for number in range(8):
        disk.fault, disk.short = (fault, short) if first <= number + 1 < first + 3 else (0, False)
        record.append(at(number), FACTS[number % len(FACTS)], [])
        if disk.fault:
            assert record.is_off
            assert record.fault == os.strerror(fault)
            assert not record.retry()
        elif record.is_off:
            assert record.retry()
    assert not record.is_off
    record.close()
    assert [entry.number for entry in read(path).entries] == list(range(1, 9))


def test_a_short_write_is_cut_and_written_again(path: Path) -> None:
    disk = Disk()
    record = Journal(path, disk)
    record.begin(RULES, SESSION, at(-300))
    disk.short = True
    record.append(at(0), FACTS[1], [])
    assert record.is_off
    record.append(at(1), FACTS[2], [])
    assert record.retry()
    record.close()
    assert [entry.event for entry in read(path).entries] == FACTS[1:3]


def test_a_record_that_waits_too_long_ends_whole_and_stays_off(path: Path) -> None:
    disk = Disk()
    record = Journal(path, disk, held_back_max=2_000)
    record.begin(RULES, SESSION, at(-300))
    disk.fault = errno.ENOSPC
    for number in range(50):
        record.append(at(number), Tick(), [])
    disk.fault = 0
    assert not record.retry()
    assert record.is_off
    record.close()
    assert read(path).torn == 0


async def test_a_sync_that_fails_is_a_fault(path: Path) -> None:
    disk = Disk()
    record = Journal(path, disk)
    assert not await record.sync()
    record.begin(RULES, SESSION, at(0))
    assert await record.sync()
    disk.fault = errno.EIO
    assert not await record.sync()
    assert record.is_off
    disk.fault = 0
    record.close()


FULL_DISK = """
import sys
from pathlib import Path
from config import Rules
from events import Tick
from record.journal import Journal
from record.reader import read
from tests.disk import Disk
from tests.builders import SESSION, at
path = Path(sys.argv[1]) / "sessions" / "2025-10-02.jsonl"
record = Journal(path)
record.begin(Rules(), SESSION, at(0))
number = 0
while not record.is_off:
    number += 1
    record.append(at(number), Tick(), [])
assert record.fault == "No space left on device", record.fault
record.append(at(number + 1), Tick(), [])
assert not record.retry()
(Path(sys.argv[1]) / "ballast").unlink()
assert record.retry()
record.close()
assert read(path).entries[-1].number == number + 1
print("whole")
"""


def test_a_really_full_disk_loses_nothing(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    script = (
        f"mount -t tmpfs -o size=64k tmpfs {tmp_path} && head -c 16384 /dev/zero > {tmp_path}/ballast && "
        f'exec "{sys.executable}" -c "$SCRIPT" {tmp_path}'
    )
    probe = [unshare or "unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=64k tmpfs {tmp_path}"]
    if unshare is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs unshare -rm and tmpfs")
    result = subprocess.run(
        [unshare, "-rm", "sh", "-c", script],
        cwd=ROOT,
        env={**os.environ, "SCRIPT": FULL_DISK},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout == "whole\n", result.stderr


# --- The folder ---


def test_a_packed_record_reads_the_same_and_replaces_the_other(path: Path) -> None:
    lines = read(written(path)).lines
    packed = pack(path)
    assert not path.exists()
    assert stat.S_IMODE(packed.stat().st_mode) == 0o600
    assert read(packed).lines == lines
    assert records(path.parent.parent) == [packed]


def test_the_name_of_a_record_is_not_trusted(path: Path) -> None:
    packed = pack(written(path))
    renamed = packed.rename(path)
    assert len(read(renamed).lines) == 13


@pytest.mark.parametrize("cut", [5, 40, 200])
def test_a_broken_archive_is_damage(path: Path, cut: int) -> None:
    packed = pack(written(path))
    packed.write_bytes(packed.read_bytes()[:-cut])
    with pytest.raises(Damage, match="archive is broken"):
        read(packed)


def test_finished_records_are_packed_and_the_oldest_removed(tmp_path: Path) -> None:
    for day in range(1, 8):
        path = written(record_path(tmp_path, f"2025-10-0{day}"), 2)
        path.with_name(f"2025-10-0{day}.tried.json").touch()  # what was noted beside it goes with it
    tidy(tmp_path, keep=4, current="2025-10-07")
    names = [found.name for found in records(tmp_path)]
    assert names == [f"2025-10-0{day}.jsonl.gz" for day in (4, 5, 6)] + ["2025-10-07.jsonl"]
    assert all(gzip.decompress(found.read_bytes()) for found in records(tmp_path)[:-1])
    notes = sorted(found.name for found in (tmp_path / "sessions").glob("*.tried.json"))
    assert notes == [f"2025-10-0{day}.tried.json" for day in (4, 5, 6, 7)]


def test_a_packing_that_was_cut_off_is_done_again(path: Path) -> None:
    written(path)
    path.with_name(path.name + ".gz.part").write_bytes(b"half")
    path.with_name(path.name + ".gz").write_bytes(b"from before the cut")
    tidy(path.parent.parent, keep=9)
    (packed,) = records(path.parent.parent)
    assert len(read(packed).lines) == 13
    assert [found.name for found in path.parent.iterdir()] == [packed.name]


def test_an_empty_folder_has_no_records(tmp_path: Path) -> None:
    assert records(tmp_path) == []
    tidy(tmp_path, keep=1)


# --- The lease ---


def test_the_lease_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "data"), Lease(tmp_path / "data")
    first.take("2025-10-02T13:25:00Z")
    with pytest.raises(LeaseHeld, match=f"pid {os.getpid()}, started 2025-10-02T13:25:00Z"):
        second.take("2025-10-02T13:26:00Z")
    first.release()
    second.take("2025-10-02T13:27:00Z")
    second.release()
    second.release()


def test_a_crash_gives_the_lease_back(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys,time; from pathlib import Path; from record.lease import Lease; "
            "lease = Lease(Path(sys.argv[1])); lease.take('then'); print('held', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    lease = Lease(tmp_path)
    with pytest.raises(LeaseHeld, match=f"pid {holder.pid}, started then"):
        lease.take("now")
    holder.kill()
    holder.wait()
    holder.stdout.close()
    lease.take("now")
    lease.release()


def test_random_records_survive_random_starts(path: Path) -> None:
    source = random.Random(4)
    past: Reader | None = None
    total = 0
    for start in range(6):
        record = Journal(path)
        record.begin(RULES, SESSION, at(start * 100), past)
        for _ in range(source.randrange(9)):
            total += 1
            record.append(at(start * 100 + total), source.choice(FACTS), source.choice([[], DECISIONS]))
        record.close()
        if source.random() < 0.5:
            with path.open("ab") as file:
                file.write(b"[17594" * source.randrange(1, 4))
        past = Reader(path)
        assert len([line for line in past if isinstance(line, Entry)]) == total
        assert past.number == total
