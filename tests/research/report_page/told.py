"""Made backtests for the report: trades of every hour, weekday, reason, delta and spread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np

import utils
from events import SECOND, ExitReason
from followed import DELAYS_S, Fate
from research.backtest.greeks import Attribution
from research.backtest.report import Asked, Backtest, summed
from research.backtest.session import HORIZONS, Order, SessionResult, TradeResult
from research.history.store import Origin, Source, State
from research.ledger import Entry, Opening

FIRST = date(2025, 1, 2)
HOSTILE = "<script>alert(1)</script>"


def session_dates(count: int) -> list[str]:
    """The first sessions of 2025."""
    days = (FIRST + timedelta(days=number) for number in range(2 * count + 10))
    return [day.isoformat() for day in days if utils.session_on(day) is not None][:count]


def trade(rng: np.random.Generator, day: str, number: int, mean: float) -> TradeResult:
    """A made trade: most lose about the stop, a few bring a multiple."""
    session = utils.session_on(date.fromisoformat(day))
    assert session is not None
    opened_at = session.open + int(rng.integers(60, 12_000)) * SECOND
    result = float(rng.choice([-0.2, -0.12, 0.08, 0.3], p=[0.4, 0.25, 0.2, 0.15])) + mean
    orders = {
        delay: Order(Fate.TAKEN.value, 5_000, 5_000, result - 0.0004 * delay)
        if number != 1 or delay < 30
        else Order(Fate.OVER_LIMIT.value, None, None, None)
        for delay in DELAYS_S
    }
    delta, gamma, theta, volatility = map(float, rng.normal(0, 6, 4))
    return TradeResult(
        id=f"{day}-{number}",
        contract="O:IWM250102C00220000",
        opened_at=opened_at,
        closed_at=opened_at + 300 * SECOND,
        reason=list(ExitReason)[int(rng.integers(len(ExitReason)))].value,
        delta=float(rng.uniform(0.3, 0.7)),
        spread_percent=float(rng.uniform(1, 12)),
        entry=5_000,
        ask=5_050,
        mid_result=result + 0.02,
        orders=orders,
        worst=-0.2,
        best=0.1,
        kept=0.5,
        attribution=Attribution(delta, gamma, theta, volatility, 0.3, -2.0, -1.3),
    )


def made(day: str, seed: int, mean: float, missing_blocks: int = 0) -> SessionResult:
    """A made session of up to three trades."""
    rng = np.random.default_rng([seed, date.fromisoformat(day).toordinal()])
    count = int(rng.integers(0, 4))
    return SessionResult(
        date=day,
        evaluations=20_000,
        signals=count,
        signal_moves={name: [float(move) for move in rng.normal(0, 4, count)] for name in HORIZONS},
        usual_moves={name: (18_000, 0.01) for name in HORIZONS},
        trades=[trade(rng, day, number, mean) for number in range(count)],
        missing_blocks=missing_blocks,
        missing_seconds={"IWM": 5_600, "SPY": 310},
    )


def source(day: str, state: State = State.WHOLE, *, simulated: bool = False) -> Source:
    """Where a made session comes from."""
    return Source(
        symbol="IWM",
        benchmark="SPY",
        date=day,
        kind=Origin.VENDOR,
        origin="made",
        state=state,
        simulated=simulated,
    )


def backtest(
    count: int, *, mean: float = 0.0, simulated: bool = False, left_out: Sequence[str] = ()
) -> Backtest:
    """A made backtest of so many sessions."""
    days = session_dates(count)
    asked = Asked(
        symbol="IWM",
        digest="0123456789ab",
        settings="",
        delay_s=5,
        fee=0.65,
        trials=3,
        openings=[Opening(utils.utc_now(), "0123456789ab", 20)],
        sealed=0,
        left_out=[(day, HOSTILE) for day in left_out],
        simulated=simulated,
    )
    return summed(
        asked, [made(day, 7, mean, missing_blocks=int(number == 2)) for number, day in enumerate(days)]
    )


def entries(count: int) -> list[Entry]:
    """So many sets of rules of the ledger."""
    return [Entry(f"{number:012x}", utils.utc_now(), "backtest", 60) for number in range(count)]
