"""What several days come to: results at each delay with their number, and how sure their mean is. Pure but for its dice.

The unit of evidence is the day: trades of one day are not independent, so days are drawn, not trades.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from book.rows import DayRow, TradeRow
from followed import Fate, trade_dollars

DRAWS = 10_000
"""Resamples of the bootstrap: their 2.5 % and 97.5 % points move by about 1 % of the interval from seed to seed."""

SEED = 5
"""The same days give the same interval."""

LEAST_DAYS = 5
"""Days with a trade below which an interval would only pretend."""


NOT_KEPT = "not in the book at this delay"
"""A row has the delays that were asked for when it was entered. `FOLLOW_DELAY_SECONDS` may have been another one then."""


class Sum(NamedTuple):
    """Followed trades at one delay. ``trades`` of them were taken; ``fates`` has every other one, by what became of it.

    `NOT_KEPT` counts those that the book does not have at this delay.
    """

    delay_s: int
    trades: int
    up: int
    down: int
    dollars: float
    fates: dict[str, int]
    mean: float | None
    """Dollars a trade; None without one."""
    interval: tuple[float, float] | None
    """95 % of the means of resampled days lie in it; None for too few days."""
    days: int
    """Days with a trade that was taken."""


def dollars_of(trade: TradeRow, delay_s: int, fee: float) -> float | None:
    """Returns what one contract of a trade brought, fees included; None unless it was taken at that delay."""
    order = trade.followed.get(delay_s)
    if order is None or order.fate != Fate.TAKEN or order.paid is None or order.got is None:
        return None
    return trade_dollars(order.paid, order.got, fee)


def day_dollars(day: DayRow, delay_s: int, fee: float) -> list[float]:
    """Returns the result of each trade of a day that was taken at a delay."""
    found = (dollars_of(trade, delay_s, fee) for trade in day.trades)
    return [value for value in found if value is not None]


def summed(days: Sequence[DayRow], delay_s: int, fee: float, *, with_interval: bool = True) -> Sum:
    """Returns the sum of several days at one delay. The interval costs a moment, and may be left out."""
    by_day = [day_dollars(day, delay_s, fee) for day in days]
    every = [value for values in by_day for value in values]
    fates: dict[str, int] = {}
    for trade in (trade for day in days for trade in day.trades):
        order = trade.followed.get(delay_s)
        fate = NOT_KEPT if order is None else order.fate
        if fate != Fate.TAKEN:
            fates[fate] = fates.get(fate, 0) + 1
    return Sum(
        delay_s=delay_s,
        trades=len(every),
        up=sum(value >= 0 for value in every),
        down=sum(value < 0 for value in every),
        dollars=sum(every),
        fates=fates,
        mean=sum(every) / len(every) if every else None,
        interval=mean_interval([(sum(values), len(values)) for values in by_day]) if with_interval else None,
        days=sum(1 for values in by_day if values),
    )


def mean_interval(days: Sequence[tuple[float, int]]) -> tuple[float, float] | None:
    """Returns the 95 % percentile interval of the mean a trade, by a bootstrap over days (Efron, 1979).

    ``days`` has the sum and the number of trades of each day, those without a trade too. None for too few of them.
    """
    if sum(1 for _, count in days if count) < LEAST_DAYS:
        return None
    dice = random.Random(SEED)
    means: list[float] = []
    for _ in range(DRAWS):
        drawn = dice.choices(days, k=len(days))
        count = sum(number for _, number in drawn)
        if count:
            means.append(sum(value for value, _ in drawn) / count)
    means.sort()
    tail = round(len(means) * 0.025)
    return means[tail], means[-1 - tail]
