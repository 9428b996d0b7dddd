"""Whether a Sharpe ratio is luck: the paper's own figures, and intervals on days whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from research.statistics.deflated import deflated, effective_trials, expected_maximum, probabilistic
from research.statistics.intervals import drawn, intervals
from tests.research.samples import noise, with_moments

DAYS_A_YEAR = 250
"""In the paper's example (Bailey and López de Prado, 2014)."""

RATIO = 2.5 / math.sqrt(DAYS_A_YEAR)
SPREAD = math.sqrt(0.5 / DAYS_A_YEAR)
SESSIONS = 1_250


@pytest.mark.parametrize(
    ("trials", "skew", "kurtosis", "printed"),
    [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)],
)
def test_deflated_sharpe_ratios_are_those_that_the_paper_prints(
    trials: int, skew: float, kurtosis: float, printed: float
) -> None:
    luck = SPREAD * expected_maximum(trials)
    assert round(probabilistic(RATIO, luck, SESSIONS, skew, kurtosis), 4) == printed


def test_the_luck_of_a_hundred_trials_is_what_the_paper_prints() -> None:
    assert round(SPREAD * expected_maximum(100), 4) == 0.1132


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_the_expected_maximum_is_near_that_of_drawn_numbers(trials: int) -> None:
    drawn_maxima = np.random.default_rng(1).standard_normal((4_000, trials)).max(axis=1)
    assert expected_maximum(trials) == pytest.approx(drawn_maxima.mean(), abs=0.05)


def test_one_trial_has_no_luck_of_choosing() -> None:
    found = deflated(noise(100, 1, seed=1, mean=0.001), 0, trials=1)
    assert found is not None
    assert found.luck_by_length == 0 and found.luck_by_spread is None
    assert found.dsr == found.psr


def test_the_lower_of_both_deflated_ratios_counts() -> None:
    columns = noise(250, 20, seed=2)
    found = deflated(columns, 0, trials=20)
    assert found is not None and found.dsr_by_spread is not None
    assert found.dsr == min(found.dsr_by_spread, found.dsr_by_length)
    assert found.dsr < found.psr


def test_more_trials_make_it_less_probable() -> None:
    columns = noise(250, 5, seed=3, mean=0.002)
    few, many = (deflated(columns, 0, trials=count) for count in (5, 500))
    assert few is not None and many is not None and many.dsr < few.dsr


def test_a_trial_whose_results_never_vary_has_no_ratio_to_deflate() -> None:
    columns = noise(50, 2, seed=4)
    columns[:, 1] = 0
    assert deflated(columns, 1, trials=2) is None
    found = deflated(columns, 0, trials=2)
    assert found is not None and found.luck_by_spread is None


def test_effective_trials_count_copies_once_and_strangers_each() -> None:
    one = noise(5_000, 1, seed=5)
    assert effective_trials(np.hstack([one, one * 2, one * 3])) == pytest.approx(1.0)
    assert effective_trials(noise(5_000, 10, seed=6)) == pytest.approx(10, rel=0.05)
    assert effective_trials(np.hstack([one, np.zeros((5_000, 3))])) is None


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rounds = 200
    held = sum(
        found.mean.low <= 0 <= found.mean.high
        for found in (intervals(noise(100, 1, seed=seed)[:, 0]) for seed in range(rounds))
    )
    assert 0.90 <= held / rounds <= 0.99


def test_intervals_keep_what_clusters_in_time_together() -> None:
    dice = np.random.default_rng(7)
    calm = dice.normal(0, 0.01, 250)
    runs = np.repeat(dice.normal(0, 0.01, 50), 5)  # five days alike, again and again
    loose, clustered = (intervals(with_moments(values, 0, 0.01)).mean for values in (calm, runs))
    assert clustered.high - clustered.low > 1.4 * (loose.high - loose.low)


def test_the_same_days_give_the_same_interval_and_draw_blocks_of_five_in_the_mean() -> None:
    results = noise(120, 1, seed=8)[:, 0]
    assert intervals(results) == intervals(results.copy())
    rows = drawn(120)
    going_on = (rows[:, 1:] - rows[:, :-1]) % 120 == 1
    assert going_on.mean() == pytest.approx(4 / 5, abs=0.01)


def test_days_that_are_almost_all_alike_have_no_interval_of_a_ratio() -> None:
    assert intervals(np.full(30, 0.01)).sharpe is None
    assert intervals(np.array([0.01])).sharpe is None
