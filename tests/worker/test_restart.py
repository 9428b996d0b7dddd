"""Nothing is forgotten: the worker is killed at any moment, started again, and goes on as if nothing had been."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import main
from engine import Engine
from events import SECOND, AlertKind, AlertOutcome, Closed, Opened, Outcome, Withdrawn
from record.folder import record_path, records
from record.lines import Header
from record.reader import Record, read
from review import verify
from rules import Rules
from sim.demo import SEED, START_S
from sim.pushover import LoopbackPushover, Message
from sim.server import LoopbackMarket
from tests.stage import BEGIN_S, KEY, SPEED, TOKEN, USER, market, session
from tests.worker.process import READY
from utils import ScaledClock
from worker.ending import EXIT_CRASHED, EXIT_LEASE
from worker.watchdog import WATCHDOG_REAL_S

ROOT = Path(main.__file__).parent

KILLS = int(os.environ.get("RESTART_KILLS", "2"))
"""Random moments at which the worker is killed; by hand, 200."""

START_REAL_S = 15.0
"""Real seconds that a worker is given to start and to say something, whatever the clock's speed."""


async def spawn(output: Path) -> asyncio.subprocess.Process:
    """A worker's process that has imported everything and waits to be told what to do."""
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.worker.process"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=file,
            stderr=file,
        )
    async with asyncio.timeout(4 * START_REAL_S):
        while not text_of(output).startswith(READY):
            assert process.returncode is None, text_of(output)
            await asyncio.sleep(0.01)
    return process


def text_of(output: Path) -> str:
    return output.read_text(encoding="utf-8")


class Town:
    """The loopback market and Pushover in this process, and a worker in another."""

    def __init__(
        self, folder: Path, vendor: LoopbackMarket, pushover: LoopbackPushover, clock: ScaledClock
    ) -> None:
        self.folder = folder
        self.vendor = vendor
        self.pushover = pushover
        self.clock = clock
        self.process: asyncio.subprocess.Process | None = None
        self.spawned: asyncio.subprocess.Process | None = None
        """The first worker: no market time passes while it is imported."""
        self.outputs: list[Path] = []

    async def start(
        self, death: tuple[str, str] = ("", ""), watchdog_s: float = WATCHDOG_REAL_S, **changes: Any
    ) -> None:
        """Start the worker; ``death`` says at which moment of which push it ends."""
        told = {
            "start": self.clock.start,
            "speed": self.clock.speed,
            "origin_ns": self.clock.origin_ns,
            "seed": SEED,
            "death": death,
            "watchdog_s": watchdog_s,
            "settings": {
                "polygon_api_key": KEY,
                "pushover_token": TOKEN,
                "pushover_user_key": USER,
                "polygon_rest_url": self.vendor.rest_url,
                "polygon_ws_url": self.vendor.ws_url,
                "pushover_url": self.pushover.url,
                "data_dir": str(self.folder / "data"),
                "daily_summary": False,
                **changes,
            },
        }
        output = self.folder / f"output-{len(self.outputs)}.txt"
        self.outputs.append(output)
        self.process = self.spawned or await spawn(output)
        self.spawned = None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told).encode() + b"\n")

    async def kill(self) -> None:
        """End the worker as a power cut would."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Ask the worker to stop; returns its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 25)

    async def until(self, holds: Callable[[], Any], seconds: float, what: str) -> None:
        """Wait until something holds, at most that many market seconds, and as long as a busy machine may need."""
        end, real_end = self.clock.now() + round(seconds * SECOND), time.monotonic() + START_REAL_S
        while not holds():
            assert self.process is not None
            assert self.process.returncode is None, f"the worker ended: {self.said()}"
            is_over = self.clock.now() >= end and time.monotonic() >= real_end
            assert not is_over, f"not within {seconds:g} market seconds: {what}\n{self.said()}"
            await asyncio.sleep(0.01)

    def said(self) -> str:
        """Everything that every worker has printed."""
        return "\n--- restart ---\n".join(path.read_text(encoding="utf-8") for path in self.outputs)

    def pushes(self, word: str) -> list[Message]:
        """The accepted pushes with a word in their title."""
        return [message for message in self.pushover.messages if word in message.title]

    def record(self) -> Record:
        """The session's record as it is now."""
        return read(record_path(self.folder / "data", session().date))


@asynccontextmanager
async def town(folder: Path, start_s: float = BEGIN_S, speed: float = SPEED) -> AsyncIterator[Town]:
    made, spawned = market(), await spawn(folder / "output-0.txt")
    clock = ScaledClock(session().open + round(start_s * SECOND), speed)
    async with (
        LoopbackMarket(made, clock, KEY) as vendor,
        LoopbackPushover(clock, TOKEN, USER) as pushover,
    ):
        place = Town(folder, vendor, pushover, clock)
        place.spawned = spawned
        try:
            yield place
        finally:
            for process in (place.process, place.spawned):
                if process is not None and process.returncode is None:
                    process.kill()
                    await process.wait()


