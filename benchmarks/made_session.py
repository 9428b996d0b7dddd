"""A made session of two symbols from a seed: quiet and busy stretches, empty seconds, and bars that are corrected later.

Standard library only and no more than that: the same seed gives the same session everywhere.
"""

from __future__ import annotations

import math
import random
from typing import Any

from benchmarks.contest import Row, Tape

OPEN_S = 1_759_411_800
"""2025-10-02 09:30 in New York."""

SECONDS = 23_400
BARS = 46_800
"""Prints in the session: those of two symbols in every second, were there no gaps; here corrections make them up."""

EMPTY = (0.25, 0.02)
"""Share of seconds without a bar, of the watched symbol and of the benchmark, as on an ordinary morning."""

PAUSES, PAUSE_S = 12, 15
"""How often the benchmark does not trade for so long that its last close is too old, and for how long."""

SOON_S, LATEST_CORRECTION_S = 60, 900
"""The vendor corrects bars for a quarter of an hour: most after about a minute, the others at any time in it."""

SOON = 0.9
"""Share of the corrections that come soon."""

OTHER_CLOSE = 0.3
"""Share of corrections that change the close, too."""

SURGE_EVERY_S, SURGE_S = 2_700, 120
"""A climb on growing volume, now and then, so that there is something to find."""


def made_tape(
    *,
    numbers: dict[str, float],
    rules: dict[str, Any] | None = None,
    seed: int = 1,
    seconds: int = SECONDS,
    corrections: float | None = None,
    measured_from: int = 0,
) -> Tape:
    """A session. ``corrections``: repeats as a share of the first prints; None makes `BARS` prints of a whole session."""
    dice = random.Random(seed)
    own = _bars(dice, 0, seconds, price=240.0, usual=500.0)
    benchmark = _bars(dice, 1, seconds, price=668.0, usual=1500.0)
    _pause(dice, own, benchmark, seconds)
    # Within a second the benchmark comes first: at the watched symbol's evaluation its close is known to everyone.
    first = [bar for second in range(seconds) for bar in (benchmark.get(second), own.get(second)) if bar]
    count = _corrections(len(first), seconds, corrections)
    correctable = [bar for bar in first if bar.second < seconds - 1]
    repeats = [_corrected(dice, dice.choice(correctable), seconds) for _ in range(count)]
    # Corrections of a batch come before its first prints.
    stream = sorted([*first, *repeats], key=lambda bar: (bar.batch, not bar.is_repeat))
    last = {(bar.second, 1 - bar.symbol): bar for bar in stream}
    final = [last[key]._replace(batch=key[0], is_repeat=False) for key in sorted(last)]
    return Tape(
        open_s=OPEN_S,
        seconds=seconds,
        symbols=("IWM", "SPY"),
        rules=rules or {},
        numbers=numbers,
        measured_from=measured_from,
        stream=stream,
        final=final,
    )


def _corrections(first: int, seconds: int, share: float | None) -> int:
    if share is not None:
        return round(first * share)
    return max(0, round(BARS * seconds / SECONDS) - first)


def _bars(dice: random.Random, symbol: int, seconds: int, *, price: float, usual: float) -> dict[int, Row]:
    """First prints by their second. Volume is clustered, and larger near the open and the close."""
    bars: dict[int, Row] = {}
    heat = 0.0
    for second in range(seconds):
        since = second % SURGE_EVERY_S
        surges = since >= SURGE_EVERY_S - SURGE_S
        drift = 2.5e-5 / (1 + symbol) if surges else -0.5e-5 / (1 + symbol)
        price *= 1 + drift + dice.gauss(0, 3.0e-5)
        heat = 0.9 * heat + dice.gauss(0, 0.35)
        climb = 1 + 5 * (since - SURGE_EVERY_S + SURGE_S) / SURGE_S if surges else 1.0
        shape = 0.6 + 1.6 * (2 * second / seconds - 1) ** 2
        volume = round(usual * shape * climb * math.exp(heat), 4)
        spread = abs(dice.gauss(0, 2.5e-5)) * price
        is_empty = dice.random() < EMPTY[symbol] * (0.3 if surges else 1)
        if not is_empty:
            bars[second] = _bar(dice, symbol, second, price=price, spread=spread, volume=volume)
    return bars


def _bar(dice: random.Random, symbol: int, second: int, *, price: float, spread: float, volume: float) -> Row:
    close, opening = round(price, 2), round(price + dice.uniform(-spread, spread), 2)
    high = round(max(close, opening) + spread / 2, 2)
    low = round(min(close, opening) - spread / 2, 2)
    vwap = round(dice.uniform(low, high), 4)
    return Row(symbol, second, opening, high, low, close, volume, vwap, second, False)


def _pause(dice: random.Random, own: dict[int, Row], benchmark: dict[int, Row], seconds: int) -> None:
    """Take the benchmark's bars out of a few spans; the watched symbol trades meanwhile, so that nobody is blind."""
    longest = max(PAUSE_S + 1, seconds - PAUSE_S)
    for _ in range(PAUSES * seconds // SECONDS or 1):
        begin = dice.randrange(PAUSE_S, longest)
        for second in range(begin, min(begin + PAUSE_S, seconds)):
            benchmark.pop(second, None)
            if second not in own and second - 1 in own:
                own[second] = own[second - 1]._replace(second=second, batch=second)


def _corrected(dice: random.Random, bar: Row, seconds: int) -> Row:
    """A bar as it is sent again: more volume, another average, now and then another close; most of them soon."""
    is_soon = dice.random() < SOON
    after = dice.expovariate(1 / SOON_S) if is_soon else dice.uniform(0, LATEST_CORRECTION_S)
    later = 1 + min(LATEST_CORRECTION_S, int(after))
    volume = round(bar.volume * dice.uniform(1.0, 1.4), 4)
    vwap = round(dice.uniform(bar.low, bar.high), 4)
    close = round(dice.uniform(bar.low, bar.high), 2) if dice.random() < OTHER_CLOSE else bar.close
    batch = min(bar.second + later, seconds - 1)
    return bar._replace(volume=volume, vwap=vwap, close=close, batch=batch, is_repeat=True)
