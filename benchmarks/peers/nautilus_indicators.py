"""NautilusTrader again, written as its documentation does it: custom indicators, registered for the bars.

Each condition is an `Indicator` with a deque for its window, running sums where there are sums, numpy for the percentile
and the slope. A deque has no place for a correction, so it gets the final bars. The framework is set up for speed as in
the other file.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from nautilus_trader.indicators.base import Indicator
from nautilus_trader.model.data import BarType

from benchmarks.contest import ROUNDING, Found, Run, Stopwatch, Tape, contend
from benchmarks.peers.nautilus import NANO, VwapBar, Watch, engine_for


class TimeVwap(Indicator):
    """VWAP over the bars of (now - shift - width, now - shift], seconds."""

    def __init__(self, width: float, shift: float = 0) -> None:
        super().__init__(params=[width, shift])
        self.width, self.shift = int(width * NANO), int(shift * NANO)
        self.waiting: deque[tuple[int, float, float]] = deque()
        self.bars: deque[tuple[int, float, float]] = deque()
        self.volume = self.notional = 0.0

    @property
    def value(self) -> float:
        """The average; 0 without volume."""
        return self.notional / self.volume if self.bars else 0.0

    def handle_bar(self, bar: VwapBar) -> None:
        """Take a bar in, and others out."""
        volume = bar.volume.as_double()
        self.waiting.append((bar.ts_event, volume, volume * bar.vwap))
        end = bar.ts_event - self.shift
        while self.waiting and self.waiting[0][0] <= end:
            entering = self.waiting.popleft()
            self.bars.append(entering)
            self.volume += entering[1]
            self.notional += entering[2]
        while self.bars and self.bars[0][0] <= end - self.width:
            _, volume, notional = self.bars.popleft()
            self.volume -= volume
            self.notional -= notional


class Rising(Indicator):
    """How long a VWAP has not fallen, seconds."""

    def __init__(self, vwap: TimeVwap) -> None:
        super().__init__(params=[])
        self.vwap = vwap
        self.before = 0.0
        self.since = 0
        self.value = 0.0

    def handle_bar(self, bar: VwapBar) -> None:
        """After the VWAP has taken the bar in."""
        if not self.since or self.vwap.value < self.before * (1 - ROUNDING):
            self.since = bar.ts_event
        self.before = self.vwap.value
        self.value = (bar.ts_event - self.since) / NANO


class VolumeSurge(Indicator):
    """Whether a bar's volume exceeds the percentile of those before it."""

    def __init__(self, width: float, percentile: float, least: float) -> None:
        super().__init__(params=[width, percentile, least])
        self.width, self.percentile, self.least = int(width * NANO), percentile, least
        self.times: deque[int] = deque()
        self.volumes: deque[float] = deque()
        self.value = False
        self.z = 0.0

    def handle_bar(self, bar: VwapBar) -> None:
        """Compare, then take the bar in."""
        volume = bar.volume.as_double()
        while self.times and self.times[0] < bar.ts_event - self.width:
            self.times.popleft()
            self.volumes.popleft()
        self.value = False
        if len(self.volumes) >= self.least:
            volumes = np.fromiter(self.volumes, float, len(self.volumes))
            self.value = bool(volume > np.percentile(volumes, self.percentile))
            deviation = volumes.std()
            self.z = (volume - volumes.mean()) / deviation if deviation else 0.0
        self.times.append(bar.ts_event)
        self.volumes.append(volume)


class Slope(Indicator):
    """Least squares of close on time, as a share of the close, per second."""

    def __init__(self, width: float, least: float) -> None:
        super().__init__(params=[width, least])
        self.width, self.least = int(width * NANO), least
        self.bars: deque[tuple[int, float]] = deque()
        self.value = 0.0

    def handle_bar(self, bar: VwapBar) -> None:
        """Fit anew: it is a short window."""
        close = bar.close.as_double()
        self.bars.append((bar.ts_event, close))
        while self.bars[0][0] <= bar.ts_event - self.width:
            self.bars.popleft()
        self.value = 0.0
        if len(self.bars) >= self.least:
            pairs = np.array([((time - bar.ts_event) / NANO, price - close) for time, price in self.bars])
            x, y = pairs.T - pairs.mean(axis=0)[:, None]
            self.value = float(x @ y / (x @ x)) / close


