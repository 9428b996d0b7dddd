"""The simulated vendor's WebSocket clusters: each connection from its handshake to its end."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import WSCloseCode, WSMsgType, web

from sim.account import Ended, MarketAccount
from sim.actions import Actions
from sim.connection import Connection
from sim.faults import Fault
from sim.rest_answers import RestAnswers
from sim.tasks import Tasks

CLOSE_REAL_SECONDS = 2.0
"""How long the server waits for the client's close frame."""


class Sockets:
    """Both clusters and their open connections. A newcomer beyond the plan's number evicts the oldest."""

    def __init__(
        self, account: MarketAccount, tasks: Tasks, answers: RestAnswers, auth_real_seconds: float
    ) -> None:
        self.open: dict[str, list[Connection]] = {"stocks": [], "options": []}
        self._account, self._faults, self._tasks = account, account.faults, tasks
        self._answers = answers
        self._auth_real_seconds = auth_real_seconds
        self._actions = Actions(account, self.open, tasks)
        self._number = 0
        account.faults.on_add = self._apply

    def routes(self) -> list[web.RouteDef]:
        """The addresses of the clusters."""
        return [web.get("/stocks", self._accept), web.get("/options", self._accept)]

    async def close(self) -> None:
        """Closes every connection with a close frame."""
        connections = [*self.open["stocks"], *self.open["options"]]
        await asyncio.gather(*(connection.close(WSCloseCode.GOING_AWAY) for connection in connections))

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        """Answers a handshake, and serves the connection to its end."""
        account, cluster = self._account, request.path.strip("/")
        account.connects[cluster].append(account.clock.now())
        if fault := self._faults.take("handshake", feed=cluster):
            return self._answers.refused_handshake(fault["status"], html=fault["html"])
        # Pings are answered by hand, so that a fault can leave them unanswered.
        response = web.WebSocketResponse(autoping=False, compress=False, timeout=CLOSE_REAL_SECONDS)
        await response.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport), "the request has just been upgraded"
        self._number += 1
        connection = Connection(cluster, response, transport, self._number, since=account.clock.now())
        connection.witness = account.witness
        self.open[cluster].append(connection)
        try:
            await self._serve(connection)
        finally:
            connection.ended = True
            self.open[cluster].remove(connection)
            account.ended.append(Ended(cluster, account.clock.now(), connection.client_code))
        return response

    async def _serve(self, connection: Connection) -> None:
        """Greets the client, acts on what it says, and drops it when it does not authenticate in time."""
        account, cluster, drop = self._account, connection.cluster, self._actions.drop
        if fault := self._faults.take("accept_then_close", feed=cluster):
            await connection.close(fault["code"])
            return
        if drop(connection, "now") or drop(connection, "open"):
            return
        if not self._faults.take("no_connected", feed=cluster):
            await connection.say(("connected", "Connected Successfully"))
        try:
            async with asyncio.timeout(self._auth_real_seconds) as limit:
                while not connection.ended and (text := await self._receive(connection)) is not None:
                    if account.witness is not None:
                        account.witness.said(connection, text)
                    await self._actions.answer(connection, text)
                    if connection.authenticated:
                        limit.reschedule(None)
        except TimeoutError:
            await connection.say(("auth_timeout", "No authentication request received."))
            connection.abort()

    async def _receive(self, connection: Connection) -> str | None:
        """The next text from the client; None when the connection has ended. Pings are answered on the way."""
        while True:
            message = await connection.socket.receive()
            match message.type:
                case WSMsgType.TEXT:
                    return str(message.data)
                case WSMsgType.PING:
                    await self._answer_ping(connection, message.data)
                case WSMsgType.CLOSE:
                    if not connection.ended:
                        connection.client_code = message.data
                    return None
                case WSMsgType.CLOSING | WSMsgType.CLOSED | WSMsgType.ERROR:
                    return None

    async def _answer_ping(self, connection: Connection, data: bytes) -> None:
        """Answers a ping, unless a fault forbids it."""
        silence = self._faults.find("silence", feed=connection.cluster)
        if self._faults.take("no_pong", feed=connection.cluster):
            return
        if silence is None or silence["pings"]:
            with contextlib.suppress(ConnectionError):
                await connection.socket.pong(data)

    def _apply(self, fault: Fault) -> None:
        """Lets a new fault act on the connections that are open already."""
        feed = fault.options.get("feed", "")
        for connection in [*self.open["stocks"], *self.open["options"]]:
            if feed not in ("", connection.cluster) or connection.ended or fault.times == 0:
                continue
            if fault.name == "drop" and fault["stage"] == "now":
                self._faults.use(fault)
                connection.abort()
            elif fault.name == "evict" and connection.authenticated:
                self._faults.use(fault)
                self._tasks.spawn(self._actions.evict_later(connection, fault))
