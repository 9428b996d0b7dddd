"""What the owner was told of the feed: one pair of pushes for each blind spell, moved by a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    FeedAlarmed,
    FeedCause,
    FeedRecovered,
    Outcome,
    named_cause,
)
from rules import Rules

NAMED_BY_THE_VENDOR = frozenset({FeedCause.EVICTED, FeedCause.REFUSED})
"""Causes that only the owner can remove: told by name even in a spell that was told already."""


class Telling(StrEnum):
    """State of one pair of pushes: an alarm, and a recovery that is told only if its alarm was."""

    QUIET = "nothing to tell"
    DUE = "alarm due"
    ALARMED = "alarm told"
    FAILED = "alarm not delivered"
    OVER = "recovery due"


class TellingStep(StrEnum):
    """What moves a pair of pushes."""

    MUST_BE_TOLD = "must be told"
    ENDED = "ended"
    ALARM = "alarm pushed"
    UNDELIVERED = "alarm cannot have arrived"
    RECOVERY = "recovery pushed"


TELLING: Mapping[tuple[Telling, TellingStep], Telling] = {
    (Telling.QUIET, TellingStep.MUST_BE_TOLD): Telling.DUE,
    (Telling.DUE, TellingStep.MUST_BE_TOLD): Telling.DUE,
    (Telling.ALARMED, TellingStep.MUST_BE_TOLD): Telling.ALARMED,
    (Telling.FAILED, TellingStep.MUST_BE_TOLD): Telling.FAILED,
    (Telling.OVER, TellingStep.MUST_BE_TOLD): Telling.OVER,
    (Telling.QUIET, TellingStep.ENDED): Telling.QUIET,
    (Telling.DUE, TellingStep.ENDED): Telling.QUIET,
    (Telling.ALARMED, TellingStep.ENDED): Telling.OVER,
    (Telling.FAILED, TellingStep.ENDED): Telling.QUIET,
    (Telling.OVER, TellingStep.ENDED): Telling.OVER,
    **{(state, TellingStep.UNDELIVERED): state for state in Telling},
    (Telling.ALARMED, TellingStep.UNDELIVERED): Telling.FAILED,
    # A recorded decision is applied even where this version would have decided otherwise.
    **dict.fromkeys([(state, TellingStep.ALARM) for state in Telling], Telling.ALARMED),
    **dict.fromkeys([(state, TellingStep.RECOVERY) for state in Telling], Telling.QUIET),
}


class Absence:
    """The benchmark sends no bars while the traded symbol does. This is not blindness, but `spy_lag` cannot be met."""

    def __init__(self, cause: FeedCause, since: int) -> None:
        self.cause = cause
        self.since = since
        """End of its last bar in time, or when it was first missed, µs."""
        self.until = since
        """Start of the bar that ended it, µs."""
        self.telling = Telling.DUE
        self.alarm_id = ""

    def end(self, start: int) -> bool:
        """Ends it with the benchmark's bar at ``start`` (µs). Returns whether that end must be told."""
        self.until = max(self.since, start)
        self.telling = TELLING[self.telling, TellingStep.ENDED]
        return self.telling is not Telling.QUIET


ALARM_KINDS = frozenset({AlertKind.FEED_BLIND, AlertKind.EVICTED, AlertKind.REFUSED})
"""The pushes that an alarm can become."""


NOT_ARRIVED = frozenset({Outcome.REFUSED, Outcome.UNSENT})
"""Outcomes after which the alarm cannot have arrived."""


class Told:
    """What the owner was told of the feed's blind spells, and when the next alarm may be pushed."""

    def __init__(self, rules: Rules) -> None:
        self._spacing = rules.alarm_spacing_seconds * SECOND
        self._telling = Telling.QUIET
        self._causes: set[FeedCause] = set()
        """The causes that were told in this spell."""
        self._alarmed_at: int | None = None
        self._untold = 0
        """Blind spells since the last alarm that ended before they were told."""
        self._alarm_id = ""

    # --- A blind spell ---

    def must_be_told(self) -> None:
        """Notes that the spell in progress must be told."""
        self._telling = TELLING[self._telling, TellingStep.MUST_BE_TOLD]

    def end_spell(self) -> bool:
        """Ends the spell in progress. Returns whether that must be told, because its alarm was."""
        if self._telling in (Telling.DUE, Telling.FAILED):
            self._untold += 1
            self._causes.clear()
        self._telling = TELLING[self._telling, TellingStep.ENDED]
        return self._telling is Telling.OVER

    def alarm(
        self, now: int, position: str | None, cause: FeedCause, since: int, symbol: str
    ) -> FeedAlarmed | None:
        """Returns the alarm that is due at ``now`` for a spell of ``cause`` since ``since`` (µs); None if none is due."""
        if self._telling not in (Telling.DUE, Telling.ALARMED, Telling.FAILED):
            return None
        is_named_now = cause in NAMED_BY_THE_VENDOR and cause not in self._causes
        if not (self._is_due(now, self._telling) or is_named_now) or not self._may_alarm(now, position):
            return None
        return FeedAlarmed(cause=cause, since=since, position=position, untold=self._untold, symbol=symbol)

    def evolve(self, now: int, decision: FeedAlarmed | FeedRecovered) -> None:
        """Applies what was told of a blind spell."""
        if isinstance(decision, FeedAlarmed):
            self._alarmed_at = now
            self._causes.add(decision.cause)
            self._untold = 0
            self._telling = TELLING[self._telling, TellingStep.ALARM]
            self._alarm_id = named_cause(decision.cause, decision.symbol)
        else:
            self._causes.clear()
            self._telling = TELLING[self._telling, TellingStep.RECOVERY]

    # --- The benchmark's absence ---

    def absence_push(
        self, now: int, position: str | None, absence: Absence, benchmark: str
    ) -> FeedAlarmed | FeedRecovered | None:
        """Returns the push that is due at ``now`` (µs) for the benchmark's absence; None if none is due."""
        if absence.telling is Telling.OVER:
            return FeedRecovered(
                cause=absence.cause,
                gap_start=absence.since,
                gap_end=absence.until,
                position=position,
                symbol=benchmark,
            )
        if not self._is_due(now, absence.telling) or not self._may_alarm(now, position):
            return None
        return FeedAlarmed(
            cause=absence.cause, since=absence.since, position=position, untold=0, symbol=benchmark
        )

    def evolve_absence(self, now: int, decision: FeedAlarmed, absence: Absence) -> None:
        """Applies that the absence was told."""
        self._alarmed_at = now
        absence.telling = TELLING[absence.telling, TellingStep.ALARM]
        absence.alarm_id = named_cause(decision.cause, decision.symbol)

    # --- Both ---

    def record_outcome(self, event: AlertOutcome, absence: Absence | None) -> None:
        """Records an alarm that cannot have arrived: its recovery is not told either."""
        if event.kind not in ALARM_KINDS or event.outcome not in NOT_ARRIVED or event.channel:
            return
        if event.id == self._alarm_id:
            self._telling = TELLING[self._telling, TellingStep.UNDELIVERED]
        if absence is not None and event.id == absence.alarm_id:
            absence.telling = TELLING[absence.telling, TellingStep.UNDELIVERED]

    def _is_due(self, now: int, telling: Telling) -> bool:
        """Returns whether an alarm must be told. One that failed is due again after the spacing, position or not."""
        return telling is Telling.DUE or (telling is Telling.FAILED and self._may_alarm(now, None))

    def _may_alarm(self, now: int, position: str | None) -> bool:
        return position is not None or self._alarmed_at is None or now - self._alarmed_at >= self._spacing
