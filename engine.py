"""The one engine of live and replay: facts and ``now`` in, decisions out. It knows no clock, no I/O and no mode."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import assert_never

import msgspec

from contract_selector import (
    Refused,
    Selected,
    is_dearer_than_any,
    is_live,
    is_standard,
    level_below,
    nearest,
    pay_limit,
    price_of,
    select,
)
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Bar,
    Chain,
    ChainRow,
    Closed,
    Covered,
    Decision,
    Declined,
    DeclineReason,
    Evaluation,
    Event,
    ExitReason,
    FeedAlarmed,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Hold,
    HoldReason,
    MarkBack,
    MarkLost,
    Opened,
    Outcome,
    Quote,
    QuoteSource,
    Session,
    Shutdown,
    Tick,
    Withdrawn,
)
from risk_manager import Book, Mark, Position, View, exit_reason
from rules import Rules
from sight import Sight
from signals import Signals

ID_DIGITS = 6

HOLDS = tuple(HoldReason)
"""What holds entries, in the order in which one is named."""

VALUES_USED_S = 30
"""The last evaluation's values are used for this long beyond `STALL_SECONDS`: real SPY seconds have gaps of 22 s."""


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
        """How many there were."""
        self._evaluated_start = session.open
        # Read from here: they are asked for at every fact, or at every second.
        self._symbol = rules.symbol
        self._open, self._close = session.open, session.close
        self._max_entries = rules.max_entries_per_day
        self._warm_at = session.open + rules.warmup_seconds * SECOND
        self._entry_bar = rules.entry_bar_seconds * SECOND
        self._entry_end = session.close - rules.before_close(rules.no_entry_after) * SECOND
        self._time_stop = session.close - rules.before_close(rules.hard_time_stop) * SECOND
        self.values_used = (rules.stall_seconds + VALUES_USED_S) * SECOND
        """How old (µs) the last evaluation's values, or the newest price, may be and still be used."""
        self._holds: set[HoldReason] = set()
        self._quotes: dict[str, tuple[int, int, Quote | ChainRow, bool]] = {}
        """The newest quote of each contract: its own time, its arrival, what it says, and whether the stream brought it."""
        self._ahead = round(rules.clock_doubt_seconds * SECOND)
        self._frozen = rules.quote_frozen_seconds * SECOND
        self._chain_stands_still = False
        """Whether the quotes of the last poll were delayed or old: it prices nothing."""
        self.chain: tuple[ChainRow, ...] = ()
        """Today's calls, as the last poll had them."""
        self.chain_at: int | None = None
        """When that poll was answered, µs."""
        self._spells_seen = 0
        self._is_stopping = False
        self._closes_on_stop = False
        self._now = 0

    # --- The one door ---

    def handle(self, now: int, event: Event) -> list[Decision]:
        """Learn a fact, decide, and evolve by what was decided.

        ``now`` is µs of UTC; it never goes back (ValueError). At most one decision opens, closes or withdraws
        a position.
        """
        bar = self._learn(now, event)
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
            return []  # as after most facts: there is nothing to decide
        decisions: list[Decision] = []
        for decision in self._decide(now, event, bar):
            if decision is not None:
                self._evolve(now, decision)
                decisions.append(decision)
        return decisions

    def restore(self, now: int, event: Event, decisions: Iterable[Decision]) -> None:
        """Learn a recorded fact and evolve by the recorded decisions: history is not decided again.

        Nor is it evaluated: `evaluation` is None until the next live bar.
        """
        bar = self._learn(now, event)
        if bar is not None:
            was_blind = self._spell_passed()
            self.signals.follow(was_blind)
            self._follow(bar, was_blind)
        for decision in decisions:
            self._evolve(now, decision)
        if self._is_stopping:
            self._is_stopping = self._closes_on_stop = False  # that stop is over: this is another start

    # --- What the shell reads ---

    @property
    def position(self) -> Position | None:
        """The open position, or None."""
        return self.book.position

    @property
    def holds(self) -> frozenset[HoldReason]:
        """What holds entries from outside at present."""
        return frozenset(self._holds)

    @property
    def time_stop(self) -> int:
        """When every position is sold at the latest, µs."""
        return self._time_stop

    def price_age(self, now: int) -> int | None:
        """Time since the end of the second that the symbol's newest price is of, µs; None without one."""
        start = self.signals.price_start
        return None if start is None else max(0, now - start - SECOND)

    def is_fresh(self, now: int) -> bool:
        """Whether the second last evaluated is young enough for its values to be used."""
        return now - self._evaluated_start - SECOND <= self.values_used

    def ask_of(self, contract: str) -> int | None:
        """The newest ask of a contract, or None when it has none."""
        known = self._quotes.get(contract)
        return known[2].ask or None if known is not None else None

    def nearest(self, count: int) -> tuple[str, ...]:
        """The symbol's plain calls that are nearest the money, by a price that something confirms."""
        spot = self.signals.price
        if spot is None:
            return ()
        return tuple(nearest((row for row in self.chain if is_standard(row, self._symbol)), spot, count))

    def live_calls(self, now: int) -> int:
        """How many of the chain's calls have a real-time quote of the last `CHAIN_SKEW_SECONDS`: at 0, none could be bought.

        A streamed one by its own time; one of a poll by its arrival, and only while the polls' quotes move.
        """
        limit = self.rules.chain_skew_seconds * SECOND
        listed = (row.contract for row in self.chain if is_standard(row, self._symbol))
        found = (self._quotes[contract] for contract in listed if contract in self._quotes)
        prices = (price_of(quote, at, arrived) for at, arrived, quote, _ in found)
        return sum(
            price.age(now) <= limit
            for price in prices
            if price.source is QuoteSource.STREAM or not self._chain_stands_still
        )

    # --- Learn ---

    def _learn(self, now: int, event: Event) -> Bar | None:
        """Record a fact. Returns the bar if it must be evaluated: live, of the watched symbol, the newest so far."""
        if now < self._now:
            raise ValueError(f"time went back from {self._now} to {now}")
        self._now = now
        position, bar = self.book.position, None
        # Compared by exact type, because nearly all facts are of these two.
        if type(event) is Quote:
            contract, at = event.contract, event.at
            known = self._quotes.get(contract)
            if (
                position is None
                and event.source is QuoteSource.STREAM
                and at <= now + self._ahead
                and (known is None or at >= known[0])
            ):
                self._quotes[contract] = (at, now, event, True)  # only the next entry needs it
            else:
                self._learn_quote(now, contract, at, event, event.source is QuoteSource.POLL)
        elif type(event) is Bar:
            is_new, is_newest = self.signals.learn(event)
            if not event.backfilled:
                # The live print of a second that REST has filled is a sign of life, though nothing to evaluate.
                if is_new or self.feed.is_newer(event):
                    self.feed.arrive(now, event)
                if is_new and is_newest and event.symbol == self._symbol:
                    bar = event
        else:
            self._take(now, event)
        if now >= self.feed.well_until:
            self.feed.judge(now)
        if position is not None:
            position.learn_time(now)
        return bar

    def _wake(self, now: int, away: int) -> None:
        """Go on after ``away`` µs in which the program did not run, or which its clock stepped over: nothing was seen in it."""
        self.feed.wake(now, away)
        if self.book.position is not None:
            self.book.position.marks.wake(now)

    def _take(self, now: int, event: Event) -> None:
        """Record a fact that is neither a bar nor a quote."""
        match event:
            case Tick(away=away):
                if away:
                    self._wake(now, away)
            case Bar() | Quote():
                pass
            case AlertOutcome():
                self.feed.learn_outcome(event)
            case Chain():
                self._learn_chain(now, event.rows)
            case Covered() | FeedLost() | FeedRestored():
                self.feed.learn(now, event)
            case Hold():
                (self._holds.add if event.on else self._holds.discard)(event.reason)
            case Shutdown():
                self._is_stopping = True
                self._closes_on_stop = event.close_position
            case _:
                assert_never(event)

    def _learn_chain(self, now: int, rows: tuple[ChainRow, ...]) -> None:
        """Record a poll's answer: its contracts always, its quotes and greeks only if they are current."""
        if self.chain and not rows:
            return  # a day's calls do not vanish: the last good answer stands, and ages
        at = self._quote_clock(now)
        self._chain_stands_still = not is_live(self.rules, at, self.signals.price, rows)
        self.chain_at = now
        if self._chain_stands_still:
            self.chain = tuple(msgspec.structs.replace(row, iv=None, delta=None) for row in rows)
            return
        self.chain = rows
        # One strike may be quiet for a while beside others that move, but not longer than this.
        oldest = at - self.rules.chain_max_seconds * SECOND
        for row in rows:
            if row.real_time and row.quoted_at >= oldest:
                self._learn_quote(now, row.contract, row.quoted_at, row, True)

    def _quote_clock(self, now: int) -> int:
        """The time that quotes are compared with: ``now``, or the newest quote's own time while our clock is in doubt."""
        if HoldReason.CLOCK_DOUBT not in self._holds or not self._quotes:
            return now
        return min(now, max(known[0] for known in self._quotes.values()))

    def _learn_quote(
        self, now: int, contract: str, made_at: int, quote: Quote | ChainRow, is_poll: bool
    ) -> None:
        """Keep each contract's newest quote by its own time. A poll with the same bid and ask confirms the known one.

        A quote from ahead of ``now`` is ignored. One older than `QUOTE_FROZEN_SECONDS` is no mark by itself: from the
        stream it is ignored, from a single contract's poll it can only confirm. From a chain's row it may still price
        an entry, because other quotes of that answer move.
        """
        if made_at > now + self._ahead:
            return
        known = self._quotes.get(contract)
        is_row, is_streamed = isinstance(quote, ChainRow), not is_poll
        confirms = is_poll and known is not None and (quote.bid, quote.ask) == (known[2].bid, known[2].ask)
        if known is not None and made_at < known[0] and not confirms:
            return
        if known is not None and confirms and made_at <= known[0]:
            made_at, is_streamed = known[0], known[3]
        position = self.book.position
        is_held = position is not None and position.opened.contract == contract
        if position is not None and is_held and self._is_slip(now, position.opened, quote):
            return
        is_fresh = self._quote_clock(now) - made_at <= self._frozen
        if not is_fresh:
            is_mark = (
                is_held and confirms and self._stands(now, contract, made_at, is_streamed and not is_row)
            )
            if not is_mark and not is_row:
                return
        self._quotes[contract] = (made_at, now, quote, is_streamed)
        if position is not None and is_held and (is_fresh or is_mark):
            position.learn_time(now)  # what held until this quote
            position.marks.learn(now, Mark(bid=quote.bid, ask=quote.ask, bid_size=quote.bid_size))

    def _is_slip(self, now: int, opened: Opened, quote: Quote | ChainRow) -> bool:
        """Whether a quote of the held call is impossibly dear, such as a price in another unit.

        A peak from such a quote would sell at the next good one. Judged only while the share price is known.
        """
        spot = self.signals.price
        if spot is None or self.feed.is_blind:
            return False
        mid = (quote.bid + quote.ask) // 2
        return is_dearer_than_any(mid, spot, opened.strike, self._close - now)

    def _stands(self, now: int, contract: str, made_at: int, by_socket: bool) -> bool:
        """Whether an old quote that a poll confirms still stands, judged by the other contracts' quotes.

        It stands if theirs are as old, or if it came over a socket (``by_socket``) that still delivers theirs. It does
        not if theirs move and it alone does not, nor if the polls' quotes do not move at all.
        """
        others = [known for name, known in self._quotes.items() if name != contract]
        newest = self._quote_clock(now) - self._frozen
        if by_socket and any(known[3] and known[0] >= newest for known in others):
            return True
        return not self._chain_stands_still and all(known[0] <= made_at + self._frozen for known in others)

    def _evaluate(self, now: int, bar: Bar) -> Evaluation:
        gate, hold = self._gate(now, bar)
        was_blind = self._spell_passed()
        gaps = self.feed.gaps if self.feed.has_gaps else ()
        evaluation = self.evaluation = self.signals.evaluate(bar, was_blind, gate, hold, gaps)
        self._follow(bar, was_blind)
        return evaluation

    def _spell_passed(self) -> bool:
        """Whether there was a blind spell since the last evaluation."""
        feed, seen = self.feed, self._spells_seen
        self._spells_seen = feed.spells
        return feed.cause is not None or feed.spells != seen

    def _follow(self, bar: Bar, was_blind: bool) -> None:
        """Count an evaluation, and let VWAP persistence follow it."""
        self.evaluations += 1
        self._evaluated_start = bar.start
        position = self.book.position
        if position is not None:
            vwap = self.signals.vwap
            is_below = vwap is not None and bar.close < vwap
            position.persistence.learn(bar.start, is_below=is_below, was_blind=was_blind)

    # --- Gates ---

    def _gate(self, now: int, bar: Bar) -> tuple[DeclineReason | None, HoldReason | None]:
        """The first closed gate, in their order, and what holds when it is `HELD`."""
        feed, book = self.feed, self.book
        if not self._open <= now < self._close or self._is_stopping:
            return DeclineReason.SESSION_CLOSED, None
        if self._holds:
            return DeclineReason.HELD, min(self._holds, key=HOLDS.index)
        if feed.cause is not None:
            return DeclineReason.BLIND, None
        if now < self._warm_at:
            return DeclineReason.WARM_UP, None
        if feed.has_gaps and not feed.is_covered(bar.start):
            return DeclineReason.NOT_COVERED, None
        if 0 < self._entry_bar < now - bar.start - SECOND:
            return DeclineReason.LATE_BAR, None
        if book.position is not None:
            return DeclineReason.POSITION_OPEN, None
        if now < book.rests_until:
            return DeclineReason.COOLDOWN, None
        if 0 < self._max_entries <= book.entries:
            return DeclineReason.MAX_ENTRIES, None
        if now >= self._entry_end:
            return DeclineReason.PAST_CUTOFF, None
        return None, None

    # --- Decide ---

    def _decide(self, now: int, event: Event, bar: Bar | None) -> Iterator[Decision | None]:
        """Each part's decision in turn; each sees what those before it decided."""
        feed = self.feed
        if feed.cause is not None or feed.recovered is not None:
            yield self._decide_feed(now)
        if feed.absence is not None:
            yield self._decide_feed(now)
        if isinstance(event, AlertOutcome):
            yield self._decide_withdrawal(event)
        if self.book.position is not None:
            yield self._decide_mark(now, self.book.position)
            yield self._decide_exit(now, self.book.position)
        if bar is not None:
            yield self._decide_entry(now)

    def _decide_feed(self, now: int) -> Decision | None:
        position = self.position
        return self.feed.decide(now, None if position is None else position.opened.id)

    def _decide_withdrawal(self, event: AlertOutcome) -> Decision | None:
        """A BUY that can not have arrived: nobody was told, so the position never was."""
        last = self.book.last
        if last is None or event.kind is not AlertKind.BUY or event.id != last.id or event.channel:
            return None  # what became of it elsewhere settles nothing
        if event.outcome not in (Outcome.REFUSED, Outcome.UNSENT):
            return None
        return Withdrawn(id=last.id, contract=last.contract, detail=event.detail)

    def _decide_mark(self, now: int, position: Position) -> Decision | None:
        marks, opened = position.marks, position.opened
        value = marks.usable.mid
        if not marks.lost and marks.is_missed(now):
            return MarkLost(id=opened.id, contract=opened.contract, since=marks.usable_at, mark=value)
        if marks.lost and not marks.is_lost(now):
            return MarkBack(id=opened.id, contract=opened.contract, since=marks.lost_since, mark=value)
        return None

    def _decide_exit(self, now: int, position: Position) -> Decision | None:
        rules, opened = self.rules, position.opened
        # Exits that need bars pause while blind, until the symbol's first bar after it, and on values that are old.
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
        return None if reason is None else self._closed(now, position, reason)

    def _closed(self, now: int, position: Position, reason: ExitReason) -> Closed:
        opened, marks = position.opened, position.marks
        limits = {
            ExitReason.STOP_LOSS: self.rules.stop_loss_percent,
            ExitReason.HARD_GIVEBACK: self.rules.max_giveback_percent,
            ExitReason.VWAP_GIVEBACK: self.rules.tighten_giveback_percent,
        }
        age = self.price_age(now)
        return Closed(
            id=opened.id,
            contract=opened.contract,
            reason=reason,
            price=self.signals.price if age is not None and age <= self.values_used else None,
            vwap=self.signals.vwap if self.is_fresh(now) else None,
            entry=opened.entry,
            opened_at=position.opened_at,
            peak=position.peak,
            mark=marks.usable.mid,
            mark_at=marks.usable_at,
            bid=marks.usable.bid,
            bid_size=marks.usable.bid_size,
            limit_percent=limits.get(reason),
            time_stop=opened.time_stop,
            late=now - opened.time_stop if reason is ExitReason.TIME_STOP else 0,
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
            return self._declined(
                evaluation, evaluation.vwap_1m, evaluation.momentum, Refused(reason=evaluation.gate)
            )
        choice = select(
            self.rules,
            now=now,
            close=self.session.close,
            spot=evaluation.price,
            rows=self.chain,
            prices={
                contract: price_of(quote, at, arrived)
                for contract, (at, arrived, quote, _) in self._quotes.items()
            },
            chain_age=now - self.chain_at if self.chain_at is not None else now,
        )
        if isinstance(choice, Refused):
            return self._declined(evaluation, evaluation.vwap_1m, evaluation.momentum, choice)
        return self._opened(now, evaluation, evaluation.vwap_1m, evaluation.momentum, choice)

    def _declined(self, evaluation: Evaluation, vwap: float, momentum: float, refused: Refused) -> Declined:
        return Declined(
            reason=refused.reason,
            hold=evaluation.hold,
            price=evaluation.price,
            vwap=vwap,
            momentum=momentum,
            volume_z=evaluation.volume_z,
            considered=refused.considered,
            fallen=refused.fallen,
            doubted=refused.doubted,
        )

    def _opened(
        self, now: int, evaluation: Evaluation, vwap: float, momentum: float, choice: Selected
    ) -> Opened:
        rules, row, price = self.rules, choice.row, choice.price
        name = f"{self.session.date}|{row.contract}|{now}"
        return Opened(
            id=hashlib.sha256(name.encode()).hexdigest()[:ID_DIGITS],
            contract=row.contract,
            strike=row.strike,
            expiry=self.session.date,
            price=evaluation.price,
            vwap=vwap,
            momentum=momentum,
            volume_z=evaluation.volume_z,
            delta=choice.delta,
            iv=choice.iv,
            in_range=choice.in_range,
            mid=price.mid,
            bid=price.bid,
            ask=price.ask,
            bid_size=price.bid_size,
            ask_size=price.ask_size,
            entry=choice.entry,
            stop=choice.stop,
            pay_limit=pay_limit(choice.entry, rules),
            pay_until=now + rules.pay_limit_seconds * SECOND,
            time_stop=self._time_stop,
            entry_number=self.book.entries + 1,
            considered=choice.considered,
            fallen=choice.fallen,
            cost_percent=choice.cost_percent,
            doubted=choice.doubted,
        )

    # --- Evolve ---

    def _evolve(self, now: int, decision: Decision) -> None:
        """Move the state by a decision, whether just made or read from the record."""
        self.book.evolve(now, decision, self._evaluated_start)
        if isinstance(decision, FeedAlarmed | FeedRecovered):
            self.feed.evolve(now, decision)
