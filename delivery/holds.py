"""Holds entries while pushes are refused, a SELL is not delivered, or too many pushes have gone out."""

from __future__ import annotations

from collections import deque

import structlog

from delivery.shared import Shared
from events import SECOND, Hold, HoldReason

log = structlog.get_logger("alerts")


class Holds:
    """Delivery's present reasons to hold entries. Logs and reports each when it begins and when it ends.

    Holds entries while ``cap_count`` pushes were accepted within ``cap_seconds``; a count of 0 means no cap.
    """

    def __init__(self, shared: Shared, cap_count: int, cap_seconds: int) -> None:
        self._shared = shared
        self._cap_count = cap_count
        self._cap_seconds = cap_seconds
        self._reasons: set[HoldReason] = set()
        self._accepted_at: deque[int] = deque()

    @property
    def reasons(self) -> frozenset[HoldReason]:
        """Returns why entries are held."""
        return frozenset(self._reasons)

    @property
    def is_push_refused(self) -> bool:
        """Returns whether no push can arrive, or a SELL is not delivered."""
        return HoldReason.PUSH_REFUSED in self._reasons

    def put(self, reason: HoldReason, on: bool, text: str) -> None:
        """Holds entries for ``reason``, or releases them; ``text`` says why. Does nothing if that is so already."""
        if on == (reason in self._reasons):
            return
        if on:
            self._reasons.add(reason)
            log.error("entries_held", text=f"✋ Entries held, {reason.value}: {text}", reason=reason.value)
        else:
            self._reasons.discard(reason)
            log.info("entries_released", text=f"✓ Entries released, {text}", reason=reason.value)
        self._shared.report(Hold(reason=reason, on=on))

    def count(self, now: int) -> None:
        """Counts a push that was accepted at ``now`` (µs)."""
        self._accepted_at.append(now)
        self.check_cap(now)

    def check_cap(self, now: int) -> None:
        """Holds entries if too many pushes were accepted within the span before ``now`` (µs), else releases them."""
        count, span = self._cap_count, self._cap_seconds
        while self._accepted_at and now - self._accepted_at[0] >= span * SECOND:
            self._accepted_at.popleft()
        if count:
            full = len(self._accepted_at) >= count
            text = f"{count} pushes within {span} s" if full else f"fewer than {count} pushes within {span} s"
            self.put(HoldReason.PUSH_CAP, full, text)
