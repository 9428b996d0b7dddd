"""What others have published about strategies that are kin to this one, each with its source, its n, its costs and its faults.

Where a source gives no interval, the one shown is ours, from the ratio and the length alone: the standard error of a
Sharpe ratio of independent, normally distributed days (Lo, "The Statistics of Sharpe Ratios", Financial Analysts Journal
58 (4), 2002). Real days cluster and have fat tails, so the true interval is wider. Pure.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from research.statistics.days import SESSIONS_A_YEAR
from research.statistics.deflated import NORMAL
from research.statistics.intervals import LEVEL, Interval


class Published(NamedTuple):
    """A published result. ``sharpe`` is a year's; None where none is given. ``mean`` is a session's, % of spot."""

    what: str
    source: str
    address: str
    span: str
    sessions: int
    """By the exchange's calendar, unless the source counts them."""
    sharpe: float | None
    also: str
    """What else is given, in words."""
    costs: str
    faults: str
    mean: float | None = None


VWAP = (
    "Zarattini and Aziz, VWAP: The Holy Grail for Day Trading Systems, 2023",
    "https://ssrn.com/abstract=4631351",
)
BEAT = (
    "Zarattini, Aziz and Barbon, Beat the Market: An Effective Intraday Momentum Strategy for SPY, 2024",
    "https://ssrn.com/abstract=4824172",
)
ZERO = ("Vilkov, 0DTE Trading Rules, 2023", "https://ssrn.com/abstract=4641356")

VWAP_SESSIONS = 1_445
"""2018-01-02 to 2023-09-28."""

BEAT_SESSIONS = 4_361
"""2007-01-03 to 2024-04-30."""

ZERO_SESSIONS = 953

BEAT_FAULTS = (
    "A, B and C were made one after the other on the same days, and no figure allows for that choice. The share moves in "
    "cents; an option's spread is some percent of its price"
)
ZERO_FAULTS = "European options on an index, opened at a fixed time and held to the end: no signal, no stop. Spreads on IWM are wider"
ZERO_COSTS = "net of the spread, as the author estimates it"

TABLE = (
    Published(
        *("VWAP trend on QQQ", *VWAP, "2018-01 to 2023-09", VWAP_SESSIONS, 2.1),
        also="one trade per crossing of the VWAP; the number of trades is not in the abstract",
        costs="commissions only",
        faults="No spread and no slippage, with every crossing of a minute's close traded. Reproductions by others come out lower",
    ),
    Published(
        *("Beat the Market on SPY, A", *BEAT, "2007 to 2024-04", BEAT_SESSIONS, 0.61),
        also="6.2% a year; 53% of trades hit, their number not given here",
        costs="commissions and slippage as the authors assume",
        faults=BEAT_FAULTS,
    ),
    Published(
        *("Beat the Market on SPY, B", *BEAT, "2007 to 2024-04", BEAT_SESSIONS, 1.24),
        also="9.7% a year; 37% of trades hit, their number not given here",
        costs="commissions and slippage as the authors assume",
        faults=BEAT_FAULTS,
    ),
    Published(
        *("Beat the Market on SPY, C", *BEAT, "2007 to 2024-04", BEAT_SESSIONS, 1.33),
        also="19.6% a year; 37% of trades hit, their number not given here",
        costs="commissions and slippage as the authors assume",
        faults=BEAT_FAULTS + ". C stakes more on quiet days",
    ),
    Published(
        *("The same rule on the Russell 2000 future", *BEAT, "2007 to 2024-04", BEAT_SESSIONS, 0.45),
        also="the underlying that is next to IWM",
        costs="as the authors assume",
        faults="The evidence is weakest on just this underlying. Its span may be shorter than SPY's: the interval is at its narrowest here",
    ),
    Published(
        *("0DTE straddle on SPX, 10:00", *ZERO, "2016-09 to 2024-01", ZERO_SESSIONS, None),
        also="no deviation is given, so no interval follows",
        costs=ZERO_COSTS,
        faults=ZERO_FAULTS,
        mean=-0.0110,
    ),
    Published(
        *("0DTE bull call spread on SPX, 10:00", *ZERO, "2016-09 to 2024-01", ZERO_SESSIONS, -0.53),
        also="nearest to buying a call",
        costs=ZERO_COSTS,
        faults=ZERO_FAULTS,
        mean=-0.0154,
    ),
)


def sharpe_interval(ratio: float, sessions: int) -> Interval:
    """Returns the 95% interval of a year's Sharpe ratio that was measured over so many sessions (Lo, 2002)."""
    years = sessions / SESSIONS_A_YEAR
    half = NORMAL.inv_cdf((1 + LEVEL) / 2) * math.sqrt((1 + ratio**2 / (2 * SESSIONS_A_YEAR)) / years)
    return Interval(ratio - half, ratio + half)


def mean_interval(mean: float, ratio: float, sessions: int) -> Interval:
    """Returns the 95% interval of a session's mean, whose deviation follows from it and a year's Sharpe ratio."""
    deviation = abs(mean / ratio) * math.sqrt(SESSIONS_A_YEAR)
    half = NORMAL.inv_cdf((1 + LEVEL) / 2) * deviation / math.sqrt(sessions)
    return Interval(mean - half, mean + half)
