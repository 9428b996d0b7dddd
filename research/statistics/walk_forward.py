"""What choosing the best setting again and again would have brought: only sessions after each choice count."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from research.statistics.days import Results, sharpe

CHOOSE_ON = 60
"""Sessions that each choice looks at."""

RUN_FOR = 20
"""Sessions that the chosen trial then runs."""


class WalkForward(NamedTuple):
    """The chain of what ran after each choice."""

    choices: tuple[int, ...]
    """The column of each choice, the oldest first."""
    results: Results
    """The results of the sessions after the choices, in one chain."""
    mean_chosen_on: float
    """The mean result a day that the choices saw."""

    @property
    def mean(self) -> float:
        """The mean result a day afterwards."""
        return float(self.results.mean())

    @property
    def distance(self) -> float:
        """How far the mean afterwards is from the mean that was seen when choosing."""
        return self.mean - self.mean_chosen_on


def walk_forward(columns: Results) -> WalkForward | None:
    """Returns the chain; None with fewer than two trials, or without a session after the first choice."""
    sessions, trials = columns.shape
    if trials < 2 or sessions <= CHOOSE_ON:  # noqa: PLR2004
        return None
    choices: list[int] = []
    chain: list[Results] = []
    seen: list[float] = []
    for begin in range(CHOOSE_ON, sessions, RUN_FOR):
        past, future = columns[begin - CHOOSE_ON : begin], columns[begin : begin + RUN_FOR]
        best = best_column(past)
        choices.append(best)
        chain.append(future[:, best])
        seen.append(float(past[:, best].mean()))
    weights = [len(part) for part in chain]
    return WalkForward(tuple(choices), np.concatenate(chain), float(np.average(seen, weights=weights)))


def best_column(columns: Results) -> int:
    """Returns the column with the highest Sharpe ratio, the first of several. One whose results never vary comes last."""
    ratios = [sharpe(column) for column in columns.T]
    return int(np.argmax([-math.inf if ratio is None else ratio for ratio in ratios]))
