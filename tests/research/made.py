"""A short made session of the past, as it would be fetched, and the blocks of its quotes."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import date

import msgspec

import utils
from benchmarks.made_record import bar_of
from events import OPTION_PRICE_UNIT, STRIKE_UNIT, Bar, Session
from research.history.fetch import counts_of
from research.history.session import Block, Call, PastSession, QuoteRow
from research.history.store import Origin, Source, with_blocks
from research.history.tape import STEP_US, play
from rules import Rules
from sim.market import Market

DAY = date(2025, 7, 3)
"""A half day: it closes at 13:00."""

SEED = 11


def session(day: date = DAY) -> Session:
    """The hours of a date."""
    found = utils.session_on(day)
    assert found is not None
    return found


@functools.cache
def market(day: date = DAY) -> Market:
    """The market of the day, made once a process: nothing changes it."""
    return Market(SEED, session(day))


def final_bars(made: Market) -> list[Bar]:
    """The final bars of the session's hours."""
    found: list[Bar] = []
    for symbol in made.symbols:
        for print_ in made.bars(symbol):
            last = made.final(symbol, print_.start)
            if last is not None and print_.start >= made.session.open:
                found.append(bar_of(last))
    return sorted(found, key=lambda bar: (bar.start, bar.symbol))


def quotes_of(made: Market, block: Block) -> list[QuoteRow]:
    """A block's quotes as the vendor has them, the newest of each quarter of a second."""
    rows: list[QuoteRow] = []
    for at in range(max(block.start, made.session.open), min(block.end, made.session.close), STEP_US):
        quote = made.quote(block.contract, at)
        if quote is not None and quote.at >= block.start and (not rows or quote.at != rows[-1].at):
            bid, ask = (round(price * OPTION_PRICE_UNIT) for price in (quote.bid, quote.ask))
            rows.append(QuoteRow(quote.at, bid, ask, float(quote.bid_size), float(quote.ask_size)))
    return rows


def source_of(past: PastSession, **changes: object) -> Source:
    """Where the session comes from, as if it had been fetched."""
    made = Source(
        symbol="IWM",
        benchmark="SPY",
        date=past.session.date,
        kind=Origin.VENDOR,
        origin="http://127.0.0.1",
        counts=counts_of(past),
    )
    return msgspec.structs.replace(made, **changes)


def bare() -> PastSession:
    """The session without quotes."""
    made = market()
    calls = [Call(item.ticker, round(item.strike * STRIKE_UNIT), 100.0) for item in made.listed if item.call]
    return PastSession(made.symbol, made.benchmark, made.session, final_bars(made), calls, {})


def added(past: PastSession, blocks: Iterable[Block]) -> PastSession:
    """The session with more blocks of quotes."""
    return with_blocks(past, [(block, quotes_of(market(), block)) for block in blocks])


@functools.cache
def whole(rules: Rules | None = None) -> PastSession:
    """The session with every quote that the rules look at."""
    past = bare()
    while missing := play(past, rules or Rules()).missing:
        past = added(past, missing)
    return past
