"""The simulated days that the tests of `sim` share."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import utils
from events import Session
from sim.bars import SimBar
from sim.episodes import Episode
from sim.market import Market

STORY = (
    Episode(0, 3600, "calm"),
    Episode(3600, 100, "surge"),
    Episode(3700, 90, "fade"),
    Episode(3790, 900, "calm"),
)


def session() -> Session:
    """The session of every day here but the half day."""
    found = utils.session_on(datetime.date(2025, 10, 2))
    assert found is not None
    return found


OPEN = session().open


@functools.cache
def day(seed: int = 7, story: tuple[Episode, ...] = ()) -> Market:
    """A simulated day, made once per process: nothing changes it."""
    return Market(seed, session(), episodes=story)


def regular(market: Market, symbol: str) -> list[SimBar]:
    """The bars of the session itself, without those before the open."""
    return [bar for bar in market.bars(symbol) if bar.start >= market.session.open]


def calls(market: Market) -> list[str]:
    """Tickers of the listed calls, by strike."""
    return [contract for contract in market.contracts() if contract[-9] == "C"]


def call_rows(market: Market, at: int, reach: float = 1.0) -> list[dict[str, Any]]:
    """The chain's rows of calls whose strike is within ``reach`` (a share) of the price."""
    spot = market.spot(at)
    return [
        row
        for row in market.chain(at)
        if row["details"]["contract_type"] == "call"
        and abs(row["details"]["strike_price"] / spot - 1) <= reach
    ]
