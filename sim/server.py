"""The loopback Massive/Polygon: both WebSocket clusters and the REST endpoints, on 127.0.0.1, in the wire format.

The REST half is in `sim.rest`. It speaks for a `Market` at the pace of a clock, which may be scaled; only the limits on a slow or mute
client are real seconds. It takes one connection per cluster (the newcomer evicts), holds bars two seconds,
sends corrected ones again, and does what `Faults` asks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self

from aiohttp import WSCloseCode, WSMsgType, web

import utils
from events import SECOND
from sim.faults import BROKEN_EVENTS, BROKEN_FRAMES, GARBAGE, Fault, Faults, flood
from sim.market import MILLI, Market, SimBar
from sim.options import QUOTE_STEP_US, OptionQuote
from sim.rest import Request, Rest, dumps

Event = dict[str, Any]

CHANNELS = {"stocks": ("A", "AM", "T", "Q", "LULD", "FMV"), "options": ("A", "AM", "T", "Q", "FMV")}
"""Channels that exist on each cluster; any other is ignored without a word."""

AUTH_REAL_SECONDS = 10.0
SEND_REAL_SECONDS = 5.0
"""A client that does not take a frame within this is a slow consumer and loses its connection."""
CLOSE_REAL_SECONDS = 2.0
FRAME_EVENTS = 100
SEPARATE_EVERY = 3
"""Every third second's bars are sent in frames of their own, the others share one."""

MAX_CONNECTIONS_TEXT = (
    "Maximum number of websocket connections exceeded. You have reached the connection limit for your account. "
    "Please contact support at https://polygon.io/contact to increase your limit."
)


# --- What the account has, and what was seen ---------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the made account includes. ``connections`` is per cluster."""

    connections: int = 1
    websocket: bool = True
    stock_channels: tuple[str, ...] = CHANNELS["stocks"]
    option_channels: tuple[str, ...] = CHANNELS["options"]
    chain: bool = True
    aggregates: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection that has ended at ``at``: ``code`` is the client's close code, None without a close frame from it."""

    cluster: str
    at: int
    code: int | None


@dataclass(eq=False, slots=True)
class _Connection:
    """One WebSocket and what it has asked for."""

    cluster: str
    socket: web.WebSocketResponse
    transport: asyncio.Transport
    number: int
    authenticated: bool = False
    ended: bool = False
    client_code: int | None = None
    pairs: set[str] = field(default_factory=set)
    quotes: dict[str, tuple[float, float, int, int]] = field(default_factory=dict)
    last: str = ""
    """The last good frame that was sent."""
    since: int = 0
    """When it was made, µs."""

    def abort(self) -> None:
        """End the TCP connection without a close frame."""
        self.ended = True
        self.transport.close()

    async def send(self, payload: str | bytes) -> None:
        """Send one frame. A client that does not take it in time, or is gone, loses the connection."""
        if self.ended or self.socket.closed:
            return
        try:
            async with asyncio.timeout(SEND_REAL_SECONDS):
                if isinstance(payload, bytes):
                    await self.socket.send_bytes(payload)
                else:
                    await self.socket.send_str(payload)
        except (TimeoutError, ConnectionError):
            self.abort()

    async def say(self, *statuses: tuple[str, str]) -> None:
        """Send status events in one frame."""
        await self.send(dumps([_status(status, message) for status, message in statuses]))

    async def close(self, code: int) -> None:
        """Close with a close frame and an empty reason."""
        self.ended = True
        await self.socket.close(code=code)


def _status(status: str, message: str) -> Event:
    return {"ev": "status", "status": status, "message": message}


