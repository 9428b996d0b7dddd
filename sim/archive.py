"""Made sessions of the past: each date's market from one seed. Pure but for what it keeps.

No session is told to climb or fall, so no rule has an edge on it: what a signal is followed by is chance.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import date, timedelta

import utils
from events import Session
from sim.market import Market

KEPT = 3
"""Markets that are kept at once: one has some 100 MB, and takes half a second to make."""

SEED_STEP = 1_000_003
"""A prime: no two dates of two seeds share a market."""


class Archive:
    """The sessions before ``session``, and that one: its own market is ``market``."""

    def __init__(self, market: Market, *, kept: int = KEPT) -> None:
        self._own = market
        self._kept = kept
        self._made: OrderedDict[date, Market] = OrderedDict()

    def on(self, day: date) -> Market | None:
        """Returns the market of a date; None if the exchange was closed, or the date is still to come."""
        own = date.fromisoformat(self._own.session.date)
        if day == own:
            return self._own
        session = utils.session_on(day)
        if day > own or session is None:
            return None
        if (found := self._made.get(day)) is None:
            found = self._make(day, session)
        self._made[day] = found
        self._made.move_to_end(day)
        while len(self._made) > self._kept:
            self._made.popitem(last=False)
        return found

    def _make(self, day: date, session: Session) -> Market:
        seed = self._own.seed * SEED_STEP + day.toordinal()
        return Market(seed, session, self._own.symbol, self._own.benchmark)

    def between(self, first: date, last: date) -> list[Market]:
        """Returns the markets of every session from ``first`` to ``last``, both included."""
        days = ((first + timedelta(days=number)) for number in range((last - first).days + 1))
        return [market for market in map(self.on, days) if market is not None]
