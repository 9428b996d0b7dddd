"""The one engine of live and replay: facts and ``now`` in, decisions out. It has no clock, no I/O and no mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from contract_selector import Refused, level_below, select
from decisions import closed, declined, mark_change, opened, withdrawn
from events import (
    SECOND,
    AlertOutcome,
    Bar,
    Chain,
    Covered,
    Decision,
    Evaluation,
    Event,
    FeedAlarmed,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Hold,
    HoldReason,
    Quote,
    RareEvent,
    Session,
    Shutdown,
    Tick,
)
from gates import Gates
from quotes import Quotes
from risk_manager import Book, Position, View, exit_reason
from rules import Rules
from sight import Sight
from signals import Signals

VALUES_USED_S = 30
"""How long beyond `STALL_SECONDS` the last evaluation's values are used (s): recorded SPY seconds have gaps of 22 s."""


class Engine:
    """One session's engine. `handle` decides; `restore` only remembers."""

    def __init__(self, rules: Rules, session: Session) -> None:
        self.rules = rules
        self.session = session
        self.signals = Signals(rules, session)
        self.feed = Sight(rules, session)
        self.book = Book(rules)
        self.evaluation: Evaluation | None = None
        """The last evaluation: every value, pass and gate."""
        self.evaluations = 0
        """How many evaluations there were."""
        self._evaluated_start = session.open
        # Copied once: every fact, or every second, reads them.
        self._symbol = rules.symbol
        self._gates = Gates(rules, session)
        self.time_stop = session.close - rules.before_close(rules.hard_time_stop) * SECOND
        """When every position is sold at the latest, µs."""
        self.values_used = (rules.stall_seconds + VALUES_USED_S) * SECOND
        """How old (µs) the last evaluation's values, or the newest price, may be and still be used."""
        self._holds: set[HoldReason] = set()
        self.quotes = Quotes(
            rules,
            close=session.close,
            book=self.book,
            signals=self.signals,
            feed=self.feed,
            holds=self._holds,
        )
        self._spells_seen = 0
        self._is_stopping = False
        self._closes_on_stop = False
        self._now = 0

    # --- The one door ---

    def handle(self, now: int, event: Event) -> list[Decision]:
        """Records a fact, decides, and evolves by what was decided.

        ``now`` is µs of UTC. Raises ValueError if it goes back. At most one decision opens, closes or withdraws a
        position.
        """
        bar = self._record(now, event)
        holds = bar is not None and self._evaluate(now, bar).holds
        feed = self.feed
        if (
            not holds
            and self.book.position is None
            and feed.cause is None
            and feed.recovered is None
            and feed.absence is None
            and type(event) is not AlertOutcome
        ):
            return []  # most facts leave nothing to decide
        decisions: list[Decision] = []
        for decision in self._decide(now, event, bar):
            if decision is not None:
                self._evolve(now, decision)
                decisions.append(decision)
        return decisions

    def restore(self, now: int, event: Event, decisions: Iterable[Decision]) -> None:
        """Records a recorded fact and evolves by its recorded decisions: history is not decided again.

        It is not evaluated either: `evaluation` is None until the next live bar.
        """
        bar = self._record(now, event)
        if bar is not None:
            was_blind = self._spell_passed()
            self.signals.follow(was_blind)
            self._follow(bar, was_blind)
        for decision in decisions:
            self._evolve(now, decision)
        if self._is_stopping:
            self._is_stopping = self._closes_on_stop = (
                False  # that stop is over: a restored engine belongs to a new start
            )

    # --- What the shell reads ---

    @property
    def position(self) -> Position | None:
        """Returns the open position, or None."""
        return self.book.position

    @property
    def holds(self) -> frozenset[HoldReason]:
        """Returns the reasons from outside the rules that hold entries now."""
        return frozenset(self._holds)

    def is_fresh(self, now: int) -> bool:
        """Returns whether the last evaluated second is recent enough for its values to be used."""
        return now - self._evaluated_start - SECOND <= self.values_used

    # --- Learn ---

    def _record(self, now: int, event: Event) -> Bar | None:
        """Records a fact. Returns the bar if it must be evaluated: live, of the watched symbol, the newest so far."""
        if now < self._now:
            raise ValueError(f"time went back from {self._now} to {now}")
        self._now = now
        position, bar = self.book.position, None
        # Most frequent types first, compared exactly: that is faster than isinstance.
        if type(event) is Quote:
            self.quotes.record(now, event)
        elif type(event) is Bar:
            is_new, is_newest = self.signals.record(event)
            if not event.backfilled:
                # The live print of a second that REST has filled is a sign of life, but is not evaluated again.
                if is_new or self.feed.progress.is_newer(event):
                    self.feed.record_bar(now, event)
                if is_new and is_newest and event.symbol == self._symbol:
                    bar = event
        else:
            self._record_rare(now, event)
        if now >= self.feed.well_until:
            self.feed.check(now)
        if position is not None:
            position.apply_time(now)
        return bar

    def _record_rare(self, now: int, event: RareEvent) -> None:
        """Records a fact that is neither a bar nor a quote."""
        match event:
            case Tick(away=away):
                if away:  # the program did not run, or its clock stepped: it saw nothing in that time
                    self.feed.wake(now, away)
                    if self.book.position is not None:
                        self.book.position.marks.wake(now)
            case AlertOutcome():
                self.feed.record_outcome(event)
            case Chain():
                self.quotes.record_chain(now, event.rows)
            case Covered() | FeedLost() | FeedRestored():
                self.feed.record(now, event)
            case Hold():
                if event.on:
                    self._holds.add(event.reason)
                else:
                    self._holds.discard(event.reason)
            case Shutdown():
                self._is_stopping = True
                self._closes_on_stop = event.close_position
            case _:
                assert_never(event)

    def _evaluate(self, now: int, bar: Bar) -> Evaluation:
        gate = self._gates.first_closed(
            now, bar, feed=self.feed, book=self.book, holds=self._holds, is_stopping=self._is_stopping
        )
        was_blind = self._spell_passed()
        gaps = self.feed.gaps.own if self.feed.gaps.exist else ()
        evaluation = self.evaluation = self.signals.evaluate(bar, was_blind, gate, gaps)
        self._follow(bar, was_blind)
        return evaluation

    def _spell_passed(self) -> bool:
        """Returns whether there was a blind spell since the last evaluation."""
        feed, seen = self.feed, self._spells_seen
        self._spells_seen = feed.spells
        return feed.cause is not None or feed.spells != seen

    def _follow(self, bar: Bar, was_blind: bool) -> None:
        """Counts an evaluation, and lets VWAP persistence follow it."""
        self.evaluations += 1
        self._evaluated_start = bar.start
        position = self.book.position
        if position is not None:
            vwap = self.signals.vwap
            is_below = vwap is not None and bar.close < vwap
            position.persistence.record(bar.start, is_below=is_below, was_blind=was_blind)

    # --- Decide ---

    def _decide(self, now: int, event: Event, bar: Bar | None) -> Iterator[Decision | None]:
        """Yields each part's decision in turn. Each part sees what those before it decided."""
        feed = self.feed
        if feed.cause is not None or feed.recovered is not None:
            yield feed.decide(now, self.book.position_id)
        if feed.absence is not None:
            yield feed.decide(now, self.book.position_id)
        if isinstance(event, AlertOutcome):
            yield withdrawn(self.book.last, event)
        if self.book.position is not None:
            yield mark_change(now, self.book.position)
            yield self._decide_exit(now, self.book.position)
        if bar is not None:
            yield self._decide_entry(now)

    def _decide_exit(self, now: int, position: Position) -> Decision | None:
        rules, opened = self.rules, position.opened
        # Exits that need bars pause while blind, until the symbol's first bar afterwards, and while values are old.
        is_stale = self.feed.is_blind or self.feed.spells != self._spells_seen or not self.is_fresh(now)
        evaluation = None if is_stale else self.evaluation
        vwap = None if evaluation is None else evaluation.vwap_1m
        reason = exit_reason(
            View(
                now=now,
                opened=opened,
                highest=None if position.marks.is_lost(now) else position.marks.span(now)[1],
                hard_level=level_below(position.peak, rules.max_giveback_percent),
                vwap_level=level_below(position.peak, rules.tighten_giveback_percent),
                below_vwap=None if evaluation is None or vwap is None else evaluation.price < vwap,
                persists=None if evaluation is None else position.persistence.holds,
                is_stopping=self._closes_on_stop,
            )
        )
        if reason is None:
            return None
        age = self.signals.price_age(now)
        return closed(
            rules,
            position,
            reason,
            now=now,
            price=self.signals.price if age is not None and age <= self.values_used else None,
            vwap=self.signals.vwap if self.is_fresh(now) else None,
        )

    def _decide_entry(self, now: int) -> Decision | None:
        evaluation = self.evaluation
        if (
            evaluation is None
            or not evaluation.holds
            or evaluation.vwap_1m is None
            or evaluation.momentum is None
        ):
            return None
        if evaluation.gate is not None:
            return declined(
                evaluation, evaluation.vwap_1m, evaluation.momentum, Refused(reason=evaluation.gate)
            )
        choice = select(
            self.rules,
            now=now,
            close=self.session.close,
            spot=evaluation.price,
            rows=self.quotes.chain,
            prices=self.quotes.prices(),
            chain_age=self.quotes.chain_age(now),
        )
        if isinstance(choice, Refused):
            return declined(evaluation, evaluation.vwap_1m, evaluation.momentum, choice)
        return opened(
            self.rules,
            evaluation,
            choice,
            now=now,
            date=self.session.date,
            time_stop=self.time_stop,
            number=self.book.entries + 1,
        )

    # --- Evolve ---

    def _evolve(self, now: int, decision: Decision) -> None:
        """Moves the state by a decision, whether just made or read from the record."""
        self.book.evolve(now, decision, self._evaluated_start)
        if isinstance(decision, FeedAlarmed | FeedRecovered):
            self.feed.evolve(now, decision)
