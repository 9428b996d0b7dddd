"""Whatever lies in the folder: nothing that the program did not write whole is changed, and no position is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gzip
import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from engine import Engine
from events import AlertKind, AlertOutcome, Decision, Outcome, Tick
from record.folder import record_path, tidy
from record.journal import Journal
from record.lines import Entry
from record.past import at_start
from record.reader import Damage, Reader, read
from rules import Rules
from tests.builders import SESSION, at
from tests.disk import Disk
from tests.test_risk_manager import closed, opened

TODAY = "2025-10-02"
DATES = ("2025-09-29", "2025-09-30", "2025-10-01", TODAY, "2025-10-03")


@functools.cache
def content(date: str, left: str) -> bytes:
    """A record of a date whose position is ``left`` open, or closed, or that has none."""
    with tempfile.TemporaryDirectory() as folder:
        record = Journal(Path(folder) / "record.jsonl")
        record.begin(Rules(), replace(SESSION, date=date), at(0))
        made: dict[str, list[Decision]] = {"open": [opened()], "closed": [opened(), closed()], "flat": []}
        decisions = made[left]
        for number, decision in enumerate((None, *decisions, None)):
            record.append(at(number), Tick(), [] if decision is None else [decision])
        record.close()
        return record.path.read_bytes()


CHANGES: dict[str, Callable[[bytes, int], bytes]] = {
    "whole": lambda text, _: text,
    "cut": lambda text, where: text[: where % len(text)],
    "flipped": lambda text, where: bytes(
        byte ^ (index == where % len(text)) for index, byte in enumerate(text)
    ),
    "line ends": lambda text, _: text.replace(b"\n", b"\r\n"),
    "mark": lambda text, _: b"\xef\xbb\xbf" + text,
    "zeros": lambda text, where: text + bytes(where % 5000),
    "torn": lambda text, _: text + b"[1759",
    "twice": lambda text, _: text + text,
    "garbage": lambda text, where: bytes(where % 251 for _ in range(where % 999)),
    "lines": lambda text, where: b"".join(text.splitlines(keepends=True)[where % 3 :]),
}

NAMES = (
    "{}.jsonl",
    "{}.jsonl.gz",
    "{}-before.jsonl",
    "{} (1).jsonl",
    "{}.jsonl.bak",
    "{}.jsonl~",
    "{}.tried.json",
    "{}.jsonl.gz.part",
    "copy.jsonl",
)

FILES = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(DATES),  # in its name
        st.sampled_from(DATES),  # in its header
        st.sampled_from(("open", "closed", "flat")),
        st.sampled_from(sorted(CHANGES)),
        st.integers(0, 100_000),
        st.sampled_from(("file", "file", "file", "packed", "folder", "fifo", "link")),
    ),
    max_size=6,
)


def lay(folder: Path, files: list[tuple[str, str, str, str, str, int, str]]) -> None:
    """Put files into a folder; of two of one name, the first."""
    for name, date, dated, left, change, where, kind in files:
        path = folder / name.format(date)
        if os.path.lexists(path):
            continue
        text = CHANGES[change](content(dated, left), where)
        match kind:
            case "folder":
                path.mkdir()
            case "fifo":
                os.mkfifo(path)
            case "link":
                path.symlink_to(f"{DATES[where % len(DATES)]}.jsonl")
            case "packed":
                path.write_bytes(gzip.compress(text, mtime=0))
            case _:
                path.write_bytes(text)


def seen(folder: Path) -> dict[str, str]:
    """What is in a folder: the kind of each, and its content."""
    found: dict[str, str] = {}
    for path in folder.iterdir():
        mode = path.lstat().st_mode
        is_file = path.is_file() and not path.is_symlink()
        found[path.name] = f"{mode} {hashlib.sha256(path.read_bytes()).hexdigest() if is_file else ''}"
    return found


def is_whole(path: Path) -> bool:
    """Whether a file is what the program writes whole: a record of the date in its name, to the last byte."""
    try:
        record = read(path)
    except (Damage, OSError):
        return False
    return (
        bool(record.lines) and not record.torn and path.name.startswith(f"{record.header.session.date}.jsonl")
    )


def is_open(path: Path) -> bool:
    """Whether the good lines of a record leave a position open."""
    engine = Engine(Rules(), SESSION)
    for line in Reader(path):
        if isinstance(line, Entry):
            engine.book.evolve(line.now, line.decisions[0], 0) if line.decisions else None
    return engine.position is not None


@given(files=FILES, keep=st.integers(1, 4))
@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_start_changes_nothing_that_is_not_its_own_and_forgets_no_position(
    files: list[tuple[str, str, str, str, str, int, str]], keep: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        folder = data / "sessions"
        folder.mkdir()
        lay(folder, files)
        own, before = record_path(data, TODAY), seen(folder)
        whole = {name for name in before if is_whole(folder / name)}
        try:
            with capture_logs():
                found = at_start(data, TODAY)
        except Damage as damage:
            assert str(folder) in str(damage)
            assert seen(folder) == before
            return
        for left in (found.own, *found.unsettled):
            if left is not None and left.header is not None:
                goes_on(left.path, left.open is not None)
        if found.own is None:
            assert not own.exists(), "what stands in the record's place is gone on with, or ends the start"
        with capture_logs():
            tidy(data, keep, TODAY)
        after = seen(folder)
        for name, was in before.items():
            if name in whole or name == own.name or folder / name in {left.path for left in found.unsettled}:
                continue
            if name.endswith(".tried.json") and name.removesuffix(".tried.json") + ".jsonl" in whole:
                continue
            assert after.get(name) == was, name
        assert own.name not in before or own.name in after, "tidying never touches the session's own record"


def goes_on(path: Path, has_position: bool) -> None:
    """What a start does with a record that it goes on with: what was good in it stays."""
    past = Reader(path)
    try:
        lines = list(past)
    except Damage:
        return  # the start ends
    good = path.read_bytes()[: past.size]
    assert is_open(path) is has_position
    journal = Journal(path)
    journal.begin(Rules(), lines[0].session if not isinstance(lines[0], Entry) else SESSION, at(100), past)
    assert not journal.is_off
    journal.close()
    assert path.read_bytes().startswith(good)
    assert len(read(path).lines) == len(lines) + 1


@pytest.mark.parametrize("left", ["open", "closed", "flat"])
@pytest.mark.parametrize("date", DATES)
def test_a_position_that_is_open_in_any_days_record_is_found(tmp_path: Path, date: str, left: str) -> None:
    (tmp_path / "sessions").mkdir()
    record_path(tmp_path, date).write_bytes(content(date, left))
    found = at_start(tmp_path, TODAY)
    known = {item.path.name: item.open for item in (found.own, *found.unsettled) if item is not None}
    if date > TODAY:
        assert known == {}
    else:
        assert known == {f"{date}.jsonl": opened() if left == "open" else None}


@pytest.mark.parametrize("left", ["flat", "closed"])
def test_of_two_records_of_a_day_the_open_position_of_neither_is_forgotten(tmp_path: Path, left: str) -> None:
    """The packed one is no beginning of the other: which of them is the session's is not for the program to say."""
    path = record_path(tmp_path, TODAY)
    packed = path.with_name(path.name + ".gz")
    path.parent.mkdir()
    path.write_bytes(content(TODAY, "flat"))
    packed.write_bytes(gzip.compress(content(TODAY, "open"), mtime=0))
    before = seen(path.parent)
    with pytest.raises(
        Damage, match=rf"{packed.name}, line 1: it leaves position #7f3a91 open, and {path.name}"
    ):
        at_start(tmp_path, TODAY)
    assert seen(path.parent) == before
    packed.write_bytes(gzip.compress(content(TODAY, left), mtime=0))
    found = at_start(tmp_path, TODAY)
    assert found.own is not None
    assert found.own.path == path


