"""Writing a record: a disk that fails loses nothing, and nothing is cut but what was understood."""
# ruff: noqa: ASYNC240 - a test looks at its few small files at once

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

import main
from events import Tick
from record.disk import DiskFile, Taken, part_of, sync_folder
from record.folder import record_path
from record.journal import Journal
from record.lines import Entry, Header
from record.reader import Reader, read
from tests.builders import SESSION, at
from tests.disk import Disk
from tests.made_record import DECISIONS, FACTS, RULES, written
from tests.measured import measured

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


def test_the_header_of_a_simulated_market_says_so_and_a_real_ones_is_as_it_was(path: Path) -> None:
    for simulated in (False, True):
        path.unlink(missing_ok=True)
        journal = Journal(path)
        journal.begin(RULES, SESSION, at(0), simulated=simulated)
        journal.close()
        (header,) = read(path).lines
        assert isinstance(header, Header) and header.simulated is simulated
        assert (b"simulated" in path.read_bytes()) is simulated


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


class Watched(DiskFile):
    """A file that notes which thread waits for the disk, and whether its folder's names were still to be put there."""

    waits: ClassVar[list[tuple[bool, bool]]] = []

    def sync(self) -> None:
        is_loops = threading.current_thread() is threading.main_thread()
        self.waits.append((is_loops, self._folder is not None))
        super().sync()
        assert self._folder is None


async def test_neither_the_record_nor_its_folder_is_waited_for_on_the_loop(path: Path) -> None:
    record = Journal(path, Watched)
    record.begin(RULES, SESSION, at(0))
    record.append(at(1), Tick(), [])
    assert Watched.waits == []
    assert await record.sync() and await record.sync()
    assert Watched.waits == [(False, True), (False, False)]
    record.close()


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


async def test_what_the_disk_has_not_kept_is_written_anew(path: Path) -> None:
    """A kernel that could not write a page says so once; asked again, it says that all is well."""
    disk = Disk()
    record = Journal(path, disk)
    record.begin(RULES, SESSION, at(0))
    record.append(at(1), Tick(), [])
    old = path.stat().st_ino
    disk.sync_fault = errno.EIO
    assert not await record.sync()
    record.append(at(2), Tick(), [])
    record.look()
    await asyncio.sleep(0.05)
    assert record.fault == os.strerror(errno.EIO), "it cannot be written anew either"
    assert not record.retry()
    assert path.stat().st_ino == old
    disk.sync_fault = 0
    assert not record.retry(), "that all is well again is not asked, but seen to"
    record.look()
    await until(lambda: not record.is_off)
    assert path.stat().st_ino != old
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert await record.sync()
    record.append(at(3), Tick(), [])
    closing = record.close()
    assert closing is not None
    await closing
    assert [entry.number for entry in read(path).entries] == [1, 2, 3]


async def test_what_the_disk_has_not_kept_is_not_written_over_what_others_have_put_there(path: Path) -> None:
    disk = Disk()
    record = Journal(path, disk)
    record.begin(RULES, SESSION, at(0))
    disk.sync_fault = errno.EIO
    assert not await record.sync()
    disk.sync_fault = 0
    with path.open("ab") as file:
        file.write(b"mine")
    record.look()
    await until(lambda: record.fault == "Its file was changed by another program")
    assert path.read_bytes().endswith(b"mine")
    path.unlink()
    path.write_bytes(b"mine")
    record.look()
    await until(lambda: record.fault == "Another file stands in its place")
    assert path.read_bytes() == b"mine"
    record.close()


