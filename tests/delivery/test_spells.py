"""What a sender does when the world changes under it: spells that end untold, a clock that steps, gateways, questions."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from alerts import alert_for
from delivery.answers import GATEWAY_STATUSES, Result
from delivery.second_channel import CHANNEL
from events import SECOND, AlertKind, AlertOutcome, FeedCause, FeedRecovered, MarkBack, MarkLost, Outcome
from messages.alert import Alert
from tests.delivery.stories import CALL, ID, RULES, Story, buy, sell, story, system
from tests.delivery.test_answers import NO, PAGE, answer
from tests.delivery.test_any import World, world_of

BLIND, SEEN = "⚠️ IWM: feed blind", "✅ IWM: feed recovered, gap 20s"


def recovered(
    now: int, position: str | None = ID, cause: FeedCause = FeedCause.DROPPED, symbol: str = ""
) -> Alert:
    """The end of a blind spell, of whatever cause it was in the end."""
    ended = FeedRecovered(
        cause=cause, gap_start=now - 20 * SECOND, gap_end=now, position=position, symbol=symbol
    )
    alert = alert_for(now, ended, RULES)
    assert alert is not None
    return alert


def accepted(world: World) -> list[str]:
    """Titles in the order in which they were accepted."""
    took = [(at, title) for title, tries in world.tried.items() for at, name in tries if name == "ok"]
    return [title for _, title in sorted(took)]


# --- Alarms and what ends them -----------------------------------------------------------------------


@pytest.mark.parametrize("answers", [["400", "ok"], ["500", "ok"], ["no connection", "504", "ok"]])
@pytest.mark.parametrize("position", [ID, None])
async def test_the_end_of_a_spell_comes_after_its_alarm_or_not_at_all(
    answers: list[str], position: str | None
) -> None:
    async with world_of(answers) as world:
        world.sender.submit(system(world.clock.now(), position=position))
        await world.clock.wait(3)
        world.sender.submit(recovered(world.clock.now(), position))
        await world.clock.wait(200)
        is_refused = "400" in answers and position is None
        assert accepted(world) == ([] if is_refused else [BLIND, SEEN])
        assert world.sender.pending == []


async def test_another_spells_end_waits_for_nobody() -> None:
    async with world_of(["500", "ok"]) as world:
        world.sender.submit(system(world.clock.now(), position=ID))
        world.sender.submit(recovered(world.clock.now(), symbol=RULES.benchmark, cause=FeedCause.UNSEEN))
        await world.clock.wait(1)
        assert accepted(world) == ["✅ IWM: benchmark back, gap 20s"]


async def test_a_price_that_is_back_is_told_after_its_loss() -> None:
    async with world_of(["400", "ok"]) as world:
        now = world.clock.now()
        for decision in (
            MarkLost(id=ID, contract=CALL, since=now, mark=None),
            MarkBack(id=ID, contract=CALL, since=now, mark=1_400),
        ):
            alert = alert_for(now, decision, RULES)
            assert alert is not None
            world.sender.submit(alert)
            await world.clock.wait(5)
        assert accepted(world) == []
        await world.clock.wait(70)
        assert accepted(world) == [
            "⚠️ IWM: no price for the open position",
            "✅ IWM: price of the open position is back",
        ]


@pytest.mark.parametrize("is_late", [False, True])
async def test_who_was_told_elsewhere_of_a_spell_is_told_there_of_its_end(is_late: bool) -> None:
    async with world_of(["500" if is_late else "400"], ["500"], second=(200,)) as world:
        world.sender.submit(system(world.clock.now(), position=ID))
        await world.clock.wait(5)
        world.sender.submit(recovered(world.clock.now()))
        await world.clock.wait(70)
        assert [text.splitlines()[0] for _, text in world.texts] == [BLIND, SEEN]


async def test_each_spell_while_a_position_is_open_is_told_however_soon_it_follows() -> None:
    """Two within a minute, of one cause: the second alarm is not the first one again, whose end has been told."""
    async with world_of(["ok"]) as world:
        for _ in range(2):
            world.sender.submit(system(world.clock.now(), position=ID))
            world.sender.submit(system(world.clock.now(), position=ID))  # the same again is dropped
            await world.clock.wait(10)
            world.sender.submit(recovered(world.clock.now()))
            world.sender.submit(recovered(world.clock.now()))
            await world.clock.wait(10)
        assert accepted(world) == [BLIND, SEEN, BLIND, SEEN]


# --- A gateway's word --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", range(500, 530))
def test_what_a_gateway_answers_may_have_arrived(status: int) -> None:
    is_gateway = status in GATEWAY_STATUSES
    assert answer(status, PAGE).result is (Result.UNCLEAR if is_gateway else Result.FAILED)
    assert answer(status, NO).result is Result.FAILED  # Pushover's own word that it was not taken


async def test_a_buy_behind_a_gateway_is_repeated_marked_and_never_withdrawn() -> None:
    async with story("504", speed=100) as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.ACCEPTED, 2)]
        assert ["Repeat of" in message.text for message in s.pushover.messages] == [False, True]


async def test_a_buy_that_only_gateways_answer_counts_as_told() -> None:
    async with world_of(["502"]) as world:
        world.sender.submit(buy(world.clock.now()))
        await world.clock.wait(40)
        assert world.outcomes == {AlertKind.BUY: Outcome.LOST}
        world.sender.submit(sell(world.clock.now()))
        assert AlertKind.SELL not in world.outcomes  # somebody may hold it


def test_errors_of_an_answer_have_a_bound() -> None:
    assert len(answer(400, {"status": 0, "errors": ["no"] * 9_999}).errors) == 8


# --- Time --------------------------------------------------------------------------------------------


def has_tried(s: Story, attempts: int) -> bool:
    """Whether so many attempts have been made."""
    return s.attempts >= attempts


async def test_a_step_of_the_clock_does_not_shorten_the_vendors_pause() -> None:
    async with story("500", "500", "500", speed=20) as s:
        s.sender.submit(sell(s.now()))
        steady: list[int] = []
        for attempts in (1, 2, 3, 4):
            await s.until(partial(has_tried, s, attempts))
            steady.append(s.clock.steady())
            s.clock.go_on_from(s.now() + 120 * SECOND)
        assert all(later - earlier >= 4.5 * SECOND for earlier, later in pairwise(steady)), steady


@pytest.mark.parametrize("step_s", [0, 600, 86_400])
async def test_a_step_of_the_clock_does_not_cut_a_stop_short(step_s: int) -> None:
    async with story("slow ok", speed=1) as s:
        s.pushover.slow_s = 0.5
        s.sender.submit(sell(s.now()))
        draining = asyncio.create_task(s.sender.drain(5))
        await asyncio.sleep(0.1)
        if step_s:
            s.clock.go_on_from(s.now() + step_s * SECOND)
        assert await draining == []
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 1)]


async def test_a_stop_tries_a_failed_sell_once_more() -> None:
    async with story(*["500"] * 3, speed=20) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: len(s.logged("alert_attempt_failed")) == 3)
        began = s.now()
        assert await s.sender.drain(12) == []
        assert s.now() - began < 25 * SECOND
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 4)]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("refusals", [1, 9])
async def test_a_stop_asks_once_whether_a_refused_sell_may_be_tried_again(when: str, refusals: int) -> None:
    async with story(*["400"] * refusals, speed=20) as s:
        s.sender.submit(sell(s.now()))
        if when == "before":
            await s.until(lambda: s.logged("sell_refused"))
        began = s.now()
        left = await s.sender.drain(12)
        assert bool(left) is (refusals > 1)
        assert s.attempts == 2
        assert s.now() - began < 20 * SECOND
        assert not s.logged("drain_timed_out")


# --- What was never told -----------------------------------------------------------------------------


async def test_a_sell_that_is_given_up_is_named_to_the_outside_watch() -> None:
    async with world_of(["500"], second=(500,)) as world:
        said: list[str] = []
        world.sender.gave_up = said.append
        now = world.clock.now()
        world.sender.submit(replace(sell(now), give_up_at=now + 120 * SECOND))
        await world.clock.wait(90)
        assert said == []
        await world.clock.wait(60)
        assert said == [f"never delivered: 🚪 IWM 0DTE CALL — SELL #{ID}"]


async def test_a_sell_whose_time_was_over_at_the_start_is_named_everywhere() -> None:
    async with world_of(["ok"], second=(200,)) as world:
        said: list[str] = []
        world.sender.gave_up = said.append
        with capture_logs() as logs:
            world.sender.leave(sell(world.clock.now() - 3_600 * SECOND))
            await world.clock.wait(2)
        assert said == [f"never delivered: 🚪 IWM 0DTE CALL — SELL #{ID}"]
        assert [line["event"] for line in logs] == ["alert_left", "second_channel_sent"]
        (text,) = [text for _, text in world.texts]
        assert "Late 3602 s" in text or "Late 3600 s" in text or "Late 3601 s" in text
        assert f"Repeat of #{ID}" in text
        assert [fact.channel for fact in world.facts if isinstance(fact, AlertOutcome)] == [CHANNEL]


# --- Questions ---------------------------------------------------------------------------------------


class QuotaUntold(World):
    """A service that takes everything, and never answers what is left of the quota."""

    asked = 0

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if "limits" in request.url.path:
            return httpx.Response(500, text="<html>")
        return await super()._answer(request)


async def test_a_quota_that_is_never_told_is_no_fault_while_pushes_are_taken() -> None:
    world = QuotaUntold(["ok"], ["ok"])
    with capture_logs() as logs:
        running = asyncio.create_task(world.sender.run())
        world.sender.in_session(True)
        ill = 0
        for _ in range(1_800):
            await world.clock.wait(1)
            ill += not world.sender.healthy
        running.cancel()
        await asyncio.wait({running})
    assert ill <= 1_800 / 45 + 2  # a second each time that it is asked for
    assert world.asked <= 30 * 3
    names = [line["event"] for line in logs]
    assert names.count("push_ready") == names.count("push_question_failed") == 1


ANSWERS = st.lists(
    st.sampled_from(["ok", "400", "500", "502", "504", "quota", "lost", "no connection", "408", "slow ok"]),
    min_size=1,
    max_size=8,
)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(ANSWERS, st.lists(st.sampled_from(["alarm", "end", "sell", "buy", "wait"]), min_size=1, max_size=8))
def test_whatever_comes_the_end_of_a_spell_is_the_last_word_and_nothing_is_asked_too_often(
    answers: list[str], story_of: list[str]
) -> None:
    async def live() -> World:
        async with world_of([*answers, "ok"], ["ok", "500", "ok"]) as world:
            for number, what in enumerate([*story_of, "end"]):
                now = world.clock.now()
                alerts = {
                    "alarm": [replace(system(now, position=ID), id=f"{number}")],
                    "end": [replace(recovered(now), id=f"{number}")],
                    "sell": [replace(sell(now, f"{number:06}"), title=f"SELL {number}")],
                    "buy": [replace(buy(now, f"{number:06}"), title=f"BUY {number}")],
                    "wait": [],
                }
                submitted: list[Alert] = alerts[what]
                for alert in submitted:
                    world.sender.submit(alert)
                await world.clock.wait(7)
            await world.clock.wait(900)
            assert world.sender.pending == []
        return world

    world = asyncio.run(live())
    ended_at = world.clock.now() - 907 * SECOND
    late = [at for at, name in world.tried[BLIND] if name == "ok" and at > ended_at]
    assert not late or world.tried[SEEN][-1][0] >= late[-1]
    for title, tries in world.tried.items():
        if title in (BLIND, SEEN):
            continue  # several alerts have these titles
        assert all(later - earlier >= 5 * SECOND for (earlier, _), (later, _) in pairwise(tries)), title
    times = sorted(at for tries in world.tried.values() for at, _ in tries)
    for at in times:
        assert sum(at <= other < at + 60 * SECOND for other in times) <= 12 * (len(story_of) + 1)
