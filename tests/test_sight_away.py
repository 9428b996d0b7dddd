"""Sight after a span in which nothing could be seen: a halt of the exchange, a stopped process, a machine that slept."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import SECOND, DeclineReason, FeedAlarmed, FeedCause, MarkBack, MarkLost, Opened, Tick
from tests.builders import Story, bar, quote
from tests.sights import RULES, Plan, play, pushes, started, told, without
from tests.surge import calm, opened, quick


def dark(since: int, until: int) -> Plan:
    """No symbol trades in these seconds."""
    return lambda second, _: None if since <= second < until else 2.0


def late_ones(story: Story, since: int, until: int, read_at: float) -> Story:
    """The bars of the seconds [since, until), all read at once."""
    for second in range(since, until):
        story.tell(read_at, bar(second, 660.0, symbol="SPY"))
        story.tell(read_at, bar(second))
    return story


# --- A halt ---


@pytest.mark.parametrize("first", ["IWM", "SPY"])
def test_a_halt_is_one_blindness_and_one_recovery_whichever_symbol_trades_first(first: str) -> None:
    """For two seconds after a halt of 15 minutes one symbol has traded and the other has not."""

    def plan(second: int, symbol: str) -> float | None:
        return None if 100 <= second < (1000 if symbol == first else 1002) else 2.0

    story = play(started(), 0, 1100, plan)
    assert [(kind, symbol) for _, kind, _, symbol in told(story)] == [
        ("FeedAlarmed", ""),
        ("FeedRecovered", ""),
    ]
    assert story.engine.feed.spells == 1


@pytest.mark.parametrize(("symbol", "kinds"), [("IWM", 2), ("SPY", 2)])
def test_a_symbol_that_does_not_come_back_from_a_halt_is_told(symbol: str, kinds: int) -> None:
    story = play(
        started(),
        0,
        1200,
        lambda second, name: None if second >= 100 and (second < 1000 or name == symbol) else 2.0,
    )
    cause, of = told(story)[-1][2:]
    assert (cause, of) == (FeedCause.UNSEEN, symbol)
    assert sum(name == "FeedAlarmed" for _, name, *_ in told(story)) == kinds


@pytest.mark.parametrize(
    ("length", "is_counted"), [(RULES.silence_alarm_seconds - 1, True), (RULES.silence_alarm_seconds, False)]
)
def test_a_silence_of_all_starts_the_time_of_one_anew_only_when_it_is_long(
    length: int, is_counted: bool
) -> None:
    """IWM's last bar comes at 23, as SPY's does, which is silent for a while."""

    def plan(second: int, symbol: str) -> float | None:
        return None if second >= 21 and (symbol == "IWM" or second < 20 + length) else 2.0

    story = play(started(), 0, 84, plan)
    assert story.engine.feed.is_blind is is_counted
    play(story, 84, 22 + length + 63, plan)
    assert (story.engine.feed.cause, story.engine.feed.symbol) == (FeedCause.UNSEEN, "IWM")


# --- A stopped process ---


@pytest.mark.parametrize("away", [5, 36, 90, 600])
def test_a_process_that_was_stopped_tells_nothing_false_and_gives_no_entry_until_it_is_up_to_date(
    away: int,
) -> None:
    story = play(started(), 0, 100, without("", 0))
    back = 100 + away
    story.tell(back, Tick(away=away * SECOND))
    assert story.engine.feed.is_blind, "nothing is acted on before a bar in time"
    late_ones(story, 98, back - 20, back)
    assert story.engine.feed.is_blind
    late_ones(story, max(98, back - 20), back - 3, back)
    assert not story.engine.feed.is_blind
    play(story, back, back + 200, without("", 0))
    assert pushes(story) == []


@pytest.mark.parametrize(
    ("seconds", "is_told"), [(RULES.silence_alarm_seconds - 1, False), (RULES.silence_alarm_seconds, True)]
)
def test_a_feed_that_stays_silent_after_a_stop_is_told_in_its_time(seconds: int, is_told: bool) -> None:
    story = play(started(), 0, 100, without("", 0))
    story.tell(190, Tick(away=90 * SECOND))
    story.tick(191, 190 + seconds + 1)
    assert bool(pushes(story)) is is_told
    if is_told:
        (_, alarm), = pushes(story)  # fmt: skip
        assert isinstance(alarm, FeedAlarmed)
        assert alarm.cause is FeedCause.SILENCE


@pytest.mark.parametrize("symbol", ["IWM", "SPY"])
def test_a_symbol_that_stays_away_after_a_stop_is_told_after_its_time(symbol: str) -> None:
    story = play(started(), 0, 100, without("", 0))
    story.tell(190, Tick(away=90 * SECOND))
    play(story, 190, 300, without(symbol, 0))  # the other's first bar comes at 193
    assert [(second, cause) for second, _, cause, name in told(story) if name == symbol] == [
        (253, FeedCause.UNSEEN)
    ]


def test_a_delayed_plan_stays_blind_over_a_stop() -> None:
    story = play(started(), 0, 100, lambda *_: 40.0)
    assert story.engine.feed.cause is FeedCause.LAG
    story.tell(190, Tick(away=90 * SECOND))
    play(story, 190, 300, lambda *_: 40.0)
    assert story.engine.feed.is_blind
    assert story.evaluation.gate is DeclineReason.BLIND


# --- The held contract ---


def test_a_mark_is_not_lost_by_a_stop_but_by_what_follows_it() -> None:
    story, _, second = opened()
    story.tell(second + 1, quote(second + 1, 1.39, 1.41))
    story.tell(second + 91, Tick(away=90 * SECOND))
    story.tick(second + 92, second + 111)
    assert not [d for _, d in story.decisions if isinstance(d, MarkLost)]
    story.tick(second + 111, second + 113)
    assert [s for s, d in story.decisions if isinstance(d, MarkLost)] == [second + 111]


def test_a_quote_after_a_stop_is_neither_a_loss_nor_a_return() -> None:
    story, _, second = opened()
    story.tell(second + 1, quote(second + 1, 1.39, 1.41))
    story.tell(second + 91, Tick(away=90 * SECOND))
    story.tell(second + 91, quote(second + 91, 1.39, 1.41))
    story.tick(second + 92, second + 100)
    assert not [d for _, d in story.decisions if isinstance(d, MarkLost | MarkBack)]


def test_the_width_of_a_quote_is_not_unbroken_by_a_stop() -> None:
    story, decision, second = opened()
    story.tell(second + 1, quote(second + 1, 0.60, 2.00))
    story.tell(second + 11, Tick(away=10 * SECOND))
    assert story.engine.position is not None
    assert story.engine.position.marks.usable.mid == decision.mid, "nobody has seen it stand"
    story.tick(second + 12, second + 17)
    assert story.engine.position is None or story.engine.position.marks.usable.mid == 13_000


def test_an_exit_that_is_due_comes_with_the_first_quote_after_a_stop() -> None:
    story, _, second = opened()
    story.tell(second + 91, Tick(away=90 * SECOND))
    story.tell(second + 91, quote(second + 91, 0.50, 0.52))
    story.tick(second + 92, second + 95)
    assert story.engine.position is None


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_stops_of_any_length_tell_nothing_of_a_feed_that_never_failed(seed: int) -> None:
    """Whenever and for how long the process is stopped, and in whatever order it reads what lay waiting."""
    dice = random.Random(seed)
    story = calm(Story(quick()))
    now = 110
    for _ in range(5):
        play(story, now, now + dice.randint(3, 40), without("", 0))
        begin = now = round(story.log[-1][0] / SECOND - story.engine.session.open / SECOND) + 1
        now += dice.choice([5, 6, 20, 36, 61, 90, 400])
        story.tell(now, Tick(away=(now - begin) * SECOND))
        waiting = [(s, symbol) for s in range(begin - 3, now - 3) for symbol in ("IWM", "SPY")]
        waiting.sort(
            key=lambda one: (one[0] // dice.choice([1, 5]), dice.random() if dice.random() < 0.5 else 0)
        )
        for second, symbol in waiting:
            story.tell(now, bar(second, 660.0 if symbol == "SPY" else 215.0, symbol=symbol))
    assert pushes(story) == []
    assert not [d for _, d in story.decisions if isinstance(d, Opened)]
