"""What the simulated vendor's sockets say: status events, bars and quotes in the wire format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from events import SECOND
from sim.bars import MILLI, SimBar
from sim.contracts import OptionQuote

Event = dict[str, Any]

FRAME_EVENTS = 100
"""The most events in one frame."""

SEPARATE_EVERY = 3
"""Every third second's bars are sent in frames of their own, the others share one."""


def dumps(value: Any) -> str:
    """Returns ``value`` as the vendor's JSON: without blanks."""
    return json.dumps(value, separators=(",", ":"))


def status_event(status: str, message: str) -> Event:
    """A status as both sockets say it."""
    return {"ev": "status", "status": status, "message": message}


def bar_event(bar: SimBar) -> Event:
    """A bar as the stocks socket says it: ``v`` and ``av`` truncated, their fractions in ``dv`` and ``dav``."""
    event: Event = {
        "ev": "A",
        "sym": bar.symbol,
        "v": int(bar.volume),
        "dv": f"{bar.volume:.3f}".rstrip("0").rstrip("."),
        "av": int(bar.accumulated),
        "dav": f"{bar.accumulated:.3f}".rstrip("0").rstrip("."),
        "op": bar.day_open,
        "vw": bar.vwap,
        "o": bar.open,
        "c": bar.close,
        "h": bar.high,
        "l": bar.low,
        "a": bar.day_vwap,
        "z": max(1, int(bar.volume / bar.trades)),
        "s": bar.start // MILLI,
        "e": bar.end // MILLI,
    }
    if bar.day_open is None:
        del event["op"]
    return event


def quote_event(quote: OptionQuote) -> Event:
    """A quote as the options socket says it; ``t`` in milliseconds, 0 for an absent side."""
    return {
        "ev": "Q",
        "sym": quote.contract,
        "bx": quote.bid_exchange,
        "ax": quote.ask_exchange,
        "bp": quote.bid,
        "ap": quote.ask,
        "bs": quote.bid_size,
        "as": quote.ask_size,
        "t": quote.at // MILLI,
        "q": quote.sequence,
    }


def bar_frames(bars: list[SimBar]) -> Iterator[list[SimBar]]:
    """Groups bars into frames: mostly together, every third second each in one of its own."""
    shared: list[SimBar] = []
    for bar in bars:
        if bar.start // SECOND % SEPARATE_EVERY == 0:
            yield [bar]
        else:
            shared.append(bar)
    for begin in range(0, len(shared), FRAME_EVENTS):
        yield shared[begin : begin + FRAME_EVENTS]
