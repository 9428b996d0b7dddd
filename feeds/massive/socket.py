"""One connection to one market of the vendor: the protocol on it, and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from events import Bar, FeedCause
from feeds.massive.bad_input import BadInput, beginning, scrubber
from feeds.massive.dial import (
    CLOSE_TIMEOUT_S,
    CONNECTION_FAULTS,
    DIAL,
    fault_text,
    lost_by_fault,
    open_connection,
)
from feeds.massive.numbers import ahead_us
from feeds.massive.wire import FrameDecoder, Status, StreamEvent
from feeds.vendor import PING_TIMEOUT_S, Dial, Early, Lost, StreamQuote
from rules import Rules
from utils import Clock

log = structlog.get_logger("polygon_client")

HEAVY_FRAME_BYTES = 64 * 1024
"""After a frame longer than this the event loop gets a turn: decoding it takes a millisecond or more."""

UNKNOWN_STATUSES_MAX = 20
"""How many different unknown statuses are logged."""

ACKNOWLEDGEMENT = re.compile(r"(un)?subscribed to:\s*(.+)", re.IGNORECASE)


class Socket:
    """One connection to one market: connect, log in, subscribe, receive, ping, close.

    An answer may come in any frame, beside any other event, so it reads single events, not frames. Every method but
    `alive` and `close` raises only Lost for a fault of the vendor or the network.

    Consecutive connections may share ``decoder``. ``dial`` opens the websocket.
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
        dial: Dial = DIAL,
    ) -> None:
        self.acknowledged: set[str] = set()
        """Pairs such as ``A.IWM`` whose subscription the vendor has confirmed."""
        self.pending: set[str] = set()
        """Pairs that were requested and not answered yet."""
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
        self._dial = dial
        self._connection: ClientConnection | None = None
        self._seen: set[str] = set()
        self._unknown: set[str] = set()
        self._is_heavy = False
        self._parts: Iterator[list[StreamEvent]] = iter(())
        """What is left of the newest frame."""
        self._early: list[Bar | StreamQuote] = []
        self._end: Lost | None = None

    @property
    def unusable(self) -> Mapping[str, int]:
        """Returns how many unusable events came, by reason."""
        return {str(reason): count for reason, count in self._decoder.bad.counts.items()}

    async def open(self) -> None:
        """Connects and logs in."""
        self._connection = await open_connection(
            self._dial, self._url, market=self._market, clock=self._clock, step_s=self._step_s
        )
        await self._until("connected")
        await self._send("auth", self._api_key)
        await self._until("auth_success")

    async def subscribe(self, pairs: Iterable[str]) -> None:
        """Subscribes to ``pairs``. `receive` reads the answers."""
        wanted = sorted(pairs)
        self.pending.update(wanted)
        self._decoder.asked.update(pair.partition(".")[2] for pair in wanted)
        await self._send("subscribe", ",".join(wanted))

    async def unsubscribe(self, pairs: Iterable[str]) -> None:
        """Unsubscribes from ``pairs``."""
        unwanted = sorted(pairs)
        self.pending.difference_update(unwanted)
        self.acknowledged.difference_update(unwanted)
        await self._send("unsubscribe", ",".join(unwanted))

    async def receive(self) -> list[Bar | StreamQuote]:
        """Waits for the next frame and returns its data, a long frame's some at a time; empty if it has only statuses."""
        if self._early:
            early, self._early = self._early, []
            return early
        return await self._receive_frame()

    async def alive(self) -> bool:
        """Returns whether a ping is answered in time. A closed connection counts as alive: `receive` raises Lost for it."""
        assert self._connection is not None, "open it first"
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                with contextlib.suppress(ConnectionClosed):
                    await (await self._connection.ping())
        except CONNECTION_FAULTS:
            return False
        return True

    async def close(self) -> None:
        """Closes with a close frame; aborts if the peer does not answer."""
        if self._connection is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S + 0.5):
                await self._connection.close()
        except CONNECTION_FAULTS as error:
            # Abort: the account's only connection is free again once the peer sees this one end.
            log.debug(
                "close_failed", text=f"{self._market.capitalize()}: not closed properly: {fault_text(error)}"
            )
            self._connection.transport.abort()

    async def _receive_frame(self) -> list[Bar | StreamQuote]:
        if self._is_heavy:
            # The library returns buffered frames without a turn of the event loop, so give one here, between two frames.
            await asyncio.sleep(0)
        if (rest := next(self._parts, None)) is not None:
            return self._data_of(rest)
        if self._end is not None:
            raise self._end
        assert self._connection is not None, "open it first"
        with lost_by_fault("connection lost"):
            try:
                frame = await self._connection.recv(decode=False)
            except ConnectionClosed as closed:
                raise Lost(FeedCause.DROPPED, _closed_text(closed, self._scrub)) from None
        self.received_at = now = self._clock.now()
        self._parts = self._decoder.parts(frame, now)
        self._is_heavy = len(frame) > HEAVY_FRAME_BYTES
        return self._data_of(next(self._parts, []))

    def _data_of(self, events: list[StreamEvent]) -> list[Bar | StreamQuote]:
        """Applies the statuses among a frame's events, and returns the data."""
        data = [event for event in events if isinstance(event, (Bar, StreamQuote))]
        if len(data) < len(events):
            for event in events:
                if isinstance(event, Status):
                    self._apply_status(event)
        if self._end is not None and not data:
            raise self._end
        return data

    async def _send(self, action: str, params: str) -> None:
        assert self._connection is not None, "open it first"
        message = msgspec.json.encode({"action": action, "params": params}).decode()
        with lost_by_fault(f"{action} could not be sent"):
            try:
                async with asyncio.timeout(self._step_s):
                    # `receive` raises Lost for a closed connection, with the vendor's last words.
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

    def _apply_status(self, event: Status) -> None:
        status, message = event.status or "", beginning(event.message or "", self._scrub, 200)
        match status:
            case "connected" | "auth_success":
                self._seen.add(status)
            case "success":
                self._apply_acknowledgement(message)
            case "error" if "not authorized" in message.lower():
                self.unauthorized += 1
            case "auth_failed":
                self._end = _auth_failed(self._market, message)
            case "max_connections":
                self._end = Lost(FeedCause.EVICTED, "max_connections: another copy has taken the connection")
            case "auth_timeout" | "slow_consumer" | "force_disconnect":
                self._end = Lost(FeedCause.DROPPED, f"{status}: {message}")
            case _:
                self._warn_unknown(beginning(status, self._scrub, 40), message)

    def _apply_acknowledgement(self, message: str) -> None:
        match = ACKNOWLEDGEMENT.search(message)
        if match is None:
            return
        pairs = {pair.strip() for pair in match[2].split(",")}
        if match[1]:
            self.acknowledged -= pairs
        else:
            self.acknowledged |= pairs & self.pending
            self.pending -= pairs

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


