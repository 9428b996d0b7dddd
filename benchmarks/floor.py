"""The floor: the same arithmetic on the final bars as one bare loop over floats. No events, corrections, gates or records.

It could not run live: it takes no correction and keeps nothing that another could read. It is what Python itself
costs for these sums.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort

from benchmarks.contest import ROUNDING, Found, Run, Stopwatch, Tape, contend


def prepare(tape: Tape) -> Run:
    """The bars as plain tuples, and the numbers of the rules."""
    bars = [(bar.symbol, bar.second, bar.close, bar.volume, bar.vwap) for bar in tape.final]

    def run(_: Stopwatch) -> Found:
        return scan(bars, tape.numbers)

    return run


def scan(bars: list[tuple[int, int, float, float, float]], n: dict[str, float]) -> Found:  # noqa: C901, PLR0912, PLR0915
    """One pass. Each window is a pointer into the list of bars and its sums.

    It is longer than 40 lines because a call would cost as much as a sum.
    """
    long_s, shift_s, short_s = n["vwap_long_seconds"], n["vwap_long_shift_seconds"], n["vwap_short_seconds"]
    rising_s, base_s, least = n["vwap_rising_seconds"], n["volume_window_seconds"], n["volume_min_bars"]
    percent, trend_s, trend_least = n["volume_percentile"], n["momentum_seconds"], n["momentum_min_bars"]
    recent_s, ratio_min = n["relative_volume_seconds"], n["relative_volume_min"] - ROUNDING
    roc_s, tolerance_s = n["roc_seconds"], n["roc_tolerance_seconds"]
    lag_max, age_max = n["spy_iwm_lag_threshold"] + ROUNDING, n["benchmark_max_age_seconds"]
    seconds: list[int] = []
    closes: list[float] = []
    volumes: list[float] = []
    notionals: list[float] = []
    spy_seconds: list[int] = []
    spy_closes: list[float] = []
    ordered: list[float] = []
    found: Found = []
    long_v = long_n = early_v = early_n = short_v = short_n = recent_v = base_v = total = squares = 0.0
    count = sum_x = sum_xx = 0
    sum_y = sum_xy = 0.0
    long_at = early_at = early_to = short_at = recent_at = base_at = volume_at = trend_at = own_base = (
        spy_base
    ) = 0
    past_v = past_n = before = first = momentum = 0.0
    past_at = past_to = 0
    rising_since = -1
    for symbol, s, close, volume, vwap in bars:
        if symbol:
            spy_seconds.append(s)
            spy_closes.append(close)
            continue
        # The percentile is of the bars before this one: start in [s - W, s - 1].
        while volume_at < len(seconds) and seconds[volume_at] < s - base_s:
            value = volumes[volume_at]
            del ordered[bisect_left(ordered, value)]
            total -= value
            squares -= value * value
            volume_at += 1
        surges = False
        size = len(ordered)
        if size >= least:
            rank = (size - 1) * percent / 100
            below = int(rank)
            p95 = ordered[below]
            if rank > below:
                p95 += (ordered[below + 1] - p95) * (rank - below)
            spread = size * squares - total * total
            _z = (size * volume - total) / math.sqrt(spread) if spread > 0 else 0.0
            surges = volume > p95
        insort(ordered, volume)
        total += volume
        squares += volume * volume

        notional = vwap * volume
        first = first or close
        price = close - first
        seconds.append(s)
        closes.append(close)
        volumes.append(volume)
        notionals.append(notional)

        long_v += volume
        long_n += notional
        while seconds[long_at] <= s - long_s:
            long_v -= volumes[long_at]
            long_n -= notionals[long_at]
            long_at += 1
        while seconds[early_to] <= s - shift_s:
            early_v += volumes[early_to]
            early_n += notionals[early_to]
            early_to += 1
        while seconds[early_at] <= s - shift_s - long_s:
            early_v -= volumes[early_at]
            early_n -= notionals[early_at]
            early_at += 1
        short_v += volume
        short_n += notional
        while seconds[short_at] <= s - short_s:
            short_v -= volumes[short_at]
            short_n -= notionals[short_at]
            short_at += 1
        while seconds[past_to] <= s - rising_s:
            past_v += volumes[past_to]
            past_n += notionals[past_to]
            past_to += 1
        while seconds[past_at] <= s - rising_s - short_s:
            past_v -= volumes[past_at]
            past_n -= notionals[past_at]
            past_at += 1
        recent_v += volume
        while seconds[recent_at] <= s - recent_s:
            recent_v -= volumes[recent_at]
            recent_at += 1
        base_v += volume
        while seconds[base_at] <= s - base_s:
            base_v -= volumes[base_at]
            base_at += 1

        count += 1
        sum_x += s
        sum_xx += s * s
        sum_y += price
        sum_xy += s * price
        while seconds[trend_at] <= s - trend_s:
            x, y = seconds[trend_at], closes[trend_at] - first
            count -= 1
            sum_x -= x
            sum_xx -= x * x
            sum_y -= y
            sum_xy -= x * y
            trend_at += 1
        spread_x = count * sum_xx - sum_x * sum_x
        rises = False
        if count >= trend_least and spread_x:
            momentum = (count * sum_xy - sum_x * sum_y) / spread_x / close
            rises = momentum > ROUNDING

        vwap_long = long_n / long_v
        vwap_short = short_n / short_v
        above_long = early_to > early_at and close > vwap_long > early_n / early_v
        if rising_since < 0 or vwap_short < before * (1 - ROUNDING):
            rising_since = s
        before = vwap_short
        ratio = recent_v / recent_s / (base_v / min(base_s, s + 1))

        lags = False
        while own_base < len(seconds) and seconds[own_base] <= s - roc_s:
            own_base += 1
        while spy_base < len(spy_seconds) and spy_seconds[spy_base] <= s - roc_s:
            spy_base += 1
        oldest = s - roc_s - tolerance_s
        if (
            own_base
            and seconds[own_base - 1] >= oldest
            and spy_base
            and spy_seconds[spy_base - 1] >= oldest
            and spy_seconds[-1] >= s - age_max
        ):
            own = close / closes[own_base - 1] - 1
            spy = spy_closes[-1] / spy_closes[spy_base - 1] - 1
            lags = (spy - own) * 100 <= lag_max
        risen = past_to > past_at and vwap_short > past_n / past_v * (1 + ROUNDING)
        mask = above_long | (close > vwap_short) << 1 | (risen and s - rising_since >= rising_s) << 2
        mask |= surges << 3 | rises << 4 | (ratio >= ratio_min) << 5 | lags << 6
        found.append((s, mask))
    return found


if __name__ == "__main__":
    contend(prepare)
