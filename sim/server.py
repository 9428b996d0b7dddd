"""The loopback Massive/Polygon: both WebSocket clusters and the REST endpoints, on 127.0.0.1, in the wire format.

It speaks for a `Market` at the pace of a clock, which may be scaled; only the limits on a slow or mute
client are real seconds. It takes one connection per cluster (the newcomer evicts), holds bars two seconds,
sends corrected ones again, and does what `Faults` asks for.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import heapq
import json
import socket
import struct
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self

from aiohttp import WSCloseCode, WSMsgType, web

import utils
from events import SECOND
from sim.faults import BROKEN_EVENTS, BROKEN_FRAMES, GARBAGE, Fault, Faults, bad_bars, bad_rows
from sim.market import MILLI, PRE_MARKET_S, QUOTE_STEP_US, Contract, Market, OptionQuote, SimBar

Event = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHANNELS = {"stocks": ("A", "AM", "T", "Q", "LULD", "FMV"), "options": ("A", "AM", "T", "Q", "FMV")}
"""Channels that exist on each cluster; any other is ignored without a word."""

AUTH_REAL_SECONDS = 10.0
SEND_REAL_SECONDS = 5.0
"""A client that does not take a frame within this is a slow consumer and loses its connection."""
CLOSE_REAL_SECONDS = 2.0
DRIP_REAL_SECONDS = 0.5
FRAME_EVENTS = 100
AGGREGATES_LAG_US = 3 * SECOND
SEPARATE_EVERY = 3
"""Every third second's bars are sent in frames of their own, the others share one."""

MAX_CONNECTIONS_TEXT = (
    "Maximum number of websocket connections exceeded. You have reached the connection limit for your account. "
    "Please contact support at https://polygon.io/contact to increase your limit."
)
RATE_TEXT = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. "
    "https://polygon.io/pricing"
)
NOT_ENTITLED_TEXT = (
    "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing"
)
NGINX_PAGE = (
    "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n"
    "<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx/1.27.2</center>\r\n</body>\r\n</html>\r\n"
)

CHAIN_LIMIT, CHAIN_LIMIT_MAX = 10, 250
BARS_LIMIT, BARS_LIMIT_MAX = 5_000, 50_000


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
class Request:
    """A REST request as it was seen: never with a key. ``at`` is in µs of the market's clock."""

    method: str
    path: str
    query: dict[str, str]
    at: int


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
        await self.send(_dumps([_status(status, message) for status, message in statuses]))

    async def close(self, code: int) -> None:
        """Close with a close frame and an empty reason."""
        self.ended = True
        await self.socket.close(code=code)


def _status(status: str, message: str) -> Event:
    return {"ev": "status", "status": status, "message": message}


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


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


def aggregate_row(bar: SimBar) -> Event:
    """A bar as the second aggregates say it; ``v`` may be fractional."""
    return {
        "v": bar.volume,
        "vw": bar.vwap,
        "o": bar.open,
        "c": bar.close,
        "h": bar.high,
        "l": bar.low,
        "t": bar.start // MILLI,
        "n": bar.trades,
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
        self._rest = _Rest(self)
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
        response.headers["Date"] = formatdate(self.server_time() / SECOND, usegmt=True)

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
            return web.Response(status=fault["status"])
        # Pings are answered by hand, so that a fault can leave them unanswered.
        response = web.WebSocketResponse(autoping=False, compress=False, timeout=CLOSE_REAL_SECONDS)
        await response.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport), "the request has just been upgraded"
        self._number += 1
        connection = _Connection(cluster, response, transport, self._number)
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
            due: list[SimBar] = []
            while held and held[0][0] <= now:
                due.append(heapq.heappop(held)[2])
            while index < len(schedule) and schedule[index][0] <= now:
                at, order, bar = schedule[index]
                index += 1
                if fault := self.faults.take("late", feed="stocks"):
                    heapq.heappush(held, (at + int(fault["by"] * SECOND), order, bar))
                else:
                    due.append(bar)
            await self._send_bars(due)

    async def _send_bars(self, due: list[SimBar]) -> None:
        for connection in tuple(self._open["stocks"]):
            wanted = [bar for bar in due if {f"A.{bar.symbol}", "A.*"} & connection.pairs]
            for frame in _frames(wanted):
                await self._send_events(connection, [bar_event(bar) for bar in frame])

    async def _send_events(self, connection: _Connection, events: list[Event]) -> None:
        """Send good events in one frame, unless a fault swallows or soils them."""
        if self.faults.take("silence", feed=connection.cluster):
            return
        for payload in self._soil(connection.cluster, events):
            await connection.send(payload)

    def _soil(self, cluster: str, events: list[Event]) -> Iterator[str | bytes]:
        fault = self.faults.take("garbage", feed=cluster)
        if fault is None:
            yield _dumps(events)
            return
        kind = fault["kind"] or GARBAGE[self._garbage_turn % len(GARBAGE)]
        self._garbage_turn += 1
        if kind in BROKEN_FRAMES:
            yield BROKEN_FRAMES[kind]
            yield _dumps(events)
        else:
            broken = BROKEN_EVENTS[kind](events[0])
            yield _dumps([broken, events[0], broken, *events[1:], broken])

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
                yield quote_event(quote)


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


