"""The client of a session: its three sources, its REST and its sockets. Decides nothing about entries or exits.

Massive (formerly Polygon.io) sends one-second bars and option quotes over one socket per market. REST answers requests
for chains, single contracts and past seconds. Everything it sends is checked before it becomes a fact. Bad input is
counted and sampled in the log; it is never raised, and never costs its neighbours in the same frame or page.

This is the only module that names `feeds.massive`, this vendor's wire. Another vendor needs another folder beside that one,
and the two imports here. Times are µs of UTC unless a name says otherwise. Timeouts of network steps are real seconds; all
other waits (reconnects, polls, silence) are measured by the clock that is passed in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from events import Session
from feeds.arrivals import Link
from feeds.backfill import StocksEvent
from feeds.chain import ChainPoller
from feeds.massive.rest import Rest
from feeds.massive.socket import Sockets
from feeds.options import OptionsFeed, Wanted
from feeds.stocks import StocksFeed
from feeds.vendor import (
    EXCHANGE_DEADLINE_S,
    STEP_TIMEOUT_S,
    Dial,
    Early,
    Streams,
    VendorClient,
    VendorHistory,
)
from rules import Rules
from threads import DaemonThread, Threads
from utils import Clock


def vendor_client(
    base_url: str,
    api_key: str,
    clock: Clock,
    transport: httpx.AsyncBaseTransport | None,
    *,
    rules: Rules | None = None,
    deadline_s: float = EXCHANGE_DEADLINE_S,
    threads: Threads = DaemonThread,
) -> VendorClient:
    """Returns the vendor's REST client, which answers each request within ``deadline_s`` real seconds.

    ``rules`` (None: the defaults) say how far ahead of now its data may be. ``transport`` replaces httpx's (None: the
    real network). Large broken answers are decoded in a thread of ``threads``.
    """
    return Rest(base_url, api_key, clock, transport, rules=rules, deadline_s=deadline_s, threads=threads)


def vendor_history(base_url: str, api_key: str, clock: Clock, *, deadline_s: float) -> VendorHistory:
    """Returns the vendor's REST about the past, which answers each request within ``deadline_s`` real seconds."""
    from feeds.massive.history import RestHistory  # noqa: PLC0415 - the worker asks nothing about the past

    return RestHistory(base_url, api_key, clock, deadline_s=deadline_s)


def vendor_streams(
    market: str,
    ws_url: str,
    api_key: str,
    clock: Clock,
    rules: Rules,
    *,
    step_s: float = STEP_TIMEOUT_S,
    dial: Dial | None = None,
) -> Streams:
    """Returns the factory of connections to ``market``: ``stocks`` or ``options``.

    ``step_s`` limits each step of connecting, in real seconds. ``dial`` opens the sockets (None: the real network).
    """
    return Sockets(market, ws_url=ws_url, api_key=api_key, clock=clock, rules=rules, step_s=step_s, dial=dial)


@dataclass(frozen=True, kw_only=True)
class SessionClient:
    """Makes the sources of one session.

    ``rest`` answers requests. ``dial`` opens the sockets (None: the real network). ``step_s`` limits each step of
    connecting, in real seconds.
    """

    rest: VendorClient
    ws_url: str
    api_key: str
    clock: Clock
    rules: Rules
    session: Session
    rng: random.Random
    step_s: float = STEP_TIMEOUT_S
    dial: Dial | None = None

    def stocks(
        self,
        *,
        position_open: Callable[[], bool],
        backfill_from: int | None = None,
        key_has_worked: bool = False,
        offer: Callable[[Sequence[StocksEvent]], bool] | None = None,
        early: Early | None = None,
    ) -> StocksFeed:
        """Returns the source of the watched symbols' bars. `StocksFeed` describes the parameters."""
        return StocksFeed(
            self._link(),
            self._streams("stocks"),
            self.rng,
            position_open=position_open,
            backfill_from=backfill_from,
            key_has_worked=key_has_worked,
            offer=offer,
            step_s=self.step_s,
            early=early,
        )

    def options(self, *, wanted: Callable[[], Wanted]) -> OptionsFeed:
        """Returns the source of the quotes of the contracts that ``wanted`` names."""
        return OptionsFeed(
            self._link(), self._streams("options"), self.rng, wanted=wanted, step_s=self.step_s
        )

    def chains(
        self, *, spot: Callable[[], float | None], streaming: Callable[[], bool], has_rows: bool = False
    ) -> ChainPoller:
        """Returns the source of today's chain. `ChainPoller` describes the parameters."""
        return ChainPoller(self._link(), spot=spot, streaming=streaming, has_rows=has_rows)

    def _link(self) -> Link:
        return Link(data=self.rest, clock=self.clock, rules=self.rules, session=self.session)

    def _streams(self, market: str) -> Streams:
        return vendor_streams(
            market,
            self.ws_url,
            self.api_key,
            self.clock,
            self.rules,
            step_s=self.step_s,
            dial=self.dial,
        )
