"""The conditions in plain floats for the event-driven frameworks, with corrections. Standard library only.

What their own indicators count is bars; these windows are spans of time over bars with gaps, so a user of any of
them writes this. It is the fastest way we know to write it in Python; a framework's time is this plus its own.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort

from benchmarks.contest import ROUNDING


class Sums:
    """Σv and Σ(vw·v) of the seconds in (end - width, end]."""

    __slots__ = ("end", "notional", "volume", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.end = -1
        self.volume = self.notional = 0.0


class Conditions:
    """All windows of one session. Feed it every print; `own` says which conditions hold at a new second."""

    def __init__(self, numbers: dict[str, float], seconds: int) -> None:
        self.n = numbers
        self.close: list[float | None] = [None] * seconds
        self.volume = [0.0] * seconds
        self.notional = [0.0] * seconds
        self.spy: list[float | None] = [None] * seconds
        self.newest = -1
        self.long, self.early = (
            Sums(int(numbers["vwap_long_seconds"])),
            Sums(int(numbers["vwap_long_seconds"])),
        )
        self.short, self.recent = (
            Sums(int(numbers["vwap_short_seconds"])),
            Sums(int(numbers["relative_volume_seconds"])),
        )
        self.base, self.past = (
            Sums(int(numbers["volume_window_seconds"])),
            Sums(int(numbers["vwap_short_seconds"])),
        )
        self.sums = (self.long, self.early, self.short, self.recent, self.base, self.past)
        self.ordered: list[float] = []
        self.ordered_end = -1
        self.total = self.squares = 0.0
        self.trend_s = int(numbers["momentum_seconds"])
        self.rising_since = -1

    def benchmark(self, second: int, close: float) -> None:
        """A print of the benchmark, first or corrected."""
        self.spy[second] = close

    def correct(self, second: int, close: float, volume: float, vwap: float) -> None:
        """A print of a second that is known: mend what holds it."""
        notional = vwap * volume
        old = self.volume[second]
        for sums in self.sums:
            if sums.end - sums.width < second <= sums.end:
                sums.volume += volume - old
                sums.notional += notional - self.notional[second]
        if self.ordered_end - self.base.width < second <= self.ordered_end:
            del self.ordered[bisect_left(self.ordered, old)]
            insort(self.ordered, volume)
            self.total += volume - old
            self.squares += volume * volume - old * old
        self.close[second], self.volume[second], self.notional[second] = close, volume, notional

    def own(self, second: int, close: float, volume: float, vwap: float) -> int:
        """The first print of the newest second of the watched symbol. Returns a bit for each condition that holds."""
        n = self.n
        self.close[second], self.volume[second], self.notional[second] = close, volume, vwap * volume
        before = self._vwap(self.short)
        for sums in (self.long, self.short, self.recent, self.base):
            self._advance(sums, second)
        self._advance(self.early, second - int(n["vwap_long_shift_seconds"]))
        self._advance(self.past, second - int(n["vwap_rising_seconds"]))
        self._advance_volumes(second - 1)
        vwap_long, vwap_short, earlier = self._vwap(self.long), self._vwap(self.short), self._vwap(self.early)
        if self.newest < 0 or vwap_short < before * (1 - ROUNDING):
            self.rising_since = second
        self.newest = second
        ratio = (self.recent.volume / self.recent.width) / (
            self.base.volume / min(self.base.width, second + 1)
        )
        mask = (close > vwap_long > earlier > 0) | (close > vwap_short) << 1
        has_risen = vwap_short > self._vwap(self.past) * (1 + ROUNDING) > 0
        mask |= (has_risen and second - self.rising_since >= n["vwap_rising_seconds"]) << 2
        mask |= self._surges(volume) << 3 | (self._momentum(second, close) > ROUNDING) << 4
        mask |= (ratio >= n["relative_volume_min"] - ROUNDING) << 5
        return mask | self._lags(second, close) << 6

    @staticmethod
    def _vwap(sums: Sums) -> float:
        return sums.notional / sums.volume if sums.volume > ROUNDING else 0.0

    def _advance(self, sums: Sums, end: int) -> None:
        volume, notional, width = self.volume, self.notional, sums.width
        for second in range(sums.end + 1, end + 1):
            sums.volume += volume[second]
            sums.notional += notional[second]
            if second >= width:
                sums.volume -= volume[second - width]
                sums.notional -= notional[second - width]
        sums.end = max(sums.end, end)

    def _advance_volumes(self, end: int) -> None:
        close, volume, width = self.close, self.volume, self.base.width
        for second in range(self.ordered_end + 1, end + 1):
            if close[second] is not None:
                value = volume[second]
                insort(self.ordered, value)
                self.total += value
                self.squares += value * value
            leaving = second - width
            if leaving >= 0 and close[leaving] is not None:
                value = volume[leaving]
                del self.ordered[bisect_left(self.ordered, value)]
                self.total -= value
                self.squares -= value * value
        self.ordered_end = max(self.ordered_end, end)

    def _surges(self, volume: float) -> bool:
        ordered = self.ordered
        size = len(ordered)
        if size < self.n["volume_min_bars"]:
            return False
        rank = (size - 1) * self.n["volume_percentile"] / 100
        below = int(rank)
        p95 = ordered[below]
        if rank > below:
            p95 += (ordered[below + 1] - p95) * (rank - below)
        spread = size * self.squares - self.total * self.total
        self.z = (size * volume - self.total) / math.sqrt(spread) if spread > 0 else 0.0
        return volume > p95

    def _momentum(self, second: int, last: float) -> float:
        """Slope over 30 s: short enough to sum anew, and then no correction need mend it."""
        count = sum_x = sum_xx = 0
        sum_y = sum_xy = 0.0
        oldest = max(0, second - self.trend_s + 1)
        for x, close in enumerate(self.close[oldest : second + 1]):
            if close is not None:
                y = close - last
                count += 1
                sum_x += x
                sum_xx += x * x
                sum_y += y
                sum_xy += x * y
        spread = count * sum_xx - sum_x * sum_x
        if count < self.n["momentum_min_bars"] or not spread:
            return 0.0
        return (count * sum_xy - sum_x * sum_y) / spread / last

    def _lags(self, second: int, close: float) -> bool:
        n = self.n
        base = second - int(n["roc_seconds"])
        oldest = base - int(n["roc_tolerance_seconds"])
        own = last_of(self.close, base, oldest)
        then = last_of(self.spy, base, oldest)
        now = last_of(self.spy, second, second - int(n["benchmark_max_age_seconds"]))
        if own is None or then is None or now is None:
            return False
        return ((now / then) - (close / own)) * 100 <= n["spy_iwm_lag_threshold"] + ROUNDING


def last_of(closes: list[float | None], second: int, oldest: int) -> float | None:
    """The last close at or before a second, not older than another."""
    for index in range(second, max(oldest, 0) - 1, -1):
        close = closes[index]
        if close is not None:
            return close
    return None
