"""The whole worker while push service, outside watch, second channel and vendor's door answer as nobody expects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from events import SECOND, HoldReason
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.outside import ENDLESS, outside
from tests.stage import Stage, stage
from tests.worker.test_heartbeat import BEAT
from worker.ending import EXIT_OK, EXIT_REFUSED

pytestmark = pytest.mark.virtual_time

SOON: dict[str, Any] = {"no_entry_after": "10:43", "hard_time_stop": "10:43"}
"""A time stop a minute after the surge of the made day: the SELL need not be waited for."""


async def sold_after(play: Stage, *answers: str) -> list[str]:
    """Let the SELL meet these answers first; returns the texts of those that were accepted."""
    await play.until(lambda: play.titles("BUY"), 120, "BUY")
    play.pushover.answers.extend(answers)
    await play.until(lambda: len(play.pushover.answers) == 0 and play.titles("SELL"), 300, "SELL")
    await play.wait(20)
    return [message.text for message in play.pushover.messages if "SELL" in message.title]


@pytest.mark.parametrize("answer", ["429 passing", "403 html"])
async def test_a_sell_that_meets_one_passing_error_is_told_once(tmp_path: Path, answer: str) -> None:
    async with stage(tmp_path, **SOON) as play:
        (text,) = await sold_after(play, answer)
        assert "Repeat of" not in text, "nobody had got it before"
        engine = play.worker.engine
        assert engine is not None
        assert HoldReason.PUSH_REFUSED not in engine.holds
        assert await play.stop() == EXIT_OK


async def test_entries_are_held_while_a_sell_is_untold(tmp_path: Path) -> None:
    async with stage(tmp_path, **SOON) as play:
        await play.until(lambda: play.titles("BUY"), 120, "BUY")
        play.pushover.answers.extend(["403 html"] * 30)
        engine = play.worker.engine
        assert engine is not None
        await play.until(lambda: HoldReason.PUSH_REFUSED in engine.holds, 120, "held")
        assert play.titles("SELL") == []
        await play.wait(60)
        assert HoldReason.PUSH_REFUSED in engine.holds
        play.pushover.answers.clear()
        await play.until(lambda: play.titles("SELL"), 60, "SELL")
        await play.until(lambda: HoldReason.PUSH_REFUSED not in engine.holds, 10, "released")
        assert await play.stop() == EXIT_OK


async def test_endless_and_packed_bodies_and_a_receipt_that_fits_no_address_cost_no_alert_and_no_beat(
    tmp_path: Path,
) -> None:
    """Of the push service, the outside watch and the second channel at once."""
    async with outside(ENDLESS) as watch, outside(ENDLESS) as channel:
        addresses: dict[str, Any] = {"heartbeat_url": watch.secret, "second_channel_url": channel.secret}
        with capture_logs() as logs:
            async with stage(tmp_path, **addresses, **SOON) as play:
                texts = await sold_after(play, "endless", "gzip", *["403 html"] * 4, "absurd receipt")
                assert "Repeat of" in texts[-1], "the first answers were lost"
                await play.until(lambda: watch.asked.count(BEAT) >= 2, 150, "two beats")
                assert channel.bodies
                assert play.pushover.poured_out
                assert await play.stop() == EXIT_OK
        await asyncio.sleep(0.05)
        # What was poured out beyond the bound fills the sockets' own buffers.
        for each in (watch, channel):
            assert each.poured < 30_000_000 * len(each.asked)
    assert "receipt_unusable" in [line["event"] for line in logs]


# --- The vendor's door -------------------------------------------------------------------------------


def page_at_the_door(times: int) -> Callable[[LoopbackMarket, LoopbackPushover], None]:
    """A page of something on the way, so many times, in place of the stocks socket's handshake."""

    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add("handshake", feed="stocks", status=403, html=True, times=times)

    return prepare


async def test_one_page_at_the_first_handshake_is_a_lost_connection(tmp_path: Path) -> None:
    async with stage(tmp_path, prepare=page_at_the_door(1)) as play:
        await play.until(lambda: play.titles("BUY"), 200, "BUY")
        assert play.vendor.faults.fired["handshake"] == 1
        assert await play.stop() == EXIT_OK


async def test_a_page_that_stays_for_five_minutes_ends_the_program_and_says_what_it_is(
    tmp_path: Path,
) -> None:
    with capture_logs() as logs:
        async with stage(tmp_path, speed=100, prepare=page_at_the_door(1000)) as play:
            assert await asyncio.wait_for(asyncio.shield(play.running), 600) == EXIT_REFUSED
            at = play.vendor.connects["stocks"]
    assert 300 * SECOND <= at[-1] - at[0] < 400 * SECOND
    (said,) = [line["text"] for line in logs if line["log_level"] == "critical"]
    assert "Something on the way to the vendor's stocks socket" in said
