"""An exchange is bounded in bytes and time, and has one kind of failure: over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import h11
import httpcore
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

import network
from delivery.answers import Result
from delivery.exchange import BODY_MAX, CLOSE_S, PARTS_MAX, Caller, Failed, failure_words, failures
from delivery.pushover import Pushover
from delivery.second_channel import SecondChannel
from tests.feeds.scene import SELF_SIGNED
from tests.outside import BAD_RECORD, DRIP, ENDLESS, outside, reply
from utils import ScaledClock
from worker.heartbeat import Heartbeat


def bomb() -> bytes:
    """An answer that unpacks to 10 MB. Made by the test that sends it: to collect the others need not."""
    body = gzip.compress(gzip.compress(bytes(10_000_000), mtime=0), mtime=0)
    return reply("200 OK", body, "Content-Encoding: gzip, gzip")


async def test_a_body_without_end_is_cut() -> None:
    async with outside(ENDLESS) as server:
        caller = Caller(server.url)
        got = await caller.request("GET")
        assert (len(got.body), got.is_whole) == (BODY_MAX, False)
        await caller.close()
        await asyncio.sleep(0.05)
        # What was poured out beyond that fills the sockets' own buffers.
        assert server.poured < 10_000_000


@pytest.mark.parametrize(("length", "is_whole"), [(BODY_MAX, True), (BODY_MAX + 1, False)])
async def test_the_bound_of_a_body(length: int, is_whole: bool) -> None:
    async with outside(reply("200 OK", b"x" * length)) as server:
        caller = Caller(server.url)
        got = await caller.request("GET")
        assert (len(got.body), got.is_whole) == (BODY_MAX, is_whole)
        await caller.close()


async def test_a_packed_body_is_not_unpacked() -> None:
    async with outside(bomb()) as server:
        caller = Caller(server.url)
        got = await caller.request("GET")
        assert (got.status, got.body, got.is_whole) == (200, b"", False)
        assert "accept-encoding: identity" in server.heads[0]
        await caller.close()


async def test_no_redirect_is_followed() -> None:
    async with outside(reply("302 Found", b"", "Location: /elsewhere")) as server:
        caller = Caller(server.url)
        got = await caller.request("POST", content="text")
        assert not got.is_success
        assert server.asked == ["POST /CanaryPath"]
        await caller.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00" * 100,
        b"HTTP/9.9 wrong\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        reply("302 Found", b"", "Location: http://xn--zz--.example/"),
        reply("302 Found", b"", "Location: http://[::1/"),
        reply("302 Found", b"", "Location: http://a:99999999/"),
    ],
)
async def test_whatever_comes_is_an_answer_or_one_kind_of_failure(answer: bytes) -> None:
    async with outside(answer) as server:
        caller = Caller(server.url, limit_s=1.0)
        try:
            assert not (await caller.request("GET")).is_success
        except Failed as failed:
            assert "Canary" not in str(failed)
        await caller.close()


PARTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            *(b"HTTP/1.1 %d X\r\n" % status for status in (100, 200, 204, 302, 403, 429, 999)),
            *(b"Content-Length: %d\r\n" % length for length in (-1, 0, 5, 10**30)),
            *(b"Content-Encoding: %s\r\n" % word for word in (b"gzip", b"identity", b"gzip, gzip")),
            *(b"Location: %s\r\n" % word for word in (b"/login", b"http://[::1/", b"http://xn--zz--/")),
            *(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Set-Cookie: a=\xff\r\n"),
            *(b"\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"OK (not found)", b'{"status":1}'),
        ]
    ),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(PARTS, max_size=8))
def test_whatever_bytes_come_they_are_an_answer_or_one_kind_of_failure(parts: list[bytes]) -> None:
    async def ask() -> None:
        async with outside(b"".join(parts)) as server:
            caller = Caller(server.url, limit_s=2.0, body_max=8)
            try:
                got = await caller.request("GET")
            except Failed as failed:
                assert "Canary" not in str(failed)
            else:
                assert len(got.body) <= 8
                assert b"HTTP/1.1 %d" % got.status in b"".join(parts)
                assert not got.body or got.headers.get("Content-Encoding", "identity") == "identity"
            finally:
                await caller.close()

    asyncio.run(ask())


@pytest.mark.parametrize(
    "url", ["http://a..b/", "http://" + "a" * 300 + "/", "http://xn--zz--/", "gopher://x/"]
)
async def test_an_odd_address_is_a_failure_and_no_crash(url: str) -> None:
    caller = Caller(url, limit_s=2.0)
    with pytest.raises(Failed):
        await caller.request("GET")
    await caller.close()
    async with Pushover(url, SecretStr("t"), SecretStr("u"), exchange_s=2.0) as service:
        assert (await service.post({"message": "m"})).result is Result.FAILED
        assert (await service.receipt("r" * 70_000)).result is Result.FAILED


@pytest.mark.parametrize(
    "proxy",
    [
        "socks://127.0.0.1:9",
        "socks5://127.0.0.1:9",
        "nonsense://x",
        "http://user:CanaryWord@127.0.0.1:99999",  # refused by the socket, in a group of exceptions
    ],
)
async def test_a_proxy_that_cannot_be_used_is_a_failure_and_no_crash(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    caller = Caller("http://192.0.2.1/")
    with pytest.raises(Failed) as failed:
        await caller.request("GET")
    assert "Canary" not in str(failed.value)
    await caller.close()
    async with Pushover("http://192.0.2.1", SecretStr("t"), SecretStr("u"), exchange_s=2.0) as service:
        assert (await service.post({"message": "m"})).result is Result.FAILED


@pytest.mark.parametrize(("error", "is_outside"), [(OverflowError("x"), True), (AttributeError("x"), False)])
async def test_a_group_of_failures_is_one_and_a_fault_of_our_own_is_not_hidden(
    error: Exception, is_outside: bool
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise ExceptionGroup("in a task", [ExceptionGroup("in another", [error])])

    caller = Caller("https://example.com/", httpx.MockTransport(fail))
    with pytest.raises(Failed if is_outside else ExceptionGroup):
        await caller.request("GET")
    await caller.close()


async def test_a_body_of_single_bytes_is_cut_and_lets_others_run() -> None:
    pieces = b"1\r\nx\r\n" * 20_000
    async with outside(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces) as server:
        caller = Caller(server.url)
        got = await caller.request("GET")
        assert PARTS_MAX <= len(got.body) <= PARTS_MAX + 1
        assert not got.is_whole
        await caller.close()


async def test_a_proxy_that_refuses_the_tunnel_has_passed_nothing_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with outside(reply("407 Proxy Authentication Required")) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url.removesuffix("/CanaryPath"))
        async with Pushover("https://192.0.2.1", SecretStr("t"), SecretStr("u"), exchange_s=2.0) as service:
            answer = await service.post({"message": "m"})
        assert (answer.result, answer.reason) == (Result.FAILED, "refused by the proxy (ProxyError)")
        assert server.asked == ["CONNECT 192.0.2.1:443"]


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """A server's TLS that this process trusts while the test runs."""
    both = tmp_path / "both.pem"
    both.write_text(SELF_SIGNED)
    monkeypatch.setenv("SSL_CERT_FILE", str(both))
    network.trust.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    yield context
    network.trust.cache_clear()


