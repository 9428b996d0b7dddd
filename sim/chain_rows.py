"""A simulated contract as the vendor's snapshot shows it: the JSON row, with what the vendor leaves out far from the money."""

from __future__ import annotations

import functools
import math
from typing import Any

from events import SECOND, Session
from sim.contracts import Contract, OptionQuote
from sim.pricing import Greeks
from sim.quoter import FAR, KEPT, Quoter

Row = dict[str, Any]

NANO = 1000
"""Nanoseconds in a µs: the row's timestamps are in nanoseconds."""

UNTRADED_SHARE = 0.5
"""Share of far contracts without a trade today."""


class ChainRows:
    """Makes snapshot rows of the session's contracts on ``symbol``."""

    def __init__(self, quoter: Quoter, session: Session, symbol: str) -> None:
        self._quoter, self._session, self._symbol = quoter, session, symbol
        self._day_until = functools.lru_cache(KEPT)(self._make_day)
        self._open_interest = functools.cache(self._make_open_interest)

    def row(self, contract: Contract, at: int) -> Row:
        """The vendor's snapshot row of a contract at ``at`` (µs)."""
        spot, quote = self._quoter.spot(at), self._quoter.quote(contract, at)
        iv, greeks = self._quoter.greeks(contract, at)
        far = abs(contract.strike / spot - 1) > FAR
        mid = (quote.bid + quote.ask) / 2
        break_even = contract.strike + mid if contract.call else contract.strike - mid
        day = self._day_part(contract, at, far)
        row: Row = {
            "break_even_price": round(break_even, 4),
            "day": day,
            "details": self._details(contract),
            "greeks": _greeks_part(greeks),
            "implied_volatility": iv,
            "last_quote": _quote_part(quote, mid),
            "last_trade": _trade_part(contract, quote, day) if day else {},
            "open_interest": self._open_interest(contract),
            "underlying_asset": {
                "change_to_break_even": round(break_even - spot, 4),
                "last_updated": at * NANO,
                "price": round(spot, 2),
                "ticker": self._symbol,
                "timeframe": "REAL-TIME",
            },
        }
        if far:
            _thin_out(row, contract)
        return row

    def _details(self, contract: Contract) -> Row:
        return {
            "contract_type": "call" if contract.call else "put",
            "exercise_style": "american",
            "expiration_date": self._session.date,
            "shares_per_contract": 100,
            "strike_price": int(contract.strike),
            "ticker": contract.ticker,
        }

    def _day_part(self, contract: Contract, at: int, far: bool) -> Row:
        """The contract's day so far. Refreshed once a minute, as the vendor does; empty for what did not trade."""
        return dict(self._day_until(contract, at // (60 * SECOND) * 60 * SECOND, far))

    def _make_day(self, contract: Contract, minute: int, far: bool) -> Row:
        begin = self._session.open
        if minute <= begin or (far and self._quoter.chance(8, contract.number) < UNTRADED_SHARE):
            return {}
        opening, latest = (self._quoter.greeks(contract, moment)[1].value for moment in (begin, minute))
        first, last = round(max(0.01, opening), 2), round(max(0.01, latest), 2)
        traded = self._open_interest(contract) * (minute - begin) / (3600 * SECOND)
        before = round(first * 1.1, 2)
        return {
            "change": round(last - before, 2),
            "change_percent": round(100 * (last / before - 1), 2),
            "close": last,
            "high": max(first, last),
            "last_updated": minute * NANO,
            "low": min(first, last),
            "open": first,
            "previous_close": before,
            "volume": int(traded * (1 + self._quoter.chance(9, contract.number))) + 1,
            "vwap": round((first + last) / 2, 4),
        }

    def _make_open_interest(self, contract: Contract) -> int:
        distance = (contract.strike / self._quoter.spot(self._session.open) - 1) / 0.03
        near = 900 + 5200 * self._quoter.chance(10, contract.number)
        return int(near * math.exp(-distance * distance / 2) + 60 * self._quoter.chance(11, contract.number))


def _greeks_part(greeks: Greeks) -> Row:
    return {
        "delta": greeks.delta,
        "gamma": greeks.gamma,
        "theta": greeks.theta,
        "vega": greeks.vega,
    }


def _quote_part(quote: OptionQuote, mid: float) -> Row:
    return {
        "ask": quote.ask,
        "ask_exchange": quote.ask_exchange,
        "ask_size": quote.ask_size,
        "bid": quote.bid,
        "bid_exchange": quote.bid_exchange,
        "bid_size": quote.bid_size,
        "last_updated": quote.at * NANO,
        "midpoint": round(mid, 4),
        "timeframe": "REAL-TIME",
    }


def _trade_part(contract: Contract, quote: OptionQuote, day: Row) -> Row:
    return {
        "conditions": [209],
        "exchange": quote.ask_exchange,
        "price": day["close"],
        "sip_timestamp": day["last_updated"],
        "size": 1 + contract.number % 9,
        "timeframe": "REAL-TIME",
    }


def _thin_out(row: Row, contract: Contract) -> None:
    """Leaves out what the vendor does far from the money: no greeks, empty ones, a null among them, no IV."""
    match contract.number % 4:
        case 0:
            row["greeks"] = {}
        case 1:
            del row["greeks"]
        case 2:
            row["greeks"]["vega"] = None
    if contract.number % 3 == 0:
        del row["implied_volatility"]
