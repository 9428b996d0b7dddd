"""What several days come to: only what was taken counts, with its number, and an interval over days."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from book.rows import DayRow, Order, TradeRow
from followed import Fate
from review.sums import LEAST_DAYS, NOT_KEPT, dollars_of, mean_interval, summed
from tests.book.test_store import DAY, TRADE


def traded(*dollars: float | Fate, date: str = "2025-10-02") -> DayRow:
    """A day whose trades bring so many dollars of one contract before fees at 15 s, or came to another fate."""
    return replace(DAY, date=date, trades=tuple(one(number, made) for number, made in enumerate(dollars)))


def one(number: int, made: float | Fate) -> TradeRow:
    if isinstance(made, Fate):
        order = Order(made, 10_000, None)
    else:
        order = Order(Fate.TAKEN, 10_000, 10_000 + round(made * 100))
    return replace(TRADE, id=f"{number:06x}", followed={15: order})


def test_a_trade_brings_the_difference_of_a_hundred_shares_less_two_fees() -> None:
    (trade,) = traded(20.0).trades
    assert dollars_of(trade, 15, 0.65) == pytest.approx(18.7)
    assert dollars_of(trade, 60, 0.65) is None  # another delay was not kept


def test_only_what_was_taken_is_in_the_sum_and_the_rest_is_counted() -> None:
    days = [
        traded(20.0, -5.0, Fate.OVER_LIMIT),
        traded(date="2025-10-03"),
        traded(0.0, Fate.UNPRICED, Fate.OVER_LIMIT),
    ]
    total = summed(days, 15, 0.0)
    assert (total.trades, total.up, total.down, total.dollars, total.days) == (3, 2, 1, 15.0, 2)
    assert total.mean == 5.0
    assert total.fates == {Fate.OVER_LIMIT: 2, Fate.UNPRICED: 1}
    assert summed(days, 5, 0.0).fates == {NOT_KEPT: 6}


def test_without_a_trade_there_is_no_mean() -> None:
    total = summed([traded()], 15, 0.65)
    assert (total.trades, total.dollars, total.mean, total.interval) == (0, 0, None, None)


def test_too_few_days_have_no_interval() -> None:
    days = [(1.0, 1)] * (LEAST_DAYS - 1) + [(0.0, 0)] * 50
    assert mean_interval(days) is None
    assert mean_interval([*days, (1.0, 1)]) == (1.0, 1.0)


def test_the_interval_is_that_of_resampled_days_and_always_the_same() -> None:
    dice = random.Random(1)
    days = [(sum(dice.gauss(2.0, 10.0) for _ in range(4)), 4) for _ in range(100)]
    low, high = mean_interval(days) or (0.0, 0.0)
    mean = sum(value for value, _ in days) / 400
    spread = (sum((value / 4 - mean) ** 2 for value, _ in days) / 100) ** 0.5 / 100**0.5
    assert low == pytest.approx(mean - 1.96 * spread, abs=0.15 * spread)
    assert high == pytest.approx(mean + 1.96 * spread, abs=0.15 * spread)
    assert mean_interval(days) == (low, high)


def test_days_are_drawn_and_not_trades() -> None:
    """Nine trades of one day that win together are one piece of evidence, not nine."""
    together = [(9.0, 9), (-1.0, 1), (-1.0, 1), (-1.0, 1), (-1.0, 1), (-1.0, 1)]
    apart = [(1.0, 1)] * 9 + [(-1.0, 1)] * 5
    wide, narrow = mean_interval(together), mean_interval(apart)
    assert wide is not None and narrow is not None
    assert wide[1] - wide[0] > 1.3 * (narrow[1] - narrow[0])
