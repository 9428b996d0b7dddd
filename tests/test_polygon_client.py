"""The vendor's input against what must come out of it: frames, REST answers, pacing, and both feeds over sockets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import itertools
import json
import math
import random
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
import websockets.asyncio.server
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from events import (
    SECOND,
    Bar,
    Chain,
    ChainRow,
    Covered,
    FeedCause,
    FeedLost,
    FeedRestored,
    Hold,
    HoldReason,
    Quote,
    QuoteSource,
    Session,
)
from feeds.massive.bad_input import BadInput, BadReason, printable, scrubber
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.headers import retry_after_s
from feeds.massive.rest import Rest
from feeds.massive.socket import Socket, Sockets
from feeds.massive.wire import FrameDecoder, Status, StreamEvent
from feeds.options import OptionsFeed, Wanted
from feeds.outlet import Outlet
from feeds.pacing import Pacing
from feeds.stocks import StocksFeed
from feeds.vendor import Lost, StreamQuote, VendorRefused
from polygon_client import SessionClient
from rules import Rules
from sim.faults import GARBAGE
from sim.market import Market, SimBar
from sim.server import LoopbackMarket, Plan
from tests.patience import PatientClock
from tests.wire import (
    ABSENT,
    BASE,
    CALL,
    EXPIRY,
    GOOD_BAR,
    GOOD_ROW,
    JSON,
    KEY,
    NOW,
    START_MS,
    StillClock,
    aggregate,
    chain_row,
    frame,
    ok,
    option_quote,
    second_row,
)
from utils import Clock, ScaledClock, VendorTime, session_on


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """What was logged; the key must never be in it."""
    with structlog.testing.capture_logs() as entries:
        yield entries
    assert KEY not in repr(entries)


def texts(entries: list[Any]) -> list[str]:
    return [entry["text"] for entry in entries]


# --- Decoding ----------------------------------------------------------------------------------------


def make_decoder(clock: StillClock | None = None) -> FrameDecoder:
    decoder = FrameDecoder(BadInput("stocks", clock or StillClock(), scrubber(KEY)))
    decoder.asked |= {"IWM", "SPY", CALL}
    return decoder


def test_a_bar_is_read_with_its_decimal_volume() -> None:
    assert make_decoder().decode(frame(aggregate()), NOW) == [GOOD_BAR]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dv": ABSENT}, {"volume": 1843.0}),
        ({"dv": None}, {"volume": 1843.0}),
        ({"dv": 12.5}, {"volume": 12.5}),
        ({"dv": "0.42", "v": 0}, {"volume": 0.42}),
        ({"dv": "17", "v": ABSENT}, {"volume": 17.0}),
        ({"dv": ABSENT, "v": 61.0}, {"volume": 61.0}),
        ({"dv": "0", "v": 0, "vw": 0}, {"volume": 0.0, "vwap": 241.78}),
        ({"vw": ABSENT}, {"vwap": 241.78}),
        ({"vw": None}, {"vwap": 241.78}),
        ({"vw": 240.0}, {"vwap": 240.0}),
        ({"s": float(START_MS), "e": float(START_MS + 1000), "z": 12.0}, {}),
        ({"e": ABSENT}, {}),
        ({"z": "many", "op": None, "new": {"nested": [1, {}]}}, {}),
        ({"o": 241, "c": 241, "h": 242, "l": 240}, {"open": 241.0, "close": 241.0, "high": 242.0, "low": 240.0}),
    ],
)  # fmt: skip
def test_numbers_come_in_many_forms(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    decoder = make_decoder()
    bar = msgspec.structs.replace(GOOD_BAR, **expected)
    assert decoder.decode(frame(aggregate(**changes)), NOW) == [bar]
    assert not decoder.bad.counts


def test_a_bar_just_ahead_of_now_is_good_and_further_ahead_is_bad() -> None:
    decoder = make_decoder()
    end = GOOD_BAR.end
    assert decoder.decode(frame(aggregate()), end - 2 * SECOND) == [GOOD_BAR]
    assert decoder.decode(frame(aggregate()), end - 2 * SECOND - 1) == []
    assert decoder.bad.counts == {BadReason.FUTURE: 1}


def test_a_bar_from_ahead_is_left_out_and_said_to_whoever_judges_the_clock() -> None:
    early: list[tuple[int, str, int]] = []
    decoder = FrameDecoder(make_decoder().bad, ahead_us=2 * SECOND, early=lambda *bar_: early.append(bar_))
    decoder.asked.add("IWM")
    end = GOOD_BAR.end
    assert decoder.decode(frame(aggregate()), end - 2 * SECOND) == [GOOD_BAR]
    assert early == []
    now = end - 2 * SECOND - 1
    assert decoder.decode(frame(aggregate(), aggregate(sym="ZZZZ"), aggregate(s=None)), now) == []
    assert early == [(now, "IWM", GOOD_BAR.start)]


BAD_NUMBERS: tuple[Any, ...] = ("dear", "241.78", True, [241.78], {})
BAD_PRICES: tuple[Any, ...] = (None, ABSENT, 0, -1.0, 1e9)
BAD_EVENTS: list[tuple[Any, BadReason]] = [
    *((aggregate(c=value), BadReason.PRICE) for value in BAD_PRICES),
    *((aggregate(dv=value, v=-1), BadReason.VOLUME) for value in ("many", "", "-1", "nan", "1_0", "٣", -0.5)),
    (aggregate(dv=ABSENT, v=ABSENT), BadReason.VOLUME),
    (aggregate(dv=ABSENT, v=-3), BadReason.VOLUME),
    (aggregate(dv=ABSENT, v=10**30), BadReason.VOLUME),
    *((aggregate(c=value), BadReason.NUMBER) for value in BAD_NUMBERS),
    (aggregate(s=None), BadReason.TIME),
    (aggregate(s=ABSENT), BadReason.TIME),
    (aggregate(s=START_MS * 1_000_000, e=START_MS * 1_000_000 + 1000), BadReason.TIME),
    (aggregate(s=START_MS // 1000, e=ABSENT), BadReason.TIME),
    (aggregate(s=START_MS + 0.5, e=ABSENT), BadReason.TIME),
    (aggregate(s=START_MS + 500, e=START_MS + 1500), BadReason.TIME),
    (aggregate(e=START_MS + 60_000), BadReason.TIME),
    (aggregate(s=-START_MS, e=ABSENT), BadReason.TIME),
    (aggregate(s=10**30, e=ABSENT), BadReason.TIME),
    (aggregate(s=START_MS + 3_600_000, e=START_MS + 3_601_000), BadReason.FUTURE),
    (aggregate(s="soon"), BadReason.NUMBER),
    (aggregate(sym="ZZZZ"), BadReason.SYMBOL),
    (aggregate(sym=None), BadReason.SYMBOL),
    (aggregate(sym=7), BadReason.NUMBER),
    (option_quote(bp=-0.01), BadReason.PRICE),
    (option_quote(ap=1e9), BadReason.PRICE),
    (option_quote(bs=-1), BadReason.VOLUME),
    (option_quote(t=None), BadReason.TIME),
    (option_quote(t=START_MS * 1_000_000), BadReason.TIME),
    (option_quote(t=NOW // 1000 + 2001), BadReason.FUTURE),
    (option_quote(sym="O:IWM251002C00999000"), BadReason.SYMBOL),
    (aggregate(ev="ZZ"), BadReason.UNKNOWN_EVENT),
    (aggregate(ev=ABSENT), BadReason.EVENT),
    (aggregate(ev=None), BadReason.EVENT),
    (None, BadReason.EVENT),
    (17, BadReason.EVENT),
    ("A", BadReason.EVENT),
    ([["IWM"]], BadReason.EVENT),
    ({}, BadReason.EVENT),
    ({"ev": "status", "status": 7}, BadReason.NUMBER),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "reason"), BAD_EVENTS)
def test_a_bad_event_is_counted_and_costs_no_neighbour(
    bad: Any, reason: BadReason, logged: list[Any]
) -> None:
    decoder = make_decoder()
    spy = msgspec.structs.replace(GOOD_BAR, symbol="SPY")
    events = decoder.decode(frame(bad, aggregate(), bad, aggregate(sym="SPY"), bad), NOW)
    assert events == [GOOD_BAR, spy]
    assert decoder.bad.counts == {reason: 3}
    # The first is sampled; that an event's kind is unknown is no fault, and only counted.
    assert len(logged) == (0 if reason is BadReason.UNKNOWN_EVENT else 1)


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999", "nul", "0x1", "9" * 5000])
def test_a_number_that_is_no_json_costs_its_own_event_only(token: str) -> None:
    decoder = make_decoder()
    broken = json.dumps(aggregate()).replace("241.78", token)
    good = json.dumps(aggregate())
    assert decoder.decode(f"[{broken},{good},{broken}]".encode(), NOW) == [GOOD_BAR]
    assert sum(decoder.bad.counts.values()) >= 2


@pytest.mark.parametrize(
    "broken",
    [
        b"", b"[", b"null", b"7", b"{}", b"not json", b"\x00\x01\x02\xff", b'[{"ev":"A","sym":"IWM","v":1,',
        b"[" * 100_000, b'[{"x":' * 50_000, b'"' * 1000, b"\xef\xbb\xbf[]", b"{" * 10_000 + b"}" * 10_000,
    ],
)  # fmt: skip
def test_a_broken_frame_gives_nothing_and_never_raises(broken: bytes) -> None:
    decoder = make_decoder()
    assert decoder.decode(broken, NOW) == []
    assert decoder.bad.counts[BadReason.FRAME] == 1


def test_whole_events_in_a_cut_frame_are_kept() -> None:
    decoder = make_decoder()
    whole = frame(aggregate(), option_quote(), aggregate(sym="SPY"))
    assert decoder.decode(whole[:-30], NOW) == decoder.decode(whole, NOW)[:2]


def test_statuses_and_data_of_several_kinds_share_a_frame() -> None:
    status = {"ev": "status", "status": "success", "message": "subscribed to: A.IWM"}
    events = make_decoder().decode(frame(status, aggregate(), {"ev": "status"}, option_quote()), NOW)
    assert [type(event) for event in events] == [Status, Bar, Status, StreamQuote]
    assert events[0] == Status(status="success", message="subscribed to: A.IWM")


@pytest.mark.parametrize(
    ("changes", "bid", "ask"),
    [
        ({}, 8600, 8800),
        ({"bp": 0}, 0, 8800),
        ({"bp": None, "bs": None}, 0, 8800),
        ({"ap": ABSENT, "as": ABSENT}, 8600, 0),
        ({"bp": 0.255, "ap": 0.3}, 2550, 3000),
        ({"bp": 1.005, "ap": 1}, 10050, 10000),
    ],
)
def test_an_option_quote_is_exact_and_a_missing_side_is_none(
    changes: dict[str, Any], bid: int, ask: int
) -> None:
    (event,) = make_decoder().decode(frame(option_quote(**changes)), NOW)
    assert isinstance(event, StreamQuote)
    assert (event.quote.bid, event.quote.ask) == (bid, ask)
    assert event.quote.at == (START_MS + 345) * 1000
    assert event.quote.source is QuoteSource.STREAM
    assert event.sequence == 771204418


def test_samples_are_logged_once_a_minute_per_reason_without_the_key(logged: list[Any]) -> None:
    clock = StillClock()
    decoder = make_decoder(clock)
    for _ in range(50):
        decoder.decode(frame(aggregate(c=0, sym="IWM", note=f"{KEY}\nhttps://x.test/?apiKey={KEY}")), NOW)
    decoder.decode(frame(aggregate(sym=KEY), "loose text\x1b[2J\n" + KEY), NOW)
    assert [entry["reason"] for entry in logged] == [BadReason.PRICE, BadReason.SYMBOL, BadReason.EVENT]
    clock_now = clock.now()
    clock.at = clock_now + 60 * SECOND
    decoder.decode(frame(aggregate(c=0)), NOW)
    assert logged[-1]["count"] == 51
    assert all(entry["text"].isprintable() for entry in logged)


mutation = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 400), st.integers(0, 255)),
    st.tuples(st.just("cut"), st.integers(0, 400), st.integers(1, 40)),
    st.tuples(st.just("insert"), st.integers(0, 400), st.binary(min_size=1, max_size=12)),
)


def mutate(data: bytes, changes: list[Any]) -> bytes:
    for kind, anywhere, value in changes:
        place = anywhere % (len(data) + 1)
        if kind == "set" and place < len(data):
            data = data[:place] + bytes([value]) + data[place + 1 :]
        elif kind == "cut":
            data = data[:place] + data[place + value :]
        elif kind == "insert":
            data = data[:place] + value + data[place:]
    return data


def assert_possible(events: list[StreamEvent]) -> None:
    for event in events:
        if isinstance(event, Bar):
            assert event.symbol in ("IWM", "SPY") and event.start % SECOND == 0
            assert 0 < event.low <= event.high < 1e8 and event.close > 0 and event.open > 0
            assert 0 <= event.volume <= 1e12 and 0 < event.vwap < 1e8
            assert event.end <= NOW + 2 * SECOND
        elif isinstance(event, StreamQuote):
            assert event.quote.contract in ("IWM", "SPY", CALL)
            assert event.quote.bid >= 0 and event.quote.ask >= 0
            assert event.quote.at <= NOW + 2 * SECOND


@settings(deadline=None)
@given(st.lists(mutation, min_size=1, max_size=6))
def test_mutated_frames_never_raise_and_give_only_possible_events(changes: list[Any]) -> None:
    data = mutate(
        frame(aggregate(), option_quote(), aggregate(sym="SPY"), {"ev": "status", "status": "x"}), changes
    )
    assert_possible(make_decoder().decode(data, NOW))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_noise_never_raises(data: bytes) -> None:
    assert_possible(make_decoder().decode(b"[" + data + b"]", NOW))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(list(aggregate()) + list(option_quote())), json_values, max_size=4))
def test_any_value_in_any_field_leaves_the_neighbours_alone(changes: dict[str, Any]) -> None:
    odd = {**aggregate(), **changes}
    events = make_decoder().decode(frame(aggregate(sym="SPY"), odd, aggregate(sym="SPY")), NOW)
    assert_possible(events)
    spy = msgspec.structs.replace(GOOD_BAR, symbol="SPY")
    assert [event for event in events if event == spy][:2] == [spy, spy]


# --- REST --------------------------------------------------------------------------------------------

Handler = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers from a list, the last one again and again; keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception | Handler) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer


def make_rest(server: Server, clock: StillClock | None = None, deadline_s: float = 9.0) -> Rest:
    return Rest(BASE, KEY, clock or StillClock(), httpx.MockTransport(server), deadline_s=deadline_s)


async def chain_of(
    *rows: Any, spot: float | None = 215.0, server: Server | None = None
) -> tuple[ChainRow, ...]:
    async with open_rest(server or Server(ok(list(rows)))) as rest:
        return (await rest.chain("IWM", EXPIRY, spot, 4.0)).rows


def open_rest(server: Server, **options: Any) -> Opened:
    return Opened(make_rest(server, **options))


class Opened:
    """A client that is closed at the end."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def __aenter__(self) -> Rest:
        return self._rest

    async def __aexit__(self, *error: object) -> None:
        await self._rest.aclose()


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


