"""One HTTP exchange with a server that may answer anything: bounded in bytes and time, with one kind of failure.

The push service, the second channel and the heartbeat share it. Bodies are never decompressed: a reply that is
encoded although `Accept-Encoding: identity` was sent is not read, so 5 kB cannot become 3 GB.
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
"""Real seconds for a connection: a request that failed within them has definitely not arrived."""

EXCHANGE_S = 10.0
"""Real seconds for a whole exchange. A timeout of inactivity would never end an answer that drips."""

CLOSE_S = 2.0
"""Real seconds for closing connections: a peer that does not answer must not hold a stop up."""

KEEP_ALIVE_S = 120.0
"""Real seconds that an idle connection is kept: longer than the pause between two questions for the quota."""

BODY_MAX = 65_536
"""Bytes of a body that are read. Pushover's longest known answer has 1 kB."""

PARTS_MAX = 2_000
"""Pieces in which a body may come: one of single bytes would cost 100 µs of the loop for each."""

BREATH = 50
"""Pieces read before other tasks get a turn."""

SUCCESS = range(200, 300)
"""Statuses that say "done": a redirect does not."""

PLAIN = {"Accept-Encoding": "identity"}
"""Asks for a body that need not be decompressed."""

FAILURE_WORDS: Mapping[type[Exception], str] = {
    httpx.ConnectError: "no connection",
    httpx.ConnectTimeout: "no connection in time",
    httpx.PoolTimeout: "no free connection",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "could not be written in time",
    httpx.ReadError: "connection lost while waiting for the answer",
    httpx.WriteError: "connection lost while writing",
    httpx.RemoteProtocolError: "connection closed without an answer",
    httpx.ProxyError: "the proxy refuses",
    httpx.InvalidURL: "an address that cannot be used",
    TimeoutError: "no answer in time",
}


def failures() -> tuple[type[Exception], ...]:
    """Every exception of an exchange that is no fault of ours. Only asked for once something was raised."""
    return connection_faults()


def failure_words(error: Exception) -> str:
    """What went wrong with an exchange, in words. Never the error's own text, which may hold an address."""
    return f"{FAILURE_WORDS.get(type(error), 'the exchange failed')} ({type(error).__name__})"


class Reply(msgspec.Struct, frozen=True):
    """What a server answered. ``body`` is its beginning only unless ``is_whole``; an encoded one is not read at all."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool

    @property
    def is_success(self) -> bool:
        """Whether the status is a 2xx: a redirect is not one."""
        return self.status in SUCCESS


class Failed(TheirError):
    """An exchange gave no answer. Its text says why, without any address."""


def make_client(url: str, connections: int, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """A client for one service. The machine's proxy settings apply, but not for its own loopback.

    Raises one of `failures` when the machine's proxy or certificate settings cannot be used.
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
        # Over plain HTTP, which only this machine's own addresses may be, nothing is verified: no certificates are read.
        verify=trust() if urlsplit(url).scheme == "https" else False,
        trust_env=not is_loopback(url),
    )


async def _forget_location(response: httpx.Response) -> None:
    """Take the address out of a redirect: httpx makes the next request of it even if it does not follow, and raises.

    The redirect would count as a lost answer then, although it says that nothing was taken.
    """
    response.headers.pop("Location", None)


async def exchange(client: httpx.AsyncClient, request: httpx.Request, body_max: int = BODY_MAX) -> Reply:
    """Send a request and read its answer, at most ``body_max`` bytes. Raises one of `failures`; sets no time limit."""
    with out_of_groups(failures):
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            body, is_whole = await _body(response, body_max)
        finally:
            await response.aclose()
    return Reply(response.status_code, response.headers, body, is_whole)


async def _body(response: httpx.Response, most: int) -> tuple[bytes, bool]:
    """The first ``most`` bytes of the body as it came, and whether that is all of it."""
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        return b"", False
    if response.is_stream_consumed:  # a transport of a test's own brings its body along
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
    """Close a client's connections, for at most `CLOSE_S` real seconds. What that raises changes nothing any more."""
    try:
        async with asyncio.timeout(CLOSE_S):
            with out_of_groups(failures):
                await client.aclose()
    except failures():
        return


class Caller:
    """Asks one service, such as the outside watch, over one connection that is made when first needed."""

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

    async def ask(
        self,
        method: str,
        url: str | None = None,
        *,
        content: str = "",
        limit_s: float | None = None,
    ) -> Reply:
        """Send a request with ``content`` as plain text to ``url`` (None: its own). Raises `Failed`."""
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
        """Close its connection, if one was made."""
        if "_client" in self.__dict__:
            await close_client(self._client)
