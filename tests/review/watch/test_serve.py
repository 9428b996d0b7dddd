"""The page on the loopback address: over real sockets, and refused to whoever should not see it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from events import Tick
from review.watch import serve
from review.watch.serve import CONNECTIONS_MAX, HOST, LivePage, PageServer
from review.watch.source import Source
from tests.builders import at
from tests.measured import measured
from tests.review.watch.frames import begun, go_on, record_path, with_position

ROOT = Path(__file__).parent.parent.parent.parent

TOKEN = "dG9rZW4tb2YtdGhlLXRlc3Rz"


@asynccontextmanager
async def served(place: Path, second: float = 70) -> AsyncIterator[int]:
    """The page of a DATA_DIR, at that second, however long a busy machine takes to make it; gives the port."""
    live = LivePage(Source(place), lambda: at(second))
    live._patience_s = 60.0
    answers = PageServer(live, TOKEN)
    async with await asyncio.start_server(answers.handle, HOST, 0, limit=serve.HEAD_MAX) as server:
        yield server.sockets[0].getsockname()[1]


async def asked(port: int, request: str) -> tuple[str, dict[str, str], str]:
    """Status line, headers and body of the answer to a raw request."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request.encode())
        async with asyncio.timeout(60):
            whole = (await all_of(reader)).decode()
    finally:
        await closed(writer)
    head, _, body = whole.partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    return status, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body


