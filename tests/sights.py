"""What tests of sight begin with: a connected session, bars by a plan, and the pushes that are decided."""

from __future__ import annotations

from collections.abc import Callable

from events import (
    Event,
    FeedAlarmed,
    FeedCause,
    FeedRecovered,
    Tick,
)
from rules import Rules
from tests.builders import Story, bar

RULES = Rules()


def pushes(story: Story) -> list[tuple[float, FeedAlarmed | FeedRecovered]]:
    return [(s, d) for s, d in story.decisions if isinstance(d, FeedAlarmed | FeedRecovered)]


def told(story: Story) -> list[tuple[float, str, FeedCause, str]]:
    """When which push was decided, for what cause, of which symbol."""
    return [(s, type(d).__name__, d.cause, d.symbol) for s, d in pushes(story)]


Plan = Callable[[int, str], float | None]
"""The lag (s) with which the bar of a second and symbol comes; None: it does not come."""


def play(story: Story, start: int, end: int, plan: Plan) -> Story:
    """Bars and ticks of the seconds [start, end), in the order in which they come."""
    facts: list[tuple[float, int, Event]] = []
    for second in range(start, end):
        facts.append((second, 1, Tick()))
        for symbol, price in (("SPY", 660.0), ("IWM", 215.0)):
            lag = plan(second, symbol)
            if lag is not None:
                facts.append((second + 1 + lag, 0, bar(second, price, symbol=symbol)))
    for now, _, event in sorted(facts, key=lambda fact: fact[:2]):
        if now < end:
            story.tell(now, event)
    return story


def without(symbol: str, since: int, until: int = 10**9) -> Plan:
    return lambda second, name: None if name == symbol and since <= second < until else 2.0


def started(rules: Rules | None = None) -> Story:
    return Story(rules or RULES).connect()
