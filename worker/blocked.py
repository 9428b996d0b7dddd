"""Notices that no entry has been possible for a while, for a fault that no hold and no other push tells of."""

from __future__ import annotations

from collections.abc import Iterator

from engine import Engine
from events import SECOND
from messages import notices
from messages.alert import Alert
from utils import span_text

BLOCKED_S = 90
"""Seconds for which a fault must last. A failed poll or a gap that REST fills late is over before."""

SPACING_S = 3600
"""Seconds between two pushes that no entry is possible, so that a fault that comes and goes does not ring all day."""


def chain_fault(now: int, engine: Engine) -> str:
    """Returns why no entry can be priced from the present chain; empty if one can.

    Goes by the quotes' own times, not by their arrival: an answer that has just come may contain yesterday's quotes.
    """
    if engine.quotes.chain_at is None:
        return "no option chain yet"
    if now - engine.quotes.chain_at > engine.rules.chain_skew_seconds * SECOND:
        return "option chain too old"
    stamps = [row.quoted_at for row in engine.quotes.chain if row.real_time and row.quoted_at > 0]
    if not stamps:
        return f"no real-time quote in {len(engine.quotes.chain)} calls"
    if not engine.quotes.live_calls(now):
        return f"option quotes do not move: the newest is {span_text(now - max(stamps))} old"
    return ""


class Blocked:
    """What keeps entries impossible in one session, and whether the owner was told."""

    def __init__(self) -> None:
        self._since: int | None = None
        """Since when (µs) the present fault is known; None without one."""
        self._told_at: int | None = None
        self._is_told = False

    def owed(self, now: int, engine: Engine) -> Iterator[Alert]:
        """Yields the push that the state at ``now`` (µs) causes: that no entry is possible, or that one is again."""
        if not _is_judged(now, engine):
            self._since = None
            return
        fault = chain_fault(now, engine)
        if not fault and engine.feed.gaps.lie_before(now):
            fault = "seconds are missing that the vendor's REST has not answered for"
        if not fault:
            self._since = None
            if self._is_told:
                self._is_told = False
                yield notices.entries_possible(now, engine.rules)
            return
        if self._since is None:
            self._since = now
        is_apart = self._told_at is None or now - self._told_at >= SPACING_S * SECOND
        if not self._is_told and is_apart and now - self._since >= BLOCKED_S * SECOND:
            self._is_told, self._told_at = True, now
            yield notices.entries_blocked(now, engine.rules, since=self._since, reason=fault)


def _is_judged(now: int, engine: Engine) -> bool:
    """Returns whether an entry would be possible at ``now`` (µs) but for a fault: what holds or blinds is told otherwise."""
    rules, session = engine.rules, engine.session
    last = session.close - rules.before_close(rules.no_entry_after) * SECOND
    is_free = engine.position is None and engine.feed.cause is None and not engine.holds
    return is_free and session.open <= now < last
