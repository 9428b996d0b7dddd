"""The vendor's input against what must come out of it: frames, REST answers, pacing, and both feeds over sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from events import SECOND, Bar, ChainRow, QuoteSource
from polygon_client import (
    BadInput,
    BadReason,
    FrameDecoder,
    MarketStatus,
    Rest,
    RestError,
    RestErrorKind,
    Status,
    StreamEvent,
    StreamQuote,
    printable,
    retry_after_s,
    scrubber,
)
from utils import ScaledClock

KEY = "kEy-0123456789abcdef"
"""The key of every test here: it must appear in no log and no exception."""

NOW = 1_759_411_800 * SECOND
"""2025-10-02 09:30:00 in New York."""

START_MS = NOW // 1000 - 3000
CALL = "O:IWM251002C00215000"
EXPIRY = "2025-10-02"


class StillClock:
    """A clock that stands until it is moved; sleeping moves it."""

    speed = 1.0

    def __init__(self, now: int = NOW) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += round(seconds * SECOND)
        await asyncio.sleep(0)


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


def aggregate(**changes: Any) -> dict[str, Any]:
    event = {
        "ev": "A", "sym": "IWM", "v": 1843, "dv": "1843.25", "av": 11870442, "dav": "11870442.731", "op": 241.18,
        "vw": 241.7719, "o": 241.77, "c": 241.78, "h": 241.79, "l": 241.76, "a": 241.5206, "z": 61,
        "s": START_MS, "e": START_MS + 1000,
    }  # fmt: skip
    return {name: value for name, value in {**event, **changes}.items() if value is not ABSENT}


def option_quote(**changes: Any) -> dict[str, Any]:
    event = {
        "ev": "Q", "sym": CALL, "bx": 302, "ax": 309, "bp": 0.86, "ap": 0.88, "bs": 41, "as": 27,
        "t": START_MS + 345, "q": 771204418,
    }  # fmt: skip
    return {name: value for name, value in {**event, **changes}.items() if value is not ABSENT}


ABSENT = object()


def frame(*events: Any) -> bytes:
    """A frame as Python writes it, which is not JSON where a number is NaN or infinite: as a real fault would be."""
    return json.dumps(list(events)).encode()


GOOD_BAR = Bar(
    symbol="IWM", start=START_MS * 1000, open=241.77, high=241.79, low=241.76, close=241.78, volume=1843.25,
    vwap=241.7719,
)  # fmt: skip


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
        ({"vw": 300.0}, {"vwap": 300.0}),
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


BAD_NUMBERS: tuple[Any, ...] = ("dear", "241.78", True, [241.78], {})
BAD_PRICES: tuple[Any, ...] = (None, ABSENT, 0, -1.0, 1e9)
BAD_EVENTS: list[tuple[Any, BadReason]] = [
    *((aggregate(**{name: value}), BadReason.PRICE) for name in "ohlc" for value in BAD_PRICES),
    (aggregate(h=241.0), BadReason.PRICE),
    (aggregate(vw=-1.0), BadReason.PRICE),
    (aggregate(vw=0.0), BadReason.PRICE),
    *((aggregate(dv=value), BadReason.VOLUME) for value in ("many", "", "-1", "nan", "1_0", "1e3", "٣", -0.5)),
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
    clock._now = clock_now + 60 * SECOND
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

BASE = "https://api.example.test"
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


def ok(results: Any = ABSENT, **more: Any) -> httpx.Response:
    body = {"status": "OK", "request_id": "1", **more}
    if results is not ABSENT:
        body["results"] = results
    return httpx.Response(200, content=json.dumps(body), headers={"content-type": "application/json"})


def chain_row(strike: float = 215, **changes: Any) -> dict[str, Any]:
    row = {
        "break_even_price": 242.87,
        "day": {},
        "details": {
            "contract_type": "call", "exercise_style": "american", "expiration_date": EXPIRY,
            "shares_per_contract": 100, "strike_price": strike, "ticker": f"O:IWM251002C{round(strike * 1000):08d}",
        },
        "greeks": {"delta": 0.46, "gamma": 0.21, "theta": -0.62, "vega": 0.03},
        "implied_volatility": 0.213,
        "last_quote": {
            "ask": 0.88, "ask_exchange": 309, "ask_size": 27, "bid": 0.86, "bid_exchange": 302, "bid_size": 41,
            "last_updated": (NOW - SECOND) * 1000, "midpoint": 0.87, "timeframe": "REAL-TIME",
        },
        "last_trade": {},
        "open_interest": 5120,
        "underlying_asset": {"price": 215.2, "ticker": "IWM", "timeframe": "REAL-TIME"},
    }  # fmt: skip
    return {name: value for name, value in {**row, **changes}.items() if value is not ABSENT}


GOOD_ROW = ChainRow(
    contract=CALL, strike=215_000, shares=100, bid=8600, ask=8800, bid_size=41, ask_size=27, quoted_at=NOW - SECOND,
    real_time=True, iv=0.213, delta=0.46, open_interest=5120,
)  # fmt: skip


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
    chain_row(greeks={"delta": 46}),
    chain_row(greeks={"delta": float("-inf")}),
    chain_row(implied_volatility=-0.2),
    chain_row(implied_volatility=21300),
    chain_row(open_interest=-1),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_ROWS)
async def test_a_bad_row_costs_itself_only(bad: Any, logged: list[Any]) -> None:
    assert await chain_of(bad, chain_row(), bad, chain_row(216)) == (
        GOOD_ROW,
        msgspec.structs.replace(GOOD_ROW, contract="O:IWM251002C00216000", strike=216_000),
    )
    assert logged[0]["event"] == "bad_input"


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


@pytest.mark.parametrize("answer", [ok([]), ok(), ok(None), ok(status="DELAYED"), ok(status=None)])
async def test_an_empty_chain_is_no_error(answer: httpx.Response) -> None:
    assert await chain_of(server=Server(answer)) == ()


def said(code: int, /, **body: str) -> httpx.Response:
    return httpx.Response(code, json=body)


HTML = httpx.Response(200, text="<html>captive portal</html>", headers={"content-type": "text/html"})
NGINX = httpx.Response(504, text="<html>504</html>", headers={"content-type": "text/html"})
JSON = {"content-type": "application/json; charset=utf-8"}


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


def second_row(offset_s: int = 0, **changes: Any) -> dict[str, Any]:
    row = {
        "v": 1843.25, "vw": 241.7719, "o": 241.77, "c": 241.78, "h": 241.79, "l": 241.76, "n": 12,
        "t": START_MS + 1000 * offset_s,
    }  # fmt: skip
    return {name: value for name, value in {**row, **changes}.items() if value is not ABSENT}


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
        (
            {"market": "open", "exchanges": {"nyse": "closed"}, "serverTime": "2025-10-02T09:30:12-04:00"},
            MarketStatus(market="closed", server_time_us=NOW + 12 * SECOND),
        ),
        ({"market": "extended-hours"}, MarketStatus(market="extended-hours", server_time_us=None)),
        ({"market": "open", "exchanges": {}, "serverTime": "soon"}, MarketStatus(market="open", server_time_us=None)),
    ],
)  # fmt: skip
async def test_the_market_status_is_the_exchange_s_own(body: Any, expected: MarketStatus) -> None:
    async with open_rest(Server(httpx.Response(200, json=body))) as rest:
        assert await rest.market_status() == expected


async def test_skew_is_the_vendor_s_clock_minus_ours_by_the_last_quick_exchange() -> None:
    clock = StillClock()

    def dated(text: str, took_s: float = 0.0) -> Handler:
        def answer(request: httpx.Request) -> httpx.Response:
            clock._now += round(took_s * SECOND)
            response = ok([])
            response.headers["date"] = text
            return response

        return answer

    server = Server(
        dated("Thu, 02 Oct 2025 13:30:30 GMT"),
        dated("Thu, 02 Oct 2025 13:29:50 GMT"),
        dated("Thu, 02 Oct 2025 15:00:00 GMT", took_s=3.0),
        dated("yesterday"),
    )
    async with open_rest(server, clock=clock) as rest:
        assert rest.skew is None
        seen: list[float | None] = []
        for _ in range(4):
            await rest.chain("IWM", EXPIRY, 215.0, 4.0)
            seen.append(rest.skew)
    assert seen == [30.5, -9.5, -9.5, -9.5]
    assert rest.skews_measured == 2


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
        assert (await rest.market_status()).market == "open"
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
