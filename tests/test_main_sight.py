"""The whole worker where one symbol ends and the other goes on."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from events import FeedCause
from sim.demo import START_S
from tests.stage import stage


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
        assert push.text.startswith("IWM does not trade or is not sent, while SPY comes.\n")
        assert push.fields["priority"] == "1" and push.text.splitlines()[-1].startswith("#")
        assert len(play.vendor.connects["stocks"]) == 1
        await play.wait(61)
        await play.stop()
