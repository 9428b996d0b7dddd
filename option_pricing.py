"""What a call is worth: Black–Scholes price, delta and implied volatility, without rates or dividends. Pure.

Formulas: Black and Scholes, "The Pricing of Options and Corporate Liabilities", Journal of Political Economy 81, 1973. A
0DTE call lives for hours: in that time neither rates nor dividends move its price by a tick.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    STRIKE_UNIT,
)

YEAR = 365 * 86_400 * SECOND
"""A year of 365 days, µs: time to expiry is counted over calendar time."""

VOLATILITY_RANGE = (0.001, 10.0)
"""The usable volatilities, per year (1.0 is 100 %). A quote that needs another implies none: no 0DTE call trades there."""

STEPS = 100
"""The most steps of a search. Halving alone needs about 66 to narrow `VOLATILITY_RANGE` down to a float's last bit."""

NEAR_ENOUGH = 1e-9
"""The search ends with a step this small, relative to the volatility. Newton's method converges quadratically, so the
error left is about the square of that."""

ROOT_OF_TWO = math.sqrt(2)

ROOT_OF_TWO_PI = math.sqrt(2 * math.pi)


def call_price(spot: float, strike: float, years: float, volatility: float) -> float:
    """Returns the Black–Scholes price of a call in dollars. ``spot`` and ``strike`` in dollars, ``volatility`` per year."""
    return _pricer(spot, strike, years)(volatility)[0]


def _pricer(spot: float, strike: float, years: float) -> Callable[[float], tuple[float, float]]:
    """Returns a function from volatility to a call's price and vega. Computes the terms without volatility only once."""
    root, distance, erf, exp = math.sqrt(years), math.log(spot / strike), math.erf, math.exp

    def price(volatility: float) -> tuple[float, float]:
        deviation = volatility * root
        d1 = distance / deviation + deviation / 2
        # `_normal(d1)` and `_normal(d1 - deviation)`, inlined: a search calls this function in every step.
        value = spot * ((1 + erf(d1 / ROOT_OF_TWO)) / 2) - strike * (
            (1 + erf((d1 - deviation) / ROOT_OF_TWO)) / 2
        )
        return value, spot * root * exp(-d1 * d1 / 2) / ROOT_OF_TWO_PI

    return price


def is_dearer_than_any(mid: int, spot: float, strike: int, left: int) -> bool:
    """Returns whether even the highest usable volatility cannot explain a call's price: its quote must be wrong.

    ``mid`` is in option price units, ``spot`` in dollars, ``strike`` in strike units, ``left`` the time to expiry in µs.
    Returns False if one of the last three is not positive.
    """
    if left <= 0 or spot <= 0 or strike <= 0:
        return False
    return mid / OPTION_PRICE_UNIT > call_price(spot, strike / STRIKE_UNIT, left / YEAR, VOLATILITY_RANGE[1])


def call_delta(spot: float, strike: float, years: float, volatility: float) -> float:
    """Returns the Black–Scholes delta of a call, 0 to 1. ``spot`` and ``strike`` in dollars, ``volatility`` per year."""
    deviation = volatility * math.sqrt(years)
    return _normal(math.log(spot / strike) / deviation + deviation / 2)


def implied_volatility(mid: float, spot: float, strike: float, years: float) -> float | None:
    """Returns the volatility per year at which a call costs ``mid`` dollars; None if no usable one fits.

    Newton's method. It starts at the inflection point of price over volatility, sqrt(2 |ln(spot/strike)| / years), from
    where it converges: Manaster and Koehler, "The Calculation of Implied Variances from the Black–Scholes Model", Journal
    of Finance 37, 1982. At the money, where that point is at 0, it starts at sqrt(2 pi / years) × mid / spot: Brenner and
    Subrahmanyam, "A Simple Formula to Compute the Implied Standard Deviation", Financial Analysts Journal 44, 1988. A
    step that would leave the range left halves that range instead.
    """
    low, high = VOLATILITY_RANGE
    if years <= 0 or spot <= 0 or strike <= 0:
        return None
    price = _pricer(spot, strike, years)
    if not price(low)[0] < mid < price(high)[0]:
        return None
    volatility = min(max(math.sqrt(2 * abs(math.log(spot / strike)) / years), low), high)
    if volatility == low:  # at the money: price is nearly linear in volatility
        volatility = min(max(mid / spot * ROOT_OF_TWO_PI / math.sqrt(years), low), high)
    for _ in range(STEPS):
        value, slope = price(volatility)
        if value < mid:
            low = volatility
        else:
            high = volatility
        step = (mid - value) / slope if slope > 0 else math.inf
        near = volatility + step
        if not low <= near <= high:
            near = (low + high) / 2
        if abs(near - volatility) <= NEAR_ENOUGH * near:
            return near
        volatility = near
    return volatility


def _normal(value: float) -> float:
    """Returns the cumulative standard normal distribution at ``value``."""
    return (1 + math.erf(value / ROOT_OF_TWO)) / 2
