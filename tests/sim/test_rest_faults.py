"""Faults of the loopback market's REST."""

from __future__ import annotations

import asyncio
import json
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from events import SECOND
from tests.sim.clients import CHAIN, aggregates, rest, serving
from tests.sim.days import OPEN


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("rest_429", 429, "exceeded the maximum requests"),
        ("rest_500", 500, "ERROR"),
        ("rest_html", 504, "<center>nginx"),
        ("rest_401", 401, "Unknown API Key"),
        ("rest_403", 403, "NOT_AUTHORIZED"),
        ("rest_empty", 200, '"status":"OK"'),
        ("rest_no_rows", 200, '"results":[]'),
        ("rest_null", 200, '"results":null'),
        ("rest_bad_json", 200, '"results":['),
    ],
)
async def test_rest_faults_happen_once_and_pass(name: str, status: int, text: str) -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add(name, path="/v3/snapshot")
        assert (await client.get("/v1/marketstatus/now")).status_code == 200
        response = await client.get(CHAIN)
        assert response.status_code == status and text in response.text
        assert response.headers.get("Retry-After") == ("1" if name == "rest_429" else None)
        assert ("html" in response.headers["Content-Type"]) == (name == "rest_html")
        if name == "rest_bad_json":
            with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
                response.json()
        assert len((await client.get(CHAIN)).json()["results"]) == 10
        assert server.faults.fired == {name: 1}


async def test_rest_reset_and_rest_hang_end_the_connection_once() -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add("rest_reset")
        with pytest.raises(httpx.ReadError):
            await client.get(CHAIN)
        server.faults.add("rest_hang", real_seconds=0.2)
        with pytest.raises(httpx.ReadError):
            await client.get(CHAIN)
        assert (await client.get(CHAIN)).status_code == 200
    assert server.faults.fired == {"rest_reset": 1, "rest_hang": 1}


async def test_a_slow_drip_never_pauses_long_enough_for_an_inactivity_timeout() -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add("rest_slow")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.1):
                await client.get("/v1/marketstatus/now", timeout=0.7)
    assert server.faults.fired == {"rest_slow": 1}


async def test_next_url_names_another_host_or_its_own_page() -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add("next_url_offhost", host="http://203.0.113.1")
        assert (await client.get(CHAIN)).json()["next_url"].startswith("http://203.0.113.1/v3/")
        server.faults.add("next_url_loop")
        assert (await client.get(CHAIN)).json()["next_url"] == f"{server.rest_url}{CHAIN}"
    assert server.faults.fired == {"next_url_offhost": 1, "next_url_loop": 1}


async def test_rows_lack_quotes_or_say_delayed_while_the_fault_lasts() -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add("no_quotes")
        assert all("last_quote" not in row for row in (await client.get(CHAIN)).json()["results"])
        server.faults.clear()
        server.faults.add("delayed_quotes")
        rows = (await client.get(CHAIN)).json()["results"]
        assert {row["last_quote"]["timeframe"] for row in rows} == {"DELAYED"}
        server.faults.clear()
        rows = (await client.get(CHAIN)).json()["results"]
        assert {row["last_quote"]["timeframe"] for row in rows} == {"REAL-TIME"}


async def test_rows_are_well_formed_and_untrue_as_the_fault_says() -> None:
    async def rows(name: str, **options: Any) -> list[dict[str, Any]]:
        server.faults.clear()
        server.faults.add(name, **options)
        found: list[dict[str, Any]] = (await client.get(CHAIN)).json()["results"]
        assert server.faults.fired[name]
        return found

    async with serving() as server, rest(server) as client:
        good = (await client.get(CHAIN)).json()["results"]
        frozen = await rows("frozen_quotes", by=900)
        age = server.clock.now() * 1000 - max(row["last_quote"]["last_updated"] for row in frozen)
        assert 900 <= age / 1e9 < 1000
        assert {row["last_quote"]["timeframe"] for row in frozen} == {"REAL-TIME"}
        zero = await rows("zero_greeks")
        assert {value for row in zero for value in row.get("greeks", {}).values()} == {0}
        equal = await rows("absurd_delta", delta=0.4)
        assert {row["greeks"]["delta"] for row in equal if "greeks" in row} == {0.4}
        dear = await rows("absurd_quotes", factor=100.0)
        asks = [each[-1]["last_quote"]["ask"] for each in (good, dear)]
        assert asks[1] > 50 * asks[0]
        twice = await rows("adjusted_root", root="IWM1")
        names = [row["details"]["ticker"] for row in twice]
        assert names[0] == names[1].replace("O:IWM", "O:IWM1")
        assert len(twice) == 2 * len(good)


async def test_bad_pages_still_hold_the_good_rows() -> None:
    async with serving() as server, rest(server) as client:
        good = [row["details"]["ticker"] for row in (await client.get(CHAIN)).json()["results"]]
        server.faults.add("bad_page", path="/v3/")
        server.faults.add("bad_page", path="/v2/", nan=False)
        page = await client.get(CHAIN)
        assert "NaN" in page.text
        rows = json.loads(page.text)["results"]
        assert len(rows) > 30 and None in rows
        found = [row["details"]["ticker"] for row in rows if isinstance(row, dict) and row.get("details")]
        assert set(good) <= set(found)
        bars = await client.get(aggregates("IWM", OPEN, OPEN + 20 * SECOND))
        assert "NaN" not in bars.text and None in bars.json()["results"]
    assert server.faults.fired == {"bad_page": 2}


async def test_the_status_closes_the_date_is_skewed_and_aggregates_lag() -> None:
    async with serving(speed=1.0) as server, rest(server) as client:
        server.faults.add("market_closed")
        server.faults.add("skewed_date", by=-40)
        server.faults.add("aggregates_lag", by=600)
        response = await client.get("/v1/marketstatus/now")
        assert response.json()["market"] == response.json()["exchanges"]["nyse"] == "closed"
        behind = server.clock.now() / SECOND - parsedate_to_datetime(response.headers["Date"]).timestamp()
        assert 39 <= behind < 46
        now = server.clock.now()
        body = (await client.get(aggregates("SPY", now - 700 * SECOND, now))).json()
        assert body["results"][-1]["t"] * 1000 < now - 590 * SECOND
    assert all(server.faults.fired[name] for name in ("market_closed", "skewed_date", "aggregates_lag"))


async def test_a_cached_answer_names_its_age_and_a_proxy_may_take_the_date_away() -> None:
    async with serving(speed=1.0) as server, rest(server) as client:
        server.faults.add("cached", by=100)
        response = await client.get("/v1/marketstatus/now")
        dated = parsedate_to_datetime(response.headers["Date"]).timestamp() + int(response.headers["Age"])
        assert 0 <= server.clock.now() / SECOND - dated < 6
        server.faults.clear()
        server.faults.add("no_date")
        assert "Date" not in (await client.get("/v1/marketstatus/now")).headers
