"""The feeds after a span in which the process did not run: nothing that ran out meanwhile is held against the vendor."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from tests.feeds.scene import first_prints, open_place
from tests.feeds.test_silence import PATIENT, causes, live_of

SPEED = 40.0


@pytest.mark.parametrize("real_s", [0.5, 1.0, 2.5])
async def test_a_loop_that_stood_reopens_no_stocks_socket_and_loses_no_bar(real_s: float) -> None:
    """20, 40 and 100 s of the market: beyond each limit of silence, of a ping and of a symbol."""
    async with open_place(speed=SPEED, rules=PATIENT) as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(live_of(watch, "SPY")) > 5)
        begin = live_of(watch, "SPY")[-1].start
        time.sleep(real_s)  # noqa: ASYNC251  the loop is what must stand
        count = len(watch.live())
        await watch.until(lambda: len(watch.live()) > count + real_s * SPEED)
        await place.clock.sleep(20)
        assert causes(watch) == []
        assert len(place.server.connects["stocks"]) == 1
        starts = {bar.start for bar in live_of(watch, "SPY")}  # and corrections
    printed = {start for start in first_prints("SPY") if begin <= start <= max(starts)}
    assert printed <= starts


async def test_a_loop_that_stood_takes_no_quotes_for_silent() -> None:
    async with open_place(speed=SPEED, rules=PATIENT) as place:
        place.wanted = place.wanted.__class__(contracts=frozenset(place.calls()))
        with capture_logs() as logs:
            feed, _ = place.options()
            while not feed.streaming:
                await place.clock.sleep(0.5)
            await place.clock.sleep(10)
            time.sleep(2.5)  # noqa: ASYNC251  the loop is what must stand
            await place.clock.sleep(15)
            assert feed.streaming
    assert [line for line in logs if line["event"] in ("quotes_polled", "options_lost")] == []
    assert len(place.server.connects["options"]) == 1
