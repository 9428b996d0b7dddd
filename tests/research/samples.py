"""Made results of days for the tests of statistics."""

from __future__ import annotations

import numpy as np

from research.statistics.days import Results


def noise(sessions: int, trials: int, seed: int, *, mean: float = 0.0, deviation: float = 0.02) -> Results:
    """Independent normal results: nobody is better than anybody."""
    return np.random.default_rng(seed).normal(mean, deviation, (sessions, trials))


def with_moments(values: Results, mean: float, deviation: float) -> Results:
    """The same shape with exactly that mean and standard deviation (n − 1)."""
    shaped: Results = (values - values.mean()) / values.std(ddof=1) * deviation + mean
    return shaped
