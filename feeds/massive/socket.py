"""One connection to one market of the vendor."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidProxyStatus, InvalidStatus, WebSocketException

from events import Bar, FeedCause
from feeds.massive.bad_input import beginning, printable, scrubber
from feeds.massive.headers import HTTP_FORBIDDEN, HTTP_UNAUTHORIZED, HTTP_WAITS, retry_after_s
from feeds.massive.wire import FrameDecoder, Status
from feeds.vendor import PING_TIMEOUT_S, Lost, StreamQuote
from network import certificate_fault, is_loopback, trust
from utils import Clock

log = structlog.get_logger("polygon_client")

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
"""How much of a refused handshake's body is looked at."""

FRAME_MAX_BYTES = 1024 * 1024
"""The vendor's own client takes frames up to 1,000,000 bytes."""

HEAVY_FRAME_BYTES = 64 * 1024
"""After a frame that is longer the loop gets its turn: it took a millisecond or more."""

FRAMES_WAITING_MAX = 64
"""Frames the library holds before it stops reading (and no longer sees pongs)."""

UNKNOWN_STATUSES_MAX = 20
"""Different statuses never heard of that are logged."""

ACKNOWLEDGEMENT = re.compile(r"(un)?subscribed to:\s*(.+)", re.IGNORECASE)

_quiet_logger = logging.getLogger("polygon_client.websockets")
# At DEBUG the library writes every frame into the log, the one with the key included.
_quiet_logger.setLevel(logging.WARNING)


@contextlib.contextmanager
def _lost_by_fault(doing: str) -> Iterator[None]:
    """Turn whatever a connection may raise into Lost."""
    try:
        yield
    except CONNECTION_FAULTS as error:
        raise Lost(FeedCause.DROPPED, f"{doing} ({_fault_text(error)})") from None


def _fault_text(error: BaseException) -> str:
    """What a fault is called, without anything that it was given: an address may hold a proxy's password."""
    return printable(getattr(error, "strerror", None) or type(error).__name__)


