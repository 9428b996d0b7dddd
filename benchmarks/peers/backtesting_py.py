"""backtesting.py: indicators over whole columns in ``init``, as its documentation does it, then ``next`` at each bar.

It has neither corrections nor a second symbol: it gets the final bars, the benchmark's as a column at hand. All that
``run`` does is timed, its statistics at the end included. It sees the whole day at once; it could not run live.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

from benchmarks.contest import ROUNDING, Found, Run, Stopwatch, Tape, contend


def asof(closes: pd.Series, seconds: np.ndarray, tolerance: float) -> np.ndarray:
    """The last close at or before each second, not older than ``tolerance``."""
    left = pd.DataFrame({"second": seconds})
    right = pd.DataFrame({"second": closes.index.to_numpy(), "close": closes.to_numpy()})
    merged = pd.merge_asof(left, right, on="second", tolerance=int(tolerance))
    return merged["close"].to_numpy()


def masks(bars: pd.DataFrame, spy: pd.Series, n: dict[str, float]) -> np.ndarray:
    """A bit for each condition that holds, at each bar. ``bars`` are indexed by time."""
    seconds = bars["Second"].to_numpy().astype(np.int64)
    close, volume = bars["Close"], bars["Volume"]
    notional = bars["Vwap"] * volume

    def vwap(width: float) -> pd.Series:
        window = f"{int(width)}s"
        return notional.rolling(window).sum() / volume.rolling(window).sum()

    long, short = vwap(n["vwap_long_seconds"]), vwap(n["vwap_short_seconds"])
    earlier = _at(sums_of(bars, notional, n["vwap_long_seconds"]), seconds, int(n["vwap_long_shift_seconds"]))
    past = _at(sums_of(bars, notional, n["vwap_short_seconds"]), seconds, int(n["vwap_rising_seconds"]))
    fell = short < short.shift() * (1 - ROUNDING)
    fell.iloc[0] = True
    since = pd.Series(np.where(fell, seconds, np.nan)).ffill().to_numpy()
    base = volume.rolling(f"{int(n['volume_window_seconds'])}s", closed="left")
    p95 = base.quantile(n["volume_percentile"] / 100)
    enough = base.count() >= n["volume_min_bars"]
    recent_s, base_s = n["relative_volume_seconds"], n["volume_window_seconds"]
    ratio = (volume.rolling(f"{int(recent_s)}s").sum() / recent_s).to_numpy() / (
        volume.rolling(f"{int(base_s)}s").sum().to_numpy() / np.minimum(base_s, seconds + 1)
    )
    then = seconds - int(n["roc_seconds"])
    own_closes = pd.Series(close.to_numpy(), index=seconds)
    own = close.to_numpy() / asof(own_closes, then, n["roc_tolerance_seconds"]) - 1
    now = asof(spy, seconds, n["benchmark_max_age_seconds"])
    other = now / asof(spy, then, n["roc_tolerance_seconds"]) - 1
    conditions = [
        (close > long).to_numpy() & (long.to_numpy() > earlier),
        (close > short).to_numpy(),
        (seconds - since >= n["vwap_rising_seconds"]) & (short.to_numpy() > past * (1 + ROUNDING)),
        (volume > p95).to_numpy() & enough.to_numpy(),
        momentum(close, seconds, n) > ROUNDING,
        ratio >= n["relative_volume_min"] - ROUNDING,
        (other - own) * 100 <= n["spy_iwm_lag_threshold"] + ROUNDING,
    ]
    return sum(holds.astype(np.int64) << bit for bit, holds in enumerate(conditions))


def sums_of(bars: pd.DataFrame, notional: pd.Series, width: float) -> pd.Series:
    """A VWAP at every second of the session, with or without a bar: it is asked for 30 s before each bar."""
    grid = pd.DataFrame(
        {"volume": bars["Volume"].to_numpy(), "notional": notional.to_numpy()},
        index=bars["Second"].to_numpy().astype(np.int64),
    ).reindex(range(int(bars["Second"].iloc[-1]) + 1), fill_value=0.0)
    sums = grid.rolling(int(width), min_periods=1).sum()
    return sums["notional"] / sums["volume"].where(sums["volume"] > ROUNDING)


def _at(by_second: pd.Series, seconds: np.ndarray, shift: int) -> np.ndarray:
    values = by_second.to_numpy()
    return np.where(seconds >= shift, values[np.maximum(seconds - shift, 0)], np.nan)


def momentum(close: pd.Series, seconds: np.ndarray, n: dict[str, float]) -> np.ndarray:
    """Slope of the close over 30 s as a share of the close, per second."""
    window = f"{int(n['momentum_seconds'])}s"
    x = pd.Series(seconds.astype(float), index=close.index)
    y = close - close.iloc[0]
    count = y.rolling(window).count()
    sum_x, sum_y = x.rolling(window).sum(), y.rolling(window).sum()
    sum_xx, sum_xy = (x * x).rolling(window).sum(), (x * y).rolling(window).sum()
    spread = count * sum_xx - sum_x * sum_x
    slope = (count * sum_xy - sum_x * sum_y) / spread.where(spread > 0)
    return (slope / close).where(count >= n["momentum_min_bars"], 0.0).to_numpy()


class Watch(Strategy):
    """The seven conditions at each bar."""

    tape: Tape
    spy: pd.Series
    found: Found

    def init(self) -> None:
        """All columns at once."""
        frame = self.data.df
        self.mask = self.I(masks, frame, self.spy, self.tape.numbers, plot=False)
        self.second = self.data.Second

    def next(self) -> None:
        """A bar."""
        self.found.append((self.data.Second[-1], self.mask[-1]))


def prepare(tape: Tape) -> Run:
    """The frame of the watched symbol, the benchmark's closes, and the backtest."""
    own = [row for row in tape.final if row.symbol == 0]
    index = pd.to_datetime([tape.open_s + row.second for row in own], unit="s")
    names = ["open", "high", "low", "close", "volume", "vwap", "second"]
    columns = [name.capitalize() for name in names]
    frame = pd.DataFrame([[getattr(row, name) for name in names] for row in own], index, columns)
    spy = {row.second: row.close for row in tape.final if row.symbol == 1}
    Watch.tape, Watch.spy, Watch.found = tape, pd.Series(spy), []
    backtest = Backtest(frame, Watch)

    def run(_: Stopwatch) -> Found:
        backtest.run()
        return Watch.found

    return run


if __name__ == "__main__":
    contend(prepare)
