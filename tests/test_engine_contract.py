"""What holds of `Engine.handle` whatever the market, the feed and the push service do. Random sessions, fixed seeds.

A judge that knows the facts alone, and none of the engine's state, looks at every decision.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Sequence

import pytest

from engine import Engine
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Bar,
    Chain,
    Closed,
    Covered,
    Decision,
    Declined,
    DeclineReason,
    Event,
    ExitReason,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Hold,
    HoldReason,
    MarkBack,
    MarkLost,
    Opened,
    Outcome,
    QuoteSource,
    Session,
    Shutdown,
    Tick,
    Withdrawn,
    named_cause,
)
from rules import Rules
from tests.builders import OPEN, Story, at, bar, chain, quote, row

LENGTH = 900
"""Seconds of a session here: long enough for a few positions, and for two pairs of pushes."""

SESSION = Session(date="2025-10-02", open=OPEN, close=OPEN + LENGTH * SECOND, early=True)

RULES = Rules(
    vwap_long_seconds=30,
    vwap_long_shift_seconds=5,
    vwap_short_seconds=10,
    vwap_rising_seconds=0,
    volume_window_seconds=60,
    volume_min_bars=10,
    volume_percentile=20,
    momentum_seconds=10,
    momentum_min_bars=3,
    relative_volume_seconds=10,
    relative_volume_min=0,
    roc_seconds=20,
    roc_tolerance_seconds=10,
    warmup_seconds=30,
    entry_cooldown_seconds=20,
    symbol_unseen_seconds=25,
    persistence_block_seconds=10,
    persistence_min_evaluations=3,
    max_entries_per_day=10,
    no_entry_after="15:58:50",
    hard_time_stop="15:59",
)
CALM_FROM = LENGTH - 200
"""From this second on nothing goes wrong, so that some position is held until its time stop."""

BAD_PRICE = 230.0
"""Only bad prints lie above it."""

ENTRY_END = SESSION.close - 70 * SECOND
TIME_STOP = SESSION.close - 60 * SECOND


class Market:
    """Facts of one random session, second by second, as a shell would hand them on."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._price, self._drift, self._mark = 215.0, 0.0, 140
        self._is_up, self._is_bad = True, False
        self._started = -10
        self._quiet = {"IWM": 0, "SPY": 0, "quotes": 0, "chain": 0}
        """Until which second each of them does not come."""

    def events(self) -> Iterator[tuple[float, Event]]:
        """Every fact with its second."""
        yield -2.0, FeedRestored()
        for second in range(LENGTH + 5):
            yield from ((second + 0.1, event) for event in self._feed(second))
            yield from ((second + 0.2, event) for event in self._prices(second))
            yield from ((second + 0.3, event) for event in self._bars(second))
            yield second + 0.9, Tick()
        yield LENGTH + 6.0, Shutdown(close_position=True)

    def outcomes(self, made: list[Decision]) -> Iterator[AlertOutcome]:
        """What becomes of the pushes that are due to these decisions."""
        kinds = {FeedCause.EVICTED: AlertKind.EVICTED, FeedCause.REFUSED: AlertKind.REFUSED}
        for decision in made:
            outcome = self._random.choice((Outcome.ACCEPTED,) * 4 + (Outcome.LOST, Outcome.REFUSED))
            if isinstance(decision, Opened):
                yield AlertOutcome(kind=AlertKind.BUY, id=decision.id, outcome=outcome, attempts=1)
            elif isinstance(decision, FeedAlarmed):
                kind, name = (
                    kinds.get(decision.cause, AlertKind.FEED_BLIND),
                    named_cause(decision.cause, decision.symbol),
                )
                yield AlertOutcome(kind=kind, id=name, outcome=outcome, attempts=1)

    def _chance(self, one_in: int) -> bool:
        return self._random.randrange(one_in) == 0

    def _feed(self, second: int) -> Iterator[Event]:
        if self._is_up and second < CALM_FROM and self._chance(100):
            self._is_up = False
            cause = self._random.choice(list(FeedCause))
            alone = self._random.choice(("", "IWM", "SPY")) if cause is FeedCause.STALL else ""
            yield FeedLost(cause=cause, symbol=alone)
        elif not self._is_up and self._chance(12):
            self._is_up = True
            yield FeedRestored()
        if self._chance(6):
            for symbol in ("IWM", "SPY"):
                yield Covered(symbol=symbol, start=OPEN, end=at(second - 3))
        if second < CALM_FROM and self._chance(60):
            reason = self._random.choice(list(HoldReason))
            yield Hold(reason=reason, on=True)
        if self._chance(8):
            for reason in HoldReason:
                yield Hold(reason=reason, on=False)
        for name in self._quiet:
            if second < CALM_FROM and self._chance(150):
                self._quiet[name] = second + self._random.choice((3, 12, 40))

    def _prices(self, second: int) -> Iterator[Event]:
        steps = (-6, -3, -1, 0, 1, 3, 5) if second < CALM_FROM else (-1, 0, 1)
        self._mark = min(max(self._mark + self._random.choice(steps), 60), 300)
        bid, ask = self._mark / 100, (self._mark + self._random.choice((2, 2, 2, 60))) / 100
        if second >= self._quiet["quotes"]:
            yield quote(second, bid, ask)
        if second >= self._quiet["chain"] and second % 3 == 0:
            age = self._random.choice((0, 0, 0, 10, 40))
            calls = row(215.0, bid, bid + 0.02), row(216.0, bid - 0.2, bid - 0.18, delta=0.33)
            rows = self._random.choice((calls, calls, calls, ()))
            yield chain(second - age, *rows) if rows else Chain(rows=())
        if self._chance(20):
            yield quote(second - self._random.choice((0, 20)), bid, bid + 0.02, source=QuoteSource.POLL)

    def _bars(self, second: int) -> Iterator[Bar]:
        if self._chance(15):
            self._drift = self._random.choice((-0.02, 0.01, 0.03))
        if second >= CALM_FROM:
            self._drift = 0.01
        elif not 211 < self._price < 219:
            self._drift = 0.02 if self._price < 215 else -0.02
        self._price += self._drift
        volume = self._random.randrange(400, 900)
        start = second - self._random.choice((3, 3, 3, 3, 7))
        if start <= self._started:
            return
        self._started = start
        for symbol, price in (("SPY", 660.0), ("IWM", round(self._price, 2))):
            if not self._is_up or second < self._quiet[symbol] or (symbol == "IWM" and self._chance(4)):
                continue
            if symbol == "IWM":
                # A bad print, but no second one in a row: that would be a fall of the price.
                self._is_bad = not self._is_bad and self._chance(40)
            factor = 1.1 if symbol == "IWM" and self._is_bad else 1.0
            made = bar(start, round(price * factor, 2), volume, symbol=symbol)
            yield made
            if self._chance(10):
                yield made  # again