def folded(record: Record) -> Engine:
    """The engine that a start makes of a record."""
    headers = [line for line in record.lines if isinstance(line, Header)]
    engine = Engine(Rules(), headers[-1].session)
    for entry in record.entries:
        engine.restore(entry.now, entry.event, entry.decisions)
    return engine


def decisions_of(record: Record, kind: type) -> list[Any]:
    return [
        decision for entry in record.entries for decision in entry.decisions if isinstance(decision, kind)
    ]


def check(place: Town) -> None:
    """What must hold whenever the worker was killed: one position, one SELL, nothing told twice unmarked."""
    for path in records(place.folder / "data"):
        verify.check(path)  # raises at the first decision that is not derived again
    record = place.record()
    opened, closed = decisions_of(record, Opened), decisions_of(record, Closed)
    withdrawn = {decision.id for decision in decisions_of(record, Withdrawn)}
    told = [decision for decision in opened if decision.id not in withdrawn]
    assert [decision.id for decision in closed if decision.id not in withdrawn] == [d.id for d in told], (
        place.said()
    )
    for decision in told:
        sells = [m for m in place.pushes("SELL") if m.text.endswith(f"#{decision.id}")]
        assert sells, f"no SELL for {decision.id}\n{place.said()}"
        unmarked = [message for message in sells if "Repeat of" not in message.text]
        assert len(unmarked) <= 1, place.said()
    buys = Counter(message.text[-7:] for message in place.pushes("BUY") if "Repeat of" not in message.text)
    assert all(count == 1 for count in buys.values()), place.said()
    assert set(buys) <= {f"#{decision.id}" for decision in opened}
    accepted: set[tuple[AlertKind, str]] = set()
    for entry in record.entries:
        if isinstance(entry.event, AlertOutcome) and entry.event.outcome is Outcome.ACCEPTED:
            assert (entry.event.kind, entry.event.id) not in accepted or entry.event.kind not in (
                AlertKind.BUY,
                AlertKind.SELL,
            ), "an alert with a recorded outcome was sent again"
            accepted.add((entry.event.kind, entry.event.id))


STORY_ENDS_S = START_S + 330
"""Seconds after the open when the market's one rally is long over: who was down for all of it had no entry."""


async def to_the_end(place: Town) -> None:
    """Let the story come to its SELL, or to its end when there was no entry; stop, and check it."""
    end = session().open + STORY_ENDS_S * SECOND

    def is_over() -> bool:
        return bool(place.pushes("SELL")) or (
            place.clock.now() > end and not decisions_of(place.record(), Opened)
        )

    await place.until(is_over, 600, "SELL")
    await asyncio.sleep(0.2)
    assert await place.stop() == 0, place.said()
    check(place)


