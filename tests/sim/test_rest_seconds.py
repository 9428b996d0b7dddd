"""Second aggregates over the loopback market's REST."""

from __future__ import annotations

import pytest

from events import SECOND
from tests.sim.clients import KEY, aggregates, rest, serving
from tests.sim.days import OPEN


async def test_aggregates_trail_and_have_what_is_known_by_then() -> None:
    async with serving(speed=1.0) as server, rest(server) as client:
        before = server.clock.now()
        body = (await client.get(aggregates("IWM", OPEN, before))).json()
        after = server.clock.now()
        rows = body["results"]
        assert body["resultsCount"] == body["queryCount"] == len(rows) and "next_url" not in body
        assert rows[-1]["t"] * 1000 + SECOND <= after - 3 * SECOND
        expected = server.market.known_between("IWM", OPEN, before, before - 3 * SECOND)
        assert [(row["t"], row["c"]) for row in rows[:3000]] == [
            (bar.start // 1000, bar.close) for bar in expected[:3000]
        ]
        corrected = {fix.bar.start: fix for fix in server.market.corrections("IWM")}
        shown = {row["t"] * 1000: row["v"] for row in rows}
        early = [fix for start, fix in corrected.items() if start in shown and fix.at < before - 10 * SECOND]
        late = [fix for start, fix in corrected.items() if start in shown and fix.at > after + 10 * SECOND]
        assert early and late
        assert all(shown[fix.bar.start] == fix.bar.volume for fix in early)
        for fix in late:
            first = server.market.first_print("IWM", fix.bar.start)
            assert first is not None and shown[fix.bar.start] == first.volume


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_the_pages_of_aggregates_hold_every_bar_in_order_and_never_the_key(order: str) -> None:
    async with serving() as server, rest(server) as client:
        url: str | None = aggregates("SPY", OPEN, OPEN + 99 * SECOND)
        params: dict[str, str] | None = {"limit": "40", "sort": order, "apiKey": KEY}
        stamps: list[int] = []
        while url:
            body = (await client.get(url, params=params)).json()
            stamps += [row["t"] * 1000 for row in body["results"]]
            url, params = body.get("next_url"), None
            assert url is None or KEY not in url
        due = [bar.start for bar in server.market.bars("SPY") if OPEN <= bar.start <= OPEN + 99 * SECOND]
        assert stamps == (due if order == "asc" else due[::-1]) and len(due) > 80
        assert {"cursor"} <= set(server.requests[-1].query)


async def test_no_bars_means_no_results_and_a_bad_range_is_refused() -> None:
    async with serving() as server, rest(server) as client:
        for path in (
            aggregates("QQQ", OPEN, OPEN + SECOND),
            aggregates("IWM", OPEN + 10**10, OPEN + 2 * 10**10),
        ):
            body = (await client.get(path)).json()
            assert body["status"] == "OK" and body["resultsCount"] == 0 and "results" not in body
        assert (await client.get("/v2/aggs/ticker/IWM/range/1/minute/0/1")).status_code == 400
        assert (await client.get("/v2/aggs/ticker/IWM/range/1/second/then/now")).status_code == 400
        whole = (await client.get("/v2/aggs/ticker/IWM/range/1/second/2025-10-02/2025-10-02")).json()
        assert whole["resultsCount"] > 2000
        sunday = (await client.get("/v2/aggs/ticker/IWM/range/1/second/2025-09-28/2025-09-28")).json()
        assert sunday["resultsCount"] == 0
