"""Sight: progress of the feed and of each symbol, blindness, coverage, and which pushes it calls for."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Bar,
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
    Tick,
)
from gaps import reach_seconds
from lags import Lags
from rules import Rules
from sight import Sight
from telling import TELLING, Telling, TellingStep
from tests.builders import SESSION, Story, at, bar, chain, row

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


# --- Against a slow and obvious judge ----------------------------------------------------------------


class Slow:
    """The same verdicts from lists alone, asked at every fact, with nothing skipped."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.lost: tuple[FeedCause, str] | None = (FeedCause.NOT_CONNECTED, "")
        self.restored = 0.0
        self.seen: dict[str, list[tuple[float, int]]] = {"IWM": [], "SPY": []}
        """Of each symbol, when which second progressed."""
        self.lags: dict[str, list[float]] = {"IWM": [], "SPY": [], "": []}
        self.known: set[tuple[str, int]] = set()
        self.is_stalled = False
        self.blind: tuple[FeedCause, str] | None = None
        self.woke = self.flows = -(10.0**9)

    def take(self, now: float, event: Event) -> None:
        if isinstance(event, FeedLost):
            self.lost = event.cause, "IWM" if event.symbol == "IWM" else ""
            self.is_stalled = self.is_stalled or event.symbol == "IWM"
        elif isinstance(event, FeedRestored):
            self.lost, self.restored = None, now
        elif isinstance(event, Bar):
            self.take_bar(now, event)
        elif isinstance(event, Tick) and event.away:
            self.woke = self.flows = now
        found = self.cause(now)
        if found is not None:
            self.blind = found

    def take_bar(self, now: float, event: Bar) -> None:
        symbol, second = event.symbol, (event.start - at(0)) // SECOND
        outside = [before for name, before in self.known if name == symbol and before < 0]
        # Outside the session nothing is stored, so only a newer second is known to be a first print.
        is_first = (
            second > max(outside, default=-(10**9)) if second < 0 else (symbol, second) not in self.known
        )
        self.known.add((symbol, second))
        if event.backfilled:
            return
        is_progress = all(second > before for _, before in self.seen[symbol])
        if not (is_first or is_progress):
            return
        lag = max(0.0, now - second - 1)
        self.lags[symbol].append(min(lag, now - self.woke))
        self.lags[""].append(min(lag, now - self.woke))
        if not is_progress:
            return
        if self.silence(now, "IWM", "SPY") >= self.rules.silence_alarm_seconds:
            self.flows = now
        self.seen[symbol].append((now, second))
        if symbol == "IWM":
            self.is_stalled = False
        if lag <= self.rules.max_lag_seconds and self.blind is not None and self.lost is None:
            if self.leans(symbol) or not (self.leans("IWM") or self.leans("SPY")):
                self.lags[symbol], self.lags[""] = [], []
            if self.cause(now) is None:
                self.blind = None

    def leans(self, name: str) -> bool:
        last = self.lags[name][-self.rules.lag_bars :]
        return bool(last) and statistics.median(last) > self.rules.max_lag_seconds

    def is_late(self, name: str) -> bool:
        return len(self.lags[name]) >= self.rules.lag_bars and self.leans(name)

    def silence(self, now: float, *symbols: str) -> float:
        return now - max(0.0, self.restored, *(when for symbol in symbols for when, _ in self.seen[symbol]))

    def cause(self, now: float) -> tuple[FeedCause, str] | None:
        if now < 0:
            self.blind = None
            return None
        if self.lost is not None:
            return self.lost
        if self.silence(now, "IWM", "SPY") >= self.rules.stall_seconds:
            return FeedCause.SILENCE, ""
        if self.is_stalled:
            return FeedCause.STALL, "IWM"
        if min(self.silence(now, "IWM"), now - self.flows) >= self.rules.symbol_unseen_seconds:
            return FeedCause.UNSEEN, "IWM"
        if self.is_late("") or self.is_late("IWM"):
            return FeedCause.LAG, "IWM" if self.leans("IWM") and not self.leans("SPY") else ""
        return None


