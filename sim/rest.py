"""The loopback Massive/Polygon's REST endpoints, in the wire format, with their faults."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from aiohttp import web

import utils
from events import SECOND
from sim.faults import bad_bars, bad_rows
from sim.market import HOLD_US, MILLI, PRE_MARKET_S, SimBar
from sim.options import NANO, Contract

if TYPE_CHECKING:
    from sim.server import LoopbackMarket

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DRIP_REAL_SECONDS = 0.5
AGGREGATES_LAG_US = 3 * SECOND

RATE_TEXT = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. "
    "https://polygon.io/pricing"
)
NOT_ENTITLED_TEXT = (
    "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing"
)
NGINX_PAGE = (
    "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n"
    "<center><h1>504 Gateway Time-out</h1></center>\r\n<hr><center>nginx/1.27.2</center>\r\n</body>\r\n</html>\r\n"
)

CHAIN_LIMIT, CHAIN_LIMIT_MAX = 10, 250
BARS_LIMIT, BARS_LIMIT_MAX = 5_000, 50_000


@dataclass(frozen=True, slots=True)
class Request:
    """A REST request as it was seen: never with a key. ``at`` is in µs of the market's clock."""

    method: str
    path: str
    query: dict[str, str]
    at: int


def dumps(value: Any) -> str:
    """``value`` as the vendor's JSON: without blanks."""
    return json.dumps(value, separators=(",", ":"))


def aggregate_row(bar: SimBar) -> dict[str, Any]:
    """A bar as the second aggregates say it; ``v`` may be fractional."""
    return {
        "v": bar.volume,
        "vw": bar.vwap,
        "o": bar.open,
        "c": bar.close,
        "h": bar.high,
        "l": bar.low,
        "t": bar.start // MILLI,
        "n": bar.trades,
    }


class _BadRequest(Exception):
    """The request is not one that the vendor answers; the text says why."""


