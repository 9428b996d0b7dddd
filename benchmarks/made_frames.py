"""Frames as the stocks socket sends them, with bars that follow from a number alone. Standard library only."""

from __future__ import annotations

import json
from typing import NamedTuple

OPEN_MS = 1_759_411_800_000
"""2025-10-02 09:30 in New York, milliseconds of UTC."""

SECONDS = 23_400
SYMBOLS = ("IWM", "SPY")
PRICES = (240.0, 668.0)

SIZES = (1, 2, 50)
"""Events in a frame that are compared."""


class WireBar(NamedTuple):
    """What everyone must find in an event. ``start`` in milliseconds."""

    symbol: str
    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float


def wire_bar(number: int) -> WireBar:
    """The bar of event ``number``: one symbol after the other, one second after the other."""
    which = number % len(SYMBOLS)
    second = number // len(SYMBOLS) % SECONDS
    price = PRICES[which] + (second * 7919 % 601 - 300) / 100
    low, high = round(price - 0.03, 2), round(price + 0.04, 2)
    vwap = round(price + (second * 31 % 60 - 30) / 10_000, 4)
    return WireBar(
        symbol=SYMBOLS[which],
        start=OPEN_MS + second * 1000,
        open=round(price - 0.01, 2),
        high=high,
        low=low,
        close=round(price, 2),
        volume=float(100 + second * 104_729 % 9_000),
        vwap=vwap,
    )


def event(bar: WireBar) -> dict[str, object]:
    """A bar with every field that the vendor sends."""
    return {
        "ev": "A",
        "sym": bar.symbol,
        "v": int(bar.volume),
        "dv": f"{bar.volume:.1f}",
        "av": 1_250_000 + int(bar.volume),
        "dav": f"{1_250_000 + bar.volume:.1f}",
        "op": bar.open,
        "vw": bar.vwap,
        "o": bar.open,
        "c": bar.close,
        "h": bar.high,
        "l": bar.low,
        "a": bar.vwap,
        "z": 60,
        "s": bar.start,
        "e": bar.start + 1000,
    }


def frame(bars: list[WireBar]) -> bytes:
    """The JSON of one frame, without blanks as the vendor writes it."""
    return json.dumps([event(bar) for bar in bars], separators=(",", ":")).encode()


def frames(size: int, events: int) -> list[bytes]:
    """Frames of ``size`` events, ``events`` in all."""
    return [
        frame([wire_bar(number) for number in range(begin, min(begin + size, events))])
        for begin in range(0, events, size)
    ]
