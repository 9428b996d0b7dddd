"""The simulated vendor's option chain over REST: filters, sort, pages, and rows that faults make untrue."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from events import SECOND
from sim.account import MarketAccount
from sim.broken import bad_rows
from sim.chain_rows import NANO
from sim.contracts import Contract
from sim.faults import happens
from sim.paging import next_url, read_cursor, read_limit, write_cursor
from sim.rest_answers import BadRequestError, RestAnswers

LIMIT, LIMIT_MAX = 10, 250


class ChainEndpoints:
    """The snapshots of the whole chain and of one contract."""

    def __init__(self, account: MarketAccount, answers: RestAnswers) -> None:
        self._account, self._market, self._faults = account, account.market, account.faults
        self._answers = answers

    async def chain(self, request: web.Request) -> web.Response:
        """``/v3/snapshot/options/{underlying}``: filters, sort, pages with an opaque cursor."""
        if not self._account.plan.chain:
            return self._answers.not_entitled()
        query = dict(request.query)
        offset = 0
        if "cursor" in query:
            query = read_cursor(query["cursor"])
            offset = int(query.pop("offset"))
        limit = read_limit(query, LIMIT, LIMIT_MAX)
        found: list[Contract] = []
        if request.match_info["underlying"] == self._market.symbol:
            listed = [each for each in self._market.listed if not self._is_gone(each.ticker)]
            found = select(listed, self._market.session.date, query)
        body: dict[str, Any] = {"results": self._page(request.path, found[offset : offset + limit])}
        if offset + limit < len(found):
            cursor = write_cursor({**query, "offset": str(offset + limit)})
            body["next_url"] = next_url(self._account, request, f"{request.path}?cursor={cursor}")
        return self._answers.json(body)

    async def contract(self, request: web.Request) -> web.Response:
        """``/v3/snapshot/options/{underlying}/{contract}``: one row as an object."""
        if not self._account.plan.chain:
            return self._answers.not_entitled()
        name = request.match_info["contract"]
        known = request.match_info["underlying"] == self._market.symbol and not self._is_gone(name)
        row = self._market.row(name, self._account.clock.now()) if known else None
        if row is None:
            return self._answers.not_found("Options contract not found.")
        return self._answers.json({"results": self._entitle(row)})

    def _is_gone(self, contract: str) -> bool:
        """Whether a fault has taken a contract out of the chain."""
        return self._faults.take("contract_gone", contract=contract) is not None

    def _page(self, path: str, contracts: Iterable[Contract]) -> list[Any]:
        """The rows of the contracts, with adjusted and broken ones among them if faults ask for it."""
        at = self._account.clock.now()
        page: list[Any] = [self._entitle(self._market.row_of(contract, at)) for contract in contracts]
        if fault := self._faults.take("adjusted_root"):
            page = [
                each for row in page for each in (_adjusted(row, self._market.symbol, fault["root"]), row)
            ]
        if page and (fault := self._faults.take("bad_page", path=path)):
            broken = bad_rows(page[0], nan=fault["nan"])
            page = [*broken, page[0], *broken, *page[1:]]
        return page

    def _entitle(self, row: dict[str, Any]) -> dict[str, Any]:
        """Returns the row as the plan shows it."""
        if self._faults.take("no_quotes"):
            del row["last_quote"]
        elif self._faults.take("delayed_quotes"):
            row["last_quote"]["timeframe"] = "DELAYED"
            row["underlying_asset"]["timeframe"] = "DELAYED"
        self._twist(row)
        return row

    def _twist(self, row: dict[str, Any]) -> None:
        """Makes the row untrue, as the faults ask for it."""
        take, quote = self._faults.take, row.get("last_quote")
        if quote is not None and (fault := take("frozen_quotes")):
            quote["last_updated"] -= int(fault["by"] * SECOND) * NANO
        if quote is not None and (fault := take("absurd_quotes")):
            quote |= {side: round(quote[side] * fault["factor"], 4) for side in ("bid", "ask")}
        if quote is not None and (fault := self._faults.find("zero_bids")):
            strike = int(row["details"]["strike_price"])
            if happens(fault["share"], strike, quote["last_updated"]):
                self._faults.use(fault)
                quote |= {"bid": 0, "bid_size": 0}
        if "greeks" in row and take("zero_greeks"):
            row["greeks"] = dict.fromkeys(("delta", "gamma", "theta", "vega"), 0)
        if "greeks" in row and (fault := take("absurd_delta")):
            row["greeks"] = {**row["greeks"], "delta": fault["delta"]}


def _adjusted(row: dict[str, Any], symbol: str, root: str) -> dict[str, Any]:
    """The row of the adjusted contract beside a plain one: it looks the same, and delivers something else."""
    ticker = row["details"]["ticker"].replace(f"O:{symbol}", f"O:{root}", 1)
    return {**row, "details": {**row["details"], "ticker": ticker}}


# --- Filters and sort --------------------------------------------------------------------------------

Compare = Callable[[Any, Any], bool]

COMPARE: dict[str, Compare] = {
    "": lambda have, want: have == want,
    ".gte": lambda have, want: have >= want,
    ".gt": lambda have, want: have > want,
    ".lte": lambda have, want: have <= want,
    ".lt": lambda have, want: have < want,
}
"""What may follow a filter's name, and what it means."""


def select(listed: Iterable[Contract], expiry: str, query: dict[str, str]) -> list[Contract]:
    """The contracts that pass the filters, sorted. Ignores names that the vendor does not know, as the vendor does."""
    name = query.get("sort", "ticker")
    if name not in ("ticker", "strike_price", "expiration_date"):
        raise BadRequestError("'sort' takes ticker, expiration_date or strike_price")
    limits = [
        (compare, query.get(f"expiration_date{operator}"), query.get(f"strike_price{operator}"))
        for operator, compare in COMPARE.items()
    ]
    found = [
        contract
        for contract in listed
        if query.get("contract_type") in (None, "call" if contract.call else "put")
        and _is_within(contract, expiry, limits)
    ]
    by_strike = name == "strike_price"
    return sorted(
        found,
        key=lambda contract: (contract.strike if by_strike else 0.0, contract.ticker),
        reverse=query.get("order") == "desc",
    )


def _is_within(contract: Contract, expiry: str, limits: list[tuple[Compare, str | None, str | None]]) -> bool:
    """Whether a contract's expiry and strike are within the limits, each a comparison with a day and a strike."""
    for compare, day, strike in limits:
        if day is not None and not compare(expiry, day):
            return False
        if strike is not None and not compare(contract.strike, _number(strike)):
            return False
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadRequestError("'strike_price' takes a number") from None
