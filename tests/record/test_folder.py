"""The folder: which file is a record, and packing and removing no other."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import main
from record.disk import part_of
from record.folder import Kind, left_alone, look_at, look_through, pack, record_path, records, tidy, unpack
from record.journal import Journal
from record.reader import Blocks, Reader, read
from tests.builders import SESSION, at
from tests.made_record import RULES, written
from tests.measured import measured
from tests.system_calls import system_calls

ROOT = Path(main.__file__).parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return record_path(tmp_path, "2025-10-02")


def test_a_packed_record_reads_the_same_and_replaces_the_other(path: Path) -> None:
    lines = read(written(path)).lines
    packed = pack(path)
    assert not path.exists()
    assert stat.S_IMODE(packed.stat().st_mode) == 0o600
    assert read(packed).lines == lines
    assert records(path.parent.parent) == [packed]


def test_a_packed_record_and_its_name_are_on_the_disk_before_the_other_is_removed(path: Path) -> None:
    written(path)
    with system_calls("fsync", "link", "unlink") as calls:
        pack(path)
    # The file, its name, and the folder; at the end, after the unfinished file's name, goes the unpacked record.
    assert calls == ["fsync", "link", "unlink", "fsync", "unlink", "unlink"]


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
    """After the packed one had got its name, and before the other was removed; then it was gone on with."""
    written(path)
    whole = path.read_bytes()
    packed = pack(path)
    path.write_bytes(whole)
    past = Reader(path)
    list(past)
    again = Journal(path)
    again.begin(RULES, SESSION, at(100), past)
    again.close()
    tidy(path.parent.parent, keep=9, current="2025-10-03")
    assert len(read(packed).lines) == 14
    assert [found.name for found in path.parent.iterdir()] == [packed.name]


@pytest.mark.parametrize(
    "content", [b"", b"from somebody else", gzip.compress(b"", mtime=0), gzip.compress(b"[1]\n", mtime=0)]
)
def test_packing_writes_over_nothing(path: Path, content: bytes) -> None:
    written(path)
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(content)
    before = hashes(path.parent)
    with capture_logs() as logs:
        tidy(path.parent.parent, keep=9, current="2025-10-03")
    assert hashes(path.parent) == before
    (line,) = logs
    assert line["text"] == f"⚠️ Record {path.name} could not be packed: another file stands at {packed.name}"


@pytest.mark.parametrize("undo", [False, True])
def test_what_a_crash_has_left_of_a_packing_is_in_nobodys_way(path: Path, undo: bool) -> None:
    """In a container the process has the same number at every start."""
    whole = written(path).read_bytes()
    made = path.with_name(path.name + ".gz")
    if undo:
        made = path
        packed = pack(path)
    left = part_of(made)
    left.write_bytes(b"half")
    assert (unpack(packed) if undo else pack(path)) == made
    assert left.read_bytes() == b"half"
    assert b"".join(line for block in Blocks(made) for line in block) == whole


FULL = """
import sys
from pathlib import Path
from record.folder import pack, unpack
path = Path(sys.argv[1]) / "sessions" / "2025-10-02.jsonl"
action = {"pack": pack, "unpack": unpack}[sys.argv[2]]
with open(Path(sys.argv[1]) / "ballast", "wb", buffering=0) as ballast:
    try:
        while ballast.write(bytes(4096)):
            pass
    except OSError:
        pass
before = sorted(found.name for found in path.parent.iterdir())
try:
    action(path.with_name(path.name + ".gz") if sys.argv[2] == "unpack" else path)
except OSError as error:
    print(error.strerror, Path(error.filename).name, sorted(found.name for found in path.parent.iterdir()) == before)
