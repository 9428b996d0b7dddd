"""What days come to, beside figures computed by hand and by other programs."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from research.statistics.days import days
from tests.research.samples import noise


def test_figures_of_a_handful_of_days_are_those_computed_by_hand() -> None:
    found = days(np.array([0.10, -0.05, 0.0, 0.20, -0.10]))
    assert (found.sessions, found.with_result) == (5, 4)
    assert found.total == pytest.approx(0.15)
    assert found.mean == pytest.approx(0.03)
    assert found.compounded == pytest.approx(1.10 * 0.95 * 1.20 * 0.90 - 1)
    assert found.worst == found.shortfall == pytest.approx(-0.10)
    assert found.drawdown == pytest.approx(0.10)
    assert found.compounded_drawdown == pytest.approx(0.10)
    assert found.best_day_share == pytest.approx(0.20 / 0.15)


def test_deviation_sharpe_skew_and_kurtosis_are_those_of_other_programs() -> None:
    results = noise(200, 1, seed=1)[:, 0] ** 3
    found = days(results)
    assert found.deviation == pytest.approx(statistics.stdev(results))
    assert found.sharpe == pytest.approx(
        statistics.mean(results) / statistics.stdev(results) * math.sqrt(252)
    )
    assert found.skew == pytest.approx(stats.skew(results))
    assert found.kurtosis == pytest.approx(stats.kurtosis(results, fisher=False))


def test_the_shortfall_is_the_mean_of_the_worst_twentieth_rounded_up() -> None:
    found = days(np.arange(-21, 0) / 100)  # 21 days: the worst two
    assert found.shortfall == pytest.approx((-0.21 - 0.20) / 2)


def test_a_fall_from_the_beginning_counts() -> None:
    assert days(np.array([-0.1, -0.2])).drawdown == pytest.approx(0.3)


def test_a_day_that_loses_everything_leaves_nothing_to_compound() -> None:
    found = days(np.array([0.5, -1.0, 0.5]))
    assert found.compounded is None and found.compounded_drawdown is None
    assert found.total == pytest.approx(0.0)


@pytest.mark.parametrize("results", [[0.0], [0.1], [0.0, 0.0, 0.0], [0.02, 0.02]])
def test_results_that_never_vary_have_no_ratio(results: list[float]) -> None:
    found = days(np.array(results))
    assert found.sharpe is None and found.skew is None and found.kurtosis is None


def test_a_total_that_is_not_above_zero_has_no_shares() -> None:
    found = days(np.array([0.1, -0.2]))
    assert found.best_day_share is None and found.best_percent_share is None
