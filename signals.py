"""Windows over one session's seconds, and the entry conditions on them. Decides what holds, never what to do.

Sums are kept in integers (prices in billionths of a dollar, volumes in millionths of a share), so adding and
removing a second is exact: a window's value depends on its bars alone, not on the order in which they came,
on how often they were corrected, or on how many seconds passed before. A correction costs the same in a
window of a minute and in one of a day.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort

from config import Rules
from events import SECOND, Bar, Condition, DeclineReason, Evaluation, HoldReason, Session, Shortfall

PRICE_SCALE = 10**9
"""Steps in a dollar: finer than any price or VWAP the vendor prints."""

VOLUME_SCALE = 10**6
"""Steps in a share: the decimals of the vendor's fractional volumes."""

PERCENTILE_SCALE = 1_000
"""Steps in a percentile, so that its rank is an exact fraction."""

ROUNDING = 1e-9
"""Differences of ratios up to this are rounding, not movement."""

PERCENT = 100.0

FAR_PERCENT = 0.10
"""A distance in price that counts as far as a second without any volume: what IWM does in a strong minute."""


class Tape:
    """The regular session's seconds of one symbol, by their index from the open. Keyed: a repeat replaces."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.newest = -1
        self.close: list[float | None] = [None] * seconds
        self.price = [0] * seconds
        self.shares = [0] * seconds
        self.notional = [0] * seconds
        self.total_shares = 0
        self.windows: list[Window] = []

    def put(self, index: int, bar: Bar) -> bool:
        """Store a bar and mend every window that holds its second. Returns whether the second is new."""
        shares = round(bar.volume * VOLUME_SCALE)
        notional = shares * round(bar.vwap * PRICE_SCALE)
        is_new = self.close[index] is None
        # No window has reached a second that is newer than all before it.
        holders = [] if index > self.newest else [window for window in self.windows if window.holds(index)]
        if not is_new:
            for window in holders:
                window.remove(index)
        self.total_shares += shares - self.shares[index]
        self.close[index] = bar.close
        self.price[index] = round(bar.close * PRICE_SCALE)
        self.shares[index] = shares
        self.notional[index] = notional
        for window in holders:
            window.add(index)
        self.newest = max(self.newest, index)
        return is_new

    def close_at(self, index: int, oldest: int) -> float | None:
        """The last close at or before a second, not older than another; None without one."""
        for position in range(index, max(oldest, 0) - 1, -1):
            close = self.close[position]
            if close is not None:
                return close
        return None


class Window:
    """The bars of a tape with start in (end - width, end], in seconds; ``end`` moves forward only."""

    def __init__(self, tape: Tape, width: int) -> None:
        self.tape = tape
        self.width = width
        self.end = -1
        tape.windows.append(self)

    def holds(self, index: int) -> bool:
        """Whether a second lies in the window."""
        return self.end - self.width < index <= self.end

    def advance(self, end: int) -> None:
        """Move the end, second by second: each bar enters once and leaves once."""
        close, width = self.tape.close, self.width
        for index in range(self.end + 1, end + 1):
            leaving = index - width
            if leaving >= 0 and close[leaving] is not None:
                self.remove(leaving)
            if close[index] is not None:
                self.add(index)
        self.end = max(self.end, end)

    def add(self, index: int) -> None:
        """Take a second of the tape in."""
        raise NotImplementedError

    def remove(self, index: int) -> None:
        """Take a second of the tape out."""
        raise NotImplementedError


class VolumeSums(Window):
    """Volume and notional: Σv and Σ(vw·v)."""

    def __init__(self, tape: Tape, width: int) -> None:
        super().__init__(tape, width)
        self.shares = 0
        self.notional = 0

    def add(self, index: int) -> None:
        """Take a second in."""
        self.shares += self.tape.shares[index]
        self.notional += self.tape.notional[index]

    def remove(self, index: int) -> None:
        """Take a second out."""
        self.shares -= self.tape.shares[index]
        self.notional -= self.tape.notional[index]

    def advance(self, end: int) -> None:
        """Move the end. A second without a bar has no volume, so there is nothing to ask."""
        shares, notional, width = self.tape.shares, self.tape.notional, self.width
        for index in range(self.end + 1, end + 1):
            leaving = index - width
            if leaving >= 0:
                self.shares += shares[index] - shares[leaving]
                self.notional += notional[index] - notional[leaving]
            else:
                self.shares += shares[index]
                self.notional += notional[index]
        self.end = max(self.end, end)

    @property
    def vwap(self) -> float | None:
        """Σ(vw·v) / Σv in dollars; None without volume."""
        return self.notional / (self.shares * PRICE_SCALE) if self.shares else None


class VolumeDistribution(Window):
    """The volumes of the window's bars, sorted, with their first two power sums."""

    def __init__(self, tape: Tape, width: int) -> None:
        super().__init__(tape, width)
        self.sorted: list[int] = []
        self.total = 0
        self.squares = 0

    def add(self, index: int) -> None:
        """Take a second in."""
        shares = self.tape.shares[index]
        insort(self.sorted, shares)
        self.total += shares
        self.squares += shares * shares

    def remove(self, index: int) -> None:
        """Take a second out."""
        shares = self.tape.shares[index]
        del self.sorted[bisect_left(self.sorted, shares)]
        self.total -= shares
        self.squares -= shares * shares

    def percentile(self, percent: float) -> tuple[int, int]:
        """The percentile by linear interpolation, as an exact fraction of volume steps (numerator, denominator)."""
        denominator = 100 * PERCENTILE_SCALE
        rank, rest = divmod((len(self.sorted) - 1) * round(percent * PERCENTILE_SCALE), denominator)
        above = self.sorted[rank + 1] if rest else 0
        return self.sorted[rank] * (denominator - rest) + above * rest, denominator

    def z(self, shares: int) -> float | None:
        """Distance of a volume from the mean in population deviations; None without deviation."""
        count = len(self.sorted)
        spread = count * self.squares - self.total * self.total
        return (count * shares - self.total) / math.sqrt(spread) if spread > 0 else None


