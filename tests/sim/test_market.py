"""Does a simulated day look like a real one?"""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import numpy as np
import pytest

import utils
from events import SECOND
from sim.market import Market
from sim.paths import BENCHMARK_GAPS
from sim.wire import bar_event
from tests.sim.days import OPEN, day, regular, session


def volumes(market: Market, symbol: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Shares of every second of the session, 0 where there is no bar."""
    out = np.zeros((market.session.close - market.session.open) // SECOND)
    for bar in regular(market, symbol):
        out[(bar.start - market.session.open) // SECOND] = bar.volume
    return out


def correlation(left: Any, right: Any) -> float:
    return float(np.corrcoef(left, right)[0, 1])


def test_a_seed_makes_one_day() -> None:
    one, same, other = day(), Market(7, session()), day(1)
    at = OPEN + 3600 * SECOND
    assert one.bars("IWM") == same.bars("IWM") and one.corrections("SPY") == same.corrections("SPY")
    assert one.chain(at) == same.chain(at)
    assert one.bars("IWM") != other.bars("IWM")


@pytest.mark.parametrize("seed", [1, 7])
def test_a_fifth_or_more_of_the_funds_seconds_and_few_of_the_benchmarks_have_no_bar(seed: int) -> None:
    market = day(seed)
    empty = 1 - len(regular(market, "IWM")) / 23_400
    assert 0.17 <= empty <= 0.33
    assert 1 - len(regular(market, "SPY")) / 23_400 < 0.03
    starts = [bar.start for bar in regular(market, "SPY")]
    gaps = [(after - before) // SECOND for before, after in itertools.pairwise(starts)]
    assert max(gaps) <= 11
    assert 1 <= sum(gap > 4 for gap in gaps) <= BENCHMARK_GAPS + 2


@pytest.mark.parametrize("symbol", ["IWM", "SPY"])
def test_volume_is_clustered_heavy_tailed_and_u_shaped(symbol: str) -> None:
    shares = volumes(day(), symbol)
    traded = np.array([bar.volume for bar in regular(day(), symbol)])
    logs = np.log(traded)
    assert correlation(logs[:-1], logs[1:]) > 0.2
    assert correlation(logs[:-60], logs[60:]) > 0.05
    assert np.percentile(traded, 99) > 8 * np.median(traded)
    middle = shares[9_000:14_400].mean()
    assert shares[:1800].mean() > 2 * middle
    assert shares[-1800:].mean() > 1.4 * middle


def test_paths_are_correlated_and_priced_like_the_funds() -> None:
    minutes = range(OPEN, day().session.close, 60 * SECOND)
    paths = [np.log([day().spot(at, symbol) for at in minutes]) for symbol in ("IWM", "SPY")]
    assert correlation(np.diff(paths[0]), np.diff(paths[1])) > 0.6
    assert 215 < day().spot(OPEN) < 265 and 620 < day().spot(OPEN, "SPY") < 700


def test_bars_are_consistent_and_their_vwap_is_sometimes_outside() -> None:
    bars = regular(day(), "IWM")
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert all(bar.low - 0.01 < bar.vwap < bar.high + 0.01 for bar in bars)
    outside = sum(not bar.low <= bar.vwap <= bar.high for bar in bars) / len(bars)
    assert 0.05 < outside < 0.2
    assert any(bar.volume != int(bar.volume) for bar in bars)
    assert any(bar.volume < 1 for bar in bars)
    assert bars[-1].accumulated == pytest.approx(sum(bar.volume for bar in day().bars("IWM")), abs=0.01)


def test_bars_before_the_open_have_no_official_open() -> None:
    early = [bar for bar in day().bars("IWM") if bar.start < OPEN]
    assert early and early[0].start >= OPEN - 600 * SECOND
    assert "op" not in bar_event(early[0])
    assert bar_event(regular(day(), "IWM")[5])["op"] == regular(day(), "IWM")[0].open


@pytest.mark.parametrize("symbol", ["IWM", "SPY"])
def test_some_bars_are_corrected_later(symbol: str) -> None:
    fixes = day().corrections(symbol)
    assert 0.01 < len(fixes) / len(day().bars(symbol)) < 0.06
    delays = []
    for fix in fixes:
        first = day().first_print(symbol, fix.bar.start)
        assert first is not None and fix.bar.volume > first.volume
        assert day().known(symbol, fix.bar.start, fix.at - 1) == first
        assert day().known(symbol, fix.bar.start, fix.at) == fix.bar == day().final(symbol, fix.bar.start)
        delays.append((fix.at - first.sent_at) / SECOND)
    assert 3 <= min(delays) < 6 and 600 < max(delays) <= 900


def test_a_bar_is_not_known_before_its_end() -> None:
    bar = regular(day(), "IWM")[100]
    assert day().known("IWM", bar.start, bar.end - 1) is None
    assert day().known("IWM", bar.start, bar.end) == bar
    assert day().final("IWM", bar.start + 1) is None and day().first_print("QQQ", bar.start) is None


def test_an_early_close_makes_a_shorter_day() -> None:
    half = utils.session_on(datetime.date(2025, 11, 28))
    assert half is not None and half.early
    bars = Market(1, half).bars("IWM")
    assert half.close - 60 * SECOND < bars[-1].start < half.close
