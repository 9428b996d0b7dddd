"""Writing a record: a disk that fails loses nothing, and nothing is cut but what was understood."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import main
from events import Tick
from record.folder import record_path
from record.journal import Journal
from record.lines import Entry, Header
from record.reader import Reader, read
from tests.builders import SESSION, at
from tests.disk import Disk
from tests.made_record import DECISIONS, FACTS, RULES, written

ROOT = Path(main.__file__).parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record_path(tmp_path, "2025-10-02")


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
