"""A record while it is looked after: what comes in between, who else is there, and what is no disk's fault."""
# ruff: noqa: ASYNC240 - a test looks at its few small files at once

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from record.disk import DiskFile, Opener, Taken
from record.folder import record_path
from record.journal import Journal
from record.reader import Reader, read
from tests.builders import SESSION, at
from tests.disk import Disk
from tests.made_record import RULES, written
from tests.record.test_journal import until


class Bug(RuntimeError):
    """What no disk says."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record_path(tmp_path, "2025-10-02")


def begun(path: Path, opener: Opener = DiskFile) -> Journal:
    record = Journal(path, opener)
    record.begin(RULES, SESSION, at(0))
    return record


async def ended(record: Journal) -> None:
    closing = record.close()
    assert closing is not None
    await closing


async def test_a_look_opens_a_record_that_could_not_be_opened(path: Path) -> None:
    disk = Disk()
    disk.fault = errno.EIO
    record = begun(path, disk)
    assert record.is_off
    assert not path.exists()
    disk.fault = 0
    record.look()
    assert not record.is_off
    record.close()
    assert len(read(path).lines) == 1


async def test_a_record_that_is_closed_while_it_is_looked_at_is_left_as_it_is(path: Path) -> None:
    record = begun(path)
    path.unlink()
    record.look()
    await ended(record)
    await asyncio.sleep(0.05)
    assert not path.exists()
    assert record.fault is None


async def test_a_record_that_is_closed_while_it_is_written_anew_is_whole_and_nobody_writes_it(
    path: Path,
) -> None:
    record = begun(path)
    path.unlink()
    record.look()
    written = record.sync()
    await until(path.exists)
    await ended(record)
    assert await written in (True, False)
    await asyncio.sleep(0.05)
    assert len(read(path).lines) == 1
    again = DiskFile(path, is_new=False)  # raises Taken while somebody holds it
    again.close()


async def test_a_name_that_cannot_be_looked_at_turns_it_off_until_it_can(path: Path) -> None:
    record = begun(path)
    aside = path.parent.with_name("aside")
    path.parent.rename(aside)
    path.parent.symlink_to(path.parent)
    record.look()
    await until(lambda: record.fault == "Too many levels of symbolic links")
    path.parent.unlink()
    aside.rename(path.parent)
    record.look()
    await until(lambda: not record.is_off)
    await ended(record)


async def test_of_two_writers_the_second_writes_nothing_though_it_began_without_a_file(path: Path) -> None:
    written(path)
    past = Reader(path)
    list(past)
    disk = Disk()
    disk.fault = errno.EIO
    second = Journal(path, disk)
    second.begin(RULES, SESSION, at(100), past)
    assert second.is_off
    first = DiskFile(path, is_new=False)
    disk.fault = 0
    assert not second.retry()
    assert second.fault == "Another copy of the program writes it"
    first.close()
    assert second.retry()
    second.close()
    assert read(path).torn == 0


@pytest.mark.parametrize("error", [Taken("another"), Bug()])
async def test_a_file_that_cannot_be_opened_to_write_anew_turns_it_off_or_crashes(
    path: Path, error: Exception
) -> None:
    failed: list[Exception | None] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, seen: failed.append(seen.get("exception")))
    fails = False

    def opener(path: Path, is_new: bool = True) -> DiskFile:
        if fails:
            raise error
        return DiskFile(path, is_new)

    record = begun(path, opener)
    fails = True
    path.unlink()
    record.look()
    if isinstance(error, Taken):
        await until(lambda: record.fault == "Another copy of the program writes it")
        assert failed == []
        fails = False
        record.look()
        await until(lambda: not record.is_off)
    else:
        await until(lambda: bool(failed))
        assert failed == [error]
    await ended(record)


# --- Nobody waits any more ---


async def test_a_sync_that_nobody_waits_for_is_no_fault(path: Path) -> None:
    record = begun(path)
    record.sync().cancel()
    path.unlink()
    record.look()
    await asyncio.sleep(0)
    waiting = [record.sync() for _ in range(3)]
    waiting[1].cancel()
    await until(path.exists)
    assert await waiting[0] is True
    assert await waiting[2] is True
    assert record.fault is None
    await ended(record)


async def test_what_is_no_disks_fault_is_raised_where_the_sync_is_waited_for(path: Path) -> None:
    class Broken(DiskFile):
        def sync(self) -> None:
            raise Bug

    record = begun(path, Broken)
    with pytest.raises(Bug):
        await record.sync()
    assert record.fault is None
    await ended(record)
