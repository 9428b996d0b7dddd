"""REST's answers against what they are taken for: empty, failed, delayed or good; and how much of them is read."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest

from events import SECOND
from feeds.exchange import STATUSES
from feeds.massive.bad_input import SHOWN_WINDOW, BadReason, beginning, scrubber
from feeds.massive.body import ERROR_BODY_BYTES
from feeds.massive.errors import RestErrorKind
from feeds.massive.lists import PAGES_MAX
from feeds.massive.rest import CHAIN_BODY_BYTES, Rest
from feeds.massive.rows import CHAIN_PAGE_ROWS
from tests.wire import (
    ABSENT,
    BASE,
    CALL,
    EXPIRY,
    GOOD_BAR,
    GOOD_ROW,
    KEY,
    NOW,
    StillClock,
    chain_of,
    chain_row,
    failure,
    ok,
    packed,
    rest_of,
    said,
    second_row,
    seconds_of,
)

DETAILS = chain_row()["details"]
QUOTE = chain_row()["last_quote"]


# --- Absent, zero, empty and failed ------------------------------------------------------------------

FAILED: list[Callable[[], httpx.Response]] = [
    ok,
    lambda: ok(None),
    lambda: ok(None, resultsCount=0),
    lambda: ok(resultsCount=5),
    lambda: ok(resultsCount="0"),
    lambda: ok(resultsCount=None),
    lambda: ok([], resultsCount=5),
    lambda: ok([], status=None),
    lambda: ok([], status=ABSENT),
    lambda: ok([], status="PARTIAL"),
    lambda: ok([], status=""),
    lambda: ok([], status="ERROR"),
    lambda: ok([], status="NOT_AUTHORIZED"),
    lambda: ok([], status=7),
    lambda: ok({}),
    lambda: ok("none"),
    lambda: ok(0),
    lambda: ok(False),
    lambda: said({}),
    lambda: said([]),
    lambda: said(None),
    lambda: said({"market": "open"}),
    lambda: said({"error": "no"}),
    lambda: said(b""),
    lambda: said(b"null"),
    lambda: said(b"\x00"),
]


@pytest.mark.parametrize("answer", FAILED)
@pytest.mark.parametrize("ask", [chain_of, seconds_of])
async def test_an_answer_that_does_not_say_it_is_empty_has_failed(
    ask: Callable[..., Awaitable[Any]], answer: Callable[[], httpx.Response]
) -> None:
    assert (await failure(ask(answer()))).kind is RestErrorKind.BAD_BODY


@pytest.mark.parametrize(
    "more",
    [{}, {"resultsCount": 0}, {"queryCount": 0, "resultsCount": 0}, {"status": "DELAYED"}, {"status": "ok"}],
)
async def test_an_answer_that_says_it_is_empty_is(more: dict[str, Any]) -> None:
    assert await chain_of(ok([], **more)) == ()
    assert await seconds_of(ok([], **more)) == []


async def test_results_may_be_left_out_where_the_answer_counts_none() -> None:
    assert await chain_of(ok(resultsCount=0)) == ()
    assert await seconds_of(ok(resultsCount=0, queryCount=0, ticker="IWM")) == []


@pytest.mark.parametrize("second", [ok(), ok(None), ok([], status="PARTIAL"), said(b"")])
async def test_a_later_page_that_does_not_say_it_is_empty_fails_the_whole(second: httpx.Response) -> None:
    first = ok([chain_row()], next_url=f"{BASE}/v3?cursor=1")
    assert (await failure(chain_of(first, second))).kind is RestErrorKind.BAD_BODY


async def test_rows_without_a_status_speak_for_themselves() -> None:
    assert await chain_of(ok([chain_row()], status=ABSENT)) == (GOOD_ROW,)
    assert await chain_of(ok([chain_row()], status=None)) == (GOOD_ROW,)


@pytest.mark.parametrize(
    "rows",
    [
        [chain_row(details={**DETAILS, "ticker": "O:IWM1251002C00215000"})], [None, 7], [{}, {}],
        [chain_row(last_quote={**QUOTE, "last_updated": (NOW + 3 * SECOND) * 1000})] * 3,
        [chain_row(300)],
    ],
)  # fmt: skip
async def test_a_chain_of_which_no_row_is_usable_is_no_empty_market(rows: list[Any]) -> None:
    error = await failure(chain_of(ok(rows)))
    assert (error.kind, str(error)) == (
        RestErrorKind.BAD_BODY, f"unusable answer: none of its {len(rows)} rows is usable",
    )  # fmt: skip


@pytest.mark.parametrize(
    "rows", [[second_row(c=None)], [None], [second_row(t=NOW * 1000)] * 2, [second_row(v="x")]]
)
async def test_seconds_of_which_none_is_usable_are_no_quiet_span(rows: list[Any]) -> None:
    assert (await failure(seconds_of(ok(rows)))).kind is RestErrorKind.BAD_BODY


async def test_seconds_of_another_symbol_are_refused() -> None:
    assert (await failure(seconds_of(ok([second_row()], ticker="SPY")))).kind is RestErrorKind.BAD_BODY
    assert await seconds_of(ok([second_row()], ticker="IWM")) == [
        msgspec.structs.replace(GOOD_BAR, backfilled=True)
    ]


async def test_rest_s_seconds_are_mended_as_the_socket_s(logged: list[Any]) -> None:
    rows = [
        second_row(-2, vw=1e-10),
        second_row(-1, v="1.5e3", h=None),
        second_row(0, vw=[]),
        second_row(1, c="x"),
    ]
    bars = await seconds_of(ok(rows))
    assert [(round(bar.vwap, 2), bar.volume) for bar in bars] == [
        (241.78, 1843.25),
        (241.77, 1500),
        (241.78, 1843.25),
    ]
    assert all(bar.backfilled for bar in bars)
    assert {entry["reason"] for entry in logged} == {BadReason.VWAP, BadReason.PRICE, BadReason.EVENT}


async def test_a_delayed_answer_prices_nothing() -> None:
    (row,) = await chain_of(ok([chain_row()], status="DELAYED"))
    assert row == msgspec.structs.replace(GOOD_ROW, real_time=False)
    first = ok([chain_row()], next_url=f"{BASE}/v3?cursor=1")
    rows = await chain_of(first, ok([chain_row(216)], status="DELAYED"))
    assert [row.real_time for row in rows] == [False, False]


@pytest.mark.parametrize(
    "answer", [ok(chain_row(), status="DELAYED"), ok(chain_row(last_quote={**QUOTE, "timeframe": "DELAYED"})),
               ok(chain_row(last_quote={**QUOTE, "timeframe": None}))]
)  # fmt: skip
async def test_a_delayed_quote_of_the_held_contract_is_no_price(answer: httpx.Response) -> None:
    async with rest_of(answer) as rest:
        error = await failure(rest.contract("IWM", CALL))
    assert (error.kind, str(error)) == (RestErrorKind.EMPTY, "nothing there: its quote is delayed")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, RestErrorKind.EMPTY), ({"market": None}, RestErrorKind.EMPTY), ({"market": ""}, RestErrorKind.BAD_BODY),
        ({"market": "halted"}, RestErrorKind.BAD_BODY), ({"market": "OPEN"}, RestErrorKind.BAD_BODY),
        ({"market": "open", "exchanges": {"nyse": ""}}, RestErrorKind.BAD_BODY),
        ({"market": "open", "exchanges": {"nyse": "unknown\x1b[2J"}}, RestErrorKind.BAD_BODY),
        ({"market": 1}, RestErrorKind.BAD_BODY), ([], RestErrorKind.BAD_BODY), (None, RestErrorKind.BAD_BODY),
    ],
)  # fmt: skip
async def test_a_market_status_that_is_not_known_is_a_failed_answer(body: Any, kind: RestErrorKind) -> None:
    async with rest_of(said(body)) as rest:
        error = await failure(rest.market_status())
    assert error.kind is kind
    assert str(error).isprintable()


@pytest.mark.parametrize("market", STATUSES)
async def test_the_exchange_s_own_status_counts_where_there_is_one(market: str) -> None:
    async with rest_of(
        said({"market": "open", "exchanges": {"nyse": market}}), said({"market": market})
    ) as rest:
        assert [await rest.market_status(), await rest.market_status()] == [market, market]


# --- Rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("greeks", "delta"),
    [
        ({"delta": 0, "gamma": 0, "theta": 0, "vega": 0}, None), ({"delta": 0.0}, None), ({"delta": 0, "gamma": None}, None),
        ({"delta": 0, "gamma": 0.01, "theta": 0, "vega": 0}, 0.0), ({"delta": 0.46, "gamma": 0, "theta": 0, "vega": 0}, 0.46),
        ({"delta": 0.46, "gamma": "x", "vega": []}, 0.46), ({"delta": 46}, None), ({"delta": -1.01}, None), ({"delta": 1}, 1.0),
    ],
)  # fmt: skip
async def test_greeks_that_are_all_zero_or_cannot_be_are_missing(
    greeks: dict[str, Any], delta: float | None
) -> None:
    assert await chain_of(ok([chain_row(greeks=greeks)])) == (msgspec.structs.replace(GOOD_ROW, delta=delta),)


@pytest.mark.parametrize(("told", "iv"), [(-0.2, None), (21300, None), (0, None), (100, 100.0), (1e-9, None)])
async def test_a_volatility_that_cannot_be_is_missing(told: float, iv: float | None) -> None:
    assert await chain_of(ok([chain_row(implied_volatility=told)])) == (
        msgspec.structs.replace(GOOD_ROW, iv=iv),
    )


@pytest.mark.parametrize("root", ["IWM1", "2IWM", "IWN", "IW", "IWMX"])
async def test_a_contract_of_another_root_is_left_out_and_counted(root: str, logged: list[Any]) -> None:
    odd = chain_row(216, details={**chain_row(216)["details"], "ticker": f"O:{root}251002C00216000"})
    assert await chain_of(ok([odd, chain_row(), odd])) == (GOOD_ROW,)
    assert [entry["reason"] for entry in logged] == [BadReason.CONTRACT]


async def test_a_root_leaves_out_the_symbol_s_point() -> None:
    row = chain_row(details={**DETAILS, "ticker": "O:BRKB251002C00215000"})
    async with rest_of(ok([row])) as rest:
        assert len((await rest.chain("BRK.B", EXPIRY, 215.0, 4.0)).rows) == 1


async def test_an_expiry_that_contradicts_the_ticker_is_bad() -> None:
    odd = chain_row(216, details={**chain_row(216)["details"], "expiration_date": "2025-10-03"})
    assert await chain_of(ok([odd, chain_row()])) == (GOOD_ROW,)


@pytest.mark.parametrize(
    "odd",
    [b'{"details":{"ticker":"\\ud800"}}', b'{"x":"\\udc00"}', b'{"details":{"ticker":"\xff\xfe"}}', b'{"n":NaN}', b'{"n":1e999}',
     b'{"n":' + b"9" * 5000 + b"}", b'"\\ud83d"', b"NaN"],
)  # fmt: skip
async def test_what_is_no_text_or_number_costs_its_own_row(odd: bytes) -> None:
    good = json.dumps(chain_row()).encode()
    body = b'{"request_id":"\\ud800","status":"OK","results":[' + b",".join([odd, good, odd]) + b"]}"
    assert await chain_of(said(body)) == (GOOD_ROW,)


async def test_a_long_page_with_a_broken_row_is_mended_beside_the_loop() -> None:
    """Its 20,000 rows are read, and the loop goes on turning meanwhile."""
    rows = [second_row(-number) for number in range(20_000)]
    body = json.dumps({"status": "OK", "results": [*rows, {"v": "\ud800"}]}).encode()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with rest_of(said(body)) as rest:
        turning = asyncio.create_task(turn())
        bars = await rest.second_bars("IWM", NOW - 30_000 * SECOND, NOW)
        turning.cancel()
    assert len(bars) == 20_000
    assert turns >= 10


async def test_the_middle_price_of_the_rows_is_spot_where_none_is_known() -> None:
    odd = {"price": 21520.0, "ticker": "IWM"}
    rows = [
        chain_row(214, underlying_asset=odd),
        chain_row(),
        chain_row(216, underlying_asset={"price": "x"}),
        chain_row(217),
    ]
    assert [row.strike for row in await chain_of(ok(rows), spot=None)] == [214_000, 215_000, 216_000, 217_000]


@pytest.mark.parametrize("value", ["0.46", "NaN", float("nan"), float("inf"), [], {}, True, 2, -7, 10**400])
@pytest.mark.parametrize("place", ["delta", "greeks", "iv"])
async def test_a_greek_that_is_none_costs_itself_and_not_its_call(place: str, value: Any) -> None:
    """The price says what it would have been: a day of such greeks is not a day without calls."""
    changes = {
        "delta": {"greeks": {"delta": value}},
        "greeks": {"greeks": value},
        "iv": {"implied_volatility": value},
    }
    rows = await chain_of(ok([chain_row(214), chain_row(**changes[place]), chain_row(216)]))
    assert [row.strike for row in rows] == [214_000, 215_000, 216_000]
    wrong = rows[1]
    if place == "iv":
        assert wrong.iv is None or value == 2
        wrong = msgspec.structs.replace(wrong, iv=GOOD_ROW.iv)
    else:
        assert wrong.delta is None
        wrong = msgspec.structs.replace(wrong, delta=GOOD_ROW.delta)
    assert wrong == GOOD_ROW


async def test_of_a_row_told_twice_the_newer_stays_and_of_two_alike_the_one_with_a_delta() -> None:
    bare = chain_row(greeks=None)
    newer = chain_row(greeks=None, last_quote={**QUOTE, "last_updated": QUOTE["last_updated"] + 1000})
    assert (await chain_of(ok([chain_row(), bare])))[0] == GOOD_ROW
    assert (await chain_of(ok([bare, chain_row()])))[0] == GOOD_ROW
    assert (await chain_of(ok([newer, chain_row()])))[0].delta is None


BROKEN_SECONDS: list[Any] = [{"t": "soon"}, 7, second_row(c=-1), second_row(v=None), second_row(c="\ud800")]


@pytest.mark.parametrize(
    ("good", "bad", "is_failed"),
    [(1, 20, False), (1, 21, True), (225, 25, False), (225, 26, True), (0, 1, True)],
)
async def test_an_answer_of_which_too_much_is_unusable_has_failed(
    good: int, bad: int, is_failed: bool
) -> None:
    """Else its lost seconds would be covered, and count as quiet ones."""
    rows = [second_row(-number) for number in range(1, good + 1)]
    rows += [BROKEN_SECONDS[number % len(BROKEN_SECONDS)] for number in range(bad)]
    if is_failed:
        assert (await failure(seconds_of(ok(rows)))).kind is RestErrorKind.BAD_BODY
    else:
        assert len(await seconds_of(ok(rows))) == good


@pytest.mark.parametrize(("offset_s", "is_failed"), [(-86_400, True), (-310, True), (-280, False)])
async def test_seconds_of_another_time_are_a_failed_answer_and_not_a_quiet_span(
    offset_s: int, is_failed: bool
) -> None:
    """Yesterday's rows, answered now: beside a benchmark's good answer they would cover the span."""
    rows = [second_row(offset_s - number) for number in range(50)]
    if is_failed:
        assert "of another time" in str(await failure(seconds_of(ok(rows))))
        rows.append(second_row(-10))
    assert len(await seconds_of(ok(rows))) >= 1


# --- Bounds ------------------------------------------------------------------------------------------


async def test_a_word_of_megabytes_is_looked_at_no_further_than_its_beginning() -> None:
    error = await failure(chain_of(ok([], status="x" * 1_900_000)))
    assert str(error) == f"unusable answer: status {'x' * 40}"
    seen: list[int] = []

    def count(text: str) -> str:
        seen.append(len(text))
        return text

    assert beginning("y" * 1_000_000, count, 40) == "y" * 40
    assert seen == [SHOWN_WINDOW]


@pytest.mark.parametrize("before", [0, 30, 2_000, 2_047])
def test_no_part_of_a_key_is_left_where_a_text_is_cut(before: int) -> None:
    keys = KEY * (SHOWN_WINDOW // len(KEY) + 1)
    for text in ("z" * before + KEY + "z" * 3_000, keys + "z" * before):
        shown = beginning(text, scrubber(KEY), 5_000)
        assert not any(KEY[start : start + 6] in shown for start in range(len(KEY) - 5))


async def test_a_page_with_more_than_was_asked_for_is_refused() -> None:
    error = await failure(chain_of(ok([chain_row()] * (2 * CHAIN_PAGE_ROWS + 1))))
    assert "more rows than were asked for" in str(error)
    error = await failure(chain_of(ok([1] * 100_000)))
    assert "more values than were asked for" in str(error)


@pytest.mark.parametrize("packing", ["gzip", "x-gzip", "deflate", "GZIP", "gzip, identity", "identity"])
async def test_a_packed_answer_is_unpacked(packing: str) -> None:
    content = json.dumps({"status": "OK", "results": [chain_row()]}).encode()
    packs: dict[str, Callable[[bytes], bytes]] = {"deflate": zlib.compress, "identity": bytes}
    assert await chain_of(packed(packs.get(packing, gzip.compress)(content), packing)) == (GOOD_ROW,)


ONCE = gzip.compress(b'{"status":"OK","results":[]}', mtime=0)
TWICE = gzip.compress(ONCE, mtime=0)


@pytest.mark.parametrize(
    ("content", "packing"),
    [
        (TWICE, "gzip, gzip"), (ONCE, "br"), (ONCE, "zstd"), (ONCE, "gzip,deflate"), (ONCE[:-9], "gzip"), (b"{}", "gzip"), (b"", "gzip"),
    ],
)  # fmt: skip
async def test_a_packing_that_was_not_asked_for_or_is_broken_is_a_failed_answer(
    content: bytes, packing: str
) -> None:
    assert (await failure(chain_of(packed(content, packing)))).kind is RestErrorKind.BAD_BODY


async def test_a_packed_body_is_unpacked_no_further_than_its_bound() -> None:
    """200 MB of blanks in 200 kB: 2 MiB of them are seen."""
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=9)
    tracemalloc.start()
    try:
        error = await failure(chain_of(packed(bomb, "gzip")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(error) == "unusable answer (200): too long"
    assert peak < 12_000_000


@pytest.mark.parametrize("packing", ["identity", "gzip"])
async def test_a_body_may_be_as_long_as_its_bound_and_no_longer(packing: str) -> None:
    pack = gzip.compress if packing == "gzip" else bytes
    body = b'{"status":"OK","results":[]}'.ljust(CHAIN_BODY_BYTES)
    assert await chain_of(packed(pack(body), packing)) == ()
    assert str(await failure(chain_of(packed(pack(body + b" "), packing)))) == (
        "unusable answer (200): too long"
    )


async def test_of_an_error_s_body_the_beginning_is_read() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b" " * 100_000
        raise AssertionError("all of it was read")

    async with rest_of(lambda _: httpx.Response(503, content=endless())) as rest:
        error = await failure(rest.chain("IWM", EXPIRY, 215.0, 4.0))
    assert (error.kind, error.status) == (RestErrorKind.SERVER, 503)
    longer = b'{"error":"wait"}' + b" " * ERROR_BODY_BYTES
    assert str(await failure(chain_of(said(longer, 429)))) == "too many requests (429): wait"


@pytest.mark.virtual_time
async def test_all_pages_together_have_a_deadline() -> None:
    asked = 0

    async def slow(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.09)
        return ok([chain_row()], next_url=f"{BASE}/v3?cursor={asked}")

    rest = Rest(BASE, KEY, StillClock(), httpx.MockTransport(slow), deadline_s=0.1)
    error = await failure(rest.chain("IWM", EXPIRY, 215.0, 4.0))
    await rest.aclose()
    assert error.kind is RestErrorKind.TIMEOUT
    assert 2 <= asked < PAGES_MAX


async def test_no_cookie_is_kept() -> None:
    seen: list[httpx.Headers] = []

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        answer = said({"market": "open"})
        answer.headers["set-cookie"] = f"n{len(seen)}=1; Path=/"
        return answer

    async with rest_of(serve) as rest:
        for _ in range(3):
            await rest.market_status()
    assert not any("cookie" in headers for headers in seen)
    assert {headers["accept-encoding"] for headers in seen} == {"gzip"}
