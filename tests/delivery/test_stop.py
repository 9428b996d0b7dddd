"""A stop delivers what it can within its time, and names the rest."""

from __future__ import annotations

import asyncio

from events import SECOND, AlertKind
from tests.delivery.stories import buy, sell, story, system
from timekeeping import VendorOffset


async def test_drain_delivers_what_is_pending() -> None:
    async with story("500", "slow") as s:
        s.sender.submit(sell(s.now()))
        s.sender.submit(system(s.now()))
        assert await s.sender.drain(5) == []
        assert len(s.pushover.messages) == 2


async def test_drain_returns_what_is_left_the_most_important_first() -> None:
    async with story(speed=20) as s:
        await s.ready()
        await s.pushover.down()
        s.sender.submit(system(s.now()))
        s.sender.submit(sell(s.now()))
        s.sender.submit(buy(s.now(), "aaaaaa"))
        left = await s.sender.drain(0.15)
        assert [alert.kind for alert in left] == [AlertKind.SELL, AlertKind.BUY, AlertKind.FEED_BLIND]
        assert [entry["log_level"] for entry in s.logged("sell_left_unsent")] == ["critical"]
        assert len(s.logged("alert_left_unsent")) == 2


async def test_drain_does_not_wait_for_a_sender_that_has_ended() -> None:
    async with story("slow", speed=20) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: not s.pushover.answers)
    async with asyncio.timeout(5):
        left = await s.sender.drain(60)
    assert [alert.kind for alert in left] == [AlertKind.SELL]


async def test_drain_does_not_wait_for_an_attempt_beyond_its_time() -> None:
    async with story(*["500"] * 9, speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.attempts >= 4)
        await s.until(lambda: len(s.logged("alert_attempt_failed")) >= 4)
        assert [alert.kind for alert in await s.sender.drain(0.05)] == [AlertKind.SELL]
        assert not s.logged("drain_timed_out")


async def test_a_step_of_the_clock_ends_nobodys_patience() -> None:
    async with story("500", "500", speed=20) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.attempts == 1)
        draining = asyncio.create_task(s.sender.drain(5))
        await asyncio.sleep(0)
        ahead = 600 * SECOND
        s.clock.wall_off = ahead
        s.clock.hear_date(VendorOffset(ahead, ahead, s.now()))  # as after a sleep: the vendor agrees
        before = s.now()
        assert s.clock.check(2.0) is None
        assert s.now() - before >= ahead
        assert await draining == []
        assert s.attempts == 3
