"""The whole worker on what earlier starts, and others, have left in its folder."""
# ruff: noqa: ASYNC240 - a test looks at its few small files at once

from __future__ import annotations

import asyncio
import functools
import gzip
import os
import random
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from config import Settings
from engine import Engine
from events import SECOND, Closed, ExitReason, Opened, Tick
from record.disk import DiskFile
from record.folder import record_path, records
from record.journal import Journal
from record.lease import Lease
from record.lines import Entry, Header
from record.reader import Reader, read
from review import verify
from rules import Rules
from sim.demo import SEED
from tests import made_day
from tests.record.test_folder import hashes
from tests.stage import KEY, TOKEN, USER, Stage, clocks, session, stage, threads
from utils import session_at
from worker.ending import EXIT_CONFIG, EXIT_CRASHED, EXIT_LEASE, EXIT_OK
from worker.worker import Worker

pytestmark = pytest.mark.virtual_time

DATE = "2025-10-02"
KILLED_S = 2_260
"""When the made start is killed, seconds after the open: a minute after its BUY."""

AFTER_S = KILLED_S + 4.0


@functools.cache
def bought(**rules: Any) -> bytes:
    """The record of a start that has told a BUY, and was killed while its position was open."""
    with tempfile.TemporaryDirectory() as folder:
        made = made_day.Made(Path(folder) / "record.jsonl")
        made.start(session().open + made_day.BEGIN_S * SECOND, Rules(**rules), session())
        made.go(0, made_day.BEGIN_S, KILLED_S)
        made.journal.close()
        assert made.engine is not None
        assert made.engine.position is not None
        return made.path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the session's record is, with a position open."""
    made = record_path(tmp_path / "data", DATE)
    made.parent.mkdir(parents=True)
    made.write_bytes(bought())
    return made


def settings(folder: Path, **changes: Any) -> Settings:
    """Settings that lead nowhere: for starts that end before they ask anybody."""
    values: dict[str, Any] = {
        "polygon_api_key": SecretStr(KEY),
        "pushover_token": SecretStr(TOKEN),
        "pushover_user_key": SecretStr(USER),
        "polygon_rest_url": "http://127.0.0.1:9",
        "polygon_ws_url": "ws://127.0.0.1:9",
        "pushover_url": "http://127.0.0.1:9",
        "data_dir": folder / "data",
        "daily_summary": False,
    }
    return Settings(**{**values, **changes})


async def ended(folder: Path, start_s: float = AFTER_S, **changes: Any) -> tuple[int, str]:
    """The exit status of a start that comes to its end by itself, and the last thing it says of why."""
    clock, _ = clocks(session().open + round(start_s * SECOND), 1.0)
    worker = Worker(
        settings(folder, **changes), clock=clock, random_source=random.Random(SEED), threads=threads()
    )
    with capture_logs() as logs:
        async with asyncio.timeout(20):
            status = await worker.run()
    return status, [line["text"] for line in logs if line["log_level"] == "critical"][-1]


async def watched_again(play: Stage) -> None:
    await play.until(lambda: play.titles("watching again"), 60, "watching again")


# --- What is beside the record -----------------------------------------------------------------------


async def test_copies_and_a_later_days_record_beside_todays_change_nothing(
    tmp_path: Path, path: Path
) -> None:
    for name in (
        "2025-10-02-before.jsonl",
        "2025-10-02 (1).jsonl",
        "2025-10-02.jsonl.bak",
        "2025-10-03.jsonl.part",
    ):
        shutil.copy(path, path.with_name(name))
    shutil.copy(path, path.with_name("2025-10-06.jsonl"))
    later = path.with_name("2025-10-03.jsonl")
    later.write_bytes(path.read_bytes()[:-10])
    os.mkfifo(path.with_name("2025-10-01.jsonl"))
    path.with_name("2025-09-30.jsonl").symlink_to("2025-10-02 (1).jsonl")
    path.with_name("2025-09-29.jsonl").mkdir()
    before, whole = hashes(path.parent), path.read_bytes()
    with capture_logs() as logs:
        async with stage(tmp_path, start_s=AFTER_S, keep_sessions=1) as play:
            await watched_again(play)
            assert await play.stop() == EXIT_OK
    (line,) = [line["text"] for line in logs if line["event"] == "files_left_alone"]
    assert "2025-10-02-before.jsonl (not named as a record)" in line
    assert "2025-10-03.jsonl (holds the session of 2025-10-02)" in line
    assert path.read_bytes().startswith(whole)
    assert len(path.read_bytes()) > len(whole)
    after = hashes(path.parent)
    assert {**after, path.name: ""} == {**before, path.name: ""}


