"""Results by group: hours, weekdays, reasons, deltas, spreads. A mean comes with its number and interval, or not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import NamedTuple

import utils
from events import ExitReason
from research.backtest.session import SessionResult, TradeResult
from research.statistics.intervals import Interval, ratio_by_day
from research.statistics.verdict import LEAST_SESSIONS, LEAST_TRADES


class Item(NamedTuple):
    """A trade (or, where only days are known, a day with a result) in its group. ``result`` is None if it was not taken."""

    day: str
    group: str
    result: float | None


class Group(NamedTuple):
    """What a group comes to. Results are fractions of the stake."""

    name: str
    told: int
    taken: int
    up: int
    """Of those taken, how many did not lose."""
    total: float
    mean: float | None
    """None below the least numbers of trades and sessions: there are counts and no rates then."""
    interval: Interval | None


def summed(name: str, items: Iterable[Item]) -> Group:
    """Returns what items come to together."""
    every = list(items)
    by_day: dict[str, list[float]] = {}
    for item in every:
        if item.result is not None:
            by_day.setdefault(item.day, []).append(item.result)
    results = [result for day in by_day.values() for result in day]
    total, count = sum(results), len(results)
    mean, interval = None, None
    if count >= LEAST_TRADES and len(by_day) >= LEAST_SESSIONS:
        mean = total / count
        interval = ratio_by_day([(sum(day), len(day)) for day in by_day.values()])
    return Group(name, len(every), count, sum(result >= 0 for result in results), total, mean, interval)


def grouped(items: Sequence[Item], names: Iterable[str]) -> list[Group]:
    """Returns the groups of these names, in their order; without a trade too."""
    return [summed(name, (item for item in items if item.group == name)) for name in names]


# --- Of a backtest's trades --------------------------------------------------------------------------

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
STILL_OPEN = "still open"

SPREADS = (2.0, 5.0, 10.0)
"""Percent of the mid at which one group of spreads ends and the next begins."""


def items_of(
    sessions: Sequence[SessionResult], delay_s: int, name: Callable[[TradeResult], str]
) -> list[Item]:
    """Returns every trade at a delay, in the group that ``name`` says."""
    return [
        Item(session.date, name(trade), trade.orders[delay_s].result)
        for session in sessions
        for trade in session.trades
    ]


def hour_of(trade: TradeResult) -> str:
    """Returns the hour of the BUY in New York."""
    return _hour_name(utils.new_york(trade.opened_at).hour)


def hours() -> list[str]:
    """Returns the hours of a session."""
    return [_hour_name(hour) for hour in range(utils.OPEN.hour, utils.CLOSE.hour)]


def _hour_name(hour: int) -> str:
    start = f"{utils.OPEN:%H:%M}" if hour == utils.OPEN.hour else f"{hour:02d}:00"
    return f"{start}–{hour + 1:02d}:00"


def weekday_of(day: date) -> str:
    """Returns the day of the week."""
    return WEEKDAYS[day.weekday()]


def reason_of(trade: TradeResult) -> str:
    """Returns the reason of the SELL."""
    return trade.reason or STILL_OPEN


def reasons(sessions: Sequence[SessionResult]) -> list[str]:
    """Returns the reasons that occur, in the order of the rules."""
    found = {reason_of(trade) for session in sessions for trade in session.trades}
    known = [str(reason) for reason in ExitReason if reason in found]
    return [*known, *sorted(found - set(known))]


def delta_of(trade: TradeResult) -> str:
    """Returns the tenth in which the call's delta was at the BUY."""
    tenth = min(9, int(trade.delta * 10))
    return f"{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}"


def spread_of(trade: TradeResult) -> str:
    """Returns the group of the spread at the BUY."""
    return next((name for limit, name in _spreads() if trade.spread_percent < limit))


def _spreads() -> list[tuple[float, str]]:
    edges = [0.0, *SPREADS]
    named = [(high, f"{low:g} to {high:g}%") for low, high in zip(edges, SPREADS, strict=False)]
    return [*named, (float("inf"), f"{SPREADS[-1]:g}% and more")]


def spreads() -> list[str]:
    """Returns the names of the groups of spreads."""
    return [name for _, name in _spreads()]
