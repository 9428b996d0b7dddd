"""What every HTTP connection needs: whom TLS trusts, which exceptions mean the network failed, how much may be read.

`delivery` and `polygon_client` share it. Loads httpx and its dependencies on first use, because they take 40 ms.
"""

from __future__ import annotations

import contextlib
import functools
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from settings.types import LOOPBACK_HOSTS

if TYPE_CHECKING:
    import httpx

HEADERS_MAX = 512 * 1024
"""Bytes allowed before and around a body: httpcore accepts 100 kB of headers, and chunked bodies carry their sizes."""

SLOW_NUMBERS = (b"0e00", b"0e-000", b"0" * 40)
"""How the numbers look that msgspec may take 9 µs for, if every digit is a 0: ``1e308``, ``9e-324``, a hundred digits. Any
number that is a price takes 0.03 µs."""

_AS_ZERO = bytes.maketrans(b"123456789E", b"000000000e")

SLOW_FREE_BYTES = 8 * 1024
"""What is shorter holds too few of them to matter: reading it takes at most 10 ms."""


def slow_numbers(text: bytes) -> int:
    """Returns how many numbers of a JSON text take long to read."""
    plain = text.translate(_AS_ZERO, b"+")
    return sum(map(plain.count, SLOW_NUMBERS))


def is_slow(text: bytes, most: int) -> bool:
    """Returns whether a JSON text holds more than ``most`` numbers that take long to read."""
    return len(text) > SLOW_FREE_BYTES and slow_numbers(text) > most


OPENED = (".connect_tcp.complete", ".start_tls.complete")
"""Ends of the names of httpcore's trace events for an open connection. Each carries its stream as ``return_value``."""

Trace = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""What httpcore awaits at each step of a request: https://www.encode.io/httpcore/extensions/#trace."""


def is_loopback(url: str) -> bool:
    """Returns whether a URL leads to this machine."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS


@functools.cache
def trust() -> ssl.SSLContext:
    """Returns the one TLS context of REST, sockets and pushes: verification on, certifi's roots (or ``SSL_CERT_FILE``).

    Makes it on the first call, because reading the certificates takes 40 ms.
    """
    import httpx  # noqa: PLC0415

    return httpx.create_ssl_context()


def certificate_fault(error: BaseException) -> str | None:
    """Returns what is wrong with the server's certificate, if that is why a connection failed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message or "verification failed"
        cause = cause.__cause__ or cause.__context__
    return None


@functools.cache
def connection_faults() -> tuple[type[Exception], ...]:
    """Returns every exception that making, using or closing an HTTP connection raises for a fault outside this program.

    httpx translates httpcore's exceptions, and httpcore those of anyio that it knows. The others come through unchanged:
    `ssl.SSLError` (an OSError) for a bad record after the handshake, OSError for certificates that cannot be read,
    anyio's and h11's own if a connection ends while in use, ValueError for an address or a proxy that cannot be parsed
    or encoded (UnicodeError is one), OverflowError for a port, ImportError for a proxy that needs another package.
    """
    import anyio  # noqa: PLC0415
    import h11  # noqa: PLC0415
    import httpcore  # noqa: PLC0415
    import httpx  # noqa: PLC0415

    return (
        *(OSError, EOFError, ValueError, OverflowError, ImportError),
        *(httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict),
        *(httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, httpcore.TimeoutException),
        *(httpcore.UnsupportedProtocol, httpcore.ConnectionNotAvailable, h11.ProtocolError),
        *(anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.BusyResourceError),
        *(anyio.EndOfStream, anyio.IncompleteRead),
    )


@contextlib.contextmanager
def out_of_groups(faults: Callable[[], tuple[type[Exception], ...]]) -> Iterator[None]:
    """Raises the first exception of a group that holds only ``faults``. Lets a group with any other exception pass.

    anyio tries a name's addresses in a task group. It merges OSErrors into one, and raises the rest as a group.
    Calls ``faults`` only if a group was raised, so that httpx need not be loaded before.
    """
    try:
        yield
    except ExceptionGroup as group:
        if group.split(faults())[1] is not None:
            raise
        first: Exception = group
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise first from None


# --- How much may be read ----------------------------------------------------------------------------


def bound_stream(stream: Any, most: int) -> None:
    """Lets an open `httpcore.AsyncNetworkStream` read at most ``most`` bytes for each request written.

    Beyond that, a read raises `httpcore.ReadError`. A body's reader limits the body itself. This limits what nothing else
    does: interim responses (status 100 to 199), any number of which a server may send before the final one.
    """
    import httpcore  # noqa: PLC0415

    read, write, left = stream.read, stream.write, most

    async def bounded_read(max_bytes: int, timeout: float | None = None) -> bytes:
        nonlocal left
        if left <= 0:
            raise httpcore.ReadError(f"more than {most} bytes for one request")
        data: bytes = await read(max_bytes, timeout)
        left -= len(data)
        return data

    async def counted_write(buffer: bytes, timeout: float | None = None) -> None:
        nonlocal left
        left = most
        await write(buffer, timeout)

    stream.read, stream.write = bounded_read, counted_write


def bound_requests(body_max: int) -> Callable[[httpx.Request], Awaitable[None]]:
    """Returns a request hook for an httpx client that lets each request read at most ``body_max`` + `HEADERS_MAX` bytes."""

    async def bound(request: httpx.Request) -> None:
        traced: Trace | None = request.extensions.get("trace")

        async def trace(name: str, details: Mapping[str, Any]) -> None:
            if name.endswith(OPENED):
                bound_stream(details["return_value"], body_max + HEADERS_MAX)
            if traced is not None:
                await traced(name, details)

        request.extensions = {**request.extensions, "trace": trace}

    return bound
