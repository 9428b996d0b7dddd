"""Days of the book, made by hand: any number of sessions with trades at every delay, and what a page is told of them."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from msgspec.structs import replace

import utils
from book.rows import DayRow, Order, TradeRow
from config import Following
from events import OPTION_PRICE_UNIT, SECOND, ExitReason
from followed import DELAYS_S, SHARES, Fate
from review.days_page.parts import Told
from review.days_report import Asked, Range
from tests.book.test_store import DAY, TRADE

FIRST = date(2025, 9, 2)
PAID = 10_000


def trade(day: DayRow, number: int, minute: int, reason: str, *dollars: float | Fate) -> TradeRow:
    """A trade whose BUY came so many minutes after the open, and what it brings before fees at each delay.

    One result stands for every delay.
    """
    results = dollars if len(dollars) > 1 else dollars * len(DELAYS_S)
    followed = {
        delay: Order(made, PAID, None)
        if isinstance(made, Fate)
        else Order(Fate.TAKEN, PAID, PAID + round(made / SHARES * OPTION_PRICE_UNIT))
        for delay, made in zip(DELAYS_S, results, strict=True)
    }
    opened_at = day.open + minute * 60 * SECOND
    return replace(TRADE, id=f"{number:06x}", opened_at=opened_at, reason=reason, followed=followed)


def day_on(at: date, *, unseen_s: int = 0) -> DayRow:
    """A session without a trade, of which so many seconds were blind."""
    session = utils.session_on(at)
    assert session is not None, f"{at} has no session"
    return replace(
        DAY,
        date=session.date,
        open=session.open,
        close=session.close,
        seen_s=(session.close - session.open) // SECOND - unseen_s,
        blind_s=unseen_s,
        away_s=0,
        signals=0,
        entries=0,
        miss_at=session.open + 4_000 * SECOND,
        trades=(),
    )


def many(count: int) -> list[DayRow]:
    """So many sessions, one after the other, with none to three trades each."""
    days: list[DayRow] = []
    reasons = [*map(str, ExitReason)]
    at = FIRST
    while len(days) < count:
        if utils.session_on(at) is not None:
            number = len(days)
            day = day_on(at, unseen_s=number % 9 * 400)
            made = [
                trade(day, number * 8 + place, 20 + (number * 7 + place * 110) % 360, reasons[number % 6], *results(number + place))
                for place in range(number % 4)
            ]  # fmt: skip
            days.append(replace(day, signals=len(made) + number % 2, entries=len(made), trades=tuple(made)))
        at += timedelta(days=1)
    return days


def results(number: int) -> list[float | Fate]:
    """What a trade brings at each delay; some could not be followed."""
    return [
        Fate.OVER_LIMIT if (number + delay) % 11 == 0 else (number * 37 + delay * 3) % 90 - 42.5
        for delay in DELAYS_S
    ]


def told(days: list[DayRow], pages: dict[str, str] | None = None, **following: object) -> Told:
    """What a page is made of, without fees unless they are given."""
    given = Following(**{"fee_per_contract": 0.0, **following})  # type: ignore[arg-type]
    return Told(days, Asked(Path(), Range(), given, 0), pages or {})
