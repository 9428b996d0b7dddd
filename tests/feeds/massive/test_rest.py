"""Chains, contracts, seconds and the market's status: what is asked, and what an answer is read as."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from events import SECOND, QuoteSource
from feeds.massive.bad_input import BadReason
from feeds.massive.errors import RestError, RestErrorKind
from tests.feeds.scene import Server, chain_of, open_rest, said
from tests.wire import ABSENT, BASE, CALL, EXPIRY, GOOD_ROW, KEY, NOW, START_MS, chain_row, ok, second_row


async def test_a_chain_is_asked_for_by_name_and_with_the_key_in_the_header_only() -> None:
    server = Server(ok([chain_row()]))
    assert await chain_of(server=server) == (GOOD_ROW,)
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in str(request.url)
    assert request.url.path == "/v3/snapshot/options/IWM"
    assert dict(request.url.params) == {
        "contract_type": "call", "expiration_date": EXPIRY, "limit": "250", "sort": "strike_price", "order": "asc",
        "strike_price.gte": "206.40", "strike_price.lte": "223.60",
    }  # fmt: skip


QUOTE = chain_row()["last_quote"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"last_quote": ABSENT}, {"bid": 0, "ask": 0, "bid_size": 0, "ask_size": 0, "quoted_at": 0, "real_time": False}),
        ({"last_quote": {}}, {"bid": 0, "ask": 0, "bid_size": 0, "ask_size": 0, "quoted_at": 0, "real_time": False}),
        ({"last_quote": {**QUOTE, "timeframe": "DELAYED"}}, {"real_time": False}),
        ({"last_quote": {**QUOTE, "bid": 0}}, {"bid": 0}),
        ({"last_quote": {**QUOTE, "last_updated": float((NOW - SECOND) * 1000)}}, {}),
        ({"greeks": ABSENT}, {"delta": None}),
        ({"greeks": None}, {"delta": None}),
        ({"greeks": {}}, {"delta": None}),
        ({"greeks": {"delta": None}}, {"delta": None}),
        ({"implied_volatility": 0}, {"iv": None}),
        ({"implied_volatility": None}, {"iv": None}),
        ({"implied_volatility": ABSENT}, {"iv": None}),
        ({"open_interest": None}, {"open_interest": 0}),
        ({"underlying_asset": {}, "day": None, "last_trade": None, "fmv": "n/a"}, {}),
        ({"details": {**chain_row()["details"], "shares_per_contract": 10}}, {"shares": 10}),
        ({"details": {**chain_row()["details"], "shares_per_contract": None}}, {"shares": 100}),
        ({"details": chain_row(210.5)["details"]}, {"strike": 210_500, "contract": "O:IWM251002C00210500"}),
    ],
)  # fmt: skip
async def test_what_a_row_leaves_out(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert await chain_of(chain_row(**changes)) == (msgspec.structs.replace(GOOD_ROW, **expected),)


DETAILS = chain_row()["details"]

BAD_ROWS: list[Any] = [
    None, "row", 7, [], {},
    chain_row(details=None),
    chain_row(details={**DETAILS, "ticker": None}),
    chain_row(details={**DETAILS, "ticker": "IWM"}),
    chain_row(details={**DETAILS, "ticker": "O:IWM251002P00215000"}),
    chain_row(details={**DETAILS, "ticker": "O:IWM251003C00215000"}),
    chain_row(details={**DETAILS, "contract_type": "put"}),
    chain_row(details={**DETAILS, "strike_price": 216}),
    chain_row(details={**DETAILS, "strike_price": -215}),
    chain_row(details={**DETAILS, "strike_price": None}),
    chain_row(details={**DETAILS, "strike_price": float("inf")}),
    chain_row(last_quote={**QUOTE, "bid": -0.5}),
    chain_row(last_quote={**QUOTE, "bid": "0.86"}),
    chain_row(last_quote={**QUOTE, "bid": float("nan")}),
    chain_row(last_quote={**QUOTE, "ask_size": -1}),
    chain_row(last_quote={**QUOTE, "last_updated": "now"}),
    chain_row(last_quote={**QUOTE, "last_updated": NOW // 1000}),
    chain_row(last_quote={**QUOTE, "last_updated": (NOW + 3 * SECOND) * 1000}),
    chain_row(last_quote={**QUOTE, "last_updated": 10**40}),
    chain_row(greeks={"delta": float("-inf")}),
    chain_row(open_interest=-1),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_ROWS)
async def test_a_bad_row_costs_itself_only(bad: Any, logged: list[Any]) -> None:
    assert await chain_of(bad, chain_row(), bad, chain_row(216)) == (
        GOOD_ROW,
        msgspec.structs.replace(GOOD_ROW, contract="O:IWM251002C00216000", strike=216_000),
    )
    assert logged[0]["event"] == "bad_input"


async def test_a_row_far_from_spot_is_judged_all_the_same(logged: list[Any]) -> None:
    far = chain_row(400, open_interest=-1)
    assert await chain_of(chain_row(), far, chain_row(400)) == (GOOD_ROW,)
    assert [(entry["event"], entry["count"]) for entry in logged] == [("bad_input", 1)]


async def test_terms_are_judged_again_when_they_change() -> None:
    changed = chain_row(details={**DETAILS, "strike_price": 216})
    assert await chain_of(chain_row()) == await chain_of(chain_row(), changed, changed) == (GOOD_ROW,)


async def test_pages_are_followed_verbatim_and_merged_by_contract_with_the_newest_quote() -> None:
    newer = chain_row(last_quote={**QUOTE, "bid": 0.87, "last_updated": NOW * 1000})
    server = Server(
        ok(
            [chain_row(), chain_row(216)], next_url=f"{BASE}/v3/snapshot/options/IWM?cursor=YXM9MQ%3D%3D%2B/x"
        ),
        ok([newer, chain_row(214)], next_url=f"{BASE}:443/v3/snapshot/options/IWM?cursor=two"),
        ok([chain_row()]),
    )
    rows = await chain_of(server=server)
    assert [row.strike for row in rows] == [214_000, 215_000, 216_000]
    assert rows[1].bid == 8700
    assert [str(request.url) for request in server.requests[1:]] == [
        f"{BASE}/v3/snapshot/options/IWM?cursor=YXM9MQ%3D%3D%2B/x",
        f"{BASE}/v3/snapshot/options/IWM?cursor=two",
    ]
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example.test/v3?cursor=1", "http://api.example.test/v3?cursor=1",
        "https://api.example.test:8443/v3?cursor=1", "https://api.example.test@evil.example.test/v3",
        "https://user:word@api.example.test/v3?cursor=1", "/v3?cursor=1", "https://", "http://[", "file:///etc/passwd",
    ],
)  # fmt: skip
async def test_a_next_page_elsewhere_is_refused_and_never_asked(address: str) -> None:
    server = Server(ok([chain_row()], next_url=address))
    with pytest.raises(RestError) as caught:
        await chain_of(server=server)
    assert caught.value.kind is RestErrorKind.BAD_BODY
    assert len(server.requests) == 1
    assert "evil" not in str(caught.value)


async def test_pages_that_repeat_or_never_end_fail_the_poll() -> None:
    server = Server(ok([chain_row()], next_url=f"{BASE}/v3/snapshot/options/IWM?cursor=1"))
    with pytest.raises(RestError, match="already seen"):
        await chain_of(server=server)
    assert len(server.requests) == 2

    def endless(request: httpx.Request) -> httpx.Response:
        return ok([], next_url=f"{BASE}/v3/snapshot/options/IWM?cursor={len(server.requests)}")

    server = Server(endless)
    with pytest.raises(RestError, match="more than 20 pages"):
        await chain_of(server=server)


async def test_a_later_page_that_fails_fails_the_whole_poll() -> None:
    server = Server(
        ok([chain_row()], next_url=f"{BASE}/v3/snapshot/options/IWM?cursor=1"), httpx.Response(503)
    )
    with pytest.raises(RestError) as caught:
        await chain_of(server=server)
    assert caught.value.kind is RestErrorKind.SERVER


async def test_without_spot_the_underlying_price_of_the_rows_stands_in() -> None:
    server = Server(ok([chain_row(100), chain_row(), chain_row(216), chain_row(300)]))
    assert [row.strike for row in await chain_of(spot=None, server=server)] == [215_000, 216_000]
    assert "strike_price.gte" not in server.requests[0].url.params
    bare = [chain_row(strike, underlying_asset=ABSENT) for strike in (100, 215)]
    assert len(await chain_of(*bare, spot=None)) == 2


@pytest.mark.parametrize("answer", [ok([]), ok([], status="DELAYED"), ok(resultsCount=0)])
async def test_an_empty_chain_is_no_error(answer: httpx.Response) -> None:
    assert await chain_of(server=Server(answer)) == ()


async def test_a_single_contract_gives_a_polled_quote() -> None:
    server = Server(ok(chain_row()))
    async with open_rest(server) as rest:
        quote = await rest.contract("IWM", CALL)
    assert server.requests[0].url.path == f"/v3/snapshot/options/IWM/{CALL}"
    assert (quote.contract, quote.bid, quote.ask, quote.at) == (CALL, 8600, 8800, NOW - SECOND)
    assert quote.source is QuoteSource.POLL


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (ok(), RestErrorKind.EMPTY),
        (ok(chain_row(last_quote=ABSENT)), RestErrorKind.EMPTY),
        (ok(chain_row(last_quote={**QUOTE, "last_updated": None})), RestErrorKind.EMPTY),
        (ok(chain_row(last_quote={**QUOTE, "bid": -1})), RestErrorKind.BAD_BODY),
        (ok(chain_row(216)), RestErrorKind.BAD_BODY),
        (ok([chain_row()]), RestErrorKind.BAD_BODY),
        (said(404), RestErrorKind.NOT_FOUND),
    ],
)
async def test_a_single_contract_without_a_usable_quote(answer: httpx.Response, kind: RestErrorKind) -> None:
    async with open_rest(Server(answer)) as rest:
        with pytest.raises(RestError) as caught:
            await rest.contract("IWM", CALL)
    assert caught.value.kind is kind


async def test_seconds_come_backfilled_in_order_and_within_the_span() -> None:
    server = Server(
        ok(
            [second_row(-1), second_row(-9), second_row(-2), second_row(-400), second_row(0)],
            next_url=f"{BASE}/v2/aggs/x?cursor=1",
        ),
        ok([second_row(-1, c=241.77), second_row(-3, c=None), second_row(-3, t=START_MS * 1_000_000), None]),
    )
    start, end = (START_MS - 10_000) * 1000, START_MS * 1000
    async with open_rest(server) as rest:
        bars = await rest.second_bars("IWM", start, end)
        assert rest.bad.counts == {BadReason.PRICE: 1, BadReason.TIME: 1, BadReason.EVENT: 1}
    assert [(bar.start - end) // SECOND for bar in bars] == [-9, -2, -1]
    assert bars[-1].close == 241.77
    assert all(bar.backfilled and bar.symbol == "IWM" for bar in bars)
    url = server.requests[0].url
    assert url.path == f"/v2/aggs/ticker/IWM/range/1/second/{START_MS - 10_000}/{START_MS - 1}"
    assert dict(url.params) == {"adjusted": "false", "sort": "asc", "limit": "50000"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"market": "open", "exchanges": {"nyse": "closed"}}, "closed"),
        ({"market": "extended-hours"}, "extended-hours"),
        ({"market": "open", "exchanges": {}}, "open"),
    ],
)  # fmt: skip
async def test_the_market_status_is_the_exchange_s_own(body: Any, expected: str) -> None:
    async with open_rest(Server(httpx.Response(200, json=body))) as rest:
        assert await rest.market_status() == expected
