"""The past over the loopback market's REST: seconds of another session, contracts as of a date, and every quote."""

from __future__ import annotations

from datetime import date
from typing import Any

import httpx
import pytest

import utils
from events import SECOND
from sim.account import Plan
from sim.archive import Archive
from tests.sim.clients import rest, serving
from tests.sim.days import day, session

YESTERDAY = date(2025, 10, 1)
CONTRACTS = "/v3/reference/options/contracts"


def opening(of: date) -> int:
    """The open of a session, µs."""
    found = utils.session_on(of)
    assert found is not None
    return found.open


async def pages(client: httpx.AsyncClient, url: str, params: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The rows of every page."""
    found: list[list[dict[str, Any]]] = []
    query: dict[str, Any] | None = params
    while url:
        answer = await client.get(url, params=query)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["results"])
        url, query = answer.json().get("next_url", ""), None
    return found


def span(first: int, last: int, **more: Any) -> dict[str, Any]:
    """A question for the quotes from ``first`` to ``last`` (µs)."""
    return {"timestamp.gte": first * 1_000, "timestamp.lt": last * 1_000, "order": "asc", **more}


async def test_seconds_of_a_past_session_are_final_and_the_same_each_time() -> None:
    begin = opening(YESTERDAY)
    path = f"/v2/aggs/ticker/IWM/range/1/second/{begin // 1000}/{(begin + 6 * 3600 * SECOND) // 1000}"
    async with serving() as server, rest(server) as client:
        rows = [row for page in await pages(client, path, {"limit": 5_000, "sort": "asc"}) for row in page]
        again = [row for page in await pages(client, path, {"limit": 50_000, "sort": "asc"}) for row in page]
    assert rows == again and len(rows) > 10_000
    assert [row["t"] for row in rows] == sorted({row["t"] for row in rows})
    market = Archive(day()).on(YESTERDAY)
    assert market is not None
    final = market.final("IWM", rows[100]["t"] * 1000)
    assert final is not None and (rows[100]["c"], rows[100]["v"]) == (final.close, final.volume)


async def test_several_days_come_in_one_answer_but_not_a_year() -> None:
    path = "/v2/aggs/ticker/SPY/range/1/second/{}/{}"
    async with serving() as server, rest(server) as client:
        found = await pages(client, path.format("2025-09-30", "2025-10-01"), {"limit": 50_000})
        rows = [row for page in found for row in page]
        assert {utils.new_york_date(row["t"] * 1000) for row in rows} == {"2025-09-30", "2025-10-01"}
        assert (await client.get(path.format("2024-09-30", "2025-09-30"))).status_code == 400


async def test_contracts_are_those_of_the_date_by_pages() -> None:
    question = {"underlying_ticker": "IWM", "as_of": "2025-10-01", "expiration_date": "2025-10-01"}
    async with serving() as server, rest(server) as client:
        found = await pages(client, CONTRACTS, {**question, "contract_type": "call", "limit": 30})
        rows = [row for page in found for row in page]
        assert len(found) > 1 and {len(page) for page in found[:-1]} == {30}
        assert {row["contract_type"] for row in rows} == {"call"}
        assert {row["expiration_date"] for row in rows} == {"2025-10-01"}
        assert all(
            row["ticker"].startswith("O:IWM251001C") and row["shares_per_contract"] == 100 for row in rows
        )
        assert await pages(client, CONTRACTS, {**question, "expiration_date": "2025-10-02"}) == [[]]
        assert await pages(client, CONTRACTS, {**question, "underlying_ticker": "QQQ"}) == [[]]
        assert await pages(client, CONTRACTS, {**question, "as_of": "2025-09-28"}) == [[]]
        assert (await client.get(CONTRACTS, params={"as_of": "yesterday"})).status_code == 400
        assert (await client.get(CONTRACTS, params={"limit": 1_001})).status_code == 400


async def test_quotes_of_five_minutes_come_by_pages_and_in_both_orders() -> None:
    market = Archive(day()).on(YESTERDAY)
    assert market is not None
    begin = opening(YESTERDAY) + 3_600 * SECOND
    near = min(
        (contract for contract in market.listed if contract.call),
        key=lambda contract: abs(contract.strike - market.spot(begin)),
    )
    path = f"/v3/quotes/{near.ticker}"
    async with serving() as server, rest(server) as client:
        rows = [
            row
            for page in await pages(client, path, span(begin, begin + 300 * SECOND, limit=500))
            for row in page
        ]
        stamps = [row["sip_timestamp"] for row in rows]
        assert stamps == sorted(set(stamps)) and len(stamps) > 1_000
        assert begin * 1_000 <= stamps[0] and stamps[-1] < (begin + 300 * SECOND) * 1_000
        quote = market.quote(near.ticker, stamps[7] // 1_000)
        assert quote is not None and (rows[7]["bid_price"], rows[7]["ask_size"]) == (
            quote.bid,
            quote.ask_size,
        )
        newest = (
            await client.get(path, params=span(begin, begin + 300 * SECOND, order="desc", limit=1))
        ).json()
        assert newest["results"] == rows[-1:]
        assert await pages(client, "/v3/quotes/O:IWM251001C00001000", span(begin, begin + SECOND)) == [[]]


@pytest.mark.parametrize(
    "params",
    [{}, {"timestamp.gte": "1"}, {"timestamp.gte": "now", "timestamp.lt": "2"}, span(0, 2 * 86_400 * SECOND)],
)
async def test_a_question_for_quotes_without_a_span_is_refused(params: dict[str, Any]) -> None:
    async with serving() as server, rest(server) as client:
        assert (await client.get("/v3/quotes/O:IWM251001C00240000", params=params)).status_code == 400


async def test_a_plan_without_quotes_says_so_and_a_hole_looks_like_an_empty_span() -> None:
    begin = opening(YESTERDAY)
    async with serving(plan=Plan(quote_history=False)) as server, rest(server) as client:
        assert (
            await client.get("/v3/quotes/O:IWM251001C00240000", params=span(begin, begin + SECOND))
        ).status_code == 403
    async with serving() as server, rest(server) as client:
        fault = server.faults.add("quote_hole")
        assert await pages(client, "/v3/quotes/O:IWM251001C00240000", span(begin, begin + SECOND)) == [[]]
        assert server.faults.fired["quote_hole"] == 1 and fault is not None


def test_each_date_is_a_market_of_its_own_and_the_archive_keeps_few() -> None:
    archive = Archive(day(), kept=2)
    assert archive.on(session_date := date.fromisoformat(session().date)) is day() and session_date
    assert archive.on(date(2025, 9, 28)) is None and archive.on(date(2025, 10, 3)) is None
    first = archive.on(YESTERDAY)
    assert first is not None and archive.on(YESTERDAY) is first
    others = archive.between(date(2025, 9, 29), date(2025, 9, 30))
    assert len(others) == 2 and others[0].bars("IWM")[:50] != others[1].bars("IWM")[:50]
    assert archive.on(YESTERDAY) is not first
    again = archive.on(YESTERDAY)
    assert again is not None and again.bars("SPY") == first.bars("SPY")