def said(code: int, /, **body: str) -> httpx.Response:
    return httpx.Response(code, json=body)


HTML = httpx.Response(200, text="<html>captive portal</html>", headers={"content-type": "text/html"})
NGINX = httpx.Response(504, text="<html>504</html>", headers={"content-type": "text/html"})


@pytest.mark.parametrize(
    ("answer", "kind", "asked"),
    [
        (said(401, status="ERROR", error="Unknown API Key"), RestErrorKind.UNAUTHORIZED, 1),
        (said(403, message="You are not entitled. See https://massive.com/x"), RestErrorKind.FORBIDDEN, 1),
        (said(404, status="NOT_FOUND"), RestErrorKind.NOT_FOUND, 1),
        (said(429, error="exceeded"), RestErrorKind.RATE_LIMITED, 1),
        (said(400, error="bad limit"), RestErrorKind.REFUSED, 1),
        (said(500, error="oops"), RestErrorKind.SERVER, 2),
        (NGINX, RestErrorKind.SERVER, 2),
        (httpx.Response(302, headers={"location": "https://evil.example.test/"}), RestErrorKind.REDIRECT, 1),
        (httpx.Response(204), RestErrorKind.BAD_BODY, 1),
        (HTML, RestErrorKind.BAD_BODY, 1),
        (httpx.Response(200, content=b'{"results":[{"det', headers=JSON), RestErrorKind.BAD_BODY, 1),
        (httpx.Response(200, content=b"[" * 100_000, headers=JSON), RestErrorKind.BAD_BODY, 1),
        (httpx.Response(200, content=b"[]", headers=JSON), RestErrorKind.BAD_BODY, 1),
        (httpx.Response(200, content=b'{"results":{"details":{}}}', headers=JSON), RestErrorKind.BAD_BODY, 1),
        (httpx.Response(200, content=b'{"next_url":7}', headers=JSON), RestErrorKind.BAD_BODY, 1),
        (httpx.Response(200, content=b"\xff\xfe", headers=JSON), RestErrorKind.BAD_BODY, 1),
        (said(200, status="ERROR", error="internal"), RestErrorKind.BAD_BODY, 1),
        (said(200, status="NOT_AUTHORIZED", message="no"), RestErrorKind.BAD_BODY, 1),
        (httpx.ConnectError(f"to https://api.example.test/?apiKey={KEY}"), RestErrorKind.TRANSPORT, 2),
        (httpx.ReadError(KEY), RestErrorKind.TRANSPORT, 2),
        (httpx.RemoteProtocolError("gone"), RestErrorKind.TRANSPORT, 2),
        (httpx.ReadTimeout("slow"), RestErrorKind.TIMEOUT, 2),
        (httpx.DecodingError("gzip"), RestErrorKind.BAD_BODY, 1),
    ],
)
async def test_failures_by_kind_and_whether_they_are_tried_again(
    answer: Any, kind: RestErrorKind, asked: int
) -> None:
    server = Server(answer)
    with pytest.raises(RestError) as caught:
        await chain_of(server=server)
    assert caught.value.kind is kind
    assert len(server.requests) == asked
    text = f"{caught.value!s}{caught.value!r}{caught.value.__cause__!r}"
    assert KEY not in text and "http" not in text
    assert caught.value.status == getattr(answer, "status_code", None) or kind is RestErrorKind.BAD_BODY


