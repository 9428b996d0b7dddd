"""The day's calls and the newest quote of each, from the polls and the stream. Pure.

A quote's age counts from its own time, never from its arrival: the vendor's cache may answer with yesterday's quote.
"""

from __future__ import annotations

import msgspec

from events import SECOND, ChainRow, HoldReason, Opened, Quote, QuoteSource
from option_pricing import is_dearer_than_any
from option_quotes import Price, is_live, is_standard, nearest, price_of
from risk_manager import Book, Mark
from rules import Rules
from sight import Sight
from signals import Signals


class Known(msgspec.Struct, frozen=True, gc=False):
    """A contract's newest quote: its own time and its arrival (µs), the quote, and whether the stream brought it."""

    at: int
    arrived: int
    quote: Quote | ChainRow
    is_streamed: bool


class Quotes:
    """One session's chain and quotes. Passes the held call's usable quotes on to its marks.

    ``close`` is the session's close (µs). ``holds`` is the engine's set of what holds entries at present: while it
    has `HoldReason.CLOCK_DOUBT`, ages are not measured by our clock.
    """

    def __init__(
        self, rules: Rules, *, close: int, book: Book, signals: Signals, feed: Sight, holds: set[HoldReason]
    ) -> None:
        self._rules = rules
        self._close = close
        self._book = book
        self._signals = signals
        self._feed = feed
        self._holds = holds
        self._ahead = round(rules.clock_doubt_seconds * SECOND)
        self._frozen = rules.quote_frozen_seconds * SECOND
        self.newest: dict[str, Known] = {}
        self.stands_still = False
        """Whether the last poll's quotes were delayed or old. Such a poll prices nothing."""
        self.chain: tuple[ChainRow, ...] = ()
        """Today's calls, as the last usable poll listed them."""
        self.chain_at: int | None = None
        """When the chain was last answered (µs); None before the first answer."""

    # --- What is known ---

    def ask_of(self, contract: str) -> int | None:
        """Returns the newest ask of a contract, None when it has none."""
        known = self.newest.get(contract)
        return known.quote.ask or None if known is not None else None

    def nearest(self, count: int) -> tuple[str, ...]:
        """Returns the symbol's ``count`` plain calls nearest the confirmed spot; none while there is no spot."""
        spot = self._signals.price
        if spot is None:
            return ()
        plain = (row for row in self.chain if is_standard(row, self._rules.symbol))
        return tuple(nearest(plain, spot, count))

    def live_calls(self, now: int) -> int:
        """Returns how many of the chain's calls have a real-time quote of the last `CHAIN_SKEW_SECONDS`.

        At 0 no call can be bought. A streamed quote's age counts from its own time. A polled one's counts from its
        arrival, and only while the polls' quotes move.
        """
        limit = self._rules.chain_skew_seconds * SECOND
        listed = (row.contract for row in self.chain if is_standard(row, self._rules.symbol))
        found = (self.newest[contract] for contract in listed if contract in self.newest)
        prices = (price_of(known.quote, known.at, known.arrived) for known in found)
        return sum(
            price.age(now) <= limit
            for price in prices
            if price.source is QuoteSource.STREAM or not self.stands_still
        )

    def prices(self) -> dict[str, Price]:
        """Returns the newest price of each contract."""
        return {
            contract: price_of(known.quote, known.at, known.arrived)
            for contract, known in self.newest.items()
        }

    def chain_age(self, now: int) -> int:
        """Returns the age of the last poll's answer (µs); ``now`` itself, older than any limit, before the first."""
        return now - self.chain_at if self.chain_at is not None else now

    # --- What comes ---

    def record(self, now: int, quote: Quote) -> None:
        """Records a quote.

        While no position is open, a streamed quote can only price the next entry, so it skips the checks of a mark:
        most facts of a day are such quotes.
        """
        known = self.newest.get(quote.contract)
        if (
            self._book.position is None
            and quote.source is QuoteSource.STREAM
            and quote.at <= now + self._ahead
            and (known is None or quote.at >= known.at)
        ):
            self.newest[quote.contract] = Known(quote.at, now, quote, True)
        else:
            self._weigh(now, quote.contract, quote.at, quote, quote.source is QuoteSource.POLL)

    def record_chain(self, now: int, rows: tuple[ChainRow, ...]) -> None:
        """Records a poll's answer: always its contracts, but its quotes and greeks only if they are current."""
        if self.chain and not rows:
            return  # a day's calls do not vanish: keep the last good answer, whose age tells how old it is
        at = self._quote_clock(now)
        self.stands_still = not is_live(self._rules, at, self._signals.price, rows)
        self.chain_at = now
        if self.stands_still:
            self.chain = tuple(msgspec.structs.replace(row, iv=None, delta=None) for row in rows)
            return
        self.chain = rows
        # One strike may rest while others move, but no longer than `CHAIN_MAX_SECONDS`.
        oldest = at - self._rules.chain_max_seconds * SECOND
        for row in rows:
            if row.real_time and row.quoted_at >= oldest:
                self._weigh(now, row.contract, row.quoted_at, row, True)

    def _quote_clock(self, now: int) -> int:
        """Returns the time (µs) that quotes' ages are measured at: ``now``; while our clock is doubted, the newest quote's."""
        if HoldReason.CLOCK_DOUBT not in self._holds or not self.newest:
            return now
        return min(now, max(known.at for known in self.newest.values()))

    def _weigh(self, now: int, contract: str, made_at: int, quote: Quote | ChainRow, is_poll: bool) -> None:
        """Keeps each contract's newest quote by its own time. A poll with the same bid and ask confirms the known one.

        Ignores a quote stamped ahead of ``now``. A quote older than `QUOTE_FROZEN_SECONDS` is no mark by itself: from
        the stream it is ignored, from a single contract's poll it can only confirm the known one. From a chain's row
        it may still price an entry, because other quotes of that answer move.
        """
        if made_at > now + self._ahead:
            return
        known = self.newest.get(contract)
        is_row, is_streamed = isinstance(quote, ChainRow), not is_poll
        confirms = (
            is_poll and known is not None and (quote.bid, quote.ask) == (known.quote.bid, known.quote.ask)
        )
        if known is not None and made_at < known.at and not confirms:
            return
        if known is not None and confirms and made_at <= known.at:
            made_at, is_streamed = known.at, known.is_streamed
        position = self._book.position
        is_held = position is not None and position.opened.contract == contract
        if position is not None and is_held and self._is_slip(now, position.opened, quote):
            return
        is_fresh = self._quote_clock(now) - made_at <= self._frozen
        if not is_fresh:
            is_mark = (
                is_held and confirms and self._stands(now, contract, made_at, is_streamed and not is_row)
            )
            if not is_mark and not is_row:
                return
        self.newest[contract] = Known(made_at, now, quote, is_streamed)
        if position is not None and is_held and (is_fresh or is_mark):
            position.apply_time(now)  # first settle the time until now: the old mark held during it
            position.marks.record(now, Mark(bid=quote.bid, ask=quote.ask, bid_size=quote.bid_size))

    def _is_slip(self, now: int, opened: Opened, quote: Quote | ChainRow) -> bool:
        """Returns whether the held call's quote is impossibly dear, such as a price in another unit.

        Such a quote would raise the peak, and the next good one would then sell. Returns False while the share price
        is unknown.
        """
        spot = self._signals.price
        if spot is None or self._feed.is_blind:
            return False
        mid = (quote.bid + quote.ask) // 2
        return is_dearer_than_any(mid, spot, opened.strike, self._close - now)

    def _stands(self, now: int, contract: str, made_at: int, by_socket: bool) -> bool:
        """Returns whether an old quote that a poll confirms still stands, going by the other contracts' quotes.

        It stands if the others are as old, or if it came over a socket (``by_socket``) that still delivers the others.
        It does not stand if only the others move, or if no polled quote moves at all.
        """
        others = [known for name, known in self.newest.items() if name != contract]
        newest = self._quote_clock(now) - self._frozen
        if by_socket and any(known.is_streamed and known.at >= newest for known in others):
            return True
        return not self.stands_still and all(known.at <= made_at + self._frozen for known in others)
