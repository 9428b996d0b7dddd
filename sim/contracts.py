"""The simulated options that are listed, and a quote of one of them."""

from __future__ import annotations

import math

import msgspec

from events import STRIKE_UNIT, Session

CHAIN_REACH = 0.08
"""Every whole-dollar strike is listed within this share of the price at the open."""

FAR_REACH = 0.25
FAR_STEP = 5
"""Farther out, up to this share, strikes are this many dollars apart."""


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


def list_contracts(symbol: str, session: Session, centre: float) -> list[Contract]:
    """Lists the session's calls, then its puts, around ``centre`` (dollars), by strike."""
    low, high = math.floor(centre * (1 - CHAIN_REACH)), math.ceil(centre * (1 + CHAIN_REACH))
    far_low = math.floor(centre * (1 - FAR_REACH) / FAR_STEP) * FAR_STEP
    far_high = math.ceil(centre * (1 + FAR_REACH) / FAR_STEP) * FAR_STEP
    strikes = sorted({*range(low, high + 1), *range(far_low, far_high + 1, FAR_STEP)})
    day = session.date[2:].replace("-", "")
    named = (
        (f"O:{symbol}{day}{side}{strike * STRIKE_UNIT:08d}", float(strike), side == "C")
        for side in "CP"
        for strike in strikes
    )
    return [Contract(ticker, strike, call, number) for number, (ticker, strike, call) in enumerate(named)]
