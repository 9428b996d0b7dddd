"""A market that gives an alert at every second bar: what the tick-to-alert benchmark sends. Standard library only.

Prices rise steadily. A bar on top of that on more volume than any before makes every condition hold: a BUY. Then the
option gives back a little, and a bar below the average on hardly any volume closes the position: a SELL. The rules
below take the rests between alerts away and leave every condition and every gate in force.
"""

from __future__ import annotations

import json
from typing import Any, Literal

Kind = Literal["plain", "up", "down"]

DATE = "2025-10-02"
OPEN_S = 1_759_411_800
BEGIN_S = 1_800
"""Seconds after the open at which the benchmark begins: every window is full of history then."""

SYMBOL, BENCHMARK = "IWM", "SPY"

RULES = {
    "ENTRY_COOLDOWN_SECONDS": "0",
    "PUSH_CAP_COUNT": "0",
    "RELATIVE_VOLUME_MIN": "0.01",
    "MARK_HOLD_SECONDS": "0",
    "TIGHTEN_GIVEBACK_PERCENT": "1",
    "CHAIN_POLL_SECONDS": "60",
    "SELL_PRIORITY": "1",
    "DAILY_SUMMARY": "false",
    "PICTURES": "false",
}
"""Settings that let one alert follow the other: no rest, no cap, no receipts of emergency pushes to ask for, no pictures."""

PRICE, RISE = 240.0, 0.004
BENCHMARK_PRICE, BENCHMARK_RISE = 668.0, 0.001
UP, DOWN = 0.01, -0.14
"""How far above or below the path a deciding bar closes, dollars."""

PLAIN_VOLUME, LEAST_VOLUME, SURGE_VOLUME, SURGE_STEP = 100, 1, 5_000, 5

STRIKES = range(246, 256)
DELTA, IV, OPEN_INTEREST, SIZE = 0.40, 0.3, 1_000, 50
HIGH_BID, LOW_BID, SPREAD = 1.00, 0.97, 0.01


def bar(symbol: str, second: int, kind: Kind = "plain", number: int = 0) -> dict[str, Any]:
    """The bar of a second after the open as the socket sends it. ``number`` counts the surges."""
    price, rise = (PRICE, RISE) if symbol == SYMBOL else (BENCHMARK_PRICE, BENCHMARK_RISE)
    path = price + rise * second
    shift = {"plain": 0.0, "up": UP, "down": DOWN}[kind]
    volume = {
        "plain": PLAIN_VOLUME + second % 7,
        "up": SURGE_VOLUME + SURGE_STEP * number,
        "down": LEAST_VOLUME,
    }[kind]
    close = round(path + shift, 4)
    return {
        "ev": "A",
        "sym": symbol,
        "v": volume,
        "dv": f"{volume}.0",
        "av": 1_000_000,
        "dav": "1000000.0",
        "op": PRICE,
        "vw": close,
        "o": close,
        "c": close,
        "h": round(close + 0.01, 4),
        "l": round(close - 0.01, 4),
        "a": close,
        "z": 50,
        "s": (OPEN_S + second) * 1000,
        "e": (OPEN_S + second + 1) * 1000,
    }


def correction(second: int, number: int) -> dict[str, Any]:
    """A plain bar of the benchmark once more, with another volume: what a busy feed is made of."""
    again = bar(BENCHMARK, second)
    again["v"] += 1 + number % 5
    again["dv"] = f"{again['v']}.0"
    return again


def history_row(sent: dict[str, Any]) -> dict[str, Any]:
    """A bar as REST tells it afterwards."""
    return {name: sent[wire] for name, wire in zip("tohlcv", ("s", "o", "h", "l", "c", "v"), strict=True)} | {
        "vw": sent["vw"],
        "n": 3,
    }


def contract(strike: int) -> str:
    """The ticker of a call."""
    return f"O:{SYMBOL}{DATE[2:].replace('-', '')}C{strike * 1000:08d}"


def quote(strike: int, at_ms: int, *, low: bool) -> dict[str, Any]:
    """A call's quote as the options socket sends it; ``low`` after it has given back a little."""
    bid = LOW_BID if low else HIGH_BID
    return {
        "ev": "Q",
        "sym": contract(strike),
        "bx": 300,
        "ax": 301,
        "bp": bid,
        "ap": round(bid + SPREAD, 2),
        "bs": SIZE,
        "as": SIZE,
        "t": at_ms,
        "q": at_ms,
    }


def chain_row(strike: int, at_ms: int, *, low: bool) -> dict[str, Any]:
    """A call as the chain snapshot tells it."""
    bid = LOW_BID if low else HIGH_BID
    return {
        "details": {
            "contract_type": "call",
            "exercise_style": "american",
            "expiration_date": DATE,
            "shares_per_contract": 100,
            "strike_price": strike,
            "ticker": contract(strike),
        },
        "greeks": {"delta": DELTA, "gamma": 0.1, "theta": -0.5, "vega": 0.05},
        "implied_volatility": IV,
        "last_quote": {
            "ask": round(bid + SPREAD, 2),
            "ask_size": SIZE,
            "bid": bid,
            "bid_size": SIZE,
            "last_updated": at_ms * 1_000_000,
            "midpoint": bid + SPREAD / 2,
            "timeframe": "REAL-TIME",
        },
        "open_interest": OPEN_INTEREST,
        "underlying_asset": {"price": float(STRIKES[1]), "ticker": SYMBOL, "timeframe": "REAL-TIME"},
    }


def page(content: object) -> bytes:
    """The JSON of a frame or a page, without blanks as the vendor writes it."""
    return json.dumps(content, separators=(",", ":")).encode()