class Judge:
    """Says what no decision may be, from the facts and the earlier decisions alone."""

    def __init__(self) -> None:
        self.position: Opened | None = None
        self.seen: set[str] = set()
        self._entries, self._rests_until, self._rested_until = 0, 0, 0
        self._last_opened: str | None = None
        self._held: set[HoldReason] = set()
        self._is_up = False
        self._came: dict[str, int] = {}
        self._newest: dict[str, int] = {}
        self._alarms: dict[bool, FeedAlarmed] = {}
        """The alarm that counts as told, of the blind feed (False) and of the absent benchmark (True)."""
        self._alarmed_at: int | None = None
        self._mark_lost: str | None = None

    def hear(self, now: int, event: Event) -> None:
        """A fact, before what is decided on it."""
        match event:
            case Hold(reason=reason, on=on):
                self._held = self._held | {reason} if on else self._held - {reason}
            case FeedLost():
                self._is_up = False
            case FeedRestored():
                self._is_up = True
            case Bar(symbol=symbol, start=start, close=close) if start > self._newest.get(symbol, 0):
                self._came[symbol] = now
                if close < BAD_PRICE or symbol == "SPY":
                    self._newest[symbol] = start
            case AlertOutcome(outcome=Outcome.REFUSED | Outcome.UNSENT, id=name):
                self._alarms = {
                    absent: alarm
                    for absent, alarm in self._alarms.items()
                    if named_cause(alarm.cause, alarm.symbol) != name
                }
            case _:
                pass

    def judge(self, now: int, event: Event, made: list[Decision]) -> None:
        """The decisions on a fact."""
        assert sum(isinstance(each, Opened | Closed | Withdrawn) for each in made) <= 1
        # One bar of the benchmark may end two spells: the feed's blindness and its own absence.
        assert len(made) == len({(type(each), getattr(each, "symbol", "")) for each in made})
        was_open = self.position is not None
        for decision in made:
            self.seen.add(type(decision).__name__)
            match decision:
                case Opened() | Declined():
                    self._entry(now, event, decision)
                case Closed():
                    self._exit(now, event, decision)
                case Withdrawn():
                    assert decision.id == self._last_opened
                    self.position, self._last_opened = None, None
                    self._entries -= 1
                    self._rests_until = max(self._rested_until, now + RULES.withdrawn_rest_seconds * SECOND)
                case FeedAlarmed():
                    self._alarm(now, decision, is_open=was_open)
                case FeedRecovered():
                    absent = decision.symbol == "SPY"
                    assert self._alarms.pop(absent, None) is not None, "nobody was told of its beginning"
                    assert decision.gap_start <= decision.gap_end <= now
                case MarkLost():
                    assert self._mark_lost is None and self.position is not None
                    assert now - decision.since >= RULES.mark_lost_seconds * SECOND
                    self._mark_lost = decision.id
                case MarkBack():
                    assert self._mark_lost == decision.id
                    self._mark_lost = None
        if self.position is not None:
            assert now < self.position.time_stop, "the time stop comes at the first fact after it"

    def _entry(self, now: int, event: Event, decision: Opened | Declined) -> None:
        assert isinstance(event, Bar) and event.symbol == "IWM" and not event.backfilled
        assert event.start == self._newest["IWM"] and decision.price == event.close
        if isinstance(decision, Declined):
            return
        assert self.position is None and not self._held and self._is_up
        assert OPEN + RULES.warmup_seconds * SECOND <= now < ENTRY_END
        assert now - event.end <= RULES.entry_bar_seconds * SECOND
        assert now - self._came["SPY"] <= RULES.symbol_unseen_seconds * SECOND
        assert now >= self._rests_until and self._entries < RULES.max_entries_per_day
        assert decision.price < BAD_PRICE, "no price that is kept apart"
        assert decision.stop < decision.mid <= decision.entry <= decision.ask <= decision.pay_limit + 500
        self.position, self._last_opened = decision, decision.id
        self._entries += 1
        self._rested_until = self._rests_until
        assert decision.entry_number == self._entries

    def _exit(self, now: int, event: Event, closed: Closed) -> None:
        opened = self.position
        assert opened is not None and closed.id == opened.id and closed.mark is not None
        assert closed.time_stop == opened.time_stop == TIME_STOP
        match closed.reason:
            case ExitReason.TIME_STOP:
                assert now >= TIME_STOP
            case ExitReason.STOP_LOSS:
                assert closed.mark <= opened.entry * 0.85
            case ExitReason.HARD_GIVEBACK:
                assert closed.mark <= closed.peak * 0.70
            case ExitReason.VWAP_GIVEBACK:
                assert closed.mark <= closed.peak * 0.80 and self._is_up
            case ExitReason.VWAP_PERSISTENCE:
                assert self._is_up
            case ExitReason.SHUTDOWN:
                assert isinstance(event, Shutdown)
        self.seen.add(closed.reason)
        self.position, self._mark_lost = None, None
        self._rests_until = now + RULES.entry_cooldown_seconds * SECOND

    def _alarm(self, now: int, alarm: FeedAlarmed, *, is_open: bool) -> None:
        assert OPEN <= now < SESSION.close and alarm.since <= now
        spacing = RULES.alarm_spacing_seconds * SECOND
        assert is_open or self._alarmed_at is None or now - self._alarmed_at >= spacing
        assert (alarm.position is not None) is is_open
        self._alarms[alarm.symbol == "SPY"] = alarm
        self._alarmed_at = now