def test_a_record_that_was_unpacked_and_went_on_to_its_sell_is_gone_on_with(tmp_path: Path) -> None:
    path = record_path(tmp_path, TODAY)
    path.parent.mkdir()
    whole = content(TODAY, "closed")
    path.write_bytes(whole)
    opens = whole.index(b"\n", whole.index(b'"type":"opened"')) + 1
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(whole[:opens], mtime=0))
    found = at_start(tmp_path, TODAY)
    assert found.own is not None
    assert found.own.open is None


def test_a_position_in_a_later_days_record_is_said_to_be_watched_by_nobody(tmp_path: Path) -> None:
    path = record_path(tmp_path, "2025-10-06")
    path.parent.mkdir()
    for left, count in (("open", 1), ("closed", 0), ("flat", 0)):
        path.write_bytes(content("2025-10-06", left))
        with capture_logs() as logs:
            assert at_start(tmp_path, TODAY) == (None, [])
        said = [line["text"] for line in logs if line["event"] == "later_position"]
        assert len(said) == count
        assert all("2025-10-06.jsonl leaves position #7f3a91" in text for text in said)


@pytest.mark.parametrize(
    ("theirs", "ours", "is_owed"),
    [([], [], True), (["7f3a91"], [], False), ([], ["7f3a91"], False), ([], ["other"], True)],
)
def test_a_sell_of_an_older_day_of_which_nothing_is_known_is_owed_though_todays_record_has_begun(
    tmp_path: Path, theirs: list[str], ours: list[str], is_owed: bool
) -> None:
    """Its outcome may stand in today's record: it came when that one was written."""
    (tmp_path / "sessions").mkdir()
    for date, left, told in (("2025-10-01", "closed", theirs), (TODAY, "flat", ours)):
        path = record_path(tmp_path, date)
        path.write_bytes(content(date, left))
        past = Reader(path)
        list(past)
        record = Journal(path)
        record.begin(Rules(), replace(SESSION, date=date), at(100), past)
        for id in told:
            outcome = AlertOutcome(kind=AlertKind.SELL, id=id, outcome=Outcome.ACCEPTED, attempts=1)
            record.append(at(101), outcome, [])
        record.close()
    assert [left.path.name for left in at_start(tmp_path, TODAY).unsettled] == ["2025-10-01.jsonl"] * is_owed