async def test_a_kill_with_a_position_open_loses_nothing(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await place.start()
        await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        await place.clock.sleep(20)
        await place.kill()
        before = folded(place.record())
        assert before.position is not None
        await place.start()
        await place.until(lambda: place.pushes("watching again"), 60, "watching again")
        after = folded(place.record())
        assert after.position is not None
        assert after.position.opened == before.position.opened
        assert after.position.opened_at == before.position.opened_at
        assert after.position.peak >= before.position.peak
        text = place.pushes("watching again")[0].text
        assert f"Watching again #{before.position.opened.id}: gap " in text
        await to_the_end(place)
        assert len(place.pushes("BUY")) == len(place.pushes("SELL")) == 1


async def test_a_position_kept_at_a_stop_is_watched_again(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await place.start(on_shutdown="keep")
        await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        assert await place.stop() == 0
        assert len(place.pushes("unwatched")) == 1
        await place.start()
        await place.until(lambda: place.pushes("watching again"), 60, "watching again")
        await to_the_end(place)
        assert len(place.pushes("SELL")) == 1


async def test_a_time_stop_that_passed_while_down_is_told_at_the_next_start(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await place.start(hard_time_stop="15:55", no_entry_after="15:30")
        await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        await place.kill()
    late = session().close - session().open + 120 * SECOND
    async with town(tmp_path, start_s=late / SECOND) as place:
        await place.start()
        await place.until(lambda: place.pushes("SELL"), 600, "SELL")
        (sell,) = place.pushes("SELL")
        assert re.match(r"Reason: Time stop 15:55 ET\n\d+m", sell.text), sell.text
        await place.until(lambda: "😴" in place.said(), 1200, "asleep")
        assert await place.stop() == 0


async def test_a_day_whose_evening_was_missed_is_summed_up_once_at_the_next_start(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await place.start(daily_summary="on")
        await place.until(lambda: place.pushes("armed"), 120, "armed")
        await place.kill()
    late = session().close - session().open + 120 * SECOND
    async with town(tmp_path, start_s=late / SECOND) as place:
        for _ in range(2):
            await place.start(daily_summary="on")
            await place.until(lambda: "😴" in place.outputs[-1].read_text(encoding="utf-8"), 1200, "asleep")
            assert await place.stop() == 0
        (evening,) = place.pushes("🌙")
        assert evening.title == f"🌙 IWM: {session().date}"
        assert evening.text.startswith("Seen for ")
        assert " of 6h30m, blind for " in evening.text


async def test_a_second_copy_is_refused_and_named(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await place.start()
        await place.until(lambda: "🔔" in place.said(), 60, "started")
        first = place.process
        assert first is not None
        await place.start()
        second = place.process
        assert second is not None
        assert await asyncio.wait_for(second.wait(), 20) == EXIT_LEASE
        said = place.outputs[-1].read_text(encoding="utf-8")
        assert f"pid {first.pid}, started 2025-10-02T14:" in said
        place.process = first
        await place.kill()
        await place.start()
        await place.until(
            lambda: "Record resumed" in place.outputs[-1].read_text(encoding="utf-8"), 60, "resumed"
        )


async def test_a_damaged_record_stops_the_start_and_is_kept(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await place.start()
        await place.until(lambda: "Backfill IWM: done" in place.said(), 60, "backfilled")
        await place.kill()
        path = record_path(tmp_path / "data", session().date)
        text = bytearray(path.read_bytes())
        text[len(text) // 2] ^= 1
        path.write_bytes(text)
        await place.start()
        assert place.process is not None
        assert await asyncio.wait_for(place.process.wait(), 20) == EXIT_CRASHED
        assert "checksum is wrong" in place.said()
        assert path.read_bytes() == text


async def test_a_torn_record_is_cut_and_said(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await place.start()
        await place.until(lambda: "Backfill IWM: done" in place.said(), 60, "backfilled")
        await place.kill()
        path = record_path(tmp_path / "data", session().date)
        with path.open("ab") as file:
            file.write(b'[1759416000000000,99999,{"type":"ti')
        await place.start()
        await place.until(lambda: "Record resumed" in place.said(), 60, "resumed")
        assert "torn off" in place.said()
        await to_the_end(place)


async def die(place: Town, moment: str, push: str) -> None:
    """Let the worker come to its death, and start it again."""
    await place.start(death=(moment, push))
    assert place.process is not None
    await asyncio.wait_for(place.process.wait(), 60)
    assert place.process.returncode == -signal.SIGKILL, place.said()
    await place.start()


@pytest.mark.parametrize(
    ("moment", "arrived"),
    [("before fsync", 0), ("before send", 0), ("before answer", 1), ("before outcome", 1)],
)
async def test_a_crash_around_a_sell_repeats_it_marked(tmp_path: Path, moment: str, arrived: int) -> None:
    async with town(tmp_path) as place:
        await die(place, moment, "sell")
        assert len(place.pushes("SELL")) == arrived
        await place.until(lambda: len(place.pushes("SELL")) == arrived + 1, 120, "SELL repeated")
        await place.clock.sleep(10)
        assert await place.stop() == 0, place.said()
        check(place)
        assert [("Repeat of" in push.text) for push in place.pushes("SELL")] == [False] * arrived + [True]
        assert len(place.pushes("BUY")) == 1


@pytest.mark.parametrize(
    ("moment", "arrived"),
    [("before fsync", 0), ("before send", 0), ("before answer", 1), ("before outcome", 1)],
)
async def test_a_crash_around_a_buy_repeats_it_marked_or_counts_it_as_told(
    tmp_path: Path, moment: str, arrived: int
) -> None:
    """Marked while it is under 30 s old; told when it is older: then there is a position, and its SELL."""
    async with town(tmp_path) as place:
        await die(place, moment, "buy")
        await to_the_end(place)
        repeated = [push for push in place.pushes("BUY") if "Repeat of" in push.text]
        assert len(place.pushes("BUY")) == arrived + len(repeated)
        assert len(place.pushes("SELL")) == 1
        outcomes = [
            entry.event.outcome
            for entry in place.record().entries
            if isinstance(entry.event, AlertOutcome) and entry.event.kind is AlertKind.BUY
        ]
        assert outcomes == [Outcome.ACCEPTED if repeated else Outcome.LOST]


@pytest.mark.parametrize("seed", range(KILLS))
async def test_killed_at_a_random_moment_the_story_ends_the_same(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    async with town(tmp_path) as place:
        await place.start()
        for _ in range(source.choice((1, 1, 2))):
            await place.until(lambda: True, 1, "running")
            await place.clock.sleep(source.uniform(20, 200))
            if place.pushes("SELL"):
                break
            await place.kill()
            await place.start()
        await to_the_end(place)
