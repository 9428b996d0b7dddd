"""What the vendor's documentation calls a valid event or row, read plainly and apart from the program's own reading.

A text is one of three things. What is valid must come through with exactly these values. What is bad must not come through. What
is neither (a price is missing that follows from the others, say) may come through, within the bounds.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, TypeGuard

from tests.wire import CALL, EXPIRY, NOW

NOW_MS = NOW // 1000
AHEAD_MS = 2000
OLDEST_MS, NEWEST_MS = 946_684_800_000, 4_102_444_800_000
DEPTH_MAX = 100
"""What is nested deeper, anywhere, no reader need take."""

LENGTH_MAX = 40
"""The longest number, characters."""


class NotJson(ValueError):
    """A text that is no JSON."""


@dataclass
class Verdict:
    """``must``: the values that must come through. ``may``: those that, if any comes, are as given. Neither: nothing may."""

    must: dict[str, Any] | None = None
    may: dict[str, Any] | None = None


class Twice(dict[str, Any]):
    """An object in which a key stands twice."""


def parsed(text: bytes) -> Any:
    """Returns what a text means. Raises NotJson, also for a number that is none or is too long, or too deep nesting."""
    deepest = depth = 0
    for bracket in re.finditer(rb"[\[{]|[\]}]", text):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > DEPTH_MAX:
        raise NotJson
    try:
        value = json.loads(
            text.decode(),
            parse_float=_number,
            parse_int=_number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise NotJson from None
    return value


def _number(token: str) -> float:
    number = float(token)
    if len(token) > LENGTH_MAX or not math.isfinite(number):
        raise NotJson
    return int(token) if re.fullmatch(r"-?\d+", token) else number


def _constant(token: str) -> float:
    raise NotJson


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return (dict if len(dict(pairs)) == len(pairs) else Twice)(pairs)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_price(value: Any) -> TypeGuard[float]:
    """A cent to a million dollars."""
    return is_number(value) and 0.01 <= value <= 1_000_000


def is_amount(value: Any) -> TypeGuard[float]:
    """A volume or size."""
    return is_number(value) and 0 <= value < 1e12


def is_absent(value: Any) -> bool:
    """Left out, or null."""
    return value is None


def volume(event: dict[str, Any]) -> float | None:
    """The volume: ``dv``, a decimal as text, if there is one, else ``v``."""
    decimal: Any = event.get("dv")
    whole: Any = event.get("v")
    if (
        isinstance(decimal, str)
        and re.fullmatch(r"\d+(\.\d+)?", decimal, re.ASCII)
        and len(decimal) <= LENGTH_MAX
    ):
        return float(decimal) if float(decimal) < 1e12 else None
    return float(whole) if is_absent(decimal) and is_amount(whole) else None


def second(event: dict[str, Any], start: str, *, backfilled: bool = False) -> Verdict:
    """A second of a symbol, from a frame (its ``start`` is ``s``) or from REST (``t``)."""
    began: Any = event.get(start)
    close: Any = event.get("c")
    if not is_number(began) or began % 1000 or not OLDEST_MS <= began <= NOW_MS + AHEAD_MS - 1000:
        return Verdict()
    if not is_price(close):
        return Verdict()
    known = volume(event)
    values: dict[str, Any] = {"start": int(began) * 1000, "backfilled": backfilled}
    if known is None:
        return Verdict() if _has_no_volume(event) else Verdict(may=values)
    low: Any
    opening: Any
    high: Any
    vwap: Any
    low, opening, high, vwap = (event.get(name) for name in ("l", "o", "h", "vw"))
    is_whole = all(map(is_price, (low, opening, high, vwap, close)))
    if not is_whole or not low <= min(opening, close) <= max(opening, close) <= high <= 2 * low:
        return Verdict(may=values | {"volume": known})
    if not low <= vwap <= high:
        return Verdict(
            may=values | {"volume": known, "open": opening, "high": high, "low": low, "close": close}
        )
    prices = {"open": opening, "high": high, "low": low, "close": close, "vwap": vwap}
    return Verdict(must=values | prices | {"volume": known})


def _has_no_volume(event: dict[str, Any]) -> bool:
    """Whether neither of the two volumes is one."""
    decimal: Any = event.get("dv")
    whole: Any = event.get("v")
    return (
        not isinstance(decimal, str)
        and not isinstance(whole, str)
        and not is_amount(whole)
        and not is_amount(decimal)
    )


def event(text: bytes, asked: frozenset[str]) -> Verdict:
    """An event of a frame."""
    try:
        found = parsed(text)
    except NotJson:
        return Verdict(may={"kind": "any"})
    if not isinstance(found, dict):
        return Verdict()
    if isinstance(found, Twice):
        return Verdict(may={"kind": "any"})
    kind, symbol = found.get("ev"), found.get("sym")
    if not isinstance(kind, str) or not isinstance(symbol, str | None):
        return Verdict()
    if kind == "status":
        return Verdict(may={"kind": "status"})
    if kind not in ("A", "Q") or symbol not in asked or (symbol == CALL) is (kind == "A"):
        return Verdict()
    verdict = _aggregate(found) if kind == "A" else _quote(found)
    name = "symbol" if kind == "A" else "contract"
    for values in (verdict.must, verdict.may):
        if values is not None:
            values |= {"kind": kind, name: symbol}
    return verdict


def _aggregate(found: dict[str, Any]) -> Verdict:
    verdict, end = second(found, "s"), found.get("e")
    if not is_number(end) or end == 0:
        if verdict.must is not None and not is_absent(end) and end != 0:
            return Verdict(may=verdict.must)
        return verdict
    if verdict.must is None and verdict.may is None:
        return verdict
    return verdict if end == found["s"] + 1000 else Verdict()


def _quote(found: dict[str, Any]) -> Verdict:
    at: Any = found.get("t")
    numbers: dict[str, Any] = {name: found.get(name) for name in ("bp", "ap", "bs", "as")}
    if not is_number(at) or at != int(at) or not OLDEST_MS <= at <= NOW_MS + AHEAD_MS:
        return Verdict()
    if any(not is_absent(value) and not is_amount(value) for value in numbers.values()):
        return Verdict()
    if any((numbers[name] or 0) > 1_000_000 for name in ("bp", "ap")):
        return Verdict()
    if not is_absent(found.get("q")) and not is_number(found["q"]):
        return Verdict()
    return Verdict(
        must={
            "at": int(at) * 1000,
            "bid": round((numbers["bp"] or 0) * 10_000),
            "ask": round((numbers["ap"] or 0) * 10_000),
            "bid_size": numbers["bs"] or 0,
            "ask_size": numbers["as"] or 0,
        }
    )


def seconds_row(text: bytes) -> Verdict:
    """A row of REST's seconds."""
    found = _row(text)
    return found if isinstance(found, Verdict) else second(found, "t", backfilled=True)


