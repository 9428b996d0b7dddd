"""A simulated trading day from a seed: second bars of two funds, their late corrections, and options on one of them.

Pure: no I/O and no clock. The same seed, session and episodes give the same day to the last digit. The shapes
(empty seconds, clustered volume, a busy open and close, bars corrected late) follow what the real feeds show.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from events import SECOND, Session
from sim.bars import Correction, SimBar, corrections
from sim.episodes import Day, Episode
from sim.options import Options
from sim.paths import BENCHMARK, FUND, Path, smooth


class Market(Options):
    """A simulated day of ``symbol`` and ``benchmark`` with same-day options on ``symbol``.

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
        self._day = Day(session, episodes)
        rng = np.random.default_rng(seed)
        common = np.clip(rng.standard_t(4, self._day.count) / math.sqrt(2), -6, 6)
        mood = smooth(rng.standard_normal(self._day.count), 240)
        self._edges: dict[str, list[float]] = {}
        self._bars: dict[str, tuple[SimBar, ...]] = {}
        self._corrections: dict[str, tuple[Correction, ...]] = {}
        self._versions: dict[tuple[str, int], list[tuple[int, SimBar]]] = {}
        for name, fund in ((symbol, FUND), (benchmark, BENCHMARK)):
            path = Path(self._day, fund, rng, common, mood)
            self._edges[name] = path.path.tolist()
            self._bars[name] = tuple(path.bars(name, rng))
            self._corrections[name] = tuple(corrections(self._bars[name], rng))
            for bar in self._bars[name]:
                self._versions[name, bar.start] = [(bar.end, bar)]
            for correction in self._corrections[name]:
                self._versions[name, correction.bar.start].append((correction.at, correction.bar))
        self._starts = {name: [bar.start for bar in bars] for name, bars in self._bars.items()}
        super().__init__(seed, session, symbol, self._day.first)

    @property
    def symbols(self) -> tuple[str, str]:
        """The two funds."""
        return self.symbol, self.benchmark

    def bars(self, symbol: str) -> tuple[SimBar, ...]:
        """First prints of the whole day, in order; a second without one had no trade. Empty for other symbols."""
        return self._bars.get(symbol, ())

    def corrections(self, symbol: str) -> tuple[Correction, ...]:
        """The bars that are sent again, ordered by when."""
        return self._corrections.get(symbol, ())

    @functools.cached_property
    def schedule(self) -> list[tuple[int, int, SimBar]]:
        """Everything the stocks socket sends in the day: when (µs), its place in the order, and the bar."""
        prints = [(bar.sent_at, bar) for name in self.symbols for bar in self._bars[name]]
        again = [(fix.at, fix.bar) for name in self.symbols for fix in self._corrections[name]]
        ordered = sorted([*prints, *again], key=lambda item: (item[0], item[1].start, item[1].symbol))
        return [(at, order, bar) for order, (at, bar) in enumerate(ordered)]

    def first_print(self, symbol: str, start: int) -> SimBar | None:
        """The bar of the second that begins at ``start`` (µs) as it is first sent; None when there is none."""
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
        found: list[SimBar] = []
        for start in starts[begin:end]:
            for since, bar in reversed(self._versions[symbol, start]):
                if since <= at:
                    found.append(bar)
                    break
        return found

    def spot(self, at: int, symbol: str = "") -> float:
        """The price of ``symbol`` (default: the optioned fund) at ``at``, dollars; outside the day, its first or last."""
        edges = self._edges[symbol or self.symbol]
        seconds, rest = divmod(at - self._day.first, SECOND)
        if seconds < 0:
            return edges[0]
        if seconds >= self._day.count:
            return edges[-1]
        low, high = edges[seconds], edges[seconds + 1]
        return low + (high - low) * rest / SECOND
