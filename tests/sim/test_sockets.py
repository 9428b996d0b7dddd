"""The sockets of the loopback market: auth, subscriptions, eviction."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosedError

from events import SECOND
from sim.account import Plan
from sim.wire import bar_event
from tests.sim.clients import KEY, Raw, serving, versions
from tests.sim.days import calls


async def test_bars_come_as_the_day_has_them_until_they_are_unsubscribed() -> None:
    async with serving() as server, Raw(server) as client:
        assert await client.statuses(1) == [("connected", "Connected Successfully")]
        await client.say("auth", KEY)
        assert await client.statuses(1) == [("auth_success", "authenticated")]
        await client.say("subscribe", "A.IWM,A.SPY")
        assert await client.statuses(2) == [
            ("success", "subscribed to: A.IWM"),
            ("success", "subscribed to: A.SPY"),
        ]
        assert server.subscriptions("stocks") == {"A.IWM", "A.SPY"} and server.open_connections("stocks") == 1
        for event in await client.data(40):
            # Held for two seconds, and what is said is the day's bar, digit for digit.
            assert server.clock.now() >= event["e"] * 1000 + 2 * SECOND and event["e"] == event["s"] + 1000
            assert event in [bar_event(bar) for bar in versions(event)]
            assert event["v"] == int(float(event["dv"]))
        await client.say("unsubscribe", "A.SPY,A.QQQ")
        assert await client.statuses(1) == [("success", "unsubscribed to: A.SPY")]
        client.forget()
        assert {event["sym"] for event in await client.data(15)} == {"IWM"}
    assert server.ended[0].code == 1000 and server.ended[0].cluster == "stocks"


async def test_only_a_new_pair_of_a_known_channel_is_acknowledged() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.IWM")
        # A repeat and an unknown channel get no word, an unknown ticker gets an empty promise.
        await client.say("subscribe", "A.IWM,ZZ.IWM,A.IWMM,A.SPY")
        assert await client.statuses(2) == [
            ("success", "subscribed to: A.IWMM"),
            ("success", "subscribed to: A.SPY"),
        ]
        await client.data(30)
        assert "A.IWMM" in server.subscriptions("stocks")
        said = [event for frame in client.frames for event in frame if event["ev"] == "status"]
        assert len(said) == 5


async def test_acknowledgements_come_in_one_frame_or_in_many() -> None:
    shapes = set()
    async with serving() as server:
        for _ in range(2):
            async with Raw(server) as client:
                await client.subscribed("A.IWM", "A.SPY", "A.QQQ")
                acknowledged = [frame for frame in client.frames if frame[-1].get("status") == "success"]
                shapes.add(len(acknowledged))
    assert shapes == {1, 3}


async def test_a_channel_outside_the_plan_is_refused_and_the_others_are_served() -> None:
    async with serving(plan=Plan(option_channels=("A", "T"))) as server, Raw(server, "options") as client:
        contract = calls(server.market)[0]
        await client.say("auth", KEY)
        await client.statuses(2)
        await client.say("subscribe", f"Q.{contract},A.{contract}")
        assert await client.statuses(2) == [
            ("error", "not authorized"),
            ("success", f"subscribed to: A.{contract}"),
        ]
        assert server.subscriptions("options") == {f"A.{contract}"}


@pytest.mark.parametrize(
    ("key", "plan", "text"),
    [
        ("wrong", Plan(), "authentication failed"),
        (KEY, Plan(websocket=False), "Your plan doesn't include websocket access."),
    ],
)
async def test_refused_keys_are_dropped_without_a_close_frame(key: str, plan: Plan, text: str) -> None:
    async with serving(plan=plan) as server, Raw(server) as client:
        await client.say("auth", key)
        assert (await client.statuses(2))[1] == ("auth_failed", text)
        error = await client.closing()
        assert isinstance(error, ConnectionClosedError) and error.rcvd is None


async def test_a_client_that_does_not_authenticate_is_dropped_and_gets_no_data() -> None:
    async with serving(auth_real_seconds=0.3) as server, Raw(server) as client:
        await client.say("subscribe", "A.SPY")
        assert (await client.statuses(2))[1] == ("auth_timeout", "No authentication request received.")
        assert (await client.closing()).rcvd is None
        assert len(client.frames) == 2


async def test_nonsense_from_the_client_is_ignored() -> None:
    async with serving() as server, Raw(server) as client:
        for text in (
            "not json",
            "[]",
            '{"action":"auth"}',
            '{"action":"auth","params":7}',
            '{"action":"ping"}',
        ):
            await client.socket.send(text)
        await client.subscribed("A.SPY")
        assert (await client.data(1))[0]["sym"] == "SPY"


async def test_a_newcomer_evicts_the_older_connection_of_its_cluster_only() -> None:
    async with serving() as server, Raw(server) as old, Raw(server, "options") as other, Raw(server) as new:
        await old.subscribed("A.SPY")
        await other.subscribed(f"Q.{calls(server.market)[0]}")
        await new.subscribed("A.SPY")
        error = await old.closing()
        assert error.rcvd is not None and (error.rcvd.code, error.rcvd.reason) == (1008, "")
        status = old.frames[-1][0]
        assert status["status"] == "max_connections" and "connection limit" in status["message"]
        assert [cluster for cluster, _ in server.evictions] == ["stocks"]
        assert await new.data(3) and server.open_connections("options") == 1
        assert len(server.connects["stocks"]) == 2
