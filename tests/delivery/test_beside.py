"""What goes to the second channel, and what its failure says."""

from __future__ import annotations

import asyncio

from pydantic import SecretStr
from structlog.testing import capture_logs

from delivery.sender import Sender
from events import (
    Event,
    FeedCause,
)
from sim.pushover import LoopbackPushover
from tests.delivery.stories import START, TOKEN, USER, Story, buy, sell, settings_for, story, system
from tests.patience import PatientClock


async def test_second_channel_is_for_sells_and_safety_only() -> None:
    async with story("400", second_channel=True) as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        await s.clock.sleep(5)
        assert s.pushover.texts == []


async def test_second_channel_failure_names_no_address() -> None:
    async with story("400", second_channel=True) as s:
        await s.ready()
        s.sender.submit(system(s.now(), FeedCause.EVICTED))
        await s.until(lambda: s.logged("second_channel_sent"))
        assert s.pushover.texts[0].startswith("⚠️ IWM: feed taken by another copy\n\nThe vendor gave")
    clock = PatientClock(START, 50)
    facts: list[Event] = []
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        pushover.answers.append("400")
        settings = settings_for(pushover, second_channel_url=SecretStr("http://127.0.0.1:9/CANARYtopic"))
        sender = Sender(settings, clock, facts.append, lambda _: None)
        with capture_logs() as logs:
            running = asyncio.create_task(sender.run())
            sender.submit(sell(START))
            await Story(clock, pushover, settings).until(
                lambda: any(entry["event"] == "second_channel_failed" for entry in logs)
            )
            running.cancel()
            await asyncio.wait({running})
        assert "CANARY" not in repr(logs)
