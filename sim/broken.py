"""The broken things that the simulated market says when a fault asks for them: events, frames and rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.wire import Event

# --- Broken frames -----------------------------------------------------------------------------------

WRONG = 2.0
"""Broken events carry prices this many times the good one's, so that a test sees if one is used."""

PRICE_KEYS = ("o", "h", "l", "c", "vw", "a", "bp", "ap")
NS_PER_MS = 1_000_000
HOUR_MS = 3_600_000


def _wrong(good: Event, **changes: Any) -> Event:
    prices: Event = {key: good[key] * WRONG for key in PRICE_KEYS if key in good}
    return {**good, **prices, **changes}


def _without(good: Event, *keys: str) -> Event:
    return {key: value for key, value in _wrong(good).items() if key not in keys}


def _stamp(good: Event, factor: int = 1, plus: int = 0) -> Event:
    return _wrong(good, **{key: good[key] * factor + plus for key in ("s", "e", "t") if key in good})


BROKEN_EVENTS: dict[str, Callable[[Event], Any]] = {
    "nan": lambda good: _wrong(good, c=float("nan"), bp=float("nan")),
    "infinity": lambda good: _wrong(good, vw=float("inf"), ap=float("inf")),
    "null_fields": lambda good: _wrong(good, c=None, v=None, s=None, bp=None, t=None),
    "missing_fields": lambda good: _without(good, "o", "c", "h", "l", "s", "t", "bp", "ap"),
    "text_numbers": lambda good: _wrong(good, c="dear", s="soon", bp="cheap", t="now"),
    "number_as_text": lambda good: _wrong(
        good, c=str(good.get("c", 1) * WRONG), bp=str(good.get("bp", 1) * WRONG)
    ),
    "negative": lambda good: _wrong(good, c=-1.0, v=-100, dv="-100", vw=-1.0, bp=-0.5, ap=-0.4, bs=-3),
    "zero_prices": lambda good: _wrong(good, o=0, h=0, l=0, c=0, vw=0),
    "bad_decimal": lambda good: _wrong(good, dv="many", v="many", bs="many"),
    "ns_timestamps": lambda good: _stamp(good, NS_PER_MS),
    "future": lambda good: _stamp(good, 1, HOUR_MS),
    "huge_integer": lambda good: _wrong(good, s=10**30, t=10**30),
    "fractional_time": lambda good: _stamp(good, 1, 0) | {"s": 0.5, "t": 0.5},
    "unknown_symbol": lambda good: _wrong(good, sym="ZZZZ"),
    "null_symbol": lambda good: _wrong(good, sym=None),
    "unknown_event": lambda good: _wrong(good, ev="ZZ"),
    "no_event": lambda good: _without(good, "ev"),
    "unknown_status": lambda good: {
        "ev": "status",
        "status": "gremlins",
        "message": "nobody has heard of this",
    },
    "bare_status": lambda good: {"ev": "status"},
    "null_event": lambda good: None,
    "number_event": lambda good: 17,
    "text_event": lambda good: "A",
    "list_event": lambda good: [[good["sym"]]],
}
"""Name → a broken event made from a good one, to stand among good ones."""

BROKEN_FRAMES: dict[str, str | bytes] = {
    "broken_json": '[{"ev":"A","sym":"IWM","v":1,',
    "not_json": "upstream connect error or disconnect/reset before headers",
    "not_an_array": '{"ev":"status","status":"gremlins","message":"not in an array"}',
    "null_frame": "null",
    "empty_frame": "",
    "empty_array": "[]",
    "binary": b"\x00\x01\x02\xff",
}
"""Name → a whole frame that is broken, sent before a good one."""

GARBAGE = (*BROKEN_EVENTS, *BROKEN_FRAMES)


def flood(size: int) -> str:
    """Returns a frame of about ``size`` bytes in which nothing is an event."""
    return f"[{'1,' * (size // 2 - 2)}1]"


# --- Broken rows -------------------------------------------------------------------------------------


def bad_rows(good: dict[str, Any], *, nan: bool) -> list[Any]:
    """Returns rows of a chain page, each broken in another way, from a good one."""
    quote, details = good.get("last_quote", {}), good["details"]

    def row(**changes: Any) -> dict[str, Any]:
        return {**good, **changes}

    rows: list[Any] = [
        None,
        "row",
        7,
        [],
        {},
        row(details=None),
        row(details={**details, "ticker": None}),
        row(details={**details, "strike_price": "high"}),
        row(details={**details, "strike_price": -240}),
        row(last_quote=None),
        row(last_quote={}),
        row(last_quote={**quote, "bid": "0.86", "ask": None}),
        row(last_quote={**quote, "bid": -0.5, "ask": -0.4}),
        row(last_quote={**quote, "last_updated": "now"}),
        row(greeks=None, implied_volatility="high", open_interest=None),
    ]
    if nan:
        rows.append(row(last_quote={**quote, "bid": float("nan"), "ask": float("inf")}))
        rows.append(row(greeks={"delta": float("nan")}, implied_volatility=float("nan")))
    return rows


def bad_bars(good: dict[str, Any], *, nan: bool) -> list[Any]:
    """Returns rows of an aggregates page, each broken in another way, from a good one."""
    wrong = {key: good[key] * WRONG for key in "ohlc"}
    rows: list[Any] = [
        None,
        "bar",
        {},
        {**good, **wrong, "t": None},
        {**good, **wrong, "t": "now"},
        {**good, **wrong, "t": good["t"] * NS_PER_MS},
        {**good, **wrong, "c": None},
        {**good, **wrong, "c": "dear"},
        {**good, **wrong, "v": -5, "c": -1.0},
    ]
    if nan:
        rows.append({**good, **wrong, "c": float("nan")})
    return rows
