"""Decides when to connect again. Pure."""

from __future__ import annotations

import collections
import random

from events import SECOND, FeedCause


class Pacing:
    """Decides when to connect again. Pure: the time (µs) and the randomness are passed in.

    The wait doubles up to 60 s. It starts again at the beginning only after a connection has delivered data for a minute:
    otherwise a server that accepts and closes would be dialled hundreds of times a second. Whatever the cause, no
    minute has more than ``MOST_PER_MINUTE`` attempts.
    """

    FIRST_S = 1.0
    LONGEST_S = 60.0
    MOST_PER_MINUTE = 12
    MINUTE_US = 60 * SECOND
    LIVED_US = 60 * SECOND
    EVICTED_S = (60.0, 120.0, 300.0)
    """Waits after ``max_connections``: the last one repeats. Two copies must not keep taking the one connection from each
    other, so the waits start again only after a connection has lived for twice the other copy's longest wait."""
    SETTLED_US = 600 * SECOND
    REFUSED_S = 300.0
    RETRY_AFTER_S = 300.0
    """The longest ``Retry-After`` that is obeyed: every second of waiting is a second without data."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._attempts: collections.deque[int] = collections.deque(maxlen=self.MOST_PER_MINUTE)
        self._failures = 0
        self._evictions = 0
        self._opened_at: int | None = None

    def attempt(self, now: int) -> None:
        """Records that a connection is attempted at ``now``."""
        self._attempts.append(now)
        self._opened_at = None

    def opened(self, now: int) -> None:
        """Records that the connection is open and the key accepted."""
        self._opened_at = now

    def data(self, now: int) -> None:
        """Records that data came over the connection."""
        if self._opened_at is None:
            return
        lived = now - self._opened_at
        if lived >= self.LIVED_US:
            self._failures = 0
        if lived >= self.SETTLED_US:
            self._evictions = 0

    def delay(self, now: int, cause: FeedCause, retry_after: float | None = None) -> float:
        """Returns the seconds to wait after a connection was lost, or could not be opened, for ``cause``.

        ``retry_after`` is how long the vendor wants to be left alone, in seconds.
        """
        match cause:
            case FeedCause.EVICTED:
                wait = self.EVICTED_S[min(self._evictions, len(self.EVICTED_S) - 1)]
                self._evictions += 1
            case FeedCause.REFUSED:
                wait = self.REFUSED_S
            case _:
                self._failures = min(self._failures + 1, 16)
                longest = min(self.LONGEST_S, self.FIRST_S * 2**self._failures)
                wait = self._rng.uniform(longest / 2, longest)
        wait = max(wait, min(retry_after or 0.0, self.RETRY_AFTER_S))
        if len(self._attempts) == self.MOST_PER_MINUTE:
            wait = max(wait, (self._attempts[0] + self.MINUTE_US - now) / SECOND)
        return wait
