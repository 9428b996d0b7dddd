"""When data last came over the connections to a market, and whether the program was running to receive it."""

from __future__ import annotations

from dataclasses import dataclass

from events import SECOND, Session
from feeds.vendor import MarketData
from rules import Rules
from timekeeping import AWAY_S
from utils import Clock


@dataclass(frozen=True)
class Link:
    """What every source of a session's facts needs."""

    data: MarketData
    clock: Clock
    rules: Rules
    session: Session

    def in_session(self, now: int) -> bool:
        """Returns whether ``now`` (µs) lies in the session."""
        return self.session.open <= now < self.session.close


class Arrivals:
    """The times (µs) that silence is measured from. 0 stands for never."""

    def __init__(self, link: Link, *symbols: str) -> None:
        self.data_at = 0
        """When new data last came. A repeat is no sign of life."""
        self.acknowledged_at = 0
        """When the subscriptions were last acknowledged."""
        self.woke_at = 0
        """When the program last resumed after it had not run, or its clock had stepped forward."""
        self.newest: dict[str, int] = {}
        """Start of each symbol's newest second."""
        self.progress_at = dict.fromkeys(symbols, 0)
        """When each symbol's newest second came."""
        self.early_at = dict.fromkeys(symbols, 0)
        """When each symbol's newest second came that was left out because it ends too far ahead of our clock."""
        self._early_newest: dict[str, int] = {}
        """Start of that second, for each symbol."""
        self._clock = link.clock
        self._open = link.session.open

    def progressed(self, symbol: str, start: int, now: int) -> None:
        """Records the arrival of a second of ``symbol`` that is newer than any before it."""
        self.data_at = self.progress_at[symbol] = now
        self.newest[symbol] = start

    def came_early(self, symbol: str, start: int, now: int) -> None:
        """Records a bar that was left out because it ends too far ahead of our clock.

        It shows that the connection is alive, so that reopening it would not help.
        """
        if start > self._early_newest.get(symbol, 0):
            self._early_newest[symbol] = start
            self.early_at[symbol] = now

    def quiet_since(self) -> int:
        """Returns since when (µs) new data has been missing: the latest of the times that can explain its absence."""
        return max(self.data_at, self._open, self.acknowledged_at, self.woke_at, *self.early_at.values())

    async def nap(self, seconds: float) -> None:
        """Sleeps for that long by the clock. Records if it took much longer: see `was_away`."""
        asked_at = self._clock.now()
        await self._clock.sleep(seconds)
        self.was_away(asked_at, seconds)

    def was_away(self, since: int, at_most: float) -> bool:
        """Returns whether the program did not run, or its clock stepped forward, since ``since`` (µs).

        It did if what takes ``at_most`` seconds of the clock took over `AWAY_S` longer. Data that came in that time may
        still be unread, so silence is then measured from now on.
        """
        now = self._clock.now()
        if now - since < (at_most + AWAY_S) * SECOND:
            return False
        self.woke_at = now
        return True
