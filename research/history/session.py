"""What is kept of a past session: its bars, its calls, and the quotes that were needed. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from events import SECOND, Bar, Session

BLOCK_US = 300 * SECOND
"""Quotes are kept by blocks of 5 minutes of one contract: a whole or nothing."""


class Call(msgspec.Struct, frozen=True):
    """A listed call as it stood on the day: ``strike`` in strike units, ``shares`` per contract."""

    contract: str
    strike: int
    shares: float


class QuoteRow(NamedTuple):
    """Bid and ask of a contract from ``at`` (µs of UTC) on. Prices are option prices, 0 where a side is absent."""

    at: int
    bid: int
    ask: int
    bid_size: float
    ask_size: float


class Block(NamedTuple):
    """Five minutes of one contract: the ``number`` of blocks since 1970."""

    contract: str
    number: int

    @property
    def start(self) -> int:
        """Returns where it begins, µs."""
        return self.number * BLOCK_US

    @property
    def end(self) -> int:
        """Returns where it ends, µs; that moment is the next block's."""
        return (self.number + 1) * BLOCK_US


def blocks(contract: str, start: int, end: int) -> list[Block]:
    """Returns the blocks of a contract that hold the moments from ``start`` to ``end`` (µs), both included."""
    return [Block(contract, number) for number in range(start // BLOCK_US, end // BLOCK_US + 1)]


class ContractQuotes:
    """The quotes of one contract, as far as its blocks are known."""

    def __init__(self, contract: str, rows: Sequence[QuoteRow], known: frozenset[int]) -> None:
        self.contract = contract
        self.rows = rows
        self.known = known
        """The numbers of its blocks that are complete."""
        self._times = [row.at for row in rows]

    def standing(self, at: int) -> QuoteRow | None:
        """Returns the quote that stood at ``at`` (µs); None where it is not known.

        Nothing is carried over a block that is not there: what happened in it is unknown.
        """
        number = at // BLOCK_US
        if number not in self.known:
            return None
        index = bisect_right(self._times, at) - 1
        if index < 0:
            return None
        row = self.rows[index]
        first = row.at // BLOCK_US
        return row if all(between in self.known for between in range(first, number)) else None


class PastSession(NamedTuple):
    """A session of the past, as it is known today."""

    symbol: str
    benchmark: str
    session: Session
    bars: Sequence[Bar]
    """Of symbol and benchmark, by start; final ones, each second at most once a symbol."""
    calls: Sequence[Call]
    quotes: Mapping[str, ContractQuotes]

    def has(self, block: Block) -> bool:
        """Returns whether a block of quotes is there."""
        found = self.quotes.get(block.contract)
        return found is not None and block.number in found.known


QUIET_US = 60 * SECOND
"""A block in which nothing is told of a contract for longer is not known."""


class Told:
    """When something was told of each contract: from that follows which of its blocks are known.

    A file of quotes does not say where it has holes. A call near the money changes several times a minute, so a minute
    without a word of it is taken for a hole: the blocks that it touches are not known. The open and the close count as
    told of, so that quotes which begin late or end early leave blocks unknown.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._last: dict[str, int] = {}
        self._silent: dict[str, set[int]] = {}

    def tell(self, contract: str, at: int) -> None:
        """Something was told of a contract at ``at`` (µs). Times ascend."""
        at = min(max(at, self._session.open), self._session.close)
        self._silent.setdefault(contract, set()).update(self._quiet(contract, at))
        self._last[contract] = at

    def known(self, contract: str) -> frozenset[int]:
        """Returns the numbers of a contract's blocks in the session that are known."""
        if contract not in self._last:
            return frozenset()
        session = self._session
        every = range(session.open // BLOCK_US, (session.close - 1) // BLOCK_US + 1)
        silent = self._silent[contract] | self._quiet(contract, session.close)
        return frozenset(every) - silent

    def _quiet(self, contract: str, at: int) -> set[int]:
        """Returns the blocks that the silence before ``at`` touches, if it is a long one."""
        before = self._last.get(contract, self._session.open)
        if at - before <= QUIET_US:
            return set()
        return set(range(before // BLOCK_US, (at - 1) // BLOCK_US + 1))