def test_a_position_goes_on_under_the_header_of_its_entry(tmp_path: Path) -> None:
    """Version 1.0.0 began a record anew under another SYMBOL while a position was open."""
    path = record_path(tmp_path, TODAY)
    path.parent.mkdir()
    path.write_bytes(content(TODAY, "open"))
    past = Reader(path)
    list(past)
    record = Journal(path)
    record.begin(Rules(symbol="QQQ"), SESSION, at(100), past)
    record.close()
    found = at_start(tmp_path, TODAY).own
    assert found is not None
    assert found.header is not None
    assert found.header.rules["symbol"] == "IWM"


# --- While it is written -----------------------------------------------------------------------------


def meddle(source: random.Random, path: Path, theirs: dict[Path, bytes], number: int) -> None:
    """Do one thing that others may do to a record; ``theirs`` keeps what must stay as it is, ``number`` names files."""
    match source.choice(
        ["append", "remove", "rename", "replace", "folder", "move away", "nothing", "put right"]
    ):
        case "append" if path.is_file():
            with path.open("ab") as file:
                file.write(b"theirs")
            theirs[path] = path.read_bytes()
        case "remove":
            path.unlink(missing_ok=True)
            theirs.pop(path, None)
        case "rename" if path.is_file():
            aside = path.with_name(f"aside-{number}")
            path.rename(aside)
            theirs[aside] = aside.read_bytes()
            theirs.pop(path, None)
        case "replace" if not path.exists() and path.parent.is_dir():
            path.write_bytes(b"theirs")
            theirs[path] = b"theirs"
        case "folder":
            while path.parent.exists():  # the disk's thread may remove a part of its own meanwhile
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(path.parent)
            theirs.clear()
        case "move away":
            path.parent.rename(path.parent.with_name(f"sessions-{number}"))
            theirs.clear()
        case "put right" if path in theirs and theirs[path].endswith(b"]theirs"):
            path.write_bytes(theirs.pop(path).removesuffix(b"theirs"))
        case _:
            pass


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_done_to_a_record_that_is_written_nothing_of_others_is_lost(
    tmp_path: Path, seed: int
) -> None:
    """A file that others have written or changed is never cut or written over; all that is not off is on the disk."""
    source = random.Random(seed)
    path, disk = record_path(tmp_path, TODAY), Disk()
    journal = Journal(path, disk)
    journal.begin(Rules(), SESSION, at(0))
    facts, theirs = 0, dict[Path, bytes]()

    for step in range(60):
        for _ in range(source.randrange(4)):
            facts += 1
            journal.append(at(facts), Tick(), [])
        disk.fault = errno.ENOSPC if source.random() < 0.1 else 0
        if path.parent.is_dir() and source.random() < 0.3:
            meddle(source, path, theirs, facts)
        if source.random() < 0.5:
            journal.look()
            await journal.sync()
            await asyncio.sleep(0.002)
        for place, text in theirs.items():
            # Its own file is written on under another name until that is noticed.
            assert place.read_bytes().startswith(text), (seed, step, place.name)
            assert not text.endswith(b"theirs") or place.read_bytes() == text, (seed, step, place.name)
    disk.fault = 0
    for place in (path, *theirs):
        place.unlink(missing_ok=True)  # nothing stands in the way any more
    async with asyncio.timeout(10):
        while not path.is_file() or journal.is_off:
            journal.look()
            await asyncio.sleep(0.005)
    assert await journal.sync()
    closing = journal.close()
    if closing is not None:
        await closing
    assert [entry.number for entry in read(path).entries] == list(range(1, facts + 1))
