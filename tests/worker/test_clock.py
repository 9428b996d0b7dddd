"""The whole worker on a clock that is wrong, steps, stops or sleeps: nothing is missed in silence."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import main
from events import SECOND, Closed, ExitReason, Hold, HoldReason, Tick
from record.folder import record_path
from record.reader import read
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.stage import BEGIN_S, Stage, session, stage
from worker.ending import EXIT_OK

pytestmark = pytest.mark.virtual_time

ROOT = Path(main.__file__).parent
DAY_S = 86_400


def error_s(play: Stage) -> float:
    """How far the worker's time is ahead of the true one."""
    return (play.own.now() - play.clock.now()) / SECOND


def told(play: Stage) -> list[str]:
    """What the phone was told about the clock."""
    return [message.text for message in play.pushover.messages if "clock doubt" in message.title]


async def test_a_clock_600_s_ahead_for_five_seconds_costs_no_exit(tmp_path: Path) -> None:
    """A position is open: the time goes on by which it is sold, and its time stop comes by the true one."""
    async with stage(tmp_path, no_entry_after="10:43", hard_time_stop="10:43") as play:
        await play.until(lambda: play.titles("BUY"), 240, "BUY")
        play.own.wall_off = 600 * SECOND
        await play.until(lambda: told(play), 10, "told")
        await play.wait(5)
        assert abs(error_s(play)) < 1
        play.own.wall_off = 0
        await play.until(lambda: play.titles("SELL"), 120, "SELL")
        assert abs(error_s(play)) < 1
        await play.stop()
    [text] = told(play)
    assert (
        "this machine's clock is 10m00s ahead of the program's time, and the vendor's does not confirm it"
        in text
    )
    assert "The open position is still watched; its time stop follows this program's time." in text
    record = read(record_path(tmp_path / "data", session().date))
    holds = [entry.event for entry in record.entries if isinstance(entry.event, Hold)]
    assert [hold.on for hold in holds if hold.reason is HoldReason.CLOCK_DOUBT] == [True, False]
    [(sold_at, sold)] = [(e.now, d) for e in record.entries for d in e.decisions if isinstance(d, Closed)]
    assert sold.reason is ExitReason.TIME_STOP
    assert 0 <= sold_at - (session().open + 73 * 60 * SECOND) < 3 * SECOND