class RelativeVolume(Indicator):
    """Volume per second of a short window against that of a long one."""

    def __init__(self, short: TimeVwap, long: TimeVwap, open_ns: int) -> None:
        super().__init__(params=[])
        self.short, self.long, self.open_ns = short, long, open_ns
        self.value = 0.0

    def handle_bar(self, bar: VwapBar) -> None:
        """After both have taken the bar in."""
        span = min(self.long.width, bar.ts_event - self.open_ns)
        self.value = (self.short.volume / self.short.width) / (self.long.volume / span)


class RateOfChange(Indicator):
    """The closes of the last minutes, to compare with."""

    def __init__(self, span: float, tolerance: float) -> None:
        super().__init__(params=[span, tolerance])
        self.span, self.tolerance = int(span * NANO), int(tolerance * NANO)
        self.bars: deque[tuple[int, float]] = deque()
        self.base: tuple[int, float] = (0, 0.0)

    def handle_bar(self, bar: VwapBar) -> None:
        """Take a bar in."""
        self.bars.append((bar.ts_event, bar.close.as_double()))

    def value(self, now: int) -> float | None:
        """The newest close against the one a span before ``now``; None when that one is missing or too old."""
        while self.bars and self.bars[0][0] <= now - self.span:
            self.base = self.bars.popleft()
        if self.base[0] < now - self.span - self.tolerance:
            return None
        return (self.bars[-1][1] if self.bars else self.base[1]) / self.base[1] - 1

    @property
    def newest(self) -> int:
        """When the newest bar ended, ns."""
        return self.bars[-1][0] if self.bars else self.base[0]


class Registered(Watch):
    """The seven conditions from registered indicators."""

    def __init__(self, tape: Tape, bar_types: list[BarType]) -> None:
        super().__init__(tape, bar_types)
        n = tape.numbers
        self.n = n
        self.long = TimeVwap(n["vwap_long_seconds"])
        self.earlier = TimeVwap(n["vwap_long_seconds"], n["vwap_long_shift_seconds"])
        self.short = TimeVwap(n["vwap_short_seconds"])
        self.past = TimeVwap(n["vwap_short_seconds"], n["vwap_rising_seconds"])
        self.rising = Rising(self.short)
        self.surge = VolumeSurge(n["volume_window_seconds"], n["volume_percentile"], n["volume_min_bars"])
        self.slope = Slope(n["momentum_seconds"], n["momentum_min_bars"])
        self.recent = TimeVwap(n["relative_volume_seconds"])
        self.base = TimeVwap(n["volume_window_seconds"])
        self.relative = RelativeVolume(self.recent, self.base, self.open_ns)
        self.roc = RateOfChange(n["roc_seconds"], n["roc_tolerance_seconds"])
        self.spy_roc = RateOfChange(n["roc_seconds"], n["roc_tolerance_seconds"])

    def on_start(self) -> None:
        """Register, then subscribe."""
        own = (self.long, self.earlier, self.short, self.past, self.rising, self.surge, self.slope)
        for indicator in (*own, self.recent, self.base, self.relative, self.roc):
            self.register_indicator_for_bars(self.watched, indicator)
        self.register_indicator_for_bars(self.bar_types[1], self.spy_roc)
        super().on_start()

    def on_bar(self, bar: VwapBar) -> None:
        """The indicators have taken it in."""
        if bar.bar_type != self.watched:
            return
        n, now, close = self.n, bar.ts_event, bar.close.as_double()
        own, spy = self.roc.value(now), self.spy_roc.value(now)
        is_recent = self.spy_roc.newest >= now - n["benchmark_max_age_seconds"] * NANO
        lags = False
        if own is not None and spy is not None and is_recent:
            lags = (spy - own) * 100 <= n["spy_iwm_lag_threshold"] + ROUNDING
        mask = (close > self.long.value > self.earlier.value > 0) | (close > self.short.value) << 1
        has_risen = self.short.value > self.past.value * (1 + ROUNDING) > 0
        mask |= (has_risen and self.rising.value >= n["vwap_rising_seconds"]) << 2 | self.surge.value << 3
        mask |= (self.slope.value > ROUNDING) << 4
        mask |= (self.relative.value >= n["relative_volume_min"] - ROUNDING) << 5
        mask |= lags << 6
        self.found.append(((now - self.open_ns) // NANO - 1, mask))


def prepare(tape: Tape) -> Run:
    """An engine with everything loaded."""
    engine, strategy = engine_for(tape, Registered, tape.final)

    def run(_: Stopwatch) -> Found:
        engine.run()
        return strategy.found

    return run


if __name__ == "__main__":
    contend(prepare)
