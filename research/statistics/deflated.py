"""Whether a Sharpe ratio is more than luck, given how many settings were tried.

Bailey and López de Prado, "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest Overfitting and
Non-Normality", Journal of Portfolio Management 40 (5), 2014. Sharpe ratios are a day's here, never a year's.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from research.statistics.days import Results, moments, sharpe

EULER_MASCHERONI = 0.5772156649015329
NORMAL = NormalDist()


class Deflated(NamedTuple):
    """How probable it is that a trial's true Sharpe ratio is above 0, and above what the best of all trials shows by luck."""

    trials: int
    """N: how many were tried, seen here or not."""
    effective_trials: float | None
    """How many independent ones those seen here amount to; None with fewer than two."""
    psr: float
    """Probabilistic Sharpe ratio: against 0."""
    luck_by_spread: float | None
    """The Sharpe ratio (a day) that luck gives the best of N, from the spread of the trials seen; None with fewer than two."""
    luck_by_length: float
    """The same from 1 ÷ √T, the standard error of a Sharpe ratio near 0."""
    dsr_by_spread: float | None
    dsr_by_length: float

    @property
    def dsr(self) -> float:
        """The lower of both, the one that counts."""
        return (
            self.dsr_by_length if self.dsr_by_spread is None else min(self.dsr_by_spread, self.dsr_by_length)
        )


def expected_maximum(trials: int) -> float:
    """Returns the expected highest of ``trials`` standard normal numbers, in the paper's approximation; 0 for one."""
    if trials < 2:  # noqa: PLR2004 - of one, the highest is itself
        return 0.0
    return (1 - EULER_MASCHERONI) * NORMAL.inv_cdf(1 - 1 / trials) + EULER_MASCHERONI * NORMAL.inv_cdf(
        1 - 1 / (trials * math.e)
    )


def probabilistic(ratio: float, against: float, sessions: int, skew: float, kurtosis: float) -> float:
    """Returns the probability that the true Sharpe ratio is above ``against``. Ratios are a day's.

    ``ratio`` was measured over so many ``sessions``; ``kurtosis`` is 3 for a normal distribution.
    """
    # Kurtosis is at least 1 + skew², which keeps this above 0 but where both are equal: results of two values only.
    variance = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    if variance <= 0:
        return 0.0
    return NORMAL.cdf((ratio - against) * math.sqrt(sessions - 1) / math.sqrt(variance))


def effective_trials(columns: Results) -> float | None:
    """Returns the participation ratio of the trials' correlation matrix: (Σλ)² ÷ Σλ² over its eigenvalues λ.

    Trials whose results are all the same have no correlation and are left out; None when fewer than two are left.
    """
    moving = columns[:, columns.std(axis=0) > 0]
    count = moving.shape[1]
    if count < 2:  # noqa: PLR2004
        return None
    correlation = np.corrcoef(moving, rowvar=False)
    return float(count**2 / (correlation**2).sum())  # Σλ is the trace, Σλ² the sum of all squares


def deflated(columns: Results, chosen: int, trials: int) -> Deflated | None:
    """Returns the figures of one column among those seen, of ``trials`` that were ever tried.

    None where its results are all the same: it has no Sharpe ratio.
    """
    results = columns[:, chosen]
    ratio, (skew, kurtosis) = sharpe(results), moments(results)
    if ratio is None or skew is None or kurtosis is None:
        return None
    count, highest = len(results), expected_maximum(trials)
    ratios = [found for column in columns.T if (found := sharpe(column)) is not None]
    by_length = highest / math.sqrt(count)
    by_spread = highest * float(np.std(ratios, ddof=1)) if len(ratios) > 1 else None
    return Deflated(
        trials=trials,
        effective_trials=effective_trials(columns),
        psr=probabilistic(ratio, 0.0, count, skew, kurtosis),
        luck_by_spread=by_spread,
        luck_by_length=by_length,
        dsr_by_spread=None if by_spread is None else probabilistic(ratio, by_spread, count, skew, kurtosis),
        dsr_by_length=probabilistic(ratio, by_length, count, skew, kurtosis),
    )
