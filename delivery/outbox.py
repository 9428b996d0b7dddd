"""An alert's life from its submission to its end, as two tables. Pure: what came of an attempt in, what next out.

`PHASES` says where an alert can be, and what takes it from there to where. `MOVES` says what follows from each answer,
by how much is done for the alert (`Care`), and `step` says when.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from delivery.answers import Result
from events import SECOND, Outcome
from messages.alert import Alert

RETRY_DELAYS_S = (5, 10)
"""Pauses before the second and third attempt. The vendor asks for at least 5 s."""

PERSISTENT_RETRY_S = 30
"""Pause between the attempts for a SELL after the first three."""

RETRY_LEAST_S = RETRY_DELAYS_S[0]
"""The least pause between two attempts for one alert, whatever has happened."""

ATTEMPTS = len(RETRY_DELAYS_S) + 1
"""Attempts for an alert that is not persistent."""


class Care(StrEnum):
    """How much is done for an alert."""

    ONCE = "once"
    """BUY, system and quiet pushes: after a refusal or a lost answer, nothing more."""
    SAFETY = "safety"
    """Without it a position may go unwatched: a refusal is not its end."""
    PERSISTENT = "persistent"
    """A SELL, "unwatched", or a safety push that was refused: tried until its time is over."""


def care_for(alert: Alert) -> Care:
    """Returns how much is done for ``alert``."""
    if alert.persistent:
        return Care.PERSISTENT
    return Care.SAFETY if alert.urgent else Care.ONCE


class Phase(StrEnum):
    """Where an alert is between its submission and its end."""

    WAITING = "waiting for its next attempt"
    READYING = "connecting, or connected and waiting for the disk"
    HELD_UP = "waiting for the disk without a connection"
    IN_FLIGHT = "sent, and not answered yet"
    SETTLED = "told, or nothing more is done for it"


class Turn(StrEnum):
    """What takes an alert from one phase to the next."""

    BEGIN = "an attempt begins"
    DISK_SLOW = "the disk has kept a connection waiting for too long"
    DISK_AWAITED = "the decision is on the disk, or the wait for it is over"
    SEND = "the first byte goes out, or the attempt fails before it does"
    POSTPONE = "the attempt came to nothing, and there is another"
    SETTLE = "it is over"


PHASES: Mapping[tuple[Phase, Turn], Phase] = {
    (Phase.WAITING, Turn.BEGIN): Phase.READYING,
    # A BUY is withdrawn by its SELL, a SELL by the end of its BUY, and the least important by too many.
    (Phase.WAITING, Turn.SETTLE): Phase.SETTLED,
    (Phase.READYING, Turn.DISK_SLOW): Phase.HELD_UP,
    (Phase.READYING, Turn.SEND): Phase.IN_FLIGHT,
    (Phase.READYING, Turn.SETTLE): Phase.SETTLED,
    (Phase.HELD_UP, Turn.DISK_AWAITED): Phase.WAITING,
    (Phase.HELD_UP, Turn.SETTLE): Phase.SETTLED,
    (Phase.IN_FLIGHT, Turn.POSTPONE): Phase.WAITING,
    (Phase.IN_FLIGHT, Turn.SETTLE): Phase.SETTLED,
}
"""A pair that is not here is an error of ours, and raises."""


class Move(StrEnum):
    """What follows from an answer."""

    ACCEPTED = "accepted"
    REFUSED = "refused for good"
    LOST = "counts as told"
    RETRY = "again, three attempts in all"
    RETRY_ON = "again until its time is over"
    WAIT = "again once pushes are taken again"


MOVES: Mapping[tuple[Result, Care], Move] = {
    (Result.OK, Care.ONCE): Move.ACCEPTED,
    (Result.OK, Care.SAFETY): Move.ACCEPTED,
    (Result.OK, Care.PERSISTENT): Move.ACCEPTED,
    (Result.REFUSED, Care.ONCE): Move.REFUSED,
    (Result.REFUSED, Care.SAFETY): Move.WAIT,
    (Result.REFUSED, Care.PERSISTENT): Move.WAIT,
    (Result.FAILED, Care.ONCE): Move.RETRY,
    (Result.FAILED, Care.SAFETY): Move.RETRY,
    (Result.FAILED, Care.PERSISTENT): Move.RETRY_ON,
    # Tried again as after any 5xx, but marked: the one before may have arrived.
    (Result.UNCLEAR, Care.ONCE): Move.RETRY,
    (Result.UNCLEAR, Care.SAFETY): Move.RETRY,
    (Result.UNCLEAR, Care.PERSISTENT): Move.RETRY_ON,
    # A lost answer may have been an acceptance: a BUY is then not repeated, a SELL is, and says so.
    (Result.LOST, Care.ONCE): Move.LOST,
    (Result.LOST, Care.SAFETY): Move.LOST,
    (Result.LOST, Care.PERSISTENT): Move.RETRY_ON,
}


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """How far an alert has come. ``give_up_at`` (µs) is when the time of a persistent one is over.

    ``made`` counts attempts that went out or failed to; the last one was at ``last_at`` (µs).
    """

    care: Care
    give_up_at: int
    made: int = 0
    last_at: int = 0
    may_have_arrived: bool = False
    was_refused: bool = False
    waits: bool = False
    """Whether the service refused it, and it waits until pushes are taken again."""

    @property
    def is_untold(self) -> bool:
        """Whether a persistent alert was refused or has failed three times: no entry may be told before it is."""
        return self.care is Care.PERSISTENT and (self.was_refused or self.made >= ATTEMPTS)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from an attempt: either an ``outcome``, and it is over, or the next one is at ``due`` (µs)."""

    attempts: Attempts
    move: Move
    outcome: Outcome | None = None
    due: int = 0


