"""The states of the stocks feed's connection, and which changes the engine must be told. Pure."""

from __future__ import annotations

from enum import Enum

from events import FeedCause


class FeedState(Enum):
    """Whether the connection is up; if not, what the engine was told, and whether a refused key holds entries."""

    NEW = "not up yet, and nothing told"
    UP = "up"
    LOST = "lost"
    EVICTED = "evicted"
    REFUSED = "refused, not for the key"
    KEY_REFUSED = "refused for the key: entries held"
    KEY_REFUSED_EVICTED = "evicted after the key was refused: entries held"


class FeedTurn(Enum):
    """What can happen to the connection."""

    WENT_UP = "went up"
    LOST = "lost"
    EVICTED = "evicted"
    REFUSED = "refused"
    KEY_REFUSED = "key refused"


TRANSITIONS: dict[FeedState, dict[FeedTurn, FeedState]] = {
    FeedState.NEW: {
        FeedTurn.WENT_UP: FeedState.UP,
        FeedTurn.LOST: FeedState.LOST,
        FeedTurn.EVICTED: FeedState.EVICTED,
        FeedTurn.REFUSED: FeedState.REFUSED,
        FeedTurn.KEY_REFUSED: FeedState.KEY_REFUSED,
    },
    FeedState.UP: {
        FeedTurn.LOST: FeedState.LOST,
        FeedTurn.EVICTED: FeedState.EVICTED,
        FeedTurn.REFUSED: FeedState.REFUSED,
        FeedTurn.KEY_REFUSED: FeedState.KEY_REFUSED,
    },
    FeedState.LOST: {
        FeedTurn.WENT_UP: FeedState.UP,
        FeedTurn.LOST: FeedState.LOST,
        FeedTurn.EVICTED: FeedState.EVICTED,
        FeedTurn.REFUSED: FeedState.REFUSED,
        FeedTurn.KEY_REFUSED: FeedState.KEY_REFUSED,
    },
    FeedState.EVICTED: {
        FeedTurn.WENT_UP: FeedState.UP,
        # A failed attempt says less than what was told already: the graver cause stays.
        FeedTurn.LOST: FeedState.EVICTED,
        FeedTurn.EVICTED: FeedState.EVICTED,
        FeedTurn.REFUSED: FeedState.REFUSED,
        FeedTurn.KEY_REFUSED: FeedState.KEY_REFUSED,
    },
    FeedState.REFUSED: {
        FeedTurn.WENT_UP: FeedState.UP,
        FeedTurn.LOST: FeedState.REFUSED,
        FeedTurn.EVICTED: FeedState.EVICTED,
        FeedTurn.REFUSED: FeedState.REFUSED,
        FeedTurn.KEY_REFUSED: FeedState.KEY_REFUSED,
    },
    # A refused key holds entries until the connection is up again.
    FeedState.KEY_REFUSED: {
        FeedTurn.WENT_UP: FeedState.UP,
        FeedTurn.LOST: FeedState.KEY_REFUSED,
        FeedTurn.EVICTED: FeedState.KEY_REFUSED_EVICTED,
        FeedTurn.REFUSED: FeedState.KEY_REFUSED,
        FeedTurn.KEY_REFUSED: FeedState.KEY_REFUSED,
    },
    FeedState.KEY_REFUSED_EVICTED: {
        FeedTurn.WENT_UP: FeedState.UP,
        FeedTurn.LOST: FeedState.KEY_REFUSED_EVICTED,
        FeedTurn.EVICTED: FeedState.KEY_REFUSED_EVICTED,
        FeedTurn.REFUSED: FeedState.KEY_REFUSED,
        FeedTurn.KEY_REFUSED: FeedState.KEY_REFUSED,
    },
}
"""Every transition there is. A pair that is not in the table is a programming error, and raises KeyError."""

HELD = frozenset({FeedState.KEY_REFUSED, FeedState.KEY_REFUSED_EVICTED})
"""States in which entries are held because the vendor refuses the key."""

_TOLD = {
    FeedState.LOST: FeedTurn.LOST,
    FeedState.EVICTED: FeedTurn.EVICTED,
    FeedState.REFUSED: FeedTurn.REFUSED,
    FeedState.KEY_REFUSED: FeedTurn.REFUSED,
    FeedState.KEY_REFUSED_EVICTED: FeedTurn.EVICTED,
}
"""What the engine was last told about the loss, by state. It does not matter to the engine whom a refusal concerns."""


def turn_of(cause: FeedCause, *, is_key: bool) -> FeedTurn:
    """Returns what a loss for ``cause`` does to the connection. ``is_key`` is whether a refusal concerns the key."""
    match cause:
        case FeedCause.EVICTED:
            return FeedTurn.EVICTED
        case FeedCause.REFUSED:
            return FeedTurn.KEY_REFUSED if is_key else FeedTurn.REFUSED
        case _:
            return FeedTurn.LOST


def is_news(before: FeedState, after: FeedState) -> bool:
    """Returns whether the engine must be told a loss from ``before`` to ``after``: the first since up, or a graver one."""
    return _TOLD.get(before) is not _TOLD[after]
