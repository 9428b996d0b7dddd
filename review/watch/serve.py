"""The session's page on this machine's loopback address, drawn anew whenever somebody looks.

It answers GET and HEAD for one address that holds a random token, and nothing else. Requests that come by another
host's name are refused, so that no web page can reach it by having its own name lead here. Nothing is derived or drawn
while nobody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import signal
from collections.abc import Callable, Mapping
from html import escape
from http import HTTPStatus
from typing import NamedTuple

from config import Following, load_following
from review.keeper import Keeper
from review.page import page
from review.page.library import library
from review.watch.source import Source
from review.watch.watcher import Watcher
from threads import DaemonThread, LazyThread, Threads

HOST = "127.0.0.1"
NAMES = frozenset({HOST, "localhost"})
"""Whom a request may name as its host: a tunnel keeps the name, and may change the port."""

CONNECTIONS_MAX = 16
"""A browser opens six; what is more is closed at once."""

HEAD_MAX = 16 * 1024
"""Bytes that a request may have. A browser's has under 1,000."""

HEAD_S, BODY_S = 10.0, 60.0
"""Real seconds in which a request must have come, and its answer must have been taken."""

PATIENCE_S, AGAIN_S = 2.0, 30.0
"""How long (real s) a request waits for the first page, and for a later one: meanwhile a browser shows the one before.
After that it says how far the record has been read."""

FRESH_S = 5.0
"""How long (real s) a page stands: several viewers share it."""

REFRESH_S, REFRESH_SOON_S = 15, 1
"""After how many seconds a browser asks again: for the page, and while it is not there yet."""

TOKEN_BYTES = 16

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Type": "text/html; charset=utf-8",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""With every answer: the token must not leave the address bar, nor the page its window."""

PAGE_POLICY = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Besides the page's own policy, which stands in it and allows only its own scripts."""

PLAIN_POLICY = f"default-src 'none'; {PAGE_POLICY}"


class Answer(NamedTuple):
    """What a request is answered with. ``refresh`` is after how many seconds it is asked again; 0: never."""

    status: HTTPStatus
    body: bytes = b""
    policy: str = PLAIN_POLICY
    refresh: int = 0
    more: tuple[tuple[str, str], ...] = ()


# --- The page ----------------------------------------------------------------------------------------


class LivePage:
    """The page of the session in progress. It is derived on and drawn in a thread, one at a time, when it is asked for."""

    def __init__(
        self,
        source: Source,
        now: Callable[[], int],
        following: Following | None = None,
        threads: Threads = DaemonThread,
    ) -> None:
        self._watcher = Watcher(source, lambda path, first: Keeper(path, first, following))
        self._now = now
        self._thread = LazyThread(threads, "page")
        self._making: asyncio.Future[Answer] | None = None
        self._made_at = -FRESH_S
        self._patience_s = PATIENCE_S
        self._percent = 0

    async def answer(self) -> Answer:
        """Returns the page, or, when that takes too long, how far the record has been read."""
        loop = asyncio.get_running_loop()
        making = self._making
        if making is None or (making.done() and loop.time() - self._made_at >= FRESH_S):
            making = self._making = self._thread.submit(self._make)
            making.add_done_callback(self._made)
        if not making.done():
            await asyncio.wait({making}, timeout=self._patience_s)
        if making.done():
            return making.result()
        return _plain(f"Reading the record: {self._percent}%", REFRESH_SOON_S)

    def _made(self, making: asyncio.Future[Answer]) -> None:
        self._made_at, self._patience_s = making.get_loop().time(), AGAIN_S

    def _make(self) -> Answer:
        """Reads on to the record's end, and draws the page. Runs in the thread."""
        watcher = self._watcher
        watcher.turn(self._now())
        while watcher.is_behind:
            done, total = watcher.progress
            self._percent = done * 100 // max(1, total)
            watcher.turn(self._now())
        if watcher.fault or watcher.kept is None:
            return _plain(watcher.fault or "The record has not begun yet.", REFRESH_S)
        text = page.render(watcher.kept.so_far(self._now()), library())
        return Answer(HTTPStatus.OK, text.encode(), PAGE_POLICY, REFRESH_S)


