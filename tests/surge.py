"""A made surge: stories of the engine up to it, to the position that it opens, and to its SELL."""

from __future__ import annotations

from typing import Any

from events import (
    AlertKind,
    AlertOutcome,
    ChainRow,
    Closed,
    Decision,
    Declined,
    DeclineReason,
    ExitReason,
    FeedAlarmed,
    FeedRecovered,
    Opened,
    Outcome,
    Tick,
)
from rules import Rules
from tests.builders import Story, bar, chain, quote, row

# All windows short, so that a story fits on a screen; what they mean is tested with the defaults elsewhere.
QUICK: dict[str, Any] = {
    "vwap_long_seconds": 30,
    "vwap_long_shift_seconds": 5,
    "vwap_short_seconds": 10,
    "vwap_rising_seconds": 5,
    "volume_window_seconds": 60,
    "volume_min_bars": 20,
    "momentum_seconds": 10,
    "momentum_min_bars": 5,
    "relative_volume_seconds": 10,
    "relative_volume_min": 0,
    "roc_seconds": 20,
    "roc_tolerance_seconds": 5,
    "warmup_seconds": 0,
}

QUIET_END = 100


def quick(**changes: Any) -> Rules:
    return Rules(**{**QUICK, **changes})


def calm(story: Story, end: int = QUIET_END) -> Story:
    """A connected feed and a calm market up to ``end``."""
    story.connect().bars(0, end)
    return story


def surge(
    story: Story,
    start: int = QUIET_END,
    seconds: int = 8,
    price: float = 215.0,
    *,
    rows: tuple[ChainRow, ...] = (row(),),
    stops_at_entry: bool = False,
) -> list[Decision]:
    """The market rises on growing volume; chain and quote are fresh at every second."""
    made: list[Decision] = []
    for offset in range(seconds):
        second = start + offset
        price += 0.02
        story.tell(second + 3, bar(second, 660.0, symbol="SPY"))
        story.tell(second + 3, chain(second + 3, *rows))
        made += story.tell(second + 3, bar(second, round(price, 2), 1000.0 + 200 * offset))
        if stops_at_entry and any(isinstance(decision, Opened) for decision in made):
            break
    return made


def opened(rules: Rules | None = None) -> tuple[Story, Opened, int]:
    """A story with an open position: the story, the decision, and the second it was made at."""
    story = calm(Story(rules or quick()))
    surge(story, stops_at_entry=True)
    (second, decision) = next((s, d) for s, d in story.decisions if isinstance(d, Opened))
    return story, decision, round(second)


def sold(rules: Rules) -> tuple[Story, int]:
    """A story whose position was stopped out: the story, and the second of the close."""
    story, _, second = opened(rules)
    story.tell(second + 1, quote(second + 1, 0.50, 0.52))
    (closed,) = story.tell(second + 3, Tick())
    assert isinstance(closed, Closed)
    return story, second + 3


def reasons(made: list[Decision]) -> set[DeclineReason]:
    return {decision.reason for decision in made if isinstance(decision, Declined)}


def exits(made: list[Decision]) -> list[ExitReason]:
    return [decision.reason for decision in made if isinstance(decision, Closed)]


def alarms(story: Story) -> list[tuple[float, FeedAlarmed | FeedRecovered]]:
    return [(s, d) for s, d in story.decisions if isinstance(d, FeedAlarmed | FeedRecovered)]


def outcome(decision: Opened, result: Outcome) -> AlertOutcome:
    return AlertOutcome(kind=AlertKind.BUY, id=decision.id, outcome=result, attempts=1, detail="why")
