"""The loopback Massive/Polygon's REST endpoints, in the wire format, with their faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from sim.account import MarketAccount, Request
from sim.archive import Archive
from sim.rest_answers import BadRequestError, RestAnswers, cut_off, drip, gateway_page, reset
from sim.rest_chain import ChainEndpoints
from sim.rest_history import HistoryEndpoints
from sim.rest_seconds import SecondsEndpoint
from sim.rest_status import StatusEndpoint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RATE_TEXT = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. "
    "https://polygon.io/pricing"
)


class RestEndpoints:
    """The REST endpoints behind the check of the key, and the faults that answer in their place."""

    def __init__(self, account: MarketAccount, answers: RestAnswers) -> None:
        self._account, self._faults, self._answers = account, account.faults, answers
        self._refusals: Mapping[str, Callable[[], web.Response]] = {
            "rest_500": lambda: answers.error(500, error="Internal Server Error"),
            "rest_html": lambda: gateway_page(504),
            "rest_401": lambda: answers.error(401, error="Unknown API Key"),
            "rest_403": answers.not_entitled,
            "rest_empty": lambda: answers.json({}),
            "rest_no_rows": lambda: answers.json({"results": []}),
            "rest_null": lambda: answers.json({"results": None}),
            "rest_error_body": lambda: answers.json({"error": "Internal Server Error"}, state="ERROR"),
        }
        """Faults that answer in the real answer's place, the first of several first."""

    def routes(self) -> list[web.RouteDef]:
        """The addresses that are answered."""
        chain = ChainEndpoints(self._account, self._answers)
        archive = Archive(self._account.market)
        seconds = SecondsEndpoint(self._account, self._answers, archive)
        return [
            web.get("/v3/snapshot/options/{underlying}", chain.chain),
            web.get("/v3/snapshot/options/{underlying}/{contract}", chain.contract),
            web.get("/v2/aggs/ticker/{ticker}/range/{size}/{span}/{begin}/{end}", seconds.aggregates),
            web.get("/v1/marketstatus/now", StatusEndpoint(self._account).status),
            *HistoryEndpoints(self._account, self._answers, archive).routes(),
        ]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Notes the request, checks the key, and lets faults answer first or spoil the answer."""
        account, answers = self._account, self._answers
        if request.path in ("/stocks", "/options"):
            return await handler(request)
        query = {name: value for name, value in request.query.items() if name != "apiKey"}
        account.requests.append(Request(request.method, request.path, query, account.clock.now()))
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        key = token if scheme == "Bearer" else request.query.get("apiKey", "")
        if not key:
            return answers.error(401, error="API Key was not provided")
        if not account.authorised(key):
            return answers.error(401, error="Unknown API Key")
        refused = await self._refuse(request)
        if refused is not None:
            return refused
        try:
            response = await handler(request)
        except BadRequestError as error:
            return answers.error(400, error=str(error))
        return await self._spoil(request, response)

    async def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        """The answer of a fault that comes instead of the real one; None without such a fault."""
        take, path, answers = self._faults.take, request.path, self._answers
        if take("rest_reset", path=path):
            return reset(request)
        if fault := take("rest_hang", path=path):
            await asyncio.sleep(fault["real_seconds"])
            return reset(request)
        if fault := take("rest_429", path=path):
            response = answers.error(429, error=RATE_TEXT)
            if fault["retry_after"] is not None:
                response.headers["Retry-After"] = str(fault["retry_after"])
            return response
        for name, answer in self._refusals.items():
            if take(name, path=path):
                return answer()
        return None

    async def _spoil(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Returns a good answer, broken off or dripping if a fault asks for it."""
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
            return response
        if self._faults.take("rest_bad_json", path=request.path):
            return web.Response(
                body=response.body[: len(response.body) // 2], content_type="application/json"
            )
        if self._faults.take("truncated_page", path=request.path):
            return await cut_off(request, response.body)
        if self._faults.take("rest_slow", path=request.path):
            return await drip(request, response.body)
        return response