@pytest.mark.parametrize(
    "first", [httpx.Response(500), NGINX, httpx.ReadError("reset"), httpx.ConnectTimeout("slow")]
)
async def test_one_failure_is_made_good_at_once(first: Any) -> None:
    server = Server(first, ok([chain_row()]))
    assert await chain_of(server=server) == (GOOD_ROW,)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", 7.0),
        (" 12 ", 12.0),
        ("999999", 3600.0),
        ("Thu, 02 Oct 2025 13:30:30 GMT", 30.0),
        ("Thu, 02 Oct 2025 13:29:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("٣", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, expected: float | None) -> None:
    assert retry_after_s(header, NOW) == expected


async def test_429_says_how_long_to_wait() -> None:
    answer = httpx.Response(429, headers={"retry-after": "17", **JSON}, content=b'{"error":"wait"}')
    with pytest.raises(RestError) as caught:
        await chain_of(server=Server(answer))
    assert (caught.value.retry_after, caught.value.status) == (17.0, 429)
    assert str(caught.value) == "too many requests (429): wait"


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


async def test_skew_is_the_vendor_s_clock_minus_ours_by_the_last_quick_exchange() -> None:
    clock = StillClock()

    def dated(text: str, took_s: float = 0.0, age: str | None = None) -> Handler:
        def answer(request: httpx.Request) -> httpx.Response:
            clock.at += round(took_s * SECOND)
            response = ok([])
            response.headers["date"] = text
            if age is not None:
                response.headers["age"] = age
            return response

        return answer

    server = Server(
        dated("Thu, 02 Oct 2025 13:30:30 GMT"),
        dated("Thu, 02 Oct 2025 13:29:50 GMT"),
        dated("Thu, 02 Oct 2025 15:00:00 GMT", took_s=3.0),
        dated("yesterday"),
        dated("Thu, 02 Oct 2025 13:29:03 -0000", age="60"),
        dated("Thu, 02 Oct 2025 13:29:03 GMT", age="soon"),
        dated("Thu, 02 Oct 2025 13:29:03 GMT", age="8640000"),
        dated("Thu, 02 Oct 2025 13:30:30 GMT", took_s=1.0),
    )
    async with open_rest(server, clock=clock) as rest:
        assert rest.skew is None
        seen: list[float | None] = []
        for _ in range(8):
            await rest.chain("IWM", EXPIRY, 215.0, 4.0)
            seen.append(rest.skew)
    assert seen == [30.5, -9.5, -9.5, -9.5, 1.0, 1.0, 1.0, 27.0]
    assert rest.skews_measured == 4
    # Dated at 30.0 to 30.999… s, asked at 3 s and answered at 4 s past the half minute.
    assert rest.vendor_time == VendorTime(26 * SECOND, 28 * SECOND, clock.now())


async def serve_once(
    behave: Callable[[asyncio.StreamWriter], Any],
) -> tuple[asyncio.Server, str, list[int]]:
    """A tiny HTTP server on a free port; ``behave`` writes the answer. Counts its connections."""
    count = [0]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count[0] += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behave(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, f"http://127.0.0.1:{port}", count


async def test_a_slow_drip_ends_at_the_deadline() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n")
        for _ in range(200):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    server, url, _ = await serve_once(drip)
    rest = Rest(url, KEY, ScaledClock(NOW, 1.0), deadline_s=0.3)
    began = asyncio.get_running_loop().time()
    async with server, Opened(rest):
        with pytest.raises(RestError) as caught:
            await rest.market_status()
    assert caught.value.kind is RestErrorKind.TIMEOUT
    assert 0.25 < asyncio.get_running_loop().time() - began < 2.0


async def test_silence_is_tried_again_within_the_deadline() -> None:
    calls = 0

    async def mute_once(writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(1.0)
            return
        body = b'{"market":"open"}'
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n\r\n" + body
        )
        await writer.drain()

    server, url, count = await serve_once(mute_once)
    rest = Rest(url, KEY, ScaledClock(NOW, 1.0), deadline_s=1.0)
    async with server, Opened(rest):
        assert await rest.market_status() == "open"
    assert count == [2]


async def test_a_body_without_end_is_cut_off() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1024 * 1024

    answer = httpx.Response(200, content=endless(), headers=JSON)
    with pytest.raises(RestError, match="too long"):
        await chain_of(server=Server(answer))


def test_text_from_outside_is_made_printable_and_scrubbed() -> None:
    assert printable("a\nb\x1b[2Jc") == "a b [2Jc"
    assert scrubber(KEY)(f"see https://x.test/?k={KEY} {KEY}") == "see (address) ***"


# --- Pacing ------------------------------------------------------------------------------------------


def test_the_wait_doubles_from_one_second_to_sixty_with_jitter() -> None:
    pacing = Pacing(random.Random(3))
    waits = [pacing.delay(NOW + 3600 * n * SECOND, FeedCause.DROPPED) for n in range(12)]
    for wait, longest in zip(waits, [2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60], strict=True):
        assert max(1.0, longest / 2) <= wait <= longest
    assert len(set(waits)) == len(waits)


@pytest.mark.parametrize(
    ("lived_s", "has_data", "starts_anew"), [(59.9, True, False), (60, True, True), (3600, False, False)]
)
def test_only_a_connection_that_lived_with_data_starts_the_wait_anew(
    lived_s: float, has_data: bool, starts_anew: bool
) -> None:
    pacing = Pacing(random.Random(3))
    for _ in range(8):
        pacing.delay(NOW, FeedCause.DROPPED)
    pacing.attempt(NOW)
    pacing.opened(NOW)
    end = NOW + round(lived_s * SECOND)
    if has_data:
        pacing.data(end)
    assert (pacing.delay(end, FeedCause.STALL) <= 2) is starts_anew


def test_data_before_the_key_was_accepted_counts_for_nothing() -> None:
    pacing = Pacing(random.Random(3))
    pacing.opened(NOW)
    for _ in range(8):
        pacing.delay(NOW, FeedCause.DROPPED)
    pacing.attempt(NOW + 300 * SECOND)
    pacing.data(NOW + 301 * SECOND)
    assert pacing.delay(NOW + 301 * SECOND, FeedCause.DROPPED) > 2


def test_eviction_climbs_a_ladder_that_starts_anew_only_after_a_long_life() -> None:
    pacing = Pacing(random.Random(3))
    now = NOW
    waits = []
    for lived_s in (5, 70, 400, 5, 599, 600, 5):
        pacing.attempt(now)
        pacing.opened(now)
        now += lived_s * SECOND
        pacing.data(now)
        waits.append(pacing.delay(now, FeedCause.EVICTED))
        now += round(waits[-1] * SECOND)
    assert waits == [60, 120, 300, 300, 300, 60, 120]


def test_two_copies_do_not_take_the_connection_from_each_other_for_ever() -> None:
    """Each newcomer evicts the other: within ten minutes they connect at most six times."""
    copies = [Pacing(random.Random(1)), Pacing(random.Random(2))]
    connects = [(NOW, 0), (NOW + 30 * SECOND, 1)]
    while True:
        at, owner = connects[-1]
        other = copies[1 - owner]
        other.data(at)
        copies[owner].attempt(at)
        copies[owner].opened(at)
        again = at + round(other.delay(at, FeedCause.EVICTED) * SECOND)
        if again > NOW + 600 * SECOND:
            break
        connects.append((again, 1 - owner))
    assert len(connects) <= 6


def test_a_refusal_is_tried_again_every_five_minutes_and_a_429_as_it_says() -> None:
    pacing = Pacing(random.Random(3))
    assert [pacing.delay(NOW, FeedCause.REFUSED) for _ in range(3)] == [300, 300, 300]
    assert pacing.delay(NOW, FeedCause.DROPPED, retry_after=90.0) == 90


@given(
    st.integers(0, 2**32),
    st.lists(
        st.tuples(
            st.sampled_from([FeedCause.DROPPED, FeedCause.STALL, FeedCause.EVICTED, FeedCause.REFUSED]),
            st.sampled_from([0, 0, 1, 59, 61, 700]),
        ),
        max_size=60,
    ),
)
def test_never_more_than_twelve_connections_in_any_minute(seed: int, lives: list[Any]) -> None:
    pacing = Pacing(random.Random(seed))
    now, attempts = NOW, []
    for cause, lived_s in lives:
        attempts.append(now)
        pacing.attempt(now)
        pacing.opened(now)
        now += lived_s * SECOND
        pacing.data(now)
        # Rounded up: a sleep never ends early.
        now += math.ceil(pacing.delay(now, cause) * SECOND)
    assert all(later - early >= 60 * SECOND for early, later in zip(attempts, attempts[12:], strict=False))


# --- From a feed to its reader -----------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "turn", "room", "full"]), st.integers(0, 3)), max_size=60))
async def test_facts_stay_in_their_order_whoever_takes_them(steps: list[tuple[str, int]]) -> None:
    is_open = True
    arrived: list[int] = []

    def offer(items: Sequence[int]) -> bool:
        if is_open:
            arrived.extend(items)
        return is_open

    outlet: Outlet[int] = Outlet(offer)

    async def reader() -> None:
        while True:
            for item in await outlet.take():
                await asyncio.sleep(0)  # as for room
                arrived.append(item)

    reading = asyncio.create_task(reader())
    count = 0
    for step, number in steps:
        match step:
            case "put":
                outlet.put(*range(count, count + number))
                count += number
            case "turn":
                for _ in range(number):
                    await asyncio.sleep(0)
            case _:
                is_open = step == "room"
    for _ in range(2 * count + 4):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    assert arrived == list(range(count))
    is_open = True
    outlet.put(count)
    assert arrived == list(range(count)), "nobody reads any more: it waits"
    assert await outlet.take() == [count]


# --- A market to watch -------------------------------------------------------------------------------

RULES = Rules(silence_alarm_seconds=600)
"""A machine that is busy for a moment must not look like half a minute of silence on a fast clock."""

BEGIN = 1200
"""Seconds after the open at which the stories begin."""


@functools.cache
def session() -> Session:
    found = session_on(datetime.date(2025, 10, 2))
    assert found is not None
    return found


@functools.cache
def market() -> Market:
    """The made day; making it takes a while, and nothing changes it."""
    return Market(5, session())


class Watch:
    """Iterates a feed in the background and keeps what it said, and when."""

    def __init__(self, batches: AsyncGenerator[Any, None], clock: Clock) -> None:
        self.seen: list[tuple[int, Any]] = []
        self.task = asyncio.create_task(self._run(batches, clock))

    async def _run(self, batches: AsyncGenerator[Any, None], clock: Clock) -> None:
        async with contextlib.aclosing(batches):
            async for events in batches:
                self.seen.extend((clock.now(), event) for event in events)

    def all(self, *kinds: type) -> list[Any]:
        return [event for _, event in self.seen if isinstance(event, kinds)]

    def live(self) -> list[Bar]:
        return [bar for bar in self.all(Bar) if not bar.backfilled]

    def facts(self) -> list[Any]:
        """Everything but bars and quotes."""
        return [event for _, event in self.seen if not isinstance(event, (Bar, Quote, Covered))]

    async def until(self, condition: Callable[[], Any], seconds: float = 15.0) -> None:
        """Wait until it holds; raises what ended the feed."""
        async with asyncio.timeout(seconds):
            while not condition():
                if self.task.done():
                    await self.task
                    raise AssertionError("the feed has ended")
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


class Place:
    """A loopback market, a REST client, and feeds on a scaled clock."""

    def __init__(
        self, server: LoopbackMarket, clock: ScaledClock, rest: Rest, *, rules: Rules, key: str, step_s: float
    ) -> None:
        self.server = server
        self.faults = server.faults
        self.clock = clock
        self.rest = rest
        self.rules = rules
        self.wanted = Wanted()
        self._key = key
        self._step_s = step_s
        self._watches: list[Watch] = []

    def client(self) -> SessionClient:
        return SessionClient(
            rest=self.rest, ws_url=self.server.ws_url, api_key=self._key, clock=self.clock, rules=self.rules,
            session=session(), rng=random.Random(11), step_s=self._step_s,
        )  # fmt: skip

    def watch(self, events: AsyncGenerator[Any, None]) -> Watch:
        self._watches.append(Watch(events, self.clock))
        return self._watches[-1]

    def stocks(self, position: bool = False, **options: Any) -> tuple[StocksFeed, Watch]:
        feed = self.client().stocks(**{"position_open": lambda: position, **options})
        return feed, self.watch(feed.events())

    def options(self) -> tuple[OptionsFeed, Watch]:
        feed = self.client().options(wanted=lambda: self.wanted)
        return feed, self.watch(feed.events())

    def poller(self, spot: float | None = None, streaming: bool = True) -> Watch:
        poller = self.client().chains(spot=lambda: spot, streaming=lambda: streaming)
        return self.watch(poller.events())

    def calls(self, count: int = 10) -> list[str]:
        """The calls nearest the money."""
        spot = market().spot(self.clock.now())
        calls = [contract for contract in market().contracts() if "C0" in contract]
        return sorted(calls, key=lambda contract: abs(market().strike(contract) - spot))[:count]

    def gaps(self, market_name: str = "stocks") -> list[float]:
        """Seconds of the clock between connections."""
        at = self.server.connects[market_name]
        return [(later - early) / SECOND for early, later in itertools.pairwise(at)]

    async def stop(self) -> None:
        for watch in self._watches:
            await watch.stop()


@contextlib.asynccontextmanager
async def open_place(
    *,
    speed: float = 40.0,
    second: int = BEGIN,
    plan: Plan | None = None,
    key: str = KEY,
    rules: Rules = RULES,
    step_s: float = 5.0,
) -> AsyncIterator[Place]:
    clock = PatientClock(session().open + second * SECOND, speed)
    async with LoopbackMarket(market(), clock, KEY, plan=plan) as server:
        rest = Rest(server.rest_url, key, clock)
        place = Place(server, clock, rest, rules=rules, key=key, step_s=step_s)
        try:
            yield place
        finally:
            await place.stop()
            await rest.aclose()


@functools.cache
def first_prints(symbol: str) -> dict[int, SimBar]:
    return {bar.start: bar for bar in market().bars(symbol)}


@functools.cache
def versions(symbol: str) -> dict[int, list[SimBar]]:
    """Every version of every second: the first print and its corrections."""
    found = {start: [bar] for start, bar in first_prints(symbol).items()}
    for fix in market().corrections(symbol):
        found[fix.bar.start].append(fix.bar)
    return found


def assert_true_bar(bar: Bar) -> None:
    """A bar is one that the market really printed, in one of its versions."""
    values = [(v.open, v.high, v.low, v.close, v.vwap) for v in versions(bar.symbol)[bar.start]]
    assert (bar.open, bar.high, bar.low, bar.close, bar.vwap) in values


# --- The stocks feed ---------------------------------------------------------------------------------


async def test_bars_are_what_the_market_printed_and_the_socket_is_closed_properly(logged: list[Any]) -> None:
    async with open_place() as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 60 and len(watch.all(Covered)) == 2)
        assert place.server.subscriptions("stocks") == {"A.IWM", "A.SPY"}
        await watch.stop()
        await asyncio.sleep(0.05)
        assert [(end.cluster, end.code) for end in place.server.ended] == [("stocks", 1000)]
    assert texts(logged)[0] == "🔌 Connected: stocks, 2 of 2 subscribed"
    assert watch.facts() == [FeedRestored()]
    restored_at = next(at for at, event in watch.seen if isinstance(event, FeedRestored))
    for symbol in ("IWM", "SPY"):
        live = {bar.start for bar in watch.live() if bar.symbol == symbol}
        due = {
            start for start, bar in first_prints(symbol).items()
            if restored_at + SECOND < bar.sent_at and start <= max(live)
        }  # fmt: skip
        assert due <= live
    for bar in watch.all(Bar):
        assert_true_bar(bar)


async def test_a_start_in_mid_session_fills_the_day_so_far(logged: list[Any]) -> None:
    async with open_place() as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.all(Covered)) == 2)
        began = session().open + BEGIN * SECOND
    filled = [(at, bar) for at, bar in watch.seen if isinstance(bar, Bar) and bar.backfilled]
    assert all(bar.end + 2 * SECOND <= at for at, bar in filled)
    for covered in watch.all(Covered):
        assert covered.start == session().open and covered.end > began
        known = {bar.start for bar in watch.all(Bar) if bar.symbol == covered.symbol}
        # The last seconds of the span may still be on their way over the socket.
        due = {
            start
            for start in first_prints(covered.symbol)
            if covered.start <= start < covered.end - 5 * SECOND
        }
        assert due <= known
    assert any(
        re.fullmatch(r"⏳ Backfill IWM: 1,[2-9]\d\d seconds from 09:30:00", text) for text in texts(logged)
    )
    asked = [request for request in place.server.requests if "/aggs/ticker/IWM" in request.path]
    assert len(asked) == 2 and asked[1].at - asked[0].at >= 5 * SECOND
    # The second answer is told only where it differs.
    assert len(filled) < 1.2 * len({(bar.symbol, bar.start) for _, bar in filled})


