"""Sight against a slow and obvious judge that skips nothing, and against its own record."""

from __future__ import annotations

import random
import statistics

from hypothesis import example, given, settings
from hypothesis import strategies as st

from events import (
    SECOND,
    Bar,
    Event,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Tick,
)
from rules import Rules
from tests.builders import Story, at, bar
from tests.sights import RULES, pushes


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
