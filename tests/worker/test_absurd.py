"""The whole worker while the vendor sends, in good form, what cannot be true or is of another time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from events import Opened
from sim.account import Plan
from tests.stage import Stage, stage
from tests.worker.trades import bought, check_one_of_each, sold
from worker.ending import EXIT_OK

pytestmark = pytest.mark.virtual_time

NO_STREAM = Plan(option_channels=())
"""The plan has no option quotes: the chain is polled every 2 s, and its quotes are the prices."""


def spot(play: Stage) -> float:
    """The price that the worker goes by."""
    engine = play.worker.engine
    assert engine is not None and engine.signals.price is not None
    return engine.signals.price


def is_near(play: Stage) -> bool:
    """Whether that is what the market trades at."""
    real = play.vendor.market.spot(play.clock.now())
    return abs(spot(play) / real - 1) < 0.01


async def test_a_surge_among_absurd_prints_and_a_chain_of_nonsense_is_one_buy_and_one_sell(
    tmp_path: Path,
) -> None:
    """Prints 10 % off with 100 times the volume, no greeks, adjusted twins of every call, and every third poll null."""
    async with stage(tmp_path) as play:
        faults = play.vendor.faults
        faults.add("zero_greeks")
        faults.add("adjusted_root", root="IWM1")
        await play.until(lambda: play.worker.engine is not None and play.worker.engine.signals.price, 60)
        await play.until(lambda: len(play.vendor.subscriptions("options")) == 10, 60, "quotes")
        while not play.titles("BUY") and play.market_s < 300:
            faults.add("absurd_print")
            faults.add("rest_null", path="/v3/snapshot")
            await play.wait(7)
            assert is_near(play)
            assert play.worker.engine is not None and play.worker.engine.quotes.chain, (
                "no null answer empties it"
            )
            assert len(play.vendor.subscriptions("options")) > 5, "nor ends the stream of its quotes"
        faults.add("absurd_print", factor=0.9)
        faults.add("absurd_quotes", times=3)
        await sold(play)
        assert is_near(play)
        assert await play.stop() == EXIT_OK
        check_one_of_each(play)
        assert play.titles("blind") == []
        for name in ("absurd_print", "absurd_quotes", "zero_greeks", "adjusted_root", "rest_null"):
            assert faults.fired[name] > 1, name


async def test_quotes_of_yesterday_marked_real_time_and_fetched_now_buy_nothing(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with stage(tmp_path, plan=NO_STREAM) as play:
            await frozen_and_then_not(play, lines)


async def frozen_and_then_not(play: Stage, lines: list[Any]) -> None:
    """A surge whose chain is of yesterday: declined; from then on it is of now: bought."""
    play.vendor.faults.add("frozen_quotes")
    declined = {"contract_declined", "signal"}
    await play.until(lambda: declined <= {line["event"] for line in lines}, 240, "a declined signal")
    engine = play.worker.engine
    assert engine is not None
    assert engine.quotes.live_calls(play.clock.now()) == 0
    assert play.titles("BUY") == []
    # The same surge, and the quotes are of now again.
    play.vendor.faults.clear()
    await bought(play)
    assert await play.stop() == EXIT_OK


async def test_quotes_of_fifteen_minutes_ago_fetched_now_sell_nothing_and_are_told(tmp_path: Path) -> None:
    """They say that the held call has lost half; its own quotes of now say otherwise."""
    async with stage(tmp_path, plan=NO_STREAM) as play:
        await bought(play)
        faults = play.vendor.faults
        faults.add("frozen_quotes", by=900.0)
        faults.add("absurd_quotes", factor=0.5)
        await play.until(lambda: play.titles("no price for the open position"), 60, "told")
        assert play.titles("SELL") == []
        assert min(faults.fired["frozen_quotes"], faults.fired["absurd_quotes"]) > 20
        faults.clear("frozen_quotes")  # and now they are of now
        await sold(play)
        assert "Reason: Stop loss" in play.pushover.messages[-1].text
        assert await play.stop() == EXIT_OK


async def test_deltas_of_nonsense_are_replaced_by_those_that_the_prices_imply(tmp_path: Path) -> None:
    async with stage(tmp_path, plan=NO_STREAM) as play:
        play.vendor.faults.add("absurd_delta", delta=0.4)
        await bought(play)
        engine = play.worker.engine
        assert engine is not None and engine.position is not None
        opened: Opened = engine.position.opened
        assert opened.doubted > 0
        assert abs(opened.strike / 1000 - spot(play)) < 2, "near the money, where such a delta is"
        assert await play.stop() == EXIT_OK