async def test_before_the_open_nothing_is_missing_and_backfill_from_shortens_the_gap() -> None:
    async with open_place(second=-60) as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 5)
        assert not place.server.requests and not watch.all(Covered)
    async with open_place() as place:
        start = session().open + 900 * SECOND
        _, watch = place.stocks(backfill_from=start)
        await watch.until(lambda: len(watch.all(Covered)) == 2)
        assert {covered.start for covered in watch.all(Covered)} == {start}


@pytest.mark.parametrize("stage", ["now", "open", "auth", "subscribe"])
async def test_a_drop_is_told_made_good_and_its_gap_filled(stage: str, logged: list[Any]) -> None:
    async with open_place() as place:
        _, watch = place.stocks(backfill_from=session().open + 1100 * SECOND)
        await watch.until(lambda: len(watch.all(Covered)) == 2 and len(watch.live()) > 20)
        if stage != "now":
            place.faults.add("drop", feed="stocks", stage=stage)
        place.faults.add("drop", feed="stocks", stage="now")
        await watch.until(lambda: len(watch.all(Covered)) == 4 and len(watch.all(FeedRestored)) >= 2)
        assert place.faults.fired["drop"] == (1 if stage == "now" else 2)
    assert watch.facts()[:2] == [FeedRestored(), FeedLost(cause=FeedCause.DROPPED)]
    # A drop between the acknowledgement and the first bar is a loss of its own; before it, the outage goes on.
    assert watch.facts()[2:] in (
        [FeedRestored()],
        [FeedRestored(), FeedLost(cause=FeedCause.DROPPED), FeedRestored()],
    )
    lost_at = next(at for at, event in watch.seen if isinstance(event, FeedLost))
    for covered in watch.all(Covered)[2:]:
        newest = max(bar.start for at, bar in watch.seen if isinstance(bar, Bar) and not bar.backfilled
                     and bar.symbol == covered.symbol and at <= lost_at)  # fmt: skip
        assert covered.start == max(session().open, newest - 119 * SECOND)
        assert covered.end > lost_at
        known = {bar.start for bar in watch.all(Bar) if bar.symbol == covered.symbol}
        first = session().open + 1100 * SECOND
        due = {start for start in first_prints(covered.symbol) if first <= start < covered.end - 5 * SECOND}
        assert due <= known
    assert "🔌 Disconnected: stocks, connection lost without a close frame; next attempt in 1 s" in texts(
        logged
    ) or "🔌 Disconnected: stocks, connection lost without a close frame; next attempt in 2 s" in texts(
        logged
    )


