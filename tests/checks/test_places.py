"""Places of records and log: whether they can be written, have room, and are free."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from checks.check import Check, Severity
from checks.places import check_lease, check_places
from record.lease import Lease
from tests.checks.given import settings_of
from tests.disk import Disk


def places(folder: Path, disk: Disk | None = None, free: int = 10**9, /, **changes: str) -> list[str]:
    """What is found about the places: a writable log, and ``free`` bytes, unless it is said otherwise."""
    settings = settings_of(**{"DATA_DIR": str(folder), "LOG_FILE": str(folder.parent / "iwm.log"), **changes})
    checks = check_places(settings, {}, opener=disk, free=lambda _: free)
    return [check.line().strip() for check in checks]


def test_places_that_can_and_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    new = tmp_path / "new" / "data"
    log = f"✓ LOG_FILE: {tmp_path}/iwm.log can be written"
    room = "✓ DATA_DIR: 1,000 MB free"
    assert places(new, LOG_FILE=f"{tmp_path}/iwm.log") == [f"✓ DATA_DIR: {new} can be created", room, log]
    assert not (tmp_path / "new").exists()
    data = tmp_path / "data"
    (data / "sessions").mkdir(parents=True)
    assert places(data) == [f"✓ DATA_DIR: {data} can be written", room, log]
    for place in (file, file / "data"):
        assert places(place, LOG_FILE=f"{tmp_path}/iwm.log") == [
            f"✗ DATA_DIR: {place} cannot be used: {file} is a file, not a folder "
            "— name a folder that exists or can be created",
            log,
        ]
    # What was written as a trial is gone.
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_nothing(tmp_path: Path, number: int) -> None:
    disk = Disk()
    disk.fault = number
    first, *_ = places(tmp_path, disk, LOG_FILE=f"{tmp_path}/iwm.log")
    assert first == (
        f"✗ DATA_DIR: {tmp_path} cannot be written ({os.strerror(number)}) "
        "— free up space, or repair the disk: no entries until then"
    )
    assert os.listdir(tmp_path) == []


def test_a_disk_that_takes_only_a_part(tmp_path: Path) -> None:
    disk = Disk()
    disk.short = True
    first, *_ = places(tmp_path, disk, LOG_FILE=f"{tmp_path}/iwm.log")
    assert first.startswith(f"✗ DATA_DIR: {tmp_path} cannot be written (No space left on device)")
    assert os.listdir(tmp_path) == []


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(tmp_path)],
        capture_output=True,
        timeout=30,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    try:
        settings = settings_of(DATA_DIR=str(tmp_path), LOG_FILE=f"{tmp_path}/iwm.log")
        first, room, _ = (check.line().strip() for check in check_places(settings, {}))
    finally:
        subprocess.run(["umount", str(tmp_path)], timeout=30, check=True)
    assert first.startswith(f"✗ DATA_DIR: {tmp_path} cannot be written (No space left on device)")
    assert room.startswith("✗ DATA_DIR: 0 MB free, a session needs up to 68 MB — free up space")


@pytest.mark.parametrize(
    ("free", "keep", "line"),
    [
        (67_999_999, 60, "✗ DATA_DIR: 67 MB free, a session needs up to 68 MB — "),
        (68_000_000, 2, "✗"),
        (68_000_000, 1, "✓ DATA_DIR: 68 MB free"),
        (539_999_999, 60, "⚠ DATA_DIR: 539 MB free, enough for about 59 more sessions; KEEP_SESSIONS is 60"),
        (540_000_000, 60, "✓ DATA_DIR: 540 MB free"),
    ],
)
def test_room_for_the_records(tmp_path: Path, free: int, keep: int, line: str) -> None:
    found = places(tmp_path, None, free, KEEP_SESSIONS=str(keep), LOG_FILE=f"{tmp_path}/iwm.log")[1]
    if line == "✗":
        line = "⚠ DATA_DIR: 68 MB free, enough for about 1 more sessions; KEEP_SESSIONS is 2"
    assert found.startswith(line)


def test_records_that_are_there_need_no_more_room(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    for day in (1, 2):
        (tmp_path / "sessions" / f"2025-10-0{day}.jsonl.gz").touch()
    log = f"{tmp_path}/iwm.log"
    assert places(tmp_path, None, 69_000_000, KEEP_SESSIONS="3", LOG_FILE=log)[1].startswith("✓")
    assert places(tmp_path, None, 69_000_000, KEEP_SESSIONS="4", LOG_FILE=log)[1].startswith("⚠")


def test_on_render_only_a_mounted_disk_outlives_a_deploy(tmp_path: Path) -> None:
    settings = settings_of(DATA_DIR=str(tmp_path / "data"), LOG_FILE=f"{tmp_path}/iwm.log")

    def line(mount: Path) -> Check:
        checks = check_places(
            settings, {"RENDER": "true"}, free=lambda _: 10**9, is_mount=lambda path: path == mount
        )
        return checks[2]

    assert line(tmp_path).line().strip() == f"✓ DATA_DIR: on the disk mounted at {tmp_path}"
    # The root of the container is mounted, too, and is lost.
    assert line(Path("/")).severity is Severity.FAIL
    assert line(Path("/")).found == (
        f"DATA_DIR: {tmp_path}/data is not on a persistent disk: a deploy loses it, and an open position with it"
    )


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    def log(path: Path) -> Check:
        settings = settings_of(DATA_DIR=str(tmp_path), LOG_FILE=str(path))
        return check_places(settings, {})[-1]

    written = tmp_path / "iwm.log"
    written.write_text("kept\n")
    assert log(written).found == f"LOG_FILE: {written} can be written"
    assert written.read_text() == "kept\n"
    assert log(tmp_path).found == f"LOG_FILE: {tmp_path} is a folder, not a file"
    link = tmp_path / "link"
    link.symlink_to(written)
    assert log(link).found == f"LOG_FILE: {link} is a symbolic link, which the log refuses"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert log(pipe).found.startswith(f"LOG_FILE: {pipe} cannot be opened (")
    below = written / "below.log"
    assert log(below).found == f"LOG_FILE: {below} cannot be used: {written} is a file, not a folder"
    assert {log(path).severity for path in (tmp_path, link, pipe, below)} == {Severity.FAIL}


def test_a_copy_that_is_running_is_told(tmp_path: Path) -> None:
    check, is_running = check_lease(tmp_path / "none")
    assert (check.severity, is_running) == (Severity.OK, False)
    assert not (tmp_path / "none").exists()
    lease = Lease(tmp_path)
    lease.acquire("2025-10-02 09:25:00 ET")
    check, is_running = check_lease(tmp_path)
    assert (check.severity, is_running) == (Severity.WARNING, True)
    assert check.found == (
        f"lease: a copy is running on DATA_DIR (pid {os.getpid()}, started 2025-10-02 09:25:00 ET)"
    )
    lease.release()
    # The file stays; nobody holds it, and the preflight does not keep it either.
    for _ in range(2):
        assert check_lease(tmp_path)[0].line().strip() == "✓ lease: free, no copy runs on DATA_DIR"
    lease.acquire("2025-10-02T13:26:00Z")
    lease.release()
    (tmp_path / "lease").unlink()
    (tmp_path / "lease").mkdir()
    check, is_running = check_lease(tmp_path)
    assert (check.severity, is_running) == (Severity.FAIL, False)
    assert check.found == f"lease: cannot be taken ({os.strerror(errno.EISDIR)})"
