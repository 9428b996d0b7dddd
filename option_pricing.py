"""What a call is worth: Black–Scholes price, delta and implied volatility, without rates or dividends. Pure.

Formulas: Black and Scholes, "The Pricing of Options and Corporate Liabilities", 1973. A 0DTE call lives for hours, in
which neither rates nor dividends move its price by a tick.
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
"""A year, µs: volatility is counted over calendar time."""

VOLATILITY_RANGE = (0.001, 10.0)
"""The usable volatilities, per year. A quote outside them implies none: no 0DTE call trades there."""

STEPS = 100
"""The most steps of a search. Halving alone reaches a float's last bit in fewer."""

NEAR_ENOUGH = 1e-9
"""The search ends with a step this small, relative to the volatility; Newton's error is then about its square."""

ROOT_OF_TWO = math.sqrt(2)

ROOT_OF_TWO_PI = math.sqrt(2 * math.pi)


def call_price(spot: float, strike: float, years: float, volatility: float) -> float:
    """Returns the Black–Scholes price of a call, dollars. ``spot`` and ``strike`` in dollars, ``volatility`` per year."""
    return _pricer(spot, strike, years)(volatility)[0]


def _pricer(spot: float, strike: float, years: float) -> Callable[[float], tuple[float, float]]:
    """Returns a function from volatility to a call's price and vega. Computes what does not depend on it once."""
    root, distance, erf, exp = math.sqrt(years), math.log(spot / strike), math.erf, math.exp

    def price(volatility: float) -> tuple[float, float]:
        deviation = volatility * root
        d1 = distance / deviation + deviation / 2
        # `_normal` of d1 and of d1 - deviation, inlined: one search calls this some ten times.
        value = spot * ((1 + erf(d1 / ROOT_OF_TWO)) / 2) - strike * (
            (1 + erf((d1 - deviation) / ROOT_OF_TWO)) / 2
        )
        return value, spot * root * exp(-d1 * d1 / 2) / ROOT_OF_TWO_PI

    return price


def is_dearer_than_any(mid: int, spot: float, strike: int, left: int) -> bool:
    """Returns whether no usable volatility explains a call's price, so that its quote must be wrong.

    ``mid`` is in option price units, ``strike`` in strike units, ``left`` the time to expiry in µs.
    """
    if left <= 0 or spot <= 0 or strike <= 0:
        return False
    return mid / OPTION_PRICE_UNIT > call_price(spot, strike / STRIKE_UNIT, left / YEAR, VOLATILITY_RANGE[1])


def call_delta(spot: float, strike: float, years: float, volatility: float) -> float:
    """Returns the Black–Scholes delta of a call, 0 to 1. ``spot`` and ``strike`` in dollars, ``volatility`` per year."""
    deviation = volatility * math.sqrt(years)
    return _normal(math.log(spot / strike) / deviation + deviation / 2)


def implied_volatility(mid: float, spot: float, strike: float, years: float) -> float | None:
    """Returns the volatility per year at which a call costs ``mid`` dollars; None if no usable one does.

    Newton's method, started at the inflection point of price over volatility, from where it converges (Manaster and
    Koehler, 1982); it halves the range where a step would leave it.
    """
    low, high = VOLATILITY_RANGE
    if years <= 0 or spot <= 0 or strike <= 0:
        return None
    price = _pricer(spot, strike, years)
    if not price(low)[0] < mid < price(high)[0]:
        return None
    volatility = min(max(math.sqrt(2 * abs(math.log(spot / strike)) / years), low), high)
    if volatility == low:  # at the money there is no inflection: price is nearly linear there
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
    """Returns the standard normal distribution function at ``value``."""
    return (1 + math.erf(value / ROOT_OF_TWO)) / 2
