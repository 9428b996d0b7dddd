"""Bars that come twice, late, corrected, from elsewhere or never, and what the chain may lack, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest

from events import SECOND
from sim.loop import LoopClock, SimLoop
from sim.network import Network
from sim.server import LoopbackMarket
from tests.sim.clients import CHAIN, KEY, Raw, aggregates, rest
from tests.sim.days import OPEN, day

BEGIN = OPEN + 3_600 * SECOND

QUERY = {"contract_type": "call", "expiration_date": "2025-10-02", "limit": "250"}

Events = list[dict[str, Any]]


def play(work: Callable[[LoopbackMarket, LoopClock], Coroutine[Any, Any, Any]]) -> Any:
    """Plays something with the market on a loop of its own."""
    loop = SimLoop(Network(random.Random(1)))

    async def all_of_it() -> Any:
        clock = LoopClock(BEGIN)
        async with LoopbackMarket(day(), clock, KEY) as server:
            return await work(server, clock)

    try:
        return loop.run_until_complete(all_of_it())
    finally:
        loop.close()


async def heard(server: LoopbackMarket, seconds: float, *pairs: str) -> Events:
    """What comes in so many seconds of a subscription."""
    got: Events = []
    end = asyncio.get_running_loop().time() + seconds
    async with Raw(server, "options" if pairs[0].startswith("Q") else "stocks") as client:
        await client.subscribed(*pairs)
        while asyncio.get_running_loop().time() < end:
            with contextlib.suppress(TimeoutError):  # the client gives up after 8 s of silence
                async with asyncio.timeout_at(end):
                    got.extend(await client.data(1))
    return got


def bars(seconds: float, fault: str = "", **options: Any) -> tuple[Events, int]:
    """The bars of both funds in so many seconds under a fault, and how often it happened."""

    async def work(server: LoopbackMarket, _: LoopClock) -> tuple[Events, int]:
        asked = server.faults.add(fault, **options) if fault else None
        found = await heard(server, seconds, "A.IWM", "A.SPY")
        return found, 0 if asked is None else asked.fired

    found: tuple[Events, int] = play(work)
    return found


def seconds_of(events: Events) -> list[tuple[str, int]]:
    return [(event["sym"], event["s"]) for event in events]


def test_without_a_fault_each_second_comes_once_but_for_its_corrections() -> None:
    events, _ = bars(60)
    firsts = [key for key, count in Counter(seconds_of(events)).items() if count == 1]
    assert len(events) > 80 and len(firsts) > 0.9 * len(events)


def test_each_frame_comes_twice() -> None:
    events, fired = bars(20, "duplicates", feed="stocks")
    assert fired and all(count % 2 == 0 for count in Counter(map(repr, events)).values())


def test_a_burst_brings_the_last_frame_again_and_again() -> None:
    events, fired = bars(20, "burst", frames=300)
    assert fired == 1 and Counter(map(repr, events)).most_common(1)[0][1] > 300


def test_bars_of_another_symbol_and_of_the_day_before_come_beside_the_good_ones() -> None:
    good, _ = bars(20)
    events, fired = bars(20, "wrong_symbol", other="QQQ")
    assert [event for event in events if event["sym"] != "QQQ"] == good
    assert (
        len(events) == 2 * len(good) <= 2 * fired
    )  # some were sent before the subscription, or after the end
    events, fired = bars(20, "wrong_day", symbol="IWM")
    old = [event for event in events if event["s"] * 1_000 < OPEN]
    assert 0 < len(old) <= fired and {event["sym"] for event in old} == {"IWM"}
    assert [event for event in events if event not in old] == good


def test_bars_of_the_future_end_so_far_ahead() -> None:
    events, fired = bars(20, "future", symbol="SPY", by=60.0, times=2)
    ahead = [event for event in events if event["e"] * 1_000 > BEGIN + 50 * SECOND]
    assert fired == 2 == len(ahead) and {event["sym"] for event in ahead} == {"SPY"}


def test_missed_bars_are_on_rest_alone() -> None:
    async def work(server: LoopbackMarket, clock: LoopClock) -> None:
        fault = server.faults.add("missed_bars", symbol="IWM", share=0.6)
        events = await heard(server, 60, "A.IWM", "A.SPY")
        sent = {event["s"] for event in events if event["sym"] == "IWM"}
        async with rest(server) as client:
            answer = await client.get(aggregates("IWM", BEGIN, clock.now()), params={"limit": "50000"})
        known = {row["t"] for row in answer.json()["results"]}
        assert 10 < fired_share(fault.fired, len(known)) < 90 and len(known - sent) >= fault.fired - 5

    play(work)


def fired_share(fired: int, of: int) -> float:
    return 100 * fired / of


def test_bars_come_out_of_order() -> None:
    straight, _ = bars(40)
    events, fired = bars(40, "out_of_order", by=10.0)
    starts = [event["s"] for event in events]
    assert (
        fired > 30
        and starts != sorted(starts)
        and set(seconds_of(events))
        <= set(seconds_of(straight))
        | {(event["sym"], event["s"]) for event in events if event["s"] * 1_000 < BEGIN + 40 * SECOND}
    )


def test_corrections_come_later_and_rest_has_them_then() -> None:
    async def work(server: LoopbackMarket, clock: LoopClock) -> None:
        server.faults.add("corrections", share=1.0, age=20.0)
        events = await heard(server, 40, "A.IWM")
        versions = [event["dv"] for event in events if event["s"] == events[0]["s"]]
        assert len(versions) >= 2 and float(versions[-1]) == pytest.approx(
            float(versions[0]) * 1.25, abs=0.002
        )
        start = events[0]["s"] * 1_000
        async with rest(server) as client:
            answer = await client.get(aggregates("IWM", start, start + SECOND))
        assert answer.json()["results"][0]["v"] == pytest.approx(float(versions[-1]))

    play(work)


def test_in_a_halt_nothing_trades_and_nothing_is_known_of_it_later() -> None:
    async def work(server: LoopbackMarket, clock: LoopClock) -> None:
        fault = server.faults.add("halt", seconds=30)
        events = await heard(server, 60, "A.IWM", "A.SPY")
        starts = [event["s"] * 1_000 for event in events]
        assert fault.fired > 20 and [at for at in starts if BEGIN <= at < BEGIN + 30 * SECOND] == []
        assert [at for at in starts if at >= BEGIN + 30 * SECOND]
        async with rest(server) as client:
            answer = await client.get(aggregates("IWM", BEGIN, BEGIN + 30 * SECOND - 1))
        assert not answer.json().get("results")

    play(work)


# --- REST --------------------------------------------------------------------------------------------


def test_a_cut_page_and_the_body_of_an_error() -> None:
    async def work(server: LoopbackMarket, _: LoopClock) -> None:
        async with rest(server) as client:
            server.faults.add("truncated_page", path=CHAIN)
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(CHAIN, params=QUERY)
            server.faults.add("rest_error_body")
            answer = await client.get(CHAIN, params=QUERY)
            assert (answer.status_code, answer.json()["status"]) == (200, "ERROR")

    play(work)


def test_quotes_without_a_bid_polled_and_streamed() -> None:
    async def work(server: LoopbackMarket, _: LoopClock) -> None:
        async with rest(server) as client:
            rows = (await client.get(CHAIN, params=QUERY)).json()["results"]
            server.faults.add("zero_bids", share=1.0)
            spoilt = (await client.get(CHAIN, params=QUERY)).json()["results"]
        assert {row["last_quote"]["bid"] for row in spoilt} == {0}
        near = next(row["details"]["ticker"] for row in rows if row["last_quote"]["bid"] > 0.3)
        events = await heard(server, 10, f"Q.{near}")
        assert events and {(event["bp"], event["bs"]) for event in events} == {(0, 0)}

    play(work)


def test_a_contract_leaves_the_chain_and_the_stream() -> None:
    async def work(server: LoopbackMarket, _: LoopClock) -> None:
        async with rest(server) as client:
            rows = (await client.get(CHAIN, params=QUERY)).json()["results"]
            gone = rows[len(rows) // 2]["details"]["ticker"]
            server.faults.add("contract_gone", contract=gone)
            left = (await client.get(CHAIN, params=QUERY)).json()["results"]
            assert len(left) == len(rows) - 1 and gone not in [row["details"]["ticker"] for row in left]
            assert (await client.get(f"{CHAIN}/{gone}")).status_code == 404
        assert await heard(server, 5, f"Q.{gone}") == []

    play(work)