def made_facts(dice: random.Random, count: int) -> list[tuple[float, Event]]:
    """A market whose symbols fall silent, lag, repeat themselves and lose their socket, each for a while."""
    now = dice.choice([-20.0, 0.0, 30.0])
    facts: list[tuple[float, Event]] = [(now, FeedRestored())] if dice.random() < 0.9 else []
    mood: dict[str, str] = {"IWM": "well", "SPY": "well"}
    lag: dict[str, float] = {"IWM": 2.0, "SPY": 2.0}
    while len(facts) < count:
        now = round(now + dice.choice([0.25, 0.5, 1.0, 1.0, 1.0, dice.choice([4.0, 5.0, 20.0])]), 3)
        for symbol in ("IWM", "SPY"):
            if dice.random() < 0.02:
                mood[symbol] = dice.choice(["well", "well", "silent", "repeats", "late", "backfilled"])
                lag[symbol] = dice.choice([16.0, 40.0, 15.0]) if mood[symbol] == "late" else 2.0
            if mood[symbol] == "silent" or dice.random() < 0.2:
                continue
            second = int(now - lag[symbol] - 1)
            if mood[symbol] == "repeats":
                second -= dice.choice([20, 40])
            facts.append((now, bar(second, symbol=symbol, backfilled=mood[symbol] == "backfilled")))
        match dice.random():
            case chance if chance < 0.01:
                symbol = dice.choice(["", "", "IWM", "SPY"])
                cause = FeedCause.STALL if symbol else dice.choice(list(FeedCause))
                facts.append((now, FeedLost(cause=cause, symbol=symbol)))
            case chance if chance < 0.015:
                now += dice.choice([5.0, 36.0, 90.0])
                facts.append((now, Tick(away=SECOND)))
            case chance if chance < 0.04:
                facts.append((now, FeedRestored()))
            case _:
                facts.append((now, Tick()))
    return facts


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
@example(13005138)  # a lag of just the limit, from before the return of a program that was away
def test_what_is_skipped_changes_nothing(seed: int) -> None:
    dice = random.Random(seed)
    rules = Rules(lag_bars=dice.choice([1, 5, 30]), stall_seconds=dice.choice([1, 5]))
    story, slow = Story(rules), Slow(rules)
    for now, event in made_facts(dice, 500):
        story.tell(now, event)
        slow.take(now, event)
        feed = story.engine.feed
        assert (None if feed.cause is None else (feed.cause, feed.symbol)) == slow.blind, now
        assert story.engine.evaluation is None or feed.cause is None or story.evaluation.start < at(now)
    check_pushes(pushes(story))


def check_pushes(made: list[tuple[float, FeedAlarmed | FeedRecovered]]) -> None:
    """Flat: alarms are spaced, and a recovery follows none but an alarm that was told, once."""
    alarmed: dict[bool, bool] = {True: False, False: False}
    last = -(10.0**9)
    for now, push in made:
        is_benchmark = push.symbol == "SPY"
        if isinstance(push, FeedAlarmed):
            assert now - last >= RULES.alarm_spacing_seconds
            last, alarmed[is_benchmark] = now, True
        else:
            assert alarmed[is_benchmark]
            alarmed[is_benchmark] = False


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_what_was_decided_is_restored(seed: int) -> None:
    """Folding the record gives the state that went on: both see the rest alike."""
    facts = made_facts(random.Random(seed), 400)
    story, again = Story(RULES), Story(RULES)
    for index, (now, event) in enumerate(facts):
        made = story.tell(now, event)
        if index < 200:
            again.engine.restore(at(now), event, made)
        else:
            later = again.tell(now, event)
            assert [d for d in later if isinstance(d, FeedAlarmed | FeedRecovered)] == [
                d for d in made if isinstance(d, FeedAlarmed | FeedRecovered)
            ]


def kinds(decisions: list[Decision]) -> list[Any]:
    return [getattr(decision, "reason", type(decision).__name__) for decision in decisions]


def test_the_chain_is_not_asked_for_by_a_blind_feed() -> None:
    story = play(started(Rules(warmup_seconds=0)), 0, 100, without("IWM", 21))
    assert kinds(story.tell(100, chain(99, row()))) == []
    assert story.engine.feed.is_blind
