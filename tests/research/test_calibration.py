"""The verdict on histories whose truth is known. The whole table is `python -m research calibrate`; these are its corners."""

from __future__ import annotations

import numpy as np
import pytest

from research.__main__ import main
from research.calibration import Scene, history, tallied
from research.statistics.verdict import Verdict


@pytest.mark.parametrize("settings", [1, 5])
@pytest.mark.parametrize("mean", [0.0, 0.02])
def test_the_true_mean_of_a_trade_is_the_one_that_is_asked_for(settings: int, mean: float) -> None:
    scene = Scene(250, settings, mean)
    plain, shifted = (
        np.stack([history(scene._replace(mean=value), seed) for seed in range(60)]) for value in (0.0, mean)
    )
    trades = 2.0 * 0.98 * (1.0 if settings == 1 else 0.7)  # a day, about
    assert shifted.mean() == pytest.approx(trades * mean, abs=0.008)
    assert (shifted - plain).min() >= -1e-12


def test_results_have_the_shape_that_is_promised() -> None:
    results = np.concatenate([history(Scene(250, 1, 0.0), seed)[:, 0] for seed in range(40)])
    centred = results - results.mean()
    assert (centred**3).mean() / centred.std() ** 3 > 0.5  # a few days bring a multiple
    assert (centred**4).mean() / centred.std() ** 4 > 4  # fat tails
    assert 0.1 < (results == 0).mean() < 0.3  # days without a trade
    size = np.abs(centred).reshape(40, 250)
    after = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in size]
    assert np.mean(after) > 0.05  # lively days come in spells


def test_the_same_seed_gives_the_same_history() -> None:
    scene = Scene(60, 3, 0.0)
    assert np.array_equal(history(scene, 7), history(scene, 7))
    assert not np.array_equal(history(scene, 7), history(scene, 8))


def test_without_an_edge_wins_is_rare_and_the_best_of_several_no_exception() -> None:
    for scene in (Scene(125, 1, 0.0), Scene(64, 10, 0.0)):
        found = tallied(scene, 60)
        assert (
            found.share(Verdict.WINS) <= 0.10
        )  # 60 histories: a true 5% gives more than that in one run of a hundred
        assert sum(found.counts.values()) == 60


def test_a_large_edge_is_found_and_large_costs_are_named() -> None:
    assert tallied(Scene(125, 1, 0.1), 20).share(Verdict.WINS) >= 0.9
    assert tallied(Scene(125, 1, -0.1), 20).share(Verdict.LOSES) >= 0.9


def test_processes_change_nothing() -> None:
    scene = Scene(40, 1, 0.0)
    assert tallied(scene, 7, jobs=2) == tallied(scene, 7, jobs=1)


def test_the_command_prints_a_row_for_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--histories", "1"]) == 0
    said = capsys.readouterr().out
    assert (
        "| mean of a trade | settings | sessions | too little to say | loses | wins | cannot be told from luck |"
        in said
    )
    assert "| 0 | best of 100 | 250 | " in said and "| +5% | 1 | 500 | " in said
