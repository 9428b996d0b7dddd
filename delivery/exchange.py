"""One HTTP exchange with a server that may answer anything: limited in bytes and time, with one kind of failure.

The push service, the second channel and the heartbeat share it. It never decompresses a body: it does not read a reply
that is encoded although `Accept-Encoding: identity` was sent, so 5 kB cannot become 3 GB.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
import msgspec

from errors import TheirError
from network import bound_requests, connection_faults, is_loopback, out_of_groups, trust

CONNECT_S = 3.0
"""Real seconds for opening a connection. A request whose connection failed has certainly not arrived."""

EXCHANGE_S = 10.0
"""Real seconds for a whole exchange. A timeout for inactivity alone would never end an answer that drips."""

CLOSE_S = 2.0
"""Real seconds for closing connections: a peer that does not answer must not delay a stop."""

KEEP_ALIVE_S = 120.0
"""Real seconds that an idle connection is kept: longer than the pause between two requests for the quota."""

BODY_MAX = 65_536
"""How much of a body is read, bytes. Pushover's longest known answer has 1 kB."""

PARTS_MAX = 2_000
"""The most pieces of a body: each piece costs the event loop 100 µs, even if it is a single byte."""

BREATH = 50
"""How many pieces are read before other tasks get a turn."""

SUCCESS = range(200, 300)
"""Statuses of success. A redirect is none."""

PLAIN = {"Accept-Encoding": "identity"}
"""Requests a body that need not be decompressed."""

FAILURE_WORDS: Mapping[type[Exception], str] = {
    httpx.ConnectError: "no connection",
    httpx.ConnectTimeout: "no connection in time",
    httpx.PoolTimeout: "no free connection",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "could not be written in time",
    httpx.ReadError: "connection lost while waiting for the answer",
    httpx.WriteError: "connection lost while writing",
    httpx.RemoteProtocolError: "connection closed without an answer",
    httpx.ProxyError: "refused by the proxy",
    httpx.InvalidURL: "an address that cannot be used",
    TimeoutError: "no answer in time",
}


def failures() -> tuple[type[Exception], ...]:
    """Returns every exception that an exchange raises for a fault of the network or the server."""
    return connection_faults()


def failure_words(error: Exception) -> str:
    """Returns what went wrong with an exchange, in words. Never the error's own text, which may contain an address."""
    return f"{FAILURE_WORDS.get(type(error), 'the request failed')} ({type(error).__name__})"


class Reply(msgspec.Struct, frozen=True):
    """A server's answer. ``body`` is only its beginning unless ``is_whole``, and empty if it was encoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool

    @property
    def is_success(self) -> bool:
        """Returns whether the status is a 2xx."""
        return self.status in SUCCESS


class Failed(TheirError):
    """An exchange got no answer. The text says why, without any address."""


def make_client(url: str, connections: int, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """Returns a client for one service. It uses the machine's proxy settings, except for loopback.

    Raises one of `failures` if the machine's proxy or certificate settings cannot be used.
    """
    return httpx.AsyncClient(
        base_url=url,
        transport=transport,
        headers=PLAIN,
        timeout=httpx.Timeout(EXCHANGE_S, connect=CONNECT_S, pool=CONNECT_S),
        limits=httpx.Limits(
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEP_ALIVE_S,
        ),
        follow_redirects=False,
        event_hooks={"request": [bound_requests(BODY_MAX)], "response": [_forget_location]},
        # Plain HTTP is for loopback only: nothing to verify, so do not spend the time to read certificates.
        verify=trust() if urlsplit(url).scheme == "https" else False,
        trust_env=not is_loopback(url),
    )


async def _forget_location(response: httpx.Response) -> None:
    """Removes a redirect's ``Location``. httpx builds the next request from it even if it does not follow, and may raise.

    The redirect would then count as a lost answer, although it says that nothing was accepted.
    """
    response.headers.pop("Location", None)


async def exchange(client: httpx.AsyncClient, request: httpx.Request, body_max: int = BODY_MAX) -> Reply:
    """Sends a request and returns its answer, with at most ``body_max`` bytes. Raises one of `failures`. Has no time limit."""
    with out_of_groups(failures):
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            body, is_whole = await _body(response, body_max)
        finally:
            await response.aclose()
    return Reply(response.status_code, response.headers, body, is_whole)


async def _body(response: httpx.Response, most: int) -> tuple[bytes, bool]:
    """Returns the first ``most`` bytes of the body as they came, and whether that is all of it."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        return b"", False
    if response.is_stream_consumed:  # a test's own transport returns the body with the response
        return response.content[:most], len(response.content) <= most
    body, parts = bytearray(), 0
    async for part in response.aiter_raw():
        body += part
        parts += 1
        if len(body) > most or parts > PARTS_MAX:
            return bytes(body[:most]), False
        if parts % BREATH == 0:
            await asyncio.sleep(0)
    return bytes(body), True


async def close_client(client: httpx.AsyncClient) -> None:
    """Closes a client's connections, within `CLOSE_S` real seconds. Ignores failures: they change nothing any more."""
    try:
        async with asyncio.timeout(CLOSE_S):
            with out_of_groups(failures):
                await client.aclose()
    except failures():
        return


class Caller:
    """Makes requests to one service, such as the heartbeat's, over one connection that is opened when first needed."""

    def __init__(
        self,
        url: str,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        limit_s: float = EXCHANGE_S,
        body_max: int = BODY_MAX,
    ) -> None:
        self.url = url
        self._transport = transport
        self._limit_s = limit_s
        self._body_max = body_max

    @functools.cached_property
    def _client(self) -> httpx.AsyncClient:
        return make_client(self.url, 1, self._transport)

    async def request(
        self,
        method: str,
        url: str | None = None,
        *,
        content: str = "",
        limit_s: float | None = None,
    ) -> Reply:
        """Sends a request to ``url`` (None: its own) with ``content`` as plain text. Returns the answer. Raises Failed.

        ``limit_s`` is real seconds (None: its own limit).
        """
        headers = {"Content-Type": "text/plain; charset=utf-8"} if content else None
        try:
            async with asyncio.timeout(self._limit_s if limit_s is None else limit_s):
                request = self._client.build_request(
                    method, url or self.url, content=content.encode() if content else None, headers=headers
                )
                return await exchange(self._client, request, self._body_max)
        except failures() as error:
            raise Failed(failure_words(error)) from None

    async def close(self) -> None:
        """Closes its connection, if one was opened."""
        if "_client" in self.__dict__:
            await close_client(self._client)
