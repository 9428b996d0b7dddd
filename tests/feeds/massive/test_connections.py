"""Every fault of making, using and ending a connection to REST is a failed answer; the key goes to no other server."""

from __future__ import annotations

import asyncio
import itertools
import os
import ssl
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection

from feeds.massive.bad_input import BadReason
from feeds.massive.dial import FRAME_MAX_BYTES
from feeds.massive.errors import RestErrorKind
from feeds.massive.rest import Rest
from feeds.massive.socket import Socket
from feeds.massive.wire import OTHERS_MAX
from network import trust
from tests.feeds.scene import SELF_SIGNED
from tests.wire import (
    BASE,
    EXPIRY,
    GOOD_BAR,
    KEY,
    NOW,
    StillClock,
    aggregate,
    chain_row,
    failure,
    frame,
    make_decoder,
    ok,
    rest_of,
    said,
)
from utils import ScaledClock


@pytest.mark.parametrize(
    "address",
    [
        "https://xn--.test/", "https://xn--a.test/v3", "https://xn--zzzzzzzzzzzz.test/", "https://xn--ä.test", "https://ex\xe4mple.test/",
        "https://api.xn--a.example.test/", "https://" + "a" * 300 + ".test/", "https://a..b/", f"{BASE}/" + "a" * 70_000,
        f"{BASE}:99999/", f"{BASE}:abc/", f"{BASE}:0/v3", f"{BASE}\x00/", f"{BASE}/\n", "https://[::1", "https://[fe80::1%25lo]/", "http://", "//x", "x",
        f"https://{KEY}@api.example.test/", "https://api.example.test.evil.test/", "https://api.example.test\\@evil.test/", "javascript:alert(1)", " ",
    ],
)  # fmt: skip
async def test_an_odd_next_page_is_a_failed_answer_and_never_asked(address: str) -> None:
    asked: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return ok([chain_row()], next_url=address)

    async with rest_of(serve) as rest:
        error = await failure(rest.chain("IWM", EXPIRY, 215.0, 4.0))
    assert error.kind is RestErrorKind.BAD_BODY
    assert len(asked) == 1


