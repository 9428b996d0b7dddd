"""Pushover over HTTP: its questions, its answers, and failures in words without a key."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from delivery.answers import Result
from delivery.pushover import Pushover
from sim.pushover import LoopbackPushover
from tests.delivery.stories import START, TOKEN, USER
from utils import ScaledClock


def client(pushover: LoopbackPushover, token: str = TOKEN) -> Pushover:
    return Pushover(pushover.url, SecretStr(token), SecretStr(USER))


async def test_questions() -> None:
    clock = ScaledClock(START, 1.0)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover, client(pushover) as service:
        user = await service.validate()
        assert (user.result, user.status, user.devices) == (Result.OK, 200, ("phone",))
        quota = await service.limits()
        assert (quota.limit, quota.remaining, quota.reset) == (10_000, 10_000, pushover.reset)
        message = {"title": "t", "message": "m", "priority": "2", "retry": "30", "expire": "60"}
        sent = await service.send(service.message(message))
        assert sent.remaining == 9_999
        assert not (await service.receipt(sent.receipt)).acknowledged
        pushover.acknowledge(sent.receipt)
        assert (await service.receipt(sent.receipt)).acknowledged
        assert TOKEN not in repr(service)
        assert TOKEN not in repr(sent)


async def test_bad_token_is_refused_with_the_vendors_words() -> None:
    clock = ScaledClock(START, 1.0)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover, client(pushover, "x" * 30) as service:
        for answer in (
            await service.validate(),
            await service.limits(),
            await service.send(service.message({"message": "m"})),
        ):
            assert answer.result is Result.REFUSED
            assert answer.errors == ("application token is invalid",)
            assert answer.reason == "400: application token is invalid"


@pytest.mark.parametrize(
    ("response", "result", "reason"),
    [
        (httpx.Response(200, json={"status": 1}), Result.OK, ""),
        (httpx.Response(200, json={"status": 0, "errors": ["no"]}), Result.FAILED, "200: no"),
        (httpx.Response(200, json={"status": 0}), Result.FAILED, "200: no reason given"),
        (httpx.Response(200, json=[1]), Result.LOST, "200 with an unusable body"),
        (httpx.Response(200, content=b"\xff\xfe"), Result.LOST, "200 with an unusable body"),
        (httpx.Response(200, content=b"[" * 100_000), Result.LOST, "200 with an unusable body"),
        (httpx.Response(302, headers={"Location": "/"}), Result.FAILED, "status 302"),
        (httpx.Response(503, text="x"), Result.FAILED, "status 503"),
        (httpx.Response(404, json={"errors": [f"a\nb {TOKEN}"]}), Result.REFUSED, "404: a b ***"),
        (httpx.Response(400, json={"errors": "x"}), Result.REFUSED, "400: no reason given"),
        (httpx.Response(429), Result.FAILED, "429, a temporary limit"),
    ],
)
async def test_answers(response: httpx.Response, result: Result, reason: str) -> None:
    transport = httpx.MockTransport(lambda _: response)
    async with Pushover("https://example.com", SecretStr(TOKEN), SecretStr(USER), transport) as service:
        answer = await service.send(service.message({"message": "m"}))
    assert (answer.result, answer.reason) == (result, reason)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (httpx.ConnectError, Result.FAILED),
        (httpx.ConnectTimeout, Result.FAILED),
        (httpx.PoolTimeout, Result.FAILED),
        (httpx.ReadTimeout, Result.LOST),
        (httpx.ReadError, Result.LOST),
        (httpx.WriteError, Result.LOST),
        (httpx.RemoteProtocolError, Result.LOST),
        (httpx.DecodingError, Result.LOST),
        (TimeoutError, Result.LOST),
        (OSError, Result.LOST),
    ],
)
async def test_failures_are_told_in_words(error: type[Exception], result: Result) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error(f"failed at {request.url} with {TOKEN}")

    async with Pushover(
        "https://example.com", SecretStr(TOKEN), SecretStr(USER), httpx.MockTransport(fail)
    ) as service:
        answer = await service.limits()
    assert answer.result is result
    assert answer.reason.endswith(f"({error.__name__})")
    assert TOKEN not in repr(answer)


async def test_answer_that_drips_ends_at_the_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b"{")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Pushover(url, SecretStr(TOKEN), SecretStr(USER), exchange_s=0.3) as service:
            answer = await service.send(service.message({"message": "m"}))
        assert (answer.result, answer.reason) == (Result.LOST, "no answer in time (TimeoutError)")
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("raw", "whole"),
    [(5, 5), ("5", 5), (True, None), (-1, None), (5.5, None), ("x", None), ("٣", None), (10**30, None)],
)
async def test_numbers_of_the_quota(raw: Any, whole: int | None) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": 1, "remaining": raw}))
    async with Pushover("https://example.com", SecretStr(TOKEN), SecretStr(USER), transport) as service:
        assert (await service.limits()).remaining == whole
