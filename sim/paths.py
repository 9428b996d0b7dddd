"""One fund's simulated day: its price at every second's edge, and the bars that each second printed.

The order of the draws from the generator is part of the result: change it, and every seed makes another day.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from events import SECOND
from sim.bars import SimBar
from sim.episodes import PRE_MARKET_S, Day, Flags, Floats


class Fund(msgspec.Struct, frozen=True):
    """How one fund trades on an ordinary day."""

    price: float
    daily_volatility: float
    loading: float
    """Share of its moves that is common to both funds."""
    volume: float
    """Median shares in a second that has any, in the middle of the day."""
    empty: float
    """Share of seconds without a trade, in the middle of the day."""
    trade_size: float
    benchmark: bool


FUND = Fund(
    price=240.0,
    daily_volatility=0.012,
    loading=0.85,
    volume=430.0,
    empty=0.27,
    trade_size=60.0,
    benchmark=False,
)
BENCHMARK = Fund(
    price=660.0,
    daily_volatility=0.008,
    loading=0.92,
    volume=900.0,
    empty=0.012,
    trade_size=75.0,
    benchmark=True,
)
SECONDS_OF_A_DAY = 23_400
BURST_SHARE = 0.004
OUTSIDE_SHARE = 0.12
"""Share of bars whose VWAP lies outside their range."""
FRACTIONAL_SHARE = 0.3
ODD_LOT_SHARE = 0.001
ABOVE_SHARE = 0.5
"""Of the VWAPs outside a bar's range, the share above its high."""
BENCHMARK_GAPS = 4


def smooth(noise: Floats, memory_s: float) -> Floats:
    """A first-order autoregression of unit deviation that forgets over about ``memory_s`` seconds."""
    keep = math.exp(-1 / memory_s)
    fresh = math.sqrt(1 - keep * keep)
    out = np.empty_like(noise)
    level = float(noise[0])
    for index, value in enumerate(noise.tolist()):
        level = keep * level + fresh * value
        out[index] = level
    return out


class Prints(msgspec.Struct, frozen=True):
    """The columns of a fund's bars: one value for every second of the day, whether it printed or not."""

    opening: Floats
    high: Floats
    low: Floats
    closing: Floats
    vwap: Floats
    trades: Floats


class Path:
    """One fund's day: the price at every second's edge and what each second printed."""

    def __init__(self, day: Day, fund: Fund, rng: np.random.Generator, common: Floats, mood: Floats) -> None:
        self.day, self.fund = day, fund
        count = day.count
        own = rng.standard_normal(count)
        mixed = fund.loading * common + math.sqrt(1 - fund.loading**2) * own
        sigma = fund.daily_volatility / math.sqrt(SECONDS_OF_A_DAY)
        returns = sigma * mixed * np.sqrt(day.shape / day.shape.mean())
        activity = np.log(day.shape) + 0.30 * mood + 0.45 * smooth(rng.standard_normal(count), 25)
        spread = np.full(count, 0.85)
        base_empty = math.log(fund.empty / (1 - fund.empty))
        empty = 1 / (1 + np.exp(-(base_empty - 0.9 * activity)))
        bursts = np.where(rng.random(count) < BURST_SHARE, 2.0, 0.0)
        for number in range(len(day.episodes)):
            effect, mine, progress = day.stretch(number)
            returns[mine] = effect.benchmark_drift if fund.benchmark else effect.drift
            first, last = effect.volume
            activity[mine] = np.log(first) + progress * math.log(last / first)
            spread[mine] = 0.35
            bursts[mine] = 0.0
            empty[mine] = fund.empty if fund.benchmark else effect.empty
        self.path: Floats = _prices(fund.price, returns)
        self.told: Flags = day.episode >= 0
        wobble = 0.004 * smooth(rng.standard_normal(count + 1), 2)
        self.edge: Floats = self.path + np.where(np.append(self.told, False), wobble, 0.0)
        volume = fund.volume * np.exp(activity + bursts + spread * rng.standard_normal(count))
        self.volume = _shares(volume, rng)
        self.printed: Flags = rng.random(count) >= empty
        if fund.benchmark:
            self._open_gaps(rng)

    def _open_gaps(self, rng: np.random.Generator) -> None:
        """Silences the benchmark for 4 to 10 seconds a few times a day, though not inside an episode."""
        for begin in rng.integers(PRE_MARKET_S + 600, self.day.count - 60, BENCHMARK_GAPS).tolist():
            length = int(rng.integers(4, 11))
            if not self.told[begin : begin + length].any():
                self.printed[begin : begin + length] = False

    def bars(self, symbol: str, rng: np.random.Generator) -> list[SimBar]:
        """Returns what the day printed first, in order."""
        prints = self._prints(rng)
        out: list[SimBar] = []
        total = money = 0.0
        day_open: float | None = None
        for index in np.flatnonzero(self.printed).tolist():
            if day_open is None and index >= PRE_MARKET_S:
                day_open = float(prints.opening[index])
            volume, price = float(self.volume[index]), float(prints.vwap[index])
            total += volume
            money += volume * price
            out.append(
                SimBar(
                    symbol=symbol,
                    start=self.day.first + index * SECOND,
                    open=float(prints.opening[index]),
                    high=float(prints.high[index]),
                    low=float(prints.low[index]),
                    close=float(prints.closing[index]),
                    volume=volume,
                    vwap=price,
                    trades=int(prints.trades[index]),
                    accumulated=round(total, 3),
                    day_vwap=round(money / total, 4),
                    day_open=day_open,
                )
            )
        return out

    def _prints(self, rng: np.random.Generator) -> Prints:
        """Every second's prices around the path, its VWAP (sometimes outside the range) and its trades."""
        count = self.day.count
        quiet = np.where(self.told, 0.3, 1.0)
        jitter = 0.006 * quiet * rng.standard_normal((4, count))
        opening = np.round(self.edge[:-1] + jitter[0], 2)
        closing = np.round(self.edge[1:] + jitter[1], 2)
        top, bottom = np.maximum(opening, closing), np.minimum(opening, closing)
        high = np.round(top + np.abs(jitter[2]), 2)
        low = np.round(bottom - np.abs(jitter[3]), 2)
        vwap = low + (high - low) * rng.beta(2.5, 2.5, count)
        outside = rng.random(count) < OUTSIDE_SHARE
        beyond = np.where(rng.random(count) < ABOVE_SHARE, high + 0.003, low - 0.003)
        vwap = np.round(np.where(outside, beyond, vwap), 4)
        trades = np.maximum(
            1, self.volume / (self.fund.trade_size * np.exp(0.4 * rng.standard_normal(count)))
        )
        return Prints(opening, high, low, closing, vwap, trades)


def _prices(begin: float, returns: Floats) -> Floats:
    """The price at every second's edge: one more than there are seconds."""
    path: Floats = np.empty(len(returns) + 1)
    path[0] = 0.0
    np.cumsum(returns, out=path[1:])
    return begin * np.exp(path)


def _shares(volume: Floats, rng: np.random.Generator) -> Floats:
    """Whole shares mostly, some with a fraction, now and then less than one share."""
    count = len(volume)
    fraction = np.where(rng.random(count) < FRACTIONAL_SHARE, np.round(rng.random(count), 3), 0.0)
    shares = np.maximum(1.0, np.floor(volume)) + fraction
    return np.where(rng.random(count) < ODD_LOT_SHARE, np.round(0.05 + 0.9 * rng.random(count), 3), shares)
