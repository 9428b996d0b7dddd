"""Why there is no beat, one reason after the other, and what is posted to ``/fail``."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from pydantic import SecretStr

from engine import Engine
from events import SECOND, FeedCause, FeedLost, FeedRestored, Hold, HoldReason, Tick
from rules import Rules
from tests.builders import SESSION, at, bar
from tests.virtual_loop import LoopClock
from worker.heartbeat import FAIL_REAL_S, HEARTBEAT_S, Heartbeat, no_beat_reason

SEEN_S = 60
"""Seconds after the open of the newest bar of `watching`."""


def watching() -> Engine:
    """An engine that has seen bars of both symbols for a minute, and is told nothing more."""
    rules = Rules()
    engine = Engine(rules, SESSION)
    engine.handle(at(0), FeedRestored())
    for second in range(SEEN_S + 1):
        engine.handle(at(second + 2), bar(second))
        engine.handle(at(second + 2), bar(second, 660.0, symbol="SPY"))
    return engine


def why(engine: Engine | None, second: float = SEEN_S + 3, *, pushes_answered: bool = True) -> str:
    return no_beat_reason(at(second), engine, pushes_answered=pushes_answered)


def test_bars_that_come_and_pushes_that_are_answered_are_a_beat() -> None:
    assert why(watching()) == ""


def test_a_session_that_nobody_watches_is_none() -> None:
    assert why(None, -1) == ""
    assert why(None, 0) == "the session is not watched"


def test_a_feed_that_cannot_be_seen_is_none() -> None:
    engine = watching()
    engine.handle(at(SEEN_S + 3), FeedLost(cause=FeedCause.DROPPED))
    assert why(engine) == "feed blind (connection lost)"


def test_a_symbol_without_new_bars_is_none_even_while_no_fact_comes() -> None:
    engine = watching()
    longest = engine.rules.symbol_unseen_seconds + 1
    assert why(engine, SEEN_S + longest) == ""
    assert why(engine, SEEN_S + longest + 0.001) == "no new bar of IWM"


def test_held_entries_and_a_push_service_that_does_not_answer_are_none() -> None:
    engine = watching()
    engine.handle(at(SEEN_S + 3), Hold(reason=HoldReason.PUSH_REFUSED, on=True))
    assert why(engine).startswith("entries held (")
    engine.handle(at(SEEN_S + 3), Hold(reason=HoldReason.PUSH_REFUSED, on=False))
    engine.handle(at(SEEN_S + 3), Tick())
    assert why(engine) == ""
    assert why(engine, pushes_answered=False) == "Pushover is not answering properly"


class Service(httpx.AsyncBaseTransport):
    """The outside service; it answers after so many seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self.heard: list[tuple[str, str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.heard.append((f"{request.method} {request.url.path}", (await request.aread()).decode()))
        await asyncio.sleep(self._seconds)
        return httpx.Response(200, text="OK")


def heartbeat(service: Service, judged: str = "") -> Heartbeat:
    clock = LoopClock(SESSION.open)
    return Heartbeat(SecretStr("https://example.com/abc"), clock, lambda _: judged, service)


@pytest.mark.virtual_time
async def test_what_is_told_while_the_worker_goes_on_is_posted_at_the_next_check() -> None:
    service = Service()
    heart = heartbeat(service, "feed blind")
    beating = asyncio.create_task(heart.run())
    await asyncio.sleep(10.5)
    for text in ("never delivered: SELL", "never delivered: unwatched"):
        heart.tell(text)
    await asyncio.sleep(1)
    assert service.heard == [
        ("POST /abc/fail", "never delivered: SELL"),
        ("POST /abc/fail", "never delivered: unwatched"),
    ]
    beating.cancel()
    await heart.close()


@pytest.mark.virtual_time
async def test_a_service_that_does_not_answer_delays_the_end_by_seconds_only() -> None:
    heart, loop = heartbeat(Service(100)), asyncio.get_running_loop()
    began = loop.time()
    await heart.fail("exit 1")
    assert loop.time() - began == pytest.approx(FAIL_REAL_S)
    await heart.close()


@pytest.mark.virtual_time
async def test_it_beats_once_a_minute_after_start_while_nothing_is_wrong() -> None:
    service = Service()
    heart = heartbeat(service)
    beating = asyncio.create_task(heart.run())
    await asyncio.sleep(3 * HEARTBEAT_S + 2)
    assert [what for what, _ in service.heard] == ["GET /abc/start", "GET /abc", "GET /abc", "GET /abc"]
    beating.cancel()
    await heart.close()


@pytest.mark.virtual_time
async def test_a_clock_that_steps_forward_is_no_minute_of_work() -> None:
    service, clock = Service(), LoopClock(SESSION.open)
    heart = Heartbeat(SecretStr("https://example.com/abc"), clock, lambda _: "", service)
    beating = asyncio.create_task(heart.run())
    await asyncio.sleep(10)
    clock.go_on_from(clock.now() + 3_600 * SECOND)
    await asyncio.sleep(10)
    assert service.heard == []
    beating.cancel()
    await heart.close()
