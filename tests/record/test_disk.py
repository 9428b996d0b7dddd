"""What a disk may refuse, under a record: each refusal is said, or stands in nobody's way, and leaves nothing half done."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from record.anew import written_anew
from record.disk import DiskFile, Taken, lock, publish
from record.folder import record_path
from record.tail import CHANGED, HeldBack, Tail
from tests.made_record import written
from tests.refusals import no_more_files, ordinary_user, users_folder
from tests.system_calls import system_calls


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(record_path(tmp_path, "2025-10-02"))


def test_what_is_no_ordinary_file_is_not_opened_as_a_record(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not an ordinary file"):
        DiskFile(tmp_path / "pipe", is_new=False)


def test_a_lock_that_fails_otherwise_than_by_another_holder_is_a_fault(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        lock(descriptor)


def test_a_new_record_is_put_on_the_disk_with_its_name_and_then_alone(tmp_path: Path) -> None:
    file = DiskFile(tmp_path / "2025-10-02.jsonl")
    for syncs in (["fsync", "fsync"], ["fsync"]):
        file.write(b"line\n")
        with system_calls("fsync") as calls:
            file.sync()
        assert calls == syncs
    file.close()


def descriptors(path: Path) -> int:
    """How often this process has a file open."""
    return sum(found.resolve() == path for found in Path("/proc/self/fd").iterdir())


def test_a_record_that_another_process_writes_leaves_nothing_open(path: Path) -> None:
    first = DiskFile(path, is_new=False)
    with pytest.raises(Taken):
        DiskFile(path, is_new=False)
    assert descriptors(path) == 1
    first.close()


def test_an_end_that_somebody_has_rewritten_is_not_gone_on_from(tmp_path: Path) -> None:
    """Of the same length: only what stands there tells."""
    tail = Tail(tmp_path / "2025-10-02.jsonl", DiskFile)
    tail.open()
    assert tail.file is not None
    held = HeldBack(1_000)
    held.add(b'{"type":"header"}')
    assert tail.write(tail.file, b"".join(held.lines)) is None
    assert tail.mend(tail.file, []) is None
    with tail.path.open("r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"-")
    assert tail.mend(tail.file, []) == CHANGED
    tail.file.close()


# --- A file that gets its name ---


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of another user, which only root can make")
def test_a_file_that_takes_no_second_name_is_renamed() -> None:
    """As on a disk without hard links: here the kernel refuses them to a user who owns the folder and not the file."""
    with users_folder() as folder:
        part, path = folder / "part", folder / "whole"
        part.write_bytes(b"all of it")
        part.chmod(0o600)
        with ordinary_user():
            publish(part, path)
        assert [found.name for found in folder.iterdir()] == ["whole"]
        assert path.read_bytes() == b"all of it"


def test_a_file_never_gets_a_name_that_is_taken(tmp_path: Path) -> None:
    part, path = tmp_path / "part", tmp_path / "whole"
    part.write_bytes(b"ours")
    path.write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        publish(part, path)
    assert (part.read_bytes(), path.read_bytes()) == (b"ours", b"theirs")


# --- A record that is written anew ---


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_record_written_anew_is_on_the_disk_before_it_has_its_name(path: Path, is_gone: bool) -> None:
    file = DiskFile(path, is_new=False)
    if is_gone:
        path.unlink()
    with system_calls("fsync", "link", "replace") as calls:
        new = written_anew(file, file.size(), path, DiskFile, None if is_gone else file.place())
    assert calls == ["fsync", "fsync", "link" if is_gone else "replace", "fsync"]
    new.close()
    file.close()


def test_a_record_whose_name_cannot_be_put_on_the_disk_is_kept_and_said(path: Path) -> None:
    with ExitStack() as limits:

        class OutOfFiles(DiskFile):
            """A file that is on the disk; after that nothing can be opened, not even its folder."""

            def sync(self) -> None:
                super().sync()
                limits.enter_context(no_more_files())

        file = DiskFile(path, is_new=False)
        content = path.read_bytes()
        path.unlink()
        with capture_logs() as logs:
            new = written_anew(file, len(content), path, OutOfFiles, None)
    assert [line["event"] for line in logs] == ["record_name_unsynced"]
    assert "Too many open files" in logs[0]["text"]
    assert new.place().size == len(content)
    new.close()
    file.close()
    assert path.read_bytes() == content


@pytest.mark.parametrize("what", ["cut while it is copied", "taken in part", "added to"])
def test_a_record_that_cannot_be_copied_whole_leaves_nothing_behind(path: Path, what: str) -> None:
    class Half(DiskFile):
        """A disk that takes half of what it is given."""

        def write(self, data: bytes) -> int:
            return super().write(data[: len(data) // 2])

    file = DiskFile(path, is_new=False)
    content = path.read_bytes()
    size, opener, ours, words = {
        "cut while it is copied": (len(content) + 1, DiskFile, None, "changed by another program"),
        "taken in part": (len(content), Half, None, "No space left"),
        "added to": (len(content) - 1, DiskFile, file.place(), "changed by another program"),
    }[what]
    with pytest.raises(OSError, match=words):
        written_anew(file, size, path, opener, ours)
    file.close()
    assert path.read_bytes() == content
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_an_end_that_cannot_be_looked_at_is_a_fault(path: Path) -> None:
    tail = Tail(path.with_name("2025-10-03.jsonl"), DiskFile)
    tail.open()
    assert tail.file is not None
    tail.file.close()
    assert tail.mend(tail.file, []) == "Bad file descriptor"
