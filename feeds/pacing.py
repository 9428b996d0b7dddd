"""When to connect again."""

from __future__ import annotations

import collections
import random

from events import SECOND, FeedCause


class Pacing:
    """Says when to connect again. Pure: the time (µs) and the randomness are passed in.

    The wait doubles from 1 s to 60 s and starts anew only after a connection has lived with data: a server that
    accepts and closes would otherwise be called hundreds of times a second. Whatever the cause, at most
    ``MOST_PER_MINUTE`` attempts fall into any minute.
    """

    FIRST_S = 1.0
    LONGEST_S = 60.0
    MOST_PER_MINUTE = 12
    MINUTE_US = 60 * SECOND
    LIVED_US = 60 * SECOND
    EVICTED_S = (60.0, 120.0, 300.0)
    """Rungs of the ladder after ``max_connections``. Two copies must not take the one connection from each
    other for ever, so it starts anew only after a connection has outlived the other's longest wait twice over."""
    SETTLED_US = 600 * SECOND
    REFUSED_S = 300.0
    RETRY_AFTER_S = 300.0
    """The longest ``Retry-After`` that is obeyed: an hour of waiting is an hour without data."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._attempts: collections.deque[int] = collections.deque(maxlen=self.MOST_PER_MINUTE)
        self._failures = 0
        self._evictions = 0
        self._opened_at: int | None = None

    def attempt(self, now: int) -> None:
        """A connection is attempted."""
        self._attempts.append(now)
        self._opened_at = None

    def opened(self, now: int) -> None:
        """The connection is open and the key accepted."""
        self._opened_at = now

    def data(self, now: int) -> None:
        """Data has come over the connection."""
        if self._opened_at is None:
            return
        lived = now - self._opened_at
        if lived >= self.LIVED_US:
            self._failures = 0
        if lived >= self.SETTLED_US:
            self._evictions = 0

    def delay(self, now: int, cause: FeedCause, retry_after: float | None = None) -> float:
        """Returns the seconds to wait after a connection was lost, or did not come about, for ``cause``."""
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
