"""Making a connection to a market, and what a handshake that fails says.

The dial is handed in, as REST's transport is: whoever brings another network brings its own `Dial`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidProxyStatus, InvalidStatus, WebSocketException

from events import FeedCause
from feeds.massive.bad_input import printable
from feeds.massive.headers import HTTP_FORBIDDEN, HTTP_UNAUTHORIZED, HTTP_WAITS, retry_after_s
from feeds.vendor import Dial, Lost
from network import certificate_fault, is_loopback, trust
from utils import Clock

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
"""How much of a refused handshake's body is read."""

FRAME_MAX_BYTES = 1024 * 1024
"""The vendor's own client takes frames up to 1,000,000 bytes."""

FRAMES_WAITING_MAX = 64
"""Frames the library holds before it stops reading (and no longer sees pongs)."""

_quiet_logger = logging.getLogger("polygon_client.websockets")
# At DEBUG the library writes every frame into the log, the one with the key included.
_quiet_logger.setLevel(logging.WARNING)


class _Connect(connect):
    """The library's ``connect``, following no redirect: the next thing sent would be the key."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


DIAL: Dial = _Connect
"""The real network."""


async def open_connection(
    dial: Dial, url: str, *, market: str, clock: Clock, step_s: float
) -> ClientConnection:
    """Dial ``url`` within ``step_s`` real seconds. Raises Lost, and nothing else, for whatever goes wrong."""
    try:
        connection: ClientConnection = await dial(
            url,
            ssl=trust() if urlsplit(url).scheme == "wss" else None,
            # A proxy named by the environment is used, as a machine behind one needs; never for loopback.
            proxy=None if is_loopback(url) else True,
            open_timeout=step_s,
            close_timeout=CLOSE_TIMEOUT_S,
            # The library would close a connection on which bars flow for want of pongs. The feeds judge silence.
            ping_interval=None,
            happy_eyeballs_delay=HAPPY_EYEBALLS_S if _is_name(url) else None,
            max_size=FRAME_MAX_BYTES,
            max_queue=FRAMES_WAITING_MAX,
            logger=_quiet_logger,
        )
    except InvalidStatus as error:
        raise _refused_handshake(error, market, clock.now()) from None
    except InvalidProxyStatus as error:
        status = error.response.status_code
        raise Lost(FeedCause.DROPPED, f"no connection (this machine's proxy answers HTTP {status})") from None
    except CONNECTION_FAULTS as error:
        fault = certificate_fault(error)
        if fault is None:
            raise Lost(FeedCause.DROPPED, f"no connection ({fault_text(error)})") from None
        raise Lost(
            FeedCause.REFUSED,
            f"certificate not trusted ({fault})",
            advice=f"The certificate of the {market} socket is not trusted ({fault}). Check the spelling of "
            "POLYGON_WS_URL and this machine's date; the key was not sent.",
            is_key=False,
        ) from None
    return connection


def _refused_handshake(error: InvalidStatus, market: str, now: int) -> Lost:
    """What an HTTP status instead of a websocket says about the market's connection."""
    status = error.response.status_code
    text = f"handshake answered with HTTP {status}"
    if status not in (HTTP_UNAUTHORIZED, HTTP_FORBIDDEN):
        wait = error.response.headers.get("Retry-After") if status in HTTP_WAITS else None
        return Lost(FeedCause.DROPPED, text, retry_after=retry_after_s(wait, now))
    if is_vendors(error.response.body):
        return Lost(
            FeedCause.REFUSED,
            text,
            advice=f"The vendor refuses the connection to its {market} socket (HTTP {status}). "
            "Check POLYGON_API_KEY, POLYGON_WS_URL and the account's plan.",
        )
    return Lost(
        FeedCause.REFUSED,
        f"{text}, not by the vendor",
        advice=f"Something on the way to the vendor's {market} socket refuses the connection (HTTP "
        f"{status}, not in the vendor's form): a proxy, a firewall or the vendor's front. Check "
        "POLYGON_WS_URL and this machine's way to it; the key was not sent.",
        is_key=False,
        is_doubtful=True,
    )


def is_vendors(body: bytes | bytearray | None) -> bool:
    """Whether the body of a refusal has the vendor's form: a JSON object that says what is wrong."""
    try:
        answer = msgspec.json.decode(bytes(body or b"")[:ANSWER_JUDGED_BYTES], type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return not {"status", "error", "message", "request_id"}.isdisjoint(answer)


def _is_name(url: str) -> bool:
    """Whether a host is a name, which may have several addresses.

    For a single address asyncio's race is of no use, and Python 3.11 leaves the race's winner to the garbage collector
    when the attempt is cancelled at that moment.
    """
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return True
    return False


@contextlib.contextmanager
def lost_by_fault(doing: str) -> Iterator[None]:
    """Turn whatever a connection may raise into Lost."""
    try:
        yield
    except CONNECTION_FAULTS as error:
        raise Lost(FeedCause.DROPPED, f"{doing} ({fault_text(error)})") from None


def fault_text(error: BaseException) -> str:
    """What a fault is called, without anything that it was given: an address may hold a proxy's password."""
    return printable(getattr(error, "strerror", None) or type(error).__name__)
