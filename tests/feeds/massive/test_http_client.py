"""One question over HTTP: its failures by kind, its deadline, and the time that its answer tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from events import SECOND
from feeds.massive.bad_input import printable, scrubber
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.headers import retry_after_s
from feeds.massive.rest import Rest
from tests.feeds.scene import Handler, Opened, Server, chain_of, open_rest, said, serve_once
from tests.wire import EXPIRY, GOOD_ROW, JSON, KEY, NOW, StillClock, chain_row, ok
from timekeeping import VendorOffset
from utils import ScaledClock

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
    assert rest.vendor_time == VendorOffset(26 * SECOND, 28 * SECOND, clock.now())


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
