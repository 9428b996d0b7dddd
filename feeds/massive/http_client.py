"""Asks the vendor one question over HTTP, whatever the network does."""

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
    """The body of an error: 401 and 429 say ``error``, 403 says ``message``."""

    error: str | None = None
    message: str | None = None


CONNECT_TIMEOUT_S = 3.0
"""Real seconds for a connection."""

KEEP_ALIVE_S = 60.0
"""Idle connections are closed before the vendor resets them: every reset seen came after 81 s idle."""

SECONDS_BODY_BYTES = 8 * 1024 * 1024
"""A page holds at most 50,000 seconds: 5 MB, which take 14 ms to decode. No other body is longer."""

SKEW_ROUND_TRIP_US = 2 * SECOND
"""A longer exchange (in real time) says too little about the vendor's clock."""

RETRIED = frozenset({RestErrorKind.TRANSPORT, RestErrorKind.TIMEOUT, RestErrorKind.SERVER})

STATUS_KINDS = {
    HTTP_UNAUTHORIZED: RestErrorKind.UNAUTHORIZED,
    HTTP_FORBIDDEN: RestErrorKind.FORBIDDEN,
    HTTP_NOT_FOUND: RestErrorKind.NOT_FOUND,
    HTTP_TOO_MANY: RestErrorKind.RATE_LIMITED,
}

Params = Mapping[str, str | int] | Sequence[tuple[str, str | int | float | bool | None]] | None


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Returns scheme, host and port of an address."""
    usual = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, usual if url.port is None else url.port


ANSWER_FAULTS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, zlib.error, ValueError)
"""What httpx raises, and what it lets through from below: zlib's faults, and ValueError for an address that cannot be
written or encoded (``idna`` and the resolver raise UnicodeError)."""


def request_faults() -> tuple[type[Exception], ...]:
    """Returns everything that a request and unpacking its answer can raise, whatever the network and the server do."""
    return (*connection_faults(), zlib.error)


class HttpClient:
    """Asks the vendor's server. Every method raises RestError, and nothing else, for what the vendor or network did.

    Proxies and certificate stores named by the environment are honoured, as a machine behind a proxy needs (TLS goes
    through it unbroken), but never for loopback.
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
        """The address that every path is added to."""
        self.deadline_s = deadline_s
        """Real seconds for one exchange."""
        self.scrub = scrubber(api_key)
        """Blacks out the key and addresses."""
        self.skew: float | None = None
        """The vendor's clock minus ours in seconds, good to about one, by the last quick exchange."""
        self.skews_measured = 0
        """How often ``skew`` was measured."""
        self.vendor_time: VendorOffset | None = None
        """The same with its bounds, as the clock takes it."""
        self._clock = clock
        self._api_key = api_key
        self._transport = transport

    @functools.cached_property
    def _client(self) -> httpx.AsyncClient:
        """Made at the first request: httpx's own transport takes 40 ms to import, and the feed must connect first."""
        # Half the deadline for one attempt's silence, so that a retry has time, too.
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
            # No cookie is kept: they would have no bound.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            trust_env=not is_loopback(self.base),
            verify=trust() if urlsplit(self.base).scheme == "https" else False,
            transport=self._transport,
        )

    def address(self, path: str, params: Params) -> httpx.URL:
        """The address of ``path`` on the vendor's server."""
        try:
            return httpx.URL(self.base + path, params=params)
        except (httpx.InvalidURL, ValueError):
            raise RestError(RestErrorKind.BAD_BODY, "POLYGON_REST_URL makes no address") from None

    async def aclose(self) -> None:
        """Close the connections. Never raises for what the network does: nothing depends on a clean end."""
        if "_client" not in self.__dict__:
            return
        try:
            await self._client.aclose()
        except request_faults() as error:
            fault = type(error).__name__
            log.debug("rest_close_failed", text=f"A connection did not close well: {fault}", fault=fault)

    async def get(self, url: httpx.URL | str, limit: int) -> bytes:
        """Returns the body of a JSON answer, ``limit`` bytes at most. Retries once, at once, within the one deadline."""
        if isinstance(url, str):
            url = self.address(url, None)
        try:
            async with asyncio.timeout(self.deadline_s) as deadline:
                try:
                    return await self._attempt(url, limit)
                except RestError as error:
                    # A connection that broke because the deadline ended it is no reason to try again.
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
        # Only the exception's type and the certificate's fault are told: other texts may hold addresses.
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
        """Returns the vendor's own words about an error, without key and addresses; empty if it sent no JSON."""
        try:
            refusal = msgspec.json.decode(body, type=_Refusal)
        except UNDECODABLE:
            return ""
        return beginning(refusal.error or refusal.message or "", self.scrub, 160)

    def _measure_skew(self, headers: httpx.Headers, asked_at: int) -> None:
        """Measure the vendor's time by an answer's ``Date`` plus a cache's ``Age``, both of which are whole seconds."""
        now = self._clock.now()
        date, age = http_date_us(headers.get("date")), age_us(headers.get("age"))
        if date is None or age is None or now - asked_at > SKEW_ROUND_TRIP_US * self._clock.speed:
            return
        # Both headers are cut to the second, and the vendor dated the answer between our question and now.
        cut = SECOND if age == 0 else 2 * SECOND
        low, high = date + age - now, date + age + cut - asked_at
        self.vendor_time = VendorOffset(low, high, now)
        self.skew = (low + high) / 2 / SECOND
        self.skews_measured += 1