async def test_nothing_is_said_to_a_server_whose_certificate_is_not_trusted(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    network.trust.cache_clear()
    async with outside(reply(), tls=tls) as server:
        service = Pushover(server.url, SecretStr("t"), SecretStr("u"))
        assert (await service.post({"message": "m"})).result is Result.FAILED
        await service.close()
        channel = SecondChannel(server.secret)
        assert (await channel.post("title", "text")).endswith("(ConnectError)")
        await channel.close()
        assert server.asked == []


async def test_one_bad_tls_record_ends_nothing(tls: ssl.SSLContext) -> None:
    async with outside(reply(), BAD_RECORD, tls=tls) as server:
        clock = ScaledClock(0, 1.0)
        heart = Heartbeat(server.secret, clock, lambda _: "")
        with capture_logs() as logs:
            await heart.fail("first")
            assert logs == []
            await heart.fail("second")
        assert [entry["event"] for entry in logs] == ["heartbeat_failed"]
        await heart.close()
        channel = SecondChannel(server.secret)
        assert (await channel.post("title", "text")).endswith(("(ReadError)", "(SSLError)"))
        await channel.close()
        service = Pushover(server.url, SecretStr("t"), SecretStr("u"))
        assert (await service.post({"message": "m"})).result is Result.LOST
        await service.close()


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("x"),
        httpx.InvalidURL("x"),
        httpx.StreamClosed(),
        httpcore.ReadError("x"),
        httpcore.ConnectionNotAvailable(),
        h11.RemoteProtocolError("x"),
        anyio.ClosedResourceError(),
        anyio.BrokenResourceError(),
        anyio.EndOfStream(),
        ssl.SSLError(1, "bad record"),
        ssl.SSLCertVerificationError("x"),
        UnicodeError("label too long"),
        OverflowError("port must be 0-65535"),
        TimeoutError(),
        ImportError("socksio"),
        FileNotFoundError("SSL_CERT_FILE"),
    ],
)
async def test_every_failure_of_the_libraries_is_one(error: Exception) -> None:
    assert isinstance(error, failures())

    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    caller = Caller("https://example.com/CanaryPath", httpx.MockTransport(fail))
    with pytest.raises(Failed) as failed:
        await caller.request("GET")
    assert str(failed.value) == failure_words(error)
    await caller.close()
    async with Pushover(
        "https://example.com", SecretStr("t"), SecretStr("u"), httpx.MockTransport(fail)
    ) as each:
        assert (await each.validate()).result in (Result.FAILED, Result.LOST)


async def test_an_answer_that_drips_ends_in_time() -> None:
    async with outside(DRIP) as server:
        caller = Caller(server.url, limit_s=0.3)
        begun = time.monotonic()
        with pytest.raises(Failed, match="no answer in time"):
            await caller.request("GET")
        assert time.monotonic() - begun < 2
        await caller.close()


class Unclosable(httpx.AsyncBaseTransport):
    """A connection that answers, and cannot be closed."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200)

    async def aclose(self) -> None:
        if self._error is None:
            await asyncio.Event().wait()
        else:
            raise self._error


@pytest.mark.parametrize(
    "error", [ssl.SSLError(1, "[SSL] shutdown while in init"), ConnectionResetError(), None]
)
async def test_a_connection_that_cannot_be_closed_ends_nothing(error: Exception | None) -> None:
    caller = Caller("https://hc.example.com", Unclosable(error))
    assert (await caller.request("GET")).is_success
    async with asyncio.timeout(CLOSE_S + 5):
        await caller.close()
