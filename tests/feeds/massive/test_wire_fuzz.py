"""Whatever stands in any field of what the vendor sends: nothing impossible comes out, and no neighbour is lost.

What must come out is told by rules written here apart from the code, in plain arithmetic.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from typing import Any

import msgspec
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from events import SECOND, Bar, ChainRow
from feeds.massive.errors import RestError
from feeds.massive.wire import Status, StreamEvent
from feeds.vendor import StreamQuote
from tests.wire import (
    ABSENT,
    CALL,
    EXPIRY,
    GOOD_BAR,
    GOOD_ROW,
    NOW,
    START_MS,
    aggregate,
    chain_row,
    make_decoder,
    ok,
    option_quote,
    rest_of,
    said,
    second_row,
)

SPY_BAR = msgspec.structs.replace(GOOD_BAR, symbol="SPY")
BACKFILLED = msgspec.structs.replace(GOOD_BAR, backfilled=True)

values = st.sampled_from(
    [ABSENT, None, 0, 0.0, -0.0, -1, 1, 0.01, 0.0099, 1e-10, 1e-300, 5e-324, 215, 241.77, 241.775, 24177, 24177.5, 2.4177, 999_999.99, 1e6, 1e7,
     999_999_999_999, 1e12, 1e300, -1e300, 10**15, 10**30, 10**400, math.nan, math.inf, -math.inf, True, False, "", " ", "0", "215", "241.77", "1e3", "1.234567e+06",
     "1e400", "-5", "nan", "inf", "x", "\x1b[2J", "٣", "1_0", "9" * 50, "\ud800", "IWM", "SPY", CALL, "A", "Q", "status", "REAL-TIME", "call", EXPIRY, [], [1], {}, {"ev": "A"},
     aggregate(sym="SPY", c=99.0), START_MS, START_MS + 1000, START_MS * 1000, START_MS * 1_000_000, NOW // 1000, NOW // 1000 + 5000, NOW * 1000]
)  # fmt: skip
"""Nothing, zero, the edges of every bound, other units, text, other kinds, and other fields' values."""


