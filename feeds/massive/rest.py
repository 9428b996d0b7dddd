"""The vendor's REST."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import structlog

from events import SECOND, Bar, Chain, ChainRow, Quote, QuoteSource
from feeds.massive.bad_input import BadInput, BadReason, BadValue, beginning, printable, scrubber
from feeds.massive.body import PACKING, bounded_body
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.headers import (
    HTTP_FORBIDDEN,
    HTTP_NOT_FOUND,
    HTTP_OK,
    HTTP_REDIRECTS,
    HTTP_REFUSALS,
    HTTP_TOO_MANY,
    HTTP_UNAUTHORIZED,
    age_us,
    http_date_us,
    retry_after_s,
)
from feeds.massive.numbers import AHEAD_US, MILLISECOND, UNDECODABLE
from feeds.massive.pages import Page, RowDecoder, decode_body
from feeds.massive.rows import (
    CHAIN_PAGE_ROWS,
    CHAIN_ROWS,
    EVERY_STRIKE,
    SECOND_ROWS,
    SECONDS_PAGE_ROWS,
    checked_row,
    decode_snapshot,
    replaces,
    underlying_price,
)
from feeds.massive.seconds import make_bar
from feeds.vendor import EXCHANGE_DEADLINE_S, LIST_DEADLINES
from network import bound_requests, certificate_fault, connection_faults, is_loopback, trust
from utils import Clock, VendorTime

log = structlog.get_logger("polygon_client")

T = TypeVar("T")


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

ROWS_AT_ONCE = 2_000
"""Rows that are checked before the loop gets its turn: 4 ms."""

PAGES_MAX = 20
"""Pages of one list; a chain has one or two, a day of seconds the same."""

LIST_ROWS_MAX = 100_000
"""Rows of one list: a day has 86,400 seconds."""

FINE_STATUSES = frozenset({"OK", "DELAYED"})
"""What the vendor says of an answer that is one."""

MARKET_STATUSES = frozenset({"open", "closed", "extended-hours"})

SKEW_ROUND_TRIP_US = 2 * SECOND
"""A longer exchange (in real time) says too little about the vendor's clock."""

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
        except request_faults() as error:
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
        found, is_delayed, _ = await self._rows(path, params, CHAIN_ROWS, CHAIN_BODY_BYTES)
        if spot is None:
            spot = underlying_price(found)
        band = EVERY_STRIKE if spot is None else _band(spot, percent)
        latest = self._clock.now() + self._ahead_us
        rows: dict[str, ChainRow] = {}
        for wire in found:
            try:
                row = checked_row(wire, latest, self.bad, root=underlying, expiry=expiry, band=band)
            except BadValue as error:
                self.bad.add(error.reason, wire)
                continue
            if row is None:
                continue
            if is_delayed and row.real_time:
                row = msgspec.structs.replace(row, real_time=False)
            known = rows.get(row.contract)
            if known is None or replaces(row, known):
                rows[row.contract] = row
        if found and not rows:
            # Not an empty market: an answer that cannot be used.
            raise RestError(RestErrorKind.BAD_BODY, f"none of its {len(found)} rows is usable")
        return Chain(rows=tuple(sorted(rows.values(), key=lambda row: (row.strike, row.contract))))

    async def contract(self, underlying: str, contract: str) -> Quote:
        """The quote of one contract. Raises RestError, EMPTY when it has no quote (or the plan shows none in time)."""
        path = f"/v3/snapshot/options/{quote(underlying)}/{quote(contract, safe=':')}"
        answer = decode_body(await self._get(path, SINGLE_BODY_BYTES), _Single)
        self._check_status(answer.status)
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
        found, _, unusable = await self._rows(path, params, SECOND_ROWS, SECONDS_BODY_BYTES, symbol)
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
        answer = decode_body(await self._get("/v1/marketstatus/now", SINGLE_BODY_BYTES), _MarketStatus)
        exchange = (answer.exchanges or _Exchanges()).nyse
        market = answer.market if exchange is None else exchange
        if market is None:
            raise RestError(RestErrorKind.EMPTY, "no market status")
        if market not in MARKET_STATUSES:
            raise RestError(RestErrorKind.BAD_BODY, f"market status {self._shown(market)}")
        return market

    # One list, page by page

    async def _rows(
        self, path: str, params: _Params, decoder: RowDecoder[T], limit: int, ticker: str | None = None
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
        self, url: httpx.URL, decoder: RowDecoder[T], limit: int, ticker: str | None
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

    def _results(self, page: Page[T], *, is_empty: bool) -> list[T]:
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
                body = await bounded_body(response, limit)
        except httpx.TimeoutException as error:
            raise RestError(RestErrorKind.TIMEOUT, type(error).__name__) from None
        except request_faults() as error:
            raise self._connection_error(error) from None
        except ExceptionGroup as group:
            # anyio tries a name's addresses in a group, from which all but OSError come as they are.
            if group.split(request_faults())[1] is not None:
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
        except request_faults() as error:
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
        except UNDECODABLE:
            return ""
        return beginning(refusal.error or refusal.message or "", self._scrub, 160)

    def _measure_skew(self, headers: httpx.Headers, asked_at: int) -> None:
        """Measure the vendor's time by an answer's ``Date``, to which a cache's ``Age`` is added (both whole seconds)."""
        now = self._clock.now()
        date, age = http_date_us(headers.get("date")), age_us(headers.get("age"))
        if date is None or age is None or now - asked_at > SKEW_ROUND_TRIP_US * self._clock.speed:
            return
        # Both headers are cut to the second, and the answer was dated between question and answer.
        cut = SECOND if age == 0 else 2 * SECOND
        low, high = date + age - now, date + age + cut - asked_at
        self.vendor_time = VendorTime(low, high, now)
        self._skew = (low + high) / 2 / SECOND
        self.skews_measured += 1


UNUSABLE_ROWS, UNUSABLE_PART = 20, 0.1
"""Up to so many, or such a part, of the seconds of an answer may be unusable: each costs itself, as a bad event does.
With more of them the answer has failed, and is asked for again: lost seconds are not quiet ones."""


def _band(spot: float, percent: float) -> tuple[float, float]:
    return spot * (1 - percent / 100), spot * (1 + percent / 100)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    usual = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, usual if url.port is None else url.port


ANSWER_FAULTS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, zlib.error, ValueError)
"""What httpx raises, and what it lets through of what it is built on: zlib's faults, and ValueError for an address that
cannot be written or encoded (``idna`` and the resolver say UnicodeError)."""


def request_faults() -> tuple[type[Exception], ...]:
    """Everything that asking for an answer and unpacking it can raise, whatever the network and the other side do."""
    return (*connection_faults(), zlib.error)
