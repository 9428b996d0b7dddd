"""Faults of a connection: drops, evictions, refusals, silence."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from tests.sim.clients import KEY, Raw, serving


async def test_drop_ends_an_open_connection_and_the_next_works() -> None:
    async with serving() as server:
        async with Raw(server) as client:
            await client.subscribed("A.SPY")
            server.faults.add("drop", feed="stocks")
            error = await client.closing()
            assert isinstance(error, ConnectionClosedError) and error.rcvd is None
        async with Raw(server) as client:
            await client.subscribed("A.SPY")
            assert await client.data(2)
    assert server.faults.fired["drop"] == 1
    assert [ended.code for ended in server.ended] == [None, 1000]


@pytest.mark.parametrize(
    ("stage", "reached"),
    [
        ("open", []),
        ("auth", ["connected", "auth_success"]),
        ("subscribe", ["connected", "auth_success", "success"]),
    ],
)
async def test_a_drop_ends_the_connection_at_its_stage(stage: str, reached: list[str]) -> None:
    async with serving() as server:
        server.faults.add("drop", stage=stage)
        async with Raw(server) as client:
            with contextlib.suppress(ConnectionClosed):
                await client.subscribed("A.SPY")
            assert (await client.closing()).rcvd is None
    said = [event["status"] for frame in client.frames for event in frame if event["ev"] == "status"]
    assert said == reached
    assert server.faults.fired == {"drop": 1}


@pytest.mark.parametrize("pings", [True, False])
async def test_silence_keeps_the_socket_open(pings: bool) -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.SPY")
        await client.data(1)
        server.faults.add("silence", feed="stocks", pings=pings)
        client.forget()
        answered = await client.socket.ping()
        done, _ = await asyncio.wait([asyncio.ensure_future(answered)], timeout=5 if pings else 0.3)
        assert bool(done) == pings
        fired = server.faults.fired["silence"]
        await server.clock.sleep(20)
        assert server.faults.fired["silence"] > fired
        last = max(
            (event["s"] for frame in client.frames for event in frame if event["ev"] == "A"), default=0
        )
        server.faults.clear("silence")
        after = [event["s"] for event in await client.data(8)]
        assert max(after) - last >= 15_000


async def test_evict_closes_as_if_a_second_copy_connected() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.SPY")
        await client.data(1)
        server.faults.add("evict", feed="stocks", after=1.5)
        error = await client.closing()
        assert error.rcvd is not None and (error.rcvd.code, error.rcvd.reason) == (1008, "")
        assert client.frames[-1][-1]["status"] == "max_connections"
    assert server.faults.fired["evict"] == 1 and len(server.evictions) == 1


async def test_evict_comes_again_while_it_lasts() -> None:
    async with serving() as server:
        server.faults.add("evict", feed="stocks", seconds=600)
        for _ in range(3):
            async with Raw(server) as client:
                await client.subscribed("A.SPY")
                assert (await client.closing()).rcvd is not None
    assert server.faults.fired["evict"] == 3


async def test_a_handshake_or_auth_is_refused_as_the_fault_says() -> None:
    async with serving() as server:
        server.faults.add("refuse_auth", plan=True)
        async with Raw(server) as client:
            await client.say("auth", KEY)
            assert (await client.statuses(2))[1][1] == "Your plan doesn't include websocket access."
            assert (await client.closing()).rcvd is None
        server.faults.add("max_connections_at_auth")
        async with Raw(server) as client:
            await client.say("auth", KEY)
            assert (await client.statuses(2))[1][0] == "max_connections"
            assert (error := await client.closing()).rcvd is not None and error.rcvd.code == 1008
        server.faults.add("accept_then_close", code=1001)
        async with Raw(server) as client:
            assert (error := await client.closing()).rcvd is not None and error.rcvd.code == 1001
        server.faults.add("handshake", status=429)
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{server.ws_url}/stocks", proxy=None)
        assert refused.value.response.status_code == 429
        server.faults.add("no_connected")
        async with Raw(server) as client:
            await client.say("auth", KEY)
            assert await client.statuses(1) == [("auth_success", "authenticated")]
    names = ("refuse_auth", "max_connections_at_auth", "accept_then_close", "handshake", "no_connected")
    assert server.faults.fired == dict.fromkeys(names, 1)
    assert len(server.connects["stocks"]) == 5


async def test_a_pair_without_an_acknowledgement_is_not_served() -> None:
    async with serving() as server, Raw(server) as client:
        server.faults.add("no_ack", pair="A.IWM")
        await client.say("auth", KEY)
        await client.say("subscribe", "A.IWM,A.SPY")
        assert (await client.statuses(3))[2] == ("success", "subscribed to: A.SPY")
        assert {event["sym"] for event in await client.data(10)} == {"SPY"}
    assert server.faults.fired["no_ack"] == 1