async def test_keep_sessions_1_and_a_foreign_file_leave_todays_record(tmp_path: Path, path: Path) -> None:
    path.with_name("zz-mine.jsonl").write_bytes(b"mine")
    path.with_name("2025-10-09.jsonl").write_bytes(b"mine")
    async with stage(tmp_path, start_s=AFTER_S, keep_sessions=1) as play:
        await watched_again(play)
        await play.stop()
    assert path.read_bytes().startswith(bought())
    assert path.with_name("zz-mine.jsonl").read_bytes() == b"mine"
    assert path.with_name("2025-10-09.jsonl").read_bytes() == b"mine"


def crlf(text: bytes) -> bytes:
    """As an editor of another system writes it."""
    return text.replace(b"\n", b"\r\n")


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "line ends": crlf,
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "first line gone": lambda text: text.partition(b"\n")[2],
    "a flipped bit": lambda text: text[:50_000] + bytes([text[50_000] ^ 1]) + text[50_001:],
    "two torn lines": lambda text: text + b"[175\n[175",
    "garbage behind": lambda text: text + b"garbage\n",
    "garbage alone": lambda _: b"garbage",
    "another day": lambda text: text.replace(b'"date":"2025-10-02"', b'"date":"2025-10-03"', 1),
    "zeros in the middle": lambda text: text[:50_000] + bytes(4096) + text[54_096:],
    "another schema": lambda text: text.replace(b'"schema":1', b'"schema":9', 1),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_a_damaged_record_ends_every_start_and_is_never_written(
    tmp_path: Path, path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path.write_bytes(damage(bought()))
    before = hashes(path.parent)
    for _ in range(2):
        status, said = await ended(tmp_path)
        assert status == EXIT_CRASHED
        assert str(path) in said
        assert "move the file out of the folder" in said
        assert hashes(path.parent) == before


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkdir, "a folder"),
        (os.mkfifo, "not an ordinary file"),
        (lambda place: os.symlink("/dev/zero", place), "a link"),
    ],
)
async def test_something_else_in_the_records_place_ends_the_start(
    tmp_path: Path, path: Path, make: Callable[[Path], None], words: str
) -> None:
    path.unlink()
    make(path)
    status, said = await ended(tmp_path)
    assert status == EXIT_CRASHED
    assert f"{path}, line 1: {words}" in said


async def test_the_newest_record_that_cannot_be_read_ends_the_start(tmp_path: Path, path: Path) -> None:
    """Of the day before; but not when today's has been begun since."""
    yesterday = path.with_name("2025-10-01.jsonl")
    yesterday.write_bytes(b"hello\n")
    async with stage(tmp_path, start_s=AFTER_S) as play:
        await watched_again(play)
        await play.stop()
        assert yesterday.read_bytes() == b"hello\n"
        yesterday.unlink()
    path.unlink()
    yesterday.write_bytes(b"hello\n")
    status, said = await ended(tmp_path)
    assert status == EXIT_CRASHED
    assert str(yesterday) in said
    assert yesterday.read_bytes() == b"hello\n"


async def test_a_record_that_was_packed_by_hand_is_gone_on_with(tmp_path: Path, path: Path) -> None:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(bought()))
    path.unlink()
    async with stage(tmp_path, start_s=AFTER_S) as play:
        await watched_again(play)
        await play.stop()
    assert path.read_bytes().startswith(bought())
    assert gzip.decompress(packed.read_bytes()) == bought()


@pytest.mark.parametrize("is_packed", [False, True])
async def test_a_position_of_a_session_that_is_over_is_closed_at_once_whatever_the_symbol(
    tmp_path: Path, path: Path, is_packed: bool
) -> None:
    """The next morning, before the open, under another SYMBOL."""
    if is_packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(bought()))
        path.unlink()
    async with stage(tmp_path, start_s=86_400 - 3_600, symbol="QQQ", daily_summary=False) as play:
        await play.until(lambda: play.titles("SELL"), 60, "SELL")
        (title,) = play.titles("SELL")
        assert title.startswith("🚪 IWM 0DTE CALL")
        await play.stop()
    (closed,) = decisions(path, Closed)
    assert closed.reason is ExitReason.TIME_STOP
    assert closed.late > 0


@pytest.mark.parametrize("days", [1, 56, 800])
def test_a_record_that_is_settled_after_a_long_pause_verifies(path: Path, days: int) -> None:
    made = made_day.Made(path)
    now = session().open + days * 86_400 * SECOND
    made.start(now, Rules(), session())
    made.tell(now, Tick())
    made.journal.close()
    assert [type(one) for one in made.decisions].count(Closed) == 1
    assert "2 starts" in verify.check(path)


