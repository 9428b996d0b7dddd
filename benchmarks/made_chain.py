"""A chain page of 250 calls as the vendor sends it, from a seed. Standard library only."""

from __future__ import annotations

import json
import math
import random
from typing import Any

DATE = "2025-10-02"
NOW_S = 1_759_420_800
"""12:00 in New York on that day, seconds of UTC."""

CLOSE_S = 1_759_435_200
SPOT = 240.37
ROWS = 250
"""As many as a page can have."""

LOWEST_STRIKE = 116
VOLATILITY = 0.30
YEAR_S = 365 * 86_400
NANO = 1_000_000_000
NEAR = 0.03
"""Share of spot within which contracts trade all the time; the vendor leaves things out farther away."""

WITHOUT_IV = 0.3
"""Share of the far rows that have no implied volatility."""


def _normal(value: float) -> float:
    return (1 + math.erf(value / math.sqrt(2))) / 2


def row(dice: random.Random, strike: int) -> dict[str, Any]:
    """One call with all that the vendor says of it; far from the money some of it is missing, as there.

    It is longer than 40 lines because the vendor's row is.
    """
    distance = math.log(strike / SPOT)
    iv = VOLATILITY * (1 - 1.2 * distance + 8 * distance * distance) * (1 + dice.uniform(-0.01, 0.01))
    deviation = iv * math.sqrt((CLOSE_S - NOW_S) / YEAR_S)
    d1 = deviation / 2 - distance / deviation
    delta = _normal(d1)
    value = max(0.0, SPOT * delta - strike * _normal(d1 - deviation))
    spread = 0.01 + 0.01 * int(value > 1) + round(0.004 * value, 2)
    bid = max(0.0, round(value - spread / 2, 2))
    ask = round(bid + spread, 2)
    quoted_at = NOW_S * NANO - dice.randrange(NANO)
    ticker = f"O:IWM{DATE[2:].replace('-', '')}C{strike * 1000:08d}"
    made: dict[str, Any] = {
        "break_even_price": round(strike + (bid + ask) / 2, 4),
        "day": {
            "change": round(dice.uniform(-1, 1), 2),
            "change_percent": round(dice.uniform(-60, 60), 2),
            "close": ask,
            "high": round(ask * 1.4, 2),
            "last_updated": quoted_at,
            "low": bid,
            "open": ask,
            "previous_close": round(ask * 1.1, 2),
            "volume": dice.randrange(1, 9_000),
            "vwap": round((bid + ask) / 2, 4),
        },
        "details": {
            "contract_type": "call",
            "exercise_style": "american",
            "expiration_date": DATE,
            "shares_per_contract": 100,
            "strike_price": strike,
            "ticker": ticker,
        },
        "greeks": {
            "delta": delta,
            "gamma": dice.uniform(0, 0.2),
            "theta": -dice.uniform(0, 1),
            "vega": dice.uniform(0, 0.1),
        },
        "implied_volatility": iv,
        "last_quote": {
            "ask": ask,
            "ask_size": dice.randrange(5, 60),
            "bid": bid,
            "bid_size": dice.randrange(5, 60) if bid else 0,
            "last_updated": quoted_at,
            "midpoint": round((bid + ask) / 2, 4),
            "timeframe": "REAL-TIME",
        },
        "last_trade": {
            "conditions": [209],
            "exchange": 302,
            "price": ask,
            "sip_timestamp": quoted_at,
            "size": dice.randrange(1, 20),
            "timeframe": "REAL-TIME",
        },
        "open_interest": dice.randrange(100, 6_000),
        "underlying_asset": {
            "change_to_break_even": round(strike + ask - SPOT, 4),
            "last_updated": NOW_S * NANO,
            "price": SPOT,
            "ticker": "IWM",
            "timeframe": "REAL-TIME",
        },
    }
    if abs(distance) > NEAR:
        made["greeks"], made["day"] = {}, {}
        if dice.random() < WITHOUT_IV:
            del made["implied_volatility"]
    return made


def page(seed: int = 1) -> bytes:
    """The page, without blanks as the vendor writes it."""
    dice = random.Random(seed)
    rows = [row(dice, LOWEST_STRIKE + number) for number in range(ROWS)]
    body = {"results": rows, "status": "OK", "request_id": "0123456789abcdef0123456789abcdef"}
    return json.dumps(body, separators=(",", ":")).encode()
