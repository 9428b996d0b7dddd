"""The simulated vendor's history over REST: which options were listed on a date, and every quote of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from aiohttp import web

import utils
from events import SECOND
from sim.account import MarketAccount
from sim.archive import Archive
from sim.contracts import Contract, OptionQuote
from sim.market import Market
from sim.paging import next_url, read_cursor, read_limit, write_cursor
from sim.quoter import QUOTE_STEP_US
from sim.rest_answers import BadRequestError, RestAnswers
from sim.rest_chain import select

NANO = 1_000
"""ns in a µs: stamps of quotes are in ns."""

CONTRACT_LIMIT, CONTRACT_LIMIT_MAX = 10, 1_000
QUOTE_LIMIT, QUOTE_LIMIT_MAX = 1_000, 50_000

LONGEST_SPAN_US = 24 * 3_600 * SECOND


class HistoryEndpoints:
    """Reference data as of a date, and quotes of the past."""

    def __init__(self, account: MarketAccount, answers: RestAnswers, archive: Archive) -> None:
        self._account, self._answers, self._archive = account, answers, archive

    def routes(self) -> list[web.RouteDef]:
        """The addresses that are answered."""
        return [
            web.get("/v3/reference/options/contracts", self.contracts),
            web.get("/v3/quotes/{contract}", self.quotes),
        ]

    # --- Contracts ---

    async def contracts(self, request: web.Request) -> web.Response:
        """``/v3/reference/options/contracts``: as they were listed ``as_of`` a date, or on the account's own."""
        query, offset = _query(request)
        limit = read_limit(query, CONTRACT_LIMIT, CONTRACT_LIMIT_MAX)
        as_of = _day(query.get("as_of", self._account.market.session.date), "as_of")
        market = self._archive.on(as_of)
        found: list[Contract] = []
        if market is not None and query.get("underlying_ticker") in (None, market.symbol):
            found = select(market.listed, market.session.date, query)
        rows = [_contract_row(contract, market) for contract in found[offset : offset + limit] if market]
        body: dict[str, Any] = {"results": rows}
        if offset + limit < len(found):
            cursor = write_cursor({**query, "offset": str(offset + limit)})
            body["next_url"] = next_url(self._account, request, f"{request.path}?cursor={cursor}")
        return self._answers.json(body)

    # --- Quotes ---

    async def quotes(self, request: web.Request) -> web.Response:
        """``/v3/quotes/{contract}``: each quote of the contract in a span of time."""
        if not self._account.plan.quote_history:
            return self._answers.not_entitled()
        query, offset = _query(request)
        limit = read_limit(query, QUOTE_LIMIT, QUOTE_LIMIT_MAX)
        first, last = _span(query)
        contract = request.match_info["contract"]
        found = [
            quote for market in self._markets(first, last) for quote in _quotes(market, contract, first, last)
        ]
        if self._account.faults.take("quote_hole"):
            found = []
        if query.get("order", "desc") == "desc":
            found.reverse()
        body: dict[str, Any] = {"results": [_quote_row(quote) for quote in found[offset : offset + limit]]}
        if offset + limit < len(found):
            cursor = write_cursor({**query, "offset": str(offset + limit)})
            body["next_url"] = next_url(self._account, request, f"{request.path}?cursor={cursor}")
        return self._answers.json(body)

    def _markets(self, first: int, last: int) -> list[Market]:
        return self._archive.between(utils.new_york(first).date(), utils.new_york(last).date())


def _query(request: web.Request) -> tuple[dict[str, str], int]:
    """Returns the query, or the one in its cursor, and how many rows were answered before."""
    query = {name: value for name, value in request.query.items() if name != "apiKey"}
    if "cursor" not in query:
        return query, 0
    query = read_cursor(query["cursor"])
    return query, int(query.pop("offset"))


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequestError(f"'{name}' takes YYYY-MM-DD") from None


def _contract_row(contract: Contract, market: Market) -> dict[str, Any]:
    return {
        "cfi": "OCASPS" if contract.call else "OPASPS",
        "contract_type": "call" if contract.call else "put",
        "exercise_style": "american",
        "expiration_date": market.session.date,
        "primary_exchange": "BATO",
        "shares_per_contract": 100,
        "strike_price": contract.strike,
        "ticker": contract.ticker,
        "underlying_ticker": market.symbol,
    }


def _span(query: dict[str, str]) -> tuple[int, int]:
    """Returns the first and the last moment (µs) that ``timestamp``'s comparisons leave."""
    first, last = None, None
    for operator, shift in ((".gte", 0), (".gt", 1)):
        if (text := query.get(f"timestamp{operator}")) is not None:
            first = -(-_nanoseconds(text) // NANO) + shift
    for operator, shift in ((".lte", 0), (".lt", -1)):
        if (text := query.get(f"timestamp{operator}")) is not None:
            last = _nanoseconds(text) // NANO + (shift if _nanoseconds(text) % NANO == 0 else 0)
    if first is None or last is None:
        raise BadRequestError("only spans of 'timestamp' with both ends are simulated here")
    if last - first > LONGEST_SPAN_US:
        raise BadRequestError("only spans of up to a day are simulated here")
    return first, last


def _nanoseconds(text: str) -> int:
    if not text.isdigit():
        raise BadRequestError("'timestamp' takes nanoseconds here")
    return int(text)


def _quotes(market: Market, contract: str, first: int, last: int) -> Iterator[OptionQuote]:
    """Yields each quote that was made between two moments of the session, in order."""
    begin, end = max(first, market.session.open), min(last, market.session.close - 1)
    made_at = -1
    for step in range(-(-begin // QUOTE_STEP_US), end // QUOTE_STEP_US + 1):
        quote = market.quote(contract, step * QUOTE_STEP_US)
        if quote is None:
            return
        if quote.at != made_at and quote.at >= first:
            made_at = quote.at
            yield quote


def _quote_row(quote: OptionQuote) -> dict[str, Any]:
    """A quote as the vendor says it; an absent side has no fields."""
    row: dict[str, Any] = {"sequence_number": quote.sequence, "sip_timestamp": quote.at * NANO}
    if quote.bid:
        row |= {"bid_price": quote.bid, "bid_size": quote.bid_size, "bid_exchange": quote.bid_exchange}
    if quote.ask:
        row |= {"ask_price": quote.ask, "ask_size": quote.ask_size, "ask_exchange": quote.ask_exchange}
    return row
