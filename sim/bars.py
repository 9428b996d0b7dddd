"""A bar of the simulated market, and the same bar sent again with late trades in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from events import SECOND

HOLD_US = 2 * SECOND
"""The vendor holds a bar this long after its second has ended, for late prints."""

MILLI = 1000
"""µs in a millisecond: the unit of the wire's timestamps."""

CORRECTED_SHARE = 0.03
CORRECTION_SPAN_S = (3.0, 900.0)
"""A correction follows its first print by this long; the delays are log-uniform in between."""


class SimBar(msgspec.Struct, frozen=True, kw_only=True):
    """One second of one symbol: prices in dollars, ``volume`` in shares (may be fractional), ``start`` in µs of UTC.

    ``accumulated`` and ``day_vwap`` run over the day including this bar; ``day_open`` is None before the open.
    """

    symbol: str
    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    trades: int
    accumulated: float
    day_vwap: float
    day_open: float | None

    @property
    def end(self) -> int:
        """End of the second, exclusive, µs."""
        return self.start + SECOND

    @property
    def sent_at(self) -> int:
        """When the vendor first prints the bar, µs."""
        return self.end + HOLD_US


class Correction(msgspec.Struct, frozen=True):
    """A bar that is sent again at ``at`` (µs), with late trades in it."""

    at: int
    bar: SimBar


def corrections(bars: Sequence[SimBar], rng: np.random.Generator) -> list[Correction]:
    """Corrects a few bars, 3 s to 15 minutes after their first print: more volume, a slightly different VWAP."""
    chosen = np.flatnonzero(rng.random(len(bars)) < CORRECTED_SHARE).tolist()
    low, high = (math.log(value) for value in CORRECTION_SPAN_S)
    out: list[Correction] = []
    for index in chosen:
        bar = bars[index]
        delay = int(math.exp(rng.uniform(low, high)) * SECOND)
        extra = max(1.0, round(bar.volume * rng.uniform(0.05, 0.6)))
        vwap = round(bar.vwap + rng.normal(0.0, 0.002), 4)
        out.append(
            Correction(
                bar.sent_at + delay,
                msgspec.structs.replace(
                    bar,
                    volume=round(bar.volume + extra, 3),
                    vwap=vwap,
                    trades=bar.trades + 1,
                    accumulated=round(bar.accumulated + extra, 3),
                ),
            )
        )
    return sorted(out, key=lambda correction: correction.at)
