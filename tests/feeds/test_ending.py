"""A feed ends when it is asked to, and never quietly."""

from __future__ import annotations

import asyncio
import random

import pytest

from feeds.options import Wanted
from tests.feeds.scene import open_place


async def test_a_feed_can_be_closed_at_any_moment() -> None:
    """Also at the very moment at which its connection fails."""
    rng = random.Random(7)
    async with open_place(speed=2000) as place:
        place.wanted = Wanted(contracts=frozenset(place.calls(3)))
        place.faults.add("drop", times=1000, stage="subscribe")
        for _ in range(25):
            watches = [place.stocks()[1], place.options()[1]]
            await asyncio.sleep(rng.uniform(0.0, 0.03))
            async with asyncio.timeout(3):
                for watch in watches:
                    await watch.stop()
        await asyncio.sleep(0.05)
        assert place.server.open_connections("stocks") == place.server.open_connections("options") == 0


async def test_a_fault_of_our_own_ends_the_feed_with_its_reason() -> None:
    async with open_place() as place:

        def wanted() -> Wanted:
            raise ZeroDivisionError

        feed = place.client().options(wanted=wanted)
        watch = place.watch(feed.events())
        with pytest.raises(ExceptionGroup) as caught:
            await watch.until(lambda: False)
    assert caught.group_contains(ZeroDivisionError)


async def test_a_feed_that_is_cancelled_by_nobody_is_no_quiet_end() -> None:
    """A task group takes a cancelled task for a finished one: its worker would go on half alive."""

    def position_open() -> bool:
        raise asyncio.CancelledError

    async with open_place() as place:
        place.faults.add("refuse_auth", feed="stocks")
        _, watch = place.stocks(position_open=position_open)
        with pytest.raises(RuntimeError, match="stocks feed has ended"):
            await watch.until(lambda: False)
