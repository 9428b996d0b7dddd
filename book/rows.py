"""What the book keeps of a session and of each trade. Pure."""

from __future__ import annotations

import msgspec


class Order(msgspec.Struct, frozen=True):
    """A trade that is followed so many seconds late: what became of it, and the prices of its two orders."""

    fate: str
    paid: int | None
    got: int | None


class TradeRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One position that was announced. Times are µs of UTC, prices are option prices.

    ``followed`` has what following its pushes comes to, by the delay in seconds.
    """

    id: str
    contract: str
    strike: int
    opened_at: int
    closed_at: int | None
    reason: str
    entry: int
    mark: int | None
    peak: int | None
    followed: dict[int, Order]


class DayRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session. Times are µs of UTC; ``rules`` is the hash of the rules, ``version`` the program's."""

    date: str
    symbol: str
    version: str
    rules: str
    open: int
    close: int
    seen_s: int
    blind_s: int
    away_s: int
    """Seconds of the session in which the program was not running."""
    evaluations: int
    signals: int
    entries: int
    withdrawn: int
    miss_at: int | None = None
    miss: str = ""
    """The nearest miss in words; empty without one."""
    miss_condition: str = ""
    miss_since: int | None = None
    """From when on near misses are known: a restart forgets them. None: the whole session."""
    trades: tuple[TradeRow, ...] = ()
    simulated: bool = False
    """Whether the market was played on this machine, for a part of the session at least."""
