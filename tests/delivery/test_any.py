"""Whatever a service answers, in whatever order: no SELL is forgotten, no entry released over one, no BUY sent late."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import SecretStr
from structlog.testing import capture_logs

from config import Settings
from delivery.sender import Sender
from events import SECOND, AlertKind, AlertOutcome, Event, Hold, HoldReason, Outcome
from tests.delivery.stories import ID, START, TOKEN, USER, buy, sell, system
from tests.virtual import VirtualClock

SELL_TIME_S = 150
"""How long the SELL of these stories is tried."""

QUOTA = {"X-Limit-App-Remaining": "0", "X-Limit-App-Reset": str(START // SECOND + 70)}
NO = {"status": 0, "errors": ["no"]}
PAGE = "<html>log in</html>"

ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "ok": (200, {"json": {"status": 1, "request": "r"}}),
    "status 0": (200, {"json": {"status": 0}}),
    "page": (200, {"text": PAGE}),
    "empty": (200, {}),
    "redirect": (302, {"headers": {"Location": "http://xn--zz--.example/"}}),
    "400": (400, {"json": NO}),
    "403": (403, {"text": PAGE}),
    "408": (408, {}),
    "429": (429, {"json": NO}),
    "quota": (429, {"json": NO, "headers": QUOTA}),
    "2100": (429, {"json": NO, "headers": {"X-Limit-App-Reset": "4102444800"}}),
    "500": (500, {"text": PAGE}),
    "502": (502, {"text": PAGE}),
    "504": (504, {"text": PAGE}),
}
LOSSES: dict[str, type[httpx.TransportError]] = {"no connection": httpx.ConnectError, "lost": httpx.ReadError}
KINDS = st.sampled_from([*ANSWERS, *LOSSES, "slow ok", "slow 500", "slow lost"])

ACCEPTS = {"ok", "slow ok"}


class World:
    """A service that gives scripted answers, the last again and again, and a sender on a virtual clock."""

    def __init__(self, pushes: list[str], questions: list[str], second: tuple[int, ...] = ()) -> None:
        self.clock = VirtualClock(START)
        self.second = deque(second)
        """Statuses that a second channel answers with, the last again and again; empty: there is none."""
        self.texts: list[tuple[int, str]] = []
        """When a text was posted to the second channel, and which."""
        self._answers = {"messages": deque(pushes), "other": deque(questions)}
        self.tried: dict[str, list[tuple[int, str]]] = defaultdict(list)
        """When an attempt for each title was made, and what it was answered."""
        self.facts: list[Event] = []
        self.untold_at_release: list[bool] = []
        self.sender = Sender(
            Settings(
                polygon_api_key=SecretStr("k"),
                pushover_token=SecretStr(TOKEN),
                pushover_user_key=SecretStr(USER),
                pushover_url="https://example.com",
                push_cap_count=0,
                second_channel_url=SecretStr("https://second.example/Canary" if second else ""),
            ),
            self.clock,
            self._learn,
            lambda _: None,
            httpx.MockTransport(self._answer),
        )

    def _learn(self, fact: Event) -> None:
        self.facts.append(fact)
        if isinstance(fact, Hold) and not fact.on:
            self.untold_at_release.append(any(alert.kind is AlertKind.SELL for alert in self.sender.pending))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "second.example":
            self.texts.append((self.clock.now(), request.content.decode()))
            return httpx.Response(self.second.popleft() if len(self.second) > 1 else self.second[0])
        is_push = request.url.path.endswith("messages.json")
        queue = self._answers["messages" if is_push else "other"]
        name = queue.popleft() if len(queue) > 1 else queue[0]
        if is_push:
            fields = parse_qs(request.content.decode())
            self.tried[fields["title"][0]].append((self.clock.now(), name))
        if name.startswith("slow "):
            await self.clock.sleep(8)
            name = name.removeprefix("slow ")
        if name in LOSSES:
            raise LOSSES[name]("gone")
        status, content = ANSWERS[name]
        return httpx.Response(status, **content)

    @property
    def outcomes(self) -> dict[AlertKind, Outcome]:
        return {
            fact.kind: fact.outcome
            for fact in self.facts
            if isinstance(fact, AlertOutcome) and not fact.channel
        }

    @property
    def elsewhere(self) -> list[AlertOutcome]:
        return [fact for fact in self.facts if isinstance(fact, AlertOutcome) and fact.channel]

    @property
    def is_held(self) -> bool:
        return HoldReason.PUSH_REFUSED in self.sender.holds


@asynccontextmanager
async def world_of(
    pushes: list[str], questions: list[str] | None = None, second: tuple[int, ...] = ()
) -> AsyncIterator[World]:
    """A running sender that has asked its first questions."""
    world = World(pushes, questions or ["ok"], second)
    running = asyncio.create_task(world.sender.run())
    try:
        await world.clock.wait(1)
        yield world
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled(), running


async def live(pushes: list[str], questions: list[str]) -> tuple[World, list[Any]]:
    """A BUY, a while later the SELL of another position, another BUY over it, until the SELL's time is over."""
    world = World(pushes, questions)
    with capture_logs() as logs:
        running = asyncio.create_task(world.sender.run())
        await world.clock.wait(1)
        world.sender.submit(buy(world.clock.now(), "bbbbbb"))
        await world.clock.wait(20)
        now = world.clock.now()
        world.sender.submit(replace(sell(now), give_up_at=now + SELL_TIME_S * SECOND))
        await world.clock.wait(40)
        world.sender.submit(replace(buy(world.clock.now(), "cccccc"), title="BUY again"))
        await world.clock.until(lambda: AlertKind.SELL in world.outcomes, SELL_TIME_S + 60)
        await world.clock.wait(50)
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled(), running
    return world, logs


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(KINDS, min_size=1, max_size=12),
    st.lists(st.sampled_from(["ok", "400", "500", "429", "page", "lost"]), min_size=1, max_size=6),
)
def test_whatever_is_answered(pushes: list[str], questions: list[str]) -> None:
    world, logs = asyncio.run(live(pushes, questions))
    sells = [tries for title, tries in world.tried.items() if "SELL" in title]
    answers = [name for tries in sells for _, name in tries]
    # It was accepted, or tried until its time was over, and is then named.
    if world.outcomes[AlertKind.SELL] is Outcome.ACCEPTED:
        assert answers[-1] in ACCEPTS
    else:
        assert not ACCEPTS & set(answers)
        assert [entry["id"] for entry in logs if entry["event"] == "could_not_deliver"] == [ID]
    # Entries were not released over it.
    assert not any(world.untold_at_release)
    # No BUY after its freshness, and no attempt within 5 s of the one before.
    for title, tries in world.tried.items():
        times = [at for at, _ in tries]
        assert all(later - earlier >= 5 * SECOND for earlier, later in pairwise(times)), (title, tries)
        if "BUY" in title:
            assert len(times) <= 3
            assert times[-1] - times[0] < 30 * SECOND


