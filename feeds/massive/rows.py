"""Decodes and checks the rows of REST: contracts of a chain, and seconds of a day."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from events import PRICE_MAX, STRIKE_UNIT, ChainRow
from feeds.massive.bad_input import BadInput, BadReason, BadValue
from feeds.massive.numbers import (
    FIELDS,
    NANOSECONDS,
    UNDECODABLE,
    amount_of,
    is_price,
    loose,
    option_price,
    time_us,
)
from feeds.massive.pages import Page, RowDecoder
from feeds.massive.seconds import SecondRow, second_numbers

IMPLIED_VOLATILITY_MAX = 100.0
"""The greatest plausible volatility, a fraction per year. The vendor's degenerate rows show 5; percent read as a fraction
shows 1,000."""


class Details(msgspec.Struct, frozen=True, gc=False):
    """The terms of a contract, as on the wire."""

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
    """Only the delta is used. The others show whether the vendor computed any of them."""

    delta: float | None = None
    gamma: Any = None
    theta: Any = None
    vega: Any = None


class _Underlying(msgspec.Struct, frozen=True, gc=False):
    price: Any = None


class SnapshotRow(msgspec.Struct, frozen=True, gc=False):
    """One contract of a snapshot, as on the wire. Anything may be missing, null or ``{}``."""

    details: Details | None = None
    greeks: _Greeks | None = None
    implied_volatility: float | None = None
    last_quote: _LastQuote | None = None
    open_interest: float | None = None
    underlying_asset: _Underlying | None = None


def decode_snapshot(raw: bytes | msgspec.Raw) -> SnapshotRow:
    """Returns one contract's row. Raises BadValue.

    A delta or volatility that is not a number costs only itself: `checked_row` counts it and leaves it out.
    """
    try:
        return msgspec.json.decode(raw, type=SnapshotRow)
    except UNDECODABLE:
        pass
    try:
        fields = FIELDS.decode(raw)
        greeks = fields.get("greeks")
        if greeks is not None:
            fields["greeks"] = {"delta": loose(greeks.get("delta") if isinstance(greeks, dict) else greeks)}
        fields["implied_volatility"] = loose(fields.get("implied_volatility"))
        return msgspec.convert(fields, SnapshotRow)
    except UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None


def _decode_second(raw: msgspec.Raw) -> SecondRow:
    """Returns one second's row. Raises BadValue."""
    try:
        return msgspec.json.decode(raw, type=SecondRow)
    except UNDECODABLE:
        pass
    try:
        return SecondRow(**second_numbers(FIELDS.decode(raw), "t"))
    except UNDECODABLE:
        raise BadValue(BadReason.EVENT) from None


CHAIN_PAGE_ROWS = 250
"""The vendor's maximum for a chain (its default is 10)."""

SECONDS_PAGE_ROWS = 50_000
"""The vendor's maximum for aggregates."""

CHAIN_ROWS = RowDecoder(
    msgspec.json.Decoder(Page[SnapshotRow]),
    decode_snapshot,
    rows_max=CHAIN_PAGE_ROWS,
    values_max=CHAIN_PAGE_ROWS * 200,  # the vendor's rows have 45
)

SECOND_ROWS = RowDecoder(
    msgspec.json.Decoder(Page[SecondRow]),
    _decode_second,
    rows_max=SECONDS_PAGE_ROWS,
    values_max=SECONDS_PAGE_ROWS * 20,  # 8 or 9
)

OPTION_TICKER = re.compile(r"O:([A-Z0-9.]{1,10})(\d{6})([CP])(\d{8})", re.ASCII)
"""Root, expiry as YYMMDD, side, strike in thousandths."""

_NO_DETAILS = Details()

_NO_QUOTE = _LastQuote()

EVERY_STRIKE = (0.0, math.inf)

GREEK_DIGITS = 6
"""Decimals that are kept of volatility and delta: no rule compares more, and the rest is noise."""


def checked_row(
    row: SnapshotRow,
    latest: int,
    bad: BadInput,
    *,
    root: str | None = None,
    expiry: str | None = None,
    band: tuple[float, float] = EVERY_STRIKE,
) -> ChainRow | None:
    """Returns a checked row; None if its strike lies outside ``band`` (dollars). Raises BadValue.

    ``root`` is the requested underlying and ``expiry`` the requested ISO date (None: any). A quote stamped after
    ``latest`` (µs) is bad, and so is a row that contradicts its own ticker. ``bad`` counts an impossible delta or
    volatility, which is then left out: both can be computed from the price. Greeks that are all zero were not computed.
    """
    details, quoted = row.details or _NO_DETAILS, row.last_quote or _NO_QUOTE
    strike, shares = contract_terms(details, root, expiry)
    bid, ask = option_price(quoted.bid), option_price(quoted.ask)
    bid_size, ask_size = amount_of(quoted.bid_size), amount_of(quoted.ask_size)
    updated = quoted.last_updated
    quoted_at = time_us(updated, 1, NANOSECONDS, latest) if updated else 0
    open_interest = amount_of(row.open_interest)
    iv, delta = _volatility_and_delta(row, bad)
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
        iv=iv,
        delta=delta,
        open_interest=open_interest,
    )


def _volatility_and_delta(row: SnapshotRow, bad: BadInput) -> tuple[float | None, float | None]:
    """Returns a row's implied volatility and delta, rounded; None for one that is absent or impossible."""
    greeks, iv = row.greeks, row.implied_volatility or None
    delta = None if greeks is None else greeks.delta
    if delta == 0 and greeks is not None and not any((greeks.gamma, greeks.theta, greeks.vega)):
        delta = None
    is_delta, is_iv = delta is None or -1 <= delta <= 1, iv is None or 0 < iv <= IMPLIED_VOLATILITY_MAX
    if not (is_delta and is_iv):
        bad.add(BadReason.NUMBER, row, is_used=True)
    return (
        None if iv is None or not is_iv else round(iv, GREEK_DIGITS) or None,
        None if delta is None or not is_delta else round(delta, GREEK_DIGITS),
    )


REAL_TIME = "REAL-TIME"


@functools.lru_cache(maxsize=1_024)
def contract_terms(details: Details, root: str | None, expiry: str | None) -> tuple[int, float]:
    """Returns strike (strike units) and shares of a contract. Cached, because every poll brings the same ones.

    Raises BadValue. Another root than the requested one (IWM1, 2IWM) belongs to an adjusted contract, which delivers
    something else. Absent shares count as the standard 100 only if the root is plain.
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
    return strike, amount_of(shares)


def replaces(row: ChainRow, known: ChainRow) -> bool:
    """Returns whether a repeated row is better than the known one: newer, or equally new and not without its delta."""
    if row.quoted_at == known.quoted_at:
        return row.delta is not None or known.delta is None
    return row.quoted_at > known.quoted_at


def underlying_price(rows: Iterable[SnapshotRow]) -> float | None:
    """Returns the underlying's price in dollars: the median of the rows', so that no single row decides; None without any."""
    found = (loose(row.underlying_asset.price) for row in rows if row.underlying_asset is not None)
    prices = sorted(price for price in found if price is not None and is_price(price))
    return prices[len(prices) // 2] if prices else None
