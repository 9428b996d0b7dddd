"""Makes a bar from one second of one symbol, from a frame or from REST. Pure, except for what `BadInput` counts."""

from __future__ import annotations

from typing import Any

import msgspec

from events import PRICE_MAX, PRICE_MIN, VWAP_SLACK, Bar, is_vwap, typical_price
from feeds.massive.bad_input import BadInput, BadReason, BadValue
from feeds.massive.numbers import NO_VALUE, UNUSABLE, is_price, loose, second_us, value_of, volume_of

SPAN_MOST = 2.0
"""The greatest ratio of high to low. A greater one means that a number has another unit; any VWAP would lie in between."""

VWAP_LEAST, VWAP_MOST = 1 - VWAP_SLACK, 1 + VWAP_SLACK


class Aggregate(msgspec.Struct, frozen=True, gc=False, tag_field="ev", tag="A"):
    """One second of one symbol, as on the wire. Numbers come as integers or floats, volumes also as text.

    This is what happens to a field that is not as it should be (the same goes for REST's seconds, whose ``s`` is ``t``):

    | field | absent or null | zero | no number, or out of bounds | contradicts the others |
    |---|---|---|---|---|
    | sym | bad | | bad | bad unless asked for |
    | s | bad | bad | bad | bad unless a whole second, not far ahead of now |
    | e | s + 1 s | s + 1 s | s + 1 s, counted | bad |
    | c | bad | bad | bad | outside low and high: see `_mended_prices` |
    | o, h, l | from the others, counted | as absent | as absent | from the others, counted |
    | vw | close | close without volume, else as no number | typical price, counted | over 1 % off: typical price, counted |
    | dv | v | 0 | v, counted | |
    | v | bad without a usable dv | 0 | bad without a usable dv | |

    "Bad" costs the event and nothing else; "counted" keeps it.
    """

    sym: str | None = None
    v: float | str | None = None
    dv: float | str | None = None
    vw: float | None = None
    o: float | None = None
    h: float | None = None
    l: float | None = None  # noqa: E741 - the vendor's name
    c: float | None = None
    s: float | None = None
    e: float | None = None


class SecondRow(msgspec.Struct, frozen=True, gc=False):
    """One second of a symbol's history, as on the wire."""

    t: float | None = None
    o: float | None = None
    h: float | None = None
    l: float | None = None  # noqa: E741 - the vendor's name
    c: float | None = None
    v: float | str | None = None
    dv: float | str | None = None
    vw: float | None = None


class LooseSecond(msgspec.Struct, frozen=True, gc=False):
    """The fields of either that are used, not read yet: for a second with a field of another type."""

    ev: msgspec.Raw = NO_VALUE
    sym: msgspec.Raw = NO_VALUE
    s: msgspec.Raw = NO_VALUE
    e: msgspec.Raw = NO_VALUE
    t: msgspec.Raw = NO_VALUE
    o: msgspec.Raw = NO_VALUE
    h: msgspec.Raw = NO_VALUE
    l: msgspec.Raw = NO_VALUE  # noqa: E741 - the vendor's name
    c: msgspec.Raw = NO_VALUE
    v: msgspec.Raw = NO_VALUE
    dv: msgspec.Raw = NO_VALUE
    vw: msgspec.Raw = NO_VALUE


LOOSE_SECOND: msgspec.json.Decoder[LooseSecond] = msgspec.json.Decoder(LooseSecond)

Second = Aggregate | SecondRow
"""One second on the wire, from a frame or from REST."""


def second_numbers(fields: LooseSecond, start: str, *more: str) -> dict[str, Any]:
    """Returns a second's numbers, with `UNUSABLE` for what is none. Raises BadValue if its start or close is `UNUSABLE`."""
    names = (start, *more, *"ohlc", "vw")
    numbers: dict[str, Any] = {name: loose(value_of(getattr(fields, name))) for name in names}
    for name in (start, "c"):
        if numbers[name] is UNUSABLE:
            raise BadValue(BadReason.NUMBER)
    for name in ("v", "dv"):
        value = value_of(getattr(fields, name))
        numbers[name] = value if isinstance(value, str) else loose(value)
    return numbers


