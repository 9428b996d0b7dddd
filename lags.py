"""How late bars arrive: the lags of the last ones, and whether their median exceeds the limit. Pure."""

from __future__ import annotations

from collections import deque

from events import SECOND
from rules import Rules


class Lags:
    """The lags (µs) of the last bars, and whether their median exceeds the limit.

    ``late`` counts the lags over the limit. A median can exceed it only if at least half of them do
    (``2 * late >= n``), so they are sorted only then.
    """

    def __init__(self, rules: Rules) -> None:
        self._limit = rules.max_lag_seconds * SECOND
        self._count = rules.lag_bars
        self.values: deque[int] = deque(maxlen=rules.lag_bars)
        self.late = 0

    def add(self, lag: int) -> None:
        """Records the lag of the next bar."""
        lags = self.values
        if self.late and len(lags) == self._count and lags[0] > self._limit:
            self.late -= 1
        lags.append(lag)
        if lag > self._limit:
            self.late += 1

    def clear(self) -> None:
        """Forgets every bar."""
        self.values.clear()
        self.late = 0

    @property
    def may_be_late(self) -> bool:
        """Returns whether the median may exceed the limit. False is certain; True needs a sort to confirm."""
        return self.late > 0 and 2 * self.late >= len(self.values)

    @property
    def leans_late(self) -> bool:
        """Returns whether the median exceeds the limit, even if it is of only a few bars."""
        if not self.may_be_late:
            return False
        ordered, count = sorted(self.values), len(self.values)
        return ordered[(count - 1) // 2] + ordered[count // 2] > 2 * self._limit

    @property
    def is_full(self) -> bool:
        """Returns whether there are `LAG_BARS` lags."""
        return len(self.values) == self._count

    @property
    def is_late(self) -> bool:
        """Returns whether the median of `LAG_BARS` lags exceeds the limit."""
        return self.is_full and self.leans_late

    @property
    def median(self) -> int | None:
        """Returns the median, µs; None without a bar."""
        return sorted(self.values)[len(self.values) // 2] if self.values else None
