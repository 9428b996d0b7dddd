"""How the simulated vendor's REST answers: its JSON, its refusals, and what something on the way says instead."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from sim.wire import dumps

DRIP_REAL_SECONDS = 0.5
"""Pause between the bytes of an answer that drips."""

NOT_ENTITLED_TEXT = (
    "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing"
)
NGINX_PAGE = (
    "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n"
    "<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx/1.27.2</center>\r\n</body>\r\n</html>\r\n"
)


class BadRequestError(Exception):
    """The request is not one that the vendor answers; the text says why."""


class RestAnswers:
    """Makes answers, each with a request id of its own."""

    def __init__(self) -> None:
        self._count = 0

    def json(
        self, body: dict[str, Any], status: int = 200, state: str = "OK", rows: Sequence[str] = ()
    ) -> web.Response:
        """An answer in JSON. ``rows``, each JSON already, fill the empty ``results`` of the body."""
        self._count += 1
        text = dumps({"status": state, "request_id": f"{self._count:032x}", **body})
        if rows:
            text = text.replace('"results":[]', f'"results":[{",".join(rows)}]', 1)
        return web.json_response(text=text, status=status)

    def error(self, status: int, **body: str) -> web.Response:
        """An answer that says ERROR."""
        return self.json(dict(body), status, "ERROR")

    def not_entitled(self) -> web.Response:
        """The plan does not include what was asked for."""
        return self.json({"message": NOT_ENTITLED_TEXT}, 403, "NOT_AUTHORIZED")

    def not_found(self, message: str) -> web.Response:
        """There is no such thing."""
        return self.json({"message": message}, 404, "NOT_FOUND")

    def refused_handshake(self, status: int, *, html: bool) -> web.Response:
        """The answer to a WebSocket handshake that is refused, by the vendor or by something on the way (``html``)."""
        if html:
            return gateway_page(status)
        return self.error(status, error="Unknown API Key")


def gateway_page(status: int) -> web.Response:
    """A page of nginx instead of JSON."""
    return web.Response(status=status, text=NGINX_PAGE, content_type="text/html")


def reset(request: web.Request) -> web.Response:
    """Ends the TCP connection with a reset."""
    transport = request.transport
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def drip(request: web.Request, body: bytes) -> web.StreamResponse:
    """Answers byte by byte, so slowly that only a limit on the whole answer ends it."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for byte in body:
            await response.write(bytes([byte]))
            await asyncio.sleep(DRIP_REAL_SECONDS)
    return response


async def cut_off(request: web.Request, body: bytes) -> web.StreamResponse:
    """Answers with half of the body, and ends the connection."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
