"""What has come over the connections to a market and when, and whether the program was there to hear it."""

from __future__ import annotations

from dataclasses import dataclass

from events import SECOND, Session
from feeds.vendor import MarketData
from rules import Rules
from utils import Clock

AWAY_S = 5.0
"""What takes so many seconds of the clock longer than it can was interrupted: the process was stopped, the machine slept."""


@dataclass(frozen=True)
class Link:
    """What every source of a session's facts shares."""

    data: MarketData
    clock: Clock
    rules: Rules
    session: Session

    def in_session(self, now: int) -> bool:
        """Whether ``now`` (µs) lies in the session."""
        return self.session.open <= now < self.session.close


class Arrivals:
    """The times, µs, by which silence is judged. 0 stands for never."""

    def __init__(self, link: Link, *symbols: str) -> None:
        self.data_at = 0
        """When data last came that was new: a repeat is no sign of life."""
        self.acknowledged_at = 0
        """When the subscriptions were last acknowledged."""
        self.woke_at = 0
        """When the program last went on after it had not run, or its clock had stepped forward."""
        self.newest: dict[str, int] = {}
        """Start of each symbol's newest second."""
        self.progress_at = dict.fromkeys(symbols, 0)
        """When each symbol last had a second newer than any before."""
        self.early_at = dict.fromkeys(symbols, 0)
        """When a second of each symbol last was left out for coming early that was newer than any before."""
        self._early_newest: dict[str, int] = {}
        """Start of each symbol's newest second that was left out for coming early."""
        self._clock = link.clock
        self._open = link.session.open

    def progressed(self, symbol: str, start: int, now: int) -> None:
        """A second of ``symbol`` has come that is newer than any before."""
        self.data_at = self.progress_at[symbol] = now
        self.newest[symbol] = start

    def came_early(self, symbol: str, start: int, now: int) -> None:
        """A bar was left out for ending too far ahead of our clock: the connection lives, and no other would help."""
        if start > self._early_newest.get(symbol, 0):
            self._early_newest[symbol] = start
            self.early_at[symbol] = now

    def quiet_since(self) -> int:
        """Since when nothing new has come that should have."""
        return max(self.data_at, self._open, self.acknowledged_at, self.woke_at, *self.early_at.values())

    async def nap(self, seconds: float) -> None:
        """Sleep for so long by the clock, and note when it was much longer: see `was_away`."""
        asked_at = self._clock.now()
        await self._clock.sleep(seconds)
        self.was_away(asked_at, seconds)

    def was_away(self, since: int, at_most: float) -> bool:
        """Whether what began at ``since`` and takes ``at_most`` seconds of the clock took so much longer that the
        program did not run meanwhile, or its clock stepped forward.

        What has come in that time may still lie unread: from now on silence is counted anew.
        """
        now = self._clock.now()
        if now - since < (at_most + AWAY_S) * SECOND:
            return False
        self.woke_at = now
        return True
