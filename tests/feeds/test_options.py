"""The options feed: its pace, and what stands in for a silent stream."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.server import ServerConnection

from events import SECOND, Quote, QuoteSource
from feeds.massive.rest import Rest
from feeds.options import OptionsFeed, Wanted
from polygon_client import SessionClient
from sim.account import Plan
from tests.feeds.scene import (
    RULES,
    Script,
    Server,
    Watch,
    market,
    open_place,
    read_on,
    said,
    scripted,
    session,
    status,
    texts,
)
from tests.patience import PatientClock
from tests.wire import BASE, CALL, KEY, NOW, chain_row, frame, ok, option_quote


async def test_quotes_of_the_wanted_contracts_come_at_a_bearable_pace(logged: list[Any]) -> None:
    async with open_place(speed=12) as place:
        calls = place.calls(6)
        place.wanted = Wanted(contracts=frozenset(calls[:4]), held=calls[0])
        feed, watch = place.options()
        assert not feed.streaming
        await watch.until(lambda: len(watch.all(Quote)) > 80)
        assert feed.streaming
        assert place.server.subscriptions("options") == {f"Q.{contract}" for contract in calls[:4]}
        # Other contracts, another held one: only the difference is asked for.
        place.wanted = Wanted(contracts=frozenset(calls[2:6]), held=calls[0])
        await watch.until(lambda: {quote.contract for quote in watch.all(Quote)} == set(calls))
        assert place.server.subscriptions("options") == {f"Q.{c}" for c in {*calls[2:6], calls[0]}}
        assert len(place.server.connects["options"]) == 1
    assert "🔌 Connected: options, 4 of 4 subscribed" in texts(logged)
    quotes = [(at, quote) for at, quote in watch.seen if isinstance(quote, Quote)]
    for contract in calls:
        mine = [(at, quote) for at, quote in quotes if quote.contract == contract]
        assert [quote.at for _, quote in mine] == sorted(quote.at for _, quote in mine)
        assert all(quote.source is QuoteSource.STREAM for _, quote in mine)
        span = (mine[-1][0] - mine[0][0]) / SECOND
        assert len(mine) <= span * (4 if contract == calls[0] else 1) + 2
        for _, quote in mine:
            true = market().quote(contract, quote.at)
            assert true is not None and (quote.bid, quote.ask) == (
                round(true.bid * 10_000),
                round(true.ask * 10_000),
            )
    # The held one really comes faster.
    held, other = (sum(quote.contract == contract for _, quote in quotes[:80]) for contract in calls[:2])
    assert held > 1.5 * other


async def test_a_plan_without_quotes_is_told_once_and_the_held_contract_is_polled(logged: list[Any]) -> None:
    async with open_place(speed=200, plan=Plan(option_channels=("A",))) as place:
        calls = place.calls(3)
        place.wanted = Wanted(contracts=frozenset(calls), held=calls[1])
        feed, watch = place.options()
        await watch.until(lambda: len(place.server.connects["options"]) == 2, seconds=20)
        assert not feed.streaming
    polled = [(at, quote) for at, quote in watch.seen if isinstance(quote, Quote)]
    assert {(quote.contract, quote.source) for _, quote in polled} == {(calls[1], QuoteSource.POLL)}
    gaps = [(later - early) / SECOND for (early, _), (later, _) in itertools.pairwise(polled)]
    assert len(gaps) > 50 and min(gaps) > 1.0
    assert place.gaps("options")[0] >= 300
    lines = [entry["text"] for entry in logged if entry["event"] in ("options_lost", "quotes_polled")]
    why = "not authorized: the plan does not include option quotes"
    assert lines == [
        f"🔌 Disconnected: options, {why}; next attempt in 300 s",
        f"⚠️ Option quotes are not streaming ({why}): polling the chain every 2 s instead",
    ]


async def test_a_silent_stream_is_replaced_by_polls_and_comes_back(logged: list[Any]) -> None:
    async with open_place(speed=100) as place:
        calls = place.calls(3)
        place.wanted = Wanted(contracts=frozenset(calls), held=None)
        feed, watch = place.options()
        await watch.until(lambda: len(watch.all(Quote)) > 10)
        place.faults.add("silence", feed="options")
        await watch.until(lambda: len(place.server.connects["options"]) == 2)
        assert not feed.streaming
        silent_at = place.clock.now()
        await watch.until(lambda: place.clock.now() - silent_at > 100 * SECOND)
        # Reopened once; more would not help while nothing is quoted.
        assert len(place.server.connects["options"]) == 2 and not feed.streaming
        place.faults.clear()
        await watch.until(lambda: feed.streaming)
        await watch.until(lambda: any(entry["event"] == "quotes_streaming" for entry in logged))
    told = [entry["text"] for entry in logged if entry["event"] in ("quotes_polled", "quotes_streaming")]
    assert told == [
        "⚠️ Option quotes are not streaming (silent): polling the chain every 2 s instead",
        "✓ Option quotes are streaming again: polling the chain every 5 s",
    ]


@pytest.mark.parametrize("fault", ["evict", "drop", "refuse_auth"])
async def test_trouble_with_options_ends_nothing(fault: str) -> None:
    async with open_place(speed=600) as place:
        place.wanted = Wanted(contracts=frozenset(place.calls(3)))
        if fault == "refuse_auth":
            place.faults.add("refuse_auth", feed="options")
        feed, watch = place.options()
        if fault != "refuse_auth":
            await watch.until(lambda: feed.streaming)
            place.faults.add(fault, feed="options")
        await watch.until(lambda: len(place.server.connects["options"]) == 2 and feed.streaming)
        assert place.gaps("options")[0] >= {"evict": 60, "drop": 1, "refuse_auth": 300}[fault]


def script_quotes(*quotes: dict[str, Any]) -> Script:
    async def script(connection: ServerConnection) -> None:
        await connection.send(frame(status("connected")))
        await connection.recv()
        await connection.send(frame(status("auth_success")))
        pairs = json.loads(await connection.recv())["params"].split(",")
        await connection.send(frame(*(status("success", f"subscribed to: {pair}") for pair in pairs)))
        for quote in quotes:
            await connection.send(frame(quote))
        await read_on(connection)

    return script


def timed_quote(milliseconds: int, sequence: int, bid: float, contract: str = CALL) -> dict[str, Any]:
    return option_quote(
        sym=contract, t=NOW // 1000 + 599_000 + milliseconds, q=sequence, bp=bid, ap=bid + 0.02
    )


@contextlib.asynccontextmanager
async def scripted_options(
    script: Script, server: Server, wanted: Wanted, speed: float = 10
) -> AsyncIterator[tuple[OptionsFeed, Watch]]:
    clock = PatientClock(NOW + 600 * SECOND, speed)
    rest = Rest(BASE, KEY, clock, httpx.MockTransport(server))
    async with scripted(script) as (url, _):
        client = SessionClient(
            rest=rest, ws_url=url, api_key=KEY, clock=clock, rules=RULES, session=session(), rng=random.Random(1),
            step_s=5.0,
        )  # fmt: skip
        feed = client.options(wanted=lambda: wanted)
        watch = Watch(feed.events(), clock)
        try:
            yield feed, watch
        finally:
            await watch.stop()
            await rest.aclose()


async def test_only_the_newest_quote_of_a_contract_is_handed_on() -> None:
    script = script_quotes(
        timed_quote(100, 5, 0.86), timed_quote(100, 7, 0.88), timed_quote(100, 6, 0.99), timed_quote(50, 9, 0.99),
        timed_quote(100, 7, 0.99), timed_quote(10, 1, 0.50, "O:IWM251002C00216000"),
    )  # fmt: skip
    other = "O:IWM251002C00216000"
    wanted = Wanted(contracts=frozenset({CALL, other}))
    async with scripted_options(script, Server(said(404)), wanted) as (_, watch):
        await watch.until(lambda: len(watch.all(Quote)) >= 2)
        await asyncio.sleep(0.3)
    assert [(quote.contract, quote.bid) for quote in watch.all(Quote)] == [(CALL, 8800), (other, 5000)]


async def test_a_held_quote_without_change_is_confirmed_after_a_while(logged: list[Any]) -> None:
    async def chatter(connection: ServerConnection) -> None:
        await script_quotes_head(connection)
        for n in range(10_000):
            await connection.send(frame(timed_quote(n, n, 0.5, "O:IWM251002C00216000")))
            await asyncio.sleep(0.02)

    async def script_quotes_head(connection: ServerConnection) -> None:
        await connection.send(frame(status("connected")))
        await connection.recv()
        await connection.send(frame(status("auth_success")))
        pairs = json.loads(await connection.recv())["params"].split(",")
        await connection.send(frame(*(status("success", f"subscribed to: {pair}") for pair in pairs)))
        await connection.send(frame(timed_quote(0, 1, 0.86)))

    server = Server(said(404), ok(chain_row()))
    wanted = Wanted(contracts=frozenset({"O:IWM251002C00216000"}), held=CALL)
    async with scripted_options(chatter, server, wanted, speed=20) as (feed, watch):

        def held() -> list[tuple[int, Quote]]:
            return [(at, quote) for at, quote in watch.seen if quote.contract == CALL]

        await watch.until(lambda: len(held()) >= 3)
        assert feed.streaming
    first, *polled = held()
    assert first[1].source is QuoteSource.STREAM
    assert {quote.source for _, quote in polled} == {QuoteSource.POLL}
    # The first answer failed, and was asked for again at the pace of polls: 5 s, less what a busy machine takes to see
    # the first quote (0.1 s are two of the market's).
    assert (polled[0][0] - first[0]) / SECOND >= 15 + 2
    assert (polled[1][0] - polled[0][0]) / SECOND >= 3
    assert [entry["event"] for entry in logged].count("confirm_failed") == 1
