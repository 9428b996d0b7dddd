"""The simulated vendor's second aggregates over REST: what the sockets have sent, as it is known a little later."""

from __future__ import annotations

import functools
from datetime import date
from typing import Any

from aiohttp import web

import utils
from events import SECOND
from sim.account import MarketAccount
from sim.archive import Archive
from sim.bars import HOLD_US, MILLI, SimBar
from sim.broken import bad_bars
from sim.episodes import PRE_MARKET_S
from sim.paging import next_url, read_cursor, read_limit, write_cursor
from sim.rest_answers import BadRequestError, RestAnswers
from sim.wire import dumps

LAG_US = 3 * SECOND
"""REST knows a second this long after its end."""

LIMIT, LIMIT_MAX = 5_000, 50_000

LONGEST_DAYS = 10
SETTLED_US = 3_600 * SECOND
"""Corrections come up to 15 minutes late."""


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


@functools.lru_cache(maxsize=LIMIT_MAX)
def aggregate_text(bar: SimBar) -> str:
    """The JSON of that row. Kept, because every client that starts asks for the same seconds."""
    return dumps(aggregate_row(bar))


class SecondsEndpoint:
    """The second aggregates of a symbol."""

    def __init__(self, account: MarketAccount, answers: RestAnswers, archive: Archive) -> None:
        self._account, self._market, self._faults = account, account.market, account.faults
        self._answers, self._archive = answers, archive

    async def aggregates(self, request: web.Request) -> web.Response:
        """``/v2/aggs/ticker/{T}/range/1/second/{from}/{to}``: seconds as known about 3 s ago."""
        if not self._account.plan.aggregates:
            return self._answers.not_entitled()
        part = request.match_info
        if (part["size"], part["span"]) != ("1", "second"):
            raise BadRequestError("only 1 second aggregates are simulated here")
        query = {name: value for name, value in request.query.items() if name != "apiKey"}
        if "cursor" in query:
            query = read_cursor(query["cursor"])
        limit = read_limit(query, LIMIT, LIMIT_MAX)
        bars = self._bars(part["ticker"], part["begin"], part["end"])
        if is_backwards := query.get("sort") == "desc":
            bars.reverse()
        rows = self._rows(request, bars[:limit])
        body = self._body(request, query, min(len(bars), limit))
        if len(bars) > limit:
            edge = bars[limit].start // MILLI
            span = (part["begin"], edge) if is_backwards else (edge, part["end"])
            path = f"/v2/aggs/ticker/{part['ticker']}/range/1/second/{span[0]}/{span[1]}"
            body["next_url"] = next_url(self._account, request, f"{path}?cursor={write_cursor(query)}")
        return self._answers.json(body, rows=rows)

    def _bars(self, symbol: str, begin: str, end: str) -> list[SimBar]:
        """The bars from ``begin`` to ``end`` that are known by now."""
        session = self._market.session
        first = _moment(begin, session.open - PRE_MARKET_S * SECOND, session.date)
        last = _moment(end, session.close, session.date)
        known_at = self._account.clock.now() - LAG_US
        if fault := self._faults.take("aggregates_lag"):
            known_at -= int(fault["by"] * SECOND)
        if (fault := self._faults.find("one_silent", symbol=symbol)) and not fault["rest"]:
            last = min(last, fault.asked_at - HOLD_US - SECOND - 1)  # only what had been sent before
        if last < session.open - PRE_MARKET_S * SECOND:
            return self._past_bars(symbol, first, last)
        known = self._market.known_between(symbol, first, last, known_at)
        return [
            bar
            for bar in map(functools.partial(self._corrected, known_at), known)
            if not self._is_halted(bar)
        ]

    def _corrected(self, known_at: int, bar: SimBar) -> SimBar:
        """The bar as a fault has corrected it by then."""
        correction = self._account.corrected.get((bar.symbol, bar.start))
        return bar if correction is None or correction.at > known_at else correction.bar

    def _is_halted(self, bar: SimBar) -> bool:
        """Whether nothing traded in the bar's second after all."""
        return any(fault.covers(bar.start) for fault in self._account.halts)

    def _past_bars(self, symbol: str, first: int, last: int) -> list[SimBar]:
        """The final bars of sessions before the account's own, of at most `LONGEST_DAYS` days."""
        begin, end = utils.new_york(first).date(), utils.new_york(last).date()
        if (end - begin).days > LONGEST_DAYS:
            raise BadRequestError(f"only {LONGEST_DAYS} days of the past are simulated in one answer")
        markets = self._archive.between(begin, end)
        return [
            bar
            for market in markets
            for bar in market.known_between(symbol, first, last, market.session.close + SETTLED_US)
        ]

    def _rows(self, request: web.Request, bars: list[SimBar]) -> list[str]:
        """The rows of the bars as JSON, with broken ones among them if a fault asks for it."""
        rows = [aggregate_text(bar) for bar in bars]
        if rows and (fault := self._faults.take("bad_page", path=request.path)):
            broken = [dumps(row) for row in bad_bars(aggregate_row(bars[0]), nan=fault["nan"])]
            rows = [*broken, rows[0], *broken, *rows[1:]]
        return rows

    def _body(self, request: web.Request, query: dict[str, str], count: int) -> dict[str, Any]:
        """The answer's body without a next page, for so many good rows; its ``results`` are still empty."""
        body: dict[str, Any] = {
            "ticker": request.match_info["ticker"],
            "adjusted": query.get("adjusted", "true") == "true",
            "queryCount": count,
            "resultsCount": count,
        }
        if count:
            body["results"] = []
        return body


def _moment(text: str, edge: int, session_date: str) -> int:
    """The µs of a time in milliseconds or of a date, whose ``edge`` is given for the session's own date."""
    if text.isdigit():
        return int(text) * MILLI
    try:
        days = (date.fromisoformat(text) - date.fromisoformat(session_date)).days
    except ValueError:
        raise BadRequestError("'from' and 'to' take milliseconds or YYYY-MM-DD") from None
    return edge + days * 86_400 * SECOND
