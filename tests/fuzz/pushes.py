"""Answers of the push service: to a push, a question for the quota or the user, and a poll of a receipt."""

from __future__ import annotations

import functools
import json
import random
import re
from typing import Any

import httpx
from pydantic import SecretStr

from delivery import receipts, standing
from delivery.answers import ERROR_TEXT_MAX, ERRORS_MAX, LATEST_TIME, RECEIPT_LENGTH, Answer, Result
from delivery.pushover import Pushover
from delivery.receipts import Receipt
from delivery.standing import Mood, Question, Standing
from events import SECOND, AlertKind
from tests.fuzz.bounds import BENCH
from tests.fuzz.case import Case
from tests.fuzz.frames import COSTLY
from tests.fuzz.mutate import joined, odd_bytes, odd_object, pairs_of, text_of
from tests.fuzz.oracle import NotJson, Twice, parsed
from tests.wire import NOW

TOKEN, USER = "token0token0token0token0token0", "userk0userk0userk0userk0userk0"

BODIES: dict[str, dict[str, Any]] = {
    "post": {"status": 1, "request": "5a2c", "receipt": "r" * RECEIPT_LENGTH},
    "limits": {"status": 1, "limit": 10_000, "remaining": 9_000, "reset": NOW // SECOND + 86_400, "request": "5a"},
    "validate": {"status": 1, "group": 0, "devices": ["phone", "watch"], "licenses": ["iOS"], "request": "5a"},
    "receipt": {
        "status": 1, "acknowledged": 1, "acknowledged_at": NOW // SECOND, "acknowledged_by": USER, "acknowledged_by_device": "phone",
        "last_delivered_at": NOW // SECOND, "expired": 0, "expires_at": NOW // SECOND + 1_500, "called_back": 0, "called_back_at": 0,
    },
}  # fmt: skip

REFUSAL: dict[str, Any] = {
    "user": "invalid",
    "errors": [f"user {USER} is not valid"],
    "status": 0,
    "request": "5a",
}

NUMBERS = (
    "0",
    "1",
    "-1",
    "10000",
    "1e3",
    "9" * 5_000,
    "\u0663",
    "",
    " 5",
    "4102444801",
    "NaN",
    "5.0",
    "0x10",
)

HEADERS = ("X-Limit-App-Limit", "X-Limit-App-Remaining", "X-Limit-App-Reset", "Retry-After")

LARGE_PART = 0.01


class Pushes:
    """Answers of the push service."""

    name = "pushes"

    def make(self, source: random.Random) -> Case:
        """Returns an answer's body, its status and its headers."""
        asked = source.choice(sorted(BODIES))
        code = source.choice(
            (200, 200, 200, 201, 204, 301, 400, 400, 401, 404, 413, 429, 429, 500, 502, 503, 504, 520, 999)
        )
        body = BODIES[asked] if code < 300 else REFUSAL
        draw = source.random()
        if draw < LARGE_PART:
            unit = source.choice(COSTLY)
            many = b"[" + b",".join([unit] * (60_000 // (len(unit) + 1))) + b"]"
            text = joined(
                [
                    *pairs_of(body),
                    (source.choice((b'"x"', b'"errors"', b'"devices"', b'"acknowledged_by_device"')), many),
                ]
            )
        elif draw < 0.75:
            text = odd_object(source, body, source.choice((0, 1, 1, 2)))
        else:
            text = odd_bytes(source, text_of(body), source.choice((1, 1, 3)))
        headers = [
            (source.choice(HEADERS), source.choice(NUMBERS)) for _ in range(source.choice((0, 0, 1, 2)))
        ]
        mood = source.choice(list(Mood))
        return Case(self.name, (text,), {"asked": asked, "code": code, "headers": headers, "mood": mood})

    def check(self, case: Case) -> None:
        """An answer is a success if and only if it says so plainly, and no key is in what is kept of it."""
        answer = answer_of(case)
        check_bounds(answer)
        found, code = said(case.pieces[0]), case.options["code"]
        if found is not None:
            is_good = 200 <= code < 300 and type(found.get("status")) is int and found["status"] == 1
            assert (answer.result is Result.OK) is is_good, answer
        if code == 400 and found == REFUSAL:
            assert answer.result is Result.REFUSED
        check_standing(answer, Mood(case.options["mood"]))


class Service:
    """A service that gives one answer, and the client that asks it."""

    def __init__(self) -> None:
        self.answer = httpx.Response(500)
        transport = httpx.MockTransport(self._serve)
        self.client = Pushover("https://push.test", SecretStr(TOKEN), SecretStr(USER), transport)

    def _serve(self, request: httpx.Request) -> httpx.Response:
        return self.answer


@functools.cache
def service() -> Service:
    """The one of this process: to make a client takes as long as ten answers."""
    return Service()


def answer_of(case: Case) -> Answer:
    """Returns what the program reads in an answer."""

    async def ask() -> Answer:
        headers = [
            ("content-type", "application/json"),
            *((name, value.encode()) for name, value in case.options["headers"]),
        ]
        service().answer = httpx.Response(case.options["code"], content=case.pieces[0], headers=headers)
        client = service().client
        match case.options["asked"]:
            case "post":
                return await client.post({"message": "m"})
            case "limits":
                return await client.limits()
            case "validate":
                return await client.validate()
            case _:
                return await client.receipt("r" * RECEIPT_LENGTH)

    return BENCH.run(ask, len(case.pieces[0]))


SLOW = re.compile(rb"\d[eE]\+?\d{2}|\d[eE]-\d{3}|\d{40}")
"""A number that no answer of the service has. A long body of hundreds of them is not the service's."""

SLOW_MOST, LONG_BODY = 100, 8 * 1024


def said(text: bytes) -> dict[str, Any] | None:
    """Returns what a body says; None if that is not plain."""
    if len(text) > LONG_BODY and len(SLOW.findall(text)) > SLOW_MOST:
        return None
    try:
        body = parsed(text)
    except NotJson:
        return None
    return body if isinstance(body, dict) and not isinstance(body, Twice) else None


def check_bounds(answer: Answer) -> None:
    """What may be kept of an answer at all."""
    kept = json.dumps(
        [answer.reason, *answer.errors, answer.receipt, *answer.devices, answer.acknowledged_on]
    )
    assert TOKEN not in kept and USER not in kept
    assert len(answer.errors) <= ERRORS_MAX and len(answer.receipt) <= RECEIPT_LENGTH + 1
    for text in (*answer.errors, *answer.devices, answer.acknowledged_on):
        assert len(text) <= ERROR_TEXT_MAX and text.isprintable()
    for number in (answer.limit, answer.remaining, answer.reset, answer.acknowledged_at):
        assert number is None or (type(number) is int and 0 <= number <= LATEST_TIME)


def check_standing(answer: Answer, mood: Mood) -> None:
    """What is decided on an answer is always decided, and asks again within a month."""
    question = Question.QUOTA if mood is Mood.SPENT else Question.USER
    before = Standing(mood=mood, question=question, ask_at=NOW, refused_at=NOW - SECOND, reset=None)
    for new in (standing.answered(before, answer, NOW, NOW + SECOND), standing.refused(before, answer, NOW)):
        assert new.ask_at is None or NOW <= new.ask_at <= NOW + 40 * 86_400 * SECOND
        assert new.ask_at is not None or new.mood in (Mood.TAKEN, Mood.UNKNOWN)
    waiting = Receipt(receipt="r" * 30, kind=AlertKind.SELL, id="1", title="SELL", accepted_at=NOW, due=NOW)
    for now in (NOW, NOW + 10_000 * SECOND):
        receipts.classify(waiting, answer, now)
        assert NOW - SECOND <= receipts.acknowledged_at(waiting, answer, now) <= now + SECOND