class CloseTrend(Window):
    """Least squares of close on start time."""

    def __init__(self, tape: Tape, width: int) -> None:
        super().__init__(tape, width)
        self.count = 0
        self._x = self._y = self._xx = self._xy = 0

    def add(self, index: int) -> None:
        """Take a second in."""
        price = self.tape.price[index]
        self.count += 1
        self._x += index
        self._y += price
        self._xx += index * index
        self._xy += index * price

    def remove(self, index: int) -> None:
        """Take a second out."""
        price = self.tape.price[index]
        self.count -= 1
        self._x -= index
        self._y -= price
        self._xx -= index * index
        self._xy -= index * price

    @property
    def slope(self) -> float | None:
        """Slope in price steps per second; None with fewer than two bars."""
        spread = self.count * self._xx - self._x * self._x
        return (self.count * self._xy - self._x * self._y) / spread if spread else None


class Signals:
    """All windows of the watched symbols in one session, and the conditions at each new second."""

    def __init__(self, rules: Rules, session: Session) -> None:
        self.rules = rules
        self.open = session.open
        seconds = (session.close - session.open) // SECOND
        self.tapes = {symbol: Tape(seconds) for symbol in rules.symbols}
        tape = self.tapes[rules.symbol]
        self._tape = tape
        self._long = VolumeSums(tape, rules.vwap_long_seconds)
        self._long_earlier = VolumeSums(tape, rules.vwap_long_seconds)
        self._short = VolumeSums(tape, rules.vwap_short_seconds)
        self._recent = VolumeSums(tape, rules.relative_volume_seconds)
        self._base = VolumeSums(tape, rules.volume_window_seconds)
        self._volumes = VolumeDistribution(tape, rules.volume_window_seconds)
        self._trend = CloseTrend(tape, rules.momentum_seconds)
        self._newest_outside: dict[str, int] = {}
        self._evaluated = -1
        self._rising_since = -1

    def learn(self, bar: Bar) -> tuple[bool, bool]:
        """Store a bar. Returns whether its second is seen for the first time, and whether it is the newest of its
        symbol inside the session. A bar outside the session is in no window; it is new when none later was seen."""
        tape = self.tapes.get(bar.symbol)
        if tape is None:
            return False, False
        index = (bar.start - self.open) // SECOND
        if 0 <= index < tape.seconds:
            is_newest = index > tape.newest
            return tape.put(index, bar), is_newest
        newest = self._newest_outside.get(bar.symbol, 0)
        self._newest_outside[bar.symbol] = max(bar.start, newest)
        return bar.start > newest, False

    @property
    def price(self) -> float | None:
        """The symbol's newest close of the session."""
        return self._tape.close[self._tape.newest] if self._tape.newest >= 0 else None

    @property
    def vwap(self) -> float | None:
        """The short VWAP at the last evaluation, from the bars as now known."""
        return self._short.vwap

    @property
    def volume(self) -> float:
        """The session's volume so far, in shares."""
        return self._tape.total_shares / VOLUME_SCALE

    def evaluate(
        self,
        bar: Bar,
        *,
        was_blind: bool,
        gate: DeclineReason | None = None,
        hold: HoldReason | None = None,
    ) -> Evaluation:
        """All conditions at the second of ``bar``, the newest of the symbol, already learned.

        ``was_blind``: there was a blind spell since the evaluation before. Gate and hold are passed through.
        """
        rules = self.rules
        second = (bar.start - self.open) // SECOND
        rising_s = self.follow(bar, was_blind=was_blind)
        self._advance(second)
        vwap_1m, vwap_5m, earlier = self._short.vwap, self._long.vwap, self._long_earlier.vwap
        p95, volume_z, surges = self._surge(second)
        slope = self._trend.slope if self._trend.count >= rules.momentum_min_bars else None
        momentum = None if slope is None else slope / PRICE_SCALE / bar.close
        relative_volume = self._relative_volume(second)
        roc5, benchmark_roc5 = self._rates_of_change(second)
        return Evaluation(
            start=bar.start,
            symbol=bar.symbol,
            price=bar.close,
            vwap_1m=vwap_1m,
            vwap_5m=vwap_5m,
            vwap_5m_change=_change(vwap_5m, earlier),
            vwap_distance=_change(bar.close, vwap_1m),
            vwap_rising_s=rising_s,
            volume=bar.volume,
            volume_p95=p95,
            volume_z=volume_z,
            momentum=None if momentum is None else momentum * PERCENT,
            relative_volume=relative_volume,
            roc5=roc5,
            benchmark_roc5=benchmark_roc5,
            passes=(
                vwap_5m is not None and earlier is not None and bar.close > vwap_5m > earlier,
                vwap_1m is not None and bar.close > vwap_1m,
                rising_s >= rules.vwap_rising_seconds,
                surges,
                momentum is not None and momentum > ROUNDING,
                self._relative_volume_passes(relative_volume),
                self._spy_lag_passes(roc5, benchmark_roc5),
            ),
            gate=gate,
            hold=hold,
        )

    def follow(self, bar: Bar, *, was_blind: bool) -> int:
        """What an evaluation leaves behind, without its values: seconds since the short VWAP last fell.

        Between consecutive evaluations, both windows from the bars as now known; or since the first evaluation.
        """
        second = (bar.start - self.open) // SECOND
        before = self._short.vwap
        self._short.advance(second)
        now = self._short.vwap
        fell = was_blind or before is None or now is None or now < before * (1 - ROUNDING)
        if self._evaluated < 0 or fell:
            self._rising_since = second
        self._evaluated = second
        return second - self._rising_since

    def _advance(self, second: int) -> None:
        for window in (self._long, self._recent, self._base, self._trend):
            window.advance(second)
        self._long_earlier.advance(second - self.rules.vwap_long_shift_seconds)
        # The percentile is of the bars before this one: start in [s - W, s - 1].
        self._volumes.advance(second - 1)

    def _surge(self, second: int) -> tuple[float | None, float | None, bool]:
        """The percentile, z, and whether this second's volume exceeds the percentile."""
        volumes, shares = self._volumes, self._tape.shares[second]
        if len(volumes.sorted) < self.rules.volume_min_bars:
            return None, None, False
        numerator, denominator = volumes.percentile(self.rules.volume_percentile)
        p95 = numerator / (denominator * VOLUME_SCALE)
        return p95, volumes.z(shares), shares * denominator > numerator

    def _relative_volume(self, second: int) -> float | None:
        """Volume per second of the last minute against that of the base window, or of the session when younger."""
        span = min(self._base.width, second + 1)
        if not self._base.shares:
            return None
        return (self._recent.shares * span) / (self._recent.width * self._base.shares)

    def _relative_volume_passes(self, ratio: float | None) -> bool | None:
        limit = self.rules.relative_volume_min
        if limit == 0:
            return None
        return ratio is not None and ratio >= limit - ROUNDING

    def _rates_of_change(self, second: int) -> tuple[float | None, float | None]:
        """ROC5 of the symbol and of the benchmark, percentage points; None where a close is missing or too old."""
        rules = self.rules
        base = second - rules.roc_seconds
        oldest = base - rules.roc_tolerance_seconds
        own = _change(self._tape.close[second], self._tape.close_at(base, oldest))
        if not rules.benchmark:
            return own, None
        tape = self.tapes[rules.benchmark]
        last = tape.close_at(second, second - rules.benchmark_max_age_seconds)
        return own, _change(last, tape.close_at(base, oldest))

    def _spy_lag_passes(self, own: float | None, benchmark: float | None) -> bool | None:
        if not self.rules.benchmark:
            return None
        if own is None or benchmark is None:
            return False
        return benchmark - own <= self.rules.spy_iwm_lag_threshold + ROUNDING


