"""A loopback market to watch, scripted sockets, and a server of REST answers, for the tests of the feeds."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import itertools
import json
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any

import httpx
import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from events import SECOND, Bar, ChainRow, Covered, Quote, Session
from feeds.massive.bad_input import BadInput, scrubber
from feeds.massive.rest import Rest
from feeds.massive.wire import FrameDecoder
from feeds.options import OptionsFeed, Wanted
from feeds.stocks import StocksFeed
from polygon_client import SessionClient
from rules import Rules
from sim.account import Plan
from sim.bars import SimBar
from sim.market import Market
from sim.server import LoopbackMarket
from tests.patience import PatientClock
from tests.wire import BASE, CALL, EXPIRY, KEY, NOW, StillClock, aggregate, frame, ok
from utils import Clock, ScaledClock, session_on


def texts(entries: list[Any]) -> list[str]:
    return [entry["text"] for entry in entries]


def make_decoder(clock: StillClock | None = None) -> FrameDecoder:
    decoder = FrameDecoder(BadInput("stocks", clock or StillClock(), scrubber(KEY)))
    decoder.asked |= {"IWM", "SPY", CALL}
    return decoder


Handler = Callable[[httpx.Request], httpx.Response]


class Server:
    """Answers from a list, the last one again and again; keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception | Handler) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer


def make_rest(server: Server, clock: StillClock | None = None, deadline_s: float = 9.0) -> Rest:
    return Rest(BASE, KEY, clock or StillClock(), httpx.MockTransport(server), deadline_s=deadline_s)


def open_rest(server: Server, **options: Any) -> Opened:
    return Opened(make_rest(server, **options))


