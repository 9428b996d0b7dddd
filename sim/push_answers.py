"""How the loopback Pushover answers, and how every request is noted with its answer."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from sim.push_account import MONTHLY_QUOTA, PushAccount, Seen

ENDLESS_PIECE = 65_536
"""Bytes that an endless body sends at a time."""


class PushAnswers:
    """Makes answers. ``count_connections`` says how many connections are open now."""

    def __init__(self, account: PushAccount, count_connections: Callable[[], int]) -> None:
        self._account, self._count_connections = account, count_connections

    def answer(
        self, request: web.Request, fields: Mapping[str, str], status: int, body: dict[str, Any]
    ) -> web.Response:
        """Notes the request with its answer, and makes the answer."""
        self.note(request, fields, status)
        account = self._account
        headers = {
            "X-Limit-App-Limit": str(MONTHLY_QUOTA),
            "X-Limit-App-Remaining": str(account.remaining),
        } | ({} if account.reset is None else {"X-Limit-App-Reset": str(account.reset)})
        return web.json_response(
            {**body, "request": f"loopback-{len(account.requests)}"}, status=status, headers=headers
        )

    def note(self, request: web.Request, fields: Mapping[str, str], status: int) -> None:
        """Remembers a request and the status it is answered with."""
        account = self._account
        account.connections_most = max(account.connections_most, self._count_connections())
        peer = request.transport.get_extra_info("peername")[1] if request.transport else 0
        account.requests.append(
            Seen(
                at=account.clock.now(),
                method=request.method,
                path=request.path,
                fields=dict(fields),
                status=status,
                peer=peer,
            )
        )

    def refusal(
        self, request: web.Request, fields: Mapping[str, str], errors: dict[str, str]
    ) -> web.Response:
        """A 400 as the vendor words it: each bad field is named, and its error listed."""
        body = {**dict.fromkeys(errors, "invalid"), "errors": list(errors.values()), "status": 0}
        return self.answer(request, fields, 400, body)

    def hang_up(self, request: web.Request, fields: Mapping[str, str]) -> web.StreamResponse:
        """Cuts the connection instead of answering."""
        self.note(request, fields, 0)
        if request.transport is not None:
            request.transport.abort()
        # Never written: the connection is gone.
        return web.Response()

    async def pour(
        self, request: web.Request, fields: Mapping[str, str], *, is_packed: bool
    ) -> web.StreamResponse:
        """Sends a body that nobody should read to its end, or unpack."""
        self.note(request, fields, 200)
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if is_packed else None)
        await response.prepare(request)
        piece = zlib.compress(bytes(1 << 26), 1, 31) if is_packed else b" " * ENDLESS_PIECE
        try:
            await response.write(piece)
            while not is_packed:
                await response.write(piece)
        except ConnectionError:
            self._account.poured_out += 1
        return response
