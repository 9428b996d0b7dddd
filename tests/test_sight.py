"""Sight: progress of the feed and of each symbol, blindness, coverage, and which pushes it calls for."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Covered,
    Decision,
    DeclineReason,
    Event,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Outcome,
)
from gaps import Gaps, reach_seconds
from lags import Lags
from rules import Rules
from sight import Sight
from telling import TELLING, Telling, TellingStep
from tests.builders import SESSION, Story, at, bar, chain, row
from tests.sights import RULES, play, pushes, started, told, without

# --- Silence of one symbol ---------------------------------------------------------------------------


@pytest.mark.parametrize(("back", "gaps"), [(39, []), (40, [(at(21), at(40))])])
@pytest.mark.parametrize("symbol", ["IWM", "SPY"])
def test_what_a_symbol_may_have_lost_in_its_silence_is_uncovered_until_rest_has_answered(
    symbol: str, back: int, gaps: list[tuple[int, int]]
) -> None:
    """From the silence on at which the feed asks REST: 20 s, here between the bars that come at 23 and at ``back`` + 3."""
    story = play(started(), 0, back + 4, without(symbol, 21, back))
    sight = story.engine.feed
    assert not sight.is_blind
    assert sight.gaps.exist is bool(gaps)
    assert sight.gaps.lie_before(at(back)) is bool(gaps)
    if symbol == "IWM":
        assert sight.gaps.own == gaps
    story.tell(back + 9, Covered(symbol=symbol, start=at(0), end=at(back)))
    assert not sight.gaps.exist


@pytest.mark.parametrize(("end", "is_blind"), [(82, False), (83, True)])
def test_the_traded_symbol_is_unseen_after_sixty_seconds_while_the_other_goes_on(
    end: int, is_blind: bool
) -> None:
    story = play(started(), 0, end + 1, without("IWM", 21))  # the last bar of IWM, of second 20, comes at 23
    assert story.engine.feed.is_blind is is_blind
    if is_blind:
        assert (story.engine.feed.cause, story.engine.feed.symbol) == (FeedCause.UNSEEN, "IWM")
        (at_, alarm), = pushes(story)  # fmt: skip
        assert isinstance(alarm, FeedAlarmed)
        assert (at_, alarm.cause, alarm.symbol, alarm.since) == (83, FeedCause.UNSEEN, "IWM", at(21))


def test_only_its_own_bar_ends_the_blindness_of_a_symbol_and_its_gap_must_be_filled() -> None:
    story = play(started(Rules(warmup_seconds=0)), 0, 201, without("IWM", 21, 196))
    assert told(story) == [
        (83, "FeedAlarmed", FeedCause.UNSEEN, "IWM"),
        (199, "FeedRecovered", FeedCause.UNSEEN, "IWM"),
    ]
    _, end = pushes(story)[1]
    assert isinstance(end, FeedRecovered)
    assert (end.gap_start, end.gap_end) == (at(21), at(196))
    assert story.evaluation.gate is DeclineReason.NOT_COVERED, "not sent, or not traded: REST must say"
    story.tell(205, Covered(symbol="IWM", start=at(0), end=at(200)))
    story.tell(205, bar(202))
    assert story.evaluation.gate is None


def test_a_confirmed_stall_of_the_traded_symbol_lasts_until_it_comes() -> None:
    story = play(started(), 0, 44, without("IWM", 21))
    story.tell(44, FeedLost(cause=FeedCause.STALL, symbol="IWM"))
    assert told(story) == [(44, "FeedAlarmed", FeedCause.STALL, "IWM")]
    story.tell(45, FeedRestored())
    play(story, 46, 60, without("IWM", 21))
    assert story.engine.feed.is_blind, "SPY says nothing of IWM"
    story.tell(60, bar(57))
    assert not story.engine.feed.is_blind
    assert told(story)[1:] == [(60, "FeedRecovered", FeedCause.STALL, "IWM")]


def test_a_silent_benchmark_is_no_blindness_and_is_told_once() -> None:
    story = play(started(), 0, 400, without("SPY", 21, 300))
    assert story.engine.feed.spells == 0
    assert told(story) == [
        (83, "FeedAlarmed", FeedCause.UNSEEN, "SPY"),
        (303, "FeedRecovered", FeedCause.UNSEEN, "SPY"),
    ]


@pytest.mark.parametrize("silence", [60, 61])
def test_a_benchmark_that_comes_back_in_time_is_not_told(silence: int) -> None:
    story = play(started(), 0, 200, without("SPY", 21, 20 + silence))
    assert bool(told(story)) is (silence == 61)


def test_a_stalled_benchmark_is_told_by_name_and_its_reopening_is_no_alarm_of_its_own() -> None:
    story = play(started(), 0, 44, without("SPY", 21))
    story.tell(44, FeedLost(cause=FeedCause.STALL, symbol="SPY"))
    assert story.engine.feed.is_blind
    story.tell(46, FeedRestored())
    play(story, 47, 80, without("SPY", 21, 70))
    assert told(story) == [
        (44, "FeedAlarmed", FeedCause.STALL, "SPY"),
        (73, "FeedRecovered", FeedCause.STALL, "SPY"),
    ]


def test_without_a_spy_bar_the_evaluation_says_so_and_with_one_that_its_base_is_missing() -> None:
    story = play(started(), 0, 100, without("SPY", 21))
    assert story.evaluation.benchmark_roc5 is None and not story.evaluation.has_benchmark
    play(story, 100, 110, without("", 0))
    assert story.evaluation.benchmark_roc5 is None and story.evaluation.has_benchmark


def test_silence_of_a_symbol_means_nothing_in_a_file() -> None:
    story = Story(RULES)
    story.tell(-300, FeedRestored(gaps_tell=False))
    play(story, 0, 300, without("IWM", 21, 290))
    play(story, 300, 500, without("SPY", 300))
    assert (story.engine.feed.spells, told(story)) == (0, [])
    assert not story.engine.feed.gaps.exist


# --- What is no sign of life -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        bar(96),
        bar(96, symbol="SPY"),
        bar(50, 214.0),
        bar(97, backfilled=True),
        Covered(symbol="IWM", start=at(0), end=at(90)),
    ],
    ids=["repeat", "repeat of SPY", "correction", "backfill", "coverage"],
)
def test_what_is_not_newer_is_no_sign_of_life(event: Event) -> None:
    story = play(started(), 0, 100, without("", 0))  # the last progress comes at 99
    for second in range(100, 104):
        story.tell(second, event)
    assert not story.engine.feed.is_blind
    story.tell(104, event)
    assert story.engine.feed.cause is FeedCause.SILENCE


def test_the_live_print_of_a_second_that_rest_has_filled_is_a_sign_of_life() -> None:
    story = play(started(), 0, 100, without("", 0))
    for second in range(97, 110):
        story.tell(102, bar(second, backfilled=True))
    evaluated = story.evaluation
    for second in range(97, 105):
        story.tell(second + 6, bar(second))
        assert not story.engine.feed.is_blind
    assert story.evaluation is evaluated, "and still nothing to evaluate"


# --- Lag ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lag", "is_blind"), [(15.0, False), (15.5, True), (40.0, True)])
def test_a_late_traded_symbol_does_not_hide_beside_a_punctual_one(lag: float, is_blind: bool) -> None:
    story = play(started(), 0, 100, lambda _, symbol: lag if symbol == "IWM" else 2.0)
    assert (story.engine.feed.cause is FeedCause.LAG) is is_blind
    if is_blind:
        ((_, *alarm),) = told(story)
        assert alarm == ["FeedAlarmed", FeedCause.LAG, "IWM"]
        story.tell(100, bar(98, symbol="SPY"))
        assert story.engine.feed.is_blind, "a punctual SPY says nothing of IWM"
        story.tell(101, bar(98))
        assert not story.engine.feed.is_blind


def test_a_late_benchmark_is_lag_of_all_and_no_punctual_bar_of_the_other_ends_it() -> None:
    story = play(started(), 0, 200, lambda _, symbol: 40.0 if symbol == "SPY" else (2.0 if _ % 3 else None))
    assert [(cause, symbol) for _, _, cause, symbol in told(story)] == [(FeedCause.LAG, "")]
    assert story.engine.feed.spells == 1


def test_a_bar_that_ends_a_little_ahead_of_now_has_no_lag() -> None:
    story = play(started(), 0, 50, lambda *_: -1.5)
    assert story.engine.feed.progress.lag == 0
    assert not story.engine.feed.is_blind


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 40), max_size=120), st.integers(1, 31))
def test_the_median_is_looked_at_only_when_it_can_be_late(values: list[int], count: int) -> None:
    lags = Lags(Rules(lag_bars=count))
    for index, value in enumerate(values, start=1):
        lags.add(value * SECOND)
        last = values[max(0, index - count) : index]
        is_late = statistics.median(last) > 15
        assert lags.leans_late is is_late
        assert lags.may_be_late or not is_late
        assert lags.is_late is (is_late and len(last) == count)


# --- Coverage ----------------------------------------------------------------------------------------


def test_the_reach_of_the_windows() -> None:
    assert reach_seconds(RULES) == {"IWM": 1200, "SPY": 330}
    assert reach_seconds(Rules(roc_seconds=1500, benchmark="")) == {"IWM": 1530}
    assert reach_seconds(Rules(vwap_long_seconds=2000))["IWM"] == 2030


@pytest.mark.parametrize(("second", "covered"), [(1259, False), (1260, True)])
def test_a_gap_anywhere_in_the_base_of_the_volumes_keeps_the_gate(second: int, covered: bool) -> None:
    sight = Sight(RULES, SESSION)
    sight.record(at(60), FeedRestored())
    sight.record(at(70), Covered(symbol="SPY", start=at(0), end=at(60)))
    assert sight.gaps.lie_before(at(second)) is not covered


def test_fifteen_lost_minutes_are_not_fifteen_quiet_ones() -> None:
    story = play(started(), 0, 1203, without("", 0))
    story.tell(1203, FeedLost(cause=FeedCause.DROPPED))
    story.tell(2100, FeedRestored())
    play(story, 2100, 2200, without("", 0))
    assert story.evaluation.relative_volume == pytest.approx(1.0, abs=0.02)
    assert story.evaluation.gate is DeclineReason.NOT_COVERED
    # REST says that nobody traded: quiet seconds count.
    story.tell(2200, Covered(symbol="IWM", start=at(1200), end=at(2100)))
    story.tell(2200, Covered(symbol="SPY", start=at(1200), end=at(2100)))
    play(story, 2200, 2210, without("", 0))
    assert story.evaluation.gate is None
    assert story.evaluation.relative_volume is not None and story.evaluation.relative_volume > 3


def test_a_late_start_lacks_the_whole_session_so_far() -> None:
    sight = Sight(RULES, SESSION)
    sight.record(at(4000), FeedRestored())
    assert sight.gaps.own == [(at(0), at(4000))]
    assert sight.unknown_from == at(0)


# --- What is told ------------------------------------------------------------------------------------


def test_every_pair_of_state_and_step_has_its_next_state() -> None:
    assert set(TELLING) == {(state, step) for state in Telling for step in TellingStep}
    # A recovery is due after no other state than a told alarm.
    assert {state for (state, step), after in TELLING.items() if after is Telling.OVER} == {
        Telling.ALARMED,
        Telling.OVER,
    }


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.REFUSED, Outcome.LOST, Outcome.UNSENT])
@pytest.mark.parametrize("symbol", ["IWM", "SPY"])
def test_a_recovery_is_told_only_of_an_alarm_that_may_have_arrived(outcome: Outcome, symbol: str) -> None:
    story = play(started(), 0, 90, without(symbol, 21))
    assert [kind for _, kind, *_ in told(story)] == ["FeedAlarmed"]
    for number, identity in enumerate(("another", f"{symbol} not seen")):
        kind = AlertKind.FEED_BLIND if number else AlertKind.ARMED
        story.tell(90, AlertOutcome(kind=kind, id=identity, outcome=outcome, attempts=3))
    play(story, 91, 400, without(symbol, 21, 300))
    arrived = outcome in (Outcome.ACCEPTED, Outcome.LOST)
    assert [kind for _, kind, *_ in told(story)] == ["FeedAlarmed"] + ["FeedRecovered"] * arrived
    assert not story.engine.feed.is_blind and story.engine.feed.absence is None


def test_an_alarm_that_failed_is_told_again_after_the_spacing() -> None:
    story = play(started(), 0, 90, without("IWM", 21))
    for second in (90, 500):
        story.tell(
            second,
            AlertOutcome(kind=AlertKind.FEED_BLIND, id="IWM not seen", outcome=Outcome.UNSENT, attempts=3),
        )
        play(story, second + 1, second + 410, without("IWM", 21))
    assert [(at_, kind) for at_, kind, *_ in told(story)] == [
        (83, "FeedAlarmed"), (383, "FeedAlarmed"), (683, "FeedAlarmed"),
    ]  # fmt: skip


def kinds(decisions: list[Decision]) -> list[Any]:
    return [getattr(decision, "reason", type(decision).__name__) for decision in decisions]


def test_the_chain_is_not_asked_for_by_a_blind_feed() -> None:
    story = play(started(Rules(warmup_seconds=0)), 0, 100, without("IWM", 21))
    assert kinds(story.tell(100, chain(99, row()))) == []
    assert story.engine.feed.is_blind


def test_what_another_symbol_is_covered_for_fills_no_gap() -> None:
    gaps = Gaps(RULES, SESSION)
    gaps.open("IWM", at(10), at(20))
    gaps.cover(Covered(symbol="QQQ", start=at(0), end=at(60)))
    assert gaps.own == [(at(10), at(20))]


def test_before_the_first_bar_no_second_is_the_newest() -> None:
    assert Sight(RULES, SESSION).progress.newest("IWM") is None
