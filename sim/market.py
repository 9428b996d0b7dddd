"""A made trading day from a seed: second bars of two funds, their late corrections, and options on one of them.

Pure: no I/O and no clock. The same seed, session and episodes give the same day to the last digit. The shapes
(empty seconds, clustered volume, a busy open and close, bars corrected late) follow what the real feeds show.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from events import SECOND, Session
from sim.options import EVEN, Options

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Kind = Literal["surge", "fade", "calm"]

PRE_MARKET_S = 600
"""How long before the open the made day begins, s."""

HOLD_US = 2 * SECOND
"""The vendor holds a bar this long after its second has ended, for late prints."""

MILLI = 1000


# --- The story ---------------------------------------------------------------------------------------


class _Kind(msgspec.Struct, frozen=True):
    """What an episode does to a second: the drift of both paths, volume (times normal, first to last), emptiness."""

    drift: float
    benchmark_drift: float
    volume: tuple[float, float]
    empty: float


KINDS: dict[Kind, _Kind] = {
    "calm": _Kind(drift=-1.5e-6, benchmark_drift=-1.2e-6, volume=(0.55, 0.55), empty=0.27),
    "surge": _Kind(drift=3.0e-5, benchmark_drift=1.4e-5, volume=(2.5, 11.0), empty=0.02),
    "fade": _Kind(drift=-4.5e-5, benchmark_drift=-2.5e-5, volume=(4.0, 3.0), empty=0.05),
}


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of the session that goes as told, ``start_s`` seconds after the open.

    ``surge`` climbs steadily on growing volume, ``fade`` falls steadily, ``calm`` drifts down so quietly that
    nothing in it can be taken for a signal. Where two overlap, the later in the list counts.
    """

    start_s: int
    duration_s: int
    kind: Kind


class SimBar(msgspec.Struct, frozen=True, kw_only=True):
    """One second of one symbol: prices in dollars, ``volume`` in shares (may be fractional), ``start`` in µs of UTC.

    ``accumulated`` and ``day_vwap`` run over the day including this bar; ``day_open`` is None before the open.
    """

    symbol: str
    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    trades: int
    accumulated: float
    day_vwap: float
    day_open: float | None

    @property
    def end(self) -> int:
        """End of the second, exclusive, µs."""
        return self.start + SECOND

    @property
    def sent_at(self) -> int:
        """When the vendor prints it first, µs."""
        return self.end + HOLD_US


class Correction(msgspec.Struct, frozen=True):
    """A bar that is sent again at ``at`` (µs), with late trades in it."""

    at: int
    bar: SimBar


# --- The paths ---------------------------------------------------------------------------------------


class _Fund(msgspec.Struct, frozen=True):
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


FUND = _Fund(
    price=240.0,
    daily_volatility=0.012,
    loading=0.85,
    volume=430.0,
    empty=0.27,
    trade_size=60.0,
    benchmark=False,
)
BENCHMARK = _Fund(
    price=660.0,
    daily_volatility=0.008,
    loading=0.92,
    volume=900.0,
    empty=0.012,
    trade_size=75.0,
    benchmark=True,
)
SECONDS_OF_A_DAY = 23_400
CORRECTED_SHARE = 0.03
BURST_SHARE = 0.004
OUTSIDE_SHARE = 0.12
FRACTIONAL_SHARE = 0.3
ODD_LOT_SHARE = 0.001
CORRECTION_SPAN_S = (3.0, 900.0)
BENCHMARK_GAPS = 4


class _Day:
    """What both funds share: the grid of seconds, the day's shape, the episodes."""

    def __init__(self, session: Session, episodes: Sequence[Episode]) -> None:
        self.first = session.open - PRE_MARKET_S * SECOND
        self.regular = (session.close - session.open) // SECOND
        self.count = PRE_MARKET_S + self.regular
        seconds = np.arange(self.count) - PRE_MARKET_S
        part = np.clip(seconds / self.regular, 0.0, 1.0)
        self.shape: Floats = 1.0 + 2.2 * np.exp(-part * 13) + 1.5 * np.exp((part - 1) * 14)
        self.shape[:PRE_MARKET_S] = 0.35
        self.episode = np.full(self.count, -1, dtype=np.int64)
        self.episodes = tuple(episodes)
        for number, episode in enumerate(self.episodes):
            begin = PRE_MARKET_S + episode.start_s
            self.episode[max(0, begin) : max(0, begin + episode.duration_s)] = number

    def stretch(self, number: int) -> tuple[_Kind, Flags, Floats]:
        """What an episode does, which seconds are its own, and how far through it each of them is (0 to 1)."""
        episode = self.episodes[number]
        own: Flags = self.episode == number
        begin = PRE_MARKET_S + episode.start_s
        progress: Floats = (np.flatnonzero(own) - begin) / max(1, episode.duration_s)
        return KINDS[episode.kind], own, progress