async def test_a_server_that_accepts_and_closes_is_not_called_more_than_twelve_times_a_minute() -> None:
    async with open_place(speed=600) as place:
        place.faults.add("accept_then_close", times=1000, feed="stocks")
        _, watch = place.stocks()
        await watch.until(lambda: len(place.server.connects["stocks"]) >= 10)
    at = place.server.connects["stocks"]
    assert watch.facts() == [FeedLost(cause=FeedCause.NOT_CONNECTED)]
    assert max(sum(begin <= other < begin + 60 * SECOND for other in at) for begin in at) <= 12
    assert place.gaps()[-1] > 25


async def test_a_stall_that_rest_can_see_closes_and_reopens_the_socket() -> None:
    async with open_place(speed=30) as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 20)
        place.faults.add("silence", feed="stocks")
        silent_at = place.clock.now()
        await watch.until(lambda: watch.all(FeedLost))
        lost_at = next(at for at, event in watch.seen if isinstance(event, FeedLost))
        assert (lost_at - silent_at) / SECOND >= 5
        place.faults.clear()
        count = len(watch.live())
        await watch.until(lambda: len(watch.live()) > count + 10)
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.STALL), FeedRestored()]


async def test_a_ping_that_is_not_answered_confirms_a_stall_without_rest() -> None:
    async with open_place(speed=2, rules=RULES.model_copy(update={"stall_seconds": 1})) as place:
        _, watch = place.stocks()
        await watch.until(watch.live)
        place.faults.add("rest_reset", times=1000)
        place.faults.add("silence", feed="stocks", pings=False)
        await watch.until(lambda: watch.all(FeedLost))
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.STALL)]


async def test_silence_that_nothing_explains_reopens_the_socket_once() -> None:
    async with open_place(speed=200, rules=Rules()) as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 20)
        place.faults.add("aggregates_lag", by=3600.0)
        place.faults.add("silence", feed="stocks")
        await watch.until(lambda: len(watch.all(FeedRestored)) == 2)
        restored_at = place.clock.now()
        await watch.until(lambda: place.clock.now() - restored_at > 100 * SECOND)
        assert len(place.server.connects["stocks"]) == 2
        # A bar has come: the next silence is told again.
        place.faults.clear("silence")
        count = len(watch.live())
        await watch.until(lambda: len(watch.live()) > count + 5)
        place.faults.add("silence", feed="stocks")
        await watch.until(lambda: len(watch.all(FeedLost)) == 2)
    assert watch.facts()[:4] == [FeedRestored(), FeedLost(cause=FeedCause.SILENCE)] * 2


async def test_silence_means_nothing_before_the_open() -> None:
    async with open_place(speed=300, second=-200, rules=Rules()) as place:
        place.faults.add("silence", feed="stocks", seconds=140.0)
        _, watch = place.stocks()
        await watch.until(watch.live)
    assert watch.facts() == [FeedRestored()]


async def test_an_evicted_connection_waits_a_minute_then_two(logged: list[Any]) -> None:
    async with open_place(speed=400) as place:
        place.faults.add("evict", feed="stocks", after=5.0)
        _, watch = place.stocks()
        await watch.until(lambda: watch.all(FeedLost))
        place.faults.add("max_connections_at_auth", feed="stocks")
        await watch.until(lambda: len(watch.all(FeedRestored)) == 2)
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.EVICTED), FeedRestored()]
    assert place.gaps()[0] >= 60 and place.gaps()[1] >= 120
    lost = [entry for entry in logged if entry["event"] == "stocks_lost"]
    assert [entry["delay_s"] for entry in lost] == [60, 120]
    assert "another copy has taken the connection; next attempt in 60 s" in lost[0]["text"]


@pytest.mark.parametrize(
    ("plan", "key", "sentence"),
    [
        (None, "wrong-key", "The vendor refuses the API key (it says: authentication failed). Check POLYGON_API_KEY"),
        (Plan(websocket=False), KEY, "Your plan has no websocket access for stocks"),
        (Plan(stock_channels=("AM",)), KEY, "Your plan does not include one-second bars of IWM in real time"),
    ],
)  # fmt: skip
async def test_a_key_that_never_worked_ends_the_feed_with_a_sentence(
    plan: Plan | None, key: str, sentence: str
) -> None:
    async with open_place(plan=plan, key=key, step_s=0.5) as place:
        _, watch = place.stocks()
        with pytest.raises(VendorRefused) as caught:
            await watch.until(lambda: False)
        assert place.server.open_connections("stocks") == 0
    assert str(caught.value).startswith(sentence)
    assert key not in str(caught.value)
    assert watch.seen == []


async def test_a_key_that_worked_in_an_earlier_session_does_not_end_the_program() -> None:
    async with open_place(speed=800) as place:
        earlier, watch = place.stocks()
        await watch.until(watch.live)
        await watch.stop()
        place.faults.add("refuse_auth", feed="stocks")
        _, watch = place.stocks(key_has_worked=earlier.key_has_worked)
        await watch.until(lambda: FeedRestored() in watch.facts())
        assert place.faults.fired["refuse_auth"] == 1
    assert watch.facts() == [
        FeedLost(cause=FeedCause.REFUSED),
        Hold(reason=HoldReason.KEY_REFUSED, on=True),
        FeedRestored(),
        Hold(reason=HoldReason.KEY_REFUSED, on=False),
    ]


@pytest.mark.parametrize("has_worked", [True, False])
async def test_a_refusal_with_something_at_stake_holds_entries_and_is_tried_again(has_worked: bool) -> None:
    async with open_place(speed=800) as place:
        if not has_worked:
            place.faults.add("refuse_auth", feed="stocks")
        _, watch = place.stocks(position=not has_worked)
        if has_worked:
            await watch.until(lambda: len(watch.live()) > 5)
            place.faults.add("refuse_auth", feed="stocks")
            place.faults.add("drop", feed="stocks")
        await watch.until(lambda: len(watch.all(Hold)) == 2 and len(watch.live()) > 5)
    refused = [
        FeedLost(cause=FeedCause.REFUSED),
        Hold(reason=HoldReason.KEY_REFUSED, on=True),
        FeedRestored(),
        Hold(reason=HoldReason.KEY_REFUSED, on=False),
    ]
    before = [FeedRestored(), FeedLost(cause=FeedCause.DROPPED)] if has_worked else []
    assert watch.facts() == [*before, *refused]
    assert place.gaps()[-1] >= 300


async def test_without_the_traded_symbol_s_acknowledgement_the_socket_is_reopened(logged: list[Any]) -> None:
    async with open_place(speed=20, step_s=0.4) as place:
        place.faults.add("no_ack", feed="stocks", pair="A.IWM")
        _, watch = place.stocks()
        await watch.until(lambda: watch.all(FeedRestored))
        assert len(place.server.connects["stocks"]) == 2
    assert watch.facts() == [FeedLost(cause=FeedCause.NOT_CONNECTED), FeedRestored()]
    assert any("A.IWM was not acknowledged within 0.4 s" in text for text in texts(logged))


async def test_without_the_benchmark_s_acknowledgement_it_goes_on(logged: list[Any]) -> None:
    async with open_place(speed=20, step_s=0.4) as place:
        place.faults.add("no_ack", feed="stocks", pair="A.SPY")
        _, watch = place.stocks()
        await watch.until(lambda: watch.all(FeedRestored))
        assert place.server.subscriptions("stocks") == {"A.IWM"}
    assert "🔌 Connected: stocks, 1 of 2 subscribed" in texts(logged)
    assert "⚠️ Stocks: A.SPY not acknowledged; going on without" in texts(logged)


async def test_a_socket_that_says_nothing_is_given_up() -> None:
    async with open_place(step_s=0.4) as place:
        place.faults.add("no_connected", feed="stocks")
        _, watch = place.stocks()
        await watch.until(lambda: watch.all(FeedRestored))
    assert watch.facts() == [FeedLost(cause=FeedCause.NOT_CONNECTED), FeedRestored()]


@pytest.mark.parametrize("status", [401, 403, 429, 503, 302])
async def test_a_handshake_that_is_refused(status: int, logged: list[Any]) -> None:
    async with open_place() as place:
        place.faults.add("handshake", feed="stocks", status=status)
        _, watch = place.stocks()
        if status in (401, 403):
            with pytest.raises(VendorRefused, match="HTTP 40"):
                await watch.until(lambda: False)
            return
        await watch.until(lambda: watch.all(FeedRestored))
    assert f"handshake answered with HTTP {status}" in texts(logged)[0]


async def test_garbage_among_good_bars_costs_none_of_them(logged: list[Any]) -> None:
    async with open_place(speed=60) as place:
        place.faults.add("garbage", feed="stocks", times=2 * len(GARBAGE))
        feed, watch = place.stocks(backfill_from=session().open + 1190 * SECOND)
        await watch.until(lambda: place.faults.fired["garbage"] == 2 * len(GARBAGE), seconds=30)
        assert len(place.server.connects["stocks"]) == 1
    for bar in watch.all(Bar):
        assert_true_bar(bar)
    restored_at = next(at for at, event in watch.seen if isinstance(event, FeedRestored))
    for symbol in ("IWM", "SPY"):
        live = {bar.start for bar in watch.live() if bar.symbol == symbol}
        due = {start for start, bar in first_prints(symbol).items()
               if restored_at + SECOND < bar.sent_at and start <= max(live)}  # fmt: skip
        assert due <= live
    assert isinstance(feed._streams, Sockets)
    assert set(feed._streams.bad.counts) >= {
        BadReason.FRAME, BadReason.EVENT, BadReason.UNKNOWN_EVENT, BadReason.SYMBOL, BadReason.PRICE,
        BadReason.VOLUME, BadReason.TIME, BadReason.FUTURE, BadReason.NUMBER,
    }  # fmt: skip
    assert [entry["status"] for entry in logged if entry["event"] == "unknown_status"] == ["gremlins", ""]


