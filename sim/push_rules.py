"""What Pushover demands of a message."""

from __future__ import annotations

from collections.abc import Mapping

TITLE_MAX = 250
MESSAGE_MAX = 1024
PRIORITIES = range(-2, 3)
EMERGENCY = 2
RETRY_MIN_S = 30
EXPIRE_MAX_S = 10_800


ATTACHMENT_MAX = 5_242_880
"""Bytes of an image: the vendor's limit since 2022."""

IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")
"""How an image begins, whatever its type is said to be: PNG, JPEG, GIF."""


def attachment_errors(content: bytes, kind: str) -> dict[str, str]:
    """Returns what the vendor finds wrong with an attachment of MIME type ``kind``."""
    if len(content) > ATTACHMENT_MAX:
        text = f"attachment is too large ({len(content)} bytes is more than {ATTACHMENT_MAX} limit)"
        return {"attachment": text}
    if not kind.startswith("image/") or not content.startswith(IMAGES):
        return {"attachment": "attachment is not an image"}
    return {}


def message_errors(fields: Mapping[str, str]) -> dict[str, str]:
    """Returns what the vendor finds wrong with a message, by field."""
    errors: dict[str, str] = {}
    message = fields.get("message", "")
    if not message.strip():
        errors["message"] = "message cannot be blank"
    elif len(message) > MESSAGE_MAX:
        errors["message"] = f"message is longer than {MESSAGE_MAX} characters"
    if len(fields.get("title", "")) > TITLE_MAX:
        errors["title"] = f"title is longer than {TITLE_MAX} characters"
    priority = _integer(fields.get("priority", "0"))
    if priority not in PRIORITIES:
        errors["priority"] = "priority is invalid"
    if priority == EMERGENCY:
        retry, expire = _integer(fields.get("retry")), _integer(fields.get("expire"))
        if retry is None or retry < RETRY_MIN_S:
            errors["retry"] = f"retry must be at least {RETRY_MIN_S} seconds"
        if expire is None or not 0 < expire <= EXPIRE_MAX_S:
            errors["expire"] = f"expire must be from 1 to {EXPIRE_MAX_S} seconds"
    for name in ("ttl", "timestamp"):
        value = _integer(fields.get(name, "1"))
        if value is None or value < 1:
            errors[name] = f"{name} must be a positive number"
    return errors


def _integer(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
