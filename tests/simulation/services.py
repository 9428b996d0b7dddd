"""What surrounds the worker on the simulated network: the market, the push service and the dead-man's switch.

Each is the loopback server of `sim`, or a small one here; each request passes through a middleware that notes it for the
story, and in which the push service's faults are played.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.typedefs import Handler

from events import SECOND
from sim.connection import Connection as MarketConnection
from sim.link import Link
from sim.loop import LoopClock
from sim.market import Market
from sim.network import Network
from sim.push_account import Message
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.stage import KEY, TOKEN, USER

HOST = "localhost"
"""A name, not an address, so that names can fail to resolve."""

PUSH_PATH = "/1/messages.json"

QUOTE_STEP_US = SECOND
"""Quotes are streamed this often: each costs as much as a bar, and four a second prove no more than one."""


@dataclass(slots=True)
class SeenFrame:
    """A frame of the market; times are µs."""

    at: int
    connection: int
    cluster: str
    payload: str | bytes
    arrived_at: int | None = None


@dataclass(slots=True)
class SeenQuestion:
    """A request, and its answer so far."""

    at: int
    link: Link
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    status: int = 0
    answered_at: int | None = None
    body: bytes = b""
    text: str = ""


@dataclass(slots=True)
class SeenPush:
    """A push that the service has whole."""

    link: Link
    first_byte_at: int
    arrived_at: int
    fields: tuple[tuple[str, str], ...]
    has_picture: bool
    accepted_at: int | None = None
    status: int = 0
    answered_at: int | None = None
    answer_arrived_at: int | None = None
    receipt: str = ""


@dataclass(slots=True)
class PushFaults:
    """What the push service does instead of answering well. ``hits`` counts what really happened, by name."""

    answer: str = ""
    """One of `sim.push_faults.FAULTS` for every message."""
    lost: int = 0
    """So many messages are accepted, and their answers lost."""
    cut: int = 0
    """So many are cut off before they are accepted."""
    hangs: bool = False
    hang_accepts: bool = False
    slow_s: float = 0.0
    hits: dict[str, int] = field(default_factory=dict)

    def hit(self, name: str) -> None:
        """Counts one."""
        self.hits[name] = self.hits.get(name, 0) + 1

    async def wait(self) -> None:
        """Takes its time."""
        if self.slow_s:
            self.hit("slow_s")
            await asyncio.sleep(self.slow_s)


class Services:
    """The services, on the network while its context is entered. What they saw is in its lists.

    ``on_receipt`` is called with the receipt of each push that rings the phone until somebody taps it.
    """

    def __init__(
        self, network: Network, clock: LoopClock, market: Market, on_receipt: Callable[[str], None]
    ) -> None:
        self.network, self.clock = network, clock
        self._on_receipt = on_receipt
        self.frames: list[SeenFrame] = []
        self.requests: list[tuple[int, int, str, str, tuple[str, ...]]] = []
        self.questions: list[SeenQuestion] = []
        self.pushes: list[SeenPush] = []
        self.service_questions: list[SeenQuestion] = []
        self.beats: list[SeenQuestion] = []
        self.push = PushFaults()
        self.beat_status = 200
        self.beat_hangs = False
        self.beat_hits = 0
        self.failures: list[Exception] = []
        """What the loopback servers raised; not one of them is expected."""
        self._current: contextvars.ContextVar[SeenPush | None] = contextvars.ContextVar("push", default=None)
        self.vendor = LoopbackMarket(
            market, clock, KEY, middlewares=[self._see_market], quote_step_us=QUOTE_STEP_US
        )
        self.vendor.witness = self
        self.pushover = LoopbackPushover(clock, TOKEN, USER, self._accepted, middlewares=[self._see_push])
        heart = web.Application()
        heart.add_routes([web.route("*", "/{tail:.*}", self._beat)])
        self._heart = web.AppRunner(heart, access_log=None, shutdown_timeout=0.2)
        self.addresses: dict[str, str] = {}
        """The addresses of ``ws``, ``rest``, ``push`` and ``heartbeat``, without their schemes."""

    async def __aenter__(self) -> Self:
        await self.vendor.__aenter__()
        await self.pushover.__aenter__()
        await self._heart.setup()
        await web.TCPSite(self._heart, "127.0.0.1", 0).start()
        port = int(self.vendor.rest_url.rpartition(":")[2])
        push, heart = int(self.pushover.url.rpartition(":")[2]), self._heart.addresses[0][1]
        for name, served in (("ws", port), ("rest", port), ("push", push), ("heartbeat", heart)):
            self.addresses[name] = f"{HOST}:{self.network.alias(served, name)}"
        self.vendor.rest_url = f"http://{self.addresses['rest']}"
        self.network.route_of = route_of
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.vendor.__aexit__(kind, error, trace)
        await self.pushover.__aexit__(kind, error, trace)
        await self._heart.cleanup()

    # --- The sockets ---

    def frame(self, connection: MarketConnection, payload: str | bytes) -> Any:
        """A frame of the market is about to be written."""
        link: Link = connection.transport.get_extra_info("link")
        seen = SeenFrame(self.clock.now(), link.number, connection.cluster, payload)
        self.frames.append(seen)

        def arrived() -> None:
            seen.arrived_at = self.clock.now()

        return lambda: link.directions[1].mark(arrived)

    def said(self, connection: MarketConnection, text: str) -> None:
        """The worker has said something on a socket."""
        link: Link = connection.transport.get_extra_info("link")
        try:
            message = json.loads(text)
            action, params = str(message["action"]), str(message["params"])
        except (json.JSONDecodeError, KeyError, TypeError):
            action, params = "other", ""
        pairs = () if action == "auth" else tuple(params.split(","))
        self.requests.append((self.clock.now(), link.number, connection.cluster, action, pairs))

    # --- REST ---

    @web.middleware
    async def _see_market(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in ("/stocks", "/options"):
            return await handler(request)
        query = tuple((name, value) for name, value in request.query.items() if name != "apiKey")
        if has_gone(request):
            return web.Response()
        seen = self._seen(request, query)
        self.questions.append(seen)
        return await self._answered(request, await self._handled(request, handler), seen)

    async def _handled(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets a loopback server answer. A failure of its own is no fault of the worker: the run raises it."""
        try:
            return await handler(request)
        except ConnectionError:
            return web.Response()
        except Exception as error:
            self.failures.append(error)
            raise

    def _seen(self, request: web.Request, query: tuple[tuple[str, str], ...] = ()) -> SeenQuestion:
        link = link_of(request)
        link.answering()
        return SeenQuestion(self.clock.now(), link, request.method, request.path, query)

    async def _answered(
        self, request: web.Request, response: web.StreamResponse, seen: SeenQuestion | SeenPush
    ) -> web.StreamResponse:
        """Writes an answer, unless its connection is gone; notes when, and when it reaches the worker."""
        if request.transport is None or request.transport.is_closing():
            return response
        try:
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            return response
        seen.status, seen.answered_at = response.status, self.clock.now()
        if isinstance(seen, SeenPush):

            def arrived() -> None:
                seen.answer_arrived_at = self.clock.now()

            seen.link.directions[1].mark(arrived)
        elif isinstance(response, web.Response) and isinstance(response.body, bytes):
            seen.body = response.body
        return response

    # --- The push service ---

    @web.middleware
    async def _see_push(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if has_gone(request):
            return web.Response()
        if request.path != PUSH_PATH:
            asked = self._seen(request)
            self.service_questions.append(asked)
            response = await self._handled(request, handler)
            await self.push.wait()
            return await self._answered(request, response, asked)
        has_picture = request.content_type.startswith("multipart/")
        body = b"" if has_picture else await request.read()
        if has_gone(request):
            return web.Response()
        link, now = link_of(request), self.clock.now()
        began = link.answering()
        fields = tuple(
            (name, value)
            for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
            if name not in ("token", "user")
        )
        first = now if began is None else self.at(began[0])
        seen = SeenPush(link, first, now, fields, has_picture)
        self.pushes.append(seen)
        self._current.set(seen)
        return await self._answer_push(request, handler, seen)

    async def _answer_push(
        self, request: web.Request, handler: Handler, seen: SeenPush
    ) -> web.StreamResponse:
        faults, queue = self.push, self.pushover.answers
        if faults.hangs and not faults.hang_accepts:
            faults.hit("hangs")
            return await self._hang(request)
        if faults.cut > 0:
            faults.cut -= 1
            faults.hit("cut")
            queue.append("cut")
        elif faults.lost > 0:
            faults.lost -= 1
            faults.hit("lost")
            queue.append("lost")
        elif faults.answer:
            faults.hit("answer")
            queue.append(faults.answer)
        response = await self._handled(request, handler)
        if faults.hangs:
            faults.hit("hangs")
            return await self._hang(request)
        await self.push.wait()
        return await self._answered(request, response, seen)

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        """Never answers: the connection ends when the client ends it, or the fault is over."""
        while self.push.hangs and request.transport is not None:  # noqa: ASYNC110 - two things end it
            await asyncio.sleep(1)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def _accepted(self, message: Message) -> None:
        seen = self._current.get()
        assert seen is not None, "a message is accepted while its request is answered"
        seen.accepted_at, seen.receipt = self.clock.now(), message.receipt
        if message.receipt:
            self._on_receipt(message.receipt)

    # --- The dead-man's switch ---

    async def _beat(self, request: web.Request) -> web.StreamResponse:
        text = (await request.read()).decode("utf-8", "replace")
        if has_gone(request):
            return web.Response()
        seen = self._seen(request)
        seen.text = text
        self.beats.append(seen)
        while self.beat_hangs and request.transport is not None:
            self.beat_hits += 1
            await asyncio.sleep(1)
        status = self.beat_status
        if status != 200:
            self.beat_hits += 1
        headers = {"Location": "/login"} if status == 302 else None
        return await self._answered(request, web.Response(status=status, text="OK", headers=headers), seen)

    def at(self, seconds: float) -> int:
        """The µs of UTC of a time of the loop."""
        return self.clock.start + round(seconds * 1_000_000)


def has_gone(request: web.Request) -> bool:
    """Whether whoever asked has closed the connection before anybody looked at the request: nobody was asked."""
    return request.transport is None


def link_of(request: web.Request) -> Link:
    """The connection that a request came over."""
    assert request.transport is not None
    link: Link = request.transport.get_extra_info("link")
    return link


def route_of(name: str, said: bytes) -> str:
    """The route of a connection: the sockets share an address until they say which they want."""
    if name != "ws":
        return name
    path = said[:32].split(b" ")[1:2]
    return path[0].strip(b"/").decode("ascii", "replace") if path else name
