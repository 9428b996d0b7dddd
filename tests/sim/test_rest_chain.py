"""The option chain over the loopback market's REST."""

from __future__ import annotations

import pytest

from tests.sim.clients import CHAIN, KEY, rest, serving
from tests.sim.days import calls


async def test_the_pages_of_the_chain_hold_every_call_once_and_never_the_key() -> None:
    async with serving() as server, rest(server) as client:
        query = {
            "expiration_date": "2025-10-02",
            "contract_type": "call",
            "limit": "20",
            "sort": "strike_price",
        }
        url: str | None = CHAIN
        params: dict[str, str] | None = query
        strikes: list[float] = []
        pages = 0
        while url:
            body = (await client.get(url, params=params)).json()
            assert body["status"] == "OK" and body["request_id"]
            strikes += [row["details"]["strike_price"] for row in body["results"]]
            url, params, pages = body.get("next_url"), None, pages + 1
            assert url is None or (url.startswith(server.rest_url) and KEY not in url)
        assert strikes == sorted(server.market.strike(name) for name in calls(server.market))
        assert pages == -(-len(strikes) // 20)
        assert server.requests[0].query == query and server.requests[0].path == CHAIN


async def test_the_full_last_page_has_no_next_url() -> None:
    async with serving() as server, rest(server) as client:
        count = len(calls(server.market))
        body = (await client.get(CHAIN, params={"contract_type": "put", "limit": count})).json()
        assert len(body["results"]) == count and "next_url" not in body


@pytest.mark.parametrize(
    ("query", "strikes"),
    [
        ({"strike_price": "240"}, [240]),
        ({"strike_price.gte": "240", "strike_price.lt": "243"}, [240, 241, 242]),
        ({"strike_price.gt": "240", "strike_price.lte": "242", "order": "desc"}, [242, 241]),
        ({"strike_price.gte": "240", "strike_price.lt": "242", "strike_price_gte": "999"}, [240, 241]),
        ({"expiration_date": "2025-10-03"}, []),
        ({"expiration_date.lte": "2025-10-01"}, []),
        ({"expiration_date.gte": "2025-10-02", "strike_price": "238"}, [238]),
    ],
)
async def test_filters_with_a_dot_compare_and_unknown_names_are_ignored(
    query: dict[str, str], strikes: list[int]
) -> None:
    async with serving() as server, rest(server) as client:
        body = (await client.get(CHAIN, params={"contract_type": "call", **query})).json()
        assert [row["details"]["strike_price"] for row in body["results"]] == strikes


async def test_ten_rows_come_without_a_limit_and_a_bad_one_is_refused() -> None:
    async with serving() as server, rest(server) as client:
        assert len((await client.get(CHAIN)).json()["results"]) == 10
        for query in (
            {"limit": "251"},
            {"limit": "x"},
            {"cursor": "x"},
            {"sort": "z"},
            {"strike_price": "x"},
        ):
            assert (await client.get(CHAIN, params=query)).status_code == 400
        assert (await client.get("/v3/snapshot/options/QQQ")).json()["results"] == []


async def test_one_contract_is_an_object_and_an_unlisted_one_is_not_found() -> None:
    async with serving() as server, rest(server) as client:
        name = calls(server.market)[20]
        body = (await client.get(f"{CHAIN}/{name}")).json()
        assert body["results"]["details"]["ticker"] == name and body["results"]["last_quote"]["ask"] > 0
        missing = await client.get(f"{CHAIN}/O:IWM251002C00999000")
        assert missing.status_code == 404 and missing.json()["status"] == "NOT_FOUND"