def make_bar(
    symbol: str, start_ms: float | None, wire: Second, latest: int, bad: BadInput, *, backfilled: bool = False
) -> Bar:
    """Returns a bar from the wire's numbers. Raises BadValue if they cannot be used, or if it ends after ``latest`` (µs).

    `Aggregate` says what replaces a bad value. ``bad`` counts the replacements.
    """
    start = second_us(start_ms, latest)
    volume = volume_of(wire.dv)
    is_mended = volume is None and wire.dv is not None
    if volume is None:
        volume = volume_of(wire.v)
    if volume is None:
        raise BadValue(BadReason.VOLUME)
    opening, high, low, close, vwap = wire.o, wire.h, wire.l, wire.c, wire.vw
    if (
        opening is None
        or high is None
        or low is None
        or close is None
        or vwap is None
        or not PRICE_MIN <= low <= opening <= high <= PRICE_MAX
        or not low <= close <= high <= low * SPAN_MOST
        or not low * VWAP_LEAST <= vwap <= high * VWAP_MOST
    ):
        opening, high, low, close, vwap = _mended_prices(wire, volume, bad)
    if is_mended:
        bad.add(BadReason.VOLUME, wire, is_used=True)
    return Bar(
        symbol=symbol,
        start=start,
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=volume,
        vwap=vwap,
        backfilled=backfilled,
    )


def _mended_prices(wire: Second, volume: float, bad: BadInput) -> tuple[float, float, float, float, float]:
    """Returns open, high, low, close and VWAP of a second in which one of them is missing or impossible.

    The close must be a possible price. If it lies outside low and high, either it is wrong or they are. The close is
    wrong if open and VWAP lie between low and high: then the nearer of low and high replaces it. Low and high are wrong
    if open and VWAP lie beside the close: then they are left out. Raises BadValue if neither is the case.
    """
    close = wire.c
    if close is None or not PRICE_MIN <= close <= PRICE_MAX:
        raise BadValue(BadReason.PRICE)
    opening, high, low = wire.o, wire.h, wire.l
    span = None
    if high is not None and low is not None and PRICE_MIN <= low <= high <= min(PRICE_MAX, low * SPAN_MOST):
        span = low, high
        if not low <= close <= high:
            span = _trusted_span(low, high, close, opening, wire.vw)
    if span is None:
        # Only the close is left to confirm the open, so the open counts only near it.
        is_near = opening is not None and is_price(opening) and is_vwap(opening, close, close)
        low, high = sorted((opening if is_near and opening is not None else close, close))
    else:
        low, high = span
    close = min(max(close, low), high)
    opening = min(max(opening, low), high) if opening is not None and is_price(opening) else close
    if (opening, high, low, close) != (wire.o, wire.h, wire.l, wire.c):
        bad.add(BadReason.PRICE, wire, is_used=True)
    vwap = wire.vw
    if vwap is None or (vwap == 0 and volume == 0):
        vwap = close
    elif not is_vwap(vwap, low, high):
        bad.add(BadReason.VWAP, wire, is_used=True)
        vwap = typical_price(low, high, close)
    return opening, high, low, close, vwap


def _trusted_span(
    low: float, high: float, close: float, opening: float | None, vwap: float | None
) -> tuple[float, float] | None:
    """Returns low and high if the close outside them is wrong, None if they are. Raises BadValue if neither is sure."""
    witnesses = [value for value in (opening, vwap) if value is not None and is_price(value)]
    if witnesses and all(is_vwap(value, low, high) for value in witnesses):
        return low, high
    if witnesses and all(is_vwap(value, close, close) for value in witnesses):
        return None
    raise BadValue(BadReason.PRICE)