def _smooth(noise: Floats, memory_s: float) -> Floats:
    """A first-order autoregression of unit deviation that forgets over about ``memory_s`` seconds."""
    keep = math.exp(-1 / memory_s)
    fresh = math.sqrt(1 - keep * keep)
    out = np.empty_like(noise)
    level = float(noise[0])
    for index, value in enumerate(noise.tolist()):
        level = keep * level + fresh * value
        out[index] = level
    return out


class _Path:
    """One fund's day: the price at every second's edge and what each second printed."""

    def __init__(
        self, day: _Day, fund: _Fund, rng: np.random.Generator, common: Floats, mood: Floats
    ) -> None:
        self.day, self.fund = day, fund
        count = day.count
        own = rng.standard_normal(count)
        mixed = fund.loading * common + math.sqrt(1 - fund.loading**2) * own
        sigma = fund.daily_volatility / math.sqrt(SECONDS_OF_A_DAY)
        returns = sigma * mixed * np.sqrt(day.shape / day.shape.mean())
        activity = np.log(day.shape) + 0.30 * mood + 0.45 * _smooth(rng.standard_normal(count), 25)
        spread = np.full(count, 0.85)
        base_empty = math.log(fund.empty / (1 - fund.empty))
        empty = 1 / (1 + np.exp(-(base_empty - 0.9 * activity)))
        bursts = np.where(rng.random(count) < BURST_SHARE, 2.0, 0.0)
        told = day.episode >= 0
        for number in range(len(day.episodes)):
            kind, mine, progress = day.stretch(number)
            returns[mine] = kind.benchmark_drift if fund.benchmark else kind.drift
            first, last = kind.volume
            activity[mine] = np.log(first) + progress * math.log(last / first)
            spread[mine] = 0.35
            bursts[mine] = 0.0
            empty[mine] = fund.empty if fund.benchmark else kind.empty
        self.path: Floats = np.empty(count + 1)
        self.path[0] = 0.0
        np.cumsum(returns, out=self.path[1:])
        self.path = fund.price * np.exp(self.path)
        self.told: Flags = told
        wobble = 0.004 * _smooth(rng.standard_normal(count + 1), 2)
        self.edge: Floats = self.path + np.where(np.append(told, False), wobble, 0.0)
        volume = fund.volume * np.exp(activity + bursts + spread * rng.standard_normal(count))
        self.volume = self._shares(volume, rng)
        self.printed: Flags = rng.random(count) >= empty
        if fund.benchmark:
            self._open_gaps(rng)

    @staticmethod
    def _shares(volume: Floats, rng: np.random.Generator) -> Floats:
        """Whole shares mostly, some with a fraction, now and then less than one share."""
        count = len(volume)
        fraction = np.where(rng.random(count) < FRACTIONAL_SHARE, np.round(rng.random(count), 3), 0.0)
        shares = np.maximum(1.0, np.floor(volume)) + fraction
        return np.where(
            rng.random(count) < ODD_LOT_SHARE, np.round(0.05 + 0.9 * rng.random(count), 3), shares
        )

    def _open_gaps(self, rng: np.random.Generator) -> None:
        """The benchmark is silent for 4 to 10 seconds a few times a day, though not inside an episode."""
        for begin in rng.integers(PRE_MARKET_S + 600, self.day.count - 60, BENCHMARK_GAPS).tolist():
            length = int(rng.integers(4, 11))
            if not self.told[begin : begin + length].any():
                self.printed[begin : begin + length] = False

    def bars(self, symbol: str, rng: np.random.Generator) -> list[SimBar]:
        """What the day printed first, in order."""
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
        beyond = np.where(rng.random(count) < EVEN, high + 0.003, low - 0.003)
        vwap = np.round(np.where(outside, beyond, vwap), 4)
        trades = np.maximum(
            1, self.volume / (self.fund.trade_size * np.exp(0.4 * rng.standard_normal(count)))
        )
        out: list[SimBar] = []
        total = money = 0.0
        day_open: float | None = None
        for index in np.flatnonzero(self.printed).tolist():
            if day_open is None and index >= PRE_MARKET_S:
                day_open = float(opening[index])
            volume, price = float(self.volume[index]), float(vwap[index])
            total += volume
            money += volume * price
            out.append(
                SimBar(
                    symbol=symbol,
                    start=self.day.first + index * SECOND,
                    open=float(opening[index]),
                    high=float(high[index]),
                    low=float(low[index]),
                    close=float(closing[index]),
                    volume=volume,
                    vwap=price,
                    trades=int(trades[index]),
                    accumulated=round(total, 3),
                    day_vwap=round(money / total, 4),
                    day_open=day_open,
                )
            )
        return out


