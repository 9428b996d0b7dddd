"""Who may ask the loopback market's REST, and for what."""

from __future__ import annotations

from sim.account import Plan
from tests.sim.clients import CHAIN, KEY, rest, serving
from tests.sim.days import calls


async def test_rest_takes_the_key_as_bearer_or_parameter_and_never_keeps_it() -> None:
    async with serving() as server:
        async with rest(server, "") as client:
            body = await client.get(CHAIN)
            assert (body.status_code, body.json()["error"]) == (401, "API Key was not provided")
            assert (await client.get(CHAIN, params={"apiKey": KEY})).status_code == 200
        async with rest(server, "wrong") as client:
            body = await client.get(CHAIN)
            assert (body.status_code, body.json()["error"]) == (401, "Unknown API Key")
        assert KEY not in repr(server.requests)


async def test_what_the_plan_does_not_include_is_forbidden() -> None:
    async with serving(plan=Plan(chain=False, aggregates=False)) as server, rest(server) as client:
        for path in (CHAIN, f"{CHAIN}/{calls(server.market)[0]}", "/v2/aggs/ticker/IWM/range/1/second/0/1"):
            body = await client.get(path)
            assert body.status_code == 403 and body.json()["status"] == "NOT_AUTHORIZED"
            assert "upgrade your plan" in body.json()["message"]