# --- REST --------------------------------------------------------------------------------------------


class _BadRequest(Exception):
    """The request is not one that the vendor answers; the text says why."""


class _Rest:
    """The REST endpoints and their faults."""

    def __init__(self, server: LoopbackMarket) -> None:
        self._server, self._market, self._faults = server, server.market, server.faults
        self._count = 0

    def routes(self) -> list[web.RouteDef]:
        """The addresses that are answered."""
        return [
            web.get("/v3/snapshot/options/{underlying}", self.chain),
            web.get("/v3/snapshot/options/{underlying}/{contract}", self.contract),
            web.get("/v2/aggs/ticker/{ticker}/range/{size}/{span}/{begin}/{end}", self.aggregates),
            web.get("/v1/marketstatus/now", self.status),
        ]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note the request, ask for the key, and let the faults have their way."""
        server = self._server
        if request.path in ("/stocks", "/options"):
            return await handler(request)
        query = {name: value for name, value in request.query.items() if name != "apiKey"}
        server.requests.append(Request(request.method, request.path, query, server.clock.now()))
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        key = token if scheme == "Bearer" else request.query.get("apiKey", "")
        if not key:
            return self._error(401, error="API Key was not provided")
        if not server.authorised(key):
            return self._error(401, error="Unknown API Key")
        refused = await self._refuse(request)
        if refused is not None:
            return refused
        try:
            response = await handler(request)
        except _BadRequest as error:
            return self._error(400, error=str(error))
        return await self._spoil(request, response)

    async def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        """The answer of a fault that comes instead of the real one."""
        take, path = self._faults.take, request.path
        if take("rest_reset", path=path):
            return _reset(request)
        if fault := take("rest_hang", path=path):
            await asyncio.sleep(fault["real_seconds"])
            return _reset(request)
        if fault := take("rest_429", path=path):
            response = self._error(429, error=RATE_TEXT)
            if fault["retry_after"] is not None:
                response.headers["Retry-After"] = str(fault["retry_after"])
            return response
        if take("rest_500", path=path):
            return self._error(500, error="Internal Server Error")
        if take("rest_html", path=path):
            return web.Response(status=504, text=NGINX_PAGE, content_type="text/html")
        if take("rest_401", path=path):
            return self._error(401, error="Unknown API Key")
        if take("rest_403", path=path):
            return self._not_entitled()
        if take("rest_empty", path=path):
            return self._json({})
        return None

    async def _spoil(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """A good answer, unless a fault spoils how it is sent."""
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
            return response
        if self._faults.take("rest_bad_json", path=request.path):
            return web.Response(
                body=response.body[: len(response.body) // 2], content_type="application/json"
            )
        if self._faults.take("rest_slow", path=request.path):
            return await _drip(request, response.body)
        return response

    def _json(self, body: dict[str, Any], status: int = 200, state: str = "OK") -> web.Response:
        self._count += 1
        return web.json_response(
            {"status": state, "request_id": f"{self._count:032x}", **body}, status=status, dumps=_dumps
        )

    def _error(self, status: int, **body: str) -> web.Response:
        return self._json(dict(body), status, "ERROR")

    def _not_entitled(self) -> web.Response:
        return self._json({"message": NOT_ENTITLED_TEXT}, 403, "NOT_AUTHORIZED")

    def _not_found(self, message: str) -> web.Response:
        return self._json({"message": message}, 404, "NOT_FOUND")

    # The chain

    async def chain(self, request: web.Request) -> web.Response:
        """``/v3/snapshot/options/{underlying}``: filters, sort, pages with an opaque cursor."""
        if not self._server.plan.chain:
            return self._not_entitled()
        query = dict(request.query)
        offset = 0
        if "cursor" in query:
            query = _read_cursor(query["cursor"])
            offset = int(query.pop("offset"))
        limit = _limit(query, CHAIN_LIMIT, CHAIN_LIMIT_MAX)
        found: list[Contract] = []
        if request.match_info["underlying"] == self._market.symbol:
            found = _select(self._market.listed, self._market.session.date, query)
        at = self._server.clock.now()
        chosen = found[offset : offset + limit]
        page: list[Any] = [self._entitle(self._market.row_of(contract, at)) for contract in chosen]
        if page and (fault := self._faults.take("bad_page", path=request.path)):
            broken = bad_rows(page[0], nan=fault["nan"])
            page = [*broken, page[0], *broken, *page[1:]]
        body: dict[str, Any] = {"results": page}
        if offset + limit < len(found):
            cursor = _cursor({**query, "offset": str(offset + limit)})
            body["next_url"] = self._next_url(request, f"{request.path}?cursor={cursor}")
        return self._json(body)

    async def contract(self, request: web.Request) -> web.Response:
        """``/v3/snapshot/options/{underlying}/{contract}``: one row as an object."""
        if not self._server.plan.chain:
            return self._not_entitled()
        known = request.match_info["underlying"] == self._market.symbol
        row = self._market.row(request.match_info["contract"], self._server.clock.now()) if known else None
        if row is None:
            return self._not_found("Options contract not found.")
        return self._json({"results": self._entitle(row)})

    def _entitle(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row as the plan shows it."""
        if self._faults.take("no_quotes"):
            del row["last_quote"]
        elif self._faults.take("delayed_quotes"):
            row["last_quote"]["timeframe"] = "DELAYED"
            row["underlying_asset"]["timeframe"] = "DELAYED"
        return row

    def _next_url(self, request: web.Request, path: str) -> str:
        if fault := self._faults.take("next_url_offhost", path=request.path):
            return f"{fault['host']}{path}"
        if self._faults.take("next_url_loop", path=request.path):
            return f"{self._server.rest_url}{request.path_qs}"
        return f"{self._server.rest_url}{path}"

    # Second aggregates

    async def aggregates(self, request: web.Request) -> web.Response:
        """``/v2/aggs/ticker/{T}/range/1/second/{from}/{to}``: seconds as known about 3 s ago."""
        if not self._server.plan.aggregates:
            return self._not_entitled()
        part = request.match_info
        if (part["size"], part["span"]) != ("1", "second"):
            raise _BadRequest("only 1 second aggregates are made here")
        query = {name: value for name, value in request.query.items() if name != "apiKey"}
        if "cursor" in query:
            query = _read_cursor(query["cursor"])
        limit = _limit(query, BARS_LIMIT, BARS_LIMIT_MAX)
        session = self._market.session
        first = _moment(part["begin"], session.open - PRE_MARKET_S * SECOND, session.date)
        last = _moment(part["end"], session.close, session.date)
        known_at = self._server.clock.now() - AGGREGATES_LAG_US
        if fault := self._faults.take("aggregates_lag"):
            known_at -= int(fault["by"] * SECOND)
        bars = self._market.known_between(part["ticker"], first, last, known_at)
        if query.get("sort") == "desc":
            bars.reverse()
        page: list[Any] = [aggregate_row(bar) for bar in bars[:limit]]
        body: dict[str, Any] = {
            "ticker": part["ticker"],
            "adjusted": query.get("adjusted", "true") == "true",
            "queryCount": len(page),
            "resultsCount": len(page),
        }
        if page:
            body["results"] = page
            if fault := self._faults.take("bad_page", path=request.path):
                broken = bad_bars(page[0], nan=fault["nan"])
                body["results"] = [*broken, page[0], *broken, *page[1:]]
        if len(bars) > limit:
            edge = bars[limit].start // MILLI
            span = (part["begin"], edge) if query.get("sort") == "desc" else (edge, part["end"])
            path = f"/v2/aggs/ticker/{part['ticker']}/range/1/second/{span[0]}/{span[1]}"
            body["next_url"] = self._next_url(request, f"{path}?cursor={_cursor(query)}")
        return self._json(body)

    # The market's status

    async def status(self, request: web.Request) -> web.Response:
        """``/v1/marketstatus/now``."""
        now, session = self._server.clock.now(), self._market.session
        moment = utils.new_york(self._server.server_time())
        market, early, after = "closed", False, False
        if self._faults.take("market_closed"):
            pass
        elif session.open <= now < session.close:
            market = "open"
        elif utils.new_york_date(now) == session.date and EARLIEST_HOUR <= moment.hour < LATEST_HOUR:
            market, early, after = "extended-hours", now < session.open, now >= session.close
        return web.json_response(
            {
                "market": market,
                "earlyHours": early,
                "afterHours": after,
                "exchanges": {"nyse": market, "nasdaq": market, "otc": market},
                "currencies": {"fx": "open", "crypto": "open"},
                "serverTime": moment.isoformat(timespec="seconds"),
            }
        )


