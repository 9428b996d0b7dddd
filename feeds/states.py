"""The states of the stocks feed's connection, and what each change means for whoever decides. Pure."""

from __future__ import annotations

from enum import Enum

from events import FeedCause


class FeedState(Enum):
    """Whether the connection is up; if not, what was told about it, and whether entries are held for the key."""

    NEW = "not up yet, and nothing told"
    UP = "up"
    LOST = "lost"
    EVICTED = "evicted"
    REFUSED = "refused, not for the key"
    KEY_REFUSED = "refused for the key: entries held"
    KEY_REFUSED_EVICTED = "evicted after the key was refused: entries held"


class FeedTurn(Enum):
    """What can happen to it."""

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
        # An attempt that fails says less than what was told: the graver cause stays.
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
    # Entries stay held for a refused key until the connection is up again.
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
"""Every transition there is. A pair that is not here is a programming error, and a crash."""

HELD = frozenset({FeedState.KEY_REFUSED, FeedState.KEY_REFUSED_EVICTED})
"""States in which entries are held because the vendor refuses the key."""

_TOLD = {
    FeedState.LOST: FeedTurn.LOST,
    FeedState.EVICTED: FeedTurn.EVICTED,
    FeedState.REFUSED: FeedTurn.REFUSED,
    FeedState.KEY_REFUSED: FeedTurn.REFUSED,
    FeedState.KEY_REFUSED_EVICTED: FeedTurn.EVICTED,
}
"""What whoever decides was last told of the loss. Why a refusal came is no news to it."""


def turn_of(cause: FeedCause, *, is_key: bool) -> FeedTurn:
    """The turn that a loss for ``cause`` is; ``is_key`` says whether a refusal is the key's."""
    match cause:
        case FeedCause.EVICTED:
            return FeedTurn.EVICTED
        case FeedCause.REFUSED:
            return FeedTurn.KEY_REFUSED if is_key else FeedTurn.REFUSED
        case _:
            return FeedTurn.LOST


def is_news(before: FeedState, after: FeedState) -> bool:
    """Whether a loss that leads from ``before`` to ``after`` must be told: the first after being up, or a graver one."""
    return _TOLD.get(before) is not _TOLD[after]
