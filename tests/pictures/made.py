"""Pictures' facts for tests: a made trade and a made day, with prices that go up and down again."""

from __future__ import annotations

import functools
from math import sin
from typing import Any

from events import SECOND
from pictures.draw import draw
from pictures.facts import (
    DarkSpan,
    DayPicture,
    DayTrade,
    Level,
    Moment,
    TradePicture,
    decoded,
)
from pictures.gather import Gathered
from tests.builders import SESSION

OPEN = SESSION.open


def price_at(second: int) -> float:
    return round(242 + sin(second / 90) + sin(second / 7) / 10, 2)


def gathered(
    start: int, end: int, *, blind: tuple[int, int] = (0, 0), held: tuple[int, int] = (0, 0)
) -> Gathered:
    """What a session keeps of the seconds [start, end) after the open; blind and holding a call within others."""
    made, peak = Gathered(), 0
    for second in range(start, end):
        price, is_held = price_at(second), held[0] <= second < held[1]
        mark = round(4_500 + (price - 242) * 2_000) if is_held else None
        peak = max(peak, mark or 0)
        made.second(
            OPEN + second * SECOND,
            price=price,
            vwap=price - 0.1,
            long_vwap=price - 0.2,
            mark=mark,
            peak=peak if is_held else None,
            is_blind=blind[0] <= second < blind[1],
        )
    return made


@functools.cache
def seen_day(seconds: int) -> Gathered:
    """What a session keeps of its first seconds. It is only read, so that making it once is enough."""
    return gathered(0, seconds)


def trade(took: int = 190, *, blind: tuple[int, int] = (0, 0), **changes: Any) -> TradePicture:
    """A trade that began 1,000 s after the open."""
    bought, sold = 1_000, 1_000 + took
    kept = gathered(900, sold + 16, blind=blind, held=(bought, sold))
    span = OPEN + 900 * SECOND, OPEN + (sold + 15) * SECOND
    values: dict[str, Any] = {
        "symbol": "IWM",
        "call": "242 call",
        "id": "dcb9e9",
        "date": SESSION.date,
        "bought": Moment(OPEN + bought * SECOND, price_at(bought)),
        "sold": Moment(OPEN + sold * SECOND, price_at(sold)),
        "entry": 4_500,
        "exit": 5_550,
        "peak": 6_950,
        "levels": [Level("Stop", 3_825), Level("Cap 20%", None, 0.8), Level("Cap 30%", None, 0.7)],
        "percent": 20.0,
        "reason": "Giveback 31.2% (Hard cap 30%)",
        "by_hand": "+$5.70 (+12.4%) at 15 s",
        "at_once": "+$8.70 at 0 s",
        "short_vwap_s": 60,
        "long_vwap_s": 300,
        "seconds": kept.between(*span, 1_300),
        "dark": kept.dark(*span),
    }
    return TradePicture(**{**values, **changes})


def day(trades: int = 0, *, seconds: int = 23_400, dark: tuple[DarkSpan, ...] = ()) -> DayPicture:
    """A session with so many trades, of which so many seconds were seen."""
    kept = seen_day(seconds)
    return DayPicture(
        symbol="IWM",
        date=SESSION.date,
        open=OPEN,
        close=SESSION.close,
        headline=f"{trades} trades",
        lines=["Seen for 6h29m of 6h30m, blind for 12s"],
        trades=[
            DayTrade(
                number=number,
                bought=Moment(OPEN + number * 1_500 * SECOND, price_at(number * 1_500)),
                sold=Moment(OPEN + (number * 1_500 + 200) * SECOND, price_at(number * 1_500 + 200)),
                text="10:42:02–10:44:15 242c: +$5.70 (+12.4%) at 15 s",
                dollars=(-1) ** number * 5.7,
            )
            for number in range(1, trades + 1)
        ],
        long_vwap_s=300,
        seconds=kept.between(OPEN, SESSION.close, 1_400),
        dark=list(dark),
    )


async def drawn_here(facts: bytes) -> bytes:
    """Draws in this process: on virtual time another one would be given no time at all."""
    return draw(decoded(facts))
