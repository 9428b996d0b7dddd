"""The vendor's sockets and REST turned into events; decides nothing about entries or exits.

Massive (formerly Polygon.io) sends one-second bars and option quotes over one socket per market, and answers
chains, single contracts and past seconds over REST. Whatever it sends is checked before it becomes a fact: bad
input is counted and sampled in the log, never raised, and never costs its neighbours in the same frame or page.

Times are µs of UTC unless a name says otherwise. Timeouts of network steps are real seconds; everything else
that waits (reconnects, polls, silence) goes by the clock that is passed in.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import email.utils
import functools
import json
import logging
import math
import random
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from config import LOOPBACK_HOSTS, Rules
from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    STRIKE_UNIT,
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
from utils import Clock, clock_text

log = structlog.get_logger("polygon_client")

MILLISECOND = 1_000
"""Microseconds in a millisecond."""

NANOSECONDS = 1_000
"""Nanoseconds in a microsecond."""

OLDEST_TIME_US = 946_684_800 * SECOND
"""2000-01-01: any earlier time is in a wrong unit."""

NEWEST_TIME_US = 4_102_444_800 * SECOND
"""2100-01-01: any later time is in a wrong unit (nanoseconds read as milliseconds are far beyond)."""

FUTURE_LIMIT_US = 2 * SECOND
"""How far ahead of now a bar may end, or a quote be stamped, before it is bad."""

VENDOR_HOLD_US = 2 * SECOND
"""How long the vendor holds a second's bar for late prints before it sends it."""

PRICE_MAX = 10_000_000.0
"""Dollars. Beyond any listed share (the dearest stands under a million): such a number is a fault."""

AMOUNT_MAX = 1e12
"""Shares or contracts. Beyond any volume, size or open interest of one contract or second."""

IMPLIED_VOLATILITY_MAX = 100.0
"""Fraction per year; the vendor's degenerate rows show 5, a percentage taken for a fraction shows 1,000."""


class VendorRefused(Exception):
    """The vendor does not let this key in, it never has in this process, and nothing is at stake yet.

    The text is a sentence that says what to do; it holds no key.
    """


# --- Bad input ---------------------------------------------------------------------------------------


class BadReason(StrEnum):
    """What was wrong with something the vendor sent. A closed list, so that the counters are bounded."""

    FRAME = "broken frame"
    EVENT = "broken event"
    UNKNOWN_EVENT = "unknown event"
    SYMBOL = "symbol never asked for"
    PRICE = "price"
    VOLUME = "volume or size"
    TIME = "time"
    FUTURE = "time ahead of now"
    NUMBER = "number"
    CONTRACT = "contract"


class BadValue(Exception):
    """One event or row is bad. Never leaves this module."""

    def __init__(self, reason: BadReason) -> None:
        super().__init__(reason)
        self.reason = reason


class BadInput:
    """Counts bad input by reason, and logs a sample of it: the first, then at most one a minute per reason."""

    SPACING_US = 60 * SECOND
    SAMPLE_CHARACTERS = 160

    def __init__(self, source: str, clock: Clock, scrub: Callable[[str], str]) -> None:
        self.counts: collections.Counter[BadReason] = collections.Counter()
        self._source = source
        self._clock = clock
        self._scrub = scrub
        self._logged_at: dict[BadReason, int] = {}

    def add(self, reason: BadReason, sample: bytes) -> None:
        """Count one, and log it if it is its turn."""
        self.counts[reason] += 1
        now = self._clock.now()
        logged_at = self._logged_at.get(reason)
        if reason is BadReason.UNKNOWN_EVENT or (logged_at is not None and now - logged_at < self.SPACING_US):
            return
        self._logged_at[reason] = now
        text = sample[: 4 * self.SAMPLE_CHARACTERS].decode(errors="replace")
        text = printable(self._scrub(text))[: self.SAMPLE_CHARACTERS]
        log.warning(
            "bad_input",
            text=f"⚠️ Bad input from {self._source} ({reason}, {self.counts[reason]} so far), left out: {text}",
            source=self._source,
            reason=reason,
            count=self.counts[reason],
            sample=text,
        )


def printable(text: str) -> str:
    """``text`` in one line, whatever the vendor wrote."""
    return "".join(character if character.isprintable() else " " for character in text)