async def test_a_sell_that_was_owed_when_the_next_session_began_is_told_after_a_crash(
    tmp_path: Path, path: Path
) -> None:
    """The position was found a few minutes before the open, when nobody took pushes; then today's record was begun."""
    now = session().open + 86_400 * SECOND - 60 * SECOND
    past = Reader(path)
    engine = Engine(Rules(), session())
    for line in past:
        if isinstance(line, Entry):
            engine.restore(line.now, line.event, line.decisions)
    record = Journal(path)
    record.begin(Rules(), session(), now, past)
    made = engine.handle(now, Tick())
    assert [type(one) for one in made].count(Closed) == 1
    record.append(now, Tick(), made)
    record.close()
    today = session_at(now)
    own = Journal(record_path(tmp_path / "data", today.date))
    own.begin(Rules(), today, now + SECOND)
    own.close()
    async with stage(tmp_path, start_s=86_400 - 30) as play:
        await play.until(lambda: play.titles("SELL"), 60, "SELL")
        (push,) = [message for message in play.pushover.messages if "SELL" in message.title]
        assert "Repeat of #" in push.text
        await play.stop()
    async with stage(tmp_path, start_s=86_400 - 5) as play:
        await play.until(lambda: play.worker.live is not None, 60, "begun")
        await play.wait(20)
        await play.stop()
        assert not play.titles("SELL"), "its outcome stands in today's record"


def decisions(path: Path, kind: type) -> list[Any]:
    """The decisions of a kind in a day's record, packed or not."""
    (found,) = [place for place in records(path.parent.parent) if place.name.startswith(path.stem)]
    return [one for entry in read(found).entries for one in entry.decisions if isinstance(one, kind)]


# --- Other rules, another symbol ---------------------------------------------------------------------


async def test_another_symbol_with_a_position_open_ends_with_status_2(tmp_path: Path, path: Path) -> None:
    before = hashes(path.parent)
    status, said = await ended(tmp_path, symbol="QQQ")
    assert status == EXIT_CONFIG
    assert re.search(
        r"SYMBOL: got QQQ, .* opened under IWM and is open until 15:55 ET: set SYMBOL=IWM", said
    ), said
    assert hashes(path.parent) == before


async def test_other_rules_hold_once_the_position_of_the_old_ones_is_closed(
    tmp_path: Path, path: Path
) -> None:
    old = Rules(no_entry_after="10:08", hard_time_stop="10:09", stop_loss_percent=90.0)
    path.write_bytes(bought(no_entry_after="10:08", hard_time_stop="10:09", stop_loss_percent=90.0))
    with capture_logs() as logs:
        async with stage(tmp_path, start_s=AFTER_S, hard_time_stop="15:50") as play:
            await watched_again(play)
            new = play.worker.settings.rules
            (text,) = [
                message.text for message in play.pushover.messages if "watching again" in message.title
            ]
            assert "It keeps the rules it was opened under" in text
            assert "HARD_TIME_STOP 10:09 → 15:50" in text
            await play.until(lambda: play.titles("SELL"), 120, "SELL")
            await play.until(lambda: len(headers(path)) == 3, 60, "begun once more")
            assert [header.rules_hash for header in headers(path)] == [
                old.digest(),
                old.digest(),
                new.digest(),
            ]
            await play.until(
                lambda: play.worker.engine and not play.worker.engine.feed.is_blind, 60, "sees again"
            )
            await play.stop()
            assert len(play.titles("SELL")) == 1, "told once, and by one of the two"
    said = [line["event"] for line in logs]
    assert said.count("rules_kept") == said.count("rules_changed") == 1
    (closed,) = decisions(path, Closed)
    assert closed.reason is ExitReason.TIME_STOP


def headers(path: Path) -> list[Header]:
    return [line for line in read(path).lines if isinstance(line, Header)]


async def test_other_rules_without_a_position_hold_at_once(tmp_path: Path, path: Path) -> None:
    path.write_bytes(without_position())
    async with stage(tmp_path, start_s=AFTER_S, stop_loss_percent=20.0) as play:
        await play.until(lambda: len(headers(path)) == 2, 60, "begun")
        assert headers(path)[-1].rules_hash == play.worker.settings.rules.digest()
        assert headers(path)[-1].simulated  # its vendor is on this machine
        await play.wait(10)
        await play.stop()


async def test_another_symbol_without_a_position_learns_nothing_of_the_first(
    tmp_path: Path, path: Path
) -> None:
    path.write_bytes(without_position())
    async with stage(tmp_path, start_s=AFTER_S, symbol="SPY", benchmark="") as play:
        await play.until(
            lambda: (
                (engine := play.worker.engine) is not None
                and engine.evaluations
                and engine.signals.price is not None
            ),
            60,
            "seen",
        )
        engine = play.worker.engine
        assert engine is not None
        assert engine.rules.symbol == "SPY"
        assert engine.signals.price is not None
        assert engine.signals.price > 400, "not IWM's"
        await play.stop()