async def test_a_stop_loss_works_after_a_clock_that_was_600_s_ahead_for_five_seconds(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await play.until(lambda: play.titles("BUY"), 240, "BUY")
        play.own.wall_off = 600 * SECOND
        await play.wait(5)
        play.own.wall_off = 0
        play.vendor.faults.add("absurd_quotes", factor=0.3)  # the mark falls by 70 %
        await play.until(lambda: play.titles("SELL"), 30, "SELL")
        assert "Reason: Stop loss -" in play.pushover.messages[-1].text
        await play.stop()


@pytest.mark.parametrize("off_s", [-1.4, 1.4])
async def test_a_clock_within_the_limit_of_doubt_costs_no_buy_and_is_not_told(
    tmp_path: Path, off_s: float
) -> None:
    async with stage(tmp_path, wall_off_s=off_s, daily_summary=True) as play:
        await play.until(lambda: play.titles("BUY"), 240, "BUY")
        assert play.titles("armed") == ["✅ IWM: armed"]
        assert told(play) == []
        assert abs(error_s(play) - off_s) < 0.5
        await play.stop()


async def test_a_record_that_is_ahead_of_the_clock_is_gone_on_with(tmp_path: Path) -> None:
    """Bought, started again on a clock 600 s ahead, stopped, and started again on the right clock."""
    changes: dict[str, Any] = {"on_shutdown": "keep", "no_entry_after": "10:54", "hard_time_stop": "10:54"}
    async with stage(tmp_path, **changes) as play:
        await play.until(lambda: play.titles("BUY"), 240, "BUY")
        await play.stop()
        passed = BEGIN_S + play.market_s
    async with stage(tmp_path, start_s=passed + 5, wall_off_s=600, **changes) as play:
        await play.until(lambda: play.titles("watching again"), 60, "watching again")
        await play.until(lambda: told(play), 60, "told")
        assert error_s(play) == pytest.approx(600, abs=5)
        assert "10m00s ahead of the vendor's" in told(play)[0]
        await play.stop()
        passed += 5 + play.market_s
    async with stage(tmp_path, start_s=passed + 5, **changes) as play:
        await play.until(lambda: play.titles("watching again"), 60, "watching again")
        await play.until(lambda: play.titles("SELL"), 300, "SELL")
        assert 450 < error_s(play) < 600
        sold_after = play.market_s
        await play.stop()
    record = read(record_path(tmp_path / "data", session().date))
    [closed] = [d for entry in record.entries for d in entry.decisions if isinstance(d, Closed)]
    assert closed.mark is not None
    ticks = [entry.now for entry in record.entries if isinstance(entry.event, Tick)]
    last = [at for at in ticks if at >= ticks[-1] - round(0.5 * sold_after * SECOND)]
    assert len(last) >= 0.3 * sold_after  # a tick a second: the time has not stood still


@pytest.mark.parametrize(("off_s", "text"), [(-3.0, "behind the vendor's"), (3.5, "ahead of the vendor's")])
async def test_a_clock_that_is_a_little_off_is_named_and_gives_no_buy(
    tmp_path: Path, off_s: float, text: str
) -> None:
    async with stage(tmp_path, speed=15, wall_off_s=off_s, daily_summary=True) as play:
        await play.until(lambda: told(play), 60, "told")
        await play.until(lambda: play.titles("armed"), 120, "armed")
        await play.until(lambda: play.market_s > 80, 100, "past the time of the BUY")
        assert play.titles("BUY") == []
        assert play.titles("armed") == ["⚠️ IWM: armed, not all well"]
        armed = next(message.text for message in play.pushover.messages if "armed" in message.title)
        assert len(told(play)) == 1
        for said in (armed, told(play)[0]):
            assert "this machine's clock is " in said
            assert text in said
        play.own.wall_off = 0
        engine = play.worker.engine
        assert engine is not None
        await play.until(lambda: HoldReason.CLOCK_DOUBT not in engine.holds, 60, "released once it is set")


@pytest.mark.parametrize(("off_s", "text"), [(-6.0, "behind the vendor's"), (3.5, "ahead of the vendor's")])
async def test_where_no_answer_has_a_date_the_bars_name_the_clock(
    tmp_path: Path, off_s: float, text: str
) -> None:
    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add("no_date")

    async with stage(tmp_path, speed=20, wall_off_s=off_s, prepare=prepare) as play:
        await play.until(lambda: told(play), 150, "told")
        assert f"{text}, as its bars tell" in told(play)[0]
        assert len(play.vendor.connects["stocks"]) == 1  # no new connection would set the clock


@pytest.mark.parametrize("days", [3, -3])
async def test_a_clock_that_is_days_off_does_not_sleep_through_a_session_without_a_word(
    tmp_path: Path, days: int
) -> None:
    async with stage(tmp_path, start_s=-480, speed=60, wall_off_s=days * DAY_S + 20) as play:
        await play.until(lambda: told(play), 30, "told")
        assert play.vendor.connects["stocks"] == []
        [text] = told(play)
        assert "this machine's clock is 3 days" in text
        assert "By its clock the next session opens" in text
        play.own.wall_off = 0  # somebody sets it
        await play.until(lambda: play.vendor.connects["stocks"], 240, "connected")
        assert abs(error_s(play)) < 1
        at = play.vendor.connects["stocks"][0]
        assert session().open - 300 * SECOND <= at < session().open


@pytest.mark.parametrize(
    ("fault", "how"),
    [("rest_reset", {"times": 4}), ("no_date", {"seconds": 90}), ("rest_500", {"times": 100})],
)
async def test_a_first_question_that_tells_no_time_is_soon_asked_again(
    tmp_path: Path, fault: str, how: dict[str, Any]
) -> None:
    """As on a machine that starts before its network does, with a clock that is days off. An error is dated as well."""

    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add(fault, **how)

    async with stage(tmp_path, speed=60, wall_off_s=3 * DAY_S + 20, prepare=prepare) as play:
        await play.until(lambda: told(play), 300, "told")
        assert play.vendor.faults.fired[fault] >= 2
        assert "By its clock the next session opens" in told(play)[0]


STOPPED = """
import asyncio
from worker.watchdog import Watchdog

async def run():
    with Watchdog(asyncio.get_running_loop(), limit_s=1.0):
        print("up", flush=True)
        for _ in range(25):
            await asyncio.sleep(0.1)

asyncio.run(run())
"""


def test_a_process_that_was_stopped_is_not_ended_by_its_own_watchdog() -> None:
    """SIGSTOP for three times the watchdog's limit."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == EXIT_OK, said
    assert "This process was paused for 3 s and continues" in said