def scrubber(api_key: str) -> Callable[[str], str]:
    """A function that blacks out the key, and addresses, in text that came from outside."""

    def scrub(text: str) -> str:
        if api_key:
            text = text.replace(api_key, "***")
        return re.sub(r"\b(?:https?|wss?)://\S+", "(address)", text)

    return scrub


# --- Decoding: numbers and times ---------------------------------------------------------------------

DECIMAL = re.compile(r"\d{1,18}(?:\.\d{0,18})?", re.ASCII)
"""A decimal volume as the vendor writes it; Python's own ``float`` would take ``nan`` and ``1_0``."""


def _price(value: float | None) -> float:
    """A share price in dollars. Raises BadValue unless it is positive and possible."""
    if value is None or not 0 < value <= PRICE_MAX:
        raise BadValue(BadReason.PRICE)
    return value


def _amount(value: float | None) -> float:
    """A volume, size or open interest; absent is 0. Raises BadValue when it is negative or impossible."""
    if value is None:
        return 0.0
    if not 0 <= value <= AMOUNT_MAX:
        raise BadValue(BadReason.VOLUME)
    return value


def _volume(decimal: float | str | None, whole: float | None) -> float:
    """The decimal volume when there is one, else the whole (truncated) one. Raises BadValue without either."""
    if isinstance(decimal, str):
        if not DECIMAL.fullmatch(decimal):
            raise BadValue(BadReason.VOLUME)
        decimal = float(decimal)
    value = whole if decimal is None else decimal
    if value is None:
        raise BadValue(BadReason.VOLUME)
    return _amount(value)


def _option_price(value: float | None) -> int:
    """An option price in units of a hundredth of a cent; 0 where the side is absent."""
    if value is None:
        return 0
    if not 0 <= value <= PRICE_MAX:
        raise BadValue(BadReason.PRICE)
    return round(value * OPTION_PRICE_UNIT)


def _time_us(value: float | None, numerator: int, denominator: int, now: int) -> int:
    """A vendor's time as µs. Raises BadValue for a fraction of its unit, a wrong unit, or a time ahead of now."""
    if value is None or (isinstance(value, float) and not value.is_integer()):
        raise BadValue(BadReason.TIME)
    at = int(value) * numerator // denominator
    if not OLDEST_TIME_US <= at < NEWEST_TIME_US:
        raise BadValue(BadReason.TIME)
    if at > now + FUTURE_LIMIT_US:
        raise BadValue(BadReason.FUTURE)
    return at


# --- Decoding: frames --------------------------------------------------------------------------------


class Status(msgspec.Struct, frozen=True, tag_field="ev", tag="status"):
    """What the vendor says about the connection."""

    status: str | None = None
    message: str | None = None


class Aggregate(msgspec.Struct, frozen=True, tag_field="ev", tag="A"):
    """One second of one symbol, as it is on the wire. Numbers come as integers or floats, ``dv`` as text."""

    sym: str | None = None
    v: float | None = None
    dv: float | str | None = None
    vw: float | None = None
    o: float | None = None
    h: float | None = None
    l: float | None = None  # noqa: E741 - the vendor's name
    c: float | None = None
    s: float | None = None
    e: float | None = None


class OptionQuote(msgspec.Struct, frozen=True, tag_field="ev", tag="Q", rename={"ask_size": "as"}):
    """The best bid and ask of one option, as it is on the wire."""

    sym: str | None = None
    bp: float | None = None
    ap: float | None = None
    bs: float | None = None
    ask_size: float | None = None
    t: float | None = None
    q: float | None = None


class StreamQuote(msgspec.Struct, frozen=True):
    """A checked quote with what orders it among the quotes of its contract."""

    quote: Quote
    sequence: float


WireEvent = Status | Aggregate | OptionQuote
StreamEvent = Status | Bar | StreamQuote


class _Head(msgspec.Struct, frozen=True):
    """The one field that tells the kind of an event."""

    ev: str | None = None


_FRAME: msgspec.json.Decoder[list[WireEvent]] = msgspec.json.Decoder(list[WireEvent])
_ONE_EVENT: msgspec.json.Decoder[WireEvent] = msgspec.json.Decoder(WireEvent)
_RAW_FRAME: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_HEAD: msgspec.json.Decoder[_Head] = msgspec.json.Decoder(_Head)

_UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be (deep nesting ends in RecursionError)."""

_FLAT_OBJECT = re.compile(rb"\{[^{}]*\}")
"""Events are flat objects without braces in their texts, so these can be found in the wreck of a frame."""

KNOWN_EVENTS = frozenset({"status", "A", "Q"})


class FrameDecoder:
    """Frames into checked events. What it is given ``asked`` for, it lets through; ``bad`` counts the rest."""

    def __init__(self, bad: BadInput) -> None:
        self.bad = bad
        self.asked: set[str] = set()
        """Symbols and contracts that were ever subscribed to. Bounded by what the caller asks for."""

    def decode(self, frame: bytes, now: int) -> list[StreamEvent]:
        """The good events of a frame in their order. Never raises for what the vendor sent."""
        try:
            wire = _FRAME.decode(frame)
        except _UNDECODABLE:
            return self._decode_one_by_one(frame, now)
        events: list[StreamEvent] = []
        for event in wire:
            try:
                events.append(self._checked(event, now))
            except BadValue as error:
                self.bad.add(error.reason, msgspec.json.encode(event))
        return events

    def _decode_one_by_one(self, frame: bytes, now: int) -> list[StreamEvent]:
        pieces: Iterable[bytes]
        try:
            pieces = [bytes(raw) for raw in _RAW_FRAME.decode(frame)]
        except _UNDECODABLE:
            # Not JSON as a whole, such as a bare NaN or a cut end: its whole objects are still good.
            self.bad.add(BadReason.FRAME, frame)
            pieces = _FLAT_OBJECT.findall(frame)
        events: list[StreamEvent] = []
        for piece in pieces:
            try:
                events.append(self._checked(_decode_event(piece), now))
            except BadValue as error:
                self.bad.add(error.reason, piece)
        return events

    def _checked(self, event: WireEvent, now: int) -> StreamEvent:
        match event:
            case Status():
                return event
            case Aggregate():
                return self._bar(event, now)
            case OptionQuote():
                return self._quote(event, now)

    def _bar(self, event: Aggregate, now: int) -> Bar:
        if event.sym is None or event.sym not in self.asked:
            raise BadValue(BadReason.SYMBOL)
        if event.e is not None and event.s is not None and event.e != event.s + SECOND // MILLISECOND:
            raise BadValue(BadReason.TIME)
        return _make_bar(
            symbol=event.sym,
            start_ms=event.s,
            prices=(event.o, event.h, event.l, event.c),
            volume=_volume(event.dv, event.v),
            vwap=event.vw,
            now=now,
        )

    def _quote(self, event: OptionQuote, now: int) -> StreamQuote:
        if event.sym is None or event.sym not in self.asked:
            raise BadValue(BadReason.SYMBOL)
        sequence = -1.0 if event.q is None else event.q
        return StreamQuote(
            quote=Quote(
                contract=event.sym,
                at=_time_us(event.t, MILLISECOND, 1, now),
                bid=_option_price(event.bp),
                ask=_option_price(event.ap),
                bid_size=_amount(event.bs),
                ask_size=_amount(event.ask_size),
                source=QuoteSource.STREAM,
            ),
            sequence=sequence,
        )


def _decode_event(piece: bytes) -> WireEvent:
    """One event. Raises BadValue, with the reason told apart as far as it can be."""
    try:
        return _ONE_EVENT.decode(piece)
    except _UNDECODABLE:
        pass
    try:
        head = _HEAD.decode(piece)
    except _UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None
    if head.ev is not None and head.ev not in KNOWN_EVENTS:
        raise BadValue(BadReason.UNKNOWN_EVENT)
    raise BadValue(BadReason.EVENT if head.ev is None else BadReason.NUMBER)


def _make_bar(
    *,
    symbol: str,
    start_ms: float | None,
    prices: tuple[float | None, float | None, float | None, float | None],
    volume: float,
    vwap: float | None,
    now: int,
    backfilled: bool = False,
) -> Bar:
    """A bar from the wire's numbers (open, high, low, close). Raises BadValue for anything impossible.

    The second's own VWAP may lie outside high and low (odd lots count for one and not the other). Where it is
    missing, or 0 in a second without volume, the close stands in for it.
    """
    start = _time_us(start_ms, MILLISECOND, 1, now)
    if start % SECOND:
        raise BadValue(BadReason.TIME)
    if start + SECOND > now + FUTURE_LIMIT_US:
        raise BadValue(BadReason.FUTURE)
    opening, high, low, close = map(_price, prices)
    if high < low:
        raise BadValue(BadReason.PRICE)
    if vwap is None or (vwap == 0 and volume == 0):
        vwap = close
    return Bar(
        symbol=symbol,
        start=start,
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=volume,
        vwap=_price(vwap),
        backfilled=backfilled,
    )


# --- Decoding: REST ----------------------------------------------------------------------------------


class _Details(msgspec.Struct, frozen=True):
    ticker: str | None = None
    contract_type: str | None = None
    expiration_date: str | None = None
    strike_price: float | None = None
    shares_per_contract: float | None = None


class _LastQuote(msgspec.Struct, frozen=True):
    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    last_updated: int | float | None = None
    timeframe: str | None = None


class _Greeks(msgspec.Struct, frozen=True):
    delta: float | None = None


class _Underlying(msgspec.Struct, frozen=True):
    price: float | None = None


class _SnapshotRow(msgspec.Struct, frozen=True):
    """One contract of a snapshot, as it is on the wire. Anything may be missing, null or ``{}``."""

    details: _Details | None = None
    greeks: _Greeks | None = None
    implied_volatility: float | None = None
    last_quote: _LastQuote | None = None
    open_interest: float | None = None
    underlying_asset: _Underlying | None = None


class _SecondRow(msgspec.Struct, frozen=True):
    """One second of a symbol's history, as it is on the wire."""

    t: float | None = None
    o: float | None = None
    h: float | None = None
    l: float | None = None  # noqa: E741 - the vendor's name
    c: float | None = None
    v: float | None = None
    dv: float | str | None = None
    vw: float | None = None


