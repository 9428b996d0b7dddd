"""Which quote of a contract stood at a moment, by the quotes that arrived until then. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from events import SECOND, Chain, ChainRow, Event, Quote, QuoteSource

OLDEST_S = 15
"""A quote that was neither seen nor confirmed for longer is missing. An unchanged one is confirmed by the chain.
A quote, or a chain's newest, that is older by its own time when it comes is of another time, and prices nothing."""


class Sighting(NamedTuple):
    """A quote as it stood when it was ``seen`` (µs); ``at`` is its own time. Prices are 0 where a side is absent."""

    seen: int
    at: int
    bid: int
    ask: int


def is_current(now: int, chain: Chain) -> bool:
    """Returns whether a chain that was handled at ``now`` (µs) has real-time quotes of now, and not of another time."""
    newest = max((row.quoted_at for row in chain.rows if row.real_time), default=0)
    return now - newest <= OLDEST_S * SECOND


class ContractQuotes:
    """The quotes of one contract, in the order in which they arrived."""

    def __init__(self) -> None:
        self._seen: list[Sighting] = []

    def record(self, now: int, quote: Quote) -> None:
        """Records a quote that was handled at ``now`` (µs)."""
        is_poll = quote.source is QuoteSource.POLL
        # A poll with the prices of the last quote confirms it, however old its own time is.
        confirms = is_poll and bool(self._seen) and (quote.bid, quote.ask) == self._seen[-1][2:]
        if now - quote.at <= OLDEST_S * SECOND or confirms:
            self._put(Sighting(now, quote.at, quote.bid, quote.ask), is_poll)

    def record_row(self, now: int, row: ChainRow) -> None:
        """Records a row of a current chain that was handled at ``now`` (µs). Delayed and unquoted rows price nothing."""
        if row.real_time and row.quoted_at:
            self._put(Sighting(now, row.quoted_at, row.bid, row.ask), True)

    def begin(self, sighting: Sighting) -> None:
        """Begins with a quote that is known already."""
        self._seen.append(sighting)

    def _put(self, sighting: Sighting, is_poll: bool) -> None:
        """Keeps a quote unless a newer one is known. A poll of an older time with the same prices confirms that one."""
        if self._seen and sighting.at < self._seen[-1].at:
            if not is_poll or sighting[2:] != self._seen[-1][2:]:
                return
            sighting = sighting._replace(at=self._seen[-1].at)
        self._seen.append(sighting)

    def standing(self, at: int) -> Sighting | None:
        """Returns the quote that stood at ``at`` (µs); None if none was seen shortly before."""
        index = bisect_right(self._seen, at, key=lambda sighting: sighting.seen)
        if index == 0 or at - self._seen[index - 1].seen > OLDEST_S * SECOND:
            return None
        return self._seen[index - 1]

    def keep_newest(self) -> None:
        """Forgets every quote but the newest."""
        del self._seen[:-1]


class QuoteHistory:
    """Every quote that was recorded, by contract."""

    def __init__(self) -> None:
        self._by_contract: dict[str, ContractQuotes] = {}

    def record(self, now: int, event: Event) -> None:
        """Records the quotes of a fact that was handled at ``now`` (µs). Facts come in the order of time."""
        match event:
            case Quote():
                self.of(event.contract).record(now, event)
            case Chain() if is_current(now, event):
                for row in event.rows:
                    self.of(row.contract).record_row(now, row)
            case _:
                pass

    def of(self, contract: str) -> ContractQuotes:
        """Returns the quotes of one contract."""
        return self._by_contract.setdefault(contract, ContractQuotes())

    def standing(self, contract: str, at: int) -> Sighting | None:
        """Returns the quote that stood at ``at`` (µs); None where none was seen shortly before."""
        return self.of(contract).standing(at)
