"""The live program's own record as a session of the history: it is kept whole, and backtests play its own facts.

What other questions need is taken from it besides: the final bars, the calls, and the quotes that the program saw.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec

import utils
from events import Bar, Chain, Covered, Event, Quote, Session
from record.lines import Entry, Header
from record.reader import Reader
from research.history.requests import KEPT_EVERY_US
from research.history.session import Call, ContractQuotes, PastSession, QuoteRow, Told
from research.history.store import HistoryError
from review.derive import Survey, survey
from utils import plural_s


class Recorded(NamedTuple):
    """A session as its record shows it."""

    past: PastSession
    is_simulated: bool
    faults: tuple[str, ...]


def read_record(path: Path, now: int) -> Recorded:
    """Reads a record whole. ``now`` is the time, µs.

    Raises HistoryError for one that is no whole session of one symbol, Unusable if it cannot be read, Damage for any fault
    except a torn end.
    """
    found = survey(path)
    first = found.headers[0][1]
    symbol, benchmark = _symbols(path, found)
    if utils.session_on(date.fromisoformat(first.session.date)) != first.session:
        raise HistoryError(f"{path}: the exchange had other hours on {first.session.date} than it says")
    if now < first.session.close:
        raise HistoryError(f"{path}: its session is not over yet")
    taken = _Taken(path, first.session)
    for line in Reader(path):
        if isinstance(line, Entry):
            taken.take(line.now, line.event)
    past = PastSession(
        symbol, benchmark, first.session, taken.bars((symbol, benchmark)), taken.calls(), taken.quotes()
    )
    is_simulated = any(header.simulated for _, header in found.headers)
    return Recorded(past, is_simulated, _faults(found))


def _symbols(path: Path, found: Survey) -> tuple[str, str]:
    """Returns the record's symbol and benchmark. Raises HistoryError if it has several."""
    pairs = {_pair(header) for _, header in found.headers}
    if len(pairs) > 1:
        names = " and ".join(sorted(" beside ".join(filter(None, pair)) for pair in pairs))
        raise HistoryError(f"{path}: SYMBOL or BENCHMARK was changed in this session ({names})")
    return pairs.pop()


def _pair(header: Header) -> tuple[str, str]:
    return str(header.rules.get("symbol", "")), str(header.rules.get("benchmark", ""))


def _faults(found: Survey) -> tuple[str, ...]:
    told: list[str] = []
    if len(found.headers) > 1:
        told.append(f"the program was started {len(found.headers)} times")
    if found.torn:
        told.append(f"{found.torn} byte{plural_s(found.torn)} at its end are torn off")
    return tuple(told)


class _Taken:
    """What a record's facts show of the market."""

    def __init__(self, path: Path, session: Session) -> None:
        self._path = path
        self._session = session
        self._bars: dict[tuple[int, str], Bar] = {}
        self._calls: dict[str, Call] = {}
        self._rows: dict[str, dict[int, QuoteRow]] = {}
        self._told = Told(session)

    def take(self, now: int, event: Event) -> None:
        """Takes what a fact shows. Raises HistoryError for one that only a backtest's record has."""
        match event:
            case Bar() if self._session.open <= event.start < self._session.close:
                self._bars[event.start, event.symbol] = event  # the last print of each second
            case Quote():
                row = QuoteRow(event.at, event.bid, event.ask, event.bid_size, event.ask_size)
                self._take_quote(event.contract, now, row)
            case Chain():
                for each in event.rows:
                    self._calls[each.contract] = Call(each.contract, each.strike, each.shares)
                    if each.quoted_at:
                        row = QuoteRow(each.quoted_at, each.bid, each.ask, each.bid_size, each.ask_size)
                        self._take_quote(each.contract, now, row)
            case Covered() if now < self._session.open and event.end >= self._session.close:
                raise HistoryError(
                    f"{self._path}: was written by backtest --record, and not by the live program"
                )
            case _:
                pass

    def _take_quote(self, contract: str, now: int, row: QuoteRow) -> None:
        self._told.tell(contract, now)
        if self._session.open <= row.at < self._session.close:
            rows = self._rows.setdefault(contract, {})
            before = rows.get(row.at // KEPT_EVERY_US)
            if before is None or row.at >= before.at:
                rows[row.at // KEPT_EVERY_US] = row

    def bars(self, symbols: tuple[str, str]) -> list[Bar]:
        """Returns the final bars of the symbols, by start."""
        kept = (self._bars[key] for key in sorted(self._bars) if key[1] in symbols)
        return [msgspec.structs.replace(bar, backfilled=False) for bar in kept]

    def calls(self) -> list[Call]:
        """Returns every call that stood in a chain, by strike."""
        return sorted(self._calls.values(), key=lambda call: (call.strike, call.contract))

    def quotes(self) -> dict[str, ContractQuotes]:
        """Returns the quotes that the program saw, as far as its blocks are known."""
        return {
            name: ContractQuotes(name, sorted(rows.values()), self._told.known(name))
            for name, rows in self._rows.items()
        }
