"""Checks single numbers and times from the wire. Pure."""

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
"""How far ahead of now a bar may end, or a quote be stamped, before it is bad. This is the rule's default."""


def ahead_us(rules: Rules) -> int:
    """Returns how far ahead of now data may be by ``rules``, µs. Such a lead also makes the worker doubt its clock."""
    return round(rules.clock_doubt_seconds * SECOND)


DIGITS_AND_POINT = "0123456789."
"""The characters of a decimal volume. Python's own ``float`` would also take ``nan`` and ``1_0``."""

EXPONENT_FORM = re.compile(r"[0-9]*\.?[0-9]+[eE][+-]?[0-9]{1,3}")
"""The other form of a large or small number: ``1.234567e+06``."""

LONGEST_NUMBER = 40
"""The most characters of a number. A longer one is a fault, and Python refuses integers of thousands of digits."""

UNUSABLE = math.nan
"""Stands for a value that should be a number and is none (a text, a list). Every comparison with NaN is False, so no bound
lets it pass. An absent value is None."""


SHORT_VALUE = LONGEST_NUMBER + 24
"""The most bytes of a value that `value_of` reads: a number, or a symbol in quotes."""

NO_VALUE = msgspec.Raw(b"null")
"""Stands for a field that is absent."""

ZERO_CHARACTERS = b"0.-+eE"
"""What the text of a number that is zero consists of."""

UNDECODABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for bytes of another form. Deep nesting raises RecursionError."""


def is_price(value: float | None) -> bool:
    """Returns whether a number is a possible share price in dollars."""
    return value is not None and PRICE_MIN <= value <= PRICE_MAX


def amount_of(value: float | None) -> float:
    """Returns a volume, size or open interest; 0 if it is absent. Raises BadValue if it is negative or impossible."""
    if value is None:
        return 0.0
    if not 0 <= value < VOLUME_LIMIT:
        raise BadValue(BadReason.VOLUME)
    return value


def volume_of(value: float | str | None) -> float | None:
    """Returns a bar's volume from a number or its text; None if it is absent or unusable."""
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
    """Returns an option price in units of a hundredth of a cent; 0 if the side is absent. Raises BadValue."""
    if value is None:
        return 0
    if not 0 <= value <= PRICE_MAX:
        raise BadValue(BadReason.PRICE)
    return round(value * OPTION_PRICE_UNIT)


def time_us(value: float | None, numerator: int, denominator: int, latest: int) -> int:
    """Returns a vendor's time as µs of UTC: ``value`` × ``numerator`` / ``denominator``.

    Raises BadValue for a fraction of its unit, for a wrong unit, and for a time after ``latest``.
    """
    if value is None or (isinstance(value, float) and not value.is_integer()):
        raise BadValue(BadReason.TIME)
    at = int(value) * numerator // denominator
    if not OLDEST_TIME_US <= at < NEWEST_TIME_US:
        raise BadValue(BadReason.TIME)
    if at > latest:
        raise BadValue(BadReason.FUTURE)
    return at


def second_us(start_ms: float | None, latest: int) -> int:
    """Returns the start of a bar's second as µs.

    Raises BadValue as `time_us` does, if it is not a whole second, and if that second ends after ``latest``.
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


def value_of(raw: msgspec.Raw) -> Any:
    """Returns a field's value; `UNUSABLE` for a list, an object, what JSON cannot express, and whatever is long.

    A field that is not read costs nothing: building a megabyte of lists that nobody uses takes 0.3 s.
    """
    text = bytes(raw)
    if len(text) > SHORT_VALUE or text[:1] in (b"[", b"{"):
        return UNUSABLE
    try:
        return msgspec.json.decode(text)
    except UNDECODABLE:
        return UNUSABLE


def is_zero(raw: msgspec.Raw) -> bool:
    """Returns whether a field is absent or zero."""
    text = bytes(raw)
    return text == b"null" or not text.strip(ZERO_CHARACTERS)


def loose(value: Any) -> float | None:
    """Returns a number, None if it is absent, or `UNUSABLE`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return UNUSABLE
    try:
        return float(value)
    except OverflowError:
        return UNUSABLE