EARLIEST_HOUR, LATEST_HOUR = 4, 20
"""Shares trade outside the regular session between these hours of New York."""


def _reset(request: web.Request) -> web.Response:
    """End the TCP connection with a reset."""
    transport = request.transport
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _drip(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for byte in body:
            await response.write(bytes([byte]))
            await asyncio.sleep(DRIP_REAL_SECONDS)
    return response


def _cursor(query: dict[str, str]) -> str:
    kept = {name: value for name, value in query.items() if name not in ("apiKey", "cursor")}
    return base64.urlsafe_b64encode(_dumps(kept).encode()).decode()


def _read_cursor(cursor: str) -> dict[str, str]:
    try:
        query = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        raise _BadRequest("the cursor is not one of ours") from None
    return {str(name): str(value) for name, value in query.items()}


def _limit(query: dict[str, str], usual: int, most: int) -> int:
    text = query.get("limit", str(usual))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise _BadRequest(f"'limit' must be a number from 1 to {most}")
    return int(text)


def _moment(text: str, edge: int, session_date: str) -> int:
    """The µs of a time in milliseconds or of a date, whose ``edge`` is given for the session's own date."""
    if text.isdigit():
        return int(text) * MILLI
    try:
        days = (date.fromisoformat(text) - date.fromisoformat(session_date)).days
    except ValueError:
        raise _BadRequest("'from' and 'to' take milliseconds or YYYY-MM-DD") from None
    return edge + days * 86_400 * SECOND


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda have, want: have == want,
    ".gte": lambda have, want: have >= want,
    ".gt": lambda have, want: have > want,
    ".lte": lambda have, want: have <= want,
    ".lt": lambda have, want: have < want,
}


def _select(listed: Iterable[Contract], expiry: str, query: dict[str, str]) -> list[Contract]:
    """The contracts that pass the filters, sorted. Names that the vendor does not know are ignored, as there."""
    name = query.get("sort", "ticker")
    if name not in ("ticker", "strike_price", "expiration_date"):
        raise _BadRequest("'sort' takes ticker, expiration_date or strike_price")
    found = [contract for contract in listed if _matches(contract, expiry, query)]
    by_strike = name == "strike_price"
    return sorted(
        found,
        key=lambda contract: (contract.strike if by_strike else 0.0, contract.ticker),
        reverse=query.get("order") == "desc",
    )


def _matches(contract: Contract, expiry: str, query: dict[str, str]) -> bool:
    side = "call" if contract.call else "put"
    if query.get("contract_type", side) != side:
        return False
    for operator, compare in _COMPARE.items():
        day, strike = query.get(f"expiration_date{operator}"), query.get(f"strike_price{operator}")
        if day is not None and not compare(expiry, day):
            return False
        if strike is not None and not compare(contract.strike, _number(strike)):
            return False
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _BadRequest("'strike_price' takes a number") from None
