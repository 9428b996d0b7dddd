"""The whole worker while its feed stalls, lags or repeats itself, as a whole or for one symbol alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engine import Engine
from events import DeclineReason, FeedCause
from sim.demo import START_S
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.stage import Stage, stage
from tests.worker.trades import check_one_of_each, sold

pytestmark = pytest.mark.virtual_time


async def test_a_symbol_that_stalls_is_told_by_name_and_comes_back_with_a_new_connection(
    tmp_path: Path,
) -> None:
    """REST has newer seconds of IWM: reopened, filled, told; and the surge after it is not missed."""
    async with stage(tmp_path, start_s=START_S + 20, speed=20.0) as play:
        await play.wait(15)
        play.vendor.faults.add("one_silent", symbol="IWM", cured=True)
        await play.until(lambda: play.titles("feed blind (IWM confirmed stall)"), 60, "blind")
        await play.until(lambda: play.titles("feed recovered"), 60, "recovered")
        await play.until(lambda: play.titles("BUY"), 240, "BUY")
        assert len(play.vendor.connects["stocks"]) >= 2
        assert await play.stop() == 0


async def test_a_held_position_s_symbol_that_nobody_has_is_told_and_its_price_is_not_repeated(
    tmp_path: Path,
) -> None:
    with capture_logs() as logged:
        await hold_and_lose(tmp_path)
    lines = [str(entry.get("text")) for entry in logged]
    told = next(index for index, line in enumerate(lines) if "FEED BLIND: IWM not seen" in line)
    assert not [line for line in lines[told:] if "Data feed active" in line or "Signal conditions" in line]
    assert [line for line in lines[told:] if "Data feed blind: IWM not seen" in line and " old" in line]


async def hold_and_lose(folder: Path) -> None:
    """A position is opened, IWM ends everywhere, the phone is told, and a minute passes."""
    async with stage(folder) as play:
        await play.until(lambda: play.titles("BUY"), 240, "BUY")
        engine = play.worker.engine
        assert engine is not None and engine.position is not None
        play.vendor.faults.add("one_silent", symbol="IWM", rest=False)
        await play.until(lambda: play.titles("feed blind"), 90, "blind")
        assert (engine.feed.cause, engine.feed.symbol) == (FeedCause.UNSEEN, "IWM")
        (push,) = [message for message in play.pushover.messages if "feed blind" in message.title]
        assert push.title == "⚠️ IWM: feed blind (IWM not seen)"
        assert push.text.startswith("IWM does not trade or is not being sent, while SPY is.\n")
        assert push.fields["priority"] == "1" and push.text.splitlines()[-1].startswith("#")
        assert len(play.vendor.connects["stocks"]) == 1
        await play.wait(61)
        await play.stop()


def engine_of(play: Stage) -> Engine:
    """The engine of the session in progress."""
    engine = play.worker.engine
    assert engine is not None
    return engine


async def test_a_socket_that_repeats_one_message_is_told_and_reopened(tmp_path: Path) -> None:
    async with stage(tmp_path, start_s=START_S + 20, speed=20.0) as play:
        await play.until(lambda: play.worker.engine and engine_of(play).evaluation, 60, "evaluated")
        play.vendor.faults.add("repeat", feed="stocks")
        await play.until(lambda: play.titles("feed blind"), 40, "blind")
        evaluations = engine_of(play).evaluations
        assert play.vendor.faults.fired["repeat"] > 5
        play.vendor.faults.clear()
        await play.until(lambda: play.titles("feed recovered"), 60, "recovered")
        assert len(play.vendor.connects["stocks"]) >= 2
        await play.until(lambda: engine_of(play).evaluations > evaluations, 30, "evaluated again")
        await play.until(lambda: play.titles("BUY"), 240, "BUY")
        assert await play.stop() == 0


async def test_a_late_traded_symbol_beside_a_punctual_one_is_told_and_cured_by_one_new_connection(
    tmp_path: Path,
) -> None:
    """14 s later than the 2 s of every bar: over the limit of 15, and no silence of 20 that would be a stall."""
    async with stage(tmp_path, start_s=START_S + 20, speed=20.0) as play:
        await play.until(lambda: play.worker.engine and engine_of(play).evaluation, 60, "evaluated")
        play.vendor.faults.add("late", symbol="IWM", by=14.0, cured=True)
        await play.until(lambda: play.titles("feed blind"), 90, "blind")
        assert (engine_of(play).feed.cause, engine_of(play).feed.symbol) == (FeedCause.LAG, "IWM")
        blind_at = play.market_s
        await play.until(lambda: play.titles("feed recovered"), 120, "recovered")
        assert play.market_s - blind_at > 55
        assert play.titles("BUY") == []
        await play.until(lambda: play.titles("BUY"), 60, "BUY")
        assert len(play.vendor.connects["stocks"]) == 2
        assert await play.stop() == 0


async def test_a_server_that_answers_no_pings_costs_nothing_while_bars_flow(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        play.vendor.faults.add("no_pong")
        await sold(play)
        assert await play.stop() == 0
        check_one_of_each(play)
        assert play.titles("blind") == []
        assert [len(play.vendor.connects[cluster]) for cluster in ("stocks", "options")] == [1, 1]


@pytest.mark.parametrize("fault", ["rest_empty", "rest_no_rows", "rest_null"])
async def test_a_gap_that_rest_answers_with_nothing_keeps_the_gate_until_it_has_answered(
    tmp_path: Path, fault: str
) -> None:
    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add(fault, path="/v2/aggs", seconds=130)

    async with stage(tmp_path, prepare=prepare) as play:
        await play.until(lambda: play.market_s > 110, 120, "the surge")
        assert play.vendor.faults.fired[fault] >= 4
        found = engine_of(play).evaluation
        assert found is not None and found.gate is DeclineReason.NOT_COVERED
        assert play.titles("BUY") == []
        await play.until(lambda: not engine_of(play).feed.gaps.lie_before(play.clock.now()), 120, "covered")
        assert await play.stop() == 0


async def test_a_benchmark_that_nobody_has_is_told_once_and_is_no_blindness(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await play.until(lambda: play.worker.engine and engine_of(play).evaluation, 60, "evaluated")
        play.vendor.faults.add("one_silent", symbol="SPY", rest=False)
        await play.until(lambda: play.titles("SPY not seen"), 90, "told")
        await play.until(lambda: play.market_s > 150, 100, "past the time of the BUY")
        assert not engine_of(play).feed.is_blind and engine_of(play).feed.spells == 0
        found = engine_of(play).evaluation
        assert found is not None and not found.has_benchmark
        assert [title for title in play.titles() if "SPY" in title] == play.titles("SPY not seen")
        assert len(play.titles("SPY not seen")) == 1 and play.titles("BUY") == []
        assert len(play.vendor.connects["stocks"]) == 1
        play.vendor.faults.clear()
        await play.until(lambda: play.titles("benchmark back"), 60, "back")
        assert engine_of(play).feed.absence is None
        assert await play.stop() == 0