class _Connect(connect):
    """The library's ``connect``, following no redirect: the next thing sent would be the key."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _is_name(url: str) -> bool:
    """Whether a host is a name, which may have several addresses.

    For a single one asyncio's race is of no use, and Python 3.11 leaves its winner to the garbage collector when the
    attempt is cancelled at that moment.
    """
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return True
    return False


class Socket:
    """One connection to one market: connect, log in, subscribe, receive, ping, close.

    It goes by events, not by frames: what is awaited may come in any frame, beside anything else. Every method
    but `alive` and `close` raises Lost, and nothing else, for what the vendor or the network did.
    """

    def __init__(
        self,
        market: str,
        *,
        ws_url: str,
        api_key: str,
        clock: Clock,
        decoder: FrameDecoder,
        step_s: float,
    ) -> None:
        self.acknowledged: set[str] = set()
        """Pairs such as ``A.IWM`` whose subscription the vendor has confirmed."""
        self.pending: set[str] = set()
        """Pairs that were asked for and not answered."""
        self.unauthorized = 0
        """How often the vendor said ``not authorized``. It never says for what."""
        self.received_at = 0
        """When the newest frame came, µs."""
        self._market = market
        self._url = f"{ws_url.rstrip('/')}/{market}"
        self._api_key = api_key
        self._scrub = scrubber(api_key)
        self._clock = clock
        self._decoder = decoder
        self._step_s = step_s
        self._connection: ClientConnection | None = None
        self._seen: set[str] = set()
        self._unknown: set[str] = set()
        self._is_heavy = False
        self._early: list[Bar | StreamQuote] = []
        self._end: Lost | None = None

    async def open(self) -> None:
        """Connect and log in."""
        self._connection = await self._connect()
        await self._until("connected")
        await self._send("auth", self._api_key)
        await self._until("auth_success")

    async def subscribe(self, pairs: Iterable[str]) -> None:
        """Ask for ``pairs``; the answers come in `receive`."""
        wanted = sorted(pairs)
        self.pending.update(wanted)
        self._decoder.asked.update(pair.partition(".")[2] for pair in wanted)
        await self._send("subscribe", ",".join(wanted))

    async def unsubscribe(self, pairs: Iterable[str]) -> None:
        """Do without ``pairs`` from now on."""
        unwanted = sorted(pairs)
        self.pending.difference_update(unwanted)
        self.acknowledged.difference_update(unwanted)
        await self._send("unsubscribe", ",".join(unwanted))

    async def receive(self) -> list[Bar | StreamQuote]:
        """The data of the next frame; empty when it held only statuses."""
        if self._early:
            early, self._early = self._early, []
            return early
        return await self._receive_frame()

    async def alive(self) -> bool:
        """Whether a ping is answered in time. (That a connection is closed, `receive` says.)"""
        assert self._connection is not None, "open it first"
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                with contextlib.suppress(ConnectionClosed):
                    await (await self._connection.ping())
        except CONNECTION_FAULTS:
            return False
        return True

    async def close(self) -> None:
        """Close with a close frame; a peer that does not answer is left."""
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S + 0.5):
                await self._connection.close()
        except CONNECTION_FAULTS as error:
            # It is over either way; the account's slot is free once the peer sees the connection end.
            log.debug(
                "close_failed", text=f"{self._market.capitalize()}: not closed properly: {_fault_text(error)}"
            )
            self._connection.transport.abort()

    async def _receive_frame(self) -> list[Bar | StreamQuote]:
        if self._end is not None:
            raise self._end
        if self._is_heavy:
            # Frames that wait already are handed out without a turn of the loop between them. Nothing is in hand here.
            await asyncio.sleep(0)
        assert self._connection is not None, "open it first"
        with _lost_by_fault("connection lost"):
            try:
                frame = await self._connection.recv(decode=False)
            except ConnectionClosed as closed:
                raise Lost(FeedCause.DROPPED, self._closed_text(closed)) from None
        self.received_at = now = self._clock.now()
        events = self._decoder.decode(frame, now)
        self._is_heavy = len(frame) > HEAVY_FRAME_BYTES
        data = [event for event in events if isinstance(event, (Bar, StreamQuote))]
        if len(data) < len(events):
            for event in events:
                if isinstance(event, Status):
                    self._take_status(event)
        if self._end is not None and not data:
            raise self._end
        return data

    async def _connect(self) -> ClientConnection:
        secure = urlsplit(self._url).scheme == "wss"
        try:
            return await _Connect(
                self._url,
                ssl=trust() if secure else None,
                # A proxy named by the environment is used, as a machine behind one needs; never for loopback.
                proxy=None if is_loopback(self._url) else True,
                open_timeout=self._step_s,
                close_timeout=CLOSE_TIMEOUT_S,
                # The library would close a connection on which bars flow for want of pongs. Silence is judged here.
                ping_interval=None,
                happy_eyeballs_delay=HAPPY_EYEBALLS_S if _is_name(self._url) else None,
                max_size=FRAME_MAX_BYTES,
                max_queue=FRAMES_WAITING_MAX,
                logger=_quiet_logger,
            )
        except InvalidStatus as error:
            raise self._refused_handshake(error) from None
        except InvalidProxyStatus as error:
            status = error.response.status_code
            raise Lost(
                FeedCause.DROPPED, f"no connection (this machine's proxy answers HTTP {status})"
            ) from None
        except CONNECTION_FAULTS as error:
            fault = certificate_fault(error)
            if fault is None:
                raise Lost(FeedCause.DROPPED, f"no connection ({_fault_text(error)})") from None
            raise Lost(
                FeedCause.REFUSED,
                f"certificate not trusted ({fault})",
                advice=f"The certificate of the {self._market} socket is not trusted ({fault}). Check the spelling of "
                "POLYGON_WS_URL and this machine's date; the key was not sent.",
                is_key=False,
            ) from None

    def _refused_handshake(self, error: InvalidStatus) -> Lost:
        status = error.response.status_code
        text = f"handshake answered with HTTP {status}"
        if status in (HTTP_UNAUTHORIZED, HTTP_FORBIDDEN):
            if not _is_vendors(error.response.body):
                return Lost(
                    FeedCause.REFUSED,
                    f"{text}, not by the vendor",
                    advice=f"Something on the way to the vendor's {self._market} socket refuses the connection (HTTP "
                    f"{status}, not in the vendor's form): a proxy, a firewall or the vendor's front. Check "
                    "POLYGON_WS_URL and this machine's way to it; the key was not sent.",
                    is_key=False,
                    is_doubtful=True,
                )
            return Lost(
                FeedCause.REFUSED,
                text,
                advice=f"The vendor refuses the connection to its {self._market} socket (HTTP {status}). "
                "Check POLYGON_API_KEY, POLYGON_WS_URL and the account's plan.",
            )
        wait = error.response.headers.get("Retry-After") if status in HTTP_WAITS else None
        return Lost(FeedCause.DROPPED, text, retry_after=retry_after_s(wait, self._clock.now()))

    async def _send(self, action: str, params: str) -> None:
        assert self._connection is not None, "open it first"
        message = msgspec.json.encode({"action": action, "params": params}).decode()
        with _lost_by_fault(f"{action} could not be sent"):
            try:
                async with asyncio.timeout(self._step_s):
                    # That the connection is closed, and what the vendor said before, `receive` tells.
                    with contextlib.suppress(ConnectionClosed):
                        await self._connection.send(message)
            except TimeoutError:
                raise Lost(
                    FeedCause.DROPPED, f"{action} could not be sent within {self._step_s:g} s"
                ) from None

    async def _until(self, status: str) -> None:
        try:
            async with asyncio.timeout(self._step_s):
                while status not in self._seen:
                    self._early += await self._receive_frame()
        except TimeoutError:
            raise Lost(FeedCause.DROPPED, f"no {status} within {self._step_s:g} s") from None

    def _take_status(self, event: Status) -> None:
        status, message = event.status or "", beginning(event.message or "", self._scrub, 200)
        match status:
            case "connected" | "auth_success":
                self._seen.add(status)
            case "success":
                self._take_acknowledgement(message)
            case "error" if "not authorized" in message.lower():
                self.unauthorized += 1
            case "auth_failed":
                self._end = self._auth_failed(message)
            case "max_connections":
                self._end = Lost(FeedCause.EVICTED, "max_connections: another copy has taken the connection")
            case "auth_timeout" | "slow_consumer" | "force_disconnect":
                self._end = Lost(FeedCause.DROPPED, f"{status}: {message}")
            case _:
                self._warn_unknown(beginning(status, self._scrub, 40), message)

    def _take_acknowledgement(self, message: str) -> None:
        match = ACKNOWLEDGEMENT.search(message)
        if match is None:
            return
        pairs = {pair.strip() for pair in match[2].split(",")}
        if match[1]:
            self.acknowledged -= pairs
        else:
            self.acknowledged |= pairs & self.pending
            self.pending -= pairs

    def _auth_failed(self, message: str) -> Lost:
        if "plan" in message.lower():
            advice = (
                f"Your plan has no websocket access for {self._market} (the vendor says: {message}). Real-time data "
                "needs Stocks Advanced and, for option quotes, Options Advanced."
            )
        else:
            advice = (
                f"The vendor refuses the API key (it says: {message}). Check POLYGON_API_KEY against the vendor's "
                "dashboard and start again."
            )
        return Lost(FeedCause.REFUSED, f"auth_failed: {message}", advice=advice, at_login=True)

    def _warn_unknown(self, status: str, message: str) -> None:
        if status in self._unknown or len(self._unknown) >= UNKNOWN_STATUSES_MAX:
            return
        self._unknown.add(status)
        log.warning(
            "unknown_status",
            text=f"⚠️ {self._market.capitalize()}: unknown status {status or '(none)'}: {message}",
            market=self._market,
            status=status,
            message=message,
        )

    def _closed_text(self, closed: ConnectionClosed) -> str:
        if closed.rcvd is None:
            return "connection lost without a close frame"
        reason = beginning(closed.rcvd.reason, self._scrub, 80)
        return f"closed by the vendor ({closed.rcvd.code}{' ' if reason else ''}{reason})"


def _is_vendors(body: bytes | bytearray | None) -> bool:
    """Whether the body of a refusal has the vendor's form: a JSON object that says what is wrong."""
    try:
        answer = msgspec.json.decode(bytes(body or b"")[:ANSWER_JUDGED_BYTES], type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return not {"status", "error", "message", "request_id"}.isdisjoint(answer)
