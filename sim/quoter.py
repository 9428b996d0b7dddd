"""Quotes and greeks of the simulated options: what a contract's bid and ask are at any time.

Pure: an answer depends on the seed, the session and the fund's price alone. Spreads of a cent or two and sizes
follow what the real chain shows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from events import SECOND, Session
from sim.contracts import Contract, OptionQuote
from sim.pricing import Greeks, black_scholes

QUOTE_STEP_US = SECOND // 4
"""Quotes near the money change at most this often."""

YEAR_US = 365 * 86_400 * SECOND
SHORTEST_YEARS = 60 * SECOND / YEAR_US

BASE_IV = 0.40
SMILE_SLOPE = -1.2
SMILE_CURVE = 60.0

FAR = 0.04
NEAR = 0.015
"""Distances from the money, as shares of the price, at which quotes slow down."""

LONGEST_QUOTE_STEP = 28
"""In quote steps: the pace of far contracts, and how often a contract's pace is settled anew."""

MIDDLE_QUOTE_STEP = 4

CHEAP = 1.5
"""Dollars up to which the spread is a cent or two."""

WIDE_SPREAD = 0.45
"""Share of quotes whose spread is two cents, not one."""

MASK = (1 << 64) - 1

KEPT = 50_000
"""How many quotes, and how many paces, are kept: clients ask for the same ones again and again."""


class Quoter:
    """Prices the session's contracts. ``spot`` gives the fund's price in dollars at a time; ``first`` is the day's begin, µs."""

    def __init__(self, seed: int, session: Session, first: int, spot: Callable[[int], float]) -> None:
        self._seed, self._session, self._first = seed, session, first
        self.spot = spot
        self._quote_made_at = functools.lru_cache(KEPT)(self._make_quote)
        self._steps = functools.lru_cache(KEPT)(self._measure_steps)

    def chance(self, *keys: int) -> float:
        """Returns a number in [0, 1) that depends on the seed and ``keys`` alone."""
        value = self._seed & MASK
        for key in keys:
            value = ((value ^ (key & MASK)) * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & MASK
            value ^= value >> 29
        value = (value * 0xBF58476D1CE4E5B9) & MASK
        return (value ^ (value >> 32)) / (MASK + 1)

    def greeks(self, contract: Contract, at: int) -> tuple[float, Greeks]:
        """IV (a fraction per year) and greeks at ``at`` (µs)."""
        spot = self.spot(at)
        skew = math.log(contract.strike / spot)
        own = 1 + 0.03 * (self.chance(1, contract.number) - 0.5)
        iv = BASE_IV * own * (1 + SMILE_SLOPE * skew + SMILE_CURVE * skew * skew)
        years = max(SHORTEST_YEARS, (self._session.close - at) / YEAR_US)
        return iv, black_scholes(spot, contract.strike, iv, years, call=contract.call)

    def quote(self, contract: Contract, at: int) -> OptionQuote:
        """The bid and ask that stand at ``at`` (µs)."""
        return self._quote_made_at(contract, self._quoted_at(contract, at))

    def _make_quote(self, contract: Contract, at: int) -> OptionQuote:
        step = at // QUOTE_STEP_US
        cents = 100 * self.greeks(contract, at)[1].value
        noise = self.chance(2, contract.number, step) - 0.5
        width = 1 + (self.chance(3, contract.number, step // MIDDLE_QUOTE_STEP) < WIDE_SPREAD)
        width += int(0.6 * max(0.0, cents / 100 - CHEAP))
        bid = max(0, round(cents + 0.6 * noise - width / 2))
        size = [5 + int(56 * self.chance(side, contract.number, step)) for side in (4, 5)]
        venue = [300 + int(24 * self.chance(side, contract.number, step)) for side in (6, 7)]
        return OptionQuote(
            contract=contract.ticker,
            at=at,
            bid=bid / 100,
            ask=(bid + width) / 100,
            bid_size=size[0] if bid else 0,
            ask_size=size[1],
            bid_exchange=venue[0] if bid else 0,
            ask_exchange=venue[1],
            sequence=1_000_000 + (at - self._first) // QUOTE_STEP_US * 7 + contract.number % 7,
        )

    def _quoted_at(self, contract: Contract, at: int) -> int:
        """When the quote that stands at ``at`` was made.

        A contract's pace changes only at the edges of the slowest pace, so that its stamps never run backwards.
        """
        settle = LONGEST_QUOTE_STEP * QUOTE_STEP_US
        pace = self._steps(contract, at // settle * settle) * QUOTE_STEP_US
        return at // pace * pace

    def _measure_steps(self, contract: Contract, at: int) -> int:
        """How many quote steps lie between two quotes of a contract, settled at ``at`` (µs)."""
        distance = abs(contract.strike / self.spot(at) - 1)
        if distance < NEAR:
            return 1
        return MIDDLE_QUOTE_STEP if distance < FAR else LONGEST_QUOTE_STEP
