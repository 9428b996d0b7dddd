"""Do episodes make signals, and only where they should?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from events import SECOND
from sim.market import Market
from tests.sim.days import OPEN, STORY, calls, day, regular


class Plainly:
    """The entry conditions by brute force over a day's first prints, for seconds after the open."""

    def __init__(self, market: Market) -> None:
        self.seconds = (market.session.close - market.session.open) // SECOND
        self.volume, self.money, self.close = self._arrays(market, market.symbol)
        self.benchmark = self._arrays(market, market.benchmark)[2]
        self.volumes = np.concatenate(([0.0], np.cumsum(self.volume)))
        self.moneys = np.concatenate(([0.0], np.cumsum(self.money)))

    def _arrays(self, market: Market, symbol: str) -> tuple[Any, Any, Any]:
        volume, money, close = np.zeros(self.seconds), np.zeros(self.seconds), np.full(self.seconds, np.nan)
        for bar in regular(market, symbol):
            index = (bar.start - market.session.open) // SECOND
            volume[index], money[index], close[index] = bar.volume, bar.volume * bar.vwap, bar.close
        return volume, money, close

    def total(self, sums: Any, after: int, until: int) -> float:
        """The sum over the seconds (after, until]."""
        return float(sums[until + 1] - sums[max(0, after + 1)])

    def vwap(self, after: int, until: int) -> float:
        return self.total(self.moneys, after, until) / self.total(self.volumes, after, until)

    @staticmethod
    def last(closes: Any, at: int, reach: int) -> float:
        recent = closes[max(0, at - reach) : at + 1]
        return float(recent[~np.isnan(recent)][-1])

    def together(self, first: int, last: int) -> list[int]:
        """The evaluated seconds in [first, last) at which all seven conditions are met."""
        out: list[int] = []
        before, fell = -1, 0
        for second in np.flatnonzero(~np.isnan(self.close[:last])).tolist():
            if before >= 0 and self.vwap(second - 60, second) < self.vwap(before - 60, before) * (1 - 1e-9):
                fell = second
            before = second
            if second >= first and second - fell >= 30 and self._holds(second, float(self.close[second])):
                out.append(second)
        return out

    def _holds(self, second: int, close: float) -> bool:
        """Every condition but the rising VWAP."""
        if not close > self.vwap(second - 300, second) > self.vwap(second - 330, second - 30):
            return False
        span = min(1200, second + 1)
        relative = (self.total(self.volumes, second - 60, second) / 60) / (
            self.total(self.volumes, second - span, second) / span
        )
        if close <= self.vwap(second - 60, second) or relative < 1.5:
            return False
        window = self.volume[max(0, second - 1200) : second]
        traded = window[window > 0]
        recent = np.arange(second - 29, second + 1)
        recent = recent[~np.isnan(self.close[recent])]
        if len(traded) < 300 or self.volume[second] <= np.percentile(traded, 95) or len(recent) < 10:
            return False
        slope = float(np.polyfit(recent - second, self.close[recent], 1)[0])
        own = close / self.last(self.close, second - 300, 30) - 1
        other = self.last(self.benchmark, second, 10) / self.last(self.benchmark, second - 300, 30) - 1
        return slope / close > 1e-9 and 100 * (other - own) <= 0.20


@pytest.mark.parametrize("seed", [1, 7])
def test_a_surge_after_calm_makes_every_condition_hold_and_calm_alone_never_does(seed: int) -> None:
    together = Plainly(day(seed, STORY)).together(600, 4500)
    assert [second for second in together if second < 3600 or second > 3790] == []
    assert len([second for second in together if second < 3700]) >= 30
    assert 3610 < together[0] < 3650


def test_an_ordinary_day_has_a_few_signals_as_real_days_do() -> None:
    # Five real days of SPY had 28 to 63 such seconds, and 5 to 13 entries that are 5 minutes apart.
    together = Plainly(day()).together(600, 21_600)
    entries = together[:1]
    for second in together:
        if second - entries[-1] >= 300:
            entries.append(second)
    assert 10 <= len(together) <= 150
    assert 3 <= len(entries) <= 20


@pytest.mark.parametrize("seed", [1, 7])
def test_a_fade_costs_a_call_more_than_any_stop(seed: int) -> None:
    market = day(seed, STORY)
    bought = OPEN + 3635 * SECOND

    def mid(at: int) -> float:
        quote = market.quote(contract, at)
        assert quote is not None
        return (quote.bid + quote.ask) / 2

    contract = min(calls(market), key=lambda name: abs(market.strike(name) - market.spot(bought) - 0.5))
    course = [mid(bought + second * SECOND) for second in range(160)]
    top = course.index(max(course))
    assert max(course) > 1.1 * course[0]
    assert min(course[top:]) < 0.7 * max(course) and min(course[top:]) < 0.85 * course[0]
