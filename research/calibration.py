"""How often the verdict is wrong: histories whose truth is known, judged as a trader's own would be.

A history is days of trades. How many trades a day has, and how wide they swing, goes up and down in spells of weeks. A
trade's result has the shape that long options with a stop have: most lose about the stop, some hardly move, a few bring a
multiple. Then everything is shifted so that the true mean of a trade is exactly the one that is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np

from research.judgement import evidence_of_days
from research.statistics.days import Results, days
from research.statistics.deflated import deflated
from research.statistics.intervals import intervals
from research.statistics.overfitting import overfitting
from research.statistics.verdict import Verdict, verdict
from research.statistics.walk_forward import best_column

STOP_SHARE, FLAT_SHARE = 0.55, 0.30
"""Shares of trades that end near the stop, and of those that hardly move. The rest runs."""

STOP, STOP_SPREAD = -0.18, 0.03
FLAT_WIDTH = 0.15
RUN_MEDIAN, RUN_SPREAD = 0.30, 0.6
"""The median of what runs brings +30%; the logarithm's deviation gives a tail beyond +100%."""

TRADE_MEAN = STOP_SHARE * STOP + (1 - STOP_SHARE - FLAT_SHARE) * RUN_MEDIAN * math.exp(RUN_SPREAD**2 / 2)
"""What a trade of that shape brings in the mean, before it is shifted."""

TRADES_A_DAY = 2.0
SPELL = 0.9
"""How much of a day's liveliness the next day keeps (AR(1) of its logarithm)."""

LIVELINESS = 0.4
"""The deviation of the logarithm of a day's liveliness."""

TAKEN_SHARE = 0.7
"""The share of all trades that each setting of a sweep takes."""

OWN_EXIT = 0.08
"""The deviation that a setting's own exit adds to a trade."""


SEVERAL = 100
"""Settings of the sweeps whose best is judged."""


class Scene(NamedTuple):
    """Histories of one kind."""

    sessions: int
    settings: int
    """How many are tried; the best by its Sharpe ratio is judged."""
    mean: float
    """The true mean of a trade after costs, as a fraction of the stake."""


class Tally(NamedTuple):
    """How often each verdict was given on the histories of a scene."""

    scene: Scene
    histories: int
    counts: dict[Verdict, int]

    def share(self, found: Verdict) -> float:
        """Returns how often a verdict was given."""
        return self.counts.get(found, 0) / self.histories


SCENES = (
    *(Scene(sessions, 1, 0.0) for sessions in (60, 125, 250, 500)),
    *(Scene(sessions, SEVERAL, 0.0) for sessions in (60, 125, 250)),
    *(Scene(sessions, 1, mean) for mean in (-0.01, -0.03) for sessions in (60, 125, 250)),
    *(Scene(sessions, 1, mean) for mean in (0.01, 0.02, 0.03, 0.05) for sessions in (60, 125, 250, 500)),
)
"""Without an edge; the best of many without one; costs alone; planted edges."""


def history(scene: Scene, seed: int) -> Results:
    """Returns the daily results of a history: a row a day, a column a setting."""
    dice = np.random.default_rng([seed, scene.sessions, scene.settings])
    lively = np.empty(scene.sessions)
    level = dice.normal(0, LIVELINESS)
    for day in range(scene.sessions):
        lively[day] = math.exp(level)
        level = SPELL * level + dice.normal(0, LIVELINESS * math.sqrt(1 - SPELL**2))
    counts = dice.poisson(TRADES_A_DAY * np.sqrt(lively))
    day_of = np.repeat(np.arange(scene.sessions), counts)
    shape = _trades(dice, len(day_of)) - TRADE_MEAN
    trades = (shape * np.sqrt(lively[day_of]))[:, None] + np.zeros(scene.settings)
    if scene.settings > 1:
        trades = trades + dice.normal(0, OWN_EXIT, trades.shape)
        trades *= dice.random(trades.shape) < TAKEN_SHARE
        trades[trades != 0] += scene.mean
    else:
        trades = trades + scene.mean
    results = np.zeros((scene.sessions, scene.settings))
    np.add.at(results, day_of, trades)
    return results


def _trades(dice: np.random.Generator, count: int) -> Results:
    kind = dice.random(count)
    stops = dice.normal(STOP, STOP_SPREAD, count)
    flats = dice.uniform(-FLAT_WIDTH, FLAT_WIDTH, count)
    runs = RUN_MEDIAN * np.exp(dice.normal(0, RUN_SPREAD, count))
    return np.where(kind < STOP_SHARE, stops, np.where(kind < STOP_SHARE + FLAT_SHARE, flats, runs))


def judged(columns: Results) -> Verdict:
    """Returns the verdict on the best column, as `judge` gives it."""
    chosen = best_column(columns)
    results = columns[:, chosen]
    luck, split = deflated(columns, chosen, columns.shape[1]), overfitting(columns)
    return verdict(evidence_of_days(days(results), intervals(results), luck, split, trials=columns.shape[1]))


def tallied(scene: Scene, histories: int, jobs: int = 1) -> Tally:
    """Returns how often each verdict is given on so many histories of a scene."""
    parts = [(scene, range(begin, histories, jobs)) for begin in range(jobs)]
    if jobs == 1:
        found = [_verdicts(parts[0])]
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_verdicts, parts))
    every = [each for part in found for each in part]
    return Tally(scene, histories, {kind: every.count(kind) for kind in Verdict})


def _verdicts(part: tuple[Scene, Sequence[int]]) -> list[Verdict]:
    scene, seeds = part
    return [judged(history(scene, seed)) for seed in seeds]
