"""Prices from quotes: a call's price and age, which calls are plain ones, and whether a poll's quotes move. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from events import (
    SECOND,
    STRIKE_UNIT,
    ChainRow,
    Quote,
    QuoteSource,
)
from rules import Rules

PERCENT = 100.0

STANDARD_SHARES = 100
"""Shares per contract of an unadjusted option."""

ROOT_AT, ROOT_END = 2, -15
"""Where the root stands in an option's ticker such as ``O:IWM251002C00215000``: after ``O:``, and before 6 digits of
date, the side, and 8 digits of strike (the symbology of the Options Clearing Corporation, OSI)."""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The newest known bid and ask of a contract.

    Prices are in option price units, sizes in contracts. ``at`` is the quote's own time, ``arrived`` its arrival (µs).
    """

    bid: int
    ask: int
    bid_size: float
    ask_size: float
    at: int
    arrived: int
    source: QuoteSource
    real_time: bool

    @property
    def two_sided(self) -> bool:
        """Returns whether both sides are quoted and the bid is not above the ask."""
        return 0 < self.bid <= self.ask

    @property
    def mid(self) -> int:
        """Returns the mid. Half a unit is rounded down, and only bad data has one: option ticks are whole cents."""
        return (self.bid + self.ask) // 2

    @property
    def spread_percent(self) -> float:
        """Returns the spread in percent of the mid."""
        return (self.ask - self.bid) * 2 / (self.bid + self.ask) * PERCENT

    def age(self, now: int) -> int:
        """Returns the age in µs: since its own time for a streamed quote, since its arrival for a polled one.

        A poll shows the present market, even if the contract's quote has not changed for a while.
        """
        return max(0, now - (self.at if self.source is QuoteSource.STREAM else self.arrived))


def price_of(quote: Quote | ChainRow, at: int, arrived: int) -> Price:
    """Returns the price in a quote or in a chain's row. ``at`` and ``arrived`` in µs."""
    return Price(
        bid=quote.bid,
        ask=quote.ask,
        bid_size=quote.bid_size,
        ask_size=quote.ask_size,
        at=at,
        arrived=arrived,
        source=QuoteSource.POLL if isinstance(quote, ChainRow) else quote.source,
        real_time=quote.real_time if isinstance(quote, ChainRow) else True,
    )


def nearest(rows: Iterable[ChainRow], spot: float, count: int) -> list[str]:
    """Returns the ``count`` calls whose strikes are nearest ``spot`` (dollars), the nearest first."""
    return [row.contract for row in _nearest(rows, spot, count)]


def _nearest(rows: Iterable[ChainRow], spot: float, count: int) -> list[ChainRow]:
    return sorted(rows, key=lambda row: (abs(row.strike / STRIKE_UNIT - spot), row.contract))[:count]


def is_standard(row: ChainRow, symbol: str) -> bool:
    """Returns whether a call is unadjusted: the symbol's own root (not IWM1 or 2IWM) and 100 shares.

    A split or a special dividend leaves contracts for other deliverables under such roots. A root leaves out the
    symbol's dot: BRKB for BRK.B.
    """
    return row.contract[ROOT_AT:ROOT_END] == symbol.replace(".", "") and row.shares == STANDARD_SHARES


def is_live(rules: Rules, now: int, spot: float | None, rows: Iterable[ChainRow]) -> bool:
    """Returns whether a poll's quotes move: whether the newest stamp among the calls nearest the money is recent.

    ``now`` in µs, ``spot`` in dollars. Without ``spot`` every call counts. Quotes marked delayed or stamped ahead of
    ``now`` never count.
    """
    rows = [row for row in rows if row.real_time and is_standard(row, rules.symbol)]
    if spot is not None:
        rows = _nearest(rows, spot, rules.stream_contracts)
    ahead = now + round(rules.clock_doubt_seconds * SECOND)
    newest = max((row.quoted_at for row in rows if row.quoted_at <= ahead), default=0)
    return newest > 0 and now - newest <= rules.quote_frozen_seconds * SECOND


def polled_prices(rules: Rules, now: int, spot: float | None, rows: Sequence[ChainRow]) -> dict[str, Price]:
    """Returns the prices that a poll's answer gives by itself: those of its real-time rows, or none if no quote moves.

    One strike may rest while others move, but a quote older than `CHAIN_MAX_SECONDS` is left out.
    """
    if not is_live(rules, now, spot, rows):
        return {}
    oldest = now - rules.chain_max_seconds * SECOND
    return {
        row.contract: price_of(row, row.quoted_at, now)
        for row in rows
        if row.real_time and row.quoted_at >= oldest
    }