def _row(text: bytes) -> dict[str, Any] | Verdict:
    try:
        found = parsed(text)
    except NotJson:
        return Verdict(may={})
    if isinstance(found, Twice):
        return Verdict(may={})
    return found if isinstance(found, dict) else Verdict()


TICKER = re.compile(r"O:IWM251002C(\d{8})", re.ASCII)


def chain_row(text: bytes) -> Verdict:
    """A row of the chain of IWM's calls of `EXPIRY`."""
    found = _row(text)
    return found if isinstance(found, Verdict) else parsed_chain_row(found)


def parsed_chain_row(found: dict[str, Any]) -> Verdict:
    """The same of an object that is `parsed` already, as part of a whole answer, and in which no key stands twice."""
    details: Any = found.get("details")
    quoted: Any = found.get("last_quote")
    if not isinstance(details, dict) or isinstance(details, Twice):
        return Verdict(may={}) if isinstance(details, Twice) else Verdict()
    ticker = details.get("ticker")
    named = TICKER.fullmatch(ticker) if isinstance(ticker, str) else None
    strike: Any = details.get("strike_price")
    if named is None or not is_price(strike) or round(strike * 1000) != int(named[1]):
        return Verdict()
    if details.get("contract_type") not in (None, "call") or details.get("expiration_date") not in (
        None,
        EXPIRY,
    ):
        return Verdict()
    values: dict[str, Any] = {"contract": ticker, "strike": int(named[1])}
    if not isinstance(quoted, dict) or isinstance(quoted, Twice) or set(map(type, found.values())) & {Twice}:
        return Verdict(may=values)
    return _quoted_row(found, details, quoted, values)


def _quoted_row(
    found: dict[str, Any], details: dict[str, Any], quoted: dict[str, Any], values: dict[str, Any]
) -> Verdict:
    sides: list[Any] = [quoted.get(name) for name in ("bid", "ask", "bid_size", "ask_size")]
    greeks: Any = found.get("greeks")
    iv: Any = found.get("implied_volatility")
    interest: Any = found.get("open_interest")
    at: Any
    at, shares = quoted.get("last_updated"), details.get("shares_per_contract")
    bad = [side for side in sides if not is_absent(side) and not is_amount(side)]
    if bad or (is_number(at) and at and not OLDEST_MS * 1_000_000 <= at <= (NOW_MS + AHEAD_MS) * 1_000_000):
        return Verdict()
    is_plain = (
        is_number(at)
        and isinstance(at, int)
        and is_amount(shares)
        and is_amount(interest)
        and all(is_amount(side) for side in sides)
        and max(sides[:2]) <= 1_000_000
        and isinstance(greeks, dict)
        and set(map(type, greeks.values())) <= {int, float}
        and -1 <= greeks.get("delta", 0) <= 1
        and is_number(iv)
        and 1e-6 <= iv <= 100
        and isinstance(found.get("underlying_asset"), dict)
        and isinstance(quoted.get("timeframe"), str)
    )
    delta = greeks.get("delta") if isinstance(greeks, dict) else None
    if not is_plain or not delta:
        return Verdict(may=values)
    return Verdict(
        must=values
        | {
            "bid": round(sides[0] * 10_000), "ask": round(sides[1] * 10_000), "bid_size": sides[2], "ask_size": sides[3],
            "quoted_at": at // 1000, "iv": round(iv, 6), "delta": round(delta, 6), "open_interest": interest, "shares": shares,
        }
    )  # fmt: skip


def check_bounds(bar: Any) -> None:
    """Every number of a bar that came through is within the bounds and fits the others."""
    assert bar.start % 1_000_000 == 0 and OLDEST_MS * 1000 <= bar.start <= (NOW_MS + AHEAD_MS - 1000) * 1000
    check_shape(bar)


def check_shape(bar: Any) -> None:
    """The same of its prices and volume."""
    assert 0.01 <= bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high <= 1_000_000
    assert bar.low * 0.99 <= bar.vwap <= bar.high * 1.01
    assert 0 <= bar.volume < 1e12


def check_sides(row: Any) -> None:
    """The same of a quote or a chain's row."""
    assert 0 <= row.bid <= 10**10 and 0 <= row.ask <= 10**10
    assert 0 <= row.bid_size < 1e12 and 0 <= row.ask_size < 1e12


def is_as(found: Any, values: dict[str, Any]) -> bool:
    """Whether what came through has these values."""
    names = [name for name in values if name != "kind"]
    return all(getattr(found, name) == values[name] for name in names)
