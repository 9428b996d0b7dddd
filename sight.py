"""Whether the market can be seen: facts about the feed in, blindness and the pushes that it calls for out.

Life is counted in progress, a second newer than any before of its symbol, and never in messages: a repeat, a
correction, a status or a backfilled bar says nothing about the socket. It is counted for the feed as a whole, for the
traded symbol and for the benchmark, because one of them may end while the other goes on.

`Sight` has three states of its own. The link (`Link`) follows the facts. Sight itself is clear (``cause`` is None) or
blind; it goes blind in `judge` and sees again in `arrive`, with the first progress in time after which no cause is
left. What the owner was told (`Telling`) moves by the table `TELLING` alone.
"""

from __future__ import annotations

from enum import StrEnum
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
from lags import Lags
from rules import Rules
from telling import TELLING, Absence, Step, Telling, Told

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


class Link(StrEnum):
    """State of the stocks connection, as the facts have it."""

    NEVER = "never connected"
    DOWN = "down"
    UP = "up"


class Sight:
    """Whether bars arrive in time to act on, which spans have gaps, and what the owner was told."""

    def __init__(self, rules: Rules, session: Session) -> None:
        self._rules = rules
        self._open, self._close = session.open, session.close
        self._symbol = rules.symbol
        self._benchmark = rules.benchmark
        self._stall, self._long_silence = (
            rules.stall_seconds * SECOND,
            rules.silence_alarm_seconds * SECOND,
        )
        self._missed, self._unseen = (
            seconds * SECOND for seconds in (rules.symbol_silence_seconds, rules.symbol_unseen_seconds)
        )
        self._lag_limit = rules.max_lag_seconds * SECOND
        # The link
        self._link = Link.NEVER
        self._lost = FeedLost(cause=FeedCause.NOT_CONNECTED)
        self._lost_at: int | None = None
        self._restored_at = 0
        self._gaps_tell = True
        # Progress
        self._progressed_at = 0
        """When any symbol last progressed, µs."""
        self._progress_at = dict.fromkeys(rules.symbols, 0)
        """When each symbol last progressed, µs."""
        self._newest = dict.fromkeys(rules.symbols, 0)
        """Start of each symbol's newest live second, µs."""
        self._seen_end = dict.fromkeys(rules.symbols, 0)
        """End of each symbol's last progress in time, µs."""
        self._lags = Lags(rules)
        self._lags_of = {symbol: Lags(rules) for symbol in rules.symbols}
        self._is_stalled = False
        """Whether a stall of the traded symbol was confirmed and it has not come since."""
        # Blindness
        self.cause: FeedCause | None = None
        """Why the feed is blind; None while it sees."""
        self.symbol = ""
        """The symbol that the cause concerns; empty when it concerns the whole feed."""
        self.blind_since = self._slept = 0
        """When the feed went blind, and for how much of the time since then the program did not run, µs."""
        self.spells = 0
        self.well_until = 0
        """Until then (µs) nothing but a bar or a fact about the feed can make it blind: no need to `judge`.

        It is at most the earliest time at which a silence (of all, of the traded symbol, of the benchmark) reaches
        its limit if no bar comes. A bar can only put those times off, or make a median late; `arrive` sets it to 0
        in the second case. `tests/test_sight.py` holds it against a judge that never skips.
        """
        self._unseen_at = 0
        """A lower bound of when a symbol counts as unseen, as of the last `judge`; later progress only puts it off."""
        self._woke_at = self._flows_since = 0
        """When the program last went on after it had not run (see `wake`); and since when one symbol's silence tells
        something beside the other's bars: then, or the end of the last long silence of all (a halt). µs."""
        # What the owner was told
        self._told = Told(rules)
        self.recovered: FeedRecovered | None = None
        """The recovery to be told after a blind spell; None if there is none."""
        self.absence: Absence | None = None
        """The benchmark's absence, until its end has been told."""
        self.gaps = Gaps(rules, session)

    # --- What can be asked ---

    @property
    def is_blind(self) -> bool:
        """Whether bars are not arriving, or arrive too late to act on."""
        return self.cause is not None

    @property
    def lag(self) -> int | None:
        """Median time from the end of a second to its bar's arrival, of the last bars, µs; None without one."""
        return self._lags.median

    def newest(self, symbol: str) -> int | None:
        """Start of the newest live bar of a symbol, µs; None without one."""
        return self._newest.get(symbol) or None

    def is_newer(self, bar: Bar) -> bool:
        """Whether a live bar is progress: its second is newer than any live bar of its symbol so far."""
        return bar.start > self._newest.get(bar.symbol, bar.start)

    @property
    def unknown_from(self) -> int:
        """Start (µs) of the first second that may be missing for some symbol: in a gap, or after its last live bar."""
        ends = [newest + SECOND if newest else 0 for newest in self._newest.values()]
        return max(self._open, min(self.gaps.starts + ends))

    # --- Facts about the feed ---

    def wake(self, now: int, away: int) -> None:
        """Go on after ``away`` µs in which the program did not run, or which its clock stepped over.

        The span is silence, so nothing is acted on before a bar has come in time. But it says nothing about the feed,
        whose bars may still lie unread: it is given its time anew before it is called unseen or late, or an alarm is due.
        """
        self._woke_at = self._flows_since = now
        self._slept += away
        self.judge(now)
        self.well_until = 0

    def learn(self, now: int, event: Covered | FeedLost | FeedRestored) -> None:
        """Record a fact about the feed."""
        self.well_until = 0
        match event:
            case Covered():
                self.gaps.cover(event)
            case FeedLost():
                self._lose(now, event)
            case FeedRestored():
                self._restore(now, event)
            case _:
                assert_never(event)

    def _lose(self, now: int, event: FeedLost) -> None:
        """The socket is down, or must be treated as down."""
        if self._link is Link.UP or self._lost_at is None:
            self._lost_at = now
        self._link = Link.DOWN
        self._lost = event
        if not event.symbol:
            return
        if event.symbol == self._symbol:
            self._is_stalled = True
        elif event.symbol == self._benchmark and self.absence is None:
            self.absence = Absence(event.cause, self._last_end(now, self._benchmark))

    def _restore(self, now: int, event: FeedRestored) -> None:
        """Subscriptions are acknowledged. What was missed before now is a gap until REST has filled it."""
        self._link = Link.UP
        self._lost_at = None
        self._restored_at = now
        self._gaps_tell = event.gaps_tell
        for symbol, newest in self._newest.items():
            self.gaps.open(symbol, newest + SECOND, now)

    # --- Bars ---

    def arrive(self, now: int, bar: Bar) -> None:
        """Record a live bar that is a first print or progress: its lag, the sign of life it is, and recovery.

        Inlined: every bar passes through here.
        """
        symbol, start = bar.symbol, bar.start
        lag = now - start - SECOND
        lag = lag if lag > 0 else 0  # it may end a little ahead of our clock
        lags, own = self._lags, self._lags_of[symbol]
        # What came while nobody read is late by no fault of the feed.
        counted = lag if lag <= now - self._woke_at else now - self._woke_at
        if counted > self._lag_limit or lags.late or own.late:
            lags.add(counted)
            own.add(counted)
            if lags.may_be_late or own.may_be_late:
                self.well_until = 0
        else:
            lags.values.append(counted)
            own.values.append(counted)
        if start > self._newest[symbol]:
            progress_at = self._progress_at
            if now - progress_at[symbol] >= self._missed and self._was_silent(now, symbol, self._missed):
                # Whatever it did meanwhile was not sent, or not traded: REST must say which.
                self.gaps.open(symbol, max(self._newest[symbol] + SECOND, self._restored_at), start)
            if now - self._progressed_at >= self._long_silence <= self._silence(now):
                self._flows_since = now
            self._progressed_at = progress_at[symbol] = now
            self._newest[symbol] = start
            if self._is_stalled and symbol == self._symbol:
                self._is_stalled = False
            if lag <= self._lag_limit:
                if self.cause is not None or self.absence is not None:
                    self._see(now, symbol, start)
                self._seen_end[symbol] = start + SECOND
        if now < self.well_until:
            silent_at = self._progressed_at + self._stall
            self.well_until = silent_at if silent_at < self._unseen_at else self._unseen_at

    def _see(self, now: int, symbol: str, start: int) -> None:
        """Handle progress in time while blind or without the benchmark."""
        if self.cause is not None and self._link is Link.UP:
            self._see_again(now, symbol, start)
        if self.absence is not None and symbol == self._benchmark:
            self._end_absence(start)

    def _see_again(self, now: int, symbol: str, start: int) -> None:
        """Handle progress in time while blind: the spell ends if no cause is left."""
        own = self._lags_of[symbol]
        # A punctual bar ends the lateness of its own symbol only.
        if own.leans_late or not any(lags.leans_late for lags in self._lags_of.values()):
            own.clear()
            self._lags.clear()
        cause = self.cause
        if cause is None or self._find_cause(now) is not None:
            return
        if self._told.end_spell():
            begin = self._blind_from
            self.recovered = FeedRecovered(
                cause=cause, gap_start=begin, gap_end=max(begin, start), position=None, symbol=self.symbol
            )
        self.cause, self.symbol = None, ""
        self.well_until = 0

    def _end_absence(self, start: int) -> None:
        absence = self.absence
        assert absence is not None, "there is one to end"
        absence.until = max(absence.since, start)
        absence.telling = TELLING[absence.telling, Step.ENDED]
        if absence.telling is Telling.QUIET:
            self.absence = None

    # --- Blindness ---

    def judge(self, now: int) -> None:
        """Go blind when there is a cause. Blindness ends in `arrive`, because it takes a bar."""
        if self._lost_at is None and self._link is not Link.UP:
            self._lost_at = now
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
        if self.absence is None and self._benchmark and self._is_overdue(now, self._benchmark):
            self.absence = Absence(FeedCause.UNSEEN, self._last_end(now, self._benchmark))
        self._unseen_at = self._next_unseen(now)
        self.well_until = min(now - self._silence(now) + self._stall, self._unseen_at)

    def _silence(self, now: int) -> int:
        """Time since the latest of: last progress, the open, subscriptions acknowledged. µs."""
        return now - max(self._progressed_at, self._open, self._restored_at)

    def _was_silent(self, now: int, symbol: str, span: int) -> bool:
        """Whether a symbol has not progressed for ``span`` (µs) of the session on a connection that stands."""
        if not self._gaps_tell or self._link is not Link.UP or not self._open <= now < self._close:
            return False
        return now - max(self._progress_at[symbol], self._open, self._restored_at) >= span

    def _is_overdue(self, now: int, symbol: str) -> bool:
        """Whether a symbol counts as unseen: silent for so long while the other could be seen."""
        return now - self._flows_since >= self._unseen and self._was_silent(now, symbol, self._unseen)

    def _next_unseen(self, now: int) -> int:
        """When, at the earliest, another symbol counts as unseen, µs; at the close there is nothing left to judge."""
        if not self._gaps_tell:
            return self._close
        ends = [
            max(at, self._open, self._restored_at, self._flows_since) + self._unseen
            for symbol, at in self._progress_at.items()
            if symbol == self._symbol or self.absence is None
        ]
        return min([self._close, *ends])

    def _find_cause(self, now: int) -> tuple[FeedCause, str] | None:
        """Why the feed is blind now, with the symbol's name if only one is affected; None if it is not."""
        if self._link is not Link.UP:
            return self._lost.cause, self._symbol if self._lost.symbol == self._symbol else ""
        if self._silence(now) >= self._stall:
            return FeedCause.SILENCE, ""
        if self._is_stalled:
            return FeedCause.STALL, self._symbol
        if self._is_overdue(now, self._symbol):
            return FeedCause.UNSEEN, self._symbol
        own = self._lags_of[self._symbol]
        if self._lags.is_late or own.is_late:
            late = [symbol for symbol, lags in self._lags_of.items() if lags.leans_late]
            return FeedCause.LAG, self._symbol if late == [self._symbol] and self._benchmark else ""
        return None

    def _last_end(self, now: int, symbol: str) -> int:
        """End (µs) of a symbol's last bar in time; if there was none, the time from which one was due."""
        return self._seen_end[symbol] or min(now, max(self._open, self._restored_at))

    @property
    def _blind_from(self) -> int:
        """End (µs) of the last bar in time before this spell; if there was none, when the spell began."""
        ends = [self._seen_end[self.symbol]] if self.symbol else self._seen_end.values()
        return max(ends) or self.blind_since

    # --- What the owner is told ---

    def _must_be_told(self, now: int, cause: FeedCause) -> bool:
        if now - self.blind_since - self._slept >= self._long_silence:
            return True  # whatever comes and goes meanwhile: there was no bar to act on
        if self._link is not Link.UP:
            since = max(self._lost_at or now, self._open)
            # If the socket was reopened because of the benchmark, its absence is told instead.
            is_certain = cause in TOLD_AT_ONCE and (not self._lost.symbol or self.symbol != "")
            return is_certain or now - since >= self._rules.socket_alarm_seconds * SECOND
        if cause is FeedCause.SILENCE:
            return min(self._silence(now), now - self._woke_at) >= self._long_silence
        return cause in TOLD_AT_ONCE

    def decide(self, now: int, position: str | None) -> FeedAlarmed | FeedRecovered | None:
        """The push that is due, if any: while flat at most one pair per `ALARM_SPACING_SECONDS`, else every one."""
        if self.recovered is not None:
            return msgspec.structs.replace(self.recovered, position=position)
        told, alarm = self._told, None
        if self.cause is not None:
            alarm = told.alarm(now, position, self.cause, self._blind_from, self.symbol)
        if alarm is not None or self.absence is None:
            return alarm
        return told.absence_push(now, position, self.absence, self._benchmark)

    def evolve(self, now: int, decision: FeedAlarmed | FeedRecovered) -> None:
        """Remember what the owner was told."""
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

    def learn_outcome(self, event: AlertOutcome) -> None:
        """Note an alarm that cannot have arrived: its recovery is not told either."""
        self._told.learn_outcome(event, self.absence)
