"""Groups of trades: counts always, a mean only with enough trades on enough sessions, and with its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from research.report_page import groups, published
from research.report_page.groups import Item, grouped, items_of, summed
from research.statistics.intervals import band, ratio_by_day
from tests.research.report_page.told import backtest


def items(count: int, days: int) -> list[Item]:
    """So many trades, dealt out over so many days, every second one a gain of 3%, the others a loss of 1%."""
    return [Item(f"day {number % days}", "one", 0.03 if number % 2 else -0.01) for number in range(count)]


@pytest.mark.parametrize(("count", "days"), [(29, 25), (60, 19), (0, 1)])
def test_too_few_trades_or_sessions_have_counts_and_no_mean(count: int, days: int) -> None:
    found = summed("one", items(count, days))
    assert (found.told, found.taken, found.up) == (count, count, count // 2)
    assert found.mean is None and found.interval is None


def test_enough_have_a_mean_with_an_interval_around_it() -> None:
    found = summed("one", [*items(100, 25)[:99], Item("day 3", "one", None)])
    assert (found.told, found.taken, found.up) == (100, 99, 49)
    assert found.total == pytest.approx(0.97) and found.mean == pytest.approx(0.97 / 99)
    assert found.interval is not None and found.interval.low < 0.97 / 99 < found.interval.high


def test_days_are_drawn_and_not_trades() -> None:
    # Within a day all is the same: ten trades a day say no more than one.
    one = ratio_by_day([(value, 1) for value in (-0.1, 0.2, 0.1, -0.2, 0.3)])
    ten = ratio_by_day([(10 * value, 10) for value in (-0.1, 0.2, 0.1, -0.2, 0.3)])
    assert one is not None and ten is not None
    assert one == pytest.approx(ten)
    assert ratio_by_day([(0.1, 1), (0.0, 0)]) is None


def test_every_trade_is_in_one_group_of_each_kind() -> None:
    sessions = backtest(30).sessions
    count = sum(len(session.trades) for session in sessions)
    assert count > 20
    for name, names in (
        (groups.hour_of, groups.hours()),
        (groups.reason_of, groups.reasons(sessions)),
        (groups.spread_of, groups.spreads()),
    ):
        assert sum(group.told for group in grouped(items_of(sessions, 5, name), names)) == count
    some = sessions[0].trades or sessions[1].trades
    assert (
        groups.delta_of(some[0])
        == f"{int(some[0].delta * 10) / 10:.1f} to {int(some[0].delta * 10) / 10 + 0.1:.1f}"
    )


def test_the_band_is_that_of_a_running_sum() -> None:
    results = np.random.default_rng(1).normal(0.0, 1.0, 100)
    low, high = band(results)
    assert (low < high).all()
    width = high - low
    # A sum's spread grows with the root of its length.
    assert width[-1] / width[24] == pytest.approx(2.0, rel=0.15)
    assert low[-1] < results.sum() < high[-1]


def test_published_intervals_follow_from_ratio_and_length() -> None:
    found = published.sharpe_interval(1.0, 252 * 4)  # four years: a standard error of a half, and a little
    half = 1.959964 * math.sqrt((1 + 1 / 504) / 4)
    assert found == pytest.approx((1 - half, 1 + half))
    low, high = published.mean_interval(-0.0154, -0.53, 953)
    assert low + high == pytest.approx(2 * -0.0154) and low < -0.0154 < 0 < high


def test_published_results_have_source_n_costs_and_faults() -> None:
    for row in published.TABLE:
        assert row.address.startswith("https://") and row.sessions > 900
        assert row.costs and row.faults and (row.sharpe is not None or row.mean is not None)
    assert [row.sharpe for row in published.TABLE] == [2.1, 0.61, 1.24, 1.33, 0.45, None, -0.53]
