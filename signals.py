"""The entry conditions at each second of a session. Says which are met, never what to do. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, assert_never

from events import (
    ALL_OPEN,
    PRICE_MAX,
    PRICE_MIN,
    SECOND,
    VOLUME_LIMIT,
    Bar,
    Condition,
    Evaluation,
    Gate,
    Session,
    Shortfall,
)
from price_level import Level
from rules import Rules
from windows import (
    PERCENT,
    PERCENTILE_PARTS,
    PRICE_SCALE,
    ROUNDING,
    VOLUME_SCALE,
    Closes,
    CloseTrend,
    Tape,
    VolumeDistribution,
)

RISEN = ROUNDING * 100
"""The short VWAP must change by more than this (percent) to count as rising: a flat tape does not rise."""

FAR_PERCENT = 0.10
"""A price distance that weighs as much as a second without any volume: how far IWM moves in a strong minute."""

Gaps = Sequence[tuple[int, int]]
"""Spans (µs, end exclusive) in which trades are unknown."""


class Signals:
    """All windows of the watched symbols in one session, and the conditions at each new second."""

    def __init__(self, rules: Rules, session: Session) -> None:
        self.open = session.open
        self._symbol, self._benchmark_symbol = rules.symbol, rules.benchmark
        self._seconds = seconds = (session.close - session.open) // SECOND
        longest = rules.vwap_long_seconds + rules.vwap_long_shift_seconds
        longest_short = rules.vwap_short_seconds + rules.vwap_rising_seconds
        reach = max(longest, longest_short, rules.relative_volume_seconds)
        self._tape = tape = Tape(seconds, reach)
        self._benchmark = Closes(seconds)
        self.level = Level(rules, tape)
        """The traded symbol's price level, and the bars kept apart from it."""
        self.benchmark_level = Level(rules, self._benchmark)
        """The benchmark's."""
        self._volumes = VolumeDistribution(tape, rules.volume_window_seconds, rules.volume_percentile)
        self._trend = CloseTrend(tape, rules.momentum_seconds, rules.momentum_min_bars)
        # Copied once: an evaluation reads some twenty of these.
        self._short_s = rules.vwap_short_seconds
        self._rising_s = rules.vwap_rising_seconds
        self._vwap_spans = (
            rules.vwap_long_seconds,
            rules.vwap_long_shift_seconds,
            rules.vwap_short_seconds,
            rules.vwap_rising_seconds,
        )
        self._base_s = rules.volume_window_seconds
        self._recent_s = rules.relative_volume_seconds
        self._volume_min_bars = rules.volume_min_bars
        self._relative_volume_min = rules.relative_volume_min
        self._roc_s = rules.roc_seconds
        self._roc_tolerance_s = rules.roc_tolerance_seconds
        self._benchmark_age_s = rules.benchmark_max_age_seconds
        self._lag_max = rules.spy_iwm_lag_threshold + ROUNDING
        self._newest_outside = dict.fromkeys(rules.symbols, 0)
        self._short_vwap: float | None = None
        self._rising_since = -1

    def record(self, bar: Bar) -> tuple[bool, bool]:
        """Stores a bar, or keeps it apart.

        Returns whether its second is seen for the first time, and whether it is now its symbol's newest in the windows.
        A bar outside the session enters no window; it is new if no later one was seen. A bar whose numbers are beyond
        the bounds of `events` is ignored.
        """
        index, symbol, close = (bar.start - self.open) // SECOND, bar.symbol, bar.close
        if not 0 <= index < self._seconds:
            return self._is_new_outside(bar), False
        if symbol == self._symbol:
            level = self.level
        elif symbol == self._benchmark_symbol:
            level = self.benchmark_level
        else:
            return False, False
        # Nearly every bar takes this short path: a few comparisons instead of a median.
        band = level.band
        is_amid = (
            band.low <= close <= band.high
            and band.floor <= bar.vwap <= band.ceiling
            and 0 <= bar.volume < VOLUME_LIMIT
        )
        if not is_amid and not band.admit(bar):
            return self._weigh(level, index, bar)
        if index in level.refuted:
            return False, level.put(index, bar)[1]  # its second was seen before
        return level.put(index, bar)

    def _weigh(self, level: Level, index: int, bar: Bar) -> tuple[bool, bool]:
        """Handles a bar that is not plainly near the last ones."""
        if not (PRICE_MIN <= bar.close <= PRICE_MAX and 0 <= bar.volume < VOLUME_LIMIT):
            return False, False
        other = self.benchmark_level if level is self.level else self.level
        found = level.store(index, bar, other if self._benchmark_symbol else None)
        if other.waits:
            other.reconsider(level)
        level.reset(is_shut=other.waits)
        other.reset(is_shut=level.waits)
        return found

    def _is_new_outside(self, bar: Bar) -> bool:
        newest = self._newest_outside.get(bar.symbol)
        if newest is None:
            return False
        self._newest_outside[bar.symbol] = max(bar.start, newest)
        return bar.start > newest

    @property
    def price(self) -> float | None:
        """Returns the symbol's newest close, never one kept apart; None while only an unconfirmed first print is known."""
        return self.level.price

    def price_age(self, now: int) -> int | None:
        """Returns the time (µs) since the end of the second of `price`; None if there is no price."""
        newest = self._tape.newest
        return None if newest < 0 else max(0, now - (self.open + (newest + 1) * SECOND))

    @property
    def vwap(self) -> float | None:
        """Returns the short VWAP at the last evaluated second, from the bars as now known; None without volume."""
        if self._tape.is_stale:
            self._tape.settle()
            self._short_vwap = self._tape.vwap(self._tape.evaluated, self._short_s)
        return self._short_vwap

    @property
    def vwaps(self) -> tuple[float | None, float | None]:
        """Returns `vwap`, and the primary VWAP of the same second."""
        return self.vwap, self._tape.vwap(self._tape.evaluated, self._vwap_spans[0])

    @property
    def volume(self) -> float:
        """Returns the session's volume so far, in shares."""
        return sum(self._tape.shares) / VOLUME_SCALE

    def evaluate(self, bar: Bar, was_blind: bool, gate: Gate = ALL_OPEN, gaps: Gaps = ()) -> Evaluation:
        """Returns all conditions at the second of ``bar``, the newest recorded. ``was_blind``: since the last one."""
        close, rising_min = bar.close, self._rising_s
        second = self.follow(was_blind)
        vwap_1m, rising_s = self._short_vwap, second - self._rising_since
        vwap_5m, earlier, vwap_1m_before = self._tape.vwaps(second, self._vwap_spans)
        risen = _change(vwap_1m, vwap_1m_before)
        p95, volume_z, surges = self._surge(second)
        slope = self._trend.slope(second)
        momentum = None if slope is None else slope / PRICE_SCALE / close
        relative_volume, is_busy = self._relative_volume(second, gaps)
        roc5, benchmark_roc5, keeps_up, has_benchmark = self._rates_of_change(second, close)
        climbs = vwap_5m is not None and earlier is not None and close > vwap_5m > earlier
        is_above = vwap_1m is not None and close > vwap_1m
        is_moving = momentum is not None and momentum > ROUNDING
        keeps_rising = rising_s >= rising_min and (not rising_min or (risen is not None and risen > RISEN))
        return Evaluation(
            # Six positional arguments: beyond 15 keywords CPython builds a dict first (10 % of this function).
            bar.start,
            bar.symbol,
            close,
            vwap_1m,
            vwap_5m,
            _change(vwap_5m, earlier),
            vwap_distance=_change(close, vwap_1m),
            vwap_rising_s=rising_s,
            volume=bar.volume,
            volume_p95=p95,
            volume_z=volume_z,
            momentum=None if momentum is None else momentum * PERCENT,
            relative_volume=relative_volume,
            roc5=roc5,
            benchmark_roc5=benchmark_roc5,
            passes=(climbs, is_above, keeps_rising, surges, is_moving, is_busy, keeps_up),
            gate=gate[0],
            hold=gate[1],
            vwap_1m_change=risen,
            has_benchmark=has_benchmark,
        )

    def follow(self, was_blind: bool) -> int:
        """Updates the short VWAP at the newest second, and since when it has not fallen. Returns that second.

        It has fallen if it is lower than at the evaluation before, both computed from the bars as now known.
        """
        tape, width, before = self._tape, self._short_s, self._short_vwap
        second = tape.newest
        if tape.is_stale:
            tape.settle()
            before = tape.vwap(tape.evaluated, width)
        now = self._short_vwap = tape.vwap(second, width)
        fell = was_blind or before is None or now is None or now < before * (1 - ROUNDING)
        if fell or tape.evaluated < 0:
            self._rising_since = second
        tape.evaluated = second
        return second

    def _surge(self, second: int) -> tuple[float | None, float | None, bool]:
        """Returns the percentile (shares), z, and whether this second's volume exceeds the percentile."""
        volumes, shares = self._volumes, self._tape.shares[second]
        volumes.advance(second - 1)  # of the bars before this one: start in [s - W, s - 1]
        if len(volumes.ordered) < self._volume_min_bars:
            return None, None, False
        percentile = volumes.percentile()
        p95 = percentile / (PERCENTILE_PARTS * VOLUME_SCALE)
        return p95, volumes.z(shares), shares * PERCENTILE_PARTS > percentile

    def _relative_volume(self, second: int, gaps: Gaps) -> tuple[float | None, bool | None]:
        """Returns the last minute's volume per second over that of the base window (or the session so far), and whether
        that is enough. A second without a bar inside a gap is unknown, not quiet: it does not count.
        """
        recent_s, base_s, least = self._recent_s, self._base_s, self._relative_volume_min
        sums, place = self._tape.shares_before, second + self._tape.after
        base = self._volumes.total_at(second)
        if not base:
            return None, False if least else None
        recent = sums[place] - sums[place - recent_s]
        known_s = base_s if base_s <= second else second + 1
        if gaps:
            known_s -= self._lost_seconds(second, base_s, gaps)
            recent_s -= self._lost_seconds(second, recent_s, gaps)
        ratio = recent * known_s / (recent_s * base)
        return ratio, ratio >= least - ROUNDING if least else None

    def _lost_seconds(self, second: int, width: int, gaps: Gaps) -> int:
        """Returns how many seconds of (second - width, second] lie in a gap and have no bar."""
        close, first = self._tape.close, max(0, second - width + 1)
        lost: set[int] = set()  # gaps may overlap
        for begin, end in gaps:
            last = min(second + 1, -((self.open - end) // SECOND))
            lost.update(range(max(first, (begin - self.open) // SECOND), last))
        return sum(close[index] is None for index in lost)

    def _rates_of_change(
        self, second: int, close: float
    ) -> tuple[float | None, float | None, bool | None, bool]:
        """Returns both rates of change (percent; None where a close is missing or too old), whether the symbol keeps up
        with the benchmark, and whether the benchmark's newest close is recent enough.
        """
        base = second - self._roc_s
        oldest = base - self._roc_tolerance_s
        own = _change(close, self._tape.last(base, oldest))
        if not self._benchmark_symbol:
            return own, None, None, False
        last = self._benchmark.last(second, second - self._benchmark_age_s)
        benchmark = _change(last, self._benchmark.last(base, oldest))
        keeps_up = own is not None and benchmark is not None and benchmark - own <= self._lag_max
        return own, benchmark, keeps_up, last is not None


def _change(value: float | None, base: float | None) -> float | None:
    """Returns the change from ``base`` in percent; None if either is missing."""
    if value is None or base is None:
        return None
    return (value / base - 1.0) * PERCENT


class Traded(NamedTuple):
    """A second of the traded symbol: its start (µs), its close, and both VWAPs up to it (None without volume)."""

    start: int
    price: float
    vwap_1m: float | None
    vwap_5m: float | None


def traded_since(signals: Signals, start: int) -> list[Traded]:
    """Returns the seconds with a bar from ``start`` (µs) on, evaluated or not, from the bars as now known: for a display.

    A correction of a second that no window reaches any more changes its close alone.
    """
    tape, long = signals._tape, signals._vwap_spans[0]
    if tape.is_stale:
        _ = signals.vwap  # brings the sums up to date
    first = bisect_left(tape.seconds, (start - signals.open) // SECOND)
    found: list[Traded] = []
    for index in tape.seconds[first:]:
        close = tape.close[index]
        assert close is not None, "the seconds that are kept have a close"
        short_vwap, long_vwap = tape.vwap(index, signals._short_s), tape.vwap(index, long)
        found.append(Traded(signals.open + index * SECOND, close, short_vwap, long_vwap))
    return found


# --- Near misses -------------------------------------------------------------------------------------

EPISODE_GAP_S = 5
"""Two misses of one kind are one miss if at most this many seconds without a trade lie between them."""

BUY_FOLLOWS_S = 60
"""A near miss followed by a BUY within this many seconds cost nothing, and is not listed."""


def near_miss(rules: Rules, evaluation: Evaluation) -> Shortfall | None:
    """Returns what alone stood between an evaluation and a signal; None unless every gate was open and one condition failed."""
    condition = evaluation.sole_failure
    if condition is None or evaluation.gate is not None:
        return None
    return shortfall(rules, evaluation, condition)


def shortfall(rules: Rules, evaluation: Evaluation, condition: Condition) -> Shortfall | None:
    """Returns how far ``condition`` was from being met (ratio below 0: it was); None if its value is undefined."""
    value, threshold, scale = _measured(rules, evaluation, condition)
    if value is None or threshold is None:
        return None
    lacking = threshold - value
    if condition is Condition.SPY_LAG:  # the only condition whose threshold is a ceiling
        lacking = -lacking
    return Shortfall(
        condition=condition, value=value, threshold=threshold, ratio=lacking / scale if scale else 0.0
    )


def _measured(
    rules: Rules, evaluation: Evaluation, condition: Condition
) -> tuple[float | None, float | None, float]:
    """Returns a condition's value, its threshold, and the distance between them that counts as 1."""
    price = evaluation.price
    far = price * FAR_PERCENT / PERCENT
    match condition:
        case Condition.FIVE_MINUTE_VWAP:
            # Two demands. While the price is below the VWAP, its rise does not matter.
            above = evaluation.vwap_5m is None or price > evaluation.vwap_5m
            return (
                (evaluation.vwap_5m_change, 0.0, FAR_PERCENT) if above else (price, evaluation.vwap_5m, far)
            )
        case Condition.ABOVE_VWAP:
            return price, evaluation.vwap_1m, far
        case Condition.VWAP_RISING:
            # Two demands. Until it has gone long enough without a fall, the size of the rise does not matter.
            least = rules.vwap_rising_seconds
            if evaluation.vwap_rising_s < least:
                return evaluation.vwap_rising_s, least, least
            return evaluation.vwap_1m_change, 0.0, FAR_PERCENT
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
        case _:
            assert_never(condition)