@functools.cache
def played(seed: int) -> tuple[list[tuple[int, Event, list[Decision]]], Judge]:
    """A random session, judged as it goes."""
    market, judge, engine = Market(seed), Judge(), Engine(RULES, SESSION)
    log: list[tuple[int, Event, list[Decision]]] = []

    def tell(now: int, event: Event) -> list[Decision]:
        judge.hear(now, event)
        made = engine.handle(now, event)
        judge.judge(now, event, made)
        log.append((now, event, made))
        return made

    for second, event in market.events():
        for outcome in market.outcomes(tell(at(second), event)):
            tell(at(second), outcome)
    assert judge.position is None, "nothing is left open after the close"
    return log, judge


SEEDS = range(10, 30)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_decision_is_one_that_the_facts_forbid(seed: int) -> None:
    log, _ = played(seed)
    cut = random.Random(seed).randrange(len(log))
    restored = Engine(RULES, SESSION)
    for now, event, made in log[:cut]:
        restored.restore(now, event, made)
    for now, event, made in log[cut:]:
        assert restored.handle(now, event) == made, "a restored engine goes on as if it had never stopped"


def test_the_random_sessions_hold_every_kind_of_decision_and_nearly_every_exit() -> None:
    seen = set[str]().union(*(played(seed)[1].seen for seed in SEEDS))
    kinds = {
        "Opened",
        "Declined",
        "Closed",
        "Withdrawn",
        "FeedAlarmed",
        "FeedRecovered",
        "MarkLost",
        "MarkBack",
    }
    assert seen >= kinds | {reason for reason in ExitReason if reason is not ExitReason.SHUTDOWN}


