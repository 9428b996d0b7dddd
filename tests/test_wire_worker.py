"""The whole worker while REST answers wrongly in every way that once ended it or emptied its chain."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import structlog

from main import EXIT_OK
from tests.stage import stage


class Spoiling(httpx.AsyncBaseTransport):
    """The network, but of the answers about options every second one is spoilt, in each way in turn."""

    def __init__(self) -> None:
        self._network = httpx.AsyncHTTPTransport()
        self._chains = self._closed = 0
        self.spoilt: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the network, and spoil the answer."""
        response = await self._network.handle_async_request(request)
        if "/v3/snapshot/options/" not in request.url.path:
            return response
        self._chains += 1
        if self._chains % 2:
            return response
        ways = (self._tls, self._null, self._label, self._unknown, self._surrogate, self._packed)
        way = ways[len(self.spoilt) % len(ways)]
        self.spoilt.append(way.__name__)
        body = json.loads(await response.aread())
        await response.aclose()
        return way(body)

    def _tls(self, body: dict[str, Any]) -> httpx.Response:
        raise ssl.SSLError(
            1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed or bad record mac"
        )

    def _null(self, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={**body, "results": None})

    def _label(self, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={**body, "next_url": "https://xn--.test/v3?cursor=1"})

    def _unknown(self, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={**body, "status": "PARTIAL", "results": []})

    def _surrogate(self, body: dict[str, Any]) -> httpx.Response:
        text = json.dumps({**body, "request_id": "\ud800"})
        return httpx.Response(200, content=text.encode(), headers={"content-type": "application/json"})

    def _packed(self, body: dict[str, Any]) -> httpx.Response:
        answer = httpx.Response(200, json=body)
        answer.headers["content-encoding"] = "gzip, gzip"
        return answer

    async def aclose(self) -> None:
        """Close the network, and fail at that, too, the first time: REST's client is closed before the sender's."""
        await self._network.aclose()
        self._closed += 1
        if self._closed > 1:
            return
        raise ssl.SSLError(
            1, "[SSL: APPLICATION_DATA_AFTER_CLOSE_NOTIFY] application data after close notify"
        )


async def test_a_rest_that_answers_wrongly_ends_nothing_and_empties_no_chain(tmp_path: Path) -> None:
    network = Spoiling()
    with structlog.testing.capture_logs() as entries:
        async with stage(tmp_path, transport=network) as play:
            await play.until(lambda: play.titles("BUY"), 120, "the BUY")
            await play.until(lambda: len(network.spoilt) > 6, 120, "each way once")
            assert await play.stop() == EXIT_OK
    found = {entry["event"] for entry in entries}
    assert {"chain_poll_failed", "chain_polled_again", "rest_close_failed"} <= found
    assert not {"chain_empty", "crashed"} & found