@functools.cache
def without_position() -> bytes:
    """The record of a start that was killed before there was a BUY."""
    with tempfile.TemporaryDirectory() as folder:
        made = made_day.Made(Path(folder) / "record.jsonl")
        made.start(session().open + made_day.BEGIN_S * SECOND, Rules(), session())
        made.go(0, made_day.BEGIN_S, made_day.BEGIN_S + 20)
        made.journal.close()
        assert not [one for one in made.decisions if isinstance(one, Opened)]
        return made.path.read_bytes()


# --- While it runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["folder removed", "folder renamed", "file removed", "file renamed"])
async def test_a_record_that_loses_its_name_is_written_anew(tmp_path: Path, path: Path, how: str) -> None:
    with capture_logs() as logs:
        async with stage(tmp_path, start_s=AFTER_S) as play:
            await watched_again(play)
            match how:
                case "folder removed":
                    shutil.rmtree(path.parent)
                case "folder renamed":
                    path.parent.rename(path.parent.with_name("elsewhere"))
                case "file removed":
                    path.unlink()
                case _:
                    path.rename(path.with_name("elsewhere.jsonl"))
            await play.until(path.exists, 130, "written anew")
            await play.wait(20)
            assert await play.stop() == EXIT_OK
    assert path.read_bytes().startswith(bought())
    (line,) = [line for line in logs if line["event"] == "record_written_anew"]
    assert line["path"] == str(path)
    assert not [line for line in logs if line["event"] in ("record_off", "record_incomplete")]


async def test_a_file_that_stands_in_the_records_place_is_not_written_over(
    tmp_path: Path, path: Path
) -> None:
    async with stage(tmp_path, start_s=AFTER_S) as play:
        await watched_again(play)
        aside = path.with_name("aside")
        path.rename(aside)
        path.write_bytes(b"mine")
        await play.until(lambda: play.titles("record off"), 130, "record off")
        engine = play.worker.engine
        assert engine is not None
        await play.until(lambda: engine.holds, 10, "held")
        assert path.read_bytes() == b"mine"
        path.unlink()
        await play.until(lambda: play.titles("record on"), 130, "record on")
        assert path.read_bytes().startswith(aside.read_bytes())
        await play.stop()


async def test_a_record_that_somebody_else_writes_into_is_left_to_him(tmp_path: Path, path: Path) -> None:
    async with stage(tmp_path, start_s=AFTER_S) as play:
        await watched_again(play)
        with path.open("ab") as file:
            file.write(b"mine")
        size = path.stat().st_size
        await play.until(lambda: play.titles("record off"), 130, "record off")
        await play.wait(70)
        assert path.stat().st_size == size
        assert path.read_bytes().endswith(b"mine")
        await play.stop()
        path.unlink()


async def test_a_lease_that_was_removed_is_taken_again_and_a_second_copy_ends(
    tmp_path: Path, path: Path
) -> None:
    lease = tmp_path / "data" / "lease"
    async with stage(tmp_path, start_s=AFTER_S) as play:
        await watched_again(play)
        lease.unlink()
        status, said = await ended(tmp_path)  # before it is noticed: the record itself is locked
        assert status == EXIT_LEASE
        assert "Another copy is running" in said
        await play.wait(70)
        await play.until(lease.exists, 70, "taken again")
        status, said = await ended(tmp_path)
        assert status == EXIT_LEASE
        assert f"pid {os.getpid()}" in said
        assert not play.running.done()
        await play.stop()


async def test_a_lease_that_another_copy_has_taken_ends_the_one_that_has_no_session(tmp_path: Path) -> None:
    async with stage(tmp_path, start_s=86_400 - 3_600) as play:
        lease = tmp_path / "data" / "lease"
        await play.until(lease.exists, 30, "taken")
        lease.unlink()
        other = Lease(tmp_path / "data")
        other.acquire("then")
        async with asyncio.timeout(300):
            assert await asyncio.shield(play.running) == EXIT_LEASE
        other.release()


class Silent(DiskFile):
    """A file on a disk that takes what is written and never says that it is there."""

    answers = threading.Event()

    def sync(self) -> None:
        self.answers.wait(120)
        super().sync()


@pytest.mark.real_time
async def test_a_stop_does_not_wait_for_a_disk_that_does_not_answer(tmp_path: Path, path: Path) -> None:
    with capture_logs() as logs:
        async with stage(tmp_path, start_s=AFTER_S, opener=Silent) as play:
            await watched_again(play)
            began = time.monotonic()
            assert await play.stop() == EXIT_OK
            assert time.monotonic() - began < 15
            assert play.titles("SELL")
            Silent.answers.set()
    assert "record_unsynced" in [line["event"] for line in logs]
    assert len(decisions(path, Closed)) == 1
