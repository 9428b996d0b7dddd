"""The vendor's REST: the worker's requests, and the checks that an answer must pass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from urllib.parse import quote

import httpx
import msgspec

from events import SECOND, Bar, Chain, ChainRow, Quote, QuoteSource
from feeds.exchange import STATUSES
from feeds.massive.bad_input import BadInput, BadValue
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.http_client import SECONDS_BODY_BYTES, HttpClient
from feeds.massive.lists import Lists, check_status, is_delayed, shown
from feeds.massive.numbers import AHEAD_US, MILLISECOND, ahead_us
from feeds.massive.pages import decode_body
from feeds.massive.rows import (
    CHAIN_PAGE_ROWS,
    CHAIN_ROWS,
    EVERY_STRIKE,
    SECOND_ROWS,
    SECONDS_PAGE_ROWS,
    SnapshotRow,
    checked_row,
    decode_snapshot,
    replaces,
    underlying_price,
)
from feeds.massive.seconds import make_bar
from feeds.vendor import EXCHANGE_DEADLINE_S
from rules import Rules
from threads import DaemonThread, Threads
from timekeeping import VendorOffset
from utils import Clock


class _Single(msgspec.Struct, frozen=True):
    """An answer about one contract."""

    status: str | None = None
    results: msgspec.Raw = msgspec.Raw(b"null")


class _Exchanges(msgspec.Struct, frozen=True):
    nyse: str | None = None


class _MarketStatus(msgspec.Struct, frozen=True):
    market: str | None = None
    exchanges: _Exchanges | None = None


CHAIN_BODY_BYTES = 2 * 1024 * 1024
"""The longest page of a chain, bytes. One of 250 contracts has 250 kB."""

SINGLE_BODY_BYTES = 64 * 1024
"""The longest other answer, bytes. One contract or the market's status has 1 kB. Repairing the worst body of this size takes
50 ms."""

ROWS_AT_ONCE = 2_000
"""How many rows are checked in one turn of the event loop: this many take 4 ms."""

UNUSABLE_ROWS, UNUSABLE_PART = 20, 0.1
"""How many of an answer's seconds may be unusable: this number, or this share if that is more. With more, the answer fails
and is requested again: lost seconds must not look like quiet ones."""


class Rest:
    """The vendor's REST. Its methods raise only RestError for a fault of the vendor or the network.

    ``deadline_s`` is real seconds for one exchange. ``rules`` (None: the defaults) say how far ahead of now a bar may end,
    or a quote be stamped. Proxies and certificates are those of `HttpClient`.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        deadline_s: float = EXCHANGE_DEADLINE_S,
        rules: Rules | None = None,
        threads: Threads = DaemonThread,
    ) -> None:
        self._clock = clock
        self._ahead_us = AHEAD_US if rules is None else ahead_us(rules)
        self._http = HttpClient(base_url, api_key, clock, transport, deadline_s=deadline_s)
        self.bad = BadInput("REST", clock, self._http.scrub)
        self._lists = Lists(self._http, self.bad, threads)

    @property
    def skew(self) -> float | None:
        """Returns the vendor's clock minus ours in seconds, accurate to about one, from the last quick exchange."""
        return self._http.skew

    @property
    def skews_measured(self) -> int:
        """Returns how often ``skew`` was measured."""
        return self._http.skews_measured

    @property
    def vendor_time(self) -> VendorOffset | None:
        """Returns the same difference with its bounds, for the clock."""
        return self._http.vendor_time

    async def aclose(self) -> None:
        """Closes the connections. Never raises for a network fault."""
        await self._http.aclose()

    async def chain(self, underlying: str, expiry: str, spot: float | None, percent: float) -> Chain:
        """Returns the calls of ``underlying`` that expire on ``expiry`` (ISO), within ``percent`` of ``spot``.

        Without ``spot`` it requests every strike, and uses the underlying's price in the answer as ``spot``. If pages
        repeat a row, the newest quote counts. Raises RestError if any page fails.
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
        found, delayed, _ = await self._lists.rows(path, params, CHAIN_ROWS, CHAIN_BODY_BYTES)
        if spot is None:
            spot = underlying_price(found)
        band = EVERY_STRIKE if spot is None else _band(spot, percent)
        rows: dict[str, ChainRow] = {}
        for row in self._checked(found, underlying, expiry, band):
            newest = msgspec.structs.replace(row, real_time=False) if delayed and row.real_time else row
            known = rows.get(row.contract)
            if known is None or replaces(newest, known):
                rows[row.contract] = newest
        if found and not rows:
            # The market is not empty: the answer is unusable.
            raise RestError(RestErrorKind.BAD_BODY, f"none of its {len(found)} rows is usable")
        return Chain(rows=tuple(sorted(rows.values(), key=lambda row: (row.strike, row.contract))))

    def _checked(
        self, found: Iterable[SnapshotRow], underlying: str, expiry: str, band: tuple[float, float]
    ) -> Iterator[ChainRow]:
        """Yields the good rows inside ``band`` (dollars), and counts the bad ones."""
        latest = self._clock.now() + self._ahead_us
        for wire in found:
            try:
                row = checked_row(wire, latest, self.bad, root=underlying, expiry=expiry, band=band)
            except BadValue as error:
                self.bad.add(error.reason, wire)
                continue
            if row is not None:
                yield row

    async def contract(self, underlying: str, contract: str) -> Quote:
        """Returns the quote of one contract. Raises RestError: EMPTY if it has no quote, or only a delayed one."""
        path = f"/v3/snapshot/options/{quote(underlying)}/{quote(contract, safe=':')}"
        answer = decode_body(await self._single(path), _Single)
        check_status(answer.status, self._http.scrub)
        raw = bytes(answer.results)
        if raw == b"null":
            raise RestError(RestErrorKind.EMPTY)
        latest = self._clock.now() + self._ahead_us
        try:
            row = checked_row(decode_snapshot(raw), latest, self.bad)
        except BadValue as error:
            self.bad.add(error.reason, raw)
            raise RestError(RestErrorKind.BAD_BODY, f"bad {error.reason}") from None
        if row is None or row.contract != contract:
            raise RestError(RestErrorKind.BAD_BODY, "another contract than was asked for")
        if not row.quoted_at:
            raise RestError(RestErrorKind.EMPTY, "no quote")
        if not row.real_time or is_delayed(answer.status):
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
        """Returns the seconds of ``symbol`` that start in [start_us, end_us), oldest first, not adjusted for splits."""
        first, last = start_us // MILLISECOND, (end_us - 1) // MILLISECOND
        path = f"/v2/aggs/ticker/{quote(symbol)}/range/1/second/{first}/{last}"
        params: dict[str, str | int] = {"adjusted": "false", "sort": "asc", "limit": SECONDS_PAGE_ROWS}
        bars: dict[int, Bar] = {}
        found, _, unusable = await self._lists.rows(path, params, SECOND_ROWS, SECONDS_BODY_BYTES, symbol)
        latest = self._clock.now() + self._ahead_us
        usable = outside = 0
        for number, wire in enumerate(found, start=1):
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                bar = make_bar(symbol, wire.t, wire, latest, self.bad, backfilled=True)
            except BadValue as error:
                self.bad.add(error.reason, wire)
                unusable += 1
                continue
            usable += 1
            if start_us <= bar.start < end_us:
                bars[bar.start] = bar
            outside += not start_us - SECOND < bar.start <= end_us
        if found and not usable:
            # The span was not quiet: the answer is unusable.
            raise RestError(RestErrorKind.BAD_BODY, f"none of its {len(found)} rows is usable")
        if outside and outside == usable:
            raise RestError(RestErrorKind.BAD_BODY, "seconds of another time than was asked for")
        if unusable > max(UNUSABLE_ROWS, UNUSABLE_PART * (usable + unusable)):
            raise RestError(
                RestErrorKind.BAD_BODY, f"{unusable} of its {usable + unusable} rows are unusable"
            )
        return [bars[start] for start in sorted(bars)]

    async def market_status(self) -> str:
        """Returns the exchange's status, one of `STATUSES`. Raises RestError for any other word."""
        answer = decode_body(await self._single("/v1/marketstatus/now"), _MarketStatus)
        exchange = (answer.exchanges or _Exchanges()).nyse
        market = answer.market if exchange is None else exchange
        if market is None:
            raise RestError(RestErrorKind.EMPTY, "no market status")
        if market not in STATUSES:
            raise RestError(RestErrorKind.BAD_BODY, f"market status {shown(market, self._http.scrub)}")
        return market

    async def _single(self, path: str) -> bytes:
        return await self._http.get(path, SINGLE_BODY_BYTES)


def _band(spot: float, percent: float) -> tuple[float, float]:
    return spot * (1 - percent / 100), spot * (1 + percent / 100)
