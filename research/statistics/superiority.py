"""Whether any of many trials beats doing nothing, when all of them are looked at together.

Hansen, "A Test for Superior Predictive Ability", Journal of Business & Economic Statistics 23 (4), 2005; Romano and Wolf,
"Stepwise Multiple Testing as Formalized Data Snooping", Econometrica 73 (4), 2005. Both by `arch.bootstrap`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from arch.bootstrap import SPA, StepM

from research.statistics.days import Results
from research.statistics.intervals import MEAN_BLOCK, SEED

DRAWS = 2_000
"""Resamples: a p-value of 0.05 is sure to about 0.005."""

SIZE = 0.05
"""The probability with which StepM may name a trial wrongly."""


class Superiority(NamedTuple):
    """The tests against doing nothing, over trials that traded at all."""

    tested: int
    p_value: float
    """SPA's consistent p-value: how often luck alone gives a best trial as good as the one seen."""
    superior: tuple[int, ...]
    """The columns of which StepM says, at 5 %, that they are better than doing nothing."""


def superiority(columns: Results) -> Superiority | None:
    """Returns what both tests say; None where no trial's results vary."""
    moving = np.flatnonzero(columns.std(axis=0) > 0)
    if not len(moving):
        return None
    losses = -columns[:, moving]
    steps = StepM(
        np.zeros(len(columns)),
        losses,
        size=SIZE,
        block_size=MEAN_BLOCK,
        reps=DRAWS,
        bootstrap="stationary",
        seed=SEED,
    )
    steps.compute()
    return Superiority(
        tested=len(moving),
        p_value=p_value(losses),
        superior=tuple(int(column) for place, column in enumerate(moving) if place in steps.superior_models),
    )


def p_value(losses: Results, draws: int = DRAWS) -> float:
    """Returns SPA's consistent p-value of trials against doing nothing. Each column varies; a gain is a negative loss."""
    test = SPA(
        np.zeros(len(losses)), losses, block_size=MEAN_BLOCK, reps=draws, bootstrap="stationary", seed=SEED
    )
    test.compute()
    return float(test.pvalues["consistent"])