def changes(names: list[str], most: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    """Some fields with some other value."""
    return st.dictionaries(st.sampled_from(names), values, max_size=most)


def is_number(value: Any) -> bool:
    """Whether JSON can hold it as a number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


def is_price(value: Any) -> bool:
    """A cent to a million dollars."""
    return is_number(value) and 0.01 <= value <= 1_000_000


def volume_of(event: dict[str, Any]) -> float | None:
    """``dv`` where it is a plain number, as text too, else ``v``; None without either."""
    for name in ("dv", "v"):
        value: Any = event.get(name)
        if isinstance(value, str) and re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value, re.ASCII):
            value = float(value) if len(value) <= 40 else None
        if is_number(value) and 0 <= value < 1e12:
            return float(value)
    return None


def is_whole_second(value: Any) -> bool:
    """Milliseconds of a whole second that ends 2 s ahead of now at most."""
    return is_number(value) and value % 1000 == 0 and 946_684_800_000 <= value <= NOW // 1000 + 1000


def is_json(event: dict[str, Any]) -> bool:
    """Whether the event is JSON as it is written here: no NaN, no unpaired surrogate."""
    try:
        json.dumps(event, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, UnicodeError):
        return False
    return True


def must_be_kept(event: dict[str, Any]) -> bool:
    """Whether a bar has all that is needed, and a close that nothing contradicts."""
    prices = [event.get(name) for name in ("l", "o", "c", "h", "vw")]
    return (
        is_json(event)
        and event.get("ev") == "A"
        and event.get("sym") in ("IWM", "SPY")
        and is_whole_second(event.get("s"))
        and (event.get("e") in (None, event["s"] + 1000) or not is_number(event.get("e")))
        and volume_of(event) is not None
        and is_price(event.get("c"))
        and sum(is_price(price) and abs(price - event["c"]) <= 0.05 for price in prices) >= 4
    )


def check_bar(bar: Bar) -> None:
    """Every number of a bar is within the bounds and fits the others."""
    assert bar.start % SECOND == 0
    assert bar.end <= NOW + 2 * SECOND
    assert 0.01 <= bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high <= 1_000_000
    assert bar.low * 0.99 <= bar.vwap <= bar.high * 1.01
    assert 0 <= bar.volume < 1e12
    assert math.isfinite(bar.volume * bar.vwap * 23_400)


def check(event: StreamEvent) -> None:
    """What may come out of a frame."""
    if isinstance(event, Bar):
        assert event.symbol in ("IWM", "SPY")
        check_bar(event)
    elif isinstance(event, StreamQuote):
        quote = event.quote
        assert quote.contract == CALL
        assert 0 <= quote.bid <= 10**10 and 0 <= quote.ask <= 10**10
        assert 0 <= quote.bid_size < 1e12 and 0 <= quote.ask_size < 1e12
        assert quote.at <= NOW + 2 * SECOND
    else:
        assert isinstance(event, Status)


def written(*events: Any) -> bytes:
    """A frame as a broken program may write it."""
    return json.dumps(events).encode()


@seed(101)
@settings(deadline=None, max_examples=400)
@given(changes(list(aggregate())))
def test_any_field_of_a_bar(odd: dict[str, Any]) -> None:
    event = aggregate(**odd)
    found = make_decoder().decode(written(aggregate(sym="SPY"), event, aggregate(sym="SPY")), NOW)
    for one in found:
        check(one)
    assert found[0] == found[-1] == SPY_BAR
    assert 2 <= len(found) <= 3
    if must_be_kept(event):
        bar = found[1]
        assert isinstance(bar, Bar)
        assert (bar.symbol, bar.start, bar.volume) == (event["sym"], event["s"] * 1000, volume_of(event))
        assert abs(bar.close - event["c"]) <= 0.05
    if volume_of(event) is None or not is_price(event.get("c")) or not is_whole_second(event.get("s")):
        assert not any(isinstance(one, Bar) for one in found[1:-1])


@seed(102)
@settings(deadline=None, max_examples=300)
@given(changes(list(option_quote())))
def test_any_field_of_a_quote(odd: dict[str, Any]) -> None:
    event = option_quote(**odd)
    found = make_decoder().decode(written(option_quote(), event, option_quote()), NOW)
    for one in found:
        check(one)
    assert [one for one in (found[0], found[-1]) if isinstance(one, StreamQuote) and one.quote.bid == 8600] == [
        found[0], found[-1],
    ]  # fmt: skip
    if any(is_number(event.get(name)) and event[name] < 0 for name in ("bp", "ap", "bs", "as")):
        assert len(found) == 2 or not isinstance(found[1], StreamQuote)


@seed(103)
@settings(deadline=None, max_examples=300)
@given(
    st.lists(changes([*aggregate(), "x"], 2), min_size=1, max_size=6),
    st.sampled_from(["", ",NaN", ',{"x":', ",nul"]),
)
def test_many_odd_events_in_a_frame_that_may_be_broken(odd: list[dict[str, Any]], tail: str) -> None:
    """Between any two there is a good one, and all of these come out."""
    events = [part for one in odd for part in (aggregate(**one), aggregate(sym="SPY"))]
    text = json.dumps(events)[:-1] + tail + "]"
    found = make_decoder().decode(text.encode(), NOW)
    for one in found:
        check(one)
    assert sum(one == SPY_BAR for one in found) >= len(odd)
    assert len(found) <= len(events)


def put(row: dict[str, Any], path: str, value: Any) -> None:
    """Set or remove a field of a row, such as ``last_quote.bid``, where its place is still there."""
    *above, name = path.split(".")
    for part in above:
        row = row.get(part, {})
        if not isinstance(row, dict):
            return
    if value is ABSENT:
        row.pop(name, None)
    else:
        row[name] = value


ROW_FIELDS = [
    *chain_row(), *(f"{part}.{name}" for part in ("details", "greeks", "last_quote", "underlying_asset") for name in chain_row()[part])
]  # fmt: skip
NEIGHBOURS = tuple(
    msgspec.structs.replace(GOOD_ROW, contract=f"O:IWM251002C00{strike}000", strike=strike * 1000)
    for strike in (214, 216)
)


@seed(104)
@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(ROW_FIELDS), values), max_size=3))
def test_any_field_of_a_chain_s_row(odd: list[tuple[str, Any]]) -> None:
    row = json.loads(json.dumps(chain_row()))
    for path, value in odd:
        put(row, path, value)

    async def ask() -> tuple[ChainRow, ...]:
        body = written(chain_row(214), row, chain_row(216))
        async with rest_of(said(b'{"status":"OK","results":' + body + b"}")) as rest:
            return (await rest.chain("IWM", EXPIRY, 215.0, 4.0)).rows

    found = asyncio.run(ask())
    assert set(NEIGHBOURS) <= set(found)
    for one in found:
        assert one.contract.startswith("O:IWM251002C")
        assert 0 <= one.bid <= 10**10 and 0 <= one.ask <= 10**10
        assert 0 <= one.bid_size < 1e12 and 0 <= one.ask_size < 1e12 and 0 <= one.open_interest < 1e12
        assert one.delta is None or -1 <= one.delta <= 1
        assert one.iv is None or 0 < one.iv <= 100
        assert one.quoted_at <= NOW + 2 * SECOND


@seed(105)
@settings(deadline=None, max_examples=300)
@given(changes(list(second_row())))
def test_any_field_of_a_second_s_row(odd: dict[str, Any]) -> None:
    row = second_row(**odd)

    async def ask() -> list[Bar]:
        body = written(second_row(-9), row, second_row(-2))
        async with rest_of(said(b'{"status":"OK","results":' + body + b"}")) as rest:
            return await rest.second_bars("IWM", NOW - 300 * SECOND, NOW)

    found = asyncio.run(ask())
    for bar in found:
        check_bar(bar)
        assert bar.backfilled
    shifts = [-9, -2]
    if row.get("t") not in [START_MS + 1000 * shift for shift in shifts]:
        starts = [START_MS * 1000 + shift * SECOND for shift in shifts]
        assert [msgspec.structs.replace(BACKFILLED, start=start) for start in starts] == [
            bar for bar in found if bar.start in starts
        ]


@seed(106)
@settings(deadline=None, max_examples=300)
@given(changes(["status", "results", "next_url", "resultsCount", "ticker", "request_id", "queryCount"]))
def test_any_field_of_a_page(odd: dict[str, Any]) -> None:
    """Rows, nothing, or a failed answer: nothing only where the page says so itself."""
    page: dict[str, Any] = {"status": "OK", "results": [chain_row()], "resultsCount": 1, **odd}
    page = {name: value for name, value in page.items() if value is not ABSENT}

    async def ask() -> tuple[ChainRow, ...] | RestError:
        async with rest_of(said(page), ok([])) as rest:
            try:
                return (await rest.chain("IWM", EXPIRY, 215.0, 4.0)).rows
            except RestError as error:
                return error

    answer = asyncio.run(ask())
    if isinstance(answer, RestError):
        assert odd
        return
    assert answer in ((), (GOOD_ROW,), (msgspec.structs.replace(GOOD_ROW, real_time=False),))
    if answer == ():
        says_so = page.get("results") == [] or ("results" not in page and page.get("resultsCount") == 0)
        assert says_so and page.get("status") == "OK"
