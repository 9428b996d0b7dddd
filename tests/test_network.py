"""What every HTTP connection needs: one trust, and a bound on what comes beside a body."""

from __future__ import annotations

import asyncio
import ssl

import httpcore
import pytest

from delivery.exchange import Caller, Failed
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.http_client import SECONDS_BODY_BYTES
from feeds.massive.rest import Rest
from network import HEADERS_MAX, bound_stream, trust
from tests.outside import INTERIM, outside, reply
from utils import SystemClock

BUFFERED = 8_000_000
"""Bytes that two sockets' own buffers may hold: they left the server, and nobody read them."""


def test_one_context_trusts_and_verifies_for_everybody() -> None:
    context = trust()
    assert context is trust()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.get_ca_certs()


async def test_interim_answers_without_end_are_a_failed_exchange() -> None:
    async with outside(INTERIM, reply("200 OK", b"well")) as server:
        caller = Caller(server.url)
        async with asyncio.timeout(5):  # the exchange itself would give up after 10 s
            with pytest.raises(Failed):
                await caller.request("GET")
        assert (await caller.request("GET")).body == b"well"
        await caller.close()
        assert server.poured < BUFFERED


async def test_interim_answers_without_end_are_no_answer_of_the_vendors() -> None:
    async with outside(INTERIM) as server:
        rest = Rest(server.url, "key", SystemClock())
        with pytest.raises(RestError) as failed:
            await rest.market_status()
        assert failed.value.kind is RestErrorKind.TRANSPORT
        assert len(server.asked) == 2, "it was asked once more"
        await rest.aclose()
        assert server.poured < 2 * (SECONDS_BODY_BYTES + HEADERS_MAX + BUFFERED)


class Endless:
    """A connection with something to read at any time."""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return b"x" * max_bytes

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass


async def test_each_request_may_read_so_much() -> None:
    stream = Endless()
    bound_stream(stream, 100)
    for _ in range(3):
        await stream.write(b"a request")
        assert len(await stream.read(99)) == 99
        assert len(await stream.read(1)) == 1
        with pytest.raises(httpcore.ReadError):
            await stream.read(1)