class Rest:
    """The REST endpoints and their faults."""

    def __init__(self, server: LoopbackMarket) -> None:
        self._server, self._market, self._faults = server, server.market, server.faults
        self._count = 0

    def routes(self) -> list[web.RouteDef]:
        """The addresses that are answered."""
        return [
            web.get("/v3/snapshot/options/{underlying}", self.chain),
            web.get("/v3/snapshot/options/{underlying}/{contract}", self.contract),
            web.get("/v2/aggs/ticker/{ticker}/range/{size}/{span}/{begin}/{end}", self.aggregates),
            web.get("/v1/marketstatus/now", self.status),
        ]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note the request, ask for the key, and let the faults have their way."""
        server = self._server
        if request.path in ("/stocks", "/options"):
            return await handler(request)
        query = {name: value for name, value in request.query.items() if name != "apiKey"}
        server.requests.append(Request(request.method, request.path, query, server.clock.now()))
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        key = token if scheme == "Bearer" else request.query.get("apiKey", "")
        if not key:
            return self._error(401, error="API Key was not provided")
        if not server.authorised(key):
            return self._error(401, error="Unknown API Key")
        refused = await self._refuse(request)
        if refused is not None:
            return refused
        try:
            response = await handler(request)
        except _BadRequest as error:
            return self._error(400, error=str(error))
        return await self._spoil(request, response)

    async def _refuse(self, request: web.Request) -> web.StreamResponse | None:
        """The answer of a fault that comes instead of the real one."""
        take, path = self._faults.take, request.path
        if take("rest_reset", path=path):
            return _reset(request)
        if fault := take("rest_hang", path=path):
            await asyncio.sleep(fault["real_seconds"])
            return _reset(request)
        if fault := take("rest_429", path=path):
            response = self._error(429, error=RATE_TEXT)
            if fault["retry_after"] is not None:
                response.headers["Retry-After"] = str(fault["retry_after"])
            return response
        if take("rest_500", path=path):
            return self._error(500, error="Internal Server Error")
        if take("rest_html", path=path):
            return web.Response(status=504, text=NGINX_PAGE, content_type="text/html")
        if take("rest_401", path=path):
            return self._error(401, error="Unknown API Key")
        if take("rest_403", path=path):
            return self._not_entitled()
        if take("rest_empty", path=path):
            return self._json({})
        if take("rest_no_rows", path=path):
            return self._json({"results": []})
        if take("rest_null", path=path):
            return self._json({"results": None})
        return None

    async def _spoil(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """A good answer, unless a fault spoils how it is sent."""
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
            return response
        if self._faults.take("rest_bad_json", path=request.path):
            return web.Response(
                body=response.body[: len(response.body) // 2], content_type="application/json"
            )
        if self._faults.take("rest_slow", path=request.path):
            return await _drip(request, response.body)
        return response

    def _json(self, body: dict[str, Any], status: int = 200, state: str = "OK") -> web.Response:
        self._count += 1
        return web.json_response(
            {"status": state, "request_id": f"{self._count:032x}", **body}, status=status, dumps=dumps
        )

    def _error(self, status: int, **body: str) -> web.Response:
        return self._json(dict(body), status, "ERROR")

    def refused_handshake(self, status: int, *, html: bool) -> web.Response:
        """The answer to a WebSocket handshake that is not taken."""
        if html:
            return web.Response(status=status, text=NGINX_PAGE, content_type="text/html")
        return self._error(status, error="Unknown API Key")

    def _not_entitled(self) -> web.Response:
        return self._json({"message": NOT_ENTITLED_TEXT}, 403, "NOT_AUTHORIZED")

    def _not_found(self, message: str) -> web.Response:
        return self._json({"message": message}, 404, "NOT_FOUND")

    # The chain

    async def chain(self, request: web.Request) -> web.Response:
        """``/v3/snapshot/options/{underlying}``: filters, sort, pages with an opaque cursor."""
        if not self._server.plan.chain:
            return self._not_entitled()
        query = dict(request.query)
        offset = 0
        if "cursor" in query:
            query = _read_cursor(query["cursor"])
            offset = int(query.pop("offset"))
        limit = _limit(query, CHAIN_LIMIT, CHAIN_LIMIT_MAX)
        found: list[Contract] = []
        if request.match_info["underlying"] == self._market.symbol:
            found = _select(self._market.listed, self._market.session.date, query)
        at = self._server.clock.now()
        chosen = found[offset : offset + limit]
        page: list[Any] = [self._entitle(self._market.row_of(contract, at)) for contract in chosen]
        if fault := self._faults.take("adjusted_root"):
            page = [
                each for row in page for each in (_adjusted(row, self._market.symbol, fault["root"]), row)
            ]
        if page and (fault := self._faults.take("bad_page", path=request.path)):
            broken = bad_rows(page[0], nan=fault["nan"])
            page = [*broken, page[0], *broken, *page[1:]]
        body: dict[str, Any] = {"results": page}
        if offset + limit < len(found):
            cursor = _cursor({**query, "offset": str(offset + limit)})
            body["next_url"] = self._next_url(request, f"{request.path}?cursor={cursor}")
        return self._json(body)

    async def contract(self, request: web.Request) -> web.Response:
        """``/v3/snapshot/options/{underlying}/{contract}``: one row as an object."""
        if not self._server.plan.chain:
            return self._not_entitled()
        known = request.match_info["underlying"] == self._market.symbol
        row = self._market.row(request.match_info["contract"], self._server.clock.now()) if known else None
        if row is None:
            return self._not_found("Options contract not found.")
        return self._json({"results": self._entitle(row)})

    def _entitle(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row as the plan shows it."""
        if self._faults.take("no_quotes"):
            del row["last_quote"]
        elif self._faults.take("delayed_quotes"):
            row["last_quote"]["timeframe"] = "DELAYED"
            row["underlying_asset"]["timeframe"] = "DELAYED"
        self._twist(row)
        return row

    def _twist(self, row: dict[str, Any]) -> None:
        """Let what the row says be untrue, as the faults ask for it."""
        take, quote = self._faults.take, row.get("last_quote")
        if quote is not None and (fault := take("frozen_quotes")):
            quote["last_updated"] -= int(fault["by"] * SECOND) * NANO
        if quote is not None and (fault := take("absurd_quotes")):
            quote |= {side: round(quote[side] * fault["factor"], 4) for side in ("bid", "ask")}
        if "greeks" in row and take("zero_greeks"):
            row["greeks"] = dict.fromkeys(("delta", "gamma", "theta", "vega"), 0)
        if "greeks" in row and (fault := take("absurd_delta")):
            row["greeks"] = {**row["greeks"], "delta": fault["delta"]}

    def _next_url(self, request: web.Request, path: str) -> str:
        if fault := self._faults.take("next_url_offhost", path=request.path):
            return f"{fault['host']}{path}"
        if self._faults.take("next_url_loop", path=request.path):
            return f"{self._server.rest_url}{request.path_qs}"
        return f"{self._server.rest_url}{path}"

    # Second aggregates

    async def aggregates(self, request: web.Request) -> web.Response:
        """``/v2/aggs/ticker/{T}/range/1/second/{from}/{to}``: seconds as known about 3 s ago."""
        if not self._server.plan.aggregates:
            return self._not_entitled()
        part = request.match_info
        if (part["size"], part["span"]) != ("1", "second"):
            raise _BadRequest("only 1 second aggregates are made here")
        query = {name: value for name, value in request.query.items() if name != "apiKey"}
        if "cursor" in query:
            query = _read_cursor(query["cursor"])
        limit = _limit(query, BARS_LIMIT, BARS_LIMIT_MAX)
        session = self._market.session
        first = _moment(part["begin"], session.open - PRE_MARKET_S * SECOND, session.date)
        last = _moment(part["end"], session.close, session.date)
        known_at = self._server.clock.now() - AGGREGATES_LAG_US
        if fault := self._faults.take("aggregates_lag"):
            known_at -= int(fault["by"] * SECOND)
        if (fault := self._faults.find("one_silent", symbol=part["ticker"])) and not fault["rest"]:
            last = min(last, fault.asked_at - HOLD_US - SECOND - 1)  # what was sent before
        bars = self._market.known_between(part["ticker"], first, last, known_at)
        if query.get("sort") == "desc":
            bars.reverse()
        page: list[Any] = [aggregate_row(bar) for bar in bars[:limit]]
        body: dict[str, Any] = {
            "ticker": part["ticker"],
            "adjusted": query.get("adjusted", "true") == "true",
            "queryCount": len(page),
            "resultsCount": len(page),
        }
        if page:
            body["results"] = page
            if fault := self._faults.take("bad_page", path=request.path):
                broken = bad_bars(page[0], nan=fault["nan"])
                body["results"] = [*broken, page[0], *broken, *page[1:]]
        if len(bars) > limit:
            edge = bars[limit].start // MILLI
            span = (part["begin"], edge) if query.get("sort") == "desc" else (edge, part["end"])
            path = f"/v2/aggs/ticker/{part['ticker']}/range/1/second/{span[0]}/{span[1]}"
            body["next_url"] = self._next_url(request, f"{path}?cursor={_cursor(query)}")
        return self._json(body)

    # The market's status

    async def status(self, request: web.Request) -> web.Response:
        """``/v1/marketstatus/now``."""
        now, session = self._server.clock.now(), self._market.session
        moment = utils.new_york(self._server.server_time())
        market, early, after = "closed", False, False
        if self._faults.take("market_closed"):
            pass
        elif session.open <= now < session.close:
            market = "open"
        elif utils.new_york_date(now) == session.date and EARLIEST_HOUR <= moment.hour < LATEST_HOUR:
            market, early, after = "extended-hours", now < session.open, now >= session.close
        return web.json_response(
            {
                "market": market,
                "earlyHours": early,
                "afterHours": after,
                "exchanges": {"nyse": market, "nasdaq": market, "otc": market},
                "currencies": {"fx": "open", "crypto": "open"},
                "serverTime": moment.isoformat(timespec="seconds"),
            }
        )