class Opened:
    """A client that is closed at the end."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def __aenter__(self) -> Rest:
        return self._rest

    async def __aexit__(self, *error: object) -> None:
        await self._rest.aclose()


async def serve_once(
    behave: Callable[[asyncio.StreamWriter], Any],
) -> tuple[asyncio.Server, str, list[int]]:
    """A tiny HTTP server on a free port; ``behave`` writes the answer. Counts its connections."""
    count = [0]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count[0] += 1
        try:
            await reader.readuntil(b"\r\n\r\n")
            await behave(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, f"http://127.0.0.1:{port}", count


RULES = Rules(silence_alarm_seconds=600)
"""A machine that is busy for a moment must not look like half a minute of silence on a fast clock."""

BEGIN = 1200
"""Seconds after the open at which the stories begin."""


@functools.cache
def session() -> Session:
    found = session_on(datetime.date(2025, 10, 2))
    assert found is not None
    return found


@functools.cache
def market() -> Market:
    """The made day; making it takes a while, and nothing changes it."""
    return Market(5, session())


class Watch:
    """Iterates a feed in the background and keeps what it said, and when."""

    def __init__(self, batches: AsyncGenerator[Any, None], clock: Clock) -> None:
        self.seen: list[tuple[int, Any]] = []
        self.task = asyncio.create_task(self._run(batches, clock))

    async def _run(self, batches: AsyncGenerator[Any, None], clock: Clock) -> None:
        async with contextlib.aclosing(batches):
            async for events in batches:
                self.seen.extend((clock.now(), event) for event in events)

    def all(self, *kinds: type) -> list[Any]:
        return [event for _, event in self.seen if isinstance(event, kinds)]

    def live(self) -> list[Bar]:
        return [bar for bar in self.all(Bar) if not bar.backfilled]

    def facts(self) -> list[Any]:
        """Everything but bars and quotes."""
        return [event for _, event in self.seen if not isinstance(event, (Bar, Quote, Covered))]

    async def until(self, condition: Callable[[], Any], seconds: float = 15.0) -> None:
        """Wait until it holds; raises what ended the feed."""
        async with asyncio.timeout(seconds):
            while not condition():
                if self.task.done():
                    await self.task
                    raise AssertionError("the feed has ended")
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


class Place:
    """A loopback market, a REST client, and feeds on a scaled clock."""

    def __init__(
        self, server: LoopbackMarket, clock: ScaledClock, rest: Rest, *, rules: Rules, key: str, step_s: float
    ) -> None:
        self.server = server
        self.faults = server.faults
        self.clock = clock
        self.rest = rest
        self.rules = rules
        self.wanted = Wanted()
        self._key = key
        self._step_s = step_s
        self._watches: list[Watch] = []

    def client(self) -> SessionClient:
        return SessionClient(
            rest=self.rest, ws_url=self.server.ws_url, api_key=self._key, clock=self.clock, rules=self.rules,
            session=session(), rng=random.Random(11), step_s=self._step_s,
        )  # fmt: skip

    def watch(self, events: AsyncGenerator[Any, None]) -> Watch:
        self._watches.append(Watch(events, self.clock))
        return self._watches[-1]

    def stocks(self, position: bool = False, **options: Any) -> tuple[StocksFeed, Watch]:
        feed = self.client().stocks(**{"position_open": lambda: position, **options})
        return feed, self.watch(feed.events())

    def options(self) -> tuple[OptionsFeed, Watch]:
        feed = self.client().options(wanted=lambda: self.wanted)
        return feed, self.watch(feed.events())

    def poller(self, spot: float | None = None, streaming: bool = True) -> Watch:
        poller = self.client().chains(spot=lambda: spot, streaming=lambda: streaming)
        return self.watch(poller.events())

    def calls(self, count: int = 10) -> list[str]:
        """The calls nearest the money."""
        spot = market().spot(self.clock.now())
        calls = [contract for contract in market().contracts() if "C0" in contract]
        return sorted(calls, key=lambda contract: abs(market().strike(contract) - spot))[:count]

    def gaps(self, market_name: str = "stocks") -> list[float]:
        """Seconds of the clock between connections."""
        at = self.server.connects[market_name]
        return [(later - early) / SECOND for early, later in itertools.pairwise(at)]

    async def stop(self) -> None:
        for watch in self._watches:
            await watch.stop()


@contextlib.asynccontextmanager
async def open_place(
    *,
    speed: float = 40.0,
    second: int = BEGIN,
    plan: Plan | None = None,
    key: str = KEY,
    rules: Rules = RULES,
    step_s: float = 5.0,
) -> AsyncIterator[Place]:
    clock = PatientClock(session().open + second * SECOND, speed)
    async with LoopbackMarket(market(), clock, KEY, plan=plan) as server:
        rest = Rest(server.rest_url, key, clock)
        place = Place(server, clock, rest, rules=rules, key=key, step_s=step_s)
        try:
            yield place
        finally:
            await place.stop()
            await rest.aclose()


@functools.cache
def first_prints(symbol: str) -> dict[int, SimBar]:
    return {bar.start: bar for bar in market().bars(symbol)}


@functools.cache
def versions(symbol: str) -> dict[int, list[SimBar]]:
    """Every version of every second: the first print and its corrections."""
    found = {start: [bar] for start, bar in first_prints(symbol).items()}
    for fix in market().corrections(symbol):
        found[fix.bar.start].append(fix.bar)
    return found


def assert_true_bar(bar: Bar) -> None:
    """A bar is one that the market really printed, in one of its versions."""
    values = [(v.open, v.high, v.low, v.close, v.vwap) for v in versions(bar.symbol)[bar.start]]
    assert (bar.open, bar.high, bar.low, bar.close, bar.vwap) in values


Script = Callable[[ServerConnection], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def scripted(
    *scripts: Script, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[str]]]:
    """A socket server that follows one script per connection, the last one again; gives its address, and what it got."""
    left = list(scripts)
    got: list[str] = []

    async def serve(connection: ServerConnection) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        with contextlib.suppress(ConnectionClosed):
            await script(connection)

    server = await websockets.asyncio.server.serve(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}", got
    finally:
        server.close()
        await server.wait_closed()


def status(name: str, message: str = "") -> dict[str, str]:
    return {"ev": "status", "status": name, "message": message}


def live_bar(symbol: str, second: int) -> dict[str, Any]:
    start = NOW // 1000 + second * 1000
    return aggregate(sym=symbol, s=start, e=start + 1000)


@contextlib.asynccontextmanager
async def scripted_stocks(*scripts: Script, position: bool = False) -> AsyncIterator[Watch]:
    clock = PatientClock(NOW + 600 * SECOND, 10)
    rest = make_rest(Server(ok([])), StillClock())
    async with scripted(*scripts) as (url, _):
        client = SessionClient(
            rest=rest, ws_url=url, api_key=KEY, clock=clock, rules=RULES, session=session(), rng=random.Random(1),
            step_s=5.0,
        )  # fmt: skip
        feed = client.stocks(position_open=lambda: position)
        watch = Watch(feed.events(), clock)
        try:
            yield watch
        finally:
            await watch.stop()
            await rest.aclose()


async def read_on(connection: ServerConnection) -> None:
    async for _ in connection:
        pass


async def log_in(connection: ServerConnection, *pairs: str) -> None:
    await connection.send(frame(status("connected", "Connected Successfully")))
    assert json.loads(await connection.recv()) == {"action": "auth", "params": KEY}
    await connection.send(frame(status("auth_success", "authenticated")))
    await connection.recv()
    await connection.send(frame(*(status("success", f"subscribed to: {pair}") for pair in pairs)))


def said(code: int, /, **body: str) -> httpx.Response:
    return httpx.Response(code, json=body)


async def chain_of(
    *rows: Any, spot: float | None = 215.0, server: Server | None = None
) -> tuple[ChainRow, ...]:
    async with open_rest(server or Server(ok(list(rows)))) as rest:
        return (await rest.chain("IWM", EXPIRY, spot, 4.0)).rows


SELF_SIGNED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgv56xHV6iTvCfxEdO
u7dOg/x2ZOKiZVOBI9Mj1my5yKGhRANCAAR2IcUZS/whP+SME3RVYwPBaKuYFSkl
xLvazcoZmZnf5XVMlufaHz5BXz1+FZBIBu1Ks1+eLnWtsJZA06WIIP9q
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUd1QTAdak401P1aumd49PDuBLPTIwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjE0MjQyMloYDzIxMjYxMDI5
MTQyNDIyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAR2IcUZS/whP+SME3RVYwPBaKuYFSklxLvazcoZmZnf5XVMlufaHz5B
Xz1+FZBIBu1Ks1+eLnWtsJZA06WIIP9qo28wbTAdBgNVHQ4EFgQUa6d7Mp7GjKJE
ZbH0APmypPFQ80cwHwYDVR0jBBgwFoAUa6d7Mp7GjKJEZbH0APmypPFQ80cwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgbIHFFspFBik22Ri/B4aPJ3Ua/8PSAvqqxDD6eNVvcGQCIAeR
Rn0i5vjC8E1Qo2vlv+49ZCw/EscD9zLO5YnaeeR2
-----END CERTIFICATE-----
"""
"""A certificate for localhost that nobody vouches for; its key protects nothing but this test."""
