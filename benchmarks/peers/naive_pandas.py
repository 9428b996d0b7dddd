"""What one writes first with pandas: keep a frame of each symbol's bars, and compute every condition anew at each bar.

Windows are slices of the time index. A bar is stored with ``.loc``, so a correction replaces what was there. A whole
session would take minutes: a few stretches of it are timed, the bars before each are loaded at once off the clock, and
the harness scales by the number of bars.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from benchmarks.contest import ROUNDING, Found, Row, Run, Stopwatch, Tape, contend

LEAD_S = 150
"""Evaluated before a stretch, off the clock: `vwap_rising` remembers what came before."""

COLUMNS = ["open", "high", "low", "close", "volume", "vwap"]


class Watch:
    """Two frames, indexed by time."""

    def __init__(self, tape: Tape, before: list[Row]) -> None:
        self.n = tape.numbers
        self.open = pd.Timestamp(tape.open_s, unit="s")
        self.bars = [self._frame([row for row in before if row.symbol == symbol]) for symbol in (0, 1)]
        self.rising_since: pd.Timestamp | None = None
        self.last: pd.Timestamp | None = None

    def _frame(self, rows: list[Row]) -> pd.DataFrame:
        known = {row.second: [getattr(row, name) for name in COLUMNS] for row in rows}
        index = [self.open + pd.Timedelta(seconds=second) for second in sorted(known)]
        values = [known[second] for second in sorted(known)]
        return pd.DataFrame(values, index=pd.DatetimeIndex(index), columns=COLUMNS, dtype=float)

    def take(self, row: Row) -> int | None:
        """Store a print; the conditions when it is a new bar of the watched symbol."""
        time = self.open + pd.Timedelta(seconds=row.second)
        self.bars[row.symbol].loc[time] = [row.open, row.high, row.low, row.close, row.volume, row.vwap]
        return self.conditions(time) if row.symbol == 0 and not row.is_repeat else None

    def window(self, end: pd.Timestamp, seconds: float, symbol: int = 0) -> pd.DataFrame:
        """The bars with start in (end - seconds, end]."""
        return self.bars[symbol].loc[end - pd.Timedelta(seconds=seconds - 1) : end]

    def vwap(self, end: pd.Timestamp, seconds: float) -> float:
        """Σ(vw·v) / Σv of a window."""
        bars = self.window(end, seconds)
        return float((bars["vwap"] * bars["volume"]).sum() / bars["volume"].sum()) if len(bars) else np.nan

    def rate(self, last: float, symbol: int, base: pd.Timestamp) -> float:
        """The change since the last close at or before ``base``."""
        bars = self.window(base, self.n["roc_tolerance_seconds"] + 1, symbol)
        return last / bars["close"].iloc[-1] - 1 if len(bars) else np.nan

    def conditions(self, time: pd.Timestamp) -> int:
        """A bit for each that holds."""
        n = self.n
        bar = self.bars[0].loc[time]
        close, volume = bar["close"], bar["volume"]
        long, short = self.vwap(time, n["vwap_long_seconds"]), self.vwap(time, n["vwap_short_seconds"])
        earlier = self.vwap(time - pd.Timedelta(seconds=n["vwap_long_shift_seconds"]), n["vwap_long_seconds"])
        past = self.vwap(time - pd.Timedelta(seconds=n["vwap_rising_seconds"]), n["vwap_short_seconds"])
        before = self.vwap(self.last, n["vwap_short_seconds"]) if self.last is not None else np.nan
        if self.rising_since is None or self.last is None or short < before * (1 - ROUNDING):
            self.rising_since = time
        self.last = time
        base = self.window(time - pd.Timedelta(seconds=1), n["volume_window_seconds"])["volume"]
        surges = len(base) >= n["volume_min_bars"] and volume > base.quantile(n["volume_percentile"] / 100)
        trend = self.window(time, n["momentum_seconds"])["close"]
        momentum = 0.0
        if len(trend) >= n["momentum_min_bars"]:
            momentum = np.polyfit((trend.index - time).total_seconds(), trend - close, 1)[0] / close
        span = min(n["volume_window_seconds"], (time - self.open).total_seconds() + 1)
        recent = (
            self.window(time, n["relative_volume_seconds"])["volume"].sum() / n["relative_volume_seconds"]
        )
        ratio = recent / (self.window(time, n["volume_window_seconds"])["volume"].sum() / span)
        spy = self.window(time, n["benchmark_max_age_seconds"] + 1, 1)["close"]
        start = time - pd.Timedelta(seconds=n["roc_seconds"])
        lag = self.rate(spy.iloc[-1], 1, start) - self.rate(close, 0, start) if len(spy) else np.nan
        holds = (
            close > long > earlier,
            close > short,
            (time - self.rising_since).total_seconds() >= n["vwap_rising_seconds"]
            and short > past * (1 + ROUNDING),
            surges,
            momentum > ROUNDING,
            ratio >= n["relative_volume_min"] - ROUNDING,
            lag * 100 <= n["spy_iwm_lag_threshold"] + ROUNDING,
        )
        return sum(1 << bit for bit, condition in enumerate(holds) if condition)


def prepare(tape: Tape) -> Run:
    """The stretches: ``--begins`` with the first seconds of them, ``--length`` in seconds."""
    begins = [int(text) for text in sys.argv[sys.argv.index("--begins") + 1].split(",")]
    length = int(sys.argv[sys.argv.index("--length") + 1])

    def run(watch: Stopwatch) -> Found:
        watch.stop()
        watch.wall = watch.cpu = 0.0
        found: Found = []
        for begin in begins:
            lead = max(0, begin - LEAD_S)
            one = Watch(tape, [row for row in tape.stream if row.batch < lead])
            for row in tape.stream:
                if lead <= row.batch < begin:
                    one.take(row)
            rows = [row for row in tape.stream if begin <= row.batch < begin + length]
            watch.start()
            found += stretch(one, rows)
            watch.stop()
        watch.start()
        return found

    return run


def stretch(watch: Watch, rows: list[Row]) -> Found:
    """Bar by bar."""
    found: Found = []
    for row in rows:
        mask = watch.take(row)
        if mask is not None:
            found.append((row.second, mask))
    return found


if __name__ == "__main__":
    contend(prepare)
