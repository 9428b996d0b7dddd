"""A loopback Pushover: accepts, refuses and loses messages as the real one does, and remembers what it saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from aiohttp.typedefs import Middleware

from sim.push_account import Message, PushAccount
from sim.push_answers import PushAnswers
from sim.push_endpoints import PushEndpoints
from utils import Clock

BODY_MAX = 8_000_000
"""Bytes of a request that are read; what is longer gets a server's 413, not the service's own words."""


class LoopbackPushover(PushAccount):
    """An account at the service, reachable on a loopback port; an asynchronous context manager."""

    def __init__(
        self,
        clock: Clock,
        token: str,
        user: str,
        on_message: Callable[[Message], None] | None = None,
        *,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        super().__init__(clock, token, user, on_message)
        self._endpoints = PushEndpoints(self, PushAnswers(self, lambda: len(self._connections())))
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._port = 0
        self._middlewares = middlewares
        """See each request first."""

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=BODY_MAX, middlewares=self._middlewares)
        application.add_routes(self._endpoints.routes())
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await self.up()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def elsewhere_url(self) -> str:
        """The address of a second channel: it accepts any text and keeps it in ``texts``."""
        return f"{self.url}/elsewhere"

    async def up(self) -> None:
        """Listens (again)."""
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Stops listening and ends every connection: from now on none can be made."""
        assert self._runner is not None
        assert self._site is not None
        await self._site.stop()
        for connection in self._connections():
            connection.force_close()

    def _connections(self) -> list[Any]:
        assert self._runner is not None
        assert self._runner.server is not None
        # A handler whose client has gone is still listed while it runs.
        return [each for each in self._runner.server.connections if each.transport is not None]
