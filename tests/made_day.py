"""A made session as facts, and its record as the live program would write it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine import Engine
from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    STRIKE_UNIT,
    AlertKind,
    AlertOutcome,
    Bar,
    Chain,
    ChainRow,
    Closed,
    Covered,
    Decision,
    Event,
    FeedRestored,
    Opened,
    Outcome,
    Quote,
    Session,
    Tick,
)
from record.journal import Journal
from record.lines import Entry
from record.reader import Reader
from rules import Rules
from sim.episodes import Episode
from sim.market import Market
from tests.builders import SESSION

BEGIN_S = 2_130
"""Where the made session begins: a minute before the surge. What was before is backfilled."""

EPISODES = (
    Episode(0, 2_190, "calm"),
    Episode(2_190, 130, "surge"),
    Episode(2_320, 200, "fade"),
    Episode(2_520, 600, "calm"),
)
END_S = 2_440


# --- A made session ----------------------------------------------------------------------------------


@functools.cache
def market() -> Market:
    """The made day."""
    return Market(5, SESSION, episodes=EPISODES)


def units(dollars: float) -> int:
    """An option price in its units."""
    return round(dollars * OPTION_PRICE_UNIT)


def quote_of(contract: str, at: int) -> Quote:
    """The quote that stands at a time."""
    made = market().quote(contract, at)
    assert made is not None
    return Quote(
        contract=contract,
        at=made.at,
        bid=units(made.bid),
        ask=units(made.ask),
        bid_size=made.bid_size,
        ask_size=made.ask_size,
    )


def chain_at(at: int) -> Chain:
    """A poll of the calls within 2 % of spot."""
    spot = market().spot(at)
    rows: list[ChainRow] = []
    for contract in market().listed:
        if contract.call and abs(contract.strike / spot - 1) < 0.02:
            made = market().row_of(contract, at)
            quote = quote_of(contract.ticker, at)
            rows.append(
                ChainRow(
                    contract=contract.ticker,
                    strike=round(contract.strike * STRIKE_UNIT),
                    shares=100,
                    bid=quote.bid,
                    ask=quote.ask,
                    bid_size=quote.bid_size,
                    ask_size=quote.ask_size,
                    quoted_at=quote.at,
                    real_time=True,
                    iv=made["implied_volatility"],
                    delta=made["greeks"]["delta"],
                    open_interest=made["open_interest"],
                )
            )
    return Chain(rows=tuple(rows))


def bar_of(bar: Any, *, backfilled: bool = False) -> Bar:
    """A made bar as a fact."""
    names = ("symbol", "start", "open", "high", "low", "close", "volume", "vwap")
    return Bar(**{name: getattr(bar, name) for name in names}, backfilled=backfilled)


def world(known_s: int, begin_s: int, end_s: int) -> Iterator[tuple[int, Event]]:
    """What happens between two seconds after the open, in its order, and what is filled from ``known_s`` on."""
    known, begin, end = (SESSION.open + second * SECOND for second in (known_s, begin_s, end_s))
    yield begin, FeedRestored()
    for symbol in market().symbols:
        for bar in market().known_between(symbol, known, begin, begin):
            yield begin, bar_of(bar, backfilled=True)
        yield begin, Covered(symbol=symbol, start=SESSION.open, end=begin)
    coming = [(at, bar_of(bar)) for at, _, bar in market().schedule if begin < at < end]
    ticks: list[tuple[int, Event]] = [(at, Tick()) for at in range(begin + SECOND, end, SECOND)]
    chains = [(at, chain_at(at)) for at in range(begin + SECOND // 3, end, 5 * SECOND)]
    yield from sorted([*coming, *ticks, *chains], key=lambda item: item[0])


class Made:
    """A record that was made as the live program makes one, and what was decided."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path)
        self.decisions: list[Decision] = []
        self.engine: Engine | None = None

    def start(self, now: int, rules: Rules | None = None, session: Session = SESSION) -> None:
        """A start of the program: what was recorded is folded, then a header is written."""
        rules = rules or Rules()
        self.engine = Engine(rules, session)
        self.journal.close()  # a record has one writer
        self.journal = Journal(self.path)
        past = Reader(self.path) if self.path.exists() else None
        for entry in past or ():
            if isinstance(entry, Entry):
                self.engine.restore(entry.now, entry.event, entry.decisions)
        self.journal.begin(rules, session, now, past)

    def tell(self, now: int, event: Event) -> None:
        """A fact; an alert that it causes is accepted at once."""
        assert self.engine is not None
        made = self.engine.handle(now, event)
        self.journal.append(now, event, made)
        self.decisions += made
        for decision in made:
            if isinstance(decision, Opened | Closed):
                kind = AlertKind.BUY if isinstance(decision, Opened) else AlertKind.SELL
                outcome = AlertOutcome(kind=kind, id=decision.id, outcome=Outcome.ACCEPTED, attempts=1)
                self.tell(now, outcome)

    def go(self, known_s: int, begin_s: int, end_s: int) -> None:
        """A stretch of the made session. Quotes follow each tick."""
        assert self.engine is not None
        for now, event in world(known_s, begin_s, end_s):
            self.tell(now, event)
            if isinstance(event, Tick):
                held = self.engine.position
                nearest = self.engine.quotes.nearest(10)
                wanted = nearest if held is None else (*nearest, held.opened.contract)
                for contract in dict.fromkeys(wanted):
                    self.tell(now, quote_of(contract, now))
