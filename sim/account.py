"""An account at the simulated market-data vendor: what its plan includes, and what the vendor saw of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import utils
from events import SECOND
from sim.bars import Correction
from sim.faults import Fault, Faults
from sim.market import Market

CHANNELS = {"stocks": ("A", "AM", "T", "Q", "LULD", "FMV"), "options": ("A", "AM", "T", "Q", "FMV")}
"""Channels that exist on each cluster; the vendor ignores any other without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the account includes. ``connections`` is per cluster."""

    connections: int = 1
    websocket: bool = True
    stock_channels: tuple[str, ...] = CHANNELS["stocks"]
    option_channels: tuple[str, ...] = CHANNELS["options"]
    chain: bool = True
    aggregates: bool = True
    quote_history: bool = True

    def channels(self, cluster: str) -> tuple[str, ...]:
        """The channels of a cluster that the plan includes."""
        return self.stock_channels if cluster == "stocks" else self.option_channels


@dataclass(frozen=True, slots=True)
class Ended:
    """A connection that has ended at ``at``: ``code`` is the client's close code, None without a close frame from it."""

    cluster: str
    at: int
    code: int | None


@dataclass(frozen=True, slots=True)
class Request:
    """A REST request as the vendor saw it, never with a key. ``at`` is in µs of the market's clock."""

    method: str
    path: str
    query: dict[str, str]
    at: int


class Witness(Protocol):
    """Whoever wants to see what the sockets carry."""

    def frame(self, connection: Any, payload: str | bytes) -> Callable[[], None]:
        """A frame is about to be written. What it returns is called when it has been."""

    def said(self, connection: Any, text: str) -> None:
        """A client has said something."""


class MarketAccount:
    """What the vendor's sockets and REST share: the market, the clock, the plan, the faults, and what was seen.

    Tests look at ``connects`` (times by cluster), ``evictions``, ``ended`` and ``requests``.
    """

    def __init__(self, market: Market, clock: utils.Clock, api_key: str, plan: Plan | None) -> None:
        self.market, self.clock, self.plan = market, clock, plan or Plan()
        self.faults = Faults(clock)
        self.connects: dict[str, list[int]] = {"stocks": [], "options": []}
        self.evictions: list[tuple[str, int]] = []
        self.ended: list[Ended] = []
        self.requests: list[Request] = []
        self.rest_url = self.ws_url = ""
        self.witness: Witness | None = None
        self.corrected: dict[tuple[str, int], Correction] = {}
        """Bars that a fault has corrected, by symbol and start: REST has them so from the correction's time on."""
        self._api_key = api_key

    def authorised(self, key: str) -> bool:
        """Whether ``key`` is the account's key."""
        return key == self._api_key

    @property
    def halts(self) -> list[Fault]:
        """Every halt so far; nothing traded while it was in force."""
        return self.faults.all("halt")

    def server_time(self) -> int:
        """The vendor's idea of now, µs: the clock's, unless a fault skews it."""
        fault = self.faults.take("skewed_date")
        return self.clock.now() + (int(fault["by"] * SECOND) if fault else 0)