def _corrections(bars: Sequence[SimBar], rng: np.random.Generator) -> list[Correction]:
    """A few bars again: more volume, a slightly other VWAP, 3 s to 15 minutes after their first print."""
    chosen = np.flatnonzero(rng.random(len(bars)) < CORRECTED_SHARE).tolist()
    low, high = (math.log(value) for value in CORRECTION_SPAN_S)
    out: list[Correction] = []
    for index in chosen:
        bar = bars[index]
        delay = int(math.exp(rng.uniform(low, high)) * SECOND)
        extra = max(1.0, round(bar.volume * rng.uniform(0.05, 0.6)))
        vwap = round(bar.vwap + rng.normal(0.0, 0.002), 4)
        out.append(
            Correction(
                bar.sent_at + delay,
                msgspec.structs.replace(
                    bar,
                    volume=round(bar.volume + extra, 3),
                    vwap=vwap,
                    trades=bar.trades + 1,
                    accumulated=round(bar.accumulated + extra, 3),
                ),
            )
        )
    return sorted(out, key=lambda correction: correction.at)


# --- The market --------------------------------------------------------------------------------------


class Market(Options):
    """A made day of ``symbol`` and ``benchmark`` with same-day options on ``symbol``.

    ``seed`` decides everything that ``episodes`` leave open. Building a full day takes about half a second.
    """

    def __init__(
        self,
        seed: int,
        session: Session,
        symbol: str = "IWM",
        benchmark: str = "SPY",
        episodes: Sequence[Episode] = (),
    ) -> None:
        self.benchmark = benchmark
        self._day = _Day(session, episodes)
        rng = np.random.default_rng(seed)
        common = np.clip(rng.standard_t(4, self._day.count) / math.sqrt(2), -6, 6)
        mood = _smooth(rng.standard_normal(self._day.count), 240)
        self._paths: dict[str, _Path] = {}
        self._bars: dict[str, tuple[SimBar, ...]] = {}
        self._corrections: dict[str, tuple[Correction, ...]] = {}
        self._versions: dict[tuple[str, int], list[tuple[int, SimBar]]] = {}
        for name, fund in ((symbol, FUND), (benchmark, BENCHMARK)):
            self._paths[name] = path = _Path(self._day, fund, rng, common, mood)
            self._bars[name] = tuple(path.bars(name, rng))
            self._corrections[name] = tuple(_corrections(self._bars[name], rng))
            for bar in self._bars[name]:
                self._versions[name, bar.start] = [(bar.end, bar)]
            for correction in self._corrections[name]:
                self._versions[name, correction.bar.start].append((correction.at, correction.bar))
        self._starts = {name: [bar.start for bar in bars] for name, bars in self._bars.items()}
        super().__init__(seed, session, symbol, self._day.first)

    # Shares

    @property
    def symbols(self) -> tuple[str, str]:
        """The two funds."""
        return self.symbol, self.benchmark

    def bars(self, symbol: str) -> tuple[SimBar, ...]:
        """First prints of the whole day, in order; a second without one had no trade. Empty for other symbols."""
        return self._bars.get(symbol, ())

    def corrections(self, symbol: str) -> tuple[Correction, ...]:
        """The bars that are sent again, in the order of when."""
        return self._corrections.get(symbol, ())

    @functools.cached_property
    def schedule(self) -> list[tuple[int, int, SimBar]]:
        """Everything the stocks socket says in the day: when (µs), its place in the order, and the bar."""
        prints = [(bar.sent_at, bar) for name in self.symbols for bar in self._bars[name]]
        again = [(fix.at, fix.bar) for name in self.symbols for fix in self._corrections[name]]
        ordered = sorted([*prints, *again], key=lambda item: (item[0], item[1].start, item[1].symbol))
        return [(at, order, bar) for order, (at, bar) in enumerate(ordered)]

    def first_print(self, symbol: str, start: int) -> SimBar | None:
        """The bar of the second that begins at ``start`` (µs) as it is sent first; None when there is none."""
        versions = self._versions.get((symbol, start))
        return versions[0][1] if versions else None

    def final(self, symbol: str, start: int) -> SimBar | None:
        """The same second after every correction."""
        versions = self._versions.get((symbol, start))
        return versions[-1][1] if versions else None

    def known(self, symbol: str, start: int, at: int) -> SimBar | None:
        """The same second as it is known at ``at`` (µs): from its end on, corrected from each correction on."""
        versions = self._versions.get((symbol, start), [])
        return next((bar for since, bar in reversed(versions) if since <= at), None)

    def known_between(self, symbol: str, first: int, last: int, at: int) -> list[SimBar]:
        """The bars with start in [first, last], in order, as they are known at ``at`` (all µs)."""
        starts = self._starts.get(symbol, [])
        begin, end = bisect_right(starts, first - 1), bisect_right(starts, last)
        found = (self.known(symbol, start, at) for start in starts[begin:end])
        return [bar for bar in found if bar is not None]

    def spot(self, at: int, symbol: str = "") -> float:
        """The price of ``symbol`` (default: the optioned fund) at ``at``, dollars; before and after the day its edges."""
        path = self._paths[symbol or self.symbol].path
        seconds, rest = divmod(at - self._day.first, SECOND)
        if seconds < 0:
            return float(path[0])
        if seconds >= self._day.count:
            return float(path[-1])
        low, high = float(path[seconds]), float(path[seconds + 1])
        return low + (high - low) * rest / SECOND
