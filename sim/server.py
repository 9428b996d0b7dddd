"""The loopback Massive/Polygon: both WebSocket clusters and the REST endpoints, on 127.0.0.1, in the wire format.

It speaks for a `Market` at the pace of a clock, which may be scaled; only the limits on a slow or mute client are
real seconds. Each cluster allows as many connections as the plan includes, by default one: a newcomer evicts the oldest.
Bars are held for two seconds, and corrected ones are sent again. What goes wrong is asked for in `faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from email.utils import formatdate
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Middleware

import utils
from events import SECOND
from sim.account import MarketAccount, Plan
from sim.bar_stream import BarStream
from sim.frames import Frames
from sim.market import Market
from sim.quote_stream import QuoteStream
from sim.quoter import QUOTE_STEP_US
from sim.rest import RestEndpoints
from sim.rest_answers import RestAnswers
from sim.sockets import CLOSE_REAL_SECONDS, Sockets
from sim.tasks import Tasks

AUTH_REAL_SECONDS = 10.0
"""A client that has not authenticated within this is dropped."""


class LoopbackMarket(MarketAccount):
    """An account at the simulated vendor, on loopback sockets while its context is entered.

    ``rest_url`` and ``ws_url`` are its addresses. Add to ``faults`` what should go wrong. Tests also look at
    `subscriptions` and `open_connections`. ``middlewares`` see each request first, and ``witness`` what sockets carry;
    quotes are streamed every ``quote_step_us``.
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
        middlewares: Sequence[Middleware] = (),
        quote_step_us: int = QUOTE_STEP_US,
    ) -> None:
        super().__init__(market, clock, api_key, plan)
        self._port = port
        self._quote_step_us = quote_step_us
        self._tasks = Tasks()
        answers = RestAnswers()
        rest = RestEndpoints(self, answers)
        self._sockets = Sockets(self, self._tasks, answers, auth_real_seconds)
        app = web.Application(middlewares=[*middlewares, rest.middleware])
        app.on_response_prepare.append(self._stamp)
        app.add_routes(self._sockets.routes())
        app.add_routes(rest.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_REAL_SECONDS)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.rest_url, self.ws_url = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        frames, connections = Frames(self.faults), self._sockets.open
        self._tasks.spawn(BarStream(self, connections["stocks"], frames).play())
        self._tasks.spawn(QuoteStream(self, connections["options"], frames, self._quote_step_us).play())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.cancel()
        await self._sockets.close()
        await self._runner.cleanup()
        # A failure of the server explains whatever went wrong with its user, and so goes first.
        if self._tasks.failures and not isinstance(error, asyncio.CancelledError):
            raise self._tasks.failures[0]

    def subscriptions(self, cluster: str) -> set[str]:
        """The pairs that are subscribed now on a cluster, over all its connections."""
        return set[str]().union(*(connection.pairs for connection in self._sockets.open[cluster]))

    def open_connections(self, cluster: str) -> int:
        """How many connections of a cluster are open now."""
        return sum(not connection.ended for connection in self._sockets.open[cluster])

    async def _stamp(self, request: web.Request, response: web.StreamResponse) -> None:
        """Dates an answer: as the vendor does, or as a cache or a proxy does if a fault asks for it."""
        cached = self.faults.take("cached")
        age = int(cached["by"]) if cached else 0
        response.headers["Date"] = formatdate(self.server_time() // SECOND - age, usegmt=True)
        if age:
            response.headers["Age"] = str(age)
        if self.faults.take("no_date"):
            del response.headers["Date"]
