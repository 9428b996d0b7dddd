"""Black–Scholes against known values."""

from __future__ import annotations

import pytest

from sim.pricing import black_scholes


def test_black_scholes_agrees_with_known_values() -> None:
    # Textbook case: S=100, K=100, sigma=20 %, one year, no rates: 2·N(0.1)−1 = 7.9656 dollars.
    at_the_money = black_scholes(100, 100, 0.2, 1.0, call=True)
    assert at_the_money.value == pytest.approx(7.96557, abs=1e-5)
    assert at_the_money.delta == pytest.approx(0.539828, abs=1e-6)
    put = black_scholes(100, 90, 0.3, 0.25, call=False)
    call = black_scholes(100, 90, 0.3, 0.25, call=True)
    assert call.value - put.value == pytest.approx(10.0)
    assert call.delta - put.delta == pytest.approx(1.0)
    bumped = black_scholes(100.01, 90, 0.3, 0.25, call=True)
    assert (bumped.value - call.value) / 0.01 == pytest.approx(call.delta, abs=1e-3)
    assert (bumped.delta - call.delta) / 0.01 == pytest.approx(call.gamma, rel=1e-2)