def _plain(text: str, refresh: int) -> Answer:
    body = f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>IWM-5-VWAP</title><p>{escape(text)}</p></html>\n'
    return Answer(HTTPStatus.OK, body.encode(), refresh=refresh)


# --- The server --------------------------------------------------------------------------------------


class PageServer:
    """Answers for one page under ``/TOKEN/``. Give `handle` to ``asyncio.start_server``."""

    def __init__(self, live: LivePage, token: str) -> None:
        self._live = live
        self._path = f"/{token}/".encode()
        self._open = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request and closes its connection. What breaks it off is the other side's affair."""
        self._open += 1
        try:
            if self._open <= CONNECTIONS_MAX:
                await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method = b"GET"
        try:
            async with asyncio.timeout(HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            method, target, headers = parsed(head)
            answer = self._refusal(method, target, headers) or await self._live.answer()
        except TimeoutError:
            answer = Answer(HTTPStatus.REQUEST_TIMEOUT)
        except asyncio.LimitOverrunError:
            answer = Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except ValueError:
            answer = Answer(HTTPStatus.BAD_REQUEST)
        async with asyncio.timeout(BODY_S):
            writer.write(head_of(answer))
            if method != b"HEAD":
                writer.write(answer.body)
            await writer.drain()

    def _refusal(self, method: bytes, target: bytes, headers: Mapping[bytes, bytes]) -> Answer | None:
        """Returns why a request is refused, None if it gets the page."""
        if method not in (b"GET", b"HEAD"):
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, more=(("Allow", "GET, HEAD"),))
        name = headers.get(b"host", b"").decode("latin-1").lower().rpartition(":")
        if (name[0] if name[2].isdigit() else name[2]) not in NAMES:
            return Answer(HTTPStatus.MISDIRECTED_REQUEST)
        if not hmac.compare_digest(target, self._path):
            return Answer(HTTPStatus.NOT_FOUND)
        return None


def parsed(head: bytes) -> tuple[bytes, bytes, dict[bytes, bytes]]:
    """Returns a request's method, target and headers (names in lower case). Raises ValueError for what is none."""
    first, *lines = head[:-4].split(b"\r\n")
    method, target, version = first.split(b" ")
    if not version.startswith(b"HTTP/1.") or not method.isalpha():
        raise ValueError("not a request")
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or not name.strip() or (name == b"host" and name in headers):
            raise ValueError("not a header, or two hosts")
        headers[name] = value.strip()
    return method, target, headers


def head_of(answer: Answer) -> bytes:
    """Returns the head of an answer."""
    headers = {
        **HEADERS,
        "Content-Security-Policy": answer.policy,
        "Content-Length": str(len(answer.body)),
        "Connection": "close",
        **dict(answer.more),
    }
    if answer.refresh:
        headers["Refresh"] = str(answer.refresh)
    lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


async def serve(live: LivePage, port: int) -> None:
    """Serves the page until SIGTERM, and prints its address. Raises OSError if the port is taken (0: any free one)."""
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    answers = PageServer(live, token)
    async with await asyncio.start_server(answers.handle, HOST, port, limit=HEAD_MAX) as server:
        bound = server.sockets[0].getsockname()[1]
        print(
            f"The session's page, for browsers on this machine, until Ctrl-C:\n  http://{HOST}:{bound}/{token}/\n"
            f"From another machine: ssh -L {bound}:{HOST}:{bound} THIS_MACHINE, and the same address there.",
            flush=True,
        )
        await stop.wait()


def run(source: Source, port: int, now: Callable[[], int]) -> int:
    """Runs the server. Returns the exit status.

    Raises Unusable without the page's library, ConfigError for bad settings, KeyboardInterrupt at Ctrl-C.
    """
    library()
    asyncio.run(serve(LivePage(source, now, load_following()), port))
    return 0
