"""Reads an answer's status and headers, from REST and from a refused handshake."""

from __future__ import annotations

import email.utils
from datetime import UTC

from events import SECOND

HTTP_OK = 200

HTTP_REDIRECTS = range(300, 400)

HTTP_REFUSALS = range(400, 500)

HTTP_UNAUTHORIZED, HTTP_FORBIDDEN, HTTP_NOT_FOUND, HTTP_TOO_MANY = 401, 403, 404, 429

HTTP_WAITS = frozenset({HTTP_TOO_MANY, 503})
"""Statuses of a refused handshake that may come with ``Retry-After``."""

RETRY_AFTER_MAX_S = 3600.0
"""A longer ``Retry-After`` is cut to this."""


def http_date_us(text: str | None) -> int | None:
    """Returns a date header's time, µs of UTC; None if it is absent or no date."""
    if text is None:
        return None
    try:
        date = email.utils.parsedate_to_datetime(text)
        # A date without a known zone ("-0000") is UTC; Python returns it naive, which timestamp() reads as local time.
        return int((date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()) * SECOND
    except (ValueError, TypeError, OverflowError):
        return None


def age_us(text: str | None) -> int | None:
    """Returns how long a cache has held the answer (``Age``), µs; 0 without one; None if it is no number of 1 to 5 digits."""
    text = "0" if text is None else text.strip()
    if not (text.isascii() and text.isdigit()) or len(text) > len("86400"):
        return None
    return int(text) * SECOND


def retry_after_s(text: str | None, now: int) -> float | None:
    """Returns the seconds of a ``Retry-After`` header (RFC 9110: a number or a date); None if it is neither."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    date = http_date_us(text)
    return None if date is None else min(max(0.0, (date - now) / SECOND), RETRY_AFTER_MAX_S)