def bar_event(bar: SimBar) -> Event:
    """A bar as the stocks socket says it: ``v`` and ``av`` truncated, their fractions in ``dv`` and ``dav``."""
    event: Event = {
        "ev": "A",
        "sym": bar.symbol,
        "v": int(bar.volume),
        "dv": f"{bar.volume:.3f}".rstrip("0").rstrip("."),
        "av": int(bar.accumulated),
        "dav": f"{bar.accumulated:.3f}".rstrip("0").rstrip("."),
        "op": bar.day_open,
        "vw": bar.vwap,
        "o": bar.open,
        "c": bar.close,
        "h": bar.high,
        "l": bar.low,
        "a": bar.day_vwap,
        "z": max(1, int(bar.volume / bar.trades)),
        "s": bar.start // MILLI,
        "e": bar.end // MILLI,
    }
    if bar.day_open is None:
        del event["op"]
    return event


def quote_event(quote: OptionQuote) -> Event:
    """A quote as the options socket says it; ``t`` in milliseconds, 0 for an absent side."""
    return {
        "ev": "Q",
        "sym": quote.contract,
        "bx": quote.bid_exchange,
        "ax": quote.ask_exchange,
        "bp": quote.bid,
        "ap": quote.ask,
        "bs": quote.bid_size,
        "as": quote.ask_size,
        "t": quote.at // MILLI,
        "q": quote.sequence,
    }


# --- The server --------------------------------------------------------------------------------------


