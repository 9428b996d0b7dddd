"""Whether the market can be seen: facts about the feed in, blindness and the pushes that it calls for out. Pure.

Life is counted in progress, a second newer than any before of its symbol, and never in messages: a repeat, a
correction, a status or a backfilled bar says nothing about the socket. It is counted for the feed as a whole, for the
traded symbol and for the benchmark, because one of them may end while the other goes on.

The link follows the facts by the table `LINK`, and what the owner was told follows the table `TELLING`. Sight itself is
clear (``cause`` is None) or blind: it goes blind in `check`, and sees again in `record_bar` with the first progress in
time after which no cause is left.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from events import (
    SECOND,
    AlertOutcome,
    Bar,
    Covered,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Session,
)
from gaps import Gaps
from link import StocksLink
from progress import FeedProgress
from rules import Rules
from telling import Absence, Told

TOLD_AT_ONCE = frozenset(
    {
        FeedCause.STALL,
        FeedCause.SILENCE,
        FeedCause.UNSEEN,
        FeedCause.EVICTED,
        FeedCause.REFUSED,
        FeedCause.LAG,
    }
)
"""Causes that are told at once. A lost socket is given `SOCKET_ALARM_SECONDS` to come back."""


class Sight:
    """Whether bars arrive in time to act on, which spans have gaps, and what the owner was told. Times are µs."""

    def __init__(self, rules: Rules, session: Session) -> None:
        self._open, self._close = session.open, session.close
        self._symbol, self._benchmark = rules.symbol, rules.benchmark
        self._stall = rules.stall_seconds * SECOND
        self._long_silence = rules.silence_alarm_seconds * SECOND
        self._socket_alarm = rules.socket_alarm_seconds * SECOND
        self._missed = rules.symbol_silence_seconds * SECOND
        self._shortest_silence = min(self._missed, self._long_silence)
        self._lag_limit = rules.max_lag_seconds * SECOND
        self._link = StocksLink()
        self.progress = FeedProgress(rules, session, self._link)
        self.gaps = Gaps(rules, session)
        self._told = Told(rules)
        self._is_stalled = False
        """Whether a stall of the traded symbol was confirmed and it has not come since."""
        self.cause: FeedCause | None = None
        """Why the feed is blind; None while it sees."""
        self.symbol = ""
        """The symbol that the cause concerns; empty when it concerns the whole feed."""
        self.blind_since = self._slept = 0
        """When the feed went blind, and for how much of the time since then the program did not run."""
        self.spells = 0
        self.recovered: FeedRecovered | None = None
        """The recovery to be told after a blind spell; None if there is none."""
        self.absence: Absence | None = None
        """The benchmark's absence, until its end has been told."""
        self.well_until = self._overdue_at = 0
        """Until ``well_until`` only a bar or a fact about the feed can make it blind: no need to `check`.

        It is at most the earliest time at which a silence (of all, of the traded symbol, of the benchmark) reaches its
        limit if no bar comes. A bar can only put those times off, or make a median late; `record_bar` sets it to 0 in
        the second case. ``_overdue_at`` is the part that concerns single symbols, as of the last `check`.
        `tests/test_sight.py` compares it with a slow reference that never skips a check."""
        self._woke_at = 0
        """When the program last went on after it had not run: see `wake`."""

    @property
    def is_blind(self) -> bool:
        """Returns whether bars do not arrive, or arrive too late to act on."""
        return self.cause is not None

    @property
    def unknown_from(self) -> int:
        """Returns the start of the first second that may be missing: in a gap, or after some symbol's last live bar."""
        ends = [own.start + SECOND if own.start else 0 for own in self.progress.of.values()]
        return max(self._open, min(self.gaps.starts + ends))

    # --- Facts about the feed ---

    def wake(self, now: int, away: int) -> None:
        """Goes on after ``away`` µs in which the program did not run, or which its clock stepped over.

        The span is silence, so nothing is acted on before a bar has come in time. But it says nothing about the feed,
        whose bars may still lie unread: every limit starts anew before the feed counts as unseen or late, or an alarm
        is due.
        """
        self._woke_at = self.progress.flows_since = now
        self._slept += away
        self.check(now)
        self.well_until = 0

    def record(self, now: int, event: Covered | FeedLost | FeedRestored) -> None:
        """Records a fact about the feed. What was missed before it was restored is a gap until REST has filled it."""
        self.well_until = 0
        match event:
            case Covered():
                self.gaps.cover(event)
            case FeedLost():
                self._link.lose(now, event)
                if event.symbol and event.symbol == self._symbol:
                    self._is_stalled = True
                elif event.symbol and event.symbol == self._benchmark and self.absence is None:
                    self.absence = Absence(event.cause, self.progress.last_end(now, self._benchmark))
            case FeedRestored():
                self._link.restore(now, event)
                for symbol, own in self.progress.of.items():
                    self.gaps.open(symbol, own.start + SECOND, now)
            case _:
                assert_never(event)

    # --- Bars ---

    def record_bar(self, now: int, bar: Bar) -> None:
        """Records a live bar that is a first print or progress: its lag, the sign of life it is, and recovery.

        Inlined, because every bar passes through here.
        """
        symbol, start, progress = bar.symbol, bar.start, self.progress
        own = progress.of[symbol]
        lag = now - start - SECOND
        lag = lag if lag > 0 else 0  # it may end a little ahead of our clock
        lags, own_lags = progress.lags, own.lags
        # A bar that lay unread while the program did not run is not late by the feed's fault.
        counted = lag if lag <= now - self._woke_at else now - self._woke_at
        if counted > self._lag_limit or lags.late or own_lags.late:
            lags.add(counted)
            own_lags.add(counted)
            if lags.may_be_late or own_lags.may_be_late:
                self.well_until = 0
        else:
            lags.values.append(counted)
            own_lags.values.append(counted)
        if start <= own.start:
            return
        if now - own.at >= self._shortest_silence:
            self._end_silence(now, symbol, start)
        progress.any_at = own.at = now
        own.start = start
        if self._is_stalled and symbol == self._symbol:
            self._is_stalled = False
        if lag <= self._lag_limit:
            if self.cause is not None or self.absence is not None:
                self._see(now, symbol, start)
            own.seen_end = start + SECOND
        if now < self.well_until:
            silent_at = now + self._stall
            self.well_until = silent_at if silent_at < self._overdue_at else self._overdue_at

    def _end_silence(self, now: int, symbol: str, start: int) -> None:
        """Handles progress of a symbol that was silent for a while: its second at ``start`` has come."""
        progress, own = self.progress, self.progress.of[symbol]
        if now - own.at >= self._missed and progress.was_silent(now, symbol, self._missed):
            # What it did meanwhile was not sent, or it did not trade: REST must say which.
            self.gaps.open(symbol, max(own.start + SECOND, self._link.restored_at), start)
        if now - progress.any_at >= self._long_silence <= progress.silence(now):
            progress.flows_since = now

    def _see(self, now: int, symbol: str, start: int) -> None:
        """Handles progress in time while blind or without the benchmark."""
        if self.cause is not None and self._link.is_up:
            self._see_again(now, symbol, start)
        if self.absence is not None and symbol == self._benchmark and not self.absence.end(start):
            self.absence = None

    def _see_again(self, now: int, symbol: str, start: int) -> None:
        """Handles progress in time while blind: the spell ends if no cause is left."""
        progress = self.progress
        own = progress.of[symbol].lags
        # A punctual bar ends the lateness of its own symbol only.
        if own.leans_late or not any(each.lags.leans_late for each in progress.of.values()):
            own.clear()
            progress.lags.clear()
        cause = self.cause
        if cause is None or self._find_cause(now) is not None:
            return
        if self._told.end_spell():
            begin = progress.seen_until(self.symbol) or self.blind_since
            self.recovered = FeedRecovered(
                cause=cause, gap_start=begin, gap_end=max(begin, start), position=None, symbol=self.symbol
            )
        self.cause, self.symbol = None, ""
        self.well_until = 0

    # --- Blindness ---

    def check(self, now: int) -> None:
        """Goes blind if there is a cause. Blindness ends in `record_bar`, because it takes a bar."""
        self._link.wait_from(now)
        if not self._open <= now < self._close:
            self.cause, self.symbol, self.absence = None, "", None
            return
        found = self._find_cause(now)
        if found is not None:
            if self.cause is None:
                self.blind_since, self._slept = now, 0
                self.spells += 1
            self.cause, self.symbol = found
        if self.cause is not None:
            if found is not None and self._must_be_told(now, self.cause):
                self._told.must_be_told()
            return
        progress, benchmark = self.progress, self._benchmark
        if self.absence is None and benchmark and progress.is_overdue(now, benchmark):
            self.absence = Absence(FeedCause.UNSEEN, progress.last_end(now, benchmark))
        is_awaited = benchmark and self.absence is None
        self._overdue_at = progress.next_overdue((self._symbol, benchmark) if is_awaited else (self._symbol,))
        self.well_until = min(now - progress.silence(now) + self._stall, self._overdue_at)

    def _find_cause(self, now: int) -> tuple[FeedCause, str] | None:
        """Returns why the feed is blind now, and the symbol if only one is affected; None if it is not blind."""
        progress = self.progress
        if not self._link.is_up:
            lost = self._link.lost
            return lost.cause, self._symbol if lost.symbol == self._symbol else ""
        if progress.silence(now) >= self._stall:
            return FeedCause.SILENCE, ""
        if self._is_stalled:
            return FeedCause.STALL, self._symbol
        if progress.is_overdue(now, self._symbol):
            return FeedCause.UNSEEN, self._symbol
        if progress.lags.is_late or progress.of[self._symbol].lags.is_late:
            late = [symbol for symbol, own in progress.of.items() if own.lags.leans_late]
            return FeedCause.LAG, self._symbol if late == [self._symbol] and self._benchmark else ""
        return None

    # --- What the owner is told ---

    def _must_be_told(self, now: int, cause: FeedCause) -> bool:
        if now - self.blind_since - self._slept >= self._long_silence:
            return True  # whatever the causes were meanwhile, there was no bar to act on
        if not self._link.is_up:
            since = max(self._link.lost_at or now, self._open)
            # If the socket was reopened because of the benchmark, its absence is told instead.
            is_certain = cause in TOLD_AT_ONCE and (not self._link.lost.symbol or self.symbol != "")
            return is_certain or now - since >= self._socket_alarm
        if cause is FeedCause.SILENCE:
            return min(self.progress.silence(now), now - self._woke_at) >= self._long_silence
        return cause in TOLD_AT_ONCE

    def decide(self, now: int, position: str | None) -> FeedAlarmed | FeedRecovered | None:
        """Returns the push that is due, if any. While flat there is at most one pair per `ALARM_SPACING_SECONDS`."""
        if self.recovered is not None:
            return msgspec.structs.replace(self.recovered, position=position)
        told, alarm = self._told, None
        if self.cause is not None:
            since = self.progress.seen_until(self.symbol) or self.blind_since
            alarm = told.alarm(now, position, self.cause, since, self.symbol)
        if alarm is not None or self.absence is None:
            return alarm
        return told.absence_push(now, position, self.absence, self._benchmark)

    def evolve(self, now: int, decision: FeedAlarmed | FeedRecovered) -> None:
        """Remembers what the owner was told."""
        is_absence = bool(decision.symbol) and decision.symbol == self._benchmark
        if not is_absence:
            self._told.evolve(now, decision)
            if isinstance(decision, FeedRecovered):
                self.recovered = None
        elif isinstance(decision, FeedAlarmed):
            self.absence = self.absence or Absence(decision.cause, decision.since)
            self._told.evolve_absence(now, decision, self.absence)
        else:
            self.absence = None

    def record_outcome(self, event: AlertOutcome) -> None:
        """Records an alarm that cannot have arrived: its recovery is not told either."""
        self._told.record_outcome(event, self.absence)
