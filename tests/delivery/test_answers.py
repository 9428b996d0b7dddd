"""What an answer says: nothing but Pushover's own word is a success or a refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from delivery.answers import (
    ERROR_TEXT_MAX,
    LATEST_TIME,
    Answer,
    Result,
    is_receipt,
    read_answer,
    scrubbed,
    whole,
)


def answer(status: int, body: Any = None, **headers: Any) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    named = {f"X-Limit-App-{name}": str(value) for name, value in headers.items()}
    return read_answer(status, named, content, str)


PAGE = b"<html>Please log in to the hotel's network</html>"
NO = {"status": 0, "errors": ["no"]}


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, {"status": 1}, Result.OK),
        (204, {"status": 1}, Result.OK),
        (200, {"status": 0}, Result.FAILED),
        (200, {"status": True}, Result.LOST),
        (200, {"status": 1.0}, Result.LOST),
        (200, {"status": "1"}, Result.LOST),
        (200, {"status": 2}, Result.LOST),
        (200, {}, Result.LOST),
        (200, [], Result.LOST),
        (200, None, Result.LOST),
        (200, PAGE, Result.LOST),
        (200, b"\xff\xfe", Result.LOST),
        (200, b"[" * 60_000, Result.LOST),
        (302, PAGE, Result.FAILED),
        (307, {"status": 1}, Result.FAILED),
        (101, None, Result.FAILED),
        (400, NO, Result.REFUSED),
        (403, NO, Result.REFUSED),
        (408, NO, Result.REFUSED),
        (404, {"errors": ["no"]}, Result.REFUSED),
        (400, {"status": 1}, Result.FAILED),
        (403, {"status": 403, "error": "Forbidden"}, Result.FAILED),
        (403, PAGE, Result.FAILED),
        (407, PAGE, Result.FAILED),
        (408, None, Result.FAILED),
        (400, None, Result.FAILED),
        (429, None, Result.FAILED),
        (429, NO, Result.FAILED),
        (500, NO, Result.FAILED),
        (599, {"status": 1}, Result.FAILED),
        (502, PAGE, Result.UNCLEAR),
        (504, None, Result.UNCLEAR),
        (502, NO, Result.FAILED),
    ],
)
def test_only_pushovers_own_word_counts(status: int, body: Any, result: Result) -> None:
    found = answer(status, body)
    assert found.result is result
    assert bool(found.reason) is (result is not Result.OK)


@pytest.mark.parametrize(
    ("headers", "is_spent"),
    [
        ({}, False),
        ({"Remaining": 0}, True),
        ({"Remaining": 1}, False),
        ({"Reset": 1_760_000_000}, True),
        ({"Remaining": 0, "Reset": LATEST_TIME}, True),
        ({"Reset": "soon"}, False),
        ({"Limit": 10_000}, True),
    ],
)
def test_a_429_means_the_quota_only_where_it_speaks_of_it(headers: dict[str, Any], is_spent: bool) -> None:
    found = answer(429, NO, **headers)
    assert found.is_spent is is_spent
    assert found.result is (Result.REFUSED if is_spent else Result.FAILED)
    assert not answer(400, NO, **headers).is_spent


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (LATEST_TIME, LATEST_TIME),
        (LATEST_TIME + 1, None),
        (str(LATEST_TIME), LATEST_TIME),
        (str(LATEST_TIME + 1), None),
        ("9" * 5000, None),
        (-1, None),
        (True, None),
        (1.0, None),
        ("", None),
        ("²", None),
    ],
)
def test_numbers_from_outside_have_bounds(raw: Any, number: int | None) -> None:
    assert whole(raw) == number


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a" * 30, True),
        ("R0" * 15, True),
        ("a" * 29, False),
        ("a" * 31, False),
        ("a" * 70_000, False),
        ("a" * 29 + "/", False),
        ("a" * 29 + "é", False),
        ("a" * 29 + "\n", False),
        ("", False),
    ],
)
def test_a_receipt_has_30_letters_and_digits(text: str, good: bool) -> None:
    assert is_receipt(text) is good


def test_an_absurd_receipt_is_not_kept_whole() -> None:
    assert len(answer(200, {"status": 1, "receipt": "r" * 60_000}).receipt) == 31


def test_a_body_of_numbers_that_take_long_to_read_is_not_the_services() -> None:
    slow = b'{"status":1,"errors":[' + b",".join([b"9e-324"] * 2_000) + b"]}"
    assert answer(200, slow).result is Result.LOST
    assert answer(200, slow.replace(b"9e-324", b"9.5")).result is Result.OK


@settings(max_examples=200, deadline=None)
@given(
    st.integers(100, 599), st.binary(max_size=60) | st.from_regex(rb'\{"(status|errors)":[01"a\[\]]{1,3}\}')
)
@example(200, b'{"status":' + b"9" * 5000 + b"}")
@example(200, b'{"status":1,"devices":"\xed\xa0\x80"}')
def test_any_answer_is_judged_and_none_by_chance_a_success(status: int, body: bytes) -> None:
    found = read_answer(status, {}, body, str)
    if found.result is Result.OK:
        assert 200 <= status < 300
        assert json.loads(body)["status"] == 1
    if found.result is Result.REFUSED:
        assert 400 <= status < 500


def test_a_text_of_the_services_is_a_short_line_without_our_keys() -> None:
    assert scrubbed("token  abc\x1b is\nbad", ["abc"]) == "token *** is bad"
    assert len(scrubbed("x" * 10_000, [])) == ERROR_TEXT_MAX
