"""Every indicator again, slow and plain, straight from its definition: a list of bars, exact fractions, no state."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

from rules import Rules

Known = dict[int, tuple[float, float, float]]
"""Second after the open to (close, volume, vwap), as now known."""


@functools.cache
def exact(value: float) -> Fraction:
    """The decimal number that was meant."""
    return Fraction(str(value))


@functools.cache
def product(one: float, other: float) -> Fraction:
    """The product of two decimal numbers."""
    return exact(one) * exact(other)


def within(bars: Known, end: int, width: int) -> list[int]:
    """The seconds of the bars in (end - width, end]."""
    return [second for second in range(end - width + 1, end + 1) if second in bars]


def total(values: list[Fraction]) -> Fraction:
    """Σ, exact. Over one denominator, for adding fractions one by one finds a common divisor each time."""
    below = math.lcm(*(value.denominator for value in values))
    return Fraction(sum(value.numerator * (below // value.denominator) for value in values), below)


def vwap(bars: Known, end: int, width: int) -> Fraction | None:
    """Σ(vw·v) / Σv, or None without volume."""
    seconds = within(bars, end, width)
    volume = total([exact(bars[s][1]) for s in seconds])
    if not volume:
        return None
    return total([product(bars[s][1], bars[s][2]) for s in seconds]) / volume


def percentile(values: list[Fraction], percent: float) -> Fraction:
    """Linear interpolation between the closest ranks."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * exact(percent) / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def last_close(bars: Known, end: int, oldest: int) -> float | None:
    """The last close at or before a second, not older than another."""
    seconds = [s for s in bars if oldest <= s <= end]
    return bars[max(seconds)][0] if seconds else None


def rate(value: float | None, base: float | None) -> float | None:
    """Change in percentage points."""
    return None if value is None or base is None else float((exact(value) / exact(base) - 1) * 100)


def slope(bars: Known, end: int, width: int, minimum: int) -> float | None:
    """Least squares of close on start time, in dollars per second."""
    seconds = within(bars, end, width)
    if len(seconds) < minimum:
        return None
    mean_x = Fraction(sum(seconds), len(seconds))
    mean_y = total([exact(bars[s][0]) for s in seconds]) / len(seconds)
    top = total([(s - mean_x) * (exact(bars[s][0]) - mean_y) for s in seconds])
    bottom = total([(s - mean_x) ** 2 for s in seconds])
    return float(top / bottom)


class Reference:
    """The conditions at each evaluation, from the bars as known at that time."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.own: Known = {}
        self.benchmark: Known = {}
        self._last: int | None = None
        self._rising_since = 0

    def evaluate(self, s: int, was_blind: bool) -> dict[str, object]:
        """Values and passes at second ``s``."""
        r, own = self.rules, self.own
        close, volume, _ = own[s]
        short, long = vwap(own, s, r.vwap_short_seconds), vwap(own, s, r.vwap_long_seconds)
        earlier = vwap(own, s - r.vwap_long_shift_seconds, r.vwap_long_seconds)
        rising = self._rising(s, short, was_blind)
        past = vwap(own, s - r.vwap_rising_seconds, r.vwap_short_seconds)
        risen = None if short is None or past is None else (short / past - 1) * 100
        volumes = [exact(own[x][1]) for x in within(own, s - 1, r.volume_window_seconds)]
        enough = len(volumes) >= r.volume_min_bars
        p95 = percentile(volumes, r.volume_percentile) if enough else None
        trend = slope(own, s, r.momentum_seconds, r.momentum_min_bars)
        momentum = None if trend is None else trend / close
        relative = self._relative_volume(s)
        roc, spy = self._rates(s, close)
        return {
            "vwap_1m": short,
            "vwap_5m": long,
            "vwap_5m_change": None if long is None or earlier is None else (long / earlier - 1) * 100,
            "vwap_rising_s": rising,
            "vwap_1m_change": risen,
            "volume_p95": p95,
            "volume_z": self._z(exact(volume), volumes) if enough else None,
            "momentum": None if momentum is None else momentum * 100,
            "relative_volume": relative,
            "roc5": roc,
            "benchmark_roc5": spy,
            "passes": (
                long is not None and earlier is not None and exact(close) > long > earlier,
                short is not None and exact(close) > short,
                rising >= r.vwap_rising_seconds and risen is not None and risen > Fraction(1, 10**7),
                p95 is not None and exact(volume) > p95,
                momentum is not None and momentum > 1e-9,
                relative is not None and relative >= r.relative_volume_min - 1e-9,
                roc is not None and spy is not None and spy - roc <= r.spy_iwm_lag_threshold + 1e-9,
            ),
        }

    def _rates(self, s: int, close: float) -> tuple[float | None, float | None]:
        r, base = self.rules, s - self.rules.roc_seconds
        oldest = base - r.roc_tolerance_seconds
        newest = last_close(self.benchmark, s, s - r.benchmark_max_age_seconds)
        own = rate(close, last_close(self.own, base, oldest))
        return own, rate(newest, last_close(self.benchmark, base, oldest))

    def _rising(self, s: int, short: Fraction | None, was_blind: bool) -> int:
        before = None if self._last is None else vwap(self.own, self._last, self.rules.vwap_short_seconds)
        fell = was_blind or before is None or short is None or float(short / before - 1) < -1e-9
        if self._last is None or fell:
            self._rising_since = s
        self._last = s
        return s - self._rising_since

    def _relative_volume(self, s: int) -> float | None:
        r, own = self.rules, self.own
        recent = total([exact(own[x][1]) for x in within(own, s, r.relative_volume_seconds)])
        base = total([exact(own[x][1]) for x in within(own, s, r.volume_window_seconds)])
        if not base:
            return None
        span = min(r.volume_window_seconds, s + 1)
        return float((recent / r.relative_volume_seconds) / (base / span))

    @staticmethod
    def _z(volume: Fraction, volumes: list[Fraction]) -> float | None:
        mean = total(volumes) / len(volumes)
        variance = total([v * v for v in volumes]) / len(volumes) - mean * mean
        return float(volume - mean) / math.sqrt(variance) if variance else None
