"""What the loopback Pushover refuses, field by field."""

from __future__ import annotations

import pytest

from sim.push_rules import attachment_errors, message_errors

EMERGENCY = {"message": "hi", "priority": "2", "retry": "30", "expire": "10800"}


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "m" * 1024, "title": "t" * 250},
        {"message": "hi", "priority": "-2", "ttl": "1", "timestamp": "1"},
        EMERGENCY,
    ],
)
def test_a_message_at_its_limits_is_accepted(fields: dict[str, str]) -> None:
    assert message_errors(fields) == {}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"message": "message cannot be blank"}),
        ({"message": " "}, {"message": "message cannot be blank"}),
        ({"message": "m" * 1025}, {"message": "message is longer than 1024 characters"}),
        ({"message": "hi", "title": "t" * 251}, {"title": "title is longer than 250 characters"}),
        ({"message": "hi", "priority": "3"}, {"priority": "priority is invalid"}),
        ({"message": "hi", "priority": "high"}, {"priority": "priority is invalid"}),
        (EMERGENCY | {"retry": "29"}, {"retry": "retry must be at least 30 seconds"}),
        (EMERGENCY | {"expire": "10801"}, {"expire": "expire must be from 1 to 10800 seconds"}),
        ({"message": "hi", "ttl": "0"}, {"ttl": "ttl must be a positive number"}),
        ({"message": "hi", "timestamp": "now"}, {"timestamp": "timestamp must be a positive number"}),
    ],
)
def test_each_bad_field_is_named_with_the_vendors_reason(
    fields: dict[str, str], wrong: dict[str, str]
) -> None:
    assert message_errors(fields) == wrong


def test_an_emergency_message_needs_retry_and_expire() -> None:
    assert set(message_errors({"message": "hi", "priority": "2"})) == {"retry", "expire"}


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("content", "kind", "wrong"),
    [
        (PNG, "image/png", {}),
        (PNG.ljust(5_242_880), "image/png", {}),
        (
            PNG.ljust(5_242_881),
            "image/png",
            {"attachment": "attachment is too large (5242881 bytes is more than 5242880 limit)"},
        ),
        (PNG, "text/plain", {"attachment": "attachment is not an image"}),
        (b"<html>", "image/png", {"attachment": "attachment is not an image"}),
    ],
)
def test_an_attachment_is_one_image_of_5_mb_at_most(content: bytes, kind: str, wrong: dict[str, str]) -> None:
    assert attachment_errors(content, kind) == wrong
