"""What moved an option's price: Black–Scholes greeks at the beginning, as the live program computes them. Pure.

Formulas: Hull, "Options, Futures, and Other Derivatives", chapter "The Greek letters", without rates and dividends.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from option_pricing import YEAR, implied_volatility


class Moment(NamedTuple):
    """An option at a moment: dollars, and µs until it expires."""

    mid: float
    spot: float
    left: int


class Attribution(NamedTuple):
    """A trade's result taken apart, in dollars of one contract. The parts add up to the result."""

    delta: float
    gamma: float
    theta: float
    volatility: float
    rest: float
    """What the first and second derivatives at the beginning do not explain."""
    spread: float
    """What crossing the spread cost, going in and out."""
    fees: float


def attributed(
    begin: Moment, end: Moment, strike: float, *, crossing: float, fees: float, contract: float
) -> Attribution | None:
    """Returns what moved a call from ``begin`` to ``end``; None where a mid implies no volatility.

    ``crossing`` is the distance from both mids to the prices of the orders, in dollars a share. ``fees`` are dollars of one
    contract, which is for so many shares (``contract``).
    """
    first, last = (implied_volatility(each.mid, each.spot, strike, each.left / YEAR) for each in (begin, end))
    if first is None or last is None:
        return None
    years = begin.left / YEAR
    root = first * math.sqrt(years)
    d1 = math.log(begin.spot / strike) / root + root / 2
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    moved, passed = end.spot - begin.spot, (begin.left - end.left) / YEAR
    delta = (1 + math.erf(d1 / math.sqrt(2))) / 2 * moved
    gamma = density / (begin.spot * root) * moved**2 / 2
    theta = -begin.spot * density * first / (2 * math.sqrt(years)) * passed
    volatility = begin.spot * density * math.sqrt(years) * (last - first)
    rest = end.mid - begin.mid - delta - gamma - theta - volatility
    return Attribution(
        delta=delta * contract,
        gamma=gamma * contract,
        theta=theta * contract,
        volatility=volatility * contract,
        rest=rest * contract,
        spread=-crossing * contract,
        fees=-fees,
    )
