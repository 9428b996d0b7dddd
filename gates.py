"""The gates that an entry must pass besides the conditions, in their order. Pure."""

from __future__ import annotations

from collections.abc import Set

from events import ALL_OPEN, SECOND, Bar, DeclineReason, Gate, HoldReason, Session
from risk_manager import Book
from rules import Rules
from sight import Sight

HOLDS = tuple(HoldReason)
"""The reasons to hold entries. If several hold at once, the first in this order is named."""


class Gates:
    """One session's gates. Reads their limits once, because every second of a session is checked against them."""

    def __init__(self, rules: Rules, session: Session) -> None:
        self._open, self._close = session.open, session.close
        self._max_entries = rules.max_entries_per_day
        self._warm_at = session.open + rules.warmup_seconds * SECOND
        self._entry_bar = rules.entry_bar_seconds * SECOND
        self._entry_end = session.close - rules.before_close(rules.no_entry_after) * SECOND

    def first_closed(
        self, now: int, bar: Bar, *, feed: Sight, book: Book, holds: Set[HoldReason], is_stopping: bool
    ) -> Gate:
        """Returns the first gate that is closed for ``bar`` at ``now`` (µs); `ALL_OPEN` if none is.

        The order is that of `DeclineReason`: the session, holds and what can be seen come before the trades.
        """
        if not self._open <= now < self._close or is_stopping:
            return DeclineReason.SESSION_CLOSED, None
        if holds:
            return DeclineReason.HELD, min(holds, key=HOLDS.index)
        if feed.cause is not None:
            return DeclineReason.BLIND, None
        if now < self._warm_at:
            return DeclineReason.WARM_UP, None
        if feed.gaps.exist and feed.gaps.lie_before(bar.start):
            return DeclineReason.NOT_COVERED, None
        if 0 < self._entry_bar < now - bar.start - SECOND:
            return DeclineReason.LATE_BAR, None
        return self._for_another_trade(now, book)

    def _for_another_trade(self, now: int, book: Book) -> Gate:
        """Returns the first gate that the session's trades, or the end of its entries, close at ``now`` (µs)."""
        if book.position is not None:
            return DeclineReason.POSITION_OPEN, None
        if now < book.rests_until:
            return DeclineReason.COOLDOWN, None
        if 0 < self._max_entries <= book.entries:
            return DeclineReason.MAX_ENTRIES, None
        if now >= self._entry_end:
            return DeclineReason.PAST_CUTOFF, None
        return ALL_OPEN
