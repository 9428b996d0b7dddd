"""The verdict: one of four sentences, from a table of cases. The first case that applies is the verdict."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from research.statistics.intervals import Interval

LEAST_SESSIONS = 20
LEAST_TRADES = 30
LEAST_DSR = 0.95
PBO_LIMIT = 0.5
BEST_DAY_LIMIT = 0.5


class Verdict(StrEnum):
    """What a track record is worth."""

    TOO_LITTLE = "too little to say"
    LOSES = "loses"
    WINS = "wins"
    LUCK = "cannot be told from luck"


class Evidence(NamedTuple):
    """What the verdict is made of. All results are after costs."""

    sessions: int
    trades: int
    """Trades, or where only days are known the days with a result: there were at least as many trades."""
    trades_are_known: bool
    mean: Interval
    """The 95% interval of a day's mean result."""
    dsr: float | None
    """The lower deflated Sharpe ratio; None where the results never vary."""
    pbo: float | None
    """Probability of backtest overfitting; None where nothing was chosen among several, or for too few days."""
    best_day_share: float | None
    """The share of the total that the best day brings; None unless the total is above 0."""
    among_several: bool = False
    """Whether it was seen beside others, one of which could have been judged in its place."""


class Case(NamedTuple):
    """A row of the table: a verdict, what it takes, and the test of it."""

    verdict: Verdict
    takes: str
    applies: Callable[[Evidence], bool]


class Hurdle(NamedTuple):
    """One thing that *wins* takes: in words, its test, and what is said where it fails."""

    takes: str
    is_cleared: Callable[[Evidence], bool]
    failure: Callable[[Evidence], str]


def _least_trades(evidence: Evidence) -> int:
    """Returns how many trades it takes: days alone must be as many as the sessions that it takes."""
    return LEAST_TRADES if evidence.trades_are_known else LEAST_SESSIONS


def is_too_little(evidence: Evidence) -> bool:
    """Returns whether there are so few sessions or trades that rates would only pretend."""
    return evidence.sessions < LEAST_SESSIONS or evidence.trades < _least_trades(evidence)


HURDLES = (
    Hurdle(
        "the 95% interval of the mean day lies above 0",
        lambda found: found.mean.low > 0,
        lambda found: "the 95% interval of the mean day does not lie above 0",
    ),
    Hurdle(
        f"the deflated Sharpe ratio is at least {LEAST_DSR:.2f}",
        lambda found: found.dsr is not None and found.dsr >= LEAST_DSR,
        lambda found: (
            f"the deflated Sharpe ratio is {found.dsr:.2f}, below {LEAST_DSR:.2f}"
            if found.dsr is not None
            else "the results never vary, so they have no Sharpe ratio"
        ),
    ),
    Hurdle(
        f"among several trials: the probability of backtest overfitting is known, and below {PBO_LIMIT:.1f}",
        lambda found: not found.among_several or (found.pbo is not None and found.pbo < PBO_LIMIT),
        lambda found: (
            f"the probability of backtest overfitting is {found.pbo:.2f}, not below {PBO_LIMIT:.1f}"
            if found.pbo is not None
            else "there are too few sessions to tell a choice from overfitting"
        ),
    ),
    Hurdle(
        "no day brings more than half of the total",
        lambda found: found.best_day_share is not None and found.best_day_share <= BEST_DAY_LIMIT,
        lambda found: (
            f"one day brings {100 * found.best_day_share:.0f}% of the total"
            if found.best_day_share is not None
            else "the total is not above 0"
        ),
    ),
)
"""What *wins* takes, all of it."""

CASES = (
    Case(
        Verdict.TOO_LITTLE,
        f"fewer than {LEAST_SESSIONS} sessions, or fewer than {LEAST_TRADES} trades "
        f"(where only days are known: fewer than {LEAST_SESSIONS} days with a result)",
        is_too_little,
    ),
    Case(
        Verdict.LOSES,
        "the 95% interval of the mean day lies below 0",
        lambda found: found.mean.high < 0,
    ),
    Case(
        Verdict.WINS,
        "; ".join(hurdle.takes for hurdle in HURDLES),
        lambda found: all(hurdle.is_cleared(found) for hurdle in HURDLES),
    ),
    Case(Verdict.LUCK, "everything else", lambda found: True),
)


def verdict(evidence: Evidence) -> Verdict:
    """Returns the first case that applies."""
    return next(case.verdict for case in CASES if case.applies(evidence))


def reasons(evidence: Evidence) -> list[str]:
    """Returns why it is that verdict, in words: for *cannot be told from luck*, what stands in the way of *wins*."""
    found = verdict(evidence)
    if found is Verdict.TOO_LITTLE:
        what = "trades" if evidence.trades_are_known else "days with a result"
        return [
            f"{evidence.sessions} sessions and {evidence.trades} {what}; "
            f"it takes {LEAST_SESSIONS} and {_least_trades(evidence)}"
        ]
    if found is Verdict.LOSES:
        return ["the 95% interval of the mean day lies below 0"]
    if found is Verdict.WINS:
        return [hurdle.takes for hurdle in HURDLES]
    return [hurdle.failure(evidence) for hurdle in HURDLES if not hurdle.is_cleared(evidence)]