FULL_DISK = """
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar
from rules import Rules
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
        env={**os.environ, **measured(), "SCRIPT": FULL_DISK},
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


# --- What is not its own ---


def resumed(path: Path) -> tuple[Journal, Reader]:
    """A writer that goes on behind what is there, and has not begun."""
    past = Reader(path)
    list(past)
    return Journal(path), past


@pytest.mark.parametrize("content", [b"", b"mine", b"[" * 5000])
def test_a_new_record_is_written_over_nothing(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    record = Journal(path)
    record.begin(RULES, SESSION, at(0))
    assert record.fault == "Another file stands in its place"
    assert not record.retry()
    record.append(at(1), Tick(), [])
    record.close()
    assert path.read_bytes() == content


def test_an_empty_file_that_was_read_is_gone_on_with(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    record, past = resumed(path)
    record.begin(RULES, SESSION, at(0), past)
    record.close()
    assert len(read(path).lines) == 1


@pytest.mark.parametrize("what", ["grown", "cut", "replaced"])
def test_a_record_that_was_changed_since_it_was_read_is_left_alone(path: Path, what: str) -> None:
    good = written(path).read_bytes()
    record, past = resumed(path)
    match what:
        case "grown":
            path.write_bytes(good + b"mine")
        case "cut":
            path.write_bytes(good[:-1])
        case _:
            path.rename(path.with_name("aside"))
            path.write_bytes(good)
    before = path.read_bytes()
    record.begin(RULES, SESSION, at(100), past)
    assert record.fault == "Its file was changed by another program"
    record.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", [b"mine", b"[175", b"\0"])
def test_what_somebody_else_has_written_behind_it_is_never_cut(path: Path, change: bytes) -> None:
    record = Journal(path)
    record.begin(RULES, SESSION, at(0))
    with path.open("ab") as file:
        file.write(change)
    before = path.read_bytes()
    record.append(at(1), Tick(), [])
    assert record.fault == "Its file was changed by another program"
    assert not record.retry()
    assert path.read_bytes() == before
    path.write_bytes(before[: -len(change)])  # put right again
    assert record.retry()
    record.close()
    assert len(read(path).lines) == 2


def test_a_record_that_somebody_has_emptied_is_not_written_on(path: Path) -> None:
    record = Journal(path)
    record.begin(RULES, SESSION, at(0))
    os.truncate(path, 0)
    record.append(at(1), Tick(), [])
    assert record.fault == "Its file was changed by another program"
    record.close()
    assert path.read_bytes() == b""


def test_a_part_of_a_line_that_is_not_its_own_is_not_cut_after_a_failed_write(path: Path) -> None:
    disk = Disk()
    record = Journal(path, disk)
    record.begin(RULES, SESSION, at(0))
    good = path.read_bytes()
    disk.fault = errno.ENOSPC
    record.append(at(1), Tick(), [])
    with path.open("ab") as file:
        file.write(b"[17")  # as our line begins: a write of ours may have left it
    disk.fault = 0
    assert record.retry()
    disk.fault = errno.ENOSPC
    record.append(at(2), Tick(), [])
    disk.fault = 0
    with path.open("ab") as file:
        file.write(b"[99")
    assert not record.retry()
    assert path.read_bytes().startswith(good)
    assert path.read_bytes().endswith(b"[99")
    record.close()


def test_a_record_has_one_writer(path: Path) -> None:
    first = Journal(path)
    first.begin(RULES, SESSION, at(0))
    second, past = resumed(path)
    with pytest.raises(Taken):
        second.begin(RULES, SESSION, at(1), past)
    second.close()
    first.append(at(1), Tick(), [])
    first.close()
    assert len(read(path).lines) == 2


# --- Its name ---


async def until(holds: Callable[[], bool]) -> None:
    """Wait for the disk's thread, until something holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - a thread's making
            await asyncio.sleep(0.005)


async def test_a_record_whose_name_is_gone_is_written_anew_with_all_that_comes_meanwhile(path: Path) -> None:
    written(path)
    record, past = resumed(path)
    record.begin(RULES, SESSION, at(100), past)
    record.append(at(101), Tick(), [])
    shutil.rmtree(path.parent)
    record.look()
    syncs = []
    for number in range(300):
        record.append(at(102 + number), FACTS[number % len(FACTS)], [])
        if number % 50 == 0:
            syncs.append(record.sync())
        await asyncio.sleep(0)
    assert all(await asyncio.gather(*syncs))
    await until(path.exists)
    closing = record.close()
    assert closing is not None
    await closing
    assert [entry.number for entry in read(path).entries] == list(range(1, 14 + 300))
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_look_at_a_record_that_is_well_changes_nothing(path: Path) -> None:
    record = Journal(path)
    record.begin(RULES, SESSION, at(0))
    before = path.stat()
    record.look()
    await asyncio.sleep(0.05)
    assert not record.is_off
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    record.close()


async def test_a_folder_that_cannot_be_made_again_turns_it_off_until_it_can(path: Path) -> None:
    record = Journal(path)
    record.begin(RULES, SESSION, at(0))
    shutil.rmtree(path.parent)
    path.parent.write_bytes(b"mine")
    record.look()
    await until(lambda: record.fault == "Not a directory")
    record.append(at(1), Tick(), [])
    path.parent.unlink()
    record.look()
    await until(lambda: not record.is_off)
    record.close()
    assert len(read(path).lines) == 2


async def test_what_a_crash_has_left_of_a_writing_anew_is_in_nobodys_way(path: Path) -> None:
    """In a container the process has the same number at every start."""
    record = Journal(path)
    record.begin(RULES, SESSION, at(0))
    left = part_of(path)
    left.write_bytes(b"half")
    path.unlink()
    record.look()
    await until(path.exists)
    await until(lambda: part_of(path) != left)
    assert left.read_bytes() == b"half"
    assert not record.is_off
    record.close()
    assert len(read(path).lines) == 1


def test_a_file_system_that_syncs_no_folders_is_gone_on_with() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc, which is one")
    sync_folder(Path("/proc"))
    with pytest.raises(OSError, match="No such file"):
        sync_folder(Path("/proc/nothing"))