# --- The order of the gates ---


def gates(story: Story, facts: Sequence[Event | None], start: int) -> list[DeclineReason | None]:
    """The gate at a bar that comes late after each of the facts."""
    found = []
    for number, fact in enumerate(facts):
        now = start + 2 * number
        if fact is not None:
            story.tell(now, fact)
        story.tell(now + 0.5, bar(now - 8))
        found.append(story.evaluation.gate)
    return found


CLOSED_GATES = [
    (None, DeclineReason.LATE_BAR),
    (FeedRestored(), DeclineReason.NOT_COVERED),
    (FeedLost(cause=FeedCause.DROPPED), DeclineReason.BLIND),
    (Hold(reason=HoldReason.PUSH_CAP, on=True), DeclineReason.HELD),
    (Hold(reason=HoldReason.RECORD_OFF, on=True), DeclineReason.HELD),
    (Shutdown(close_position=False), DeclineReason.SESSION_CLOSED),
]


def opened(max_entries: int) -> tuple[Story, float]:
    """A story with an open position, the cutoff past (at 70 s), and the price of its last bar, at second 74."""
    rules = {"max_entries_per_day": max_entries, "no_entry_after": "15:46:10"}
    story = Story(RULES.model_copy(update=rules), SESSION)
    story.connect().bars(0, 40)
    price = 215.0
    for second in range(40, 50):
        price = round(price + 0.05, 2)
        story.tell(second + 3, chain(second + 3, row()))
        story.tell(second + 3, bar(second, 660.0, symbol="SPY"))
        story.tell(second + 3, bar(second, price, 1000.0 + 100 * second))
    story.bars(50, 75, price)
    assert story.engine.position is not None
    assert story.evaluation.gate is DeclineReason.POSITION_OPEN
    return story, price


def test_of_several_closed_gates_the_first_is_named() -> None:
    """Each fact closes one gate more, from the back."""
    story, _ = opened(max_entries=1)
    found = gates(story, [fact for fact, _ in CLOSED_GATES], 84)
    assert found == [gate for _, gate in CLOSED_GATES]


@pytest.mark.parametrize(("cap", "gate"), [(1, DeclineReason.MAX_ENTRIES), (0, DeclineReason.PAST_CUTOFF)])
def test_after_a_close_the_cooldown_is_named_first(cap: int, gate: DeclineReason) -> None:
    story, price = opened(cap)
    story.tell(77.5, quote(77.5, 0.50, 0.52))
    story.bars(75, 80, price)
    assert story.engine.position is None
    assert story.evaluation.gate is DeclineReason.COOLDOWN
    story.bars(80, 105, price)
    assert story.evaluation.gate is gate


def test_a_blind_feed_is_named_before_the_warm_up_and_that_before_a_gap() -> None:
    story = Story(RULES.model_copy(update={"warmup_seconds": 300}), SESSION)
    story.tell(50, FeedRestored())
    assert gates(story, [None, FeedLost(cause=FeedCause.DROPPED)], 60) == [
        DeclineReason.WARM_UP,
        DeclineReason.BLIND,
    ]
