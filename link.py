"""The stocks connection as the facts have it: a table of states, and since when it has been up or down. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from events import FeedCause, FeedLost, FeedRestored


class LinkState(StrEnum):
    """Whether the stocks connection delivers."""

    NEVER = "never connected"
    DOWN = "down"
    UP = "up"


class LinkEvent(StrEnum):
    """What changes the link."""

    LOST = "lost"
    RESTORED = "restored"


LINK: Mapping[tuple[LinkState, LinkEvent], LinkState] = {
    **dict.fromkeys([(state, LinkEvent.LOST) for state in LinkState], LinkState.DOWN),
    **dict.fromkeys([(state, LinkEvent.RESTORED) for state in LinkState], LinkState.UP),
}


class StocksLink:
    """The stocks connection's state, and the facts that led to it. Times are µs."""

    def __init__(self) -> None:
        self.state = LinkState.NEVER
        self.lost = FeedLost(cause=FeedCause.NOT_CONNECTED)
        """The newest loss; before the first, that nothing was connected yet."""
        self.lost_at: int | None = None
        """When the link went down; None while it is up, and before anybody asked."""
        self.restored_at = 0
        """When subscriptions were last acknowledged."""
        self.gaps_tell = True
        """Whether a symbol's silence means that its bars are missing: see `FeedRestored`."""

    @property
    def is_up(self) -> bool:
        """Returns whether subscriptions are acknowledged and no loss has come since."""
        return self.state is LinkState.UP

    def lose(self, now: int, event: FeedLost) -> None:
        """Records that the socket is down, or must be treated as down."""
        if self.is_up or self.lost_at is None:
            self.lost_at = now
        self.state = LINK[self.state, LinkEvent.LOST]
        self.lost = event

    def restore(self, now: int, event: FeedRestored) -> None:
        """Records that subscriptions are acknowledged."""
        self.state = LINK[self.state, LinkEvent.RESTORED]
        self.lost_at = None
        self.restored_at = now
        self.gaps_tell = event.gaps_tell

    def wait_from(self, now: int) -> None:
        """Counts the time without a connection from ``now``, unless it is up or that time is counted already."""
        if self.lost_at is None and not self.is_up:
            self.lost_at = now