EARLIEST_HOUR, LATEST_HOUR = 4, 20
"""Shares trade outside the regular session between these hours of New York."""


def _adjusted(row: dict[str, Any], symbol: str, root: str) -> dict[str, Any]:
    """The row of the adjusted contract beside a plain one: it looks the same, and delivers something else."""
    ticker = row["details"]["ticker"].replace(f"O:{symbol}", f"O:{root}", 1)
    return {**row, "details": {**row["details"], "ticker": ticker}}


def _reset(request: web.Request) -> web.Response:
    """End the TCP connection with a reset."""
    transport = request.transport
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _drip(request: web.Request, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for byte in body:
            await response.write(bytes([byte]))
            await asyncio.sleep(DRIP_REAL_SECONDS)
    return response


def _cursor(query: dict[str, str]) -> str:
    kept = {name: value for name, value in query.items() if name not in ("apiKey", "cursor")}
    return base64.urlsafe_b64encode(dumps(kept).encode()).decode()


def _read_cursor(cursor: str) -> dict[str, str]:
    try:
        query = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        raise _BadRequest("the cursor is not one of ours") from None
    return {str(name): str(value) for name, value in query.items()}


def _limit(query: dict[str, str], usual: int, most: int) -> int:
    text = query.get("limit", str(usual))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise _BadRequest(f"'limit' must be a number from 1 to {most}")
    return int(text)


def _moment(text: str, edge: int, session_date: str) -> int:
    """The µs of a time in milliseconds or of a date, whose ``edge`` is given for the session's own date."""
    if text.isdigit():
        return int(text) * MILLI
    try:
        days = (date.fromisoformat(text) - date.fromisoformat(session_date)).days
    except ValueError:
        raise _BadRequest("'from' and 'to' take milliseconds or YYYY-MM-DD") from None
    return edge + days * 86_400 * SECOND


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda have, want: have == want,
    ".gte": lambda have, want: have >= want,
    ".gt": lambda have, want: have > want,
    ".lte": lambda have, want: have <= want,
    ".lt": lambda have, want: have < want,
}


def _select(listed: Iterable[Contract], expiry: str, query: dict[str, str]) -> list[Contract]:
    """The contracts that pass the filters, sorted. Names that the vendor does not know are ignored, as there."""
    name = query.get("sort", "ticker")
    if name not in ("ticker", "strike_price", "expiration_date"):
        raise _BadRequest("'sort' takes ticker, expiration_date or strike_price")
    found = [contract for contract in listed if _matches(contract, expiry, query)]
    by_strike = name == "strike_price"
    return sorted(
        found,
        key=lambda contract: (contract.strike if by_strike else 0.0, contract.ticker),
        reverse=query.get("order") == "desc",
    )


def _matches(contract: Contract, expiry: str, query: dict[str, str]) -> bool:
    side = "call" if contract.call else "put"
    if query.get("contract_type", side) != side:
        return False
    for operator, compare in _COMPARE.items():
        day, strike = query.get(f"expiration_date{operator}"), query.get(f"strike_price{operator}")
        if day is not None and not compare(expiry, day):
            return False
        if strike is not None and not compare(contract.strike, _number(strike)):
            return False
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _BadRequest("'strike_price' takes a number") from None
