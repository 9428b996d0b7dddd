"""A whole session's record, made by the engine and the journal's own writer: ``python -m benchmarks.made_record PATH``.

The facts are those that the worker takes on a day with a quote stream: bars and corrections, a tick each second, ten
contracts' quotes once a second where they have changed, the chain every five seconds, and the outcome of each push.
"""

from __future__ import annotations

import heapq
import json
import sys
from collections.abc import Iterator
from datetime import date
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
from sim.bars import SimBar
from sim.episodes import Episode
from sim.market import Market
from utils import session_on

DAY = date(2025, 10, 2)
SEED = 5
EARLY_S, LATE_S = 300, 30
NANO = 1000
CHAIN_EVERY_S = 5
DIGITS = 6
PUSH_US = 300_000
"""How long a push takes."""

SURGES_S = (4_290, 9_000, 14_400, 18_600)
"""When it climbs and then falls, so that there are positions in the record."""


def session() -> Session:
    """The made day's hours."""
    found = session_on(DAY)
    assert found is not None, "the exchange is open on that day"
    return found


def episodes() -> tuple[Episode, ...]:
    """The day's stories: calm, a climb, a fall, calm."""
    return tuple(
        episode
        for start in SURGES_S
        for episode in (
            Episode(start - 1_890, 1_890, "calm"),
            Episode(start, 130, "surge"),
            Episode(start + 130, 300, "fade"),
            Episode(start + 430, 600, "calm"),
        )
    )


def market() -> Market:
    """The made market of the day."""
    return Market(SEED, session(), episodes=episodes())


def bar_of(bar: SimBar) -> Bar:
    """A printed bar as a fact."""
    return Bar(
        symbol=bar.symbol,
        start=bar.start,
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        vwap=bar.vwap,
    )


def _units(dollars: float) -> int:
    return round(dollars * OPTION_PRICE_UNIT)


def chain_of(made: Market, now: int, rules: Rules) -> Chain:
    """The calls near spot, as they stand after reading and checking."""
    spot = made.spot(now)
    near = rules.chain_spot_percent / 100
    rows = [
        chain_row(made.row_of(contract, now))
        for contract in made.listed
        if contract.call and abs(contract.strike / spot - 1) <= near
    ]
    return Chain(rows=tuple(rows))


def chain_row(row: dict[str, Any]) -> ChainRow:
    """A vendor's row as a fact."""
    details, quote = row["details"], row["last_quote"]
    iv, delta = row.get("implied_volatility"), row.get("greeks", {}).get("delta")
    return ChainRow(
        contract=details["ticker"],
        strike=round(details["strike_price"] * STRIKE_UNIT),
        shares=float(details["shares_per_contract"]),
        bid=_units(quote["bid"]),
        ask=_units(quote["ask"]),
        bid_size=float(quote["bid_size"]),
        ask_size=float(quote["ask_size"]),
        quoted_at=quote["last_updated"] // NANO,
        real_time=True,
        iv=None if iv is None else round(iv, DIGITS),
        delta=None if delta is None else round(delta, DIGITS),
        open_interest=float(row["open_interest"]),
    )


class Scribe:
    """Plays the made day to an engine and writes what the worker would have written."""

    def __init__(self, path: Path, made: Market) -> None:
        self._market = made
        self._session = made.session
        self._rules = Rules()
        self.engine = Engine(self._rules, self._session)
        self._journal = Journal(path)
        self._quoted: dict[str, tuple[float, float, int, int]] = {}
        self._outcomes: list[tuple[int, int, AlertOutcome]] = []
        self._now = 0
        self.facts = 0

    def write(self, until: int | None = None) -> None:
        """The day up to ``until`` (µs; None: the whole). Raises OSError when the record could not be written."""
        begin = self._session.open - EARLY_S * SECOND
        self._journal.begin(self._rules, self._session, begin, simulated=True)
        self._take(begin, FeedRestored())
        for symbol in self._rules.symbols:
            self._take(begin, Covered(symbol=symbol, start=begin, end=self._session.open))
        for now, event in heapq.merge(self._bars(), self._ticks(), key=lambda item: item[0]):
            if until is not None and now >= until:
                break
            self._tell(now)
            self._take(now, event)
            if isinstance(event, Tick) and self._session.open <= now < self._session.close:
                for fact in self._options(now):
                    self._take(now, fact)
        if self._journal.fault is not None:
            raise OSError(self._journal.fault)
        self._journal.close()

    def _bars(self) -> Iterator[tuple[int, Event]]:
        begin = self._session.open - EARLY_S * SECOND
        for at, _, bar in self._market.schedule:
            if at >= begin:
                yield at + (bar.start // SECOND * 7_919) % 90_000, bar_of(bar)  # up to 0.09 s on the way

    def _ticks(self) -> Iterator[tuple[int, Event]]:
        end = self._session.close + LATE_S * SECOND
        for now in range(self._session.open - EARLY_S * SECOND, end, SECOND):
            yield now, Tick()

    def _options(self, now: int) -> Iterator[Event]:
        if (now - self._session.open) // SECOND % CHAIN_EVERY_S == 0:
            yield chain_of(self._market, now, self._rules)
        for contract in self.engine.quotes.nearest(self._rules.stream_contracts):
            quote = self._market.quote(contract, now)
            assert quote is not None, "the chain has it"
            shown = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
            if self._quoted.get(contract) != shown:
                self._quoted[contract] = shown
                yield Quote(
                    contract=contract,
                    at=quote.at,
                    bid=_units(quote.bid),
                    ask=_units(quote.ask),
                    bid_size=float(quote.bid_size),
                    ask_size=float(quote.ask_size),
                )

    def _tell(self, now: int) -> None:
        """Outcomes of pushes that have been accepted by ``now``."""
        while self._outcomes and self._outcomes[0][0] <= now:
            at, _, outcome = heapq.heappop(self._outcomes)
            self._take(at, outcome)

    def _take(self, now: int, event: Event) -> None:
        now = self._now = max(now, self._now)
        decisions = self.engine.handle(now, event)
        self._journal.append(now, event, decisions)
        self.facts += 1
        for decision in decisions:
            if isinstance(decision, Opened | Closed):
                kind = AlertKind.BUY if isinstance(decision, Opened) else AlertKind.SELL
                outcome = AlertOutcome(kind=kind, id=decision.id, outcome=Outcome.ACCEPTED, attempts=1)
                heapq.heappush(self._outcomes, (now + PUSH_US, self.facts, outcome))


def cut(whole: Path, part: Path, until: int) -> int:
    """Write what a record held at ``until`` (µs): its lines before. Returns how many facts they are."""
    lines = whole.read_bytes().splitlines(keepends=True)
    kept = facts = 0
    for line in Reader(whole):
        if isinstance(line, Entry):
            if line.now >= until:
                break
            facts = line.number
        kept += 1
    part.write_bytes(b"".join(lines[:kept]))
    return facts


def main() -> None:
    """Write the record, and say what is in it."""
    path = Path(sys.argv[1])
    scribe = Scribe(path, market())
    scribe.write()
    print(
        json.dumps(
            {
                "facts": scribe.facts,
                "bytes": path.stat().st_size,
                "entries": scribe.engine.book.entries,
                "evaluations": scribe.engine.evaluations,
            }
        )
    )


if __name__ == "__main__":
    main()
