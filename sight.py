"""Whether the market can be seen: facts about the feed in, blindness and the pushes that it calls for out.

Life is counted in progress, a second newer than any before of its symbol, and never in messages: a repeat, a
correction, a status or a backfilled bar says nothing about the socket. It is counted for the feed as a whole, for the
traded symbol and for the benchmark, because one of them may end while the other goes on.

`Sight` has three states of its own. The link (`Link`) follows the facts. Sight itself is clear (``cause`` is None) or
blind; it goes blind in `judge` and sees again in `arrive`, with the first progress in time after which no cause is
left. What the owner was told (`Telling`) moves by the table `TELLING` alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import assert_never

import msgspec

from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Bar,
    Covered,
    FeedAlarmed,
    FeedCause,
    FeedLost,
    FeedRecovered,
    FeedRestored,
    Outcome,
    Session,
    named_cause,
)
from rules import Rules

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

NAMED_BY_THE_VENDOR = frozenset({FeedCause.EVICTED, FeedCause.REFUSED})
"""Causes that only the owner can remove: told by name even if the owner already knows that the feed is blind."""


class Link(StrEnum):
    """State of the stocks connection, as the facts have it."""

    NEVER = "never connected"
    DOWN = "down"
    UP = "up"


class Telling(StrEnum):
    """State of one pair of pushes: an alarm, and a recovery that is told only if its alarm was."""

    QUIET = "nothing to tell"
    DUE = "alarm due"
    ALARMED = "alarm told"
    FAILED = "alarm not delivered"
    OVER = "recovery due"


class Step(StrEnum):
    """What moves a pair of pushes."""

    MUST_BE_TOLD = "must be told"
    ENDED = "ended"
    ALARM = "alarm pushed"
    UNDELIVERED = "alarm cannot have arrived"
    RECOVERY = "recovery pushed"


TELLING: Mapping[tuple[Telling, Step], Telling] = {
    (Telling.QUIET, Step.MUST_BE_TOLD): Telling.DUE,
    (Telling.DUE, Step.MUST_BE_TOLD): Telling.DUE,
    (Telling.ALARMED, Step.MUST_BE_TOLD): Telling.ALARMED,
    (Telling.FAILED, Step.MUST_BE_TOLD): Telling.FAILED,
    (Telling.OVER, Step.MUST_BE_TOLD): Telling.OVER,
    (Telling.QUIET, Step.ENDED): Telling.QUIET,
    (Telling.DUE, Step.ENDED): Telling.QUIET,
    (Telling.ALARMED, Step.ENDED): Telling.OVER,
    (Telling.FAILED, Step.ENDED): Telling.QUIET,
    (Telling.OVER, Step.ENDED): Telling.OVER,
    **{(state, Step.UNDELIVERED): state for state in Telling},
    (Telling.ALARMED, Step.UNDELIVERED): Telling.FAILED,
    # A recorded decision is applied even where this version would have decided otherwise.
    **dict.fromkeys([(state, Step.ALARM) for state in Telling], Telling.ALARMED),
    **dict.fromkeys([(state, Step.RECOVERY) for state in Telling], Telling.QUIET),
}


class Lags:
    """The lags (µs) of the last bars, and whether their median exceeds the limit.

    ``late`` counts the lags over the limit. A median can exceed it only if at least half of them do
    (``2 * late >= n``), so the lags are sorted only then.
    """

    def __init__(self, rules: Rules) -> None:
        self._limit = rules.max_lag_seconds * SECOND
        self._count = rules.lag_bars
        self.values: deque[int] = deque(maxlen=rules.lag_bars)
        self.late = 0

    def add(self, lag: int) -> None:
        """Record the lag of the next bar."""
        lags = self.values
        if self.late and len(lags) == self._count and lags[0] > self._limit:
            self.late -= 1
        lags.append(lag)
        if lag > self._limit:
            self.late += 1

    def clear(self) -> None:
        """Forget every bar."""
        self.values.clear()
        self.late = 0

    @property
    def may_be_late(self) -> bool:
        """Whether the median may exceed the limit. False is certain; True needs a sort to confirm."""
        return self.late > 0 and 2 * self.late >= len(self.values)

    @property
    def leans_late(self) -> bool:
        """Whether the median exceeds the limit, even if it is of only a few bars."""
        if not self.may_be_late:
            return False
        ordered, count = sorted(self.values), len(self.values)
        return ordered[(count - 1) // 2] + ordered[count // 2] > 2 * self._limit

    @property
    def is_full(self) -> bool:
        """Whether there are `LAG_BARS` lags."""
        return len(self.values) == self._count

    @property
    def is_late(self) -> bool:
        """Whether the median of `LAG_BARS` lags exceeds the limit."""
        return self.is_full and self.leans_late

    @property
    def median(self) -> int | None:
        """The median, µs; None without a bar."""
        return sorted(self.values)[len(self.values) // 2] if self.values else None


class Absence:
    """The benchmark sends no bars while the traded symbol does. This is no blindness, but `spy_lag` cannot hold."""

    def __init__(self, cause: FeedCause, since: int) -> None:
        self.cause = cause
        self.since = since
        """End of its last bar in time, or when it was first missed, µs."""
        self.until = since
        """Start of the bar that ended it, µs."""
        self.telling = Telling.DUE
        self.alarm_id = ""


ALARM_KINDS = frozenset({AlertKind.FEED_BLIND, AlertKind.EVICTED, AlertKind.REFUSED})
"""The pushes that an alarm can become."""

NOT_ARRIVED = frozenset({Outcome.REFUSED, Outcome.UNSENT})
"""Outcomes after which the alarm cannot have arrived."""


def reach_seconds(rules: Rules) -> dict[str, int]:
    """Returns how far back (s) the conditions look at each symbol: an entry needs that span without a gap.

    Only `spy_lag` looks at the benchmark. For the traded symbol the volume conditions look back furthest: a second lost
    there would count as one without volume.
    """
    change = rules.roc_seconds + rules.roc_tolerance_seconds
    own = max(
        change,
        rules.vwap_long_seconds + rules.vwap_long_shift_seconds,
        rules.vwap_short_seconds + rules.vwap_rising_seconds,
        rules.momentum_seconds,
        rules.volume_window_seconds,
        rules.relative_volume_seconds,
    )
    return {symbol: own if symbol == rules.symbol else change for symbol in rules.symbols}


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
        self._telling = Telling.QUIET
        self._told: set[FeedCause] = set()
        self._alarmed_at: int | None = None
        self._untold = 0
        self._alarm_id = ""
        self.recovered: FeedRecovered | None = None
        """The recovery to be told after a blind spell; None if there is none."""
        self.absence: Absence | None = None
        """The benchmark's absence, until its end has been told."""
        # Coverage
        self._reach = {symbol: reach * SECOND for symbol, reach in reach_seconds(rules).items()}
        self._uncovered: dict[str, list[tuple[int, int]]] = {symbol: [] for symbol in rules.symbols}
        self.has_gaps = False
        """Whether any span of any symbol is uncovered."""

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
        gaps = [start for pieces in self._uncovered.values() for start, _ in pieces]
        ends = [newest + SECOND if newest else 0 for newest in self._newest.values()]
        return max(self._open, min(gaps + ends))

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
                self._cover(event)
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
            self._open_gap(symbol, newest + SECOND, now)

    # --- Coverage ---

    def _open_gap(self, symbol: str, start: int, end: int) -> None:
        """Note a span in which seconds of a symbol may be missing. Gaps that touch it are merged with it."""
        start, end = max(self._open, start), min(end, self._close)
        if start >= end:
            return
        apart = []
        for gap in self._uncovered[symbol]:
            if gap[0] <= end and start <= gap[1]:
                start, end = min(start, gap[0]), max(end, gap[1])
            else:
                apart.append(gap)
        self._uncovered[symbol] = sorted([*apart, (start, end)])
        self.has_gaps = True

    def _cover(self, covered: Covered) -> None:
        """Remove a span that REST has answered for from the gaps."""
        gaps = self._uncovered.get(covered.symbol)
        if gaps is None:
            return
        self._uncovered[covered.symbol] = [
            piece
            for start, end in gaps
            for piece in ((start, min(end, covered.start)), (max(start, covered.end), end))
            if piece[0] < piece[1]
        ]
        self.has_gaps = any(self._uncovered.values())

    def is_covered(self, start: int) -> bool:
        """Whether no gap lies in any window that ends with the second at ``start`` (µs)."""
        return not any(
            gap_start <= start and gap_end > start - self._reach[symbol]
            for symbol, gaps in self._uncovered.items()
            for gap_start, gap_end in gaps
        )

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """The uncovered spans of the traded symbol, µs, end exclusive."""
        return self._uncovered[self._symbol]

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
                self._open_gap(symbol, max(self._newest[symbol] + SECOND, self._restored_at), start)
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
        if self._telling in (Telling.DUE, Telling.FAILED):
            self._untold += 1
            self._told.clear()
        self._telling = TELLING[self._telling, Step.ENDED]
        if self._telling is Telling.OVER:
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
                self._telling = TELLING[self._telling, Step.MUST_BE_TOLD]
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
        return self._blind_alarm(now, position) or self._absence_push(now, position)

    def _blind_alarm(self, now: int, position: str | None) -> FeedAlarmed | None:
        if self.cause is None or self._telling not in (Telling.DUE, Telling.ALARMED, Telling.FAILED):
            return None
        is_named_now = self.cause in NAMED_BY_THE_VENDOR and self.cause not in self._told
        if not (self._is_due(now, self._telling) or is_named_now) or not self._may_alarm(now, position):
            return None
        return FeedAlarmed(
            cause=self.cause,
            since=self._blind_from,
            position=position,
            untold=self._untold,
            symbol=self.symbol,
        )

    def _absence_push(self, now: int, position: str | None) -> FeedAlarmed | FeedRecovered | None:
        absence = self.absence
        if absence is None:
            return None
        if absence.telling is Telling.OVER:
            return FeedRecovered(
                cause=absence.cause,
                gap_start=absence.since,
                gap_end=absence.until,
                position=position,
                symbol=self._benchmark,
            )
        if not self._is_due(now, absence.telling) or not self._may_alarm(now, position):
            return None
        return FeedAlarmed(
            cause=absence.cause, since=absence.since, position=position, untold=0, symbol=self._benchmark
        )

    def _is_due(self, now: int, telling: Telling) -> bool:
        """Whether an alarm must be told. One that was not delivered is due again after the spacing, position or not."""
        return telling is Telling.DUE or (telling is Telling.FAILED and self._may_alarm(now, None))

    def _may_alarm(self, now: int, position: str | None) -> bool:
        spacing = self._rules.alarm_spacing_seconds * SECOND
        return position is not None or self._alarmed_at is None or now - self._alarmed_at >= spacing

    def evolve(self, now: int, decision: FeedAlarmed | FeedRecovered) -> None:
        """Remember what the owner was told."""
        is_absence = bool(decision.symbol) and decision.symbol == self._benchmark
        match decision:
            case FeedAlarmed() if is_absence:
                self._alarmed_at = now
                self.absence = self.absence or Absence(decision.cause, decision.since)
                self.absence.telling = TELLING[self.absence.telling, Step.ALARM]
                self.absence.alarm_id = named_cause(decision.cause, decision.symbol)
            case FeedAlarmed():
                self._alarmed_at = now
                self._told.add(decision.cause)
                self._untold = 0
                self._telling = TELLING[self._telling, Step.ALARM]
                self._alarm_id = named_cause(decision.cause, decision.symbol)
            case FeedRecovered() if is_absence:
                self.absence = None
            case FeedRecovered():
                self._told.clear()
                self._telling = TELLING[self._telling, Step.RECOVERY]
                self.recovered = None
            case _:
                assert_never(decision)

    def learn_outcome(self, event: AlertOutcome) -> None:
        """Note an alarm that cannot have arrived: its recovery is not told either."""
        if event.kind not in ALARM_KINDS or event.outcome not in NOT_ARRIVED or event.channel:
            return
        if event.id == self._alarm_id:
            self._telling = TELLING[self._telling, Step.UNDELIVERED]
        if self.absence is not None and event.id == self.absence.alarm_id:
            self.absence.telling = TELLING[self.absence.telling, Step.UNDELIVERED]
