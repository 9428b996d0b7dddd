"""An alert's life from its submission to its end, as two tables. Pure: takes an attempt's result, returns what follows.

`PHASES` lists an alert's phases and what leads from one to the next. `MOVES` lists what follows from each result,
depending on how much is done for the alert (`Care`). `step` computes when.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from delivery.answers import Result
from events import SECOND, Outcome
from messages.alert import Alert

RETRY_DELAYS_S = (5, 10)
"""Seconds before the second and the third attempt. Pushover requires at least 5 s (https://pushover.net/api#friendly)."""

PERSISTENT_RETRY_S = 30
"""Seconds between the attempts for a SELL after the first three."""

RETRY_LEAST_S = RETRY_DELAYS_S[0]
"""The least seconds between two attempts for one alert, whatever happened."""

ATTEMPTS = len(RETRY_DELAYS_S) + 1
"""How many attempts are made for an alert that is not persistent."""


class Care(StrEnum):
    """How much is done for an alert."""

    ONCE = "once"
    """BUY, system and quiet pushes: a refusal or a lost answer ends them."""
    SAFETY = "safety"
    """Safety pushes, without which a position may go unwatched: a refusal does not end them."""
    PERSISTENT = "persistent"
    """A SELL, "unwatched", or a safety push that was refused: tried until its time is over."""


def care_for(alert: Alert) -> Care:
    """Returns how much is done for ``alert``."""
    if alert.persistent:
        return Care.PERSISTENT
    return Care.SAFETY if alert.urgent else Care.ONCE


class Phase(StrEnum):
    """Where an alert stands between its submission and its end."""

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
    # A SELL withdraws its BUY, a failed BUY withdraws its SELL, and too many alerts drop the least important.
    (Phase.WAITING, Turn.SETTLE): Phase.SETTLED,
    (Phase.READYING, Turn.DISK_SLOW): Phase.HELD_UP,
    (Phase.READYING, Turn.SEND): Phase.IN_FLIGHT,
    (Phase.READYING, Turn.SETTLE): Phase.SETTLED,
    (Phase.HELD_UP, Turn.DISK_AWAITED): Phase.WAITING,
    (Phase.HELD_UP, Turn.SETTLE): Phase.SETTLED,
    (Phase.IN_FLIGHT, Turn.POSTPONE): Phase.WAITING,
    (Phase.IN_FLIGHT, Turn.SETTLE): Phase.SETTLED,
}
"""Every change of phase. A pair that is not in the table is a programming error, and raises KeyError."""


class Move(StrEnum):
    """What follows from an attempt's result."""

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
    # Tried again as after any 5xx, but marked as a repeat: this attempt may have arrived.
    (Result.UNCLEAR, Care.ONCE): Move.RETRY,
    (Result.UNCLEAR, Care.SAFETY): Move.RETRY,
    (Result.UNCLEAR, Care.PERSISTENT): Move.RETRY_ON,
    # A push whose answer was lost may have arrived. A BUY is not repeated then; a SELL is, marked as a repeat.
    (Result.LOST, Care.ONCE): Move.LOST,
    (Result.LOST, Care.SAFETY): Move.LOST,
    (Result.LOST, Care.PERSISTENT): Move.RETRY_ON,
}


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts for an alert so far. A persistent one is tried until ``give_up_at`` (µs).

    ``made`` counts attempts, also those that failed before the first byte. The last one was at ``last_at`` (µs).
    """

    care: Care
    give_up_at: int
    made: int = 0
    last_at: int = 0
    may_have_arrived: bool = False
    was_refused: bool = False
    waits: bool = False
    """Whether the service refused it, and it waits until pushes are accepted again."""

    @property
    def is_untold(self) -> bool:
        """Returns whether a persistent alert was refused or has failed three times. It holds entries until delivered."""
        return self.care is Care.PERSISTENT and (self.was_refused or self.made >= ATTEMPTS)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from an attempt: the alert ends with ``outcome``, or, if that is None, its next attempt is ``due`` (µs)."""

    attempts: Attempts
    move: Move
    outcome: Outcome | None = None
    due: int = 0


def begin(attempts: Attempts, now: int) -> Attempts:
    """Returns ``attempts`` with one more, made at ``now`` (µs)."""
    return msgspec.structs.replace(attempts, made=attempts.made + 1, last_at=now, waits=False)


def step(attempts: Attempts, result: Result, now: int) -> Step:
    """Returns what follows at ``now`` (µs) from the result of the attempt that `begin` counted last."""
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
    """Returns when the next attempt is due (µs); None if there is none."""
    if attempts.made <= len(RETRY_DELAYS_S):
        return now + RETRY_DELAYS_S[attempts.made - 1] * SECOND
    due = now + PERSISTENT_RETRY_S * SECOND
    return due if move is Move.RETRY_ON and due <= attempts.give_up_at else None


def ended(attempts: Attempts) -> Outcome:
    """Returns the recorded outcome of an alert that ends without having been accepted."""
    if attempts.may_have_arrived:
        return Outcome.LOST
    return Outcome.REFUSED if attempts.was_refused else Outcome.UNSENT


def due_once_taken(attempts: Attempts, now: int) -> int:
    """Returns when a refused alert is tried again if pushes are accepted at ``now`` (µs): 5 s after its last attempt or later."""
    return max(now, attempts.last_at + RETRY_LEAST_S * SECOND)


def is_over(attempts: Attempts, now: int) -> bool:
    """Returns whether an alert waits for pushes to be accepted, and its time is over at ``now`` (µs)."""
    return attempts.waits and now >= attempts.give_up_at
