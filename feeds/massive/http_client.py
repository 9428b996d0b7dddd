"""Makes one HTTP request to the vendor, within a deadline and with bounded memory, whatever the network does."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog

from events import SECOND
from feeds.massive.bad_input import beginning, printable, scrubber
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
from feeds.massive.numbers import UNDECODABLE
from feeds.vendor import EXCHANGE_DEADLINE_S
from network import bound_requests, certificate_fault, connection_faults, is_loopback, out_of_groups, trust
from timekeeping import VendorOffset
from utils import Clock

log = structlog.get_logger("polygon_client")


class _Refusal(msgspec.Struct, frozen=True):
    """The body of an error. Statuses 401 and 429 have ``error``, 403 has ``message``."""

    error: str | None = None
    message: str | None = None


CONNECT_TIMEOUT_S = 3.0
"""Real seconds for opening a connection."""

KEEP_ALIVE_S = 60.0
"""Seconds after which an idle connection is closed, before the vendor resets it: every reset measured came after 81 s."""

SECONDS_BODY_BYTES = 8 * 1024 * 1024
"""The longest body, bytes. A page of 50,000 seconds has 5 MB, which take 14 ms to decode."""

SKEW_ROUND_TRIP_US = 2 * SECOND
"""The longest round trip (real µs) whose answer is used to measure the vendor's clock."""

RETRIED = frozenset({RestErrorKind.TRANSPORT, RestErrorKind.TIMEOUT, RestErrorKind.SERVER})

STATUS_KINDS = {
    HTTP_UNAUTHORIZED: RestErrorKind.UNAUTHORIZED,
    HTTP_FORBIDDEN: RestErrorKind.FORBIDDEN,
    HTTP_NOT_FOUND: RestErrorKind.NOT_FOUND,
    HTTP_TOO_MANY: RestErrorKind.RATE_LIMITED,
}

Params = Mapping[str, str | int] | Sequence[tuple[str, str | int | float | bool | None]] | None


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Returns scheme, host and port of a URL, with the scheme's usual port if it names none."""
    usual = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, usual if url.port is None else url.port


ANSWER_FAULTS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, zlib.error, ValueError)
"""What httpx raises, and what it lets pass from below: zlib's faults, and ValueError for an address that cannot be parsed
or encoded (``idna`` and the resolver raise UnicodeError)."""


def request_faults() -> tuple[type[Exception], ...]:
    """Returns everything that a request and unpacking its answer can raise, whatever the network and the server do."""
    return (*connection_faults(), zlib.error)


class HttpClient:
    """The HTTP client of the vendor's server. Its methods raise only RestError for a fault of the vendor or the network.

    It uses the environment's proxies and certificate stores, as a machine behind a proxy needs, but never for loopback.
    TLS goes through a proxy end to end.
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
        self.base = base_url.rstrip("/")
        """The URL that every path is appended to."""
        self.deadline_s = deadline_s
        """Real seconds for one exchange, including a retry."""
        self.scrub = scrubber(api_key)
        """Blacks out the key and addresses in a text."""
        self.skew: float | None = None
        """The vendor's clock minus ours in seconds, accurate to about one, from the last quick exchange."""
        self.skews_measured = 0
        """How often ``skew`` was measured."""
        self.vendor_time: VendorOffset | None = None
        """The same difference with its bounds, for the clock."""
        self._clock = clock
        self._api_key = api_key
        self._transport = transport

    @functools.cached_property
    def _client(self) -> httpx.AsyncClient:
        """The httpx client, made at the first request: its import takes 40 ms, and the feed must connect first."""
        # One attempt may be silent for half the deadline, so that a retry has time, too.
        half_s = self.deadline_s / 2
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
            # Keep no cookies: their number would have no limit.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            trust_env=not is_loopback(self.base),
            verify=trust() if urlsplit(self.base).scheme == "https" else False,
            transport=self._transport,
        )

    def address(self, path: str, params: Params) -> httpx.URL:
        """Returns the URL of ``path`` on the vendor's server. Raises RestError if the setting makes no URL."""
        try:
            return httpx.URL(self.base + path, params=params)
        except (httpx.InvalidURL, ValueError):
            raise RestError(RestErrorKind.BAD_BODY, "POLYGON_REST_URL makes no address") from None

    async def aclose(self) -> None:
        """Closes the connections. Never raises for a network fault: nothing depends on a clean end."""
        if "_client" not in self.__dict__:
            return
        try:
            await self._client.aclose()
        except request_faults() as error:
            fault = type(error).__name__
            log.debug("rest_close_failed", text=f"A connection did not close cleanly: {fault}", fault=fault)

    async def get(self, url: httpx.URL | str, limit: int) -> bytes:
        """Returns the body of a JSON answer, at most ``limit`` bytes. Retries once, immediately, within the same deadline."""
        if isinstance(url, str):
            url = self.address(url, None)
        try:
            async with asyncio.timeout(self.deadline_s) as deadline:
                try:
                    return await self._attempt(url, limit)
                except RestError as error:
                    # Do not retry if the connection broke because the deadline cancelled it.
                    if error.kind not in RETRIED or deadline.expired():
                        raise
                return await self._attempt(url, limit)
        except TimeoutError:
            raise RestError(RestErrorKind.TIMEOUT, f"not complete after {self.deadline_s:g} s") from None

    async def _attempt(self, url: httpx.URL, limit: int) -> bytes:
        client = self._ready_client()
        asked_at = self._clock.now()
        try:
            with out_of_groups(request_faults):
                async with client.stream("GET", url) as response:
                    self._measure_skew(response.headers, asked_at)
                    body = await bounded_body(response, limit)
        except httpx.TimeoutException as error:
            raise RestError(RestErrorKind.TIMEOUT, type(error).__name__) from None
        except request_faults() as error:
            raise self._connection_error(error) from None
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
        # Show only the exception's type or the certificate's fault: other texts may contain addresses.
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
        """Returns the vendor's text about an error, without key and addresses; empty if it sent no JSON."""
        try:
            refusal = msgspec.json.decode(body, type=_Refusal)
        except UNDECODABLE:
            return ""
        return beginning(refusal.error or refusal.message or "", self.scrub, 160)

    def _measure_skew(self, headers: httpx.Headers, asked_at: int) -> None:
        """Measures the vendor's time from an answer's ``Date`` plus a cache's ``Age``, which are both whole seconds."""
        now = self._clock.now()
        date, age = http_date_us(headers.get("date")), age_us(headers.get("age"))
        if date is None or age is None or now - asked_at > SKEW_ROUND_TRIP_US * self._clock.speed:
            return
        # Both headers are rounded down, and the vendor dated the answer between our request and now.
        cut = SECOND if age == 0 else 2 * SECOND
        low, high = date + age - now, date + age + cut - asked_at
        self.vendor_time = VendorOffset(low, high, now)
        self.skew = (low + high) / 2 / SECOND
        self.skews_measured += 1