async def closed(writer: asyncio.StreamWriter) -> None:
    """Closes a connection, which the server may have cut off."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end, which is a reset where the server has not read all that was sent."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            found += data
    return found


def request(port: int, method: str = "GET", path: str = f"/{TOKEN}/", host: str | None = None) -> str:
    """A request as a browser makes one."""
    name = f"{HOST}:{port}" if host is None else host
    return f"{method} {path} HTTP/1.1\r\nHost: {name}\r\nAccept: */*\r\n\r\n"


async def test_get_gives_the_page_that_asks_again_by_itself(tmp_path: Path) -> None:
    go_on(with_position(tmp_path), 6, 1.59, 1.61)
    async with served(tmp_path) as port:
        status, headers, body = await asked(port, request(port))
    assert status == "HTTP/1.1 200 OK"
    assert " · IWM 2025-10-02</title>" in body and body.endswith("</html>\n")
    assert int(headers["content-length"]) == len(body.encode())
    assert headers["refresh"] == "15" and headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["connection"] == "close" and "server" not in headers


async def test_head_gives_the_same_without_the_body(tmp_path: Path) -> None:
    begun(tmp_path)
    async with served(tmp_path) as port:
        _, expected, _ = await asked(port, request(port))
        status, headers, body = await asked(port, request(port, "HEAD"))
    assert status == "HTTP/1.1 200 OK" and headers == expected and body == ""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "CONNECT"])
async def test_nothing_but_get_and_head(tmp_path: Path, method: str) -> None:
    async with served(tmp_path) as port:
        status, headers, body = await asked(port, request(port, method))
    assert status == "HTTP/1.1 405 Method Not Allowed" and headers["allow"] == "GET, HEAD" and body == ""


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        f"/{TOKEN}",
        f"/{TOKEN}/x",
        f"/{TOKEN.lower()}/",
        f"/{TOKEN}/?",
        "/../",
        f"//{TOKEN}/",
        "/favicon.ico",
        "/é/",
    ],
)
async def test_another_address_is_not_found(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as port:
        status, headers, body = await asked(port, request(port, path=path))
    assert status == "HTTP/1.1 404 Not Found"
    assert body == "" and "refresh" not in headers


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("127.0.0.1", True),
        ("127.0.0.1:65000", True),
        ("evil.example", False),
        ("evil.example:80", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8000", False),
        ("", False),
        ("0.0.0.0", False),
        ("[::1]", False),
    ],
)
async def test_a_request_that_came_by_another_hosts_name_is_refused(
    tmp_path: Path, host: str, is_ours: bool
) -> None:
    begun(tmp_path)
    async with served(tmp_path) as port:
        status, _, body = await asked(port, request(port, host=host))
    assert status == ("HTTP/1.1 200 OK" if is_ours else "HTTP/1.1 421 Misdirected Request")
    assert is_ours or body == ""


@pytest.mark.parametrize(
    "raw",
    [
        "hello\r\n\r\n",
        "GET /\r\n\r\n",
        f"GET /{TOKEN}/ HTTP/2\r\nHost: localhost\r\n\r\n",
        f"GET /{TOKEN}/ HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        f"GET /{TOKEN}/ HTTP/1.1\r\nno colon\r\n\r\n",
        f"G\x00T /{TOKEN}/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_a_bad_one(tmp_path: Path, raw: str) -> None:
    async with served(tmp_path) as port:
        status, _, body = await asked(port, raw)
    assert status == "HTTP/1.1 400 Bad Request" and body == ""


async def test_a_request_without_an_end_is_bounded(tmp_path: Path) -> None:
    async with served(tmp_path) as port:
        status, _, _ = await asked(port, f"GET /{TOKEN}/ HTTP/1.1\r\n" + f"X: {'y' * 100}\r\n" * 400)
    assert status.startswith("HTTP/1.1 431 ")


async def test_connections_are_bounded_and_a_place_that_gets_free_is_used(tmp_path: Path) -> None:
    begun(tmp_path)
    async with served(tmp_path) as port:
        waiting = [await asyncio.open_connection(HOST, port) for _ in range(CONNECTIONS_MAX)]
        for _, writer in waiting:
            writer.write(b"GET ")
            await writer.drain()
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(HOST, port)
            assert await reader.read() == b""  # closed at once
        await closed(writer)
        waiting[0][1].close()
        status = ""
        async with asyncio.timeout(30):
            while not status:  # until the server has seen that it was closed
                status, _, _ = await asked(port, request(port))
        assert status == "HTTP/1.1 200 OK"
        for _, writer in waiting:
            await closed(writer)


async def test_without_a_record_the_page_says_so_and_asks_again(tmp_path: Path) -> None:
    async with served(tmp_path) as port:
        status, headers, body = await asked(port, request(port))
    assert status == "HTTP/1.1 200 OK" and headers["refresh"] == "15"
    assert "No record of today (2025-10-02)" in body
    assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_a_path_in_a_fault_is_text_on_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "<b>&"
    folder.mkdir()
    record_path(folder).write_bytes(b"nonsense\n")
    async with served(folder) as port:
        _, _, body = await asked(port, request(port))
    assert "line 1: the line&#x27;s checksum is wrong" in body and "<b>" not in body


async def test_the_page_follows_the_record_and_nothing_is_done_while_nobody_looks(tmp_path: Path) -> None:
    story = begun(tmp_path)
    live = LivePage(Source(tmp_path), lambda: at(100))
    assert live._watcher.progress == (0, 0)
    first = await live.answer()
    size = live._watcher.progress[0]
    for second in range(1, 50):
        story.tell(at(second), Tick())
    assert live._watcher.progress[0] == size  # nobody has looked
    assert await live.answer() is first  # several viewers share a page for a while
    live._made_at = -1e9
    second_page = await live.answer()
    assert live._watcher.progress[0] > size and second_page.body != first.body


async def test_a_page_that_takes_long_is_waited_for_by_the_one_that_asks_again(tmp_path: Path) -> None:
    begun(tmp_path)
    live = LivePage(Source(tmp_path), lambda: at(100))
    live._patience_s = 0.0
    early = await live.answer()
    assert b"Reading the record: 0%" in early.body and early.refresh == 1
    assert live._making is not None
    page = await live._making
    assert await live.answer() is page and b"IWM 2025-10-02</title>" in page.body


# --- The command -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_the_command_prints_an_address_with_a_token_and_serves_until_it_is_told_to_stop(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    begun(tmp_path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "diagnose.py", "watch", "--serve", "0", "--data-dir", str(record_path(tmp_path))),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **measured()},
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        await process.stdout.readline()
        line = (await process.stdout.readline()).decode()
        found = re.fullmatch(r"  http://127\.0\.0\.1:(\d+)(/[\w-]{22}/)\n", line)
        assert found is not None, line
        body = reading = "Reading the record: "
        while reading in body:  # as long as a busy machine takes for it
            answered, _, body = await asked(int(found[1]), request(int(found[1]), path=found[2]))
            assert answered == "HTTP/1.1 200 OK"
        assert "IWM 2025-10-02" in body
        process.send_signal(number)
        assert await process.wait() == status
    assert process.stderr is not None and await process.stderr.read() == b""


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async with served(tmp_path) as port:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "diagnose.py", "watch", "--serve", str(port), "--data-dir", str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, **measured()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1 and "address already in use" in done.stderr.lower()
    assert len(done.stderr.splitlines()) == 1
