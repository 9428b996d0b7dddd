"""A stop ends within 25 s whatever has died around the worker: on virtual time, with a position open and its SELL untold.

`test_stop_stuck.py` has the name server that does not answer, and the push service in real time; `test_record_start.py` the disk;
`test_stop.py` the threads.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.outside import outside
from tests.proxy import DOWN, UP, path_to
from tests.worker.loop_town import loop_town

pytestmark = pytest.mark.virtual_time

LIMIT_S = 25.0

AROUND = ("rest", "socket", "push", "heartbeat", "second")
"""Every place that the worker is connected to."""


@pytest.mark.parametrize(
    ("dead", "has_position"),
    [
        ({"rest"}, True),
        ({"socket"}, True),
        ({"push"}, True),
        ({"heartbeat"}, True),
        ({"second", "push"}, True),
        (set(AROUND), True),
        (set(AROUND), False),
    ],
)
async def test_a_stop_ends_in_time_whatever_has_died(
    tmp_path: Path, dead: set[str], has_position: bool
) -> None:
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(loop_town(tmp_path))
        monitor = await stack.enter_async_context(outside())
        second = await stack.enter_async_context(outside())
        addresses = {
            "rest": place.vendor.rest_url,
            "socket": place.vendor.ws_url,
            "push": place.pushover.url,
            "heartbeat": monitor.url,
            "second": second.url,
        }
        assert set(addresses) == set(AROUND)
        paths = {name: await stack.enter_async_context(path_to(url)) for name, url in addresses.items()}
        await place.start(
            polygon_rest_url=paths["rest"].url,
            polygon_ws_url=paths["socket"].url,
            pushover_url=paths["push"].url,
            heartbeat_url=SecretStr(paths["heartbeat"].url),
            second_channel_url=SecretStr(paths["second"].url),
        )
        if has_position:
            await place.until(lambda: place.pushes("BUY"), 240, "BUY")
        else:
            await place.until(lambda: "Backfill SPY: done" in place.said(), 60, "seen")
        for name in dead:
            paths[name].swallows |= {UP, DOWN}
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await place.stop() == 0
        assert loop.time() - began < LIMIT_S
        if has_position:
            is_told = bool(place.pushes("SELL")) or any("SELL" in text for text in second.bodies)
            assert is_told is ({"push", "second"} - dead != set()), place.said()
            assert is_told or "🛑 Alert left unsent: 🚪 IWM 0DTE CALL — SELL" in place.said()
