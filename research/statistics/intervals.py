"""How sure a mean and a Sharpe ratio are: the stationary bootstrap over days (Politis and Romano, 1994).

Blocks of days are drawn, five long in the mean, so that what clusters in time stays together. Which days a draw takes
depends on their number alone, so every trial of one length is measured by the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from arch.bootstrap import StationaryBootstrap
from numpy.typing import NDArray

from research.statistics.days import SESSIONS_A_YEAR, Results

MEAN_BLOCK = 5
DRAWS = 10_000
SEED = 20_140_731
"""The same days give the same interval."""

LEVEL = 0.95


class Interval(NamedTuple):
    """The 2.5 % and the 97.5 % point."""

    low: float
    high: float


class Intervals(NamedTuple):
    """95 % intervals of a trial. ``sharpe`` is a year's; None where too many draws have no deviation."""

    mean: Interval
    sharpe: Interval | None


@lru_cache(maxsize=4)
def drawn(count: int) -> NDArray[np.int32]:
    """Returns which of ``count`` days each of the draws takes: one row a draw."""
    bootstrap = StationaryBootstrap(
        MEAN_BLOCK, np.arange(count, dtype=np.int32), seed=np.random.default_rng(SEED)
    )
    return np.stack([positions[0] for positions, _ in bootstrap.bootstrap(DRAWS)])


def intervals(results: Results) -> Intervals:
    """Returns the intervals of the mean and of the Sharpe ratio, by percentiles of the draws."""
    samples = results[drawn(len(results))]
    means = samples.mean(axis=1)
    deviations = samples.std(axis=1, ddof=1) if len(results) > 1 else np.zeros(DRAWS)
    usable = deviations > np.abs(means) * 1e-12  # else every result of the draw is the same, but for rounding
    ratios = means[usable] / deviations[usable] * math.sqrt(SESSIONS_A_YEAR)
    return Intervals(mean=_interval(means), sharpe=_interval(ratios) if usable.mean() >= LEVEL else None)


def _interval(values: Results) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return Interval(float(low), float(high))


BAND_DRAWS = 2_000
"""Draws that the band of a running sum is made of: its edges are read off a chart."""


def band(results: Results) -> tuple[Results, Results]:
    """Returns the 2.5 % and the 97.5 % point of the running sum after each day, over days drawn again."""
    sums = results[drawn(len(results))[:BAND_DRAWS]].cumsum(axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(sums, (tail, 1 - tail), axis=0)
    return low, high


def ratio_by_day(days: Sequence[tuple[float, int]]) -> Interval | None:
    """Returns the 95 % interval of a mean over trades, from days drawn one by one: a day is a sum and its number of trades.

    Days without a trade are left out; None with fewer than two others.
    """
    traded = np.array([day for day in days if day[1]])
    if len(traded) < 2:  # noqa: PLR2004
        return None
    rolled = np.random.default_rng(SEED).integers(len(traded), size=(DRAWS, len(traded)))
    found = traded[rolled]
    means = found[:, :, 0].sum(axis=1) / found[:, :, 1].sum(axis=1)
    return _interval(means)