class _Page(msgspec.Struct, frozen=True):
    """One page of a list: rows undecoded, so that a bad one is alone."""

    status: str | None = None
    results: list[msgspec.Raw] | None = None
    next_url: str | None = None


class _Single(msgspec.Struct, frozen=True):
    """An answer about one thing."""

    status: str | None = None
    results: msgspec.Raw = msgspec.Raw(b"null")


class _Exchanges(msgspec.Struct, frozen=True):
    nyse: str | None = None


class _MarketStatus(msgspec.Struct, frozen=True):
    market: str | None = None
    exchanges: _Exchanges | None = None
    server_time: str | None = msgspec.field(default=None, name="serverTime")


class _Refusal(msgspec.Struct, frozen=True):
    """The body of an error: 401 and 429 say ``error``, 403 says ``message``."""

    error: str | None = None
    message: str | None = None


class MarketStatus(msgspec.Struct, frozen=True):
    """What the exchange says of itself: ``open``, ``closed`` or ``extended-hours``, and the vendor's time."""

    market: str
    server_time_us: int | None


class RestErrorKind(StrEnum):
    """Why a request gave nothing."""

    TRANSPORT = "no connection"
    CERTIFICATE = "certificate not trusted"
    TIMEOUT = "no answer in time"
    UNAUTHORIZED = "key refused"
    FORBIDDEN = "not in the plan"
    NOT_FOUND = "not found"
    RATE_LIMITED = "too many requests"
    REFUSED = "request refused"
    SERVER = "vendor's server fails"
    REDIRECT = "redirected"
    BAD_BODY = "unusable answer"
    EMPTY = "nothing there"


