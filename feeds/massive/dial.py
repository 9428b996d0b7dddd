"""Opens a connection to a market, and explains a handshake that fails.

The `Dial` is passed in, like REST's transport: another network (a test's) passes its own.
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
"""Real seconds for the closing handshake. A clean close frees the account's only connection at once."""

HAPPY_EYEBALLS_S = 0.25
"""Real seconds after which the next address of a name is tried beside the first: RFC 8305, section 5, recommends 250 ms."""

CONNECTION_FAULTS = (OSError, EOFError, WebSocketException, ValueError, ImportError)
"""What the library, TLS, the resolver or a proxy may raise while a connection is opened, used or closed.

A broken TLS record and a timeout are OSErrors; a name or a proxy's address that cannot be encoded or read is a
ValueError; a SOCKS proxy without its library is an ImportError.
"""

ANSWER_JUDGED_BYTES = 64 * 1024
"""How much of a refused handshake's body is read, bytes."""

FRAME_MAX_BYTES = 1024 * 1024
"""The longest frame, bytes: the default of `websockets`, which the vendor's own client keeps."""

FRAMES_WAITING_MAX = 64
"""How many frames the library buffers before it stops reading, and so no longer sees pongs."""

_quiet_logger = logging.getLogger("polygon_client.websockets")
# At DEBUG the library would log every frame, including the one with the key.
_quiet_logger.setLevel(logging.WARNING)


class _Connect(connect):
    """The library's ``connect`` without redirects: the next frame would send the key to another server."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


DIAL: Dial = _Connect
"""The real network."""


async def open_connection(
    dial: Dial, url: str, *, market: str, clock: Clock, step_s: float
) -> ClientConnection:
    """Opens a websocket to ``url`` within ``step_s`` real seconds. Raises Lost, and nothing else, for any fault."""
    try:
        connection: ClientConnection = await dial(
            url,
            ssl=trust() if urlsplit(url).scheme == "wss" else None,
            # True: use the environment's proxy, which a machine behind one needs. Never for loopback.
            proxy=None if is_loopback(url) else True,
            open_timeout=step_s,
            close_timeout=CLOSE_TIMEOUT_S,
            # Without pongs the library would close a connection on which bars flow. The feeds watch for silence.
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
    """Returns the loss for a handshake that was answered with an HTTP status instead of a websocket."""
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
    """Returns whether a refusal's body has the vendor's form: a JSON object that says what is wrong."""
    try:
        answer = msgspec.json.decode(bytes(body or b"")[:ANSWER_JUDGED_BYTES], type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return not {"status", "error", "message", "request_id"}.isdisjoint(answer)


def _is_name(url: str) -> bool:
    """Returns whether a URL's host is a name, which may have several addresses.

    A single address needs no race between addresses, and if the attempt is cancelled at the wrong moment, Python 3.11
    leaves the winner's socket open until it is garbage-collected.
    """
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return True
    return False


@contextlib.contextmanager
def lost_by_fault(doing: str) -> Iterator[None]:
    """Turns whatever a connection may raise into Lost. ``doing`` begins its text."""
    try:
        yield
    except CONNECTION_FAULTS as error:
        raise Lost(FeedCause.DROPPED, f"{doing} ({fault_text(error)})") from None


def fault_text(error: BaseException) -> str:
    """Returns a fault's name without its arguments: an address among them may contain a proxy's password."""
    return printable(getattr(error, "strerror", None) or type(error).__name__)