async def test_late_bars_are_handed_on_as_they_are() -> None:
    async with open_place(speed=60) as place:
        place.faults.add("late", feed="stocks", by=20.0)
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 10)
    assert all(
        at - bar.end >= 19 * SECOND for at, bar in watch.seen if isinstance(bar, Bar) and not bar.backfilled
    )


async def test_it_can_be_made_to_reopen() -> None:
    async with open_place() as place:
        feed, watch = place.stocks()
        feed.reopen(FeedCause.OVERFLOW)
        await watch.until(lambda: len(watch.live()) > 10)
        feed.reopen(FeedCause.OVERFLOW)
        feed.reopen(FeedCause.OVERFLOW)
        await watch.until(lambda: len(watch.all(FeedRestored)) == 2 and len(watch.all(Covered)) >= 2)
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.OVERFLOW), FeedRestored()]
    assert place.server.ended[0].code == 1000


async def test_what_is_taken_at_once_does_not_come_again(logged: list[Any]) -> None:
    taken: list[Any] = []

    def offer(events: Sequence[Any]) -> bool:
        if len(taken) % 2:
            taken.append(None)
            return False
        taken.append(events)
        return True

    async with open_place() as place:
        _, watch = place.stocks(offer=offer)
        await watch.until(
            lambda: (
                len(watch.live()) > 10
                and sum(
                    isinstance(event, Covered)
                    for events in [*taken, watch.all(Covered)]
                    for event in events or ()
                )
                == 2
            )
        )
    offered = [event for events in taken if events for event in events]
    bars = [event for event in offered + watch.all(Bar) if isinstance(event, Bar) and not event.backfilled]
    assert len(offered) > len(watch.live()) // 2
    assert len(bars) == len({(bar.symbol, bar.start, bar.close, bar.volume) for bar in bars})


async def test_a_backfill_that_fails_is_tried_until_it_succeeds(logged: list[Any]) -> None:
    async with open_place() as place:
        place.faults.add("rest_500", times=4, path="/v2/aggs")
        place.faults.add("rest_429", times=2, path="/v2/aggs", retry_after=3)
        place.faults.add("bad_page", times=2, path="/v2/aggs")
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.all(Covered)) == 2)
        assert place.faults.fired["rest_500"] == 4 and place.faults.fired["bad_page"] == 2
    for bar in watch.all(Bar):
        assert_true_bar(bar)
    failed = [entry for entry in logged if entry["event"] == "backfill_failed"]
    assert failed and all("tried again until it succeeds" in entry["text"] for entry in failed)


async def test_a_newer_connection_supersedes_a_backfill_and_keeps_its_gap() -> None:
    async with open_place() as place:
        hanging = place.faults.add("rest_hang", times=2, path="/v2/aggs", real_seconds=1.0)
        feed, watch = place.stocks()
        await watch.until(lambda: hanging.fired == 2 and watch.live())
        feed.reopen(FeedCause.OVERFLOW)
        await watch.until(lambda: len(watch.all(Covered)) == 2, seconds=4)
    assert {covered.start for covered in watch.all(Covered)} == {session().open}


# --- Scripted sockets --------------------------------------------------------------------------------

Script = Callable[[ServerConnection], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def scripted(
    *scripts: Script, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[str]]]:
    """A socket server that follows one script per connection, the last one again; gives its address, and what it got."""
    left = list(scripts)
    got: list[str] = []

    async def serve(connection: ServerConnection) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        with contextlib.suppress(ConnectionClosed):
            await script(connection)

    server = await websockets.asyncio.server.serve(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}", got
    finally:
        server.close()
        await server.wait_closed()


def status(name: str, message: str = "") -> dict[str, str]:
    return {"ev": "status", "status": name, "message": message}


def live_bar(symbol: str, second: int) -> dict[str, Any]:
    start = NOW // 1000 + second * 1000
    return aggregate(sym=symbol, s=start, e=start + 1000)


@contextlib.asynccontextmanager
async def scripted_stocks(*scripts: Script, position: bool = False) -> AsyncIterator[Watch]:
    clock = PatientClock(NOW + 600 * SECOND, 10)
    rest = make_rest(Server(ok([])), StillClock())
    async with scripted(*scripts) as (url, _):
        client = SessionClient(
            rest=rest, ws_url=url, api_key=KEY, clock=clock, rules=RULES, session=session(), rng=random.Random(1),
            step_s=5.0,
        )  # fmt: skip
        feed = client.stocks(position_open=lambda: position)
        watch = Watch(feed.events(), clock)
        try:
            yield watch
        finally:
            await watch.stop()
            await rest.aclose()


async def read_on(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


async def test_what_is_awaited_may_come_in_any_frame_and_order() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(frame(status("hello"), status("connected"), status("auth_success")))
        await connection.send(frame(status("success", "subscribed to: A.SPY"), live_bar("SPY", 500)))
        await connection.recv()
        await connection.recv()
        await connection.send(
            frame(live_bar("SPY", 501), status("success", "subscribed to: A.IWM"), live_bar("IWM", 501))
        )
        await read_on(connection)

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: len(watch.live()) == 3)
    assert watch.facts() == [FeedRestored()]
    assert [(bar.symbol, (bar.start - NOW) // SECOND) for bar in watch.live()] == [
        ("SPY", 500),
        ("SPY", 501),
        ("IWM", 501),
    ]


async def log_in(connection: ServerConnection, *pairs: str) -> None:
    await connection.send(frame(status("connected", "Connected Successfully")))
    assert json.loads(await connection.recv()) == {"action": "auth", "params": KEY}
    await connection.send(frame(status("auth_success", "authenticated")))
    await connection.recv()
    await connection.send(frame(*(status("success", f"subscribed to: {pair}") for pair in pairs)))


async def test_a_pair_whose_bars_flow_needs_no_acknowledgement(logged: list[Any]) -> None:
    async def script(connection: ServerConnection) -> None:
        await log_in(connection, "A.SPY")
        await connection.send(frame(live_bar("IWM", 500)))
        await read_on(connection)

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: watch.all(FeedRestored))
        assert [type(event) for _, event in watch.seen][:1] == [FeedRestored]
    assert "🔌 Connected: stocks, 2 of 2 subscribed" in texts(logged)


async def test_not_authorized_for_the_benchmark_alone_is_no_refusal(logged: list[Any]) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(frame(status("connected")))
        await connection.recv()
        await connection.send(frame(status("auth_success")))
        await connection.recv()
        await connection.send(frame(status("error", "not authorized")))
        await connection.send(frame(status("success", "subscribed to: A.IWM")))
        await read_on(connection)

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: watch.all(FeedRestored), seconds=4.0)
    assert "🔌 Connected: stocks, 1 of 2 subscribed" in texts(logged)


@pytest.mark.parametrize("end", ["max_connections", "slow_consumer", "force_disconnect", "auth_timeout"])
async def test_bars_beside_the_last_words_are_kept_and_the_words_understood(end: str) -> None:
    async def script(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM", "A.SPY")
        await connection.send(frame(live_bar("IWM", 500), status(end, f"{KEY} bye"), live_bar("SPY", 500)))
        await connection.close(1008, "")

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: watch.all(FeedLost))
    assert [bar.symbol for bar in watch.live()] == ["IWM", "SPY"]
    cause = FeedCause.EVICTED if end == "max_connections" else FeedCause.DROPPED
    assert watch.facts() == [FeedRestored(), FeedLost(cause=cause)]


async def test_a_close_the_vendor_explains_is_logged_without_the_key(logged: list[Any]) -> None:
    async def script(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM", "A.SPY")
        await connection.close(1001, f"going away {KEY}\n")

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: watch.all(FeedLost))
    assert any("closed by the vendor (1001 going away *** )" in text for text in texts(logged))


async def test_a_frame_beyond_every_bound_costs_the_connection_only() -> None:
    async def huge(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM", "A.SPY")
        await connection.send(b" " * (5 * 1024 * 1024))
        await read_on(connection)

    async def good(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM", "A.SPY")
        await connection.send(frame(live_bar("IWM", 500)))
        await read_on(connection)

    async with scripted_stocks(huge, good) as watch:
        await watch.until(watch.live)
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.DROPPED), FeedRestored()]


