"""Small makers of what the vendor sends, and of the clients that read it without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import httpx
import pytest

from events import SECOND, Bar, ChainRow
from feeds.massive.bad_input import BadInput, scrubber
from feeds.massive.errors import RestError
from feeds.massive.history import RestHistory
from feeds.massive.rest import Rest
from feeds.massive.wire import FrameDecoder

KEY = "kEy-0123456789abcdef"
"""The key of every test of the wire: it must appear in no log and no exception."""

NOW = 1_759_411_800 * SECOND
"""2025-10-02 09:30:00 in New York."""

START_MS = NOW // 1000 - 3000
CALL = "O:IWM251002C00215000"
EXPIRY = "2025-10-02"
BASE = "https://api.example.test"
JSON = {"content-type": "application/json; charset=utf-8"}
ABSENT: Any = object()
"""The value of a field that is left out."""

GOOD_BAR = Bar(
    symbol="IWM", start=START_MS * 1000, open=241.77, high=241.79, low=241.76, close=241.78, volume=1843.25,
    vwap=241.7719,
)  # fmt: skip
GOOD_ROW = ChainRow(
    contract=CALL, strike=215_000, shares=100, bid=8600, ask=8800, bid_size=41, ask_size=27, quoted_at=NOW - SECOND,
    real_time=True, iv=0.213, delta=0.46, open_interest=5120,
)  # fmt: skip


class StillClock:
    """A clock that stands until it is put forward; sleeping does so."""

    speed = 1.0

    def __init__(self, now: int = NOW) -> None:
        self.at = now

    def now(self) -> int:
        """Now, µs."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Put it forward."""
        self.at += round(seconds * SECOND)
        await asyncio.sleep(0)


def without_absent(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that are sent."""
    return {name: value for name, value in fields.items() if value is not ABSENT}


def aggregate(**changes: Any) -> dict[str, Any]:
    """One second of IWM, as `GOOD_BAR`."""
    event = {
        "ev": "A", "sym": "IWM", "v": 1843, "dv": "1843.25", "av": 11870442, "dav": "11870442.731", "op": 241.18,
        "vw": 241.7719, "o": 241.77, "c": 241.78, "h": 241.79, "l": 241.76, "a": 241.5206, "z": 61,
        "s": START_MS, "e": START_MS + 1000,
    }  # fmt: skip
    return without_absent({**event, **changes})


def option_quote(**changes: Any) -> dict[str, Any]:
    """A quote of `CALL`: $0.86 to $0.88."""
    event = {
        "ev": "Q", "sym": CALL, "bx": 302, "ax": 309, "bp": 0.86, "ap": 0.88, "bs": 41, "as": 27,
        "t": START_MS + 345, "q": 771204418,
    }  # fmt: skip
    return without_absent({**event, **changes})


def frame(*events: Any) -> bytes:
    """A frame as Python writes it, which is not JSON where a number is NaN or infinite: as a real fault would be."""
    return json.dumps(list(events)).encode()


def make_decoder(**options: Any) -> FrameDecoder:
    """A decoder that was asked for IWM, SPY and `CALL`."""
    decoder = FrameDecoder(BadInput("stocks", StillClock(), scrubber(KEY)), **options)
    decoder.asked |= {"IWM", "SPY", CALL}
    return decoder


def chain_row(strike: float = 215, **changes: Any) -> dict[str, Any]:
    """A row of today's chain, as `GOOD_ROW`."""
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
    return without_absent({**row, **changes})


def second_row(offset_s: int = 0, **changes: Any) -> dict[str, Any]:
    """A second of REST's history, as `GOOD_BAR`, so many seconds later."""
    row = {
        "v": 1843.25, "vw": 241.7719, "o": 241.77, "c": 241.78, "h": 241.79, "l": 241.76, "n": 12,
        "t": START_MS + 1000 * offset_s,
    }  # fmt: skip
    return without_absent({**row, **changes})


def ok(results: Any = ABSENT, **more: Any) -> httpx.Response:
    """A page with ``results`` and whatever else its envelope has."""
    return said(without_absent({"status": "OK", "request_id": "1", "results": results, **more}))


def said(body: Any, code: int = 200, **headers: str) -> httpx.Response:
    """An answer: JSON of ``body``, or ``body`` itself where it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(code, content=content, headers={**JSON, **headers})


def packed(content: bytes, packing: str, **headers: str) -> httpx.Response:
    """An answer whose content is sent as it is, said to be packed. httpx would unpack it here already."""

    async def stream() -> AsyncIterator[bytes]:
        yield content

    return httpx.Response(200, content=stream(), headers={**JSON, "content-encoding": packing, **headers})


Client = TypeVar("Client", bound=Rest)

Answering = httpx.Response | Callable[[httpx.Request], httpx.Response]


def serving(answers: Sequence[Answering]) -> httpx.MockTransport:
    """A server that gives these answers, the last one again and again."""
    left = list(answers)

    def serve(request: httpx.Request) -> httpx.Response:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return answer(request) if callable(answer) else answer

    return httpx.MockTransport(serve)


def rest_of(*answers: Answering) -> AbstractAsyncContextManager[Rest]:
    """A client of a server that gives these answers."""
    return _client(Rest, answers)


def history_of(*answers: Answering) -> AbstractAsyncContextManager[RestHistory]:
    """A client, for the past, of a server that gives these answers."""
    return _client(RestHistory, answers)


@asynccontextmanager
async def _client(kind: type[Client], answers: Sequence[Answering]) -> AsyncIterator[Client]:
    client = kind(BASE, KEY, StillClock(), serving(answers))
    try:
        yield client
    finally:
        await client.aclose()


async def failure(asked: Awaitable[Any]) -> RestError:
    """The error that a request ends with. It holds neither key nor address."""
    with pytest.raises(RestError) as caught:
        await asked
    text = f"{caught.value!s}{caught.value!r}{caught.value.__cause__!r}"
    assert KEY not in text
    assert "http" not in text.lower().replace("httpx", "")
    return caught.value


async def chain_of(*answers: httpx.Response, spot: float | None = 215.0) -> tuple[ChainRow, ...]:
    """The rows of the chain that these pages give."""
    async with rest_of(*answers) as rest:
        return (await rest.chain("IWM", EXPIRY, spot, 4.0)).rows


async def seconds_of(*answers: httpx.Response) -> list[Bar]:
    """The seconds of the five minutes up to now that these pages give."""
    async with rest_of(*answers) as rest:
        return await rest.second_bars("IWM", NOW - 300 * SECOND, NOW)
