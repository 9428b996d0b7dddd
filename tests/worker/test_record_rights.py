"""What this user may not read, search or write, or what is no folder: a clear line, and the right exit status."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from record.folder import record_path
from record.lines import Header
from record.reader import read
from tests.stage import stage
from tests.worker.test_record_start import AFTER_S, DATE, bought, ended, watched_again
from worker.ending import EXIT_CONFIG, EXIT_CRASHED

pytestmark = pytest.mark.virtual_time

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place of an ordinary user with a record of an open position in it; the test runs as that user."""
    place = Path(tempfile.mkdtemp())
    path = record_path(place / "data", DATE)
    path.parent.mkdir(parents=True)
    path.write_bytes(bought())
    path.chmod(0o600)
    is_root = os.geteuid() == 0
    if is_root:
        for found in (place, *place.rglob("*")):
            os.chown(found, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield place
    finally:
        if is_root:
            os.seteuid(0)
        for found in (place / "data", place / "data" / "sessions"):
            found.chmod(0o700)
        shutil.rmtree(place)


def as_root(change: Callable[[], object]) -> None:
    """Do something as whoever may do anything; skips the test where nobody may."""
    if os.getuid() != 0:
        pytest.skip("needs root")
    os.seteuid(0)
    try:
        change()
    finally:
        os.seteuid(NOBODY)


@pytest.mark.parametrize(
    ("name", "mode"), [("data", 0o000), ("data/sessions", 0o000), ("data/sessions", 0o300)]
)
async def test_a_folder_that_may_not_be_looked_through_ends_with_status_2(
    folder: Path, name: str, mode: int
) -> None:
    (folder / name).chmod(mode)
    status, said = await ended(folder)
    assert status == EXIT_CONFIG
    assert f"{folder}/data/sessions cannot be used (Permission denied)" in said


async def test_a_record_in_a_folder_that_may_not_be_searched_ends_the_start(folder: Path) -> None:
    (folder / "data" / "sessions").chmod(0o400)
    status, said = await ended(folder)
    assert status == EXIT_CONFIG
    assert f"{record_path(folder / 'data', DATE)} cannot be used (Permission denied)" in said


async def test_a_record_that_may_not_be_read_ends_the_start(folder: Path) -> None:
    record_path(folder / "data", DATE).chmod(0o000)
    status, said = await ended(folder)
    assert status == EXIT_CRASHED
    assert f"{record_path(folder / 'data', DATE)}, line 1: Permission denied" in said


async def test_a_lease_of_root_ends_with_status_2(folder: Path) -> None:
    def make() -> None:
        lease = folder / "data" / "lease"
        lease.write_bytes(b"pid 7, started then\n")
        lease.chmod(0o600)

    as_root(make)
    status, said = await ended(folder)
    assert status == EXIT_CONFIG
    assert f"{folder}/data/lease cannot be used (Permission denied)" in said


@pytest.mark.parametrize("what", ["record", "folder"])
async def test_a_position_is_watched_although_its_record_cannot_be_written(folder: Path, what: str) -> None:
    path = record_path(folder / "data", DATE)
    if what == "record":
        path.chmod(0o400)
    else:
        path.parent.chmod(0o500)
        (folder / "data").chmod(0o500)
        path.chmod(0o400)
    async with stage(folder, start_s=AFTER_S) as play:
        await watched_again(play)
        await play.until(lambda: play.titles("record off"), 60, "record off")
        engine = play.worker.engine
        assert engine is not None
        assert engine.position is not None
        await play.until(lambda: engine.holds, 10, "held")
        await play.stop()
        assert play.titles("SELL")
    assert path.read_bytes() == bought()
    assert len([line for line in read(path).lines if isinstance(line, Header)]) == 1


# --- Places that cannot be used ----------------------------------------------------------------------


def a_file(place: Path) -> None:
    place.write_bytes(b"mine")


def a_link(place: Path) -> None:
    place.symlink_to(place.parent / "nowhere")


@pytest.mark.parametrize("make", [a_file, a_link, os.mkfifo])
@pytest.mark.parametrize("where", ["data", "data/sessions"])
async def test_what_is_no_folder_in_a_folders_place_ends_with_status_2(
    tmp_path: Path, where: str, make: Callable[[Path], None]
) -> None:
    place = tmp_path / where
    place.parent.mkdir(exist_ok=True)
    make(place)
    status, said = await ended(tmp_path)
    assert status == EXIT_CONFIG
    assert str(place) in said
    assert "DATA_DIR" in said


@pytest.mark.parametrize("make", [a_file, a_link, os.mkfifo, os.mkdir])
async def test_something_else_in_the_leases_place_ends_with_status_2(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "data").mkdir()
    make(tmp_path / "data" / "lease")
    status, said = await ended(tmp_path)
    assert status == EXIT_CONFIG
    assert str(tmp_path / "data" / "lease") in said
    if make is a_file:
        assert (tmp_path / "data" / "lease").read_bytes() == b"mine"