def socket_to(ws_url: str) -> Socket:
    return Socket(
        "stocks", ws_url=ws_url, api_key=KEY, clock=StillClock(), decoder=make_decoder(), step_s=5.0
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "header", "wait"),
    [
        (429, "7", 7.0),
        (503, "7", 7.0),
        (503, None, None),
        (503, "soon", None),
        (426, "7", None),
        (500, "7", None),
    ],
)
async def test_a_handshake_put_off_says_for_how_long(
    status: int, header: str | None, wait: float | None
) -> None:
    async def put_off(writer: asyncio.StreamWriter) -> None:
        more = "" if header is None else f"Retry-After: {header}\r\n"
        writer.write(f"HTTP/1.1 {status} No\r\n{more}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()

    server, url, _ = await serve_once(put_off)
    async with server:
        with pytest.raises(Lost, match=f"HTTP {status}") as refused:
            await socket_to(url.replace("http", "ws")).open()
    assert (refused.value.cause, refused.value.retry_after) == (FeedCause.DROPPED, wait)


async def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    server, url, _ = await serve_once(refuse)
    monkeypatch.setenv("https_proxy", url.replace("//", f"//user:{KEY}@"))
    monkeypatch.delenv("no_proxy", raising=False)
    async with server:
        with pytest.raises(Lost, match="this machine's proxy answers HTTP 407") as refused:
            await socket_to("wss://feed.test").open()
    assert refused.value.cause is FeedCause.DROPPED
    assert KEY not in str(refused.value)


async def test_a_redirect_is_not_followed_to_where_the_key_would_go() -> None:
    visitors = 0

    async def stranger(connection: ServerConnection) -> None:
        nonlocal visitors
        visitors += 1
        await read_on(connection)

    async with scripted(stranger) as (elsewhere, _):
        answer = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/stocks\r\nContent-Length: 0\r\n\r\n"

        async def redirect(writer: asyncio.StreamWriter) -> None:
            writer.write(answer.encode())
            await writer.drain()

        server, url, count = await serve_once(redirect)
        clock = PatientClock(NOW, 40)
        rest = make_rest(Server(ok([])))
        client = SessionClient(
            rest=rest, ws_url=url.replace("http", "ws"), api_key=KEY, clock=clock, rules=RULES, session=session(),
            rng=random.Random(1),
        )  # fmt: skip
        feed = client.stocks(position_open=lambda: False)
        watch = Watch(feed.events(), clock)
        async with server:
            await watch.until(lambda: count[0] >= 2)
        await watch.stop()
        await rest.aclose()
    assert visitors == 0
    assert watch.facts() == [FeedLost(cause=FeedCause.NOT_CONNECTED)]


SELF_SIGNED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgv56xHV6iTvCfxEdO
u7dOg/x2ZOKiZVOBI9Mj1my5yKGhRANCAAR2IcUZS/whP+SME3RVYwPBaKuYFSkl
xLvazcoZmZnf5XVMlufaHz5BXz1+FZBIBu1Ks1+eLnWtsJZA06WIIP9q
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUd1QTAdak401P1aumd49PDuBLPTIwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjE0MjQyMloYDzIxMjYxMDI5
MTQyNDIyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAR2IcUZS/whP+SME3RVYwPBaKuYFSklxLvazcoZmZnf5XVMlufaHz5B
Xz1+FZBIBu1Ks1+eLnWtsJZA06WIIP9qo28wbTAdBgNVHQ4EFgQUa6d7Mp7GjKJE
ZbH0APmypPFQ80cwHwYDVR0jBBgwFoAUa6d7Mp7GjKJEZbH0APmypPFQ80cwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgbIHFFspFBik22Ri/B4aPJ3Ua/8PSAvqqxDD6eNVvcGQCIAeR
Rn0i5vjC8E1Qo2vlv+49ZCw/EscD9zLO5YnaeeR2
-----END CERTIFICATE-----
"""
"""A certificate for localhost that nobody vouches for; its key protects nothing but this test."""


async def test_a_certificate_that_nobody_vouches_for_is_refused_clearly(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_text(SELF_SIGNED)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "both.pem")
    got_key = False

    async def script(connection: ServerConnection) -> None:
        nonlocal got_key
        await connection.recv()
        got_key = True

    clock = PatientClock(NOW, 600)
    async with scripted(script, tls=tls) as (url, _):
        rest = Rest(url.replace("wss", "https"), KEY, clock)
        async with Opened(rest):
            with pytest.raises(RestError) as error:
                await rest.market_status()
            assert error.value.kind is RestErrorKind.CERTIFICATE

            def feed(position: bool) -> Watch:
                client = SessionClient(
                    rest=rest, ws_url=url, api_key=KEY, clock=clock, rules=RULES, session=session(),
                    rng=random.Random(1),
                )  # fmt: skip
                return Watch(client.stocks(position_open=lambda: position).events(), clock)

            watch = feed(position=False)
            with pytest.raises(
                VendorRefused, match=r"certificate of the stocks socket is not trusted .*self"
            ):
                await watch.until(lambda: False)
            watch = feed(position=True)
            await watch.until(lambda: watch.all(FeedLost))
            await watch.stop()
    # The key was not refused: it was never sent.
    assert watch.facts() == [FeedLost(cause=FeedCause.REFUSED)]
    assert not got_key


# --- The options feed --------------------------------------------------------------------------------


async def test_quotes_of_the_wanted_contracts_come_at_a_bearable_pace(logged: list[Any]) -> None:
    async with open_place(speed=12) as place:
        calls = place.calls(6)
        place.wanted = Wanted(contracts=frozenset(calls[:4]), held=calls[0])
        feed, watch = place.options()
        assert not feed.streaming
        await watch.until(lambda: len(watch.all(Quote)) > 80)
        assert feed.streaming
        assert place.server.subscriptions("options") == {f"Q.{contract}" for contract in calls[:4]}
        # Other contracts, another held one: only the difference is asked for.
        place.wanted = Wanted(contracts=frozenset(calls[2:6]), held=calls[0])
        await watch.until(lambda: {quote.contract for quote in watch.all(Quote)} == set(calls))
        assert place.server.subscriptions("options") == {f"Q.{c}" for c in {*calls[2:6], calls[0]}}
        assert len(place.server.connects["options"]) == 1
    assert "🔌 Connected: options, 4 of 4 subscribed" in texts(logged)
    quotes = [(at, quote) for at, quote in watch.seen if isinstance(quote, Quote)]
    for contract in calls:
        mine = [(at, quote) for at, quote in quotes if quote.contract == contract]
        assert [quote.at for _, quote in mine] == sorted(quote.at for _, quote in mine)
        assert all(quote.source is QuoteSource.STREAM for _, quote in mine)
        span = (mine[-1][0] - mine[0][0]) / SECOND
        assert len(mine) <= span * (4 if contract == calls[0] else 1) + 2
        for _, quote in mine:
            true = market().quote(contract, quote.at)
            assert true is not None and (quote.bid, quote.ask) == (
                round(true.bid * 10_000),
                round(true.ask * 10_000),
            )
    # The held one really comes faster.
    held, other = (sum(quote.contract == contract for _, quote in quotes[:80]) for contract in calls[:2])
    assert held > 1.5 * other


async def test_a_plan_without_quotes_is_told_once_and_the_held_contract_is_polled(logged: list[Any]) -> None:
    async with open_place(speed=200, plan=Plan(option_channels=("A",))) as place:
        calls = place.calls(3)
        place.wanted = Wanted(contracts=frozenset(calls), held=calls[1])
        feed, watch = place.options()
        await watch.until(lambda: len(place.server.connects["options"]) == 2, seconds=20)
        assert not feed.streaming
    polled = [(at, quote) for at, quote in watch.seen if isinstance(quote, Quote)]
    assert {(quote.contract, quote.source) for _, quote in polled} == {(calls[1], QuoteSource.POLL)}
    gaps = [(later - early) / SECOND for (early, _), (later, _) in itertools.pairwise(polled)]
    assert len(gaps) > 50 and min(gaps) > 1.0
    assert place.gaps("options")[0] >= 300
    lines = [entry["text"] for entry in logged if entry["event"] in ("options_lost", "quotes_polled")]
    why = "not authorized: the plan does not include option quotes"
    assert lines == [
        f"🔌 Disconnected: options, {why}; next attempt in 300 s",
        f"⚠️ Option quotes do not stream ({why}): chain polled every 2 s instead",
    ]


async def test_a_silent_stream_is_replaced_by_polls_and_comes_back(logged: list[Any]) -> None:
    async with open_place(speed=100) as place:
        calls = place.calls(3)
        place.wanted = Wanted(contracts=frozenset(calls), held=None)
        feed, watch = place.options()
        await watch.until(lambda: len(watch.all(Quote)) > 10)
        place.faults.add("silence", feed="options")
        await watch.until(lambda: len(place.server.connects["options"]) == 2)
        assert not feed.streaming
        silent_at = place.clock.now()
        await watch.until(lambda: place.clock.now() - silent_at > 100 * SECOND)
        # Reopened once; more would not help while nothing is quoted.
        assert len(place.server.connects["options"]) == 2 and not feed.streaming
        place.faults.clear()
        await watch.until(lambda: feed.streaming)
        await watch.until(lambda: any(entry["event"] == "quotes_streaming" for entry in logged))
    told = [entry["text"] for entry in logged if entry["event"] in ("quotes_polled", "quotes_streaming")]
    assert told == [
        "⚠️ Option quotes do not stream (silent): chain polled every 2 s instead",
        "✓ Option quotes stream again: chain polled every 5 s",
    ]


@pytest.mark.parametrize("fault", ["evict", "drop", "refuse_auth"])
async def test_trouble_with_options_ends_nothing(fault: str) -> None:
    async with open_place(speed=600) as place:
        place.wanted = Wanted(contracts=frozenset(place.calls(3)))
        if fault == "refuse_auth":
            place.faults.add("refuse_auth", feed="options")
        feed, watch = place.options()
        if fault != "refuse_auth":
            await watch.until(lambda: feed.streaming)
            place.faults.add(fault, feed="options")
        await watch.until(lambda: len(place.server.connects["options"]) == 2 and feed.streaming)
        assert place.gaps("options")[0] >= {"evict": 60, "drop": 1, "refuse_auth": 300}[fault]


def script_quotes(*quotes: dict[str, Any]) -> Script:
    async def script(connection: ServerConnection) -> None:
        await connection.send(frame(status("connected")))
        await connection.recv()
        await connection.send(frame(status("auth_success")))
        pairs = json.loads(await connection.recv())["params"].split(",")
        await connection.send(frame(*(status("success", f"subscribed to: {pair}") for pair in pairs)))
        for quote in quotes:
            await connection.send(frame(quote))
        await read_on(connection)

    return script


def timed_quote(milliseconds: int, sequence: int, bid: float, contract: str = CALL) -> dict[str, Any]:
    return option_quote(
        sym=contract, t=NOW // 1000 + 599_000 + milliseconds, q=sequence, bp=bid, ap=bid + 0.02
    )


@contextlib.asynccontextmanager
async def scripted_options(
    script: Script, server: Server, wanted: Wanted, speed: float = 10
) -> AsyncIterator[tuple[OptionsFeed, Watch]]:
    clock = PatientClock(NOW + 600 * SECOND, speed)
    rest = Rest(BASE, KEY, clock, httpx.MockTransport(server))
    async with scripted(script) as (url, _):
        client = SessionClient(
            rest=rest, ws_url=url, api_key=KEY, clock=clock, rules=RULES, session=session(), rng=random.Random(1),
            step_s=5.0,
        )  # fmt: skip
        feed = client.options(wanted=lambda: wanted)
        watch = Watch(feed.events(), clock)
        try:
            yield feed, watch
        finally:
            await watch.stop()
            await rest.aclose()


async def test_only_the_newest_quote_of_a_contract_is_handed_on() -> None:
    script = script_quotes(
        timed_quote(100, 5, 0.86), timed_quote(100, 7, 0.88), timed_quote(100, 6, 0.99), timed_quote(50, 9, 0.99),
        timed_quote(100, 7, 0.99), timed_quote(10, 1, 0.50, "O:IWM251002C00216000"),
    )  # fmt: skip
    other = "O:IWM251002C00216000"
    wanted = Wanted(contracts=frozenset({CALL, other}))
    async with scripted_options(script, Server(said(404)), wanted) as (_, watch):
        await watch.until(lambda: len(watch.all(Quote)) >= 2)
        await asyncio.sleep(0.3)
    assert [(quote.contract, quote.bid) for quote in watch.all(Quote)] == [(CALL, 8800), (other, 5000)]


async def test_a_held_quote_without_change_is_confirmed_after_a_while(logged: list[Any]) -> None:
    async def chatter(connection: ServerConnection) -> None:
        await script_quotes_head(connection)
        for n in range(10_000):
            await connection.send(frame(timed_quote(n, n, 0.5, "O:IWM251002C00216000")))
            await asyncio.sleep(0.02)

    async def script_quotes_head(connection: ServerConnection) -> None:
        await connection.send(frame(status("connected")))
        await connection.recv()
        await connection.send(frame(status("auth_success")))
        pairs = json.loads(await connection.recv())["params"].split(",")
        await connection.send(frame(*(status("success", f"subscribed to: {pair}") for pair in pairs)))
        await connection.send(frame(timed_quote(0, 1, 0.86)))

    server = Server(said(404), ok(chain_row()))
    wanted = Wanted(contracts=frozenset({"O:IWM251002C00216000"}), held=CALL)
    async with scripted_options(chatter, server, wanted, speed=20) as (feed, watch):

        def held() -> list[tuple[int, Quote]]:
            return [(at, quote) for at, quote in watch.seen if quote.contract == CALL]

        await watch.until(lambda: len(held()) >= 3)
        assert feed.streaming
    first, *polled = held()
    assert first[1].source is QuoteSource.STREAM
    assert {quote.source for _, quote in polled} == {QuoteSource.POLL}
    # The first answer failed, and was asked for again at the pace of polls: 5 s, less what a busy machine takes to see
    # the first quote (0.1 s are two of the market's).
    assert (polled[0][0] - first[0]) / SECOND >= 15 + 2
    assert (polled[1][0] - polled[0][0]) / SECOND >= 3
    assert [entry["event"] for entry in logged].count("confirm_failed") == 1


# --- The chain poller --------------------------------------------------------------------------------


@pytest.mark.parametrize(("streaming", "pace"), [(True, 5.0), (False, 2.0)])
async def test_the_chain_is_polled_at_its_pace(streaming: bool, pace: float) -> None:
    async with open_place(speed=20) as place:
        watch = place.poller(spot=market().spot(place.clock.now()), streaming=streaming)
        await watch.until(lambda: len(watch.all(Chain)) >= 4)
    at = [at for at, event in watch.seen if isinstance(event, Chain)]
    gaps = [(later - early) / SECOND for early, later in itertools.pairwise(at)]
    assert all(gap > pace - 1.5 for gap in gaps) and min(gaps) < pace + 2.5
    (row, *_), spot = watch.all(Chain)[0].rows, market().spot(at[0])
    assert row.real_time and row.contract.startswith("O:IWM251002C")
    assert all(abs(row.strike / 1000 / spot - 1) < 0.045 for chain in watch.all(Chain) for row in chain.rows)


async def test_a_poll_that_fails_is_told_once_and_so_is_recovery(logged: list[Any]) -> None:
    async with open_place(speed=150) as place:
        place.faults.add("rest_403", times=1, path="/v3/snapshot")
        place.faults.add("rest_html", times=6, path="/v3/snapshot")
        place.faults.add("next_url_offhost", times=1)
        place.faults.add("bad_page", times=1, path="/v3/snapshot")
        watch = place.poller()
        await watch.until(lambda: len(watch.all(Chain)) >= 2)
        snapshots = [request.at for request in place.server.requests if "snapshot" in request.path]
        # Three polls fail twice each at the usual pace, then the plan's refusal is left alone for a minute.
        assert (snapshots[7] - snapshots[6]) / SECOND >= 60
    lines = [entry["text"] for entry in logged if entry["event"].startswith("chain_poll")]
    assert lines[0] == "⚠️ Chain poll failed, the last good one stays: vendor's server fails (504)"
    assert lines[1].startswith("⚠️ Chain poll failed, the last good one stays: not in the plan (403)")
    assert lines[-1].startswith("✓ Chain polls work again after ")
    assert len(lines) == 3


async def test_too_many_requests_are_waited_out() -> None:
    async with open_place(speed=150) as place:
        place.faults.add("rest_429", path="/v3/snapshot", retry_after=40)
        watch = place.poller()
        await watch.until(lambda: watch.all(Chain))
        first, second, *_ = (request.at for request in place.server.requests if "snapshot" in request.path)
    assert (second - first) / SECOND >= 40


async def test_a_chain_that_is_empty_is_said_when_it_changes_and_never_replaces_a_good_one(
    logged: list[Any],
) -> None:
    async with open_place(speed=40) as place:
        place.faults.add("rest_no_rows", path="/v3/snapshot", times=3)
        watch = place.poller()
        await watch.until(lambda: any(chain.rows for chain in watch.all(Chain)))
        assert [bool(chain.rows) for chain in watch.all(Chain)] == [False, False, False, True]
        place.faults.add("rest_no_rows", path="/v3/snapshot", times=4)
        await watch.until(lambda: len(watch.all(Chain)) == 6)
        assert all(chain.rows for chain in watch.all(Chain)[3:])
    events = [(entry["event"], entry["text"]) for entry in logged if entry["event"].startswith("chain_")]
    assert events == [
        ("chain_empty", f"⚠️ The chain is empty: no IWM calls expire on {session().date}"),
        ("chain_empty", "⚠️ The chain came empty after good ones: the last good one stays"),
        ("chain_polled_again", "✓ Chain polls work again after 4 that failed"),
    ]


async def test_nothing_is_polled_before_the_open_or_after_the_close() -> None:
    async with open_place(speed=100, second=-30) as place:
        watch = place.poller()
        await watch.until(lambda: watch.all(Chain))
        assert min(request.at for request in place.server.requests) >= session().open
    length = (session().close - session().open) // SECOND
    async with open_place(speed=100, second=length - 30) as place:
        watch = place.poller()
        await watch.until(lambda: place.clock.now() > session().close + 20 * SECOND)
        assert not watch.task.done()
        assert 1 <= len(watch.all(Chain)) <= 7
        assert max(request.at for request in place.server.requests) < session().close + SECOND


# --- Ending ------------------------------------------------------------------------------------------


async def test_a_feed_can_be_closed_at_any_moment() -> None:
    """Also at the very moment at which its connection fails."""
    rng = random.Random(7)
    async with open_place(speed=2000) as place:
        place.wanted = Wanted(contracts=frozenset(place.calls(3)))
        place.faults.add("drop", times=1000, stage="subscribe")
        for _ in range(25):
            watches = [place.stocks()[1], place.options()[1]]
            await asyncio.sleep(rng.uniform(0.0, 0.03))
            async with asyncio.timeout(3):
                for watch in watches:
                    await watch.stop()
        await asyncio.sleep(0.05)
        assert place.server.open_connections("stocks") == place.server.open_connections("options") == 0


async def test_a_fault_of_our_own_ends_the_feed_with_its_reason() -> None:
    async with open_place() as place:

        def wanted() -> Wanted:
            raise ZeroDivisionError

        feed = place.client().options(wanted=wanted)
        watch = place.watch(feed.events())
        with pytest.raises(ExceptionGroup) as caught:
            await watch.until(lambda: False)
    assert caught.group_contains(ZeroDivisionError)


async def test_a_feed_that_is_cancelled_by_nobody_is_no_quiet_end() -> None:
    """A task group takes a cancelled task for a finished one: its worker would go on half alive."""

    def position_open() -> bool:
        raise asyncio.CancelledError

    async with open_place() as place:
        place.faults.add("refuse_auth", feed="stocks")
        _, watch = place.stocks(position_open=position_open)
        with pytest.raises(RuntimeError, match="stocks feed has ended"):
            await watch.until(lambda: False)
