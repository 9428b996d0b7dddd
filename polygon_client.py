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
import ipaddress
import itertools
import json
import logging
import math
import random
import re
import zlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from datetime import UTC
from enum import StrEnum
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidProxyStatus, InvalidStatus, WebSocketException

from events import (
    OPTION_PRICE_UNIT,
    PRICE_MAX,
    PRICE_MIN,
    SECOND,
    STRIKE_UNIT,
    VOLUME_LIMIT,
    VWAP_SLACK,
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
    is_vwap,
    typical_price,
)
from feeds.vendor import NoAnswer
from lags import Lags
from network import bound_requests, certificate_fault, connection_faults, is_loopback, trust
from rules import Rules
from utils import Clock, VendorTime, clock_text

log = structlog.get_logger("polygon_client")

MILLISECOND = 1_000
"""Microseconds in a millisecond."""

SECOND_MS = 1_000.0
"""Milliseconds in a second."""

NANOSECONDS = 1_000
"""Nanoseconds in a microsecond."""

OLDEST_TIME_US = 946_684_800 * SECOND
"""2000-01-01: any earlier time is in a wrong unit."""

NEWEST_TIME_US = 4_102_444_800 * SECOND
"""2100-01-01: any later time is in a wrong unit (nanoseconds read as milliseconds are far beyond)."""

OLDEST_TIME_MS, NEWEST_TIME_MS = OLDEST_TIME_US / MILLISECOND, NEWEST_TIME_US / MILLISECOND

AHEAD_US = round(Rules.model_fields["clock_doubt_seconds"].default * SECOND)
"""How far ahead of now a bar may end, or a quote be stamped, before it is bad: by the rule's default."""


def ahead_us(rules: Rules) -> int:
    """The same by ``rules``, µs: from there on the clock is doubted, too."""
    return round(rules.clock_doubt_seconds * SECOND)


VENDOR_HOLD_US = 2 * SECOND
"""How long the vendor holds a second's bar for late prints before it sends it."""

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
    VWAP = "VWAP outside low and high"
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

    def add(
        self, reason: BadReason, sample: bytes | msgspec.Struct, *, times: int = 1, is_used: bool = False
    ) -> None:
        """Count ``times`` of them, and log the sample if it is its turn.

        ``is_used`` says that the rest of the event goes on, with a stand-in for what is bad.
        """
        self.counts[reason] += times
        if reason is BadReason.UNKNOWN_EVENT:
            return
        now = self._clock.now()
        logged_at = self._logged_at.get(reason)
        if logged_at is not None and now - logged_at < self.SPACING_US:
            return
        self._logged_at[reason] = now
        text = self._text(sample if isinstance(sample, bytes) else msgspec.json.encode(sample))
        done = "the rest of it used" if is_used else "left out"
        log.warning(
            "bad_input",
            text=f"⚠️ Bad input from {self._source} ({reason}, {self.counts[reason]} so far), {done}: {text}",
            source=self._source,
            reason=reason,
            count=self.counts[reason],
            sample=text,
        )

    def _text(self, sample: bytes) -> str:
        """The beginning of a sample in one line."""
        # No character has more than four bytes: that many are enough to fill the window.
        text = sample[: 4 * SHOWN_WINDOW + 4].decode(errors="replace")
        return beginning(text, self._scrub, self.SAMPLE_CHARACTERS)


SHOWN_WINDOW = 2_048
"""Characters of a foreign text that are looked at, whatever its length: 8 MB of one would hold the loop for 1.4 s."""

KEY_CHARACTERS = 512
"""No key is longer. So much is left off at the end of a window that was cut: a part of the key may stand there."""


def beginning(text: str, scrub: Callable[[str], str], characters: int) -> str:
    """The beginning of a foreign text in one line. The key is blacked out before anything is cut."""
    scrubbed = scrub(text[:SHOWN_WINDOW])
    if len(text) > SHOWN_WINDOW:
        scrubbed = scrubbed[:-KEY_CHARACTERS]
    return printable(scrubbed)[:characters]


def printable(text: str) -> str:
    """``text`` in one line, whatever the vendor wrote: no line ends, terminal escapes, C1 or bidi controls."""
    return "".join(character if character.isprintable() else " " for character in text)


def scrubber(api_key: str) -> Callable[[str], str]:
    """A function that blacks out the key, and addresses, in text that came from outside."""

    def scrub(text: str) -> str:
        if api_key:
            text = text.replace(api_key, "***")
        return re.sub(r"\b(?:https?|wss?)://\S+", "(address)", text)

    return scrub


# --- Decoding: numbers and times ---------------------------------------------------------------------

DIGITS_AND_POINT = "0123456789."
"""What a decimal volume is written with; Python's own ``float`` would take ``nan`` and ``1_0`` besides."""

EXPONENT_FORM = re.compile(r"[0-9]*\.?[0-9]+[eE][+-]?[0-9]{1,3}")
"""How a large or small number may be written instead: ``1.234567e+06``."""

LONGEST_NUMBER = 40
"""Characters; a longer number is a fault, and Python refuses integers of thousands of digits."""

SPAN_MOST = 2.0
"""High over low: a wider second has a number in another unit, and any VWAP would lie between the two."""

VWAP_LEAST, VWAP_MOST = 1 - VWAP_SLACK, 1 + VWAP_SLACK

UNUSABLE = math.nan
"""Stands for a number that was sent and is none (a text, a list): no bound lets it through. Absent is None."""


def _is_price(value: float | None) -> bool:
    """Whether a number is a possible share price in dollars."""
    return value is not None and PRICE_MIN <= value <= PRICE_MAX


def _amount(value: float | None) -> float:
    """A volume, size or open interest; absent is 0. Raises BadValue when it is negative or impossible."""
    if value is None:
        return 0.0
    if not 0 <= value < VOLUME_LIMIT:
        raise BadValue(BadReason.VOLUME)
    return value


def _volume(value: float | str | None) -> float | None:
    """A bar's volume from a number or its text; None where it is absent or no usable number."""
    if isinstance(value, str):
        if len(value) > LONGEST_NUMBER:
            return None
        if value.strip(DIGITS_AND_POINT) and EXPONENT_FORM.fullmatch(value) is None:
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    return value if value is not None and 0.0 <= value < VOLUME_LIMIT else None


def _option_price(value: float | None) -> int:
    """An option price in units of a hundredth of a cent; 0 where the side is absent."""
    if value is None:
        return 0
    if not 0 <= value <= PRICE_MAX:
        raise BadValue(BadReason.PRICE)
    return round(value * OPTION_PRICE_UNIT)


def _time_us(value: float | None, numerator: int, denominator: int, latest: int) -> int:
    """A vendor's time as µs. Raises BadValue for a fraction of its unit, a wrong unit, or a time after ``latest``."""
    if value is None or (isinstance(value, float) and not value.is_integer()):
        raise BadValue(BadReason.TIME)
    at = int(value) * numerator // denominator
    if not OLDEST_TIME_US <= at < NEWEST_TIME_US:
        raise BadValue(BadReason.TIME)
    if at > latest:
        raise BadValue(BadReason.FUTURE)
    return at


def _second_us(start_ms: float | None, latest: int) -> int:
    """The start of a bar's second as µs, which ends at ``latest`` at most.

    Raises BadValue as `_time_us` does, and unless it is a whole second's.
    """
    if start_ms is None or not OLDEST_TIME_MS <= start_ms < NEWEST_TIME_MS:
        raise BadValue(BadReason.TIME)
    second = start_ms / SECOND_MS
    if not second.is_integer():
        is_ahead = start_ms.is_integer() and int(start_ms) * MILLISECOND > latest
        raise BadValue(BadReason.FUTURE if is_ahead else BadReason.TIME)
    start = int(second) * SECOND
    if start + SECOND > latest:
        raise BadValue(BadReason.FUTURE)
    return start


# --- Decoding: frames --------------------------------------------------------------------------------


class Status(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="status"):
    """What the vendor says about the connection."""

    status: str | None = None
    message: str | None = None


class Aggregate(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="A"):
    """One second of one symbol, as it is on the wire. Numbers come as integers or floats, volumes also as text.

    What is done where a field is not what it should be (REST's seconds likewise; ``t`` is their ``s``):

    | field | absent or null | zero | no number, or out of bounds | contradicts the others |
    |---|---|---|---|---|
    | sym | bad | | bad | bad unless asked for |
    | s | bad | bad | bad | bad unless a whole second, not far ahead of now |
    | e | s + 1 s | s + 1 s | s + 1 s, counted | bad |
    | c | bad | bad | bad | outside low and high: see `_mended_prices` |
    | o, h, l | from the others, counted | as absent | as absent | from the others, counted |
    | vw | close | close without volume, else as no number | typical price, counted | over 1 % off: typical price, counted |
    | dv | v | 0 | v, counted | |
    | v | bad without a usable dv | 0 | bad without a usable dv | |

    "Bad" costs the event and nothing else; "counted" keeps it.
    """

    sym: str | None = None
    v: float | str | None = None
    dv: float | str | None = None
    vw: float | None = None
    o: float | None = None
    h: float | None = None
    l: float | None = None  # noqa: E741 - the vendor's name
    c: float | None = None
    s: float | None = None
    e: float | None = None


class OptionQuote(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="Q", rename={"ask_size": "as"}):
    """The best bid and ask of one option, as it is on the wire."""

    sym: str | None = None
    bp: float | None = None
    ap: float | None = None
    bs: float | None = None
    ask_size: float | None = None
    t: float | None = None
    q: float | None = None


class StreamQuote(msgspec.Struct, frozen=True, gc=False):
    """A checked quote with what orders it among the quotes of its contract."""

    quote: Quote
    sequence: float


WireEvent = Status | Aggregate | OptionQuote
StreamEvent = Status | Bar | StreamQuote


_FRAME: msgspec.json.Decoder[list[WireEvent]] = msgspec.json.Decoder(list[WireEvent])
_ONE_EVENT: msgspec.json.Decoder[WireEvent] = msgspec.json.Decoder(WireEvent)
_RAW_FRAME: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_FIELDS: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])

_UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be (deep nesting ends in RecursionError)."""

_PIECE = re.compile(
    rb"""\{(?>[^{}"]+|"(?>[^"\\]+|\\.)*+")*+\}   # a whole object without another in it: most events are one
    | "(?>[^"\\]+|\\.)*+"                        # a text, with whatever brackets in it
    | [{}\[\]"]                                   # a bracket, or the quote of a text that never ends
    """,
    re.DOTALL | re.VERBOSE,
)
"""What gives the wreck of a frame its structure. Every part is matched once and never again: linear time."""

PIECES_MAX = 50_000
"""Pieces of a wreck that are looked at: five full frames' worth of events, 15 ms."""

OTHERS_MAX = 4_000
"""Bad events, and as many statuses, of one frame that are looked at one by one: what comes after is counted at once.

A full frame (1 MiB) holds some 5,000 real events and takes 10 ms; a bad one costs up to eight times a good one.
"""

KNOWN_EVENTS = frozenset({"status", "A", "Q"})

OPTION_PREFIX = "O:"


class FrameDecoder:
    """Frames into checked events. What it is given ``asked`` for, it lets through; ``bad`` counts the rest.

    ``ahead_us`` is how far ahead of now a bar may end, or a quote be stamped (`Rules.clock_doubt_seconds`). ``early`` is
    told of each bar that is left out for ending later (now, its symbol, its start): if all do, it is our clock.
    """

    def __init__(
        self, bad: BadInput, ahead_us: int = AHEAD_US, early: Callable[[int, str, int], None] | None = None
    ) -> None:
        self.bad = bad
        self._early = early
        self.asked: set[str] = set()
        """Symbols and contracts that were ever subscribed to. Bounded by what the caller asks for."""
        self._ahead_us = ahead_us

    def decode(self, frame: bytes, now: int) -> list[StreamEvent]:
        """The good events of a frame in their order. Never raises for what the vendor sent."""
        latest = now + self._ahead_us
        try:
            wire = _FRAME.decode(frame)
        except _UNDECODABLE:
            return self._decode_one_by_one(frame, latest)
        if len(wire) > OTHERS_MAX:
            wire = self._without_a_flood(wire, frame)
        events: list[StreamEvent] = []
        left = OTHERS_MAX
        for event in wire:
            try:
                events.append(self._checked(event, latest))
            except BadValue as error:
                self.bad.add(error.reason, event)
                left -= 1
                if not left:
                    self.bad.add(BadReason.FRAME, frame)
                    break
        return events

    def _without_a_flood(self, wire: list[WireEvent], frame: bytes) -> list[WireEvent]:
        """The events without the statuses after the first `OTHERS_MAX`."""
        kept: list[WireEvent] = []
        statuses = 0
        for event in wire:
            statuses += isinstance(event, Status)
            if statuses <= OTHERS_MAX or not isinstance(event, Status):
                kept.append(event)
        if statuses > OTHERS_MAX:
            self.bad.add(BadReason.FRAME, frame)
        return kept

    def _decode_one_by_one(self, frame: bytes, latest: int) -> list[StreamEvent]:
        pieces: Iterable[bytes | msgspec.Raw]
        try:
            pieces = _RAW_FRAME.decode(frame)
        except _UNDECODABLE:
            # Not JSON as a whole, such as a bare NaN or a cut end: its whole objects are still good.
            self.bad.add(BadReason.FRAME, frame)
            pieces = _whole_objects(frame)
        events: list[StreamEvent] = []
        bad = statuses = 0
        for piece in pieces:
            try:
                event = self._checked(_decode_event(piece), latest)
            except BadValue as error:
                self.bad.add(error.reason, bytes(piece))
                bad += 1
            else:
                events.append(event)
                statuses += isinstance(event, Status)
            if OTHERS_MAX in (bad, statuses):
                self.bad.add(BadReason.FRAME, frame)
                break
        return events

    def _checked(self, event: WireEvent, latest: int) -> StreamEvent:
        # Asked in the order of how many come: that an event is not of a kind takes longer to say than that it is.
        if isinstance(event, Aggregate):
            symbol, start_ms, end_ms = event.sym, event.s, event.e
            if symbol is None or symbol not in self.asked or symbol.startswith(OPTION_PREFIX):
                raise BadValue(BadReason.SYMBOL)
            if end_ms and start_ms is not None and end_ms != start_ms + SECOND_MS:
                if not math.isnan(end_ms):
                    raise BadValue(BadReason.TIME)
                self.bad.add(BadReason.NUMBER, event, is_used=True)
            try:
                return _make_bar(symbol, start_ms, event, latest, self.bad)
            except BadValue as error:
                if error.reason is BadReason.FUTURE and self._early is not None and start_ms is not None:
                    self._early(latest - self._ahead_us, symbol, int(start_ms) * MILLISECOND)
                raise
        if isinstance(event, OptionQuote):
            return self._quote(event, latest)
        return event

    def _quote(self, event: OptionQuote, latest: int) -> StreamQuote:
        if event.sym is None or event.sym not in self.asked or not event.sym.startswith(OPTION_PREFIX):
            raise BadValue(BadReason.SYMBOL)
        sequence = -1.0 if event.q is None else event.q
        return StreamQuote(
            quote=Quote(
                contract=event.sym,
                at=_time_us(event.t, MILLISECOND, 1, latest),
                bid=_option_price(event.bp),
                ask=_option_price(event.ap),
                bid_size=_amount(event.bs),
                ask_size=_amount(event.ask_size),
                source=QuoteSource.STREAM,
            ),
            sequence=sequence,
        )


def _whole_objects(frame: bytes) -> Iterable[bytes]:
    """The objects of a broken frame that stand in its list, each whole.

    What stands inside another object is a part of that one and no event, however whole it looks. Where a text
    never ends, nothing more is known to be outside of it.
    """
    braces = brackets = begin = 0
    for piece in itertools.islice(_PIECE.finditer(frame), PIECES_MAX):
        at, end = piece.span()
        if end - at > 1:
            if frame[at] == OPENING_BRACE and not braces and brackets <= 1:
                yield piece[0]
            continue
        match frame[at : at + 1]:
            case b"{":
                begin = begin if braces else at
                braces += 1
            case b"}":
                braces = max(0, braces - 1)
                if not braces and brackets <= 1:
                    yield frame[begin:end]
            case b"[":
                brackets += not braces
            case b"]":
                brackets -= not braces and brackets > 0
            case _:
                return


OPENING_BRACE = ord("{")


def _decode_event(piece: bytes | msgspec.Raw) -> WireEvent:
    """One event. Raises BadValue, with the reason told apart as far as it can be."""
    try:
        return _ONE_EVENT.decode(piece)
    except _UNDECODABLE:
        pass
    try:
        fields = _FIELDS.decode(piece)
    except _UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None
    kind = fields.get("ev")
    if not isinstance(kind, str):
        raise BadValue(BadReason.EVENT)
    if kind not in KNOWN_EVENTS:
        raise BadValue(BadReason.UNKNOWN_EVENT)
    if kind != "A" or not isinstance(fields.get("sym"), str | None):
        raise BadValue(BadReason.NUMBER)
    return Aggregate(sym=fields.get("sym"), **_numbers(fields, "s", "e"))


def _numbers(fields: dict[str, Any], start: str, *more: str) -> dict[str, Any]:
    """A second's numbers, of which some are none. Raises BadValue where its start or close is not."""
    numbers: dict[str, Any] = {name: _loose(fields.get(name)) for name in (start, *more, *"ohlc", "vw")}
    for name in (start, "c"):
        if numbers[name] is UNUSABLE:
            raise BadValue(BadReason.NUMBER)
    for name in ("v", "dv"):
        value = fields.get(name)
        numbers[name] = value if isinstance(value, str) else _loose(value)
    return numbers


def _loose(value: Any) -> float | None:
    """A number, None where it is absent, or `UNUSABLE`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return UNUSABLE
    try:
        return float(value)
    except OverflowError:
        return UNUSABLE


def _make_bar(
    symbol: str,
    start_ms: float | None,
    wire: Aggregate | _SecondRow,
    latest: int,
    bad: BadInput,
    *,
    backfilled: bool = False,
) -> Bar:
    """A bar from the wire's numbers, which ends at ``latest`` at most. Raises BadValue for what cannot be used.

    `Aggregate` says what stands in for what. ``bad`` counts the stand-ins.
    """
    start = _second_us(start_ms, latest)
    volume = _volume(wire.dv)
    is_mended = volume is None and wire.dv is not None
    if volume is None:
        volume = _volume(wire.v)
    if volume is None:
        raise BadValue(BadReason.VOLUME)
    opening, high, low, close, vwap = wire.o, wire.h, wire.l, wire.c, wire.vw
    if (
        opening is None
        or high is None
        or low is None
        or close is None
        or vwap is None
        or not PRICE_MIN <= low <= opening <= high <= PRICE_MAX
        or not low <= close <= high <= low * SPAN_MOST
        or not low * VWAP_LEAST <= vwap <= high * VWAP_MOST
    ):
        opening, high, low, close, vwap = _mended_prices(wire, volume, bad)
    if is_mended:
        bad.add(BadReason.VOLUME, wire, is_used=True)
    return Bar(
        symbol=symbol,
        start=start,
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=volume,
        vwap=vwap,
        backfilled=backfilled,
    )


def _mended_prices(
    wire: Aggregate | _SecondRow, volume: float, bad: BadInput
) -> tuple[float, float, float, float, float]:
    """Open, high, low, close and VWAP of a second in which one of them is missing or cannot be.

    The close must be usable. One outside low and high is either wrong itself (the open and the VWAP lie between
    them: the nearer of the two stands in), or they are (open and VWAP lie beside it: they are left out). Where
    nothing tells which, the second is bad. Raises BadValue.
    """
    close = wire.c
    if close is None or not PRICE_MIN <= close <= PRICE_MAX:
        raise BadValue(BadReason.PRICE)
    opening, high, low = wire.o, wire.h, wire.l
    span = None
    if high is not None and low is not None and PRICE_MIN <= low <= high <= min(PRICE_MAX, low * SPAN_MOST):
        span = low, high
        if not low <= close <= high:
            span = _judged_span(low, high, close, opening, wire.vw)
    if span is None:
        # The open only counts beside the close: nothing else is left that could bear it out.
        is_near = opening is not None and _is_price(opening) and is_vwap(opening, close, close)
        low, high = sorted((opening if is_near and opening is not None else close, close))
    else:
        low, high = span
    close = min(max(close, low), high)
    opening = min(max(opening, low), high) if opening is not None and _is_price(opening) else close
    if (opening, high, low, close) != (wire.o, wire.h, wire.l, wire.c):
        bad.add(BadReason.PRICE, wire, is_used=True)
    vwap = wire.vw
    if vwap is None or (vwap == 0 and volume == 0):
        vwap = close
    elif not is_vwap(vwap, low, high):
        bad.add(BadReason.VWAP, wire, is_used=True)
        vwap = typical_price(low, high, close)
    return opening, high, low, close, vwap


def _judged_span(
    low: float, high: float, close: float, opening: float | None, vwap: float | None
) -> tuple[float, float] | None:
    """Low and high if it is the close outside that is wrong, None if it is they. Raises BadValue if nobody knows."""
    witnesses = [value for value in (opening, vwap) if value is not None and _is_price(value)]
    if witnesses and all(is_vwap(value, low, high) for value in witnesses):
        return low, high
    if witnesses and all(is_vwap(value, close, close) for value in witnesses):
        return None
    raise BadValue(BadReason.PRICE)


# --- Decoding: REST ----------------------------------------------------------------------------------


class _Details(msgspec.Struct, frozen=True, gc=False):
    ticker: str | None = None
    contract_type: str | None = None
    expiration_date: str | None = None
    strike_price: float | None = None
    shares_per_contract: float | None = None


class _LastQuote(msgspec.Struct, frozen=True, gc=False):
    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    last_updated: int | float | None = None
    timeframe: str | None = None


class _Greeks(msgspec.Struct, frozen=True, gc=False):
    """Only the delta is used. The others tell whether any of them was computed."""

    delta: float | None = None
    gamma: Any = None
    theta: Any = None
    vega: Any = None


class _Underlying(msgspec.Struct, frozen=True, gc=False):
    price: Any = None


class _SnapshotRow(msgspec.Struct, frozen=True, gc=False):
    """One contract of a snapshot, as it is on the wire. Anything may be missing, null or ``{}``."""

    details: _Details | None = None
    greeks: _Greeks | None = None
    implied_volatility: float | None = None
    last_quote: _LastQuote | None = None
    open_interest: float | None = None
    underlying_asset: _Underlying | None = None


class _SecondRow(msgspec.Struct, frozen=True, gc=False):
    """One second of a symbol's history, as it is on the wire."""

    t: float | None = None
    o: float | None = None
    h: float | None = None
    l: float | None = None  # noqa: E741 - the vendor's name
    c: float | None = None
    v: float | str | None = None
    dv: float | str | None = None
    vw: float | None = None


T = TypeVar("T")


class _Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list. ``results`` may be left out where there are none; null is no answer."""

    status: str | None = None
    results: list[T] | msgspec.UnsetType | None = msgspec.UNSET
    next_url: str | None = None
    results_count: Any = msgspec.field(default=None, name="resultsCount")
    ticker: Any = None


class _RowDecoder(Generic[T]):
    """Decodes pages of one kind of row: a page at once, or row by row where that fails: a bad row is alone.

    ``rows_max`` is how many rows are asked for, ``values_max`` how many JSON values so many rows have at most.
    """

    def __init__(
        self,
        page: msgspec.json.Decoder[_Page[T]],
        row: Callable[[msgspec.Raw], T],
        *,
        rows_max: int,
        values_max: int,
    ) -> None:
        self._page = page
        self._row = row
        self._rows_max = rows_max
        self._values_max = values_max

    async def decode(self, body: bytes) -> tuple[_Page[T], list[bytes]]:
        """A page with its good rows, and the bad ones as they came. Raises RestError(BAD_BODY)."""
        if body.count(b",") > self._values_max:
            raise RestError(RestErrorKind.BAD_BODY, "more values than were asked for")
        broken: list[bytes] = []
        try:
            page = self._page.decode(body)
        except _UNDECODABLE:
            if len(body) > BROKEN_ON_LOOP_BYTES:
                page, broken = await asyncio.to_thread(self._decode_row_by_row, body)
            else:
                page, broken = self._decode_row_by_row(body)
        if page.results and len(page.results) + len(broken) > ROWS_SLACK * self._rows_max:
            raise RestError(RestErrorKind.BAD_BODY, "more rows than were asked for")
        return page, broken

    def _decode_row_by_row(self, body: bytes) -> tuple[_Page[T], list[bytes]]:
        page = _decode_body(body, _Page[msgspec.Raw])
        rows: list[T] = []
        broken: list[bytes] = []
        for raw in page.results or ():
            try:
                rows.append(self._row(raw))
            except BadValue:
                broken.append(bytes(raw))
        good: _Page[T] = _Page(
            status=page.status,
            results=rows if isinstance(page.results, list) else page.results,
            next_url=page.next_url,
            results_count=page.results_count,
            ticker=page.ticker,
        )
        return good, broken


BROKEN_ON_LOOP_BYTES = 256 * 1024
"""A longer page that has to be mended is mended in a thread: this much takes 20 ms."""

ROWS_SLACK = 2
"""A page may have so many times the rows that were asked for."""


def _decode_snapshot(raw: bytes | msgspec.Raw) -> _SnapshotRow:
    """One contract's row. Raises BadValue.

    A delta or volatility that is no number costs itself only: `_snapshot_row` counts it and leaves it out.
    """
    try:
        return msgspec.json.decode(raw, type=_SnapshotRow)
    except _UNDECODABLE:
        pass
    try:
        fields = _FIELDS.decode(raw)
        greeks = fields.get("greeks")
        if greeks is not None:
            fields["greeks"] = {"delta": _loose(greeks.get("delta") if isinstance(greeks, dict) else greeks)}
        fields["implied_volatility"] = _loose(fields.get("implied_volatility"))
        return msgspec.convert(fields, _SnapshotRow)
    except _UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None


def _decode_second(raw: msgspec.Raw) -> _SecondRow:
    """One second's row. Raises BadValue."""
    try:
        return msgspec.json.decode(raw, type=_SecondRow)
    except _UNDECODABLE:
        pass
    try:
        return _SecondRow(**_numbers(_FIELDS.decode(raw), "t"))
    except _UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None


CHAIN_PAGE_ROWS = 250
"""The vendor's maximum for a chain (its default is 10)."""

SECONDS_PAGE_ROWS = 50_000
"""The vendor's maximum for aggregates."""

_CHAIN_ROWS = _RowDecoder(
    msgspec.json.Decoder(_Page[_SnapshotRow]),
    _decode_snapshot,
    rows_max=CHAIN_PAGE_ROWS,
    values_max=CHAIN_PAGE_ROWS * 200,  # the vendor's rows have 45
)
_SECOND_ROWS = _RowDecoder(
    msgspec.json.Decoder(_Page[_SecondRow]),
    _decode_second,
    rows_max=SECONDS_PAGE_ROWS,
    values_max=SECONDS_PAGE_ROWS * 20,  # 8 or 9
)


class _Single(msgspec.Struct, frozen=True):
    """An answer about one thing."""

    status: str | None = None
    results: msgspec.Raw = msgspec.Raw(b"null")


class _Exchanges(msgspec.Struct, frozen=True):
    nyse: str | None = None


class _MarketStatus(msgspec.Struct, frozen=True):
    market: str | None = None
    exchanges: _Exchanges | None = None


class _Refusal(msgspec.Struct, frozen=True):
    """The body of an error: 401 and 429 say ``error``, 403 says ``message``."""

    error: str | None = None
    message: str | None = None


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


class RestError(NoAnswer):
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


OPTION_TICKER = re.compile(r"O:([A-Z0-9.]{1,10})(\d{6})([CP])(\d{8})", re.ASCII)
"""Root, expiry as YYMMDD, side, strike in thousandths."""


def _decode_body(body: bytes, kind: type[T]) -> T:
    """A whole answer. Raises RestError(BAD_BODY).

    A bare NaN, an overflowing number or an unpaired surrogate makes a page no JSON at all. It is written anew, with
    numbers that are none as text and without what no JSON can hold, so that it costs its own row only.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except _UNDECODABLE:
        pass
    try:
        mended = json.loads(
            body.decode(errors="replace"),
            parse_constant=str,
            parse_float=_number_or_text,
            parse_int=_number_or_text,
        )
        return msgspec.json.decode(_without_surrogates(mended), type=kind)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise RestError(RestErrorKind.BAD_BODY, "not the JSON that was asked for") from None


def _without_surrogates(mended: Any) -> bytes:
    """JSON again. A field that no JSON can hold is left out; a row becomes its own text, which is no row."""
    if isinstance(mended, dict):
        if isinstance(rows := mended.get("results"), list):
            mended["results"] = [row if _is_encodable(row) else json.dumps(row) for row in rows]
        mended = {name: value for name, value in mended.items() if _is_encodable((name, value))}
    return msgspec.json.encode(mended)


def _is_encodable(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except UnicodeError:
        return False
    return True


def _number_or_text(token: str) -> int | float | str:
    if len(token) > LONGEST_NUMBER or not math.isfinite(float(token)):
        return token
    return float(token) if re.search(r"[.eE]", token) else int(token)


_NO_DETAILS = _Details()
_NO_QUOTE = _LastQuote()
EVERY_STRIKE = (0.0, math.inf)
GREEK_DIGITS = 6
"""Decimals of volatility and delta that are kept: no rule compares more, and the rest is noise."""


def _snapshot_row(
    row: _SnapshotRow,
    latest: int,
    bad: BadInput,
    *,
    root: str | None = None,
    expiry: str | None = None,
    band: tuple[float, float] = EVERY_STRIKE,
) -> ChainRow | None:
    """A checked row (None outside ``band``, dollars). Raises BadValue.

    ``root`` is the underlying and ``expiry`` the ISO date that were asked for (None: any); no quote is stamped after
    ``latest``. What contradicts its own ticker is bad. A delta or volatility that cannot be one is left out and
    counted by ``bad``: both can be computed from the price. Greeks that are all zero were not computed.
    """
    details, quoted, greeks = row.details or _NO_DETAILS, row.last_quote or _NO_QUOTE, row.greeks
    strike, shares = _contract_terms(details, root, expiry)
    bid, ask = _option_price(quoted.bid), _option_price(quoted.ask)
    bid_size, ask_size = _amount(quoted.bid_size), _amount(quoted.ask_size)
    updated = quoted.last_updated
    quoted_at = _time_us(updated, 1, NANOSECONDS, latest) if updated else 0
    open_interest = _amount(row.open_interest)
    delta = None if greeks is None else greeks.delta
    if delta == 0 and greeks is not None and not any((greeks.gamma, greeks.theta, greeks.vega)):
        delta = None
    iv = row.implied_volatility or None
    is_delta, is_iv = delta is None or -1 <= delta <= 1, iv is None or 0 < iv <= IMPLIED_VOLATILITY_MAX
    if not (is_delta and is_iv):
        bad.add(BadReason.NUMBER, row, is_used=True)
    if not band[0] <= strike / STRIKE_UNIT <= band[1]:
        return None
    return ChainRow(
        contract=details.ticker or "",
        strike=strike,
        shares=shares,
        bid=bid,
        ask=ask,
        bid_size=bid_size,
        ask_size=ask_size,
        quoted_at=quoted_at,
        real_time=quoted.timeframe == REAL_TIME,
        iv=None if iv is None or not is_iv else round(iv, GREEK_DIGITS) or None,
        delta=None if delta is None or not is_delta else round(delta, GREEK_DIGITS),
        open_interest=open_interest,
    )


REAL_TIME = "REAL-TIME"


@functools.lru_cache(maxsize=1_024)
def _contract_terms(details: _Details, root: str | None, expiry: str | None) -> tuple[int, float]:
    """Strike and shares of a ticker. They never change, and every poll brings the same ones. Raises BadValue.

    A root other than the asked one (IWM1, 2IWM) is of an adjusted contract: it delivers something else. Shares are
    taken for the standard 100 only where the ticker has a plain root.
    """
    ticker = OPTION_TICKER.fullmatch(details.ticker or "")
    if ticker is None or details.contract_type not in (None, "call") or ticker[3] != "C":
        raise BadValue(BadReason.CONTRACT)
    if root is not None and ticker[1].replace(".", "") != root.replace(".", ""):
        raise BadValue(BadReason.CONTRACT)
    if expiry is not None and (
        ticker[2] != expiry[2:].replace("-", "") or details.expiration_date not in (None, expiry)
    ):
        raise BadValue(BadReason.CONTRACT)
    strike, told, shares = int(ticker[4]), details.strike_price, details.shares_per_contract
    if told is None or not 0 < told <= PRICE_MAX or round(told * STRIKE_UNIT) != strike:
        raise BadValue(BadReason.CONTRACT)
    if shares is None:
        shares = 100.0 if ticker[1].isalpha() else 0.0
    return strike, _amount(shares)


# --- REST --------------------------------------------------------------------------------------------

HTTP_OK = 200
HTTP_REDIRECTS = range(300, 400)
HTTP_REFUSALS = range(400, 500)
HTTP_UNAUTHORIZED, HTTP_FORBIDDEN, HTTP_NOT_FOUND, HTTP_TOO_MANY = 401, 403, 404, 429
HTTP_WAITS = frozenset({HTTP_TOO_MANY, 503})
"""Refusals of a handshake that may say how long to wait."""

EXCHANGE_DEADLINE_S = 9.0
"""Real seconds for one exchange, retry included: an inactivity timeout never ends a slow drip."""

CONNECT_TIMEOUT_S = 3.0
"""Real seconds for a connection."""

KEEP_ALIVE_S = 60.0
"""Idle connections are given up before the vendor resets them (every reset seen came after 81 s idle)."""

SECONDS_BODY_BYTES = 8 * 1024 * 1024
"""A page of 50,000 seconds, the most that one has, is 5 MB: 14 ms to decode."""

CHAIN_BODY_BYTES = 2 * 1024 * 1024
"""A page of 250 contracts has 250 kB."""

SINGLE_BODY_BYTES = 64 * 1024
"""One contract or the market's status has 1 kB. The worst so many bytes can be mended in 50 ms."""

ERROR_BODY_BYTES = 64 * 1024
"""So much is read of an answer that is an error; what it says stands at its beginning."""

CHUNKS_AT_ONCE = 256
"""Pieces of a body that are taken before the loop gets its turn: a server may send them byte by byte."""

ROWS_AT_ONCE = 2_000
"""Rows that are checked before the loop gets its turn: 4 ms."""

PAGES_MAX = 20
"""Pages of one list; a chain has one or two, a day of seconds the same."""

LIST_ROWS_MAX = 100_000
"""Rows of one list: a day has 86,400 seconds."""

LIST_DEADLINES = 3
"""All pages of a list together take this many exchanges' deadlines at most."""

FINE_STATUSES = frozenset({"OK", "DELAYED"})
"""What the vendor says of an answer that is one."""

MARKET_STATUSES = frozenset({"open", "closed", "extended-hours"})

SKEW_ROUND_TRIP_US = 2 * SECOND
"""A longer exchange (in real time) says too little about the vendor's clock."""

RETRY_AFTER_MAX_S = 3600.0
"""The longest wait that an answer is believed to ask for."""

RETRIED = frozenset({RestErrorKind.TRANSPORT, RestErrorKind.TIMEOUT, RestErrorKind.SERVER})

STATUS_KINDS = {
    HTTP_UNAUTHORIZED: RestErrorKind.UNAUTHORIZED,
    HTTP_FORBIDDEN: RestErrorKind.FORBIDDEN,
    HTTP_NOT_FOUND: RestErrorKind.NOT_FOUND,
    HTTP_TOO_MANY: RestErrorKind.RATE_LIMITED,
}


_Params = Mapping[str, str | int] | Sequence[tuple[str, str | int | float | bool | None]] | None


class Rest:
    """The vendor's REST. Every method raises RestError, and nothing else, for what the vendor or network did.

    ``deadline_s`` is real seconds for one exchange; ``ahead_us`` how far ahead of now a bar may end, or a quote be
    stamped (`Rules.clock_doubt_seconds`). Proxies and certificate stores named by the environment are
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
        ahead_us: int = AHEAD_US,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._ahead_us = ahead_us
        self._clock = clock
        self._deadline_s = deadline_s
        self._scrub = scrubber(api_key)
        self._skew: float | None = None
        self.skews_measured = 0
        """How often ``skew`` was measured."""
        self.vendor_time: VendorTime | None = None
        """The same with its bounds, as the clock takes it."""
        self.bad = BadInput("REST", clock, self._scrub)
        self._api_key = api_key
        self._transport = transport

    @functools.cached_property
    def _client(self) -> httpx.AsyncClient:
        """Made at the first request: httpx's own transport takes 40 ms to import, and the feed comes first."""
        half_s = (
            self._deadline_s / 2
        )  # half the deadline for one attempt's silence, so that a retry has time, too
        return httpx.AsyncClient(
            headers={
                "Authorization": f"Bearer {self._api_key}",
                "Accept": "application/json",
                "Accept-Encoding": PACKING,
            },
            timeout=httpx.Timeout(half_s, connect=min(CONNECT_TIMEOUT_S, half_s)),
            limits=httpx.Limits(max_connections=8, keepalive_expiry=KEEP_ALIVE_S),
            follow_redirects=False,
            event_hooks={"request": [bound_requests(SECONDS_BODY_BYTES)]},
            cookies=CookieJar(
                DefaultCookiePolicy(allowed_domains=())
            ),  # none is kept: they would have no bound
            trust_env=not is_loopback(self._base),
            verify=trust() if urlsplit(self._base).scheme == "https" else False,
            transport=self._transport,
        )

    @property
    def skew(self) -> float | None:
        """The vendor's clock minus ours in seconds, good to about one, by the last quick exchange."""
        return self._skew

    async def aclose(self) -> None:
        """Close the connections. Never raises for what the network does: what is given up needs no good end."""
        if "_client" not in self.__dict__:
            return
        try:
            await self._client.aclose()
        except _connection_faults() as error:
            fault = type(error).__name__
            log.debug("rest_close_failed", text=f"A connection did not close well: {fault}", fault=fault)

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
        found, is_delayed, _ = await self._rows(path, params, _CHAIN_ROWS, CHAIN_BODY_BYTES)
        if spot is None:
            spot = _underlying_price(found)
        band = EVERY_STRIKE if spot is None else _band(spot, percent)
        latest = self._clock.now() + self._ahead_us
        rows: dict[str, ChainRow] = {}
        for wire in found:
            try:
                row = _snapshot_row(wire, latest, self.bad, root=underlying, expiry=expiry, band=band)
            except BadValue as error:
                self.bad.add(error.reason, wire)
                continue
            if row is None:
                continue
            if is_delayed and row.real_time:
                row = msgspec.structs.replace(row, real_time=False)
            known = rows.get(row.contract)
            if known is None or _replaces(row, known):
                rows[row.contract] = row
        if found and not rows:
            # Not an empty market: an answer that cannot be used.
            raise RestError(RestErrorKind.BAD_BODY, f"none of its {len(found)} rows is usable")
        return Chain(rows=tuple(sorted(rows.values(), key=lambda row: (row.strike, row.contract))))

    async def contract(self, underlying: str, contract: str) -> Quote:
        """The quote of one contract. Raises RestError, EMPTY when it has no quote (or the plan shows none in time)."""
        path = f"/v3/snapshot/options/{quote(underlying)}/{quote(contract, safe=':')}"
        answer = _decode_body(await self._get(path, SINGLE_BODY_BYTES), _Single)
        self._check_status(answer.status)
        raw = bytes(answer.results)
        if raw == b"null":
            raise RestError(RestErrorKind.EMPTY)
        latest = self._clock.now() + self._ahead_us
        try:
            row = _snapshot_row(_decode_snapshot(raw), latest, self.bad)
        except BadValue as error:
            self.bad.add(error.reason, raw)
            raise RestError(RestErrorKind.BAD_BODY, f"bad {error.reason}") from None
        if row is None or row.contract != contract:
            raise RestError(RestErrorKind.BAD_BODY, "another contract than was asked for")
        if not row.quoted_at:
            raise RestError(RestErrorKind.EMPTY, "no quote")
        if not row.real_time or self._is_delayed(answer.status):
            raise RestError(RestErrorKind.EMPTY, "its quote is delayed")
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
        params: dict[str, str | int] = {"adjusted": "false", "sort": "asc", "limit": SECONDS_PAGE_ROWS}
        bars: dict[int, Bar] = {}
        found, _, unusable = await self._rows(path, params, _SECOND_ROWS, SECONDS_BODY_BYTES, symbol)
        latest = self._clock.now() + self._ahead_us
        usable = outside = 0
        for number, wire in enumerate(found, start=1):
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                bar = _make_bar(symbol, wire.t, wire, latest, self.bad, backfilled=True)
            except BadValue as error:
                self.bad.add(error.reason, wire)
                unusable += 1
                continue
            usable += 1
            if start_us <= bar.start < end_us:
                bars[bar.start] = bar
            outside += not start_us - SECOND < bar.start <= end_us
        if found and not usable:
            # Not a quiet span: an answer that cannot be used.
            raise RestError(RestErrorKind.BAD_BODY, f"none of its {len(found)} rows is usable")
        if outside and outside == usable:
            raise RestError(RestErrorKind.BAD_BODY, "seconds of another time than was asked for")
        if unusable > max(UNUSABLE_ROWS, UNUSABLE_PART * (usable + unusable)):
            raise RestError(
                RestErrorKind.BAD_BODY, f"{unusable} of its {usable + unusable} rows are unusable"
            )
        return [bars[start] for start in sorted(bars)]

    async def market_status(self) -> str:
        """What the exchange says of itself: ``open``, ``closed`` or ``extended-hours``."""
        answer = _decode_body(await self._get("/v1/marketstatus/now", SINGLE_BODY_BYTES), _MarketStatus)
        exchange = (answer.exchanges or _Exchanges()).nyse
        market = answer.market if exchange is None else exchange
        if market is None:
            raise RestError(RestErrorKind.EMPTY, "no market status")
        if market not in MARKET_STATUSES:
            raise RestError(RestErrorKind.BAD_BODY, f"market status {self._shown(market)}")
        return market

    # One list, page by page

    async def _rows(
        self, path: str, params: _Params, decoder: _RowDecoder[T], limit: int, ticker: str | None = None
    ) -> tuple[list[T], bool, int]:
        """The rows of every page, whether they are delayed, and how many more were broken. A page that fails fails all.

        ``limit`` is bytes of a page; ``ticker`` whose rows they are, where the vendor says so. A chain with a hole is
        none, and neither is one of which every row is broken.
        """
        try:
            async with asyncio.timeout(LIST_DEADLINES * self._deadline_s):
                return await self._pages(self._address(path, params), decoder, limit, ticker)
        except TimeoutError:
            raise RestError(RestErrorKind.TIMEOUT, "its pages do not end in time") from None

    async def _pages(
        self, url: httpx.URL, decoder: _RowDecoder[T], limit: int, ticker: str | None
    ) -> tuple[list[T], bool, int]:
        rows: list[T] = []
        broken: list[bytes] = []
        is_delayed = False
        seen = {str(url)}
        for _ in range(PAGES_MAX):
            page, undecodable = await decoder.decode(await self._get(url, limit))
            rows += self._results(page, is_empty=not undecodable)
            broken += undecodable
            is_delayed = is_delayed or self._is_delayed(page.status)
            if ticker is not None and page.ticker not in (None, ticker):
                raise RestError(RestErrorKind.BAD_BODY, "another symbol than was asked for")
            if len(rows) + len(broken) > LIST_ROWS_MAX:
                raise RestError(RestErrorKind.BAD_BODY, f"more than {LIST_ROWS_MAX} rows")
            if not page.next_url:
                self._count_broken(broken)
                if broken and not rows:
                    raise RestError(RestErrorKind.BAD_BODY, f"none of its {len(broken)} rows is usable")
                return rows, is_delayed, len(broken)
            url = self._next(page.next_url)
            if str(url) in seen:
                raise RestError(RestErrorKind.BAD_BODY, "the next page is one already seen")
            seen.add(str(url))
        raise RestError(RestErrorKind.BAD_BODY, f"more than {PAGES_MAX} pages")

    def _count_broken(self, broken: Sequence[bytes]) -> None:
        if broken:
            self.bad.add(BadReason.EVENT, broken[0], times=len(broken))

    def _results(self, page: _Page[T], *, is_empty: bool) -> list[T]:
        """The rows of a page. None at all counts only where the vendor says so: ``[]``, or a count of 0."""
        self._check_status(page.status)
        results = page.results
        if results is msgspec.UNSET and page.results_count == 0:
            results = []
        if not isinstance(results, list):
            raise RestError(RestErrorKind.BAD_BODY, "no results in it")
        if not results and is_empty and (page.status is None or page.results_count not in (None, 0)):
            raise RestError(RestErrorKind.BAD_BODY, "empty, and it does not say that it should be")
        return results

    def _next(self, address: str) -> httpx.URL:
        """The next page's address, verbatim. Any other server's is refused: it would be sent the key."""
        try:
            url, base = httpx.URL(address), httpx.URL(self._base)
            is_ours = _origin(url) == _origin(base) and not url.userinfo
        except (httpx.InvalidURL, TypeError, ValueError):
            raise RestError(RestErrorKind.BAD_BODY, "the next page has no address") from None
        if not is_ours:
            raise RestError(RestErrorKind.BAD_BODY, "the next page is on another server; it was not asked")
        return url

    def _check_status(self, status: str | None) -> None:
        if status is not None and status.upper() not in FINE_STATUSES:
            raise RestError(RestErrorKind.BAD_BODY, f"status {self._shown(status)}")

    def _is_delayed(self, status: str | None) -> bool:
        return status is not None and status.upper() == "DELAYED"

    def _shown(self, text: str) -> str:
        """A word of the vendor's that is not known, for the log."""
        return beginning(text, self._scrub, 40) or "(none)"

    def _address(self, path: str, params: _Params) -> httpx.URL:
        try:
            return httpx.URL(self._base + path, params=params)
        except (httpx.InvalidURL, ValueError):
            raise RestError(RestErrorKind.BAD_BODY, "POLYGON_REST_URL makes no address") from None

    # One exchange

    async def _get(self, url: httpx.URL | str, limit: int) -> bytes:
        """The body of a JSON answer, ``limit`` bytes at most; one immediate retry, everything inside one deadline."""
        if isinstance(url, str):
            url = self._address(url, None)
        try:
            async with asyncio.timeout(self._deadline_s) as deadline:
                try:
                    return await self._attempt(url, limit)
                except RestError as error:
                    # Past the deadline, a connection that broke while it was given up starts nothing anew.
                    if error.kind not in RETRIED or deadline.expired():
                        raise
                return await self._attempt(url, limit)
        except TimeoutError:
            raise RestError(RestErrorKind.TIMEOUT, f"not complete after {self._deadline_s:g} s") from None

    async def _attempt(self, url: httpx.URL, limit: int) -> bytes:
        client = self._ready_client()
        asked_at = self._clock.now()
        try:
            async with client.stream("GET", url) as response:
                self._measure_skew(response.headers, asked_at)
                body = await _bounded_body(response, limit)
        except httpx.TimeoutException as error:
            raise RestError(RestErrorKind.TIMEOUT, type(error).__name__) from None
        except _connection_faults() as error:
            raise self._connection_error(error) from None
        except ExceptionGroup as group:
            # anyio tries a name's addresses in a group, from which all but OSError come as they are.
            if group.split(_connection_faults())[1] is not None:
                raise
            raise self._connection_error(group.exceptions[0]) from None
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

    def _ready_client(self) -> httpx.AsyncClient:
        try:
            return self._client
        except _connection_faults() as error:
            text = "the key, or this machine's proxy or certificate settings, cannot be used"
            text = f"{text} ({type(error).__name__})"
            raise RestError(RestErrorKind.TRANSPORT, text) from None

    def _connection_error(self, error: Exception) -> RestError:
        # Only the type of an exception is told, and the certificate's fault: other texts may hold addresses.
        fault = certificate_fault(error)
        if fault is not None:
            return RestError(RestErrorKind.CERTIFICATE, fault)
        is_unusable = isinstance(error, ANSWER_FAULTS) and not isinstance(error, httpx.TransportError)
        kind = RestErrorKind.BAD_BODY if is_unusable else RestErrorKind.TRANSPORT
        return RestError(kind, type(error).__name__)

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
        return beginning(refusal.error or refusal.message or "", self._scrub, 160)

    def _measure_skew(self, headers: httpx.Headers, asked_at: int) -> None:
        """Measure the vendor's time by an answer's ``Date``, to which a cache's ``Age`` is added (both whole seconds)."""
        now = self._clock.now()
        date, age = _http_date_us(headers.get("date")), _age_us(headers.get("age"))
        if date is None or age is None or now - asked_at > SKEW_ROUND_TRIP_US * self._clock.speed:
            return
        # Both headers are cut to the second, and the answer was dated between question and answer.
        cut = SECOND if age == 0 else 2 * SECOND
        low, high = date + age - now, date + age + cut - asked_at
        self.vendor_time = VendorTime(low, high, now)
        self._skew = (low + high) / 2 / SECOND
        self.skews_measured += 1


def _replaces(row: ChainRow, known: ChainRow) -> bool:
    """Whether a row that a page repeats is the newer one; of two alike, one that has lost its delta is not."""
    if row.quoted_at == known.quoted_at:
        return row.delta is not None or known.delta is None
    return row.quoted_at > known.quoted_at


UNUSABLE_ROWS, UNUSABLE_PART = 20, 0.1
"""Up to so many, or such a part, of the seconds of an answer may be unusable: each costs itself, as a bad event does.
With more of them the answer has failed, and is asked for again: lost seconds are not quiet ones."""


def _band(spot: float, percent: float) -> tuple[float, float]:
    return spot * (1 - percent / 100), spot * (1 + percent / 100)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    usual = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, usual if url.port is None else url.port


def _underlying_price(rows: Iterable[_SnapshotRow]) -> float | None:
    """The price that the rows name for their underlying: the middle one, so that no single row decides."""
    found = (_loose(row.underlying_asset.price) for row in rows if row.underlying_asset is not None)
    prices = sorted(price for price in found if price is not None and _is_price(price))
    return prices[len(prices) // 2] if prices else None


PACKING = "gzip"
"""The one packing that is asked for: chains of 250 rows become a tenth."""

PACKED = frozenset({"gzip", "x-gzip", "deflate"})

ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS
"""Makes zlib read either format."""


async def _bounded_body(response: httpx.Response, limit: int) -> bytes:
    """The body, unpacked. Raises RestError(BAD_BODY) when it is longer than ``limit`` bytes, packed or unpacked.

    httpx unpacks a piece whole before it hands it on, and one packing inside another: 5 kB become 3 GB. So the
    pieces are taken as they come, and unpacked no further than the limit. Of an error's body the beginning is kept.
    """
    is_error = response.status_code != HTTP_OK
    limit = ERROR_BODY_BYTES if is_error else limit
    unpack = _unpacker(response, limit)
    body, received, number = bytearray(), 0, 0
    async for chunk in _raw(response):
        number += 1
        if number % CHUNKS_AT_ONCE == 0:
            await asyncio.sleep(0)
        received += len(chunk)
        body += unpack(chunk)
        if max(len(body), received) > limit:
            if is_error:
                return bytes(body[:limit])
            raise RestError(RestErrorKind.BAD_BODY, "too long", status=response.status_code)
    body += unpack(None)
    return bytes(body)


def _raw(response: httpx.Response) -> AsyncIterable[bytes]:
    """The pieces of a body as they were sent."""
    if not isinstance(response.stream, httpx.AsyncByteStream):
        raise RestError(RestErrorKind.BAD_BODY, "no stream")
    return response.stream


def _unpacker(response: httpx.Response, limit: int) -> Callable[[bytes | None], bytes]:
    """What unpacks the pieces of a body, None being its end. Raises RestError for a packing that was not asked for."""
    packings = [
        packing.lower()
        for packing in response.headers.get_list("content-encoding", split_commas=True)
        if packing.lower() not in ("", "identity")
    ]
    if not packings:
        return lambda chunk: chunk or b""
    if len(packings) > 1 or packings[0] not in PACKED:
        raise RestError(
            RestErrorKind.BAD_BODY, "packed in a way that was not asked for", status=response.status_code
        )
    engine = zlib.decompressobj(ZLIB_OR_GZIP)

    def unpack(chunk: bytes | None) -> bytes:
        if chunk is None:
            if not engine.eof:
                raise RestError(RestErrorKind.BAD_BODY, "its packing breaks off", status=response.status_code)
            return b""
        if not chunk or engine.eof:
            return b""
        return engine.decompress(chunk, limit + 1)

    return unpack


ANSWER_FAULTS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, zlib.error, ValueError)
"""What httpx raises, and what it lets through of what it is built on: zlib's faults, and ValueError for an address that
cannot be written or encoded (``idna`` and the resolver say UnicodeError)."""


def _connection_faults() -> tuple[type[Exception], ...]:
    """Everything that asking for an answer and unpacking it can raise, whatever the network and the other side do."""
    return (*connection_faults(), zlib.error)


def _http_date_us(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        date = email.utils.parsedate_to_datetime(text)
        # A date that names no zone ("-0000") is UTC; Python would take it for this machine's.
        return int((date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()) * SECOND
    except (ValueError, TypeError, OverflowError):
        return None


def _age_us(text: str | None) -> int | None:
    """How long a cache has had the answer, µs: 0 without an ``Age``, None with one that is no number of a day."""
    text = "0" if text is None else text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > len("86400"):
        return None
    return int(text) * SECOND


def retry_after_s(text: str | None, now: int) -> float | None:
    """Seconds of a ``Retry-After`` header, which is a number or a date; None when it is neither."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    date = _http_date_us(text)
    return None if date is None else min(max(0.0, (date - now) / SECOND), RETRY_AFTER_MAX_S)


# --- Pacing ------------------------------------------------------------------------------------------


class Pacing:
    """When to connect again. Pure: the time (µs) and the randomness are passed in.

    The wait doubles from 1 s to 60 s and starts anew only after a connection has lived with data: a server that
    accepts and closes would otherwise be called hundreds of times a second. Whatever the cause, at most
    ``MOST_PER_MINUTE`` attempts fall into any minute.
    """

    FIRST_S = 1.0
    LONGEST_S = 60.0
    MOST_PER_MINUTE = 12
    MINUTE_US = 60 * SECOND
    LIVED_US = 60 * SECOND
    EVICTED_S = (60.0, 120.0, 300.0)
    """Rungs of the ladder after ``max_connections``. Two copies must not take the one connection from each
    other for ever, so it starts anew only after a connection has outlived the other's longest wait twice over."""
    SETTLED_US = 600 * SECOND
    REFUSED_S = 300.0
    RETRY_AFTER_S = 300.0
    """The longest ``Retry-After`` that is believed: who asks for an hour would blind us for it."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._attempts: collections.deque[int] = collections.deque(maxlen=self.MOST_PER_MINUTE)
        self._failures = 0
        self._evictions = 0
        self._opened_at: int | None = None

    def attempt(self, now: int) -> None:
        """A connection is attempted."""
        self._attempts.append(now)
        self._opened_at = None

    def opened(self, now: int) -> None:
        """The connection is open and the key accepted."""
        self._opened_at = now

    def data(self, now: int) -> None:
        """Data has come over the connection."""
        if self._opened_at is None:
            return
        lived = now - self._opened_at
        if lived >= self.LIVED_US:
            self._failures = 0
        if lived >= self.SETTLED_US:
            self._evictions = 0

    def delay(self, now: int, cause: FeedCause, retry_after: float | None = None) -> float:
        """Seconds to wait after a connection was lost, or did not come about, for ``cause``."""
        match cause:
            case FeedCause.EVICTED:
                wait = self.EVICTED_S[min(self._evictions, len(self.EVICTED_S) - 1)]
                self._evictions += 1
            case FeedCause.REFUSED:
                wait = self.REFUSED_S
            case _:
                self._failures = min(self._failures + 1, 16)
                longest = min(self.LONGEST_S, self.FIRST_S * 2**self._failures)
                wait = self._rng.uniform(longest / 2, longest)
        wait = max(wait, min(retry_after or 0.0, self.RETRY_AFTER_S))
        if len(self._attempts) == self.MOST_PER_MINUTE:
            wait = max(wait, (self._attempts[0] + self.MINUTE_US - now) / SECOND)
        return wait


# --- The socket --------------------------------------------------------------------------------------

STEP_TIMEOUT_S = 10.0
"""Real seconds for each of: connecting, ``connected``, the answer to the key, acknowledgements."""

PING_TIMEOUT_S = 2.0
"""Real seconds in which a living socket answers a ping."""

CLOSE_TIMEOUT_S = 2.0
"""Real seconds for a proper close: a clean one frees the account's only slot at once."""

HAPPY_EYEBALLS_S = 0.25
"""Real seconds after which the next address of a name is tried beside the first (RFC 8305's value)."""

CONNECTION_FAULTS = (OSError, EOFError, WebSocketException, ValueError, ImportError)
"""What the library, TLS, the resolver or a proxy may raise while a connection is made, used or closed.

A broken TLS record and a timeout are OSErrors; a name or a proxy's address that cannot be encoded or read is a
ValueError; a SOCKS proxy without its library is an ImportError.
"""

ANSWER_JUDGED_BYTES = 64 * 1024
"""How much of a refused handshake's body is looked at."""

FRAME_MAX_BYTES = 1024 * 1024
"""The vendor's own client takes frames up to 1,000,000 bytes."""

HEAVY_FRAME_BYTES = 64 * 1024
"""After a frame that is longer the loop gets its turn: it took a millisecond or more."""

FRAMES_WAITING_MAX = 64
"""Frames the library holds before it stops reading (and no longer sees pongs)."""

UNKNOWN_STATUSES_MAX = 20
"""Different statuses never heard of that are logged."""

ACKNOWLEDGEMENT = re.compile(r"(un)?subscribed to:\s*(.+)", re.IGNORECASE)

_quiet_logger = logging.getLogger("polygon_client.websockets")
# At DEBUG the library writes every frame into the log, the one with the key included.
_quiet_logger.setLevel(logging.WARNING)


class Lost(Exception):
    """A connection is over, or did not come about. The feeds never raise it; a `Socket` does.

    ``advice`` is a sentence for the owner when the vendor refuses; ``is_key`` says whether it refuses the key, and
    ``at_login`` whether it did so at the login. ``is_doubtful``: something refused the handshake that does not look
    like the vendor. ``symbol`` names the one that alone did not come.
    """

    def __init__(
        self,
        cause: FeedCause,
        text: str,
        *,
        advice: str = "",
        is_key: bool = True,
        at_login: bool = False,
        is_doubtful: bool = False,
        symbol: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(text)
        self.cause = cause
        self.text = text
        self.advice = advice or text
        self.is_key = is_key
        self.at_login = at_login
        self.is_doubtful = is_doubtful
        self.symbol = symbol
        self.retry_after = retry_after


@contextlib.contextmanager
def _lost_by_fault(doing: str) -> Iterator[None]:
    """Turn whatever a connection may raise into Lost."""
    try:
        yield
    except CONNECTION_FAULTS as error:
        raise Lost(FeedCause.DROPPED, f"{doing} ({_fault_text(error)})") from None


def _fault_text(error: BaseException) -> str:
    """What a fault is called, without anything that it was given: an address may hold a proxy's password."""
    return printable(getattr(error, "strerror", None) or type(error).__name__)


class _Connect(connect):
    """The library's ``connect``, following no redirect: the next thing sent would be the key."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _is_name(url: str) -> bool:
    """Whether a host is a name, which may have several addresses.

    For a single one asyncio's race is of no use, and Python 3.11 leaves its winner to the garbage collector when the
    attempt is cancelled at that moment.
    """
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return True
    return False


class Socket:
    """One connection to one market: connect, log in, subscribe, receive, ping, close.

    It goes by events, not by frames: what is awaited may come in any frame, beside anything else. Every method
    but `alive` and `close` raises Lost, and nothing else, for what the vendor or the network did.
    """

    def __init__(
        self,
        market: str,
        *,
        ws_url: str,
        api_key: str,
        clock: Clock,
        decoder: FrameDecoder,
        step_s: float,
    ) -> None:
        self.acknowledged: set[str] = set()
        """Pairs such as ``A.IWM`` whose subscription the vendor has confirmed."""
        self.pending: set[str] = set()
        """Pairs that were asked for and not answered."""
        self.unauthorized = 0
        """How often the vendor said ``not authorized``. It never says for what."""
        self.received_at = 0
        """When the newest frame came, µs."""
        self._market = market
        self._url = f"{ws_url.rstrip('/')}/{market}"
        self._api_key = api_key
        self._scrub = scrubber(api_key)
        self._clock = clock
        self._decoder = decoder
        self._step_s = step_s
        self._connection: ClientConnection | None = None
        self._seen: set[str] = set()
        self._unknown: set[str] = set()
        self._is_heavy = False
        self._early: list[Bar | StreamQuote] = []
        self._end: Lost | None = None

    async def open(self) -> None:
        """Connect and log in."""
        self._connection = await self._connect()
        await self._until("connected")
        await self._send("auth", self._api_key)
        await self._until("auth_success")

    async def subscribe(self, pairs: Iterable[str]) -> None:
        """Ask for ``pairs``; the answers come in `receive`."""
        wanted = sorted(pairs)
        self.pending.update(wanted)
        self._decoder.asked.update(pair.partition(".")[2] for pair in wanted)
        await self._send("subscribe", ",".join(wanted))

    async def unsubscribe(self, pairs: Iterable[str]) -> None:
        """Do without ``pairs`` from now on."""
        unwanted = sorted(pairs)
        self.pending.difference_update(unwanted)
        self.acknowledged.difference_update(unwanted)
        await self._send("unsubscribe", ",".join(unwanted))

    async def receive(self) -> list[Bar | StreamQuote]:
        """The data of the next frame; empty when it held only statuses."""
        if self._early:
            early, self._early = self._early, []
            return early
        return await self._receive_frame()

    async def alive(self) -> bool:
        """Whether a ping is answered in time. (That a connection is closed, `receive` says.)"""
        assert self._connection is not None, "open it first"
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                with contextlib.suppress(ConnectionClosed):
                    await (await self._connection.ping())
        except CONNECTION_FAULTS:
            return False
        return True

    async def close(self) -> None:
        """Close with a close frame; a peer that does not answer is left."""
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S + 0.5):
                await self._connection.close()
        except CONNECTION_FAULTS as error:
            # It is over either way; the account's slot is free once the peer sees the connection end.
            log.debug(
                "close_failed", text=f"{self._market.capitalize()}: not closed properly: {_fault_text(error)}"
            )
            self._connection.transport.abort()

    async def _receive_frame(self) -> list[Bar | StreamQuote]:
        if self._end is not None:
            raise self._end
        if self._is_heavy:
            # Frames that wait already are handed out without a turn of the loop between them. Nothing is in hand here.
            await asyncio.sleep(0)
        assert self._connection is not None, "open it first"
        with _lost_by_fault("connection lost"):
            try:
                frame = await self._connection.recv(decode=False)
            except ConnectionClosed as closed:
                raise Lost(FeedCause.DROPPED, self._closed_text(closed)) from None
        self.received_at = now = self._clock.now()
        events = self._decoder.decode(frame, now)
        self._is_heavy = len(frame) > HEAVY_FRAME_BYTES
        data = [event for event in events if isinstance(event, (Bar, StreamQuote))]
        if len(data) < len(events):
            for event in events:
                if isinstance(event, Status):
                    self._take_status(event)
        if self._end is not None and not data:
            raise self._end
        return data

    async def _connect(self) -> ClientConnection:
        secure = urlsplit(self._url).scheme == "wss"
        try:
            return await _Connect(
                self._url,
                ssl=trust() if secure else None,
                # A proxy named by the environment is used, as a machine behind one needs; never for loopback.
                proxy=None if is_loopback(self._url) else True,
                open_timeout=self._step_s,
                close_timeout=CLOSE_TIMEOUT_S,
                # The library would close a connection on which bars flow for want of pongs. Silence is judged here.
                ping_interval=None,
                happy_eyeballs_delay=HAPPY_EYEBALLS_S if _is_name(self._url) else None,
                max_size=FRAME_MAX_BYTES,
                max_queue=FRAMES_WAITING_MAX,
                logger=_quiet_logger,
            )
        except InvalidStatus as error:
            raise self._refused_handshake(error) from None
        except InvalidProxyStatus as error:
            status = error.response.status_code
            raise Lost(
                FeedCause.DROPPED, f"no connection (this machine's proxy answers HTTP {status})"
            ) from None
        except CONNECTION_FAULTS as error:
            fault = certificate_fault(error)
            if fault is None:
                raise Lost(FeedCause.DROPPED, f"no connection ({_fault_text(error)})") from None
            raise Lost(
                FeedCause.REFUSED,
                f"certificate not trusted ({fault})",
                advice=f"The certificate of the {self._market} socket is not trusted ({fault}). Check the spelling of "
                "POLYGON_WS_URL and this machine's date; the key was not sent.",
                is_key=False,
            ) from None

    def _refused_handshake(self, error: InvalidStatus) -> Lost:
        status = error.response.status_code
        text = f"handshake answered with HTTP {status}"
        if status in (HTTP_UNAUTHORIZED, HTTP_FORBIDDEN):
            if not _is_vendors(error.response.body):
                return Lost(
                    FeedCause.REFUSED,
                    f"{text}, not by the vendor",
                    advice=f"Something on the way to the vendor's {self._market} socket refuses the connection (HTTP "
                    f"{status}, not in the vendor's form): a proxy, a firewall or the vendor's front. Check "
                    "POLYGON_WS_URL and this machine's way to it; the key was not sent.",
                    is_key=False,
                    is_doubtful=True,
                )
            return Lost(
                FeedCause.REFUSED,
                text,
                advice=f"The vendor refuses the connection to its {self._market} socket (HTTP {status}). "
                "Check POLYGON_API_KEY, POLYGON_WS_URL and the account's plan.",
            )
        wait = error.response.headers.get("Retry-After") if status in HTTP_WAITS else None
        return Lost(FeedCause.DROPPED, text, retry_after=retry_after_s(wait, self._clock.now()))

    async def _send(self, action: str, params: str) -> None:
        assert self._connection is not None, "open it first"
        message = msgspec.json.encode({"action": action, "params": params}).decode()
        with _lost_by_fault(f"{action} could not be sent"):
            try:
                async with asyncio.timeout(self._step_s):
                    # That the connection is closed, and what the vendor said before, `receive` tells.
                    with contextlib.suppress(ConnectionClosed):
                        await self._connection.send(message)
            except TimeoutError:
                raise Lost(
                    FeedCause.DROPPED, f"{action} could not be sent within {self._step_s:g} s"
                ) from None

    async def _until(self, status: str) -> None:
        try:
            async with asyncio.timeout(self._step_s):
                while status not in self._seen:
                    self._early += await self._receive_frame()
        except TimeoutError:
            raise Lost(FeedCause.DROPPED, f"no {status} within {self._step_s:g} s") from None

    def _take_status(self, event: Status) -> None:
        status, message = event.status or "", beginning(event.message or "", self._scrub, 200)
        match status:
            case "connected" | "auth_success":
                self._seen.add(status)
            case "success":
                self._take_acknowledgement(message)
            case "error" if "not authorized" in message.lower():
                self.unauthorized += 1
            case "auth_failed":
                self._end = self._auth_failed(message)
            case "max_connections":
                self._end = Lost(FeedCause.EVICTED, "max_connections: another copy has taken the connection")
            case "auth_timeout" | "slow_consumer" | "force_disconnect":
                self._end = Lost(FeedCause.DROPPED, f"{status}: {message}")
            case _:
                self._warn_unknown(beginning(status, self._scrub, 40), message)

    def _take_acknowledgement(self, message: str) -> None:
        match = ACKNOWLEDGEMENT.search(message)
        if match is None:
            return
        pairs = {pair.strip() for pair in match[2].split(",")}
        if match[1]:
            self.acknowledged -= pairs
        else:
            self.acknowledged |= pairs & self.pending
            self.pending -= pairs

    def _auth_failed(self, message: str) -> Lost:
        if "plan" in message.lower():
            advice = (
                f"Your plan has no websocket access for {self._market} (the vendor says: {message}). Real-time data "
                "needs Stocks Advanced and, for option quotes, Options Advanced."
            )
        else:
            advice = (
                f"The vendor refuses the API key (it says: {message}). Check POLYGON_API_KEY against the vendor's "
                "dashboard and start again."
            )
        return Lost(FeedCause.REFUSED, f"auth_failed: {message}", advice=advice, at_login=True)

    def _warn_unknown(self, status: str, message: str) -> None:
        if status in self._unknown or len(self._unknown) >= UNKNOWN_STATUSES_MAX:
            return
        self._unknown.add(status)
        log.warning(
            "unknown_status",
            text=f"⚠️ {self._market.capitalize()}: unknown status {status or '(none)'}: {message}",
            market=self._market,
            status=status,
            message=message,
        )

    def _closed_text(self, closed: ConnectionClosed) -> str:
        if closed.rcvd is None:
            return "connection lost without a close frame"
        reason = beginning(closed.rcvd.reason, self._scrub, 80)
        return f"closed by the vendor ({closed.rcvd.code}{' ' if reason else ''}{reason})"


def _is_vendors(body: bytes | bytearray | None) -> bool:
    """Whether the body of a refusal has the vendor's form: a JSON object that says what is wrong."""
    try:
        answer = msgspec.json.decode(bytes(body or b"")[:ANSWER_JUDGED_BYTES], type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return not {"status", "error", "message", "request_id"}.isdisjoint(answer)


# --- What both feeds share ---------------------------------------------------------------------------

REFUSAL_LASTS_US = 300 * SECOND
"""A refusal that does not look like the vendor's counts as one when it lasts this long."""

AWAY_S = 5.0
"""What takes so many seconds of the clock longer than it can was interrupted: the process was stopped, the machine slept."""

WAITING_MAX = 5_000
"""Frames' worth of events that may wait for a feed's reader before the feed is taken for overrun."""


class Outlet(Generic[T]):
    """Where a feed puts its facts: into ``offer`` at once if that takes them, else they wait for the feed's reader.

    The reader takes all that waits at once. Nothing is offered while anything waits, or is still in the reader's
    hands: facts stay in their order.
    """

    def __init__(self, offer: Callable[[Sequence[T]], bool] | None = None) -> None:
        self.batches = 0
        """How many batches have come to wait since the reader last took."""
        self._offer = offer
        self._waiting: list[T] = []
        self._woken = asyncio.Event()
        self._is_read = False
        """Whether the reader waits, with nothing in its hands."""

    def put(self, *items: T) -> None:
        """Hand a batch on."""
        if self._offer is not None and self._is_read and not self.batches and self._offer(items):
            return
        self._waiting += items
        self.batches += 1
        self._woken.set()

    def wake(self) -> None:
        """Make the reader look again."""
        self._woken.set()

    async def take(self) -> list[T]:
        """All that waits, in its order, once something does; nothing after `wake`."""
        self._is_read = True
        try:
            await self._woken.wait()
        finally:
            self._is_read = False
        self._woken.clear()
        taken, self._waiting, self.batches = self._waiting, [], 0
        return taken


async def _iterate(
    outlet: Outlet[T], work: Callable[[], Coroutine[object, object, None]], name: str
) -> AsyncGenerator[list[T], None]:
    """What ``work`` puts into ``outlet``, all that waits at once; ends it when it is closed.

    Raises what ``work`` raises, and RuntimeError when it ends in any other way: a task group takes a cancelled task
    for a finished one, and whoever waits for facts would take a quiet end for a quiet market.
    """
    task = asyncio.create_task(work(), name=name)
    task.add_done_callback(lambda _: outlet.wake())
    try:
        while not task.done() or outlet.batches:
            if items := await outlet.take():
                yield items
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    raise RuntimeError(f"the {name} has ended, and nobody had asked it to")


async def _apart(work: Coroutine[object, object, T]) -> T:
    """The result of ``work``, in a task of its own.

    Python 3.11's task group loses its task's cancellation when a child fails at the same moment, and leaves the
    task's count of cancellations too high. In a task that ends with the group, neither does harm.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
        await asyncio.wait({task})
    return task.result()


class _Feed:
    """Keeps one market connected, at the pace of `Pacing`. What a connection is for is its subclass's business."""

    def __init__(
        self,
        market: str,
        *,
        rest: Rest,
        ws_url: str,
        api_key: str,
        clock: Clock,
        rules: Rules,
        session: Session,
        rng: random.Random,
        step_s: float,
        early: Callable[[int, str, int], None] | None = None,
    ) -> None:
        self.bad = BadInput(f"the {market} socket", clock, scrubber(api_key))
        self._market = market
        self._rest = rest
        self._ws_url = ws_url
        self._api_key = api_key
        self._clock = clock
        self._rules = rules
        self._session = session
        self._step_s = step_s
        self._decoder = FrameDecoder(self.bad, ahead_us(rules), early)
        self._pacing = Pacing(rng)
        self._forced: asyncio.Future[FeedCause] | None = None
        self._data_at = 0
        """When data last came that was new, µs: a repeat is no sign of life."""
        self._pings_tell = True
        """Whether an unanswered ping says anything: not where data went on coming while one was unanswered."""
        self._logged_in = False
        """Whether the vendor has taken the key at a login."""
        self._doubted_since: int | None = None
        """Since when every handshake was refused by something that does not look like the vendor, µs."""
        self._acknowledged_at = 0
        """When the subscriptions were last acknowledged, µs."""
        self._woke_at = 0
        """When the program last went on after it had not run, or its clock had stepped forward, µs."""

    async def _nap(self, seconds: float) -> None:
        """Sleep for so long by the clock, and note when it was much longer: see `_was_away`."""
        asked_at = self._clock.now()
        await self._clock.sleep(seconds)
        self._was_away(asked_at, seconds)

    def _was_away(self, since: int, at_most: float) -> bool:
        """Whether what began at ``since`` (µs) and takes ``at_most`` seconds of the clock took so much longer that the
        program did not run meanwhile, or its clock stepped forward.

        What has come in that time may still lie unread: from now on silence is counted anew.
        """
        now = self._clock.now()
        if now - since < (at_most + AWAY_S) * SECOND:
            return False
        self._woke_at = now
        return True

    async def _serve(self, socket: Socket) -> None:
        """Use an open connection until it is lost. Raises Lost, maybe in a group."""
        raise NotImplementedError

    def _lose(self, lost: Lost, delay: float) -> None:
        """A connection is over, or did not come about; the next attempt is ``delay`` seconds away."""
        raise NotImplementedError

    async def _stay_connected(self) -> None:
        while True:
            self._pacing.attempt(self._clock.now())
            delay = await _apart(self._connect_once())
            await self._clock.sleep(delay)

    async def _connect_once(self) -> float:
        """One connection from its beginning to its end. Returns how long to wait before the next, s."""
        socket = Socket(
            self._market,
            ws_url=self._ws_url,
            api_key=self._api_key,
            clock=self._clock,
            decoder=self._decoder,
            step_s=self._step_s,
        )
        ended: list[Lost] = []
        try:
            try:
                await socket.open()
                self._logged_in = True
                self._pacing.opened(self._clock.now())
                self._forced = asyncio.get_running_loop().create_future()
                await self._serve(socket)
            except* Lost as group:
                ended.extend(_leaves(group))
            lost = ended[0]
            self._judge_refusal(lost)
            delay = self._pacing.delay(self._clock.now(), lost.cause, lost.retry_after)
            self._lose(lost, delay)
            return delay
        finally:
            self._forced = None
            await socket.close()

    def _judge_refusal(self, lost: Lost) -> None:
        """Take a refusal by a stranger for a lost connection, until it has lasted."""
        now = self._clock.now()
        if not lost.is_doubtful:
            self._doubted_since = None
            return
        if self._doubted_since is None:
            self._doubted_since = now
        if now - self._doubted_since < REFUSAL_LASTS_US:
            lost.cause = FeedCause.DROPPED

    async def _is_alive(self, socket: Socket) -> bool:
        """Whether nothing says that the connection is dead.

        Where data goes on coming while a ping is unanswered, this server does not answer pings: from then on only
        silence and REST judge it, until a ping is answered again.
        """
        data_at, asked_at = self._data_at, self._clock.now()
        is_answered = await socket.alive()
        if self._was_away(asked_at, PING_TIMEOUT_S * self._clock.speed):
            return True  # the answer may lie unread
        if is_answered:
            self._pings_tell = True
        elif self._data_at != data_at:
            self._pings_tell = False
        else:
            return not self._pings_tell
        return True

    async def _await_reopening(self) -> None:
        """End the connection when somebody asks for it."""
        assert self._forced is not None, "there is a connection"
        cause = await self._forced
        raise Lost(cause, f"reopened: {cause}")

    def reopen(self, cause: FeedCause) -> None:
        """Give the connection up for ``cause`` and open another. Without a connection, nothing happens."""
        if self._forced is not None and not self._forced.done():
            self._forced.set_result(cause)

    def _in_session(self, now: int) -> bool:
        return self._session.open <= now < self._session.close

    def _quiet_since(self) -> int:
        """Since when nothing new has come that should have, µs."""
        return max(self._data_at, self._session.open, self._acknowledged_at, self._woke_at)


def _leaves(group: BaseExceptionGroup[Lost]) -> list[Lost]:
    found: list[Lost] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found


# --- The stocks feed ---------------------------------------------------------------------------------

STALL_CHECK_S = 5.0
"""How often a silent feed is checked, by the clock."""

SYMBOL_PROOF_SECONDS = 2
"""Newer seconds at REST that confirm the stall of one symbol: a single one may be a late report that no socket prints."""

SYMBOL_REOPEN_S = (60.0, 120.0, 300.0)
"""Waits, by the clock, before the socket is reopened again for a symbol that a new connection did not bring back."""

LAG_CHECK_S = 1.0
"""How often it is asked whether bars come late, by the clock."""

PUT_MAX = 500
"""Facts that are handed on in one turn of the loop: a day's bars at once would hold it for a second."""

STALL_QUESTION_REAL_S = LIST_DEADLINES * EXCHANGE_DEADLINE_S
"""Real time that REST has for a question about withheld bars, all pages together."""

TRANSIT_REAL_S = 0.25
"""Real time that a bar may need from the vendor to us."""

BACKFILL_MARGIN_US = 120 * SECOND
"""How far before a gap its filling begins, for bars that were corrected meanwhile."""

BACKFILL_AGAIN_S = 5.0
"""How long after the first answer REST is asked for the same again: it lags."""

BACKFILL_LONG_US = 300 * SECOND
"""A longer gap's filling is told in the log."""

BACKFILL_SHORT_S = (5.0, 10.0, 30.0)
"""Waits, by the clock, between questions while REST has not got to the gap's end; the last one stays."""

REST_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits between attempts at something that must be fetched, by the clock; the last one stays."""


class StocksFeed(_Feed):
    """The bars of ``rules.symbols``, and whether they come. One connection; `events` is iterated once.

    ``position_open`` says whether a position is at stake; ``backfill_from`` (µs) is where the session's bars begin
    to be missing at the start (None: at its open). ``key_has_worked`` says whether the vendor has taken this key
    earlier in this process: then a refusal is no reason to end. ``step_s`` is real seconds for each step of connecting.
    ``offer`` is asked first to take facts, whole batches: those that it takes do not come out of `events`, and are
    where they are needed a turn of the loop earlier. ``early`` is told of bars from ahead of our clock, as `FrameDecoder` does.
    """

    def __init__(
        self,
        *,
        rest: Rest,
        ws_url: str,
        api_key: str,
        clock: Clock,
        rules: Rules,
        session: Session,
        rng: random.Random,
        position_open: Callable[[], bool],
        backfill_from: int | None = None,
        key_has_worked: bool = False,
        offer: Callable[[Sequence[StocksEvent]], bool] | None = None,
        step_s: float = STEP_TIMEOUT_S,
        early: Callable[[int, str, int], None] | None = None,
    ) -> None:
        self.key_has_worked = key_has_worked
        """Whether the vendor has taken this key, in this connection or before."""
        super().__init__(
            "stocks",
            rest=rest,
            ws_url=ws_url,
            api_key=api_key,
            clock=clock,
            rules=rules,
            session=session,
            rng=rng,
            step_s=step_s,
            early=self._learn_early,
        )
        self._tell_early = early
        self._early_newest: dict[str, int] = {}
        """Start of each symbol's newest second that was left out for coming early, µs."""
        self._early_at = dict.fromkeys(rules.symbols, 0)
        """When such a second last came that was newer than any before, µs."""
        self._position_open = position_open
        self._outlet: Outlet[StocksEvent] = Outlet(offer)
        self._tasks: asyncio.TaskGroup | None = None
        self._backfill: asyncio.Task[None] | None = None
        beginning = max(session.open, backfill_from or 0)
        self._missing_from = dict.fromkeys(rules.symbols, beginning)
        """Where each symbol's unfilled gap begins, µs; absent where nothing is missing."""
        self._newest: dict[str, int] = {}
        self._progress_at = dict.fromkeys(rules.symbols, 0)
        """When each symbol last had a second newer than any before, µs."""
        self._symbol_reopened: dict[str, tuple[int, int]] = {}
        """How often, and when last (µs), the socket was reopened for a symbol that has not come since."""
        self._lags, self._own_lags = Lags(rules), Lags(rules)
        self._late_since: int | None = None
        self._lag_told = False
        """Whether the socket was reopened for the lag that lasts."""
        self._is_up = False
        self._down_cause: FeedCause | None = None
        self._is_held = False
        self._silence_told = False

    def events(self) -> AsyncGenerator[list[StocksEvent], None]:
        """The feed's facts, for ever, all that wait at once. Raises VendorRefused. Closing it closes the socket."""
        return _iterate(self._outlet, self._run, "stocks feed")

    async def _run(self) -> None:
        refusals: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._stay_connected()
        except* VendorRefused as group:
            refusals.extend(group.exceptions)
        if refusals:
            raise refusals[0]

    # One connection

    async def _serve(self, socket: Socket) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(socket))
            group.create_task(self._judge_at_deadline(socket))
            group.create_task(self._watch_for_stall(socket))
            group.create_task(self._watch_for_silence())
            group.create_task(self._watch_symbols())
            group.create_task(self._watch_for_lag())
            group.create_task(self._await_reopening())

    async def _read(self, socket: Socket) -> None:
        await socket.subscribe(f"A.{symbol}" for symbol in self._rules.symbols)
        flowing: set[str] = set()
        while True:
            bars = [event for event in await socket.receive() if isinstance(event, Bar)]
            if not self._is_up:
                flowing.update(f"A.{bar.symbol}" for bar in bars)
                self._judge_answers(socket, flowing)
            if bars:
                self._take(bars, socket.received_at)

    def _judge_answers(self, socket: Socket, flowing: set[str]) -> None:
        """Go up when every pair is acknowledged or delivers; a refusal is judged once every pair is answered."""
        socket.acknowledged |= flowing
        socket.pending -= flowing
        if not socket.pending:
            self._go_up(socket)
        elif socket.unauthorized >= len(socket.pending):
            self._judge_missing(socket)

    async def _judge_at_deadline(self, socket: Socket) -> None:
        await asyncio.sleep(self._step_s)
        if not self._is_up:
            self._judge_missing(socket)

    def _judge_missing(self, socket: Socket) -> None:
        """Some pair was not acknowledged and does not deliver either. Raises Lost if it is the traded symbol's."""
        traded = f"A.{self._rules.symbol}"
        if traded not in socket.pending:
            self._go_up(socket)
            return
        if not socket.unauthorized:
            raise Lost(FeedCause.DROPPED, f"{traded} was not acknowledged within {self._step_s:g} s")
        raise Lost(
            FeedCause.REFUSED,
            f"not authorized for {traded}",
            advice=f"Your plan does not include one-second bars of {self._rules.symbol} in real time (the vendor says: "
            "not authorized). Stocks Advanced does.",
        )

    def _go_up(self, socket: Socket) -> None:
        now = self._clock.now()
        self._is_up = self.key_has_worked = True
        self._down_cause = None
        self._acknowledged_at = now
        # What the connection before delivered late says nothing of this one.
        self._lags.clear()
        self._own_lags.clear()
        self._late_since = None
        have, want = len(socket.acknowledged), len(self._rules.symbols)
        log.info(
            "stocks_connected",
            text=f"🔌 Connected: stocks, {have} of {want} subscribed",
            subscribed=have,
            wanted=want,
        )
        if have < want:
            missing = ", ".join(sorted(socket.pending))
            log.warning(
                "subscription_missing",
                text=f"⚠️ Stocks: {missing} not acknowledged; going on without",
                pairs=missing,
            )
        self._outlet.put(FeedRestored())
        if self._is_held:
            self._is_held = False
            self._outlet.put(Hold(reason=HoldReason.KEY_REFUSED, on=False))
        self._start_backfill(now)

    def _take(self, bars: Sequence[Bar], now: int) -> None:
        if self._outlet.batches >= WAITING_MAX:
            # Whoever reads us has fallen far behind. What is dropped here, the backfill brings back.
            self.reopen(FeedCause.OVERFLOW)
            return
        returned = False
        for bar in bars:
            if bar.start > self._newest.get(bar.symbol, 0):
                returned |= self._progress(bar, now)
        self._outlet.put(*bars)
        if returned:
            self._start_backfill(now)

    def _progress(self, bar: Bar, now: int) -> bool:
        """A second newer than any before of its symbol.

        Returns whether that was silent for so long that some may be missing, which are to be filled from REST.
        """
        symbol = bar.symbol
        was_silent = self._is_up and self._in_session(now) and self._is_silent(symbol, now)
        if was_silent:
            self._miss(symbol)
        self._data_at = self._progress_at[symbol] = now
        self._newest[symbol] = bar.start
        self._silence_told = False
        self._symbol_reopened.pop(symbol, None)
        self._pacing.data(now)
        lag = max(0, now - bar.end)
        self._lags.add(lag)
        if symbol == self._rules.symbol:
            self._own_lags.add(lag)
        return was_silent

    def _learn_early(self, now: int, symbol: str, start: int) -> None:
        """A bar was left out for ending too far ahead of our clock: the connection lives, and no other would help."""
        if start > self._early_newest.get(symbol, 0):
            self._early_newest[symbol] = start
            self._early_at[symbol] = now
        if self._tell_early is not None:
            self._tell_early(now, symbol, start)

    def _quiet_since(self) -> int:
        return max(super()._quiet_since(), *self._early_at.values())

    def _lose(self, lost: Lost, delay: float) -> None:
        was_up, self._is_up = self._is_up, False
        cause = lost.cause
        if cause is FeedCause.DROPPED and not was_up:
            cause = FeedCause.NOT_CONNECTED
        has_worked = self.key_has_worked or (lost.at_login and self._logged_in)
        if cause is FeedCause.REFUSED and not has_worked and not self._position_open():
            raise VendorRefused(lost.advice)
        if was_up:
            self._note_gap()
        log.warning(
            "stocks_lost",
            text=f"🔌 Disconnected: stocks, {lost.text}; next attempt in {delay:.0f} s",
            cause=cause,
            reason=lost.text,
            delay_s=round(delay, 1),
        )
        is_news = cause in (FeedCause.EVICTED, FeedCause.REFUSED) and cause is not self._down_cause
        if was_up or self._down_cause is None or is_news:
            self._down_cause = cause
            self._outlet.put(FeedLost(cause=cause, symbol=lost.symbol))
        if cause is FeedCause.REFUSED and lost.is_key and not self._is_held:
            self._is_held = True
            self._outlet.put(Hold(reason=HoldReason.KEY_REFUSED, on=True))

    # Silence

    async def _watch_for_stall(self, socket: Socket) -> None:
        """Ask whether silence is a stall: every few seconds once it has lasted ``stall_seconds``. Raises Lost."""
        await self._is_alive(socket)  # while bars flow, to learn whether pings are answered at all
        while True:
            wait = self._until_quiet_for(self._rules.stall_seconds)
            if wait > 0:
                await self._nap(wait)
                continue
            proof = await self._proof_of_stall(socket)
            if proof is not None:
                raise Lost(FeedCause.STALL, proof)
            await self._nap(STALL_CHECK_S)

    async def _watch_for_silence(self) -> None:
        """Reopen once for silence that nothing explains; not again until a bar has come: it may be a halt."""
        while True:
            wait = self._until_quiet_for(self._rules.silence_alarm_seconds)
            if wait > 0:
                await self._nap(wait)
            elif self._silence_told:
                await self._nap(1.0)
            else:
                self._silence_told = True
                raise Lost(FeedCause.SILENCE, f"no bar for {self._rules.silence_alarm_seconds} s")

    def _until_quiet_for(self, seconds: float) -> float:
        """Seconds until silence has lasted that long; 0 when it has. Outside the session silence means nothing."""
        now = self._clock.now()
        if not self._is_up or not self._in_session(now):
            return 1.0
        return max(0.0, seconds - (now - self._quiet_since()) / SECOND)

    async def _proof_of_stall(self, socket: Socket) -> str | None:
        """Why this silence is the connection's fault; None when it may be the market's, or is over."""
        quiet_since = self._quiet_since()
        is_alive = await self._is_alive(socket)
        if self._quiet_since() != quiet_since:
            return None
        if not is_alive:
            return f"stalled: a ping was not answered within {PING_TIMEOUT_S:g} s"
        newest = max(self._newest.values(), default=0)
        for symbol in self._rules.symbols:
            count = await self._bars_withheld(symbol, newest)
            if self._quiet_since() != quiet_since:
                return None
            if count:
                return f"stalled: REST has {count} newer bars of {symbol}"
        return None

    # One symbol's silence, and lag

    def _is_silent(self, symbol: str, now: int) -> bool:
        """Whether a symbol has not progressed for `SYMBOL_SILENCE_SECONDS` of the session on this connection."""
        since = max(self._progress_at[symbol], self._session.open, self._acknowledged_at)
        return now - since >= self._rules.symbol_silence_seconds * SECOND

    def _is_missed(self, symbol: str, now: int) -> bool:
        """Whether a symbol was silent for so long while the program was there to hear it."""
        heard_at = max(self._woke_at, self._early_at[symbol])
        is_unheard = now - heard_at >= self._rules.symbol_silence_seconds * SECOND
        return is_unheard and self._is_silent(symbol, now)

    async def _watch_symbols(self) -> None:
        """Ask REST about a symbol that is silent while the other goes on. Raises Lost when REST has newer seconds."""
        while True:
            await self._nap(1.0)
            asked = False
            for symbol in self._rules.symbols:
                if self._must_ask_about(symbol):
                    asked = True
                    await self._ask_about(symbol)
            if asked:
                await self._nap(STALL_CHECK_S - 1.0)

    def _must_ask_about(self, symbol: str) -> bool:
        now = self._clock.now()
        if not self._is_up or not self._in_session(now) or not self._is_missed(symbol, now):
            return False
        if self._until_quiet_for(self._rules.stall_seconds) == 0:
            return False  # a silence of all is the other watchers'
        if symbol not in self._symbol_reopened:
            return True
        times, at = self._symbol_reopened[symbol]
        wait = SYMBOL_REOPEN_S[min(times, len(SYMBOL_REOPEN_S)) - 1]
        return now - at >= wait * SECOND

    async def _ask_about(self, symbol: str) -> None:
        progress_at = self._progress_at[symbol]
        count = await self._bars_withheld(symbol, self._newest.get(symbol, 0))
        if count >= SYMBOL_PROOF_SECONDS and self._progress_at[symbol] == progress_at:
            times, _ = self._symbol_reopened.get(symbol, (0, 0))
            self._symbol_reopened[symbol] = times + 1, self._clock.now()
            raise Lost(FeedCause.STALL, f"{symbol} stalled: REST has {count} newer bars of it", symbol=symbol)

    async def _watch_for_lag(self) -> None:
        """Reopen once for lag that lasts: a new connection often cures it. Not again before bars came in time."""
        while True:
            await self._nap(LAG_CHECK_S)
            now = self._clock.now()
            if not (self._lags.is_late or self._own_lags.is_late):
                self._late_since = None
                if self._lags.is_full and self._own_lags.is_full:
                    self._lag_told = False
            elif self._late_since is None or self._late_since < self._woke_at:
                self._late_since = (
                    now  # what lay unread while the program stood is late by no fault of the feed
                )
            elif (
                self._in_session(now)
                and not self._lag_told
                and now - self._late_since >= self._rules.lag_reopen_seconds * SECOND
            ):
                self._lag_told = True
                raise Lost(FeedCause.LAG, f"bars late for {self._rules.lag_reopen_seconds} s")

    async def _bars_withheld(self, symbol: str, newest: int) -> int:
        """How many seconds after ``newest`` (µs) REST knows that the socket should have sent by now.

        If REST fails: none is known.
        """
        asked_at = self._clock.now()
        transit = SECOND + int(TRANSIT_REAL_S * self._clock.speed * SECOND)
        first = max(newest + SECOND, self._acknowledged_at, self._session.open)
        last = asked_at - VENDOR_HOLD_US - transit
        if first >= last:
            return 0
        try:
            bars = await self._rest.second_bars(symbol, first, last)
        except RestError as error:
            log.debug("stall_check_failed", text=f"Stall check without REST: {error}", reason=str(error))
            return 0
        if self._was_away(asked_at, STALL_QUESTION_REAL_S * self._clock.speed):
            return 0  # they may lie unread
        return sum(bar.end <= last for bar in bars)

    # Backfill

    def _note_gap(self) -> None:
        """Bars may be missing from here on: note where, and drop a filling that now ends too early."""
        if self._backfill is not None:
            self._backfill.cancel()
        for symbol in self._rules.symbols:
            self._miss(symbol)

    def _miss(self, symbol: str) -> None:
        """A symbol's bars may be missing from its newest one on, or from this connection's beginning."""
        known = self._newest.get(symbol, self._acknowledged_at) + SECOND - BACKFILL_MARGIN_US
        self._missing_from.setdefault(symbol, max(self._session.open, known))

    def _start_backfill(self, now: int) -> None:
        """Fill what is missing up to now; bars that start later come over the socket."""
        end = min(now, self._session.close)
        self._missing_from = {symbol: start for symbol, start in self._missing_from.items() if start < end}
        assert self._tasks is not None, "the feed runs"
        if self._backfill is not None:
            self._backfill.cancel()
        if self._missing_from:
            self._backfill = self._tasks.create_task(self._fill(dict(self._missing_from), end))

    async def _fill(self, gaps: dict[str, int], until: int) -> None:
        """Hand on each symbol's seconds from its gap's start on, until REST has answered twice up to ``until``.

        What an answer proves ends at its newest second, of whichever symbol: a symbol that did not trade has no
        second of its own there, and another's newer one shows that REST has got so far.
        """
        proof = _Proof()
        async with asyncio.TaskGroup() as group:
            for symbol, start in gaps.items():
                group.create_task(self._fill_symbol(symbol, start, until, proof))

    async def _fill_symbol(self, symbol: str, start: int, until: int, proof: _Proof) -> None:
        known: dict[int, Bar] = {}
        span = self._clock.now() - start
        if span >= BACKFILL_LONG_US:
            log.info(
                "backfill",
                text=f"⏳ Backfill {symbol}: {span // SECOND:,} seconds from {clock_text(start)}",
                symbol=symbol,
                seconds=span // SECOND,
            )
        await self._fill_once(symbol, start, known, proof)
        covered, wait, short = start, BACKFILL_AGAIN_S, 0
        while covered < until:
            await self._clock.sleep(wait)
            first = max(start, covered - BACKFILL_MARGIN_US)
            end = await self._fill_once(symbol, first, known, proof)
            if end > covered:
                covered = end
                self._outlet.put(Covered(symbol=symbol, start=start, end=end))
                self._missing_from[symbol] = max(start, covered - BACKFILL_MARGIN_US)
            wait = BACKFILL_SHORT_S[min(short, len(BACKFILL_SHORT_S) - 1)]
            short += 1
            if covered < until and short == len(BACKFILL_SHORT_S):
                log.warning(
                    "backfill_short",
                    text=f"⏳ Backfill {symbol}: REST has got to {clock_text(covered)} only, "
                    f"asked again until it has got to {clock_text(until)}",
                    symbol=symbol,
                )
        del self._missing_from[symbol]
        if span >= BACKFILL_LONG_US:
            log.info(
                "backfilled",
                text=f"⏳ Backfill {symbol}: done, {len(known):,} bars",
                symbol=symbol,
                bars=len(known),
            )

    async def _fill_once(self, symbol: str, start: int, known: dict[int, Bar], proof: _Proof) -> int:
        """Hand on what REST has and ``known`` has not, until it has answered once.

        Returns where what the answer proves ends, µs: ``start`` when it proves nothing.
        """
        attempt, told = 0, ""
        while True:
            asked_at = self._clock.now()
            end = min(asked_at, self._session.close)
            try:
                bars = await self._rest.second_bars(symbol, start, end)
            except RestError as error:
                wait = max(REST_RETRY_S[min(attempt, len(REST_RETRY_S) - 1)], error.retry_after or 0.0)
                attempt += 1
                if str(error) != told:
                    told = str(error)
                    log.warning(
                        "backfill_failed",
                        text=f"⚠️ Backfill {symbol} failed, tried again until it succeeds: {error}",
                        symbol=symbol,
                        reason=told,
                    )
                await self._clock.sleep(wait)
                continue
            # The newest seconds are left to the socket, which prints them first: only a live print is evaluated.
            fresh = [
                bar for bar in bars if bar.end + VENDOR_HOLD_US <= asked_at and known.get(bar.start) != bar
            ]
            known.update((bar.start, bar) for bar in fresh)
            for begin in range(0, len(fresh), PUT_MAX):
                self._outlet.put(*fresh[begin : begin + PUT_MAX])
                await asyncio.sleep(0)
            proof.learn(asked_at, max((bar.end for bar in bars), default=0))
            return max(start, min(end, proof.reaches(asked_at)))


class _Proof:
    """How far REST has got, from the newest seconds of its answers, whichever symbol they are of."""

    def __init__(self) -> None:
        self._answers: list[tuple[int, int]] = []

    def learn(self, asked_at: int, end: int) -> None:
        """An answer to a question at ``asked_at`` whose newest second ends at ``end`` (µs; 0: it held none)."""
        self._answers.append((asked_at, end))

    def reaches(self, asked_at: int) -> int:
        """Up to where an answer to a question at ``asked_at`` is complete, µs.

        What an earlier question saw, a later one must have seen; a later one proves nothing about it.
        """
        return max((end for at, end in self._answers if at <= asked_at + TOGETHER_US), default=0)


TOGETHER_US = SECOND // 2
"""Questions this close together are one: REST gets on by whole seconds."""

StocksEvent = Bar | FeedLost | FeedRestored | Covered | Hold


# --- The options feed --------------------------------------------------------------------------------

HAND_ON_S = 0.25
"""How often the held contract's newest quote is handed on, by the clock."""

HAND_ON_ALL_EVERY = 4
"""Every how many of those the other contracts' are."""

BATCHES_WAITING_MAX = 20
"""Batches or polls that may wait for their reader; beyond, quotes are merged, and the chain is not polled."""

CONSULT_S = 1.0
"""How often it is asked which contracts are wanted, by the clock."""

QUOTES_REOPEN_S = 60.0
"""Silence of near-the-money quotes, which change several times a second, after which the socket is reopened once."""


class Wanted(msgspec.Struct, frozen=True):
    """Which contracts' quotes are wanted: those to stream, and the held one (streamed as well), if any."""

    contracts: frozenset[str] = frozenset()
    held: str | None = None

    @property
    def pairs(self) -> frozenset[str]:
        """What to subscribe to."""
        held = () if self.held is None else (self.held,)
        return frozenset(f"Q.{contract}" for contract in self.contracts.union(held))


class OptionsFeed(_Feed):
    """The newest quotes of the wanted contracts, at a bearable pace; polls of the held one where the stream is silent.

    Trouble here never ends the program and is no loss of the feed: ``streaming`` turns false, the chain is polled
    faster instead, and the log says so once.
    """

    def __init__(
        self,
        *,
        rest: Rest,
        ws_url: str,
        api_key: str,
        clock: Clock,
        rules: Rules,
        session: Session,
        rng: random.Random,
        wanted: Callable[[], Wanted],
        step_s: float = STEP_TIMEOUT_S,
    ) -> None:
        super().__init__(
            "options",
            rest=rest,
            ws_url=ws_url,
            api_key=api_key,
            clock=clock,
            rules=rules,
            session=session,
            rng=rng,
            step_s=step_s,
        )
        self._ask_wanted = wanted
        self._wanted = Wanted()
        self._outlet: Outlet[Quote] = Outlet()
        self._newest: dict[str, StreamQuote] = {}
        self._fresh: set[str] = set()
        self._handed_at: dict[str, int] = {}
        self._is_up = False
        self._silence_told = False
        self._lost_text = "not connected yet"
        self._lost_told = ""

    @property
    def streaming(self) -> bool:
        """Whether quotes come over the socket: connected, acknowledged and, in the session, not silent."""
        now = self._clock.now()
        if not self._is_up or not self._in_session(now):
            return self._is_up
        since = max(self._data_at, self._session.open, self._woke_at)
        return now - since < self._rules.stream_silence_seconds * SECOND

    def events(self) -> AsyncGenerator[list[Quote], None]:
        """The quotes, for ever, all that wait at once. Closing it closes the socket."""
        return _iterate(self._outlet, self._run, "options feed")

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._consult())
            group.create_task(self._stay_connected())
            group.create_task(self._hand_on())
            group.create_task(self._confirm_held())
            group.create_task(self._tell())

    async def _consult(self) -> None:
        """Learn what is wanted, and forget what is not."""
        while True:
            self._wanted = wanted = self._ask_wanted()
            kept = wanted.contracts | {wanted.held}
            for contract in [contract for contract in self._newest if contract not in kept]:
                del self._newest[contract]
                self._fresh.discard(contract)
            self._handed_at = {c: at for c, at in self._handed_at.items() if c == wanted.held}
            if wanted.held is not None:
                self._handed_at.setdefault(wanted.held, self._clock.now())
            await self._clock.sleep(CONSULT_S)

    # One connection

    async def _serve(self, socket: Socket) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(socket))
            group.create_task(self._follow(socket))
            group.create_task(self._watch(socket))
            group.create_task(self._await_reopening())

    async def _read(self, socket: Socket) -> None:
        while True:
            for event in await socket.receive():
                if isinstance(event, StreamQuote):
                    self._take(event)
            if not self._is_up and socket.acknowledged and not socket.pending:
                self._go_up(socket)

    def _take(self, event: StreamQuote) -> None:
        contract = event.quote.contract
        known = self._newest.get(contract)
        if known is not None and (event.quote.at, event.sequence) <= (known.quote.at, known.sequence):
            return  # said before: neither news nor a sign of life
        now = self._clock.now()
        self._data_at = now
        self._silence_told = False
        self._pacing.data(now)
        self._newest[contract] = event
        self._fresh.add(contract)

    async def _follow(self, socket: Socket) -> None:
        """Subscribe to what is wanted and drop what is not, and judge what stays unanswered. Raises Lost."""
        asked: set[str] = set()
        loop = asyncio.get_running_loop()
        deadline = math.inf
        while True:
            new, old = self._wanted.pairs - asked, asked - self._wanted.pairs
            if old:
                await socket.unsubscribe(old)
            if new:
                await socket.subscribe(new)
                deadline = loop.time() + self._step_s
            asked = set(self._wanted.pairs)
            is_refused = socket.unauthorized > 0 and not socket.acknowledged
            if socket.pending and (is_refused or loop.time() >= deadline):
                self._judge_missing(socket)
            await self._clock.sleep(CONSULT_S)

    def _judge_missing(self, socket: Socket) -> None:
        """Some contract was not acknowledged. Raises Lost when nothing was, or when it is the held one."""
        flowing = {f"Q.{contract}" for contract in self._newest}
        socket.acknowledged |= socket.pending & flowing
        socket.pending -= flowing
        if not socket.acknowledged and socket.unauthorized:
            raise Lost(FeedCause.REFUSED, "not authorized: the plan does not include option quotes")
        if not socket.acknowledged or f"Q.{self._wanted.held}" in socket.pending:
            raise Lost(FeedCause.DROPPED, f"quotes were not acknowledged within {self._step_s:g} s")
        if socket.pending:
            missing = ", ".join(sorted(socket.pending))
            log.warning(
                "subscription_missing",
                text=f"⚠️ Options: {missing} not acknowledged; going on without",
                pairs=missing,
            )
            socket.pending.clear()
        if not self._is_up:
            self._go_up(socket)

    def _go_up(self, socket: Socket) -> None:
        self._is_up = True
        self._lost_told = ""
        self._acknowledged_at = self._clock.now()
        have, want = len(socket.acknowledged), len(self._wanted.pairs)
        log.info(
            "options_connected",
            text=f"🔌 Connected: options, {have} of {want} subscribed",
            subscribed=have,
            wanted=want,
        )

    async def _watch(self, socket: Socket) -> None:
        """A socket that is dead, or silent for long, is reopened; for silence once, until a quote has come."""
        await self._is_alive(socket)  # while quotes flow, to learn whether pings are answered at all
        while True:
            await self._nap(STALL_CHECK_S)
            now = self._clock.now()
            quiet_since = self._quiet_since()
            quiet = (now - quiet_since) / SECOND
            if not self._is_up or not self._in_session(now) or quiet < self._rules.stream_silence_seconds:
                continue
            if not await self._is_alive(socket) and self._quiet_since() == quiet_since:
                raise Lost(FeedCause.DROPPED, f"a ping was not answered within {PING_TIMEOUT_S:g} s")
            if quiet >= QUOTES_REOPEN_S and not self._silence_told and self._quiet_since() == quiet_since:
                self._silence_told = True
                raise Lost(FeedCause.DROPPED, f"no quote for {quiet:.0f} s")

    def _lose(self, lost: Lost, delay: float) -> None:
        self._is_up = False
        self._lost_text = lost.text
        # A refusal is repeated every few minutes all day: once is enough.
        if lost.cause is FeedCause.REFUSED and lost.text == self._lost_told:
            return
        self._lost_told = lost.text
        log.warning(
            "options_lost",
            text=f"🔌 Disconnected: options, {lost.text}; next attempt in {delay:.0f} s",
            cause=lost.cause,
            reason=lost.text,
            delay_s=round(delay, 1),
        )

    # What is handed on

    async def _hand_on(self) -> None:
        beat = 0
        while True:
            await self._clock.sleep(HAND_ON_S)
            beat += 1
            due = self._fresh if beat % HAND_ON_ALL_EVERY == 0 else self._fresh & {self._wanted.held}
            if not due or self._outlet.batches >= BATCHES_WAITING_MAX:
                continue
            quotes = [self._newest[contract].quote for contract in sorted(due)]
            self._fresh -= due
            now = self._clock.now()
            if self._wanted.held in due:
                self._handed_at[self._wanted.held] = now
            self._outlet.put(*quotes)

    async def _confirm_held(self) -> None:
        """Ask REST for the held contract's quote when none was handed on for a while, and go on while none comes."""
        told = ""
        while True:
            await self._clock.sleep(CONSULT_S)
            held = self._wanted.held
            handed_at = self._handed_at.get(held or "")
            if held is None or handed_at is None:
                continue
            now = self._clock.now()
            limit = self._rules.quote_confirm_seconds if self.streaming else 0
            if not self._in_session(now) or now - handed_at < limit * SECOND:
                continue
            error = await self._confirm(held)
            if error is not None and str(error) != told:
                log.warning(
                    "confirm_failed",
                    text=f"⚠️ {held}: its quote could not be confirmed: {error}",
                    contract=held,
                    reason=str(error),
                )
            told = str(error) if error is not None else ""
            pace = (
                self._rules.chain_poll_seconds if self.streaming else self._rules.chain_fallback_poll_seconds
            )
            wait = max(pace, (error.retry_after or 0.0) if error is not None else 0.0)
            await self._clock.sleep(max(0.0, wait - CONSULT_S))

    async def _confirm(self, held: str) -> RestError | None:
        try:
            quote = await self._rest.contract(self._rules.symbol, held)
        except RestError as error:
            return error
        self._outlet.put(quote)
        return None

    async def _tell(self) -> None:
        """Say once that the chain is polled instead, and once that the quotes are back."""
        is_told = False
        fine_at = self._clock.now()
        while True:
            await self._nap(CONSULT_S)
            now = self._clock.now()
            if not self._in_session(now) or not self._wanted.pairs:
                fine_at = now
                continue
            if self.streaming:
                fine_at = now
                if is_told:
                    is_told = False
                    log.info(
                        "quotes_streaming",
                        text=f"✓ Option quotes stream again: chain polled every {self._rules.chain_poll_seconds:g} s",
                    )
                continue
            # A connection that is just being made, or made again, is not worth a line.
            since = self._quiet_since() if self._is_up else fine_at
            if not is_told and now - since > self._rules.stream_silence_seconds * SECOND:
                is_told = True
                why = "silent" if self._is_up else self._lost_text
                log.warning(
                    "quotes_polled",
                    text=f"⚠️ Option quotes do not stream ({why}): chain polled every "
                    f"{self._rules.chain_fallback_poll_seconds:g} s instead",
                    reason=why,
                )


# --- The chain poller --------------------------------------------------------------------------------

REFUSED_POLL_S = 60.0
"""How often something is asked for again that the vendor refuses (401, 403), by the clock."""

LIMITED_POLL_S = 10.0
"""How long to wait after a 429 that does not say."""


class ChainPoller:
    """Today's chain, polled in the session. Iterated once.

    ``spot`` is the newest price or None; ``streaming`` whether quotes come by socket (else polls come faster);
    ``has_rows`` whether an earlier start of this session has had a chain with calls.
    """

    def __init__(
        self,
        *,
        rest: Rest,
        clock: Clock,
        rules: Rules,
        session: Session,
        spot: Callable[[], float | None],
        streaming: Callable[[], bool],
        has_rows: bool = False,
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._rules = rules
        self._session = session
        self._spot = spot
        self._streaming = streaming
        self._outlet: Outlet[Chain] = Outlet()
        self._failures = 0
        self._told = ""
        self._has_rows = has_rows
        """Whether an answer of this session has had calls."""

    def events(self) -> AsyncGenerator[list[Chain], None]:
        """The chain after each poll, all that wait at once. After the close it stays silent."""
        return _iterate(self._outlet, self._run, "chain poller")

    async def _run(self) -> None:
        while (left := self._session.open - self._clock.now()) > 0:
            await self._clock.sleep(left / SECOND)
        await self._poll()
        await asyncio.Event().wait()

    def _in_session(self) -> bool:
        return self._session.open <= self._clock.now() < self._session.close

    # The chain

    async def _poll(self) -> None:
        while self._in_session():
            began_at = self._clock.now()
            wait = await self._poll_once()
            not_before = self._clock.now() + round(wait * SECOND)
            # Looked at every second, so that a stream that falls silent speeds the polls up at once.
            while (left := max(not_before, began_at + round(self._pace() * SECOND)) - self._clock.now()) > 0:
                await self._clock.sleep(min(1.0, left / SECOND))

    def _pace(self) -> float:
        rules = self._rules
        return rules.chain_poll_seconds if self._streaming() else rules.chain_fallback_poll_seconds

    async def _poll_once(self) -> float:
        """One poll. Returns how long to rest after it at least, in seconds."""
        rules = self._rules
        if self._outlet.batches >= BATCHES_WAITING_MAX:
            return 0.0
        try:
            chain = await self._rest.chain(
                rules.symbol, self._session.date, self._spot(), rules.chain_spot_percent
            )
        except RestError as error:
            return self._fail(error)
        if self._has_rows and not chain.rows:
            # Calls do not vanish in mid-session: the last good chain stays, and its age ends the entries in time.
            self._failures += 1
            self._tell_empty("⚠️ The chain came empty after good ones: the last good one stays")
            return 0.0
        if self._failures:
            log.info(
                "chain_polled_again",
                text=f"✓ Chain polls work again after {self._failures} that failed",
                failures=self._failures,
            )
        self._failures, self._has_rows = 0, bool(chain.rows)
        if chain.rows:
            self._told = ""
        else:
            self._tell_empty(f"⚠️ The chain is empty: no {rules.symbol} calls expire on {self._session.date}")
        self._outlet.put(chain)
        return 0.0

    def _fail(self, error: RestError) -> float:
        self._failures += 1
        if str(error) != self._told:
            self._told = str(error)
            log.warning(
                "chain_poll_failed",
                text=f"⚠️ Chain poll failed, the last good one stays: {error}",
                reason=self._told,
                kind=error.kind,
            )
        match error.kind:
            case RestErrorKind.RATE_LIMITED:
                return error.retry_after if error.retry_after is not None else LIMITED_POLL_S
            case RestErrorKind.UNAUTHORIZED | RestErrorKind.FORBIDDEN | RestErrorKind.CERTIFICATE:
                return REFUSED_POLL_S
            case _:
                return 0.0

    def _tell_empty(self, text: str) -> None:
        """Said when it changes, and not at every poll."""
        if self._told != text:
            self._told = text
            log.warning("chain_empty", text=text, expiry=self._session.date)
