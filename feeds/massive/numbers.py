"""Single numbers and times of the wire, checked."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from events import OPTION_PRICE_UNIT, PRICE_MAX, PRICE_MIN, SECOND, VOLUME_LIMIT
from feeds.massive.bad_input import BadReason, BadValue
from rules import Rules

MILLISECOND = 1_000
"""Microseconds in a millisecond."""

SECOND_MS = 1_000.0
"""Milliseconds in a second."""

NANOSECONDS = 1_000
"""Nanoseconds in a microsecond."""

OLDEST_TIME_US = 946_684_800 * SECOND
"""2000-01-01: any earlier time is in a wrong unit."""

NEWEST_TIME_US = 4_102_444_800 * SECOND
"""2100-01-01: any later time is in a wrong unit (nanoseconds read as milliseconds are far beyond)."""

OLDEST_TIME_MS, NEWEST_TIME_MS = OLDEST_TIME_US / MILLISECOND, NEWEST_TIME_US / MILLISECOND

AHEAD_US = round(Rules.model_fields["clock_doubt_seconds"].default * SECOND)
"""How far ahead of now a bar may end, or a quote be stamped, before it is bad: by the rule's default."""


def ahead_us(rules: Rules) -> int:
    """The same by ``rules``, µs: from there on the clock is doubted, too."""
    return round(rules.clock_doubt_seconds * SECOND)


DIGITS_AND_POINT = "0123456789."
"""What a decimal volume is written with; Python's own ``float`` would take ``nan`` and ``1_0`` besides."""

EXPONENT_FORM = re.compile(r"[0-9]*\.?[0-9]+[eE][+-]?[0-9]{1,3}")
"""How a large or small number may be written instead: ``1.234567e+06``."""

LONGEST_NUMBER = 40
"""Characters; a longer number is a fault, and Python refuses integers of thousands of digits."""

UNUSABLE = math.nan
"""Stands for a number that was sent and is none (a text, a list): no bound lets it through. Absent is None."""


def is_price(value: float | None) -> bool:
    """Whether a number is a possible share price in dollars."""
    return value is not None and PRICE_MIN <= value <= PRICE_MAX


def amount_of(value: float | None) -> float:
    """A volume, size or open interest; absent is 0. Raises BadValue when it is negative or impossible."""
    if value is None:
        return 0.0
    if not 0 <= value < VOLUME_LIMIT:
        raise BadValue(BadReason.VOLUME)
    return value


def volume_of(value: float | str | None) -> float | None:
    """A bar's volume from a number or its text; None where it is absent or no usable number."""
    if isinstance(value, str):
        if len(value) > LONGEST_NUMBER:
            return None
        if value.strip(DIGITS_AND_POINT) and EXPONENT_FORM.fullmatch(value) is None:
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    return value if value is not None and 0.0 <= value < VOLUME_LIMIT else None


def option_price(value: float | None) -> int:
    """An option price in units of a hundredth of a cent; 0 where the side is absent."""
    if value is None:
        return 0
    if not 0 <= value <= PRICE_MAX:
        raise BadValue(BadReason.PRICE)
    return round(value * OPTION_PRICE_UNIT)


def time_us(value: float | None, numerator: int, denominator: int, latest: int) -> int:
    """A vendor's time as µs. Raises BadValue for a fraction of its unit, a wrong unit, or a time after ``latest``."""
    if value is None or (isinstance(value, float) and not value.is_integer()):
        raise BadValue(BadReason.TIME)
    at = int(value) * numerator // denominator
    if not OLDEST_TIME_US <= at < NEWEST_TIME_US:
        raise BadValue(BadReason.TIME)
    if at > latest:
        raise BadValue(BadReason.FUTURE)
    return at


def second_us(start_ms: float | None, latest: int) -> int:
    """The start of a bar's second as µs, which ends at ``latest`` at most.

    Raises BadValue as `time_us` does, and unless it is a whole second's.
    """
    if start_ms is None or not OLDEST_TIME_MS <= start_ms < NEWEST_TIME_MS:
        raise BadValue(BadReason.TIME)
    second = start_ms / SECOND_MS
    if not second.is_integer():
        is_ahead = start_ms.is_integer() and int(start_ms) * MILLISECOND > latest
        raise BadValue(BadReason.FUTURE if is_ahead else BadReason.TIME)
    start = int(second) * SECOND
    if start + SECOND > latest:
        raise BadValue(BadReason.FUTURE)
    return start


FIELDS: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])

UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be (deep nesting ends in RecursionError)."""


def loose(value: Any) -> float | None:
    """A number, None where it is absent, or `UNUSABLE`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return UNUSABLE
    try:
        return float(value)
    except OverflowError:
        return UNUSABLE