def begin(attempts: Attempts, now: int) -> Attempts:
    """Counts an attempt that is made at ``now`` (µs)."""
    return msgspec.structs.replace(attempts, made=attempts.made + 1, last_at=now, waits=False)


def step(attempts: Attempts, result: Result, now: int) -> Step:
    """Returns what follows from the answer to the attempt that `begin` has counted, at ``now`` (µs)."""
    move = MOVES[result, attempts.care]
    after = msgspec.structs.replace(
        attempts,
        care=Care.PERSISTENT if move is Move.WAIT else attempts.care,
        may_have_arrived=attempts.may_have_arrived or result in (Result.LOST, Result.UNCLEAR),
        was_refused=attempts.was_refused or result is Result.REFUSED,
        waits=move is Move.WAIT,
    )
    match move:
        case Move.ACCEPTED:
            return Step(attempts=after, move=move, outcome=Outcome.ACCEPTED)
        case Move.LOST:
            return Step(attempts=after, move=move, outcome=Outcome.LOST)
        case Move.REFUSED:
            return Step(attempts=after, move=move, outcome=ended(after))
        case Move.WAIT:
            is_over = now >= after.give_up_at
            return Step(
                attempts=after, move=move, outcome=ended(after) if is_over else None, due=after.give_up_at
            )
        case Move.RETRY | Move.RETRY_ON:
            due = _next_due(after, move, now)
            return Step(
                attempts=after, move=move, outcome=ended(after) if due is None else None, due=due or 0
            )


def _next_due(attempts: Attempts, move: Move, now: int) -> int | None:
    """When the next attempt is due (µs); None when there is none."""
    if attempts.made <= len(RETRY_DELAYS_S):
        return now + RETRY_DELAYS_S[attempts.made - 1] * SECOND
    due = now + PERSISTENT_RETRY_S * SECOND
    return due if move is Move.RETRY_ON and due <= attempts.give_up_at else None


def ended(attempts: Attempts) -> Outcome:
    """What is recorded of an alert for which nothing more is done although it was not accepted."""
    if attempts.may_have_arrived:
        return Outcome.LOST
    return Outcome.REFUSED if attempts.was_refused else Outcome.UNSENT


def due_once_taken(attempts: Attempts, now: int) -> int:
    """When a refused alert is tried again once pushes are taken at ``now`` (µs): at least 5 s after its last attempt."""
    return max(now, attempts.last_at + RETRY_LEAST_S * SECOND)


def is_over(attempts: Attempts, now: int) -> bool:
    """Whether the time of one that waits is over."""
    return attempts.waits and now >= attempts.give_up_at