@pytest.mark.parametrize(
    "kind", ["429", "408", "403", "400", "quota", "2100", "status 0", "redirect", "empty"]
)
async def test_a_sell_that_meets_one_passing_error_is_told(kind: str) -> None:
    async with world_of([kind, "ok"]) as world:
        world.sender.submit(sell(world.clock.now()))
        # A quota without a believable reset is asked about after 10 minutes.
        assert await world.clock.until(lambda: world.outcomes, 601 if kind == "2100" else 75)
        assert world.outcomes == {AlertKind.SELL: Outcome.ACCEPTED}
        assert not world.is_held


@pytest.mark.parametrize("kind", ["403", "429", "500", "status 0", "no connection"])
async def test_a_sell_that_fails_three_times_holds_entries_until_it_is_told(kind: str) -> None:
    async with world_of([kind, kind, kind, kind, "ok"]) as world:
        world.sender.submit(sell(world.clock.now()))
        await world.clock.wait(14)
        assert not world.is_held
        await world.clock.wait(2)
        assert world.is_held
        assert world.outcomes == {}
        assert await world.clock.until(lambda: world.outcomes, 70)
        assert world.outcomes == {AlertKind.SELL: Outcome.ACCEPTED}
        assert not world.is_held


async def test_a_sell_that_an_earlier_start_left_holds_entries_until_it_is_told() -> None:
    async with world_of(["500", "ok"]) as world:
        world.sender.submit(replace(sell(world.clock.now()), repeat=True))
        assert world.is_held
        assert await world.clock.until(lambda: world.outcomes, 10)
        assert not world.is_held


async def test_a_refused_sell_is_tried_once_each_time_pushes_are_taken_again() -> None:
    async with world_of(["400", "400", "400", "ok"]) as world:
        world.sender.submit(sell(world.clock.now()))
        assert await world.clock.until(lambda: world.outcomes, 200)
        ((_, tries),) = world.tried.items()
        gaps = [later - earlier for (earlier, _), (later, _) in pairwise(tries)]
        assert len(tries) == 4
        assert all(60 * SECOND <= gap <= 62 * SECOND for gap in gaps)


async def test_a_refused_safety_push_waits_as_a_sell_does() -> None:
    async with world_of(["400", "ok"]) as world:
        world.sender.submit(system(world.clock.now(), position=ID))
        assert await world.clock.until(lambda: world.outcomes, 70)
        assert world.outcomes == {AlertKind.FEED_BLIND: Outcome.ACCEPTED}
        assert not world.is_held


@pytest.mark.parametrize("kind", ["slow ok", "500"])
async def test_what_troubles_the_sender(kind: str) -> None:
    async with world_of([kind]) as world:
        assert world.sender.trouble(world.clock.now()) == ""
        now = world.clock.now()
        world.sender.submit(sell(now))
        await world.clock.wait(61)
        assert world.sender.trouble(now + 60 * SECOND) == ""
        assert bool(world.sender.trouble(now + 60 * SECOND + 1)) is (kind == "500")
