"""Faults of what is streamed: garbage, late, silent, repeated and absurd data."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from events import SECOND
from sim.bars import SimBar
from sim.broken import BROKEN_EVENTS, BROKEN_FRAMES, GARBAGE
from sim.wire import bar_event
from tests.sim.clients import Raw, rest, serving
from tests.sim.days import calls, day


async def test_every_kind_of_garbage_leaves_its_neighbours() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.IWM", "A.SPY")
        server.faults.add("garbage", feed="stocks", times=len(GARBAGE))
        raw: list[str | bytes] = []
        async with asyncio.timeout(8):
            while server.faults.fired["garbage"] < len(GARBAGE) or len(raw) < len(GARBAGE) + len(
                BROKEN_FRAMES
            ):
                raw.append(await client.socket.recv())
    assert set(BROKEN_FRAMES.values()) <= set(raw)
    mixed = [frame for frame in raw if frame not in BROKEN_FRAMES.values()]
    events = [event for frame in mixed for event in json.loads(frame)]
    good = [
        event
        for event in events
        if isinstance(event, dict)
        and event.get("ev") == "A"
        and isinstance(event.get("s"), int)
        and day().first_print(event.get("sym") or "", event["s"] * 1000)
        and event.get("c") == bar_event(_bar(event))["c"]
    ]
    # Each of the frames that were soiled still holds its good events.
    assert len(good) >= len(GARBAGE)
    assert len(events) - len(good) >= 3 * len(BROKEN_EVENTS) - 3


def _bar(event: dict[str, Any]) -> SimBar:
    bar = day().first_print(event["sym"], event["s"] * 1000)
    assert bar is not None
    return bar


async def test_late_bars_come_that_much_later() -> None:
    async with serving(speed=300.0) as server, Raw(server) as client:
        server.faults.add("late", by=120)
        await client.subscribed("A.SPY")
        for event in await client.data(10):
            assert server.clock.now() >= event["e"] * 1000 + 122 * SECOND
    assert server.faults.fired["late"] >= 10


async def test_a_new_connection_cures_one_late_symbol() -> None:
    async with serving(speed=300.0) as server:
        async with Raw(server) as client:
            server.faults.add("late", by=120, symbol="IWM", cured=True)
            await client.subscribed("A.IWM", "A.SPY")
            late = {event["sym"]: server.clock.now() >= event["e"] * 1000 + 122 * SECOND
                    for event in await client.data(400)}  # fmt: skip
            assert late == {"IWM": True, "SPY": False}
        async with Raw(server) as client:
            await client.subscribed("A.IWM")
            for event in await client.data(3):
                assert server.clock.now() < event["e"] * 1000 + 122 * SECOND


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_silent_symbol_is_not_sent_and_rest_knows_it_only_if_asked_to(is_known: bool) -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.IWM", "A.SPY")
        await client.data(4)
        server.faults.add("one_silent", symbol="IWM", rest=is_known)
        since = server.clock.now()
        client.forget()
        assert {event["sym"] for event in await client.data(20) if event["s"] * 1000 >= since} == {"SPY"}
        assert server.faults.fired["one_silent"] > 5
        begin, end = (since + 2 * SECOND) // 1000, server.clock.now() // 1000
        async with rest(server) as http:
            body = (await http.get(f"/v2/aggs/ticker/IWM/range/1/second/{begin}/{end}")).json()
        assert bool(body.get("results")) is is_known


async def test_repeat_flood_and_no_pong_happen_as_named() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.SPY")
        await client.data(1)
        server.faults.add("repeat", feed="stocks")
        await client.data(1)
        client.forget()
        assert len({json.dumps(event) for event in await client.data(5)}) == 1
        assert server.faults.fired["repeat"] >= 5
        server.faults.clear("repeat")
        server.faults.add("flood", feed="stocks", size=1_000)
        events: list[Any] = []
        while 1 not in events:
            events.append(await client.event())
        assert server.faults.fired["flood"] == 1
        server.faults.add("overload", feed="stocks", frames=2, copies=3)
        client.forget()
        bars = await client.data(7)
        assert max(bars.count(bar) for bar in bars) >= 6 and server.faults.fired["overload"] == 1
        server.faults.add("no_pong", feed="stocks")
        done, _ = await asyncio.wait([asyncio.ensure_future(await client.socket.ping())], timeout=0.3)
        assert not done and server.faults.fired["no_pong"] == 1


async def test_prints_and_streamed_quotes_are_well_formed_and_untrue() -> None:
    async with serving() as server:
        async with Raw(server) as client:
            await client.subscribed("A.IWM", "A.SPY")
            server.faults.add("absurd_print", symbol="IWM", factor=1.1, volume=100.0)
            prints = [event for event in await client.data(12) if event["sym"] == "IWM"]
            absurd = [event for event in prints if event["c"] > 1.05 * prints[-1]["c"]]
            known = [server.market.known("IWM", each["s"] * 1000, server.clock.now()) for each in absurd]
            assert len(absurd) == 1 and known[0] is not None
            assert absurd[0]["c"] == pytest.approx(known[0].close * 1.1, abs=0.001)
            assert float(absurd[0]["dv"]) > 50 * known[0].volume
        async with Raw(server, "options") as client:
            call = calls(server.market)[0]
            await client.subscribed(f"Q.{call}")
            server.faults.add("absurd_quotes", factor=100.0)
            client.forget()
            dear = (await client.data(2))[-1]
            real = server.market.quote(call, dear["t"] * 1000)
            assert real is not None
            assert dear["ap"] == pytest.approx(real.ask * 100)
    assert server.faults.fired["absurd_print"] == 1
    assert server.faults.fired["absurd_quotes"] >= 1
