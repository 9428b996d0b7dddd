"""The made market's option chain: same-day calls and puts on a fund whose price is known at any time.

Pure: every question takes the moment it is asked for, and its answer depends on the seed, the session and the
fund's price alone. Spreads of a cent or two, sizes, and what the vendor leaves out follow what the real chain shows.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import msgspec

from events import SECOND, STRIKE_UNIT, Session

QUOTE_STEP_US = SECOND // 4
"""Quotes near the money change at most this often."""

NANO = 1000
YEAR_US = 365 * 86_400 * SECOND
EVEN = 0.5


class OptionQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Bid and ask of one contract in dollars (0: that side is absent), sizes in contracts, ``at`` in µs of UTC."""

    contract: str
    at: int
    bid: float
    ask: float
    bid_size: int
    ask_size: int
    bid_exchange: int
    ask_exchange: int
    sequence: int


class Contract(msgspec.Struct, frozen=True):
    """A listed option: ``strike`` in dollars, ``call`` or put, ``number`` its place in the list."""

    ticker: str
    strike: float
    call: bool
    number: int


# --- Option prices -----------------------------------------------------------------------------------


class Greeks(msgspec.Struct, frozen=True):
    """Black–Scholes without rates: value in dollars, delta, gamma per dollar, theta per day, vega per IV point."""

    value: float
    delta: float
    gamma: float
    theta: float
    vega: float


def black_scholes(spot: float, strike: float, iv: float, years: float, *, call: bool) -> Greeks:
    """Price and greeks of a European option, rates and dividends left out. ``iv`` and ``years`` must be over 0."""
    spread = iv * math.sqrt(years)
    d1 = math.log(spot / strike) / spread + spread / 2
    density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
    above, exercised = _normal(d1), _normal(d1 - spread)
    value = spot * above - strike * exercised
    return Greeks(
        value=value if call else value - spot + strike,
        delta=above if call else above - 1,
        gamma=density / (spot * spread),
        theta=-spot * density * iv / (2 * math.sqrt(years)) / 365,
        vega=spot * density * math.sqrt(years) / 100,
    )


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


# --- The chain ---------------------------------------------------------------------------------------

BASE_IV = 0.40
SMILE_SLOPE = -1.2
SMILE_CURVE = 60.0
CHAIN_REACH = 0.08
FAR_REACH = 0.25
FAR_STEP = 5
FAR = 0.04
NEAR = 0.015
SHORTEST_YEARS = 60 * SECOND / YEAR_US
LONGEST_QUOTE_STEP = 28
"""In quote steps: the pace of far contracts, and how often a contract's pace is settled anew."""
MIDDLE_QUOTE_STEP = 4
CHEAP = 1.5
WIDE_SPREAD = 0.45
MASK = (1 << 64) - 1


