"""Classifies an answer, whoever gave it: Pushover, a proxy in between, or a hotel network's login page. Pure.

Only a 2xx with Pushover's own ``"status":1`` is a success, and only a 4xx in Pushover's own format is a refusal.
Everything else may be temporary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from network import is_slow

ERROR_TEXT_MAX = 200
"""How many characters of one of the service's errors are kept."""

LATEST_TIME = 4_102_444_800
"""The year 2100 in Unix seconds. A greater number is not a time."""

LATEST_DIGITS = len(str(LATEST_TIME))

RECEIPT_LENGTH = 30
"""Letters and digits of a receipt (https://pushover.net/api/receipts). It becomes part of a URL, so any other text is
refused."""

OK_STATUSES = range(200, 300)
REFUSED_STATUSES = range(400, 500)
TOO_MANY = 429
GATEWAY_STATUSES = frozenset({502, 504, 520, 524})
"""Statuses of a gateway that has already forwarded the request, so the service may have accepted it. With 503, 521, 522 and
523 the gateway did not get that far. 52x are Cloudflare's."""

SLOW_MAX = 100
"""How many numbers that take long to read a body may have. The service's have none: with more, it is not the service's."""

ERRORS_MAX = 8
"""How many of the service's errors are kept. More than two were never seen."""


class Result(StrEnum):
    """How an exchange with the service ended."""

    OK = "ok"
    REFUSED = "refused"
    """The service itself answered 4xx, or said that its quota is used up."""
    FAILED = "failed"
    """It was certainly not accepted, but may be the next time: no connection, 5xx, a proxy's 403, a temporary 429."""
    UNCLEAR = "unclear"
    """A gateway got no good answer from the service. The push may have been accepted, and is tried again."""
    LOST = "lost"
    """It may have been accepted: the answer did not come, or could not be read."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one exchange.

    ``status`` is the HTTP status (0: no answer). ``reason`` says in words what went wrong, and ``errors`` is the service's
    list; neither contains a key. ``remaining`` (pushes left) and ``reset`` (Unix seconds) are None if the answer does
    not tell. ``is_spent`` is whether the quota is used up. ``acknowledged_on`` is a device's name, ``acknowledged_at``
    Unix seconds.
    """

    result: Result
    status: int = 0
    reason: str = ""
    errors: tuple[str, ...] = ()
    receipt: str = ""
    devices: tuple[str, ...] = ()
    limit: int | None = None
    remaining: int | None = None
    reset: int | None = None
    is_spent: bool = False
    acknowledged: bool = False
    acknowledged_on: str = ""
    acknowledged_at: int | None = None
    expired: bool = False


def read_answer(
    status: int, headers: Mapping[str, str], content: bytes, scrubbed: Callable[[object], str]
) -> Answer:
    """Returns what an answer says. ``content`` is empty if it was too long. ``scrubbed`` removes our keys from a text."""
    body = _json_object(content)
    raw_errors = body.get("errors")
    errors = (
        tuple(scrubbed(error) for error in raw_errors[:ERRORS_MAX]) if isinstance(raw_errors, list) else ()
    )
    remaining = whole(body.get("remaining"), headers.get("X-Limit-App-Remaining"))
    limit = whole(body.get("limit"), headers.get("X-Limit-App-Limit"))
    reset = whole(body.get("reset"), headers.get("X-Limit-App-Reset"))
    # A 429 without any number about the quota is a temporary limit.
    is_spent = status == TOO_MANY and not remaining and (remaining, limit, reset) != (None, None, None)
    result, reason = _classify(status, body, "; ".join(errors), is_spent=is_spent)
    devices = body.get("devices")
    receipt = body.get("receipt")
    return Answer(
        result=result,
        status=status,
        reason=reason,
        errors=errors,
        receipt=receipt[: RECEIPT_LENGTH + 1] if isinstance(receipt, str) else "",
        devices=tuple(scrubbed(device) for device in devices) if isinstance(devices, list) else (),
        limit=limit,
        remaining=remaining,
        reset=reset,
        is_spent=is_spent,
        acknowledged=_is_one(body.get("acknowledged")),
        acknowledged_on=scrubbed(body.get("acknowledged_by_device") or ""),
        acknowledged_at=whole(body.get("acknowledged_at")) or None,
        expired=_is_one(body.get("expired")),
    )


def _classify(status: int, body: dict[str, Any], errors: str, *, is_spent: bool) -> tuple[Result, str]:
    """Returns how the exchange ended, and what went wrong in words."""
    said = f"{status}: {errors or 'no reason given'}"
    if status in OK_STATUSES:
        if _is_one(body.get("status")):
            return Result.OK, ""
        if _is_zero(body.get("status")):
            return Result.FAILED, said
        return Result.LOST, f"{status} with an unusable body"
    if is_spent:
        return Result.REFUSED, said
    if status in REFUSED_STATUSES and status != TOO_MANY and _is_pushovers(body):
        return Result.REFUSED, said
    if status == TOO_MANY:
        return Result.FAILED, f"{status}, a temporary limit"
    if status in REFUSED_STATUSES:
        return Result.FAILED, f"{status}, not from Pushover: probably a proxy or a login page"
    if status in GATEWAY_STATUSES and not _is_pushovers(body):
        return Result.UNCLEAR, f"status {status} from a gateway: Pushover may have taken it"
    return Result.FAILED, f"status {status}"


def _is_pushovers(body: dict[str, Any]) -> bool:
    """Returns whether a refusal has Pushover's format: ``{"errors": […], "status": 0, …}``."""
    return _is_zero(body.get("status")) or "errors" in body


def _is_one(value: object) -> bool:
    return type(value) is int and value == 1


def _is_zero(value: object) -> bool:
    return type(value) is int and value == 0


def _json_object(content: bytes) -> dict[str, Any]:
    """Returns the body as a JSON object; an empty one if it is anything else."""
    if is_slow(content, SLOW_MAX):
        return {}
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def whole(*values: object) -> int | None:
    """Returns the first of ``values`` that is a whole number from 0 to `LATEST_TIME`, or the text of one; None without."""
    for value in values:
        if type(value) is int and 0 <= value <= LATEST_TIME:
            return value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= LATEST_DIGITS:
            number = int(value)
            if number <= LATEST_TIME:
                return number
    return None


def scrubbed(text: object, keys: Iterable[str]) -> str:
    """Returns the service's text without our ``keys``, on one line of at most `ERROR_TEXT_MAX` printable characters."""
    line = " ".join("".join(each if each.isprintable() else " " for each in str(text)).split())
    for key in keys:
        line = line.replace(key, "***")
    return line[:ERROR_TEXT_MAX]


def is_receipt(text: str) -> bool:
    """Returns whether ``text`` can be a receipt: 30 letters and digits."""
    return len(text) == RECEIPT_LENGTH and text.isascii() and text.isalnum()