def _change(value: float | None, base: float | None) -> float | None:
    """The change from ``base`` in percent; None when either is missing."""
    if value is None or base is None:
        return None
    return (value / base - 1.0) * PERCENT


# --- Near misses -------------------------------------------------------------------------------------


def near_miss(rules: Rules, evaluation: Evaluation) -> Shortfall | None:
    """What alone stood between an evaluation and a signal: every gate open and every condition but this one held."""
    condition = evaluation.sole_failure
    if condition is None or evaluation.gate is not None:
        return None
    return shortfall(rules, evaluation, condition)


def shortfall(rules: Rules, evaluation: Evaluation, condition: Condition) -> Shortfall | None:
    """How far ``condition`` was from holding, or past it (ratio below 0); None where its value is undefined."""
    value, threshold, scale = _measured(rules, evaluation, condition)
    if value is None or threshold is None:
        return None
    lacking = threshold - value
    if condition is Condition.SPY_LAG:  # the only one whose threshold is a ceiling
        lacking = -lacking
    return Shortfall(
        condition=condition, value=value, threshold=threshold, ratio=lacking / scale if scale else 0.0
    )


def _measured(
    rules: Rules, evaluation: Evaluation, condition: Condition
) -> tuple[float | None, float | None, float]:
    """A condition's value, its threshold, and the distance between them that counts as 1."""
    price = evaluation.price
    far = price * FAR_PERCENT / PERCENT
    match condition:
        case Condition.FIVE_MINUTE_VWAP:
            # Two demands in one. The price comes first: as long as it is below, the rise is not asked for.
            above = evaluation.vwap_5m is None or price > evaluation.vwap_5m
            return (
                (evaluation.vwap_5m_change, 0.0, FAR_PERCENT) if above else (price, evaluation.vwap_5m, far)
            )
        case Condition.ABOVE_VWAP:
            return price, evaluation.vwap_1m, far
        case Condition.VWAP_RISING:
            return evaluation.vwap_rising_s, rules.vwap_rising_seconds, rules.vwap_rising_seconds
        case Condition.VOLUME_SURGE:
            return evaluation.volume, evaluation.volume_p95, evaluation.volume_p95 or 0.0
        case Condition.MOMENTUM:
            return evaluation.momentum, 0.0, FAR_PERCENT / rules.momentum_seconds
        case Condition.RELATIVE_VOLUME:
            return evaluation.relative_volume, rules.relative_volume_min, rules.relative_volume_min
        case Condition.SPY_LAG:
            own, benchmark = evaluation.roc5, evaluation.benchmark_roc5
            lag = None if own is None or benchmark is None else benchmark - own
            return lag, rules.spy_iwm_lag_threshold, FAR_PERCENT