@pytest.mark.parametrize(
    "base",
    ["http://127.0.0.1:99999", "http://127.0.0.1:0", "http://a..b", "http://" + "a" * 70 + ".test", "http://xn--a.test", "http://[::1", "http://x\x00.test",
     "ftp://127.0.0.1", "127.0.0.1", "http://", "http://256.1.1.1", "https://\ud800.test", "http://" + "a" * 70_000, "http://127.0.0.1:1"],
)  # fmt: skip
async def test_a_base_that_cannot_be_reached_is_a_failed_answer(base: str) -> None:
    rest = Rest(base, KEY, StillClock(), deadline_s=5.0)
    error = await failure(rest.market_status())
    assert error.kind in (RestErrorKind.TRANSPORT, RestErrorKind.BAD_BODY)
    await rest.aclose()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere.pem"), ("SSLKEYLOGFILE", "/nowhere/x"), ("HTTPS_PROXY", "socks://127.0.0.1:1"), ("HTTPS_PROXY", "http://[::1"),
        ("HTTPS_PROXY", "http://127.0.0.1:99999"), ("HTTPS_PROXY", "http://xn--a.test"), ("NO_PROXY", "[::1]/128,fe80::/10"), ("ALL_PROXY", "\udcff"),
    ],
)  # fmt: skip
async def test_what_the_machine_s_variables_make_impossible_is_a_failed_answer(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in list(os.environ):
        if "PROXY" in variable.upper() or variable.startswith("SSL"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv(name, value)
    trust.cache_clear()
    rest = Rest("https://api.example.test", KEY, StillClock(), deadline_s=5.0)
    try:
        error = await failure(rest.market_status())
        await rest.aclose()
    finally:
        trust.cache_clear()
    assert error.kind is RestErrorKind.TRANSPORT


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
BODY = b'{"market":"open"}'
SIZED = HEAD + b"content-length: 17\r\n"


@asynccontextmanager
async def answering(raw: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers every request with these bytes and closes; gives its address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            if tls is not None:  # past TLS, straight onto the wire
                os.write(writer.get_extra_info("socket").fileno(), raw)
                await asyncio.sleep(0.05)
            else:
                writer.write(raw)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x00\x01\r\n\r\n", b"hello\r\n\r\n", HEAD + b"content-length: x\r\n\r\n", HEAD + b"content-length: -5\r\n\r\n" + BODY,
        HEAD + b"content-length: 100\r\n\r\n" + BODY, HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n", HEAD + b"x: " + b"a" * 200_000 + b"\r\n\r\n",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 101 x\r\nupgrade: y\r\n\r\n", b"HTTP/1.1 000 x\r\n\r\n",
        b"HTTP/1.1 302 x\r\nlocation: http://xn--a.test/\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 302 x\r\nlocation: http://[::\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 302 x\r\nlocation: \xff://\x80\r\ncontent-length: 0\r\n\r\n", SIZED + b"content-encoding: gzip\r\n\r\n" + BODY,
        SIZED + b"content-encoding: gzip\r\ncontent-encoding: gzip\r\n\r\n" + BODY,
    ],
)  # fmt: skip
async def test_whatever_a_server_answers_is_a_failed_answer_at_worst(raw: bytes) -> None:
    async with answering(raw) as url:
        rest = Rest(url, KEY, ScaledClock(NOW, 1.0), deadline_s=5.0)
        await failure(rest.market_status())
        await rest.aclose()


@pytest.mark.parametrize(
    "odd", [b"date: \xff\xfe\r\n", b"date: Thu, 99 Foo 99999999 13:30:30 GMT\r\n", b"date: \r\n", b"set-cookie: \xff=[; domain=[\r\n", b"x: y\r\n" * 5_000]
)  # fmt: skip
async def test_an_odd_header_costs_nothing(odd: bytes) -> None:
    async with answering(SIZED + odd + b"\r\n" + BODY) as url:
        rest = Rest(url, KEY, ScaledClock(NOW, 1.0), deadline_s=5.0)
        assert await rest.market_status() == "open"
        await rest.aclose()


async def test_a_body_that_comes_byte_by_byte_leaves_the_loop_its_turns() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with answering(
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 10_000 + b"0\r\n\r\n"
    ) as url:
        rest = Rest(url, KEY, ScaledClock(NOW, 1.0), deadline_s=5.0)
        turning = asyncio.create_task(turn())
        await failure(rest.market_status())
        turning.cancel()
        await rest.aclose()
    assert turns >= 30


async def test_a_broken_tls_record_is_a_failed_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """httpx lets ``ssl.SSLError`` through as it is: it once ended the worker."""
    pem = tmp_path / "both.pem"
    pem.write_text(SELF_SIGNED)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    trust.cache_clear()
    try:
        async with answering(b"\x17\x03\x03\x00\x20" + b"x" * 32, server) as url:
            rest = Rest(url, KEY, ScaledClock(NOW, 1.0), deadline_s=5.0)
            error = await failure(rest.market_status())
            await rest.aclose()
    finally:
        trust.cache_clear()
    assert str(error) == "no connection: SSLError"


class Breaking(httpx.AsyncBaseTransport):
    """A transport that raises what it is given, when it is used or when it is closed."""

    def __init__(self, error: Exception, *, at_close: bool = False) -> None:
        self._error, self._at_close = error, at_close

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or break."""
        if self._at_close:
            return said({"market": "open"})
        raise self._error

    async def aclose(self) -> None:
        """Break, or not."""
        if self._at_close:
            raise self._error


def raised() -> list[Exception]:
    """What making, using and ending a connection has been seen to raise."""
    import anyio  # noqa: PLC0415
    import h11  # noqa: PLC0415
    import httpcore  # noqa: PLC0415

    return [
        ssl.SSLError(1, KEY), ssl.SSLEOFError(8, KEY), ConnectionResetError(KEY), TimeoutError(KEY), BlockingIOError(), OSError(24, KEY),
        UnicodeError(KEY), ValueError(KEY), OverflowError(KEY), EOFError(KEY), zlib.error(KEY), ImportError(KEY),
        httpx.InvalidURL(KEY), httpx.DecodingError(KEY), httpx.TooManyRedirects(KEY), httpx.StreamClosed(), httpx.ProxyError(KEY), httpx.PoolTimeout(KEY),
        anyio.BrokenResourceError(), anyio.ClosedResourceError(), anyio.EndOfStream(), anyio.BusyResourceError(KEY), anyio.IncompleteRead(),
        h11.RemoteProtocolError(KEY), h11.LocalProtocolError(KEY), httpcore.ReadError(KEY), httpcore.ConnectTimeout(KEY), httpcore.ConnectionNotAvailable(),
        ExceptionGroup(KEY, [OverflowError(KEY)]), ExceptionGroup(KEY, [ConnectionError(KEY), ssl.SSLError(1, KEY)]),
    ]  # fmt: skip


@pytest.mark.parametrize("fault", raised(), ids=lambda fault: type(fault).__name__)
async def test_every_fault_of_a_connection_is_a_failed_answer_and_closing_raises_none(
    fault: Exception,
) -> None:
    rest = Rest(BASE, KEY, StillClock(), Breaking(fault))
    error = await failure(rest.market_status())
    assert error.kind in (RestErrorKind.TRANSPORT, RestErrorKind.BAD_BODY, RestErrorKind.TIMEOUT)
    await rest.aclose()
    if not isinstance(fault, ExceptionGroup):
        rest = Rest(BASE, KEY, StillClock(), Breaking(fault, at_close=True))
        assert await rest.market_status() == "open"
        await rest.aclose()


@pytest.mark.parametrize(
    "fault", [KeyError("ours"), ZeroDivisionError(), ExceptionGroup("ours", [OSError(), KeyError("ours")])]
)
async def test_a_fault_of_our_own_is_not_hidden(fault: Exception) -> None:
    rest = Rest(BASE, KEY, StillClock(), Breaking(fault))
    with pytest.raises(type(fault)):
        await rest.market_status()


async def test_a_client_that_was_never_used_closes_without_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    trust.cache_clear()
    await Rest("https://api.example.test", KEY, StillClock()).aclose()
    trust.cache_clear()


async def send_junk(connection: ServerConnection) -> None:
    """Log in, and send twelve frames of ``[1,1,…]`` before a bar."""
    junk = "[" + "1," * (FRAME_MAX_BYTES // 2 - 2) + "1]"
    await connection.send('[{"ev":"status","status":"connected"}]')
    await connection.recv()
    await connection.send('[{"ev":"status","status":"auth_success"}]')
    await connection.recv()
    for _ in range(12):
        await connection.send(junk)
    await connection.send(frame(aggregate()))
    await connection.wait_closed()


async def test_junk_frames_leave_the_loop_its_turns_between_them() -> None:
    """They once held the loop for a minute, and the watchdog ended the worker."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with websockets.asyncio.server.serve(send_junk, "127.0.0.1", 0) as server:
        decoder = make_decoder()
        socket = Socket(
            "stocks", ws_url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", api_key=KEY, clock=StillClock(),
            decoder=decoder, step_s=20.0,
        )  # fmt: skip
        await socket.open()
        await socket.subscribe(["A.IWM"])
        await asyncio.sleep(1.0)  # the frames wait
        turning = asyncio.create_task(turn())
        received: list[int] = []
        while True:
            data = await socket.receive()
            received.append(turns)
            if data:
                break
        turning.cancel()
        await socket.close()
    assert data == [GOOD_BAR]
    assert len(received) >= 13, "each of twelve frames in its parts, and the good one"
    assert all(later > earlier for earlier, later in itertools.pairwise(received[:-1]))
    assert decoder.bad.counts == {BadReason.EVENT: 12 * OTHERS_MAX, BadReason.FRAME: 12}
