"""What an option is worth: Black–Scholes without rates."""

from __future__ import annotations

import math

import msgspec


class Greeks(msgspec.Struct, frozen=True):
    """Black–Scholes without rates: value in dollars, delta, gamma per dollar, theta per day, vega per IV point."""

    value: float
    delta: float
    gamma: float
    theta: float
    vega: float


def black_scholes(spot: float, strike: float, iv: float, years: float, *, call: bool) -> Greeks:
    """Price and greeks of a European option, without rates and dividends. ``iv`` and ``years`` must be over 0."""
    spread = iv * math.sqrt(years)
    d1 = math.log(spot / strike) / spread + spread / 2
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    above, exercised = _normal(d1), _normal(d1 - spread)
    value = spot * above - strike * exercised
    return Greeks(
        value=value if call else value - spot + strike,
        delta=above if call else above - 1,
        gamma=density / (spot * spread),
        theta=-spot * density * iv / (2 * math.sqrt(years)) / 365,
        vega=spot * density * math.sqrt(years) / 100,
    )


def _normal(x: float) -> float:
    """The standard normal distribution at ``x``."""
    return 0.5 * math.erfc(-x / math.sqrt(2))