class LoopbackMarket:
    """An account at the made vendor. An async context manager; ``rest_url`` and ``ws_url`` stand once it is entered.

    ``faults`` takes what shall go wrong. For tests: ``connects`` (times by cluster), ``evictions``, ``ended``,
    ``requests``, and `subscriptions` and `open_connections`.
    """

    def __init__(
        self,
        market: Market,
        clock: utils.Clock,
        api_key: str,
        *,
        plan: Plan | None = None,
        port: int = 0,
        auth_real_seconds: float = AUTH_REAL_SECONDS,
    ) -> None:
        self.market, self.clock, self.plan = market, clock, plan or Plan()
        self.faults = Faults(clock)
        self.faults.on_add = self._act_on
        self.connects: dict[str, list[int]] = {"stocks": [], "options": []}
        self.evictions: list[tuple[str, int]] = []
        self.ended: list[Ended] = []
        self.requests: list[Request] = []
        self.rest_url = self.ws_url = ""
        self._api_key, self._port = api_key, port
        self._auth_real_seconds = auth_real_seconds
        self._open: dict[str, list[_Connection]] = {"stocks": [], "options": []}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._garbage_turn = 0
        self._number = 0
        self._rest = Rest(self)
        app = web.Application(middlewares=[self._rest.middleware])
        app.on_response_prepare.append(self._stamp)
        app.add_routes([web.get("/stocks", self._socket), web.get("/options", self._socket)])
        app.add_routes(self._rest.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_REAL_SECONDS)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.rest_url, self.ws_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        self._spawn(self._play_bars())
        self._spawn(self._play_quotes())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        connections = [*self._open["stocks"], *self._open["options"]]
        await asyncio.gather(*(connection.close(WSCloseCode.GOING_AWAY) for connection in connections))
        await self._runner.cleanup()
        # A failure of the server explains whatever went wrong with its user, and so goes first.
        if self._failures and not isinstance(error, asyncio.CancelledError):
            raise self._failures[0]

    def subscriptions(self, cluster: str) -> set[str]:
        """The pairs that are subscribed now on a cluster, over all its connections."""
        return set[str]().union(*(connection.pairs for connection in self._open[cluster]))

    def open_connections(self, cluster: str) -> int:
        """How many connections of a cluster are open now."""
        return sum(not connection.ended for connection in self._open[cluster])

    def authorised(self, key: str) -> bool:
        """Whether that is the account's key."""
        return key == self._api_key

    async def _stamp(self, request: web.Request, response: web.StreamResponse) -> None:
        cached = self.faults.take("cached")
        age = int(cached["by"]) if cached else 0
        response.headers["Date"] = formatdate(self.server_time() // SECOND - age, usegmt=True)
        if age:
            response.headers["Age"] = str(age)
        if self.faults.take("no_date"):
            del response.headers["Date"]

    def server_time(self) -> int:
        """What the server takes for now, µs: the clock's, unless its date is skewed."""
        fault = self.faults.take("skewed_date")
        return self.clock.now() + (int(fault["by"] * SECOND) if fault else 0)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    # Sockets: a connection's life

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        cluster = request.path.strip("/")
        self.connects[cluster].append(self.clock.now())
        if fault := self.faults.take("handshake", feed=cluster):
            return self._rest.refused_handshake(fault["status"], html=fault["html"])
        # Pings are answered by hand, so that a fault can leave them unanswered.
        response = web.WebSocketResponse(autoping=False, compress=False, timeout=CLOSE_REAL_SECONDS)
        await response.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport), "the request has just been upgraded"
        self._number += 1
        connection = _Connection(cluster, response, transport, self._number, since=self.clock.now())
        self._open[cluster].append(connection)
        try:
            await self._serve(connection)
        finally:
            connection.ended = True
            self._open[cluster].remove(connection)
            self.ended.append(Ended(cluster, self.clock.now(), connection.client_code))
        return response

    async def _serve(self, connection: _Connection) -> None:
        cluster = connection.cluster
        if fault := self.faults.take("accept_then_close", feed=cluster):
            await connection.close(fault["code"])
            return
        if self._drop(connection, "now") or self._drop(connection, "open"):
            return
        if not self.faults.take("no_connected", feed=cluster):
            await connection.say(("connected", "Connected Successfully"))
        try:
            async with asyncio.timeout(self._auth_real_seconds) as limit:
                while not connection.ended and (text := await self._receive(connection)) is not None:
                    await self._answer(connection, text)
                    if connection.authenticated:
                        limit.reschedule(None)
        except TimeoutError:
            await connection.say(("auth_timeout", "No authentication request received."))
            connection.abort()

    async def _receive(self, connection: _Connection) -> str | None:
        """The next text from the client; None when the connection has ended. Pings are answered on the way."""
        while True:
            message = await connection.socket.receive()
            match message.type:
                case WSMsgType.TEXT:
                    return str(message.data)
                case WSMsgType.PING:
                    fault = self.faults.find("silence", feed=connection.cluster)
                    if self.faults.take("no_pong", feed=connection.cluster):
                        continue
                    if fault is None or fault["pings"]:
                        with contextlib.suppress(ConnectionError):
                            await connection.socket.pong(message.data)
                case WSMsgType.CLOSE:
                    if not connection.ended:
                        connection.client_code = message.data
                    return None
                case WSMsgType.CLOSING | WSMsgType.CLOSED | WSMsgType.ERROR:
                    return None

    def _drop(self, connection: _Connection, stage: str) -> bool:
        fault = self.faults.take("drop", feed=connection.cluster, stage=stage)
        if fault is not None:
            connection.abort()
        return fault is not None

    async def _answer(self, connection: _Connection, text: str) -> None:
        try:
            message = json.loads(text)
        except json.JSONDecodeError:
            return
        if not isinstance(message, dict):
            return
        params = message.get("params")
        if not isinstance(params, str):
            return
        match message.get("action"):
            case "auth":
                await self._authenticate(connection, params)
            case "subscribe" if connection.authenticated:
                await self._subscribe(connection, params.split(","))
            case "unsubscribe" if connection.authenticated:
                held = [pair for pair in params.split(",") if pair in connection.pairs]
                connection.pairs.difference_update(held)
                await self._acknowledge(connection, [f"unsubscribed to: {pair}" for pair in held])

    async def _authenticate(self, connection: _Connection, key: str) -> None:
        cluster = connection.cluster
        if self.faults.take("max_connections_at_auth", feed=cluster):
            await self._evict(connection)
            return
        refusal = self.faults.take("refuse_auth", feed=cluster)
        if refusal or not self.authorised(key) or not self.plan.websocket:
            by_plan = refusal["plan"] if refusal else self.authorised(key)
            text = "Your plan doesn't include websocket access." if by_plan else "authentication failed"
            await connection.say(("auth_failed", text))
            connection.abort()
            return
        connection.authenticated = True
        await connection.say(("auth_success", "authenticated"))
        if self._drop(connection, "auth"):
            return
        others = [other for other in self._open[cluster] if other.authenticated and not other.ended]
        for other in others[: -self.plan.connections]:
            self._spawn(self._evict(other))

    async def _evict(self, connection: _Connection) -> None:
        self.evictions.append((connection.cluster, self.clock.now()))
        await connection.say(("max_connections", MAX_CONNECTIONS_TEXT))
        await connection.close(WSCloseCode.POLICY_VIOLATION)

    async def _evict_later(self, connection: _Connection, fault: Fault) -> None:
        await self.clock.sleep(fault["after"])
        if not connection.ended:
            await self._evict(connection)

    async def _subscribe(self, connection: _Connection, asked: Iterable[str]) -> None:
        cluster = connection.cluster
        allowed = self.plan.stock_channels if cluster == "stocks" else self.plan.option_channels
        taken: list[str] = []
        refused = False
        for pair in dict.fromkeys(asked):
            channel = pair.partition(".")[0]
            if channel not in CHANNELS[cluster] or pair in connection.pairs:
                continue
            if channel not in allowed:
                refused = True
            elif not self.faults.take("no_ack", feed=cluster, pair=pair):
                taken.append(pair)
        if refused:
            await connection.say(("error", "not authorized"))
        connection.pairs.update(taken)
        await self._acknowledge(connection, [f"subscribed to: {pair}" for pair in taken])
        if self._drop(connection, "subscribe"):
            return
        if fault := self.faults.take("evict", feed=cluster):
            self._spawn(self._evict_later(connection, fault))

    @staticmethod
    async def _acknowledge(connection: _Connection, texts: list[str]) -> None:
        """One success for each pair: in one frame on every second connection, one by one on the others."""
        size = FRAME_EVENTS if connection.number % 2 else 1
        for begin in range(0, len(texts), size):
            await connection.say(*(("success", text) for text in texts[begin : begin + size]))

    def _act_on(self, fault: Fault) -> None:
        """Let a new fault act on the connections that are open already."""
        feed = fault.options.get("feed", "")
        for connection in [*self._open["stocks"], *self._open["options"]]:
            if feed not in ("", connection.cluster) or connection.ended or fault.times == 0:
                continue
            if fault.name == "drop" and fault["stage"] == "now":
                self.faults.use(fault)
                connection.abort()
            elif fault.name == "evict" and connection.authenticated:
                self.faults.use(fault)
                self._spawn(self._evict_later(connection, fault))

    # Sockets: what is sent

    async def _play_bars(self) -> None:
        """Send each bar when its time has come, and again when it is corrected."""
        schedule = self.market.schedule
        held: list[tuple[int, int, SimBar]] = []
        index = bisect_right(schedule, self.clock.now(), key=lambda item: item[0])
        while index < len(schedule) or held:
            coming = [queue[0][0] for queue in (schedule[index : index + 1], held) if queue]
            await self.clock.sleep((min(coming) - self.clock.now()) / SECOND)
            now = self.clock.now()
            due: list[tuple[SimBar, bool]] = []
            while held and held[0][0] <= now:
                due.append((heapq.heappop(held)[2], True))
            while index < len(schedule) and schedule[index][0] <= now:
                at, order, bar = schedule[index]
                index += 1
                due.append((bar, False))
                if fault := self.faults.find("late", feed="stocks", symbol=bar.symbol):
                    heapq.heappush(held, (at + int(fault["by"] * SECOND), order, bar))
            await self._send_bars(due)

    async def _send_bars(self, due: list[tuple[SimBar, bool]]) -> None:
        for connection in tuple(self._open["stocks"]):
            wanted = [bar for bar, is_held in due if self._is_sent(connection, bar, is_held)]
            for frame in _frames(wanted):
                await self._send_events(connection, [self._bar_event(bar) for bar in frame])

    def _bar_event(self, bar: SimBar) -> Event:
        """A bar as it is sent: as it was, unless a fault makes it absurd."""
        event = bar_event(bar)
        fault = self.faults.find("absurd_print", symbol=bar.symbol)
        if fault is None:
            return event
        self.faults.use(fault)
        volume = bar.volume * fault["volume"]
        prices = {key: round(event[key] * fault["factor"], 4) for key in ("o", "h", "l", "c", "vw")}
        return {**event, **prices, "v": int(volume), "dv": f"{volume:.3f}"}

    def _is_sent(self, connection: _Connection, bar: SimBar, is_held: bool) -> bool:
        """Whether a bar goes over a connection now: ``is_held`` when it was held back for a time."""
        if not {f"A.{bar.symbol}", "A.*"} & connection.pairs:
            return False
        if self._fault_on(connection, "one_silent", bar.symbol, is_used=True):
            return False
        if not is_held:
            return not self._fault_on(connection, "late", bar.symbol, is_used=True)
        late = self.faults.find("late", feed="stocks", symbol=bar.symbol)
        return late is None or self._fault_on(connection, "late", bar.symbol)

    def _fault_on(self, connection: _Connection, name: str, symbol: str, *, is_used: bool = False) -> bool:
        """Whether a fault of a symbol is in force on a connection: a new one may cure it."""
        fault = self.faults.find(name, feed="stocks", symbol=symbol)
        if fault is None or (fault["cured"] and connection.since > fault.asked_at):
            return False
        if is_used:
            self.faults.use(fault)
        return True

    async def _send_events(self, connection: _Connection, events: list[Event]) -> None:
        """Send good events in one frame, unless a fault swallows or soils them."""
        if self.faults.take("silence", feed=connection.cluster):
            return
        if connection.last and self.faults.take("repeat", feed=connection.cluster):
            await connection.send(connection.last)
            return
        connection.last = dumps(events)
        if fault := self.faults.take("flood", feed=connection.cluster):
            await connection.send(flood(fault["size"]))
        for payload in self._soil(connection.cluster, events):
            await connection.send(payload)

    def _soil(self, cluster: str, events: list[Event]) -> Iterator[str | bytes]:
        fault = self.faults.take("garbage", feed=cluster)
        if fault is None:
            yield dumps(events)
            return
        kind = fault["kind"] or GARBAGE[self._garbage_turn % len(GARBAGE)]
        self._garbage_turn += 1
        if kind in BROKEN_FRAMES:
            yield BROKEN_FRAMES[kind]
            yield dumps(events)
        else:
            broken = BROKEN_EVENTS[kind](events[0])
            yield dumps([broken, events[0], broken, *events[1:], broken])

    async def _play_quotes(self) -> None:
        """Send a contract's quote whenever it has changed."""
        while True:
            now = self.clock.now()
            await self.clock.sleep((QUOTE_STEP_US - now % QUOTE_STEP_US) / SECOND)
            at = self.clock.now()
            for connection in tuple(self._open["options"]):
                changed = list(self._changed_quotes(connection, at))
                for begin in range(0, len(changed), FRAME_EVENTS):
                    await self._send_events(connection, changed[begin : begin + FRAME_EVENTS])

    def _changed_quotes(self, connection: _Connection, at: int) -> Iterator[Event]:
        for pair in sorted(connection.pairs):
            channel, _, contract = pair.partition(".")
            quote = self.market.quote(contract, at) if channel == "Q" else None
            if quote is None:
                continue
            shown = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
            if connection.quotes.get(contract) != shown:
                connection.quotes[contract] = shown
                event = quote_event(quote)
                if fault := self.faults.take("absurd_quotes"):
                    event |= {side: round(event[side] * fault["factor"], 4) for side in ("bp", "ap")}
                yield event


def _frames(bars: list[SimBar]) -> Iterator[list[SimBar]]:
    """Bars as they share frames: mostly together, every third second each in one of its own."""
    shared: list[SimBar] = []
    for bar in bars:
        if bar.start // SECOND % SEPARATE_EVERY == 0:
            yield [bar]
        else:
            shared.append(bar)
    for begin in range(0, len(shared), FRAME_EVENTS):
        yield shared[begin : begin + FRAME_EVENTS]
