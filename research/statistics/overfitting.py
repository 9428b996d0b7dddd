"""How probable it is that choosing the best setting of many chose luck: combinatorially symmetric cross-validation.

Bailey, Borwein, López de Prado and Zhu, "The Probability of Backtest Overfitting", Journal of Computational Finance 20 (4),
2017. The days are cut into S blocks. Each half of the blocks is the past once: the trial with the highest Sharpe ratio
there is chosen, and ranked among all in the other half.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from research.statistics.days import Results

BLOCKS = 16
BLOCK_CHOICES = (8, 10, 16)
LEAST_DAYS_A_BLOCK = 2
CELLS_AT_ONCE = 2_000_000
"""Splits × trials that are held in memory at once: some 16 MB an array."""

ROUNDING = 1e-12
"""A variance below this share of the mean square is what rounding leaves of none."""

NOTHING = 1e-15
"""A mean result below this is none."""


class Overfitting(NamedTuple):
    """What choosing comes to over all splits."""

    blocks: int
    splits: int
    probability: float
    """PBO: the share of splits in which the chosen trial is not above the middle of all in the other half (logit ≤ 0)."""
    slope: float | None
    """Of the chosen trial's Sharpe ratio in the other half on that in its own; None where it cannot be told."""
    losing: float
    """The share of splits in which the chosen trial loses in the other half."""


def overfitting(
    columns: Results, blocks: int = BLOCKS, *, cells_at_once: int = CELLS_AT_ONCE
) -> Overfitting | None:
    """Returns the figures; None with fewer than two trials, or fewer than two days a block."""
    sessions, trials = columns.shape
    if trials < 2 or sessions < blocks * LEAST_DAYS_A_BLOCK:  # noqa: PLR2004
        return None
    parts = np.array_split(columns, blocks)
    counts = np.array([len(part) for part in parts], dtype=np.float64)
    sums = np.stack([part.sum(axis=0) for part in parts])
    squares = np.stack([(part**2).sum(axis=0) for part in parts])
    inside: list[Results] = []
    outside: list[Results] = []
    ranks: list[Results] = []
    for halves in _halves(blocks, max(1, cells_at_once // trials)):
        chosen_in = _sharpes(halves, counts, sums, squares)
        all_out = _sharpes(1 - halves, counts, sums, squares)
        rows = np.arange(len(halves))
        best = chosen_in.argmax(axis=1)
        out = all_out[rows, best]
        inside.append(chosen_in[rows, best])
        outside.append(out)
        below = (all_out < out[:, None]).sum(axis=1)
        same = (all_out == out[:, None]).sum(axis=1)  # itself included
        ranks.append(below + (same + 1) / 2)
    own, other, rank = (np.concatenate(found) for found in (inside, outside, ranks))
    return Overfitting(
        blocks=blocks,
        splits=len(own),
        probability=float((rank / (trials + 1) <= 0.5).mean()),  # noqa: PLR2004 - the logit of a half is 0
        slope=_slope(own, other),
        losing=float((other < 0).mean()),
    )


def _halves(blocks: int, at_once: int) -> Iterator[Results]:
    """Yields which blocks are the past: one row a split, 1 for a block that is in it, so many rows at once."""
    every = np.array(list(combinations(range(blocks), blocks // 2)))
    for begin in range(0, len(every), at_once):
        chosen: NDArray[np.int64] = every[begin : begin + at_once]
        rows = np.zeros((len(chosen), blocks))
        np.put_along_axis(rows, chosen, 1.0, axis=1)
        yield rows


def _sharpes(rows: Results, counts: Results, sums: Results, squares: Results) -> Results:
    """Returns each trial's Sharpe ratio over the blocks of each row, a day's. 0 where it never traded there.

    A trial whose results are all the same there, and not 0, is infinitely sure of them.
    """
    days = (rows @ counts)[:, None]
    total, square = rows @ sums, rows @ squares
    mean = total / days
    variance = (square - total * mean) / (days - 1)
    variance[variance < ROUNDING * square / days] = 0.0  # what rounding leaves
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Results = mean / np.sqrt(variance)
    ratios[(variance == 0) & (np.abs(mean) < NOTHING)] = 0.0
    return ratios


def _slope(own: Results, other: Results) -> float | None:
    usable = np.isfinite(own) & np.isfinite(other)
    x, y = own[usable], other[usable]
    if len(x) < 2 or float(np.ptp(x)) == 0:  # noqa: PLR2004
        return None
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())
