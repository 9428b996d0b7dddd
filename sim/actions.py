"""What a client of the simulated sockets may ask for: auth, subscribe, unsubscribe; and how it is evicted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from aiohttp import WSCloseCode

from sim.account import CHANNELS, MarketAccount
from sim.connection import Connection
from sim.faults import Fault
from sim.tasks import Tasks
from sim.wire import FRAME_EVENTS

MAX_CONNECTIONS_TEXT = (
    "Maximum number of websocket connections exceeded. You have reached the connection limit for your account. "
    "Please contact support at https://polygon.io/contact to increase your limit."
)


class Actions:
    """Answers what clients send. ``connections`` are the open ones of each cluster."""

    def __init__(
        self, account: MarketAccount, connections: Mapping[str, list[Connection]], tasks: Tasks
    ) -> None:
        self._account, self._faults = account, account.faults
        self._open, self._tasks = connections, tasks

    async def answer(self, connection: Connection, text: str) -> None:
        """Acts on one message. Ignores what is no action, and all but auth before it has succeeded."""
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
                await _acknowledge(connection, [f"unsubscribed to: {pair}" for pair in held])

    def drop(self, connection: Connection, stage: str) -> bool:
        """Ends the connection without a close frame if a fault asks for that at this stage. Returns whether it did."""
        fault = self._faults.take("drop", feed=connection.cluster, stage=stage)
        if fault is not None:
            connection.abort()
        return fault is not None

    async def evict_later(self, connection: Connection, fault: Fault) -> None:
        """Evicts the connection ``after`` seconds of the fault, if it is still there."""
        await self._account.clock.sleep(fault["after"])
        if not connection.ended:
            await self._evict(connection)

    async def _evict(self, connection: Connection) -> None:
        self._account.evictions.append((connection.cluster, self._account.clock.now()))
        await connection.say(("max_connections", MAX_CONNECTIONS_TEXT))
        await connection.close(WSCloseCode.POLICY_VIOLATION)

    async def _authenticate(self, connection: Connection, key: str) -> None:
        cluster, account = connection.cluster, self._account
        if self._faults.take("max_connections_at_auth", feed=cluster):
            await self._evict(connection)
            return
        refusal = self._faults.take("refuse_auth", feed=cluster)
        if refusal or not account.authorised(key) or not account.plan.websocket:
            by_plan = refusal["plan"] if refusal else account.authorised(key)
            text = "Your plan doesn't include websocket access." if by_plan else "authentication failed"
            await connection.say(("auth_failed", text))
            connection.abort()
            return
        connection.authenticated = True
        await connection.say(("auth_success", "authenticated"))
        if self.drop(connection, "auth"):
            return
        others = [other for other in self._open[cluster] if other.authenticated and not other.ended]
        for other in others[: -account.plan.connections]:
            self._tasks.spawn(self._evict(other))

    async def _subscribe(self, connection: Connection, asked: Iterable[str]) -> None:
        cluster = connection.cluster
        allowed = self._account.plan.channels(cluster)
        taken: list[str] = []
        refused = False
        for pair in dict.fromkeys(asked):
            channel = pair.partition(".")[0]
            if channel not in CHANNELS[cluster] or pair in connection.pairs:
                continue
            if channel not in allowed:
                refused = True
            elif not self._faults.take("no_ack", feed=cluster, pair=pair):
                taken.append(pair)
        if refused:
            await connection.say(("error", "not authorized"))
        connection.pairs.update(taken)
        await _acknowledge(connection, [f"subscribed to: {pair}" for pair in taken])
        if self.drop(connection, "subscribe"):
            return
        if fault := self._faults.take("evict", feed=cluster):
            self._tasks.spawn(self.evict_later(connection, fault))


async def _acknowledge(connection: Connection, texts: list[str]) -> None:
    """One success for each pair: in one frame on every second connection, one by one on the others."""
    size = FRAME_EVENTS if connection.number % 2 else 1
    for begin in range(0, len(texts), size):
        await connection.say(*(("success", text) for text in texts[begin : begin + size]))
