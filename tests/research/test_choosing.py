"""What choosing among trials comes to: on noise, on a planted edge, and beside slow and plain calculations."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from research.statistics.days import Results, sharpe
from research.statistics.overfitting import overfitting
from research.statistics.superiority import p_value, superiority
from research.statistics.walk_forward import walk_forward
from tests.research.samples import noise


def slow_probability(columns: Results, blocks: int) -> float:
    """CSCV as the paper describes it, one split at a time."""
    parts = np.array_split(np.arange(len(columns)), blocks)
    lost = 0
    splits = list(combinations(range(blocks), blocks // 2))
    for chosen in splits:
        past = np.concatenate([parts[number] for number in chosen])
        future = np.setdiff1d(np.arange(len(columns)), past)
        before = [sharpe(column[past]) or 0.0 for column in columns.T]
        after = [sharpe(column[future]) or 0.0 for column in columns.T]
        rank = stats.rankdata(after)[int(np.argmax(before))]
        share = rank / (columns.shape[1] + 1)
        lost += np.log(share / (1 - share)) <= 0
    return float(lost / len(splits))


@pytest.mark.parametrize(("sessions", "trials", "blocks"), [(60, 4, 8), (83, 7, 8), (64, 3, 10)])
def test_the_probability_of_overfitting_is_that_of_a_slow_calculation(
    sessions: int, trials: int, blocks: int
) -> None:
    for seed in range(3):
        columns = noise(sessions, trials, seed=seed)
        columns[:, 0] = np.where(np.arange(sessions) % 7 == 0, columns[:, 0], 0.0)
        found = overfitting(columns, blocks)
        assert found is not None
        assert found.probability == pytest.approx(slow_probability(columns, blocks))


def test_how_many_splits_are_held_at_once_changes_nothing() -> None:
    columns = noise(64, 5, seed=9)
    assert overfitting(columns, 10, cells_at_once=37) == overfitting(columns, 10)


def test_on_noise_the_probability_of_overfitting_is_about_a_half() -> None:
    found = [overfitting(noise(160, 20, seed=seed), 10) for seed in range(60)]
    assert np.mean([each.probability for each in found if each]) == pytest.approx(0.5, abs=0.08)
    assert np.mean([each.losing for each in found if each]) == pytest.approx(0.5, abs=0.08)


def test_a_trial_that_is_truly_better_is_no_overfitting() -> None:
    columns = noise(250, 20, seed=1)
    columns[:, 3] += 0.01
    found = overfitting(columns)
    assert found is not None and found.splits == 12_870
    assert found.probability < 0.01 and found.losing < 0.01


def test_trials_that_never_trade_rank_as_what_they_are() -> None:
    columns = np.hstack([noise(100, 1, seed=2, mean=-0.01), np.zeros((100, 3))])
    found = overfitting(columns, 8)
    assert found is not None and found.losing == 0


@pytest.mark.parametrize(("sessions", "trials"), [(31, 5), (100, 1)])
def test_too_few_days_or_trials_have_no_probability_of_overfitting(sessions: int, trials: int) -> None:
    assert overfitting(noise(sessions, trials, seed=3), 16) is None


def test_on_noise_the_p_values_of_spa_are_uniform() -> None:
    values = [p_value(-noise(100, 4, seed=seed), draws=200) for seed in range(80)]
    # Kolmogorov and Smirnov; the test is conservative, so values may lie above uniform, but not far below.
    assert stats.kstest(values, "uniform").pvalue > 0.01
    assert np.mean(np.array(values) < 0.05) <= 0.10


def test_a_planted_edge_is_named_by_both_tests_and_a_trial_that_never_traded_is_left_out() -> None:
    columns = np.hstack([noise(250, 3, seed=4), np.zeros((250, 1)), noise(250, 1, seed=5, mean=0.01)])
    found = superiority(columns)
    assert found is not None
    assert found.tested == 4 and found.p_value < 0.01
    assert found.superior == (4,)
    assert superiority(np.zeros((50, 2))) is None


def test_walk_forward_chains_only_what_came_after_each_choice() -> None:
    columns = np.zeros((140, 2))
    columns[:, 0] = np.where(np.arange(140) % 2, 0.02, 0.0)  # better in the first hundred sessions
    columns[:, 1] = np.where(np.arange(140) % 2, 0.01, 0.0)
    columns[80:, 0] *= -1
    found = walk_forward(columns)
    assert found is not None
    assert found.choices[0] == 0 and found.choices[-1] == 1
    assert len(found.results) == 80
    assert found.results[:20] == pytest.approx(columns[60:80, 0])
    assert found.results[20:40] == pytest.approx(columns[80:100, found.choices[1]])
    assert found.distance == pytest.approx(found.mean - found.mean_chosen_on)


def test_sixty_sessions_leave_nothing_to_run_on() -> None:
    assert walk_forward(noise(60, 3, seed=6)) is None
    assert walk_forward(noise(100, 1, seed=6)) is None
    found = walk_forward(noise(61, 3, seed=6))
    assert found is not None and len(found.results) == 1