"""


@pytest.mark.parametrize(("what", "name"), [("pack", "2025-10-02.jsonl.gz"), ("unpack", "2025-10-02.jsonl")])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, path: Path, what: str, name: str) -> None:
    """The fault names the file that could not be written: nothing else says where it was."""
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path}"
    probe = [unshare or "unshare", "-rm", "sh", "-c", mount]
    if unshare is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs unshare -rm and tmpfs")
    kept = tmp_path.with_name(f"{tmp_path.name}-kept")
    shutil.copytree((pack(written(path)) if what == "unpack" else written(path)).parent, kept)
    copy = f"mkdir {tmp_path}/sessions && cp {kept}/* {tmp_path}/sessions"
    done = subprocess.run(
        [
            unshare,
            "-rm",
            "sh",
            "-c",
            f'{mount} && {copy} && exec "{sys.executable}" -c "$SCRIPT" {tmp_path} {what}',
        ],
        cwd=ROOT,
        env={**os.environ, **measured(), "SCRIPT": FULL},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"No space left on device {name} True\n", done.stderr


def test_an_empty_folder_has_no_records(tmp_path: Path) -> None:
    assert records(tmp_path) == []
    tidy(tmp_path, keep=1, current="2025-10-02")


def test_only_whole_records_of_days_before_are_packed_or_removed(tmp_path: Path) -> None:
    """What was not written whole by the program is left as it is: torn, damaged, empty, or not read."""
    day = iter(f"2025-09-{number:02}" for number in range(10, 30))
    good = written(record_path(tmp_path, next(day)))
    torn, damaged, empty = (record_path(tmp_path, next(day)) for _ in range(3))
    torn.write_bytes(written(torn).read_bytes()[:-3])
    damaged.write_bytes(written(damaged).read_bytes().replace(b"215.01", b"215.02", 1))
    empty.touch()
    later = written(record_path(tmp_path, "2025-10-03"))
    today = written(record_path(tmp_path, "2025-10-02"))
    before = hashes(tmp_path)
    tidy(tmp_path, keep=1, current="2025-10-02")
    after = hashes(tmp_path)
    assert before.keys() - after.keys() == {good.name}
    assert {torn.name, damaged.name, empty.name, later.name, today.name} == after.keys()
    assert all(before[name] == after[name] for name in after)


# --- Which file is a record ---

FOREIGN_NAMES = (
    "2025-10-02-before.jsonl",
    "2025-10-02 (1).jsonl",
    "2025-10-02.jsonl.bak",
    "2025-10-02.jsonl~",
    ".2025-10-02.jsonl.swp",
    "#2025-10-02.jsonl#",
    "2025-10-02.JSONL",
    "2025-10-2.jsonl",
    "20251002.jsonl",
    "2025-13-41.jsonl",
    "2025-10-02.jsonl.gz.part",
    "2025-10-02.json",
    "copy of 2025-10-02.jsonl",
    "２025-10-02.jsonl",
    "notes.txt",
)


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_a_file_that_is_not_named_exactly_as_a_record_is_none(path: Path, name: str) -> None:
    other = path.with_name(name)
    other.parent.mkdir(parents=True)
    shutil.copy(written(path), other)
    assert records(path.parent.parent) == [path]
    assert left_alone(look_through(path.parent.parent), "2025-10-02") == [f"{name} (not named as a record)"]
    tidy(path.parent.parent, keep=1, current="2025-10-02")
    assert other.exists()


def test_a_name_is_shown_as_a_terminal_can_show_it(path: Path) -> None:
    path.parent.mkdir(parents=True)
    for name in (b"a\x1b[2Jb", b"\xff\xfe", "\u202eabc".encode(), b"two\nlines"):
        (path.parent / os.fsdecode(name)).touch()
    text = "\n".join(left_alone(look_through(path.parent.parent), "2025-10-02"))
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text.splitlines()) == 4
    assert text.encode()


def test_a_record_of_another_day_under_a_days_name_is_none(path: Path) -> None:
    other = written(path.with_name("2025-10-01.jsonl"), date="2025-09-30")
    written(path)
    assert records(path.parent.parent) == [path]
    line = f"{other.name} (holds the session of 2025-09-30)"
    assert left_alone(look_through(path.parent.parent), "2025-10-02") == [line]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkdir, "a folder"),
        (os.mkfifo, "not an ordinary file"),
        (lambda path: os.symlink("2025-10-02.jsonl", path), "a link"),
        (lambda path: os.symlink("nowhere", path), "a link"),
    ],
)
def test_what_is_no_ordinary_file_is_no_record(path: Path, make: Callable[[Path], None], words: str) -> None:
    written(path)
    other = path.with_name("2025-10-01.jsonl")
    make(other)
    assert records(path.parent.parent) == [path]
    assert left_alone(look_through(path.parent.parent), "2025-10-02") == [f"{other.name} ({words})"]
    tidy(path.parent.parent, keep=1, current="2025-10-02")
    assert other.is_symlink() or other.exists()


def test_a_damaged_record_is_still_found_by_its_name(path: Path) -> None:
    """Who asks for its day shall hear that it is damaged, not that there is none."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"hello\n")
    assert records(path.parent.parent) == [path]
    assert look_at(path).kind is Kind.DAMAGED


def test_keep_sessions_counts_records_alone(path: Path) -> None:
    for name in FOREIGN_NAMES:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(name).write_bytes(b"mine")
    written(path)
    tidy(path.parent.parent, keep=1, current="2025-10-02")
    tidy(path.parent.parent, keep=1, current="2025-10-03")
    assert records(path.parent.parent) == [path.with_name(path.name + ".gz")]
    assert all(path.with_name(name).read_bytes() == b"mine" for name in FOREIGN_NAMES)


def test_what_is_noted_beside_a_record_goes_with_it_and_no_other_neighbour(path: Path) -> None:
    written(path)
    neighbours = [
        path.with_name(f"2025-10-02.{end}") for end in ("jsonl.bak", "txt", "tried.json.old", "jsonl.sig")
    ]
    for neighbour in neighbours:
        neighbour.write_bytes(b"mine")
    path.with_name("2025-10-02.tried.json").write_bytes(b"{}")
    written(path.with_name("2025-10-03.jsonl"))
    tidy(path.parent.parent, keep=1, current="2025-10-03")
    assert sorted(found.name for found in path.parent.iterdir()) == sorted(
        ["2025-10-03.jsonl", *(neighbour.name for neighbour in neighbours)]
    )


def test_a_folder_that_cannot_be_looked_through_says_so(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        look_through(tmp_path)
    (tmp_path / "sessions").unlink()
    (tmp_path / "sessions").symlink_to(tmp_path)
    with pytest.raises(OSError, match="It is a link"):
        look_through(tmp_path)
    with pytest.raises(OSError, match="File name too long"):
        look_through(tmp_path / ("a" * 300))
    assert records(tmp_path) == []


def hashes(folder: Path) -> dict[str, str]:
    """The content of every file below a folder."""
    return {
        found.name: hashlib.sha256(found.read_bytes()).hexdigest()
        for found in folder.rglob("*")
        if found.is_file()
    }
