"""What a track record's days come to. The day is the unit of evidence, because trades of one day are not independent.

A day's result is a fraction of what was staked: the sum over its trades of (out − in − fees) ÷ in. A day without a trade
is 0 and counts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Results = NDArray[np.float64]
"""Results of days, the oldest first: of one trial, or one column a trial."""

SESSIONS_A_YEAR = 252
SHORTFALL_SHARE = 0.05
"""The share of the worst days that the expected shortfall is the mean of."""

BEST_SHARE = 0.01


class Days(NamedTuple):
    """The days of one trial. Fractions, and ratios a year where they say so; None where a figure does not exist."""

    sessions: int
    with_result: int
    """Sessions whose result is not 0: at least one trade each."""
    total: float
    """The sum, which equal stakes bring."""
    compounded: float | None
    """What staking everything each day brings; None once a day loses everything."""
    mean: float
    deviation: float | None
    """Standard deviation with n − 1; None for a single day."""
    sharpe: float | None
    """Mean ÷ deviation × √252; None without a deviation."""
    skew: float | None
    kurtosis: float | None
    """3 for a normal distribution."""
    worst: float
    shortfall: float
    """The mean of the worst 5 % of days."""
    drawdown: float
    """The deepest fall of the running sum below its highest point so far, 0 at the beginning included."""
    compounded_drawdown: float | None
    """The same of the compounded capital, as a fraction of its highest point."""
    best_day_share: float | None
    """The share of the total that the best day brings; None unless the total is above 0."""
    best_percent_share: float | None
    """The share that the best 1 % of days bring, at least one day."""


def days(results: Results) -> Days:
    """Returns the figures of one trial's days (at least one)."""
    count = len(results)
    total = float(results.sum())
    deviation = float(results.std(ddof=1)) if count > 1 else None
    descending = np.sort(results)[::-1]
    best = descending[: max(1, math.ceil(BEST_SHARE * count))]
    worst = descending[-max(1, math.ceil(SHORTFALL_SHARE * count)) :]
    compounded, compounded_drawdown = _compounded(results)
    skew, kurtosis = moments(results)
    daily = sharpe(results)
    return Days(
        sessions=count,
        with_result=int(np.count_nonzero(results)),
        total=total,
        compounded=compounded,
        mean=total / count,
        deviation=deviation,
        sharpe=None if daily is None else daily * math.sqrt(SESSIONS_A_YEAR),
        skew=skew,
        kurtosis=kurtosis,
        worst=float(descending[-1]),
        shortfall=float(worst.mean()),
        drawdown=_deepest_fall(np.concatenate(([0.0], np.cumsum(results)))),
        compounded_drawdown=compounded_drawdown,
        best_day_share=float(descending[0]) / total if total > 0 else None,
        best_percent_share=float(best.sum()) / total if total > 0 else None,
    )


def sharpe(results: Results) -> float | None:
    """Returns a trial's Sharpe ratio a day: mean ÷ standard deviation (n − 1). None where all results are the same."""
    if len(results) < 2 or np.all(results == results[0]):  # noqa: PLR2004 - a deviation takes two
        return None
    return float(results.mean() / results.std(ddof=1))


def moments(results: Results) -> tuple[float | None, float | None]:
    """Returns skewness and kurtosis (3 for a normal distribution), both of the population; None where all is the same."""
    if np.all(results == results[0]):
        return None, None
    standard = (results - results.mean()) / results.std()
    return float((standard**3).mean()), float((standard**4).mean())


def _deepest_fall(running: Results) -> float:
    return float((np.maximum.accumulate(running) - running).max())


def _compounded(results: Results) -> tuple[float | None, float | None]:
    """Returns the compounded total and its deepest fall; None for both once nothing is left to stake."""
    if np.any(results <= -1):
        return None, None
    capital = np.concatenate(([1.0], np.cumprod(1 + results)))
    falls = 1 - capital / np.maximum.accumulate(capital)
    return float(capital[-1] - 1), float(falls.max())
