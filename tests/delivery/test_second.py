"""The second channel: told once, when Pushover has refused or not accepted for 60 s, and only a 2xx counts."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from delivery.second_channel import CHANNEL, SecondChannel
from events import SECOND, AlertKind, FeedCause, Outcome
from tests.delivery.stories import ID, buy, sell, story, system
from tests.delivery.test_any import world_of
from tests.outside import ENDLESS, outside, reply


async def test_a_refusal_is_told_elsewhere_at_once() -> None:
    async with world_of(["400", "ok"], second=(200,)) as world:
        at = world.clock.now()
        world.sender.submit(sell(at))
        await world.clock.wait(1)
        ((posted, text),) = world.texts
        assert posted == at
        assert text.startswith("🚪 IWM 0DTE CALL — SELL\n\nReason: ")
        (told,) = world.elsewhere
        assert (told.kind, told.id, told.outcome, told.attempts, told.channel) == (
            AlertKind.SELL,
            ID,
            Outcome.ACCEPTED,
            1,
            CHANNEL,
        )
        # It is still owed on the phone.
        assert world.outcomes == {}
        assert await world.clock.until(lambda: world.outcomes, 70)
        assert len(world.texts) == 1


@pytest.mark.parametrize("kind", ["500", "lost", "no connection", "403"])
async def test_60_seconds_without_an_acceptance_are_told_elsewhere(kind: str) -> None:
    async with world_of([kind], second=(200,)) as world:
        at = world.clock.now()
        world.sender.submit(sell(at))
        await world.clock.wait(59)
        assert world.texts == []
        await world.clock.wait(2)
        ((posted, _),) = world.texts
        assert posted - at <= 61 * SECOND
        await world.clock.wait(200)
        assert len(world.texts) == 1


async def test_what_is_accepted_within_60_seconds_is_not_told_elsewhere() -> None:
    async with world_of(["500", "500", "500", "ok"], second=(200,)) as world:
        world.sender.submit(sell(world.clock.now()))
        assert await world.clock.until(lambda: world.outcomes, 59)
        await world.clock.wait(120)
        assert world.texts == []


async def test_a_safety_push_that_is_given_up_or_lost_is_told_elsewhere() -> None:
    for kind in ("500", "lost"):
        async with world_of([kind], second=(200,)) as world:
            world.sender.submit(system(world.clock.now(), FeedCause.EVICTED))
            assert await world.clock.until(lambda: world.elsewhere, 20)
            assert world.outcomes[AlertKind.EVICTED] is (Outcome.UNSENT if kind == "500" else Outcome.LOST)


async def test_a_buy_and_a_quiet_push_are_never_told_elsewhere() -> None:
    async with world_of(["400"], second=(200,)) as world:
        world.sender.submit(buy(world.clock.now()))
        world.sender.submit(system(world.clock.now()))
        await world.clock.wait(120)
        assert world.texts == []


@pytest.mark.parametrize("status", [201, 204, 299])
async def test_a_2xx_is_a_success(status: int) -> None:
    async with world_of(["400"], second=(status,)) as world:
        world.sender.submit(sell(world.clock.now()))
        await world.clock.wait(30)
        assert len(world.texts) == 1
        assert world.elsewhere[0].outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("status", [302, 400, 404, 500])
async def test_anything_else_is_tried_three_times_and_named(status: int) -> None:
    with capture_logs() as logs:
        async with world_of(["400"], second=(status,)) as world:
            at = world.clock.now()
            world.sender.submit(sell(at))
            await world.clock.wait(40)
            assert [(posted - at) // SECOND for posted, _ in world.texts] == [0, 5, 15]
            (told,) = world.elsewhere
            assert (told.outcome, told.attempts, told.detail) == (Outcome.UNSENT, 3, f"status {status}")
    (failed,) = [entry for entry in logs if entry["event"] == "second_channel_failed"]
    assert failed["log_level"] == "critical"
    assert "Canary" not in repr(logs)


async def test_a_second_channel_that_recovers_is_told_once() -> None:
    async with world_of(["400"], second=(500, 200)) as world:
        world.sender.submit(sell(world.clock.now()))
        await world.clock.wait(40)
        assert len(world.texts) == 2
        assert [told.outcome for told in world.elsewhere] == [Outcome.ACCEPTED]


async def test_its_answer_is_not_read_to_the_end() -> None:
    async with outside(ENDLESS) as server:
        channel = SecondChannel(server.secret)
        assert await channel.post("title", "text") == ""
        await channel.close()
        await asyncio.sleep(0.05)
        assert server.poured < 10_000_000


async def test_a_redirect_is_no_success() -> None:
    async with outside(reply("302 Found", b"", "Location: /login")) as server:
        channel = SecondChannel(server.secret)
        assert await channel.post("title", "text") == "status 302"
        assert server.bodies == ["title\n\ntext"]
        await channel.close()
    assert not SecondChannel(SecretStr("")).is_set


async def test_a_stop_tells_elsewhere_what_is_left() -> None:
    async with story(speed=20, second_channel=True) as s:
        await s.ready()
        for _ in range(20):
            s.pushover.answers.append("slow")
        s.pushover.slow_s = 1000
        s.sender.submit(sell(s.now()))
        s.sender.submit(system(s.now()))
        left = await s.sender.drain(2.0)
        assert [alert.kind for alert in left] == [AlertKind.SELL, AlertKind.FEED_BLIND]
        assert len(s.pushover.texts) == 1
        named = [entry["event"] for entry in s.logs if "unsent" in entry["event"]]
        assert named == ["sell_left_unsent", "alert_left_unsent"]
