"""What the trades of a backtest come to at one delay. Pure.

Intervals of the hit rate: clustered by day (Cameron, Gelbach and Miller, 2008, here by drawing days), and Wilson's (1927)
beside it, which takes every trade for independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from followed import Fate
from research.backtest.session import SessionResult
from research.statistics.deflated import NORMAL
from research.statistics.intervals import LEVEL, Interval, ratio_by_day


class TradeFigures(NamedTuple):
    """The trades at one delay. Results are fractions of the stake; None where a figure does not exist."""

    delay_s: int
    told: int
    """BUYs that were pushed."""
    taken: int
    fates: dict[str, int]
    """Why the others were not taken."""
    mean: float | None
    median: float | None
    hits: float | None
    """The share that did not lose."""
    hits_by_day: Interval | None
    hits_by_trade: Interval | None
    profit_factor: float | None
    """Sum of the gains ÷ sum of the losses; None without a loss."""
    payoff: float | None
    """Mean gain ÷ mean loss."""
    losing_streak: int
    """The longest row of trades that lost."""


def trade_figures(sessions: Sequence[SessionResult], delay_s: int) -> TradeFigures:
    """Returns the figures of every trade of the sessions, in their order."""
    orders = [[trade.orders[delay_s] for trade in session.trades] for session in sessions]
    by_day = [[order.result for order in day if order.result is not None] for day in orders]
    results = [result for day in by_day for result in day]
    fates: dict[str, int] = {}
    for order in (order for day in orders for order in day if order.fate != Fate.TAKEN):
        fates[order.fate] = fates.get(order.fate, 0) + 1
    gains, losses = [each for each in results if each >= 0], [each for each in results if each < 0]
    count = len(results)
    return TradeFigures(
        delay_s=delay_s,
        told=sum(map(len, orders)),
        taken=count,
        fates=fates,
        mean=float(np.mean(results)) if results else None,
        median=float(np.median(results)) if results else None,
        hits=len(gains) / count if count else None,
        hits_by_day=ratio_by_day([(sum(each >= 0 for each in day), len(day)) for day in by_day]),
        hits_by_trade=wilson(len(gains), count) if count else None,
        profit_factor=sum(gains) / -sum(losses) if losses else None,
        payoff=float(np.mean(gains) / -np.mean(losses)) if gains and losses else None,
        losing_streak=_streak(results),
    )


def wilson(hits: int, count: int) -> Interval:
    """Returns Wilson's 95% interval of a share."""
    z = NORMAL.inv_cdf((1 + LEVEL) / 2)
    share, square = hits / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return Interval(middle - half, middle + half)


def _streak(results: Sequence[float]) -> int:
    longest = now = 0
    for result in results:
        now = now + 1 if result < 0 else 0
        longest = max(longest, now)
    return longest