class Sockets:
    """Makes the sockets of one market, one after the other. They share a decoder and its counters.

    ``rules`` say how far ahead of now a bar may end, or a quote be stamped. ``dial`` opens them (None: the real network).
    """

    def __init__(
        self,
        market: str,
        *,
        ws_url: str,
        api_key: str,
        clock: Clock,
        rules: Rules,
        step_s: float,
        dial: Dial | None = None,
    ) -> None:
        self.bad = BadInput(f"the {market} socket", clock, scrubber(api_key))
        self._decoder = FrameDecoder(self.bad, ahead_us(rules))
        self._make = functools.partial(
            Socket,
            market,
            ws_url=ws_url,
            api_key=api_key,
            clock=clock,
            decoder=self._decoder,
            step_s=step_s,
            dial=dial or DIAL,
        )

    def make(self, early: Early | None) -> Socket:
        """Returns a socket that is not open yet. It calls ``early`` with each bar that it leaves out as too early."""
        self._decoder.early = early
        return self._make()


def _closed_text(closed: ConnectionClosed, scrub: Callable[[str], str]) -> str:
    if closed.rcvd is None:
        return "connection lost without a close frame"
    reason = beginning(closed.rcvd.reason, scrub, 80)
    return f"closed by the vendor ({closed.rcvd.code}{' ' if reason else ''}{reason})"


def _auth_failed(market: str, message: str) -> Lost:
    """Returns the loss for a key or a plan that was refused at the login. ``message`` is the vendor's."""
    if "plan" in message.lower():
        advice = (
            f"Your plan has no websocket access for {market} (the vendor says: {message}). Real-time data "
            "needs Stocks Advanced and, for option quotes, Options Advanced."
        )
    else:
        advice = (
            f"The vendor refuses the API key (it says: {message}). Check POLYGON_API_KEY against the vendor's "
            "dashboard and start again."
        )
    return Lost(FeedCause.REFUSED, f"auth_failed: {message}", advice=advice, at_login=True)
