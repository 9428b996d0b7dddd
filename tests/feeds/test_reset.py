"""A connection that is reset at any byte: at the handshake, the login, the subscription, within a frame."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Self

import pytest

from events import SECOND, Bar, FeedLost, FeedRestored
from feeds.massive.rest import Rest
from feeds.pacing import Pacing
from feeds.vendor import NoAnswer
from polygon_client import SessionClient
from sim.server import LoopbackMarket
from tests.feeds.scene import BEGIN, RULES, Watch, market, session
from tests.proxy import DOWN, UP, path_to
from tests.virtual_loop import LoopClock
from tests.wire import KEY

pytestmark = pytest.mark.virtual_time

RESETS = int(os.environ.get("RESETS", "20"))
"""At how many places of each kind a connection is reset; by hand, 1,000."""

BACK_S = 5.0
"""Seconds within which data comes again once the path is whole."""

STEP_S = 0.25
"""Seconds between two looks at whether something holds."""

DATA_BYTES = 4_000
"""How much data comes before the latest reset."""


class Connected:
    """A stocks feed whose path to the market resets its first connection after so many bytes of one direction."""

    def __init__(self, way: str = "", at: int = 0) -> None:
        self.reset_at = {way: at} if way else {}
        self.clock = LoopClock(session().open + BEGIN * SECOND)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        server = self.server = await self._stack.enter_async_context(
            LoopbackMarket(market(), self.clock, KEY)
        )
        self.path = await self._stack.enter_async_context(path_to(server.ws_url))
        self.path.reset_at = self.reset_at
        rest = Rest(server.rest_url, KEY, self.clock)
        self._stack.push_async_callback(rest.aclose)
        client = SessionClient(
            rest=rest, ws_url=self.path.url, api_key=KEY, clock=self.clock, rules=RULES, session=session(),
            rng=random.Random(1), step_s=5.0,
        )  # fmt: skip
        self.watch = Watch(client.stocks(position_open=lambda: False).events(), self.clock)
        self._stack.push_async_callback(self.watch.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def until(self, holds: Callable[[], object], seconds: float) -> None:
        end = self.clock.now() + seconds * SECOND
        while not holds():
            assert self.clock.now() < end
            await asyncio.sleep(STEP_S)

    def data_after(self, moment: int) -> list[int]:
        """When bars came after a moment."""
        return [
            at
            for at, each in self.watch.seen
            if at > moment and isinstance(each, Bar) and not each.backfilled
        ]


async def login_bytes() -> dict[str, int]:
    """What goes over a connection in each direction until it is subscribed."""
    async with Connected() as feed:
        await feed.until(lambda: feed.watch.all(FeedRestored), 10)
        return dict(feed.path.carried)


@pytest.mark.parametrize(("way", "is_login"), [(UP, True), (DOWN, True), (DOWN, False)])
async def test_after_a_reset_at_any_byte_data_comes_again(way: str, is_login: bool) -> None:
    most = (await login_bytes())[way]
    places = range(1, most) if is_login else range(most, most + DATA_BYTES)
    source = random.Random(f"{way} {is_login}")
    for at in source.choices(places, k=RESETS):
        await gets_over_reset(way, at)


async def gets_over_reset(way: str, at: int) -> None:
    """Reset the first connection after so many bytes: the second one brings data in time, and one loss is told."""
    async with Connected(way, at) as feed:
        await feed.until(lambda: feed.path.connections > 1, 60)
        again = feed.clock.now()
        await feed.until(lambda: feed.data_after(again), BACK_S)
        assert feed.path.resets == 1
        assert len(feed.watch.all(FeedLost)) <= 1, f"reset after {at} bytes"


@pytest.mark.parametrize("fault", ["handshake", "accept_then_close", "evict"])
async def test_a_server_that_takes_nobody_in_is_dialled_at_a_pace_and_taken_back(fault: str) -> None:
    options = {"status": 429} if fault == "handshake" else {}
    async with Connected() as feed:
        feed.server.faults.add(fault, feed="stocks", times=14 if fault != "evict" else 3, **options)
        await feed.until(lambda: feed.server.faults.find(fault) is None, 1_500)
        told = feed.watch.all(FeedLost)
        await feed.until(lambda: feed.data_after(feed.server.connects["stocks"][-1]), 400)
    at = feed.server.connects["stocks"]
    assert (
        max(sum(begin <= each < begin + 60 * SECOND for each in at) for begin in at) <= Pacing.MOST_PER_MINUTE
    )
    if fault != "evict":
        assert len(told) == 1  # one time without bars, however often it is dialled
    else:  # each of these connections was up before it was taken
        waits = [(later - early) / SECOND for early, later in itertools.pairwise(at)]
        assert waits == pytest.approx([60, 120, 300], abs=2)


async def test_an_answer_of_rest_that_is_reset_at_any_byte_fails_or_is_asked_again() -> None:
    clock = LoopClock(session().open + BEGIN * SECOND)
    source, failed = random.Random(7), 0
    async with LoopbackMarket(market(), clock, KEY) as server, path_to(server.rest_url) as path:
        for _ in range(RESETS):
            path.reset_at = {DOWN: source.randrange(1, 40_000)}
            rest = Rest(path.url, KEY, clock)
            try:
                async with asyncio.timeout(20):
                    chain = await rest.chain("IWM", session().date, None, 4.0)
                assert chain.rows
            except NoAnswer:
                failed += 1
            finally:
                await rest.aclose()
        assert path.resets > RESETS / 2
    assert failed < RESETS
