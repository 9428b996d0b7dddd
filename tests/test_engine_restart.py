"""Stories through `Engine.handle`: what a restart restores, and that the same facts decide the same."""

from __future__ import annotations

import random

import pytest

from engine import Engine
from events import (
    Closed,
    Covered,
    DeclineReason,
    ExitReason,
    FeedCause,
    FeedLost,
    FeedRestored,
    Opened,
    Outcome,
    Shutdown,
    Tick,
)
from tests.builders import CALL, SESSION, Story, at, bar, chain, dollars, quote, row
from tests.surge import QUIET_END, calm, opened, outcome, quick, surge


def eventful() -> Story:
    """A session with corrections, a drop, two positions, a lost mark and a withdrawn BUY."""
    story, first, second = opened(quick(entry_cooldown_seconds=20))
    source = random.Random(3)
    s = second
    story.tell(s + 1, outcome(first, Outcome.ACCEPTED))
    for offset in range(1, 40):
        story.tell(s + 1 + offset, quote(s + 1 + offset, 1.39 + source.randrange(9) / 100, 1.50))
        story.tell(
            s + 1 + offset,
            bar(s - 2 + offset, 215.2 + source.randrange(9) / 100, 400 + source.randrange(300)),
        )
        if offset % 5 == 0:
            story.tell(s + 1 + offset, bar(s - 6 + offset, 215.2, 999.5))
    story.tell(s + 41, FeedLost(cause=FeedCause.DROPPED))
    story.tick(s + 42, s + 70)
    story.tell(s + 70, FeedRestored())
    for symbol in ("IWM", "SPY"):
        story.tell(s + 71, Covered(symbol=symbol, start=at(0), end=at(s + 70)))
    story.tell(s + 73, quote(s + 73, 0.50, 0.52))
    story.tick(s + 74, s + 80)
    price = story.bars(s + 78, s + 160)
    surge(story, start=s + 160, price=price)
    again = [d for _, d in story.decisions if isinstance(d, Opened)][-1]
    story.tell(s + 172, outcome(again, Outcome.UNSENT))
    story.bars(s + 170, s + 180)
    return story


def test_the_story_is_eventful() -> None:
    kinds = [
        "Opened",
        "FeedAlarmed",
        "MarkLost",
        "MarkBack",
        "Closed",
        "FeedRecovered",
        "Opened",
        "Withdrawn",
    ]
    assert eventful().kinds() == kinds


def test_the_same_facts_give_the_same_decisions() -> None:
    story = eventful()
    engine = Engine(story.engine.rules, SESSION)
    for now, event, made in story.log:
        assert engine.handle(now, event) == made


@pytest.mark.parametrize("share", [0.1, 0.3, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 0.99])
def test_a_restored_engine_goes_on_as_if_it_had_never_stopped(share: float) -> None:
    story = eventful()
    cut = round(len(story.log) * share)
    engine = Engine(story.engine.rules, SESSION)
    for now, event, made in story.log[:cut]:
        engine.restore(now, event, made)
    for now, event, made in story.log[cut:]:
        assert engine.handle(now, event) == made
    assert engine.evaluation == story.engine.evaluation


@pytest.mark.parametrize("seconds", [5, 30, 50])
def test_seconds_below_vwap_of_before_a_restart_count_for_the_exit(seconds: int) -> None:
    story, _, second = opened()
    for offset in range(90):
        story.tell(second + 1 + offset, quote(second + 1 + offset, 1.39, 1.41))
        story.tell(second + 1 + offset, bar(second - 2 + offset, 660.0, symbol="SPY"))
        made = story.tell(second + 1 + offset, bar(second - 2 + offset, 215.0 - offset * 0.001, 500.0))
        if any(isinstance(decision, Closed) for decision in made):
            break
    (closed,) = made
    assert isinstance(closed, Closed) and closed.reason is ExitReason.VWAP_PERSISTENCE
    engine = Engine(story.engine.rules, SESSION)
    for now, event, decisions in story.log[: -3 * seconds]:
        engine.restore(now, event, decisions)
    for now, event, decisions in story.log[-3 * seconds :]:
        assert engine.handle(now, event) == decisions


def test_a_stop_in_the_record_is_over_at_the_next_start() -> None:
    story, decision, second = opened()
    story.tell(second + 5, Shutdown(close_position=False))
    engine = Engine(story.engine.rules, SESSION)
    for now, event, made in story.log:
        engine.restore(now, event, made)
    assert engine.handle(at(second + 6), Tick()) == []
    assert engine.position is not None
    engine.handle(at(second + 6), bar(second + 3))
    assert engine.evaluation is not None
    assert engine.evaluation.gate is DeclineReason.POSITION_OPEN
    assert engine.position.opened == decision


def test_restoring_decides_nothing_itself() -> None:
    """A recorded history without its opening stays without it: a code fix does not change the past."""
    story, _, _ = opened()
    engine = Engine(story.engine.rules, SESSION)
    for now, event, made in story.log:
        engine.restore(now, event, [d for d in made if not isinstance(d, Opened)])
    assert engine.position is None


def test_the_nearest_calls_and_their_asks() -> None:
    story = calm(Story(quick()))
    rows = [row(strike) for strike in (210.0, 214.0, 215.0, 216.0, 220.0)]
    story.tell(QUIET_END + 3, chain(QUIET_END + 3, *rows))
    assert story.engine.quotes.nearest(3) == tuple(row(strike).contract for strike in (215.0, 214.0, 216.0))
    assert story.engine.quotes.ask_of(CALL) == dollars(1.41)
    assert story.engine.quotes.ask_of("O:NONE") is None