class Options(ABC):
    """The options on ``symbol`` that end with the session. ``first`` is when the made day begins, µs."""

    def __init__(self, seed: int, session: Session, symbol: str, first: int) -> None:
        self.seed, self.session, self.symbol = seed, session, symbol
        self._first = first
        self._contracts = {contract.ticker: contract for contract in self._list_contracts()}

    @abstractmethod
    def spot(self, at: int) -> float:
        """The fund's price at ``at`` (µs), dollars."""

    @property
    def listed(self) -> tuple[Contract, ...]:
        """Every listed contract, in their order."""
        return tuple(self._contracts.values())

    def contracts(self) -> tuple[str, ...]:
        """Tickers of every listed contract, in their order."""
        return tuple(self._contracts)

    def strike(self, contract: str) -> float:
        """Strike of a listed contract, dollars. Raises KeyError for any other."""
        return self._contracts[contract].strike

    def quote(self, contract: str, at: int) -> OptionQuote | None:
        """The bid and ask of ``contract`` that stand at ``at`` (µs); None for a contract that is not listed."""
        listed = self._contracts.get(contract)
        return None if listed is None else self._quote(listed, at)

    def row(self, contract: str, at: int) -> dict[str, Any] | None:
        """The vendor's snapshot row of ``contract`` at ``at``; None for a contract that is not listed."""
        listed = self._contracts.get(contract)
        return None if listed is None else self.row_of(listed, at)

    def chain(self, at: int) -> list[dict[str, Any]]:
        """The vendor's snapshot rows of today's whole chain at ``at``, calls and puts, by ticker."""
        return [self.row_of(contract, at) for contract in self._contracts.values()]

    def row_of(self, contract: Contract, at: int) -> dict[str, Any]:
        """The vendor's snapshot row of a listed contract at ``at``."""
        spot, quote = self.spot(at), self._quote(contract, at)
        iv, greeks = self._greeks(contract, at)
        far = abs(contract.strike / spot - 1) > FAR
        mid = (quote.bid + quote.ask) / 2
        break_even = contract.strike + mid if contract.call else contract.strike - mid
        row: dict[str, Any] = {
            "break_even_price": round(break_even, 4),
            "day": self._day_part(contract, at, far),
            "details": {
                "contract_type": "call" if contract.call else "put",
                "exercise_style": "american",
                "expiration_date": self.session.date,
                "shares_per_contract": 100,
                "strike_price": int(contract.strike),
                "ticker": contract.ticker,
            },
            "greeks": {
                "delta": greeks.delta,
                "gamma": greeks.gamma,
                "theta": greeks.theta,
                "vega": greeks.vega,
            },
            "implied_volatility": iv,
            "last_quote": {
                "ask": quote.ask,
                "ask_exchange": quote.ask_exchange,
                "ask_size": quote.ask_size,
                "bid": quote.bid,
                "bid_exchange": quote.bid_exchange,
                "bid_size": quote.bid_size,
                "last_updated": quote.at * NANO,
                "midpoint": round(mid, 4),
                "timeframe": "REAL-TIME",
            },
            "last_trade": {},
            "open_interest": self._open_interest(contract),
            "underlying_asset": {
                "change_to_break_even": round(break_even - spot, 4),
                "last_updated": at * NANO,
                "price": round(spot, 2),
                "ticker": self.symbol,
                "timeframe": "REAL-TIME",
            },
        }
        if row["day"]:
            row["last_trade"] = {
                "conditions": [209],
                "exchange": quote.ask_exchange,
                "price": row["day"]["close"],
                "sip_timestamp": row["day"]["last_updated"],
                "size": 1 + contract.number % 9,
                "timeframe": "REAL-TIME",
            }
        if far:
            self._thin_out(row, contract)
        return row

    def _list_contracts(self) -> list[Contract]:
        centre = self.spot(self.session.open)
        low, high = math.floor(centre * (1 - CHAIN_REACH)), math.ceil(centre * (1 + CHAIN_REACH))
        far_low = math.floor(centre * (1 - FAR_REACH) / FAR_STEP) * FAR_STEP
        far_high = math.ceil(centre * (1 + FAR_REACH) / FAR_STEP) * FAR_STEP
        strikes = sorted({*range(low, high + 1), *range(far_low, far_high + 1, FAR_STEP)})
        day = self.session.date[2:].replace("-", "")
        named = (
            (f"O:{self.symbol}{day}{side}{strike * STRIKE_UNIT:08d}", float(strike), side == "C")
            for side in "CP"
            for strike in strikes
        )
        return [Contract(ticker, strike, call, number) for number, (ticker, strike, call) in enumerate(named)]

    def _chance(self, *keys: int) -> float:
        """A number in [0, 1) that depends on the seed and ``keys`` alone."""
        value = self.seed & MASK
        for key in keys:
            value = ((value ^ (key & MASK)) * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & MASK
            value ^= value >> 29
        value = (value * 0xBF58476D1CE4E5B9) & MASK
        return (value ^ (value >> 32)) / (MASK + 1)

    def _quoted_at(self, contract: Contract, at: int) -> int:
        """When the quote that stands at ``at`` was made. A contract's pace is settled at the slowest pace's edges."""
        settle = LONGEST_QUOTE_STEP * QUOTE_STEP_US
        distance = abs(contract.strike / self.spot(at // settle * settle) - 1)
        steps = LONGEST_QUOTE_STEP
        if distance < NEAR:
            steps = 1
        elif distance < FAR:
            steps = MIDDLE_QUOTE_STEP
        return at // (steps * QUOTE_STEP_US) * (steps * QUOTE_STEP_US)

    def _greeks(self, contract: Contract, at: int) -> tuple[float, Greeks]:
        """IV (a fraction per year) and greeks at ``at``."""
        spot = self.spot(at)
        skew = math.log(contract.strike / spot)
        own = 1 + 0.03 * (self._chance(1, contract.number) - 0.5)
        iv = BASE_IV * own * (1 + SMILE_SLOPE * skew + SMILE_CURVE * skew * skew)
        years = max(SHORTEST_YEARS, (self.session.close - at) / YEAR_US)
        return iv, black_scholes(spot, contract.strike, iv, years, call=contract.call)

    def _quote(self, contract: Contract, at: int) -> OptionQuote:
        at = self._quoted_at(contract, at)
        step = at // QUOTE_STEP_US
        cents = 100 * self._greeks(contract, at)[1].value
        noise = self._chance(2, contract.number, step) - 0.5
        width = 1 + (self._chance(3, contract.number, step // MIDDLE_QUOTE_STEP) < WIDE_SPREAD)
        width += int(0.6 * max(0.0, cents / 100 - CHEAP))
        bid = max(0, round(cents + 0.6 * noise - width / 2))
        size = [5 + int(56 * self._chance(side, contract.number, step)) for side in (4, 5)]
        venue = [300 + int(24 * self._chance(side, contract.number, step)) for side in (6, 7)]
        return OptionQuote(
            contract=contract.ticker,
            at=at,
            bid=bid / 100,
            ask=(bid + width) / 100,
            bid_size=size[0] if bid else 0,
            ask_size=size[1],
            bid_exchange=venue[0] if bid else 0,
            ask_exchange=venue[1],
            sequence=1_000_000 + (at - self._first) // QUOTE_STEP_US * 7 + contract.number % 7,
        )

    def _thin_out(self, row: dict[str, Any], contract: Contract) -> None:
        """Far from the money the vendor leaves things out: no greeks, empty ones, a null among them, no IV."""
        match contract.number % 4:
            case 0:
                row["greeks"] = {}
            case 1:
                del row["greeks"]
            case 2:
                row["greeks"]["vega"] = None
        if contract.number % 3 == 0:
            del row["implied_volatility"]

    def _day_part(self, contract: Contract, at: int, far: bool) -> dict[str, Any]:
        """The contract's day so far. Refreshed once a minute, as the vendor does; empty for what did not trade."""
        minute = at // (60 * SECOND) * 60 * SECOND
        if minute <= self.session.open or (far and self._chance(8, contract.number) < EVEN):
            return {}
        opening, latest = (self._greeks(contract, moment)[1].value for moment in (self.session.open, minute))
        first, last = round(max(0.01, opening), 2), round(max(0.01, latest), 2)
        traded = self._open_interest(contract) * (minute - self.session.open) / (3600 * SECOND)
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
            "volume": int(traded * (1 + self._chance(9, contract.number))) + 1,
            "vwap": round((first + last) / 2, 4),
        }

    def _open_interest(self, contract: Contract) -> int:
        distance = (contract.strike / self.spot(self.session.open) - 1) / 0.03
        near = 900 + 5200 * self._chance(10, contract.number)
        return int(near * math.exp(-distance * distance / 2) + 60 * self._chance(11, contract.number))