class RestError(Exception):
    """A request gave nothing. The text holds neither key nor address. ``retry_after`` is seconds, for 429 only."""

    def __init__(
        self,
        kind: RestErrorKind,
        detail: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        number = f" ({status})" if status is not None else ""
        super().__init__(f"{kind}{number}{': ' if detail else ''}{detail}")
        self.kind = kind
        self.status = status
        self.retry_after = retry_after


T = TypeVar("T")

OPTION_TICKER = re.compile(r"O:([A-Z0-9.]{1,10})(\d{6})([CP])(\d{8})", re.ASCII)
"""Root, expiry as YYMMDD, side, strike in thousandths."""


def _decode_body(body: bytes, kind: type[T]) -> T:
    """A whole answer. Raises RestError(BAD_BODY).

    A bare NaN or an overflowing number makes a page no JSON at all; it is turned into text first, so that it
    costs its own row only.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except _UNDECODABLE:
        pass
    try:
        mended = json.loads(body, parse_constant=str, parse_float=_number_or_text, parse_int=_number_or_text)
        return msgspec.json.decode(msgspec.json.encode(mended), type=kind)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise RestError(RestErrorKind.BAD_BODY, "not the JSON that was asked for") from None


LONGEST_NUMBER = 40
"""Characters; a longer number is a fault, and Python refuses integers of thousands of digits."""


def _number_or_text(token: str) -> int | float | str:
    if len(token) > LONGEST_NUMBER or not math.isfinite(float(token)):
        return token
    return float(token) if re.search(r"[.eE]", token) else int(token)


def _snapshot_row(raw: bytes, expiry: str | None, now: int) -> tuple[ChainRow, float | None]:
    """A checked row and the underlying's price that came with it. Raises BadValue.

    ``expiry`` is the ISO date that was asked for (None: any). What contradicts its own ticker is bad.
    """
    try:
        row = msgspec.json.decode(raw, type=_SnapshotRow)
    except _UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None
    details = row.details or _Details()
    ticker, strike, shares = _contract_terms(details, expiry)
    quoted = row.last_quote or _LastQuote()
    bid, ask = _option_price(quoted.bid), _option_price(quoted.ask)
    updated = quoted.last_updated
    delta = (row.greeks or _Greeks()).delta
    if delta is not None and not -1 <= delta <= 1:
        raise BadValue(BadReason.NUMBER)
    underlying = row.underlying_asset
    return (
        ChainRow(
            contract=ticker,
            strike=strike,
            shares=shares,
            bid=bid,
            ask=ask,
            bid_size=_amount(quoted.bid_size),
            ask_size=_amount(quoted.ask_size),
            quoted_at=_time_us(updated, 1, NANOSECONDS, now) if updated else 0,
            real_time=quoted.timeframe == "REAL-TIME",
            iv=_implied_volatility(row.implied_volatility),
            delta=delta,
            open_interest=_amount(row.open_interest),
        ),
        _price(underlying.price) if underlying is not None and underlying.price else None,
    )


def _contract_terms(details: _Details, expiry: str | None) -> tuple[str, int, float]:
    """Ticker, strike and shares. Shares are taken for the standard 100 only where the ticker has a plain root."""
    ticker = OPTION_TICKER.fullmatch(details.ticker or "")
    if ticker is None or details.contract_type not in (None, "call") or ticker[3] != "C":
        raise BadValue(BadReason.CONTRACT)
    if expiry is not None and ticker[2] != expiry[2:].replace("-", ""):
        raise BadValue(BadReason.CONTRACT)
    strike = int(ticker[4])
    told = details.strike_price
    if told is None or not 0 < told <= PRICE_MAX or round(told * STRIKE_UNIT) != strike:
        raise BadValue(BadReason.CONTRACT)
    shares = details.shares_per_contract
    if shares is None:
        shares = 100.0 if ticker[1].isalpha() else 0.0
    return ticker[0], strike, _amount(shares)


def _implied_volatility(value: float | None) -> float | None:
    if not value:
        return None
    if not 0 < value <= IMPLIED_VOLATILITY_MAX:
        raise BadValue(BadReason.NUMBER)
    return value


# --- REST --------------------------------------------------------------------------------------------

HTTP_OK = 200
HTTP_REDIRECTS = range(300, 400)
HTTP_REFUSALS = range(400, 500)
HTTP_UNAUTHORIZED, HTTP_FORBIDDEN, HTTP_NOT_FOUND, HTTP_TOO_MANY = 401, 403, 404, 429

EXCHANGE_DEADLINE_S = 9.0
"""Real seconds for one exchange, retry included: an inactivity timeout never ends a slow drip."""

CONNECT_TIMEOUT_S = 3.0
"""Real seconds for a connection."""

KEEP_ALIVE_S = 60.0
"""Idle connections are given up before the vendor resets them (every reset seen came after 81 s idle)."""

BODY_MAX_BYTES = 32 * 1024 * 1024
"""A day of seconds has about 6 MB."""

PAGES_MAX = 20
"""Pages of one list; a chain has one or two, a day of seconds the same."""

CHAIN_PAGE_ROWS = 250
"""The vendor's maximum for a chain (its default is 10)."""

SECONDS_PAGE_ROWS = 50_000
"""The vendor's maximum for aggregates."""

SKEW_ROUND_TRIP_US = 2 * SECOND
"""A longer exchange says too little about the vendor's clock."""

RETRY_AFTER_MAX_S = 3600.0

RETRIED = frozenset({RestErrorKind.TRANSPORT, RestErrorKind.TIMEOUT, RestErrorKind.SERVER})

STATUS_KINDS = {
    HTTP_UNAUTHORIZED: RestErrorKind.UNAUTHORIZED,
    HTTP_FORBIDDEN: RestErrorKind.FORBIDDEN,
    HTTP_NOT_FOUND: RestErrorKind.NOT_FOUND,
    HTTP_TOO_MANY: RestErrorKind.RATE_LIMITED,
}


@functools.cache
def trust() -> ssl.SSLContext:
    """The one TLS context of REST and sockets: verification on, certifi's roots (or ``SSL_CERT_FILE``)."""
    return httpx.create_ssl_context()


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


class Rest:
    """The vendor's REST. Every method raises RestError, and nothing else, for what the vendor or network did.

    ``deadline_s`` is real seconds for one exchange. Proxies and certificate stores named by the environment are
    honoured, as a machine behind a proxy needs (TLS goes through it unbroken), but never for loopback.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        deadline_s: float = EXCHANGE_DEADLINE_S,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._clock = clock
        self._deadline_s = deadline_s
        self._scrub = scrubber(api_key)
        self._skew: float | None = None
        self.skews_measured = 0
        """How often ``skew`` was measured."""
        self.bad = BadInput("REST", clock, self._scrub)
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            # Half the deadline for one attempt's silence, so that a retry has time, too.
            timeout=httpx.Timeout(deadline_s / 2, connect=min(CONNECT_TIMEOUT_S, deadline_s / 2)),
            limits=httpx.Limits(max_connections=8, keepalive_expiry=KEEP_ALIVE_S),
            follow_redirects=False,
            trust_env=not is_loopback(base_url),
            verify=trust() if urlsplit(base_url).scheme == "https" else False,
            transport=transport,
        )

    @property
    def skew(self) -> float | None:
        """The vendor's clock minus ours in seconds, good to about one, by the last quick exchange."""
        return self._skew

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def chain(self, underlying: str, expiry: str, spot: float | None, percent: float) -> Chain:
        """The calls of ``underlying`` that expire on ``expiry`` (ISO), within ``percent`` of ``spot``, all pages.

        Without ``spot`` every strike is asked for, and the underlying's price in the answer stands in for it.
        Rows that pages repeat are merged, the newest quote wins. Raises RestError when any page fails.
        """
        params: list[tuple[str, str | int | float | bool | None]] = [
            ("contract_type", "call"),
            ("expiration_date", expiry),
            ("limit", CHAIN_PAGE_ROWS),
            ("sort", "strike_price"),
            ("order", "asc"),
        ]
        if spot is not None:
            low, high = _band(spot, percent)
            params += [("strike_price.gte", f"{low:.2f}"), ("strike_price.lte", f"{high:.2f}")]
        path = f"/v3/snapshot/options/{quote(underlying)}"
        now_rows = await self._rows(httpx.URL(self._base + path, params=params))
        rows: dict[str, ChainRow] = {}
        for raw in now_rows:
            try:
                row, price = _snapshot_row(raw, expiry, self._clock.now())
            except BadValue as error:
                self.bad.add(error.reason, raw)
                continue
            spot = price if spot is None else spot
            known = rows.get(row.contract)
            if known is None or row.quoted_at >= known.quoted_at:
                rows[row.contract] = row
        low, high = _band(spot, percent) if spot is not None else (0.0, math.inf)
        kept = (row for row in rows.values() if low <= row.strike / STRIKE_UNIT <= high)
        return Chain(rows=tuple(sorted(kept, key=lambda row: (row.strike, row.contract))))

    async def contract(self, underlying: str, contract: str) -> Quote:
        """The quote of one contract. Raises RestError, EMPTY when it has no quote (or the plan shows none)."""
        path = f"/v3/snapshot/options/{quote(underlying)}/{quote(contract, safe=':')}"
        answer = _decode_body(await self._get(httpx.URL(self._base + path)), _Single)
        self._check_envelope(answer.status)
        raw = bytes(answer.results)
        if raw == b"null":
            raise RestError(RestErrorKind.EMPTY)
        try:
            row, _ = _snapshot_row(raw, None, self._clock.now())
        except BadValue as error:
            self.bad.add(error.reason, raw)
            raise RestError(RestErrorKind.BAD_BODY, f"bad {error.reason}") from None
        if row.contract != contract:
            raise RestError(RestErrorKind.BAD_BODY, "another contract than was asked for")
        if not row.quoted_at:
            raise RestError(RestErrorKind.EMPTY, "no quote")
        return Quote(
            contract=contract,
            at=row.quoted_at,
            bid=row.bid,
            ask=row.ask,
            bid_size=row.bid_size,
            ask_size=row.ask_size,
            source=QuoteSource.POLL,
        )

    async def second_bars(self, symbol: str, start_us: int, end_us: int) -> list[Bar]:
        """The seconds of ``symbol`` that start in [start_us, end_us), oldest first, as they were traded."""
        first, last = start_us // MILLISECOND, (end_us - 1) // MILLISECOND
        path = f"/v2/aggs/ticker/{quote(symbol)}/range/1/second/{first}/{last}"
        params = {"adjusted": "false", "sort": "asc", "limit": SECONDS_PAGE_ROWS}
        bars: dict[int, Bar] = {}
        for raw in await self._rows(httpx.URL(self._base + path, params=params)):
            try:
                bar = _second_bar(raw, symbol, self._clock.now())
            except BadValue as error:
                self.bad.add(error.reason, raw)
                continue
            if start_us <= bar.start < end_us:
                bars[bar.start] = bar
        return [bars[start] for start in sorted(bars)]

    async def market_status(self) -> MarketStatus:
        """Whether the exchange is open, by its own word."""
        body = await self._get(httpx.URL(self._base + "/v1/marketstatus/now"))
        answer = _decode_body(body, _MarketStatus)
        market = (answer.exchanges or _Exchanges()).nyse or answer.market
        if not market:
            raise RestError(RestErrorKind.EMPTY, "no market status")
        return MarketStatus(market=market, server_time_us=_iso_us(answer.server_time))

    # One list, page by page

    async def _rows(self, url: httpx.URL) -> list[bytes]:
        """The undecoded rows of every page. A page that fails fails the whole: a chain with a hole is none."""
        rows: list[bytes] = []
        seen = {str(url)}
        for _ in range(PAGES_MAX):
            page = _decode_body(await self._get(url), _Page)
            self._check_envelope(page.status)
            rows += map(bytes, page.results or ())
            if not page.next_url:
                return rows
            url = self._next(page.next_url)
            if str(url) in seen:
                raise RestError(RestErrorKind.BAD_BODY, "the next page is one already seen")
            seen.add(str(url))
        raise RestError(RestErrorKind.BAD_BODY, f"more than {PAGES_MAX} pages")

    def _next(self, address: str) -> httpx.URL:
        """The next page's address, verbatim. Any other server's is refused: it would be sent the key."""
        try:
            url, base = httpx.URL(address), httpx.URL(self._base)
        except (httpx.InvalidURL, TypeError, ValueError):
            raise RestError(RestErrorKind.BAD_BODY, "the next page has no address") from None
        if _origin(url) != _origin(base) or url.userinfo:
            raise RestError(RestErrorKind.BAD_BODY, "the next page is on another server; it was not asked")
        return url

    def _check_envelope(self, status: str | None) -> None:
        if status is not None and (status.upper().startswith("ERROR") or status.upper().startswith("NOT_")):
            raise RestError(RestErrorKind.BAD_BODY, f"status {printable(self._scrub(status))[:40]}")

    # One exchange

    async def _get(self, url: httpx.URL) -> bytes:
        """The body of a JSON answer; one immediate retry, everything inside one deadline."""
        try:
            async with asyncio.timeout(self._deadline_s):
                try:
                    return await self._attempt(url)
                except RestError as error:
                    if error.kind not in RETRIED:
                        raise
                return await self._attempt(url)
        except TimeoutError:
            raise RestError(RestErrorKind.TIMEOUT, f"not complete after {self._deadline_s:g} s") from None

    async def _attempt(self, url: httpx.URL) -> bytes:
        asked_at = self._clock.now()
        try:
            async with self._client.stream("GET", url) as response:
                self._measure_skew(response.headers.get("date"), asked_at)
                body = await _bounded_body(response)
        except httpx.TimeoutException as error:
            raise RestError(RestErrorKind.TIMEOUT, type(error).__name__) from None
        except httpx.TransportError as error:
            raise self._transport_error(error) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RestError(RestErrorKind.BAD_BODY, type(error).__name__) from None
        if response.status_code != HTTP_OK:
            raise self._status_error(response, body)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise RestError(
                RestErrorKind.BAD_BODY,
                f"{printable(media_type)[:40] or 'no media type'}, not JSON",
                status=HTTP_OK,
            )
        return body

    def _transport_error(self, error: httpx.TransportError) -> RestError:
        # Only the type of an exception is told, and the certificate's fault: other texts may hold addresses.
        fault = certificate_fault(error)
        if fault is not None:
            return RestError(RestErrorKind.CERTIFICATE, fault)
        return RestError(RestErrorKind.TRANSPORT, type(error).__name__)

    def _status_error(self, response: httpx.Response, body: bytes) -> RestError:
        status = response.status_code
        kind = STATUS_KINDS.get(status, RestErrorKind.SERVER)
        if status in HTTP_REFUSALS:
            kind = STATUS_KINDS.get(status, RestErrorKind.REFUSED)
        elif status in HTTP_REDIRECTS:
            kind = RestErrorKind.REDIRECT
        elif status < HTTP_REDIRECTS.start:
            kind = RestErrorKind.BAD_BODY
        retry_after = None
        if kind is RestErrorKind.RATE_LIMITED:
            retry_after = retry_after_s(response.headers.get("retry-after"), self._clock.now())
        return RestError(kind, self._refusal_text(body), status=status, retry_after=retry_after)

    def _refusal_text(self, body: bytes) -> str:
        """The vendor's own words about an error, without key and addresses; empty when it sent no JSON."""
        try:
            refusal = msgspec.json.decode(body, type=_Refusal)
        except _UNDECODABLE:
            return ""
        return printable(self._scrub(refusal.error or refusal.message or ""))[:160]

    def _measure_skew(self, date: str | None, asked_at: int) -> None:
        now = self._clock.now()
        vendor = _http_date_us(date)
        if vendor is None or now - asked_at > SKEW_ROUND_TRIP_US:
            return
        # The header's second is cut off, so on average its moment is half a second later.
        self._skew = (vendor + SECOND // 2 - (asked_at + now) // 2) / SECOND
        self.skews_measured += 1


def _second_bar(raw: bytes, symbol: str, now: int) -> Bar:
    """A checked second of a symbol's history. Raises BadValue."""
    try:
        row = msgspec.json.decode(raw, type=_SecondRow)
    except _UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None
    return _make_bar(
        symbol=symbol,
        start_ms=row.t,
        prices=(row.o, row.h, row.l, row.c),
        volume=_volume(row.dv, row.v),
        vwap=row.vw,
        now=now,
        backfilled=True,
    )


def _band(spot: float, percent: float) -> tuple[float, float]:
    return spot * (1 - percent / 100), spot * (1 + percent / 100)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


async def _bounded_body(response: httpx.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > BODY_MAX_BYTES:
            raise RestError(RestErrorKind.BAD_BODY, "too long", status=response.status_code)
        chunks.append(chunk)
    return b"".join(chunks)


def certificate_fault(error: BaseException) -> str | None:
    """What is wrong with the server's certificate, when that is why a connection failed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message or "verification failed"
        cause = cause.__cause__ or cause.__context__
    return None


def _http_date_us(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp()) * SECOND
    except (ValueError, TypeError, OverflowError):
        return None


def retry_after_s(text: str | None, now: int) -> float | None:
    """Seconds of a ``Retry-After`` header, which is a number or a date; None when it is neither."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    date = _http_date_us(text)
    return None if date is None else min(max(0.0, (date - now) / SECOND), RETRY_AFTER_MAX_S)


def _iso_us(text: str | None) -> int | None:
    try:
        return None if text is None else int(datetime.fromisoformat(text).timestamp() * SECOND)
    except (ValueError, OverflowError):
        return None
