"""What a trader would have got: entry at the ask and exit at the bid, some seconds after each push.

Prices are those that the record holds, from the quote stream and the chain. A price that was not recorded is said
to be missing; it is never guessed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    Chain,
    Closed,
    Decision,
    Event,
    Opened,
    Quote,
    QuoteSource,
    Withdrawn,
)
from utils import option_price, signed_percent

DELAYS_S = (0, 5, 15, 30, 60)
"""Seconds from a push's decision to the order of a trader who follows it."""

OLDEST_S = 15
"""A quote that was neither seen nor confirmed for longer is missing. An unchanged one is confirmed by the chain.
A quote, or a chain's newest, that is older by its own time when it comes is of another time, and prices nothing."""

SHARES = 100
CELL = 19
MISSING = "—"


class Sighting(NamedTuple):
    """A quote as it stood when it was ``seen`` (µs); ``at`` is its own time. Prices are 0 where a side is absent."""

    seen: int
    at: int
    bid: int
    ask: int


class QuoteHistory:
    """Every quote that was recorded, by contract."""

    def __init__(self) -> None:
        self._seen: dict[str, list[Sighting]] = {}

    def record(self, now: int, event: Event) -> None:
        """Take in the quotes of a fact that was handled at ``now`` (µs); facts come in the order of time."""
        match event:
            case Quote():
                is_poll = event.source is QuoteSource.POLL
                sighting = Sighting(now, event.at, event.bid, event.ask)
                if now - event.at <= OLDEST_S * SECOND or (
                    is_poll and self._is_known(event.contract, sighting)
                ):
                    self._put(event.contract, sighting, is_poll)
            case Chain():
                rows = [row for row in event.rows if row.real_time and row.quoted_at]
                newest = max((row.quoted_at for row in rows), default=0)
                if now - newest > OLDEST_S * SECOND:
                    return  # the answer is of another time, whenever it came
                for row in rows:
                    self._put(row.contract, Sighting(now, row.quoted_at, row.bid, row.ask), True)
            case _:
                pass

    def _is_known(self, contract: str, sighting: Sighting) -> bool:
        """Whether a quote says the same as the last one seen: then it confirms that one, however old its own time is."""
        seen = self._seen.get(contract)
        return seen is not None and (sighting.bid, sighting.ask) == (seen[-1].bid, seen[-1].ask)

    def _put(self, contract: str, sighting: Sighting, is_poll: bool) -> None:
        """Keep the newest by the quote's own time; a poll that says the same of an older time confirms it."""
        seen = self._seen.setdefault(contract, [])
        if seen and sighting.at < seen[-1].at:
            if not is_poll or sighting[2:] != seen[-1][2:]:
                return
            sighting = sighting._replace(at=seen[-1].at)
        seen.append(sighting)

    def standing(self, contract: str, at: int) -> Sighting | None:
        """The quote that stood at ``at`` (µs); None where none was seen shortly before."""
        seen = self._seen.get(contract, [])
        index = bisect_right(seen, at, key=lambda sighting: sighting.seen)
        if index == 0 or at - seen[index - 1].seen > OLDEST_S * SECOND:
            return None
        return seen[index - 1]


class Trade(msgspec.Struct, kw_only=True):
    """One position, from its BUY to its SELL. Times are µs of UTC.

    ``bought`` and ``sold`` are the quotes that stood when it was opened and closed.
    """

    opened_at: int
    opened: Opened
    bought: Sighting | None
    closed_at: int | None = None
    closed: Closed | None = None
    sold: Sighting | None = None
    is_withdrawn: bool = False

    @property
    def told_percent(self) -> float | None:
        """The result as the SELL tells it: the mark against the entry price of the BUY."""
        return None if self.closed is None else change_percent(self.closed.mark, self.closed.entry)

    @property
    def mid_percent(self) -> float | None:
        """From the mid at the BUY to the mid at the SELL."""
        return None if self.closed is None else change_percent(self.closed.mark, self.opened.mid)

    @property
    def crossed_percent(self) -> float | None:
        """In at the ask of the BUY, out at the bid of the SELL."""
        return None if self.closed is None else change_percent(self.closed.bid, self.opened.ask)


def change_percent(value: int | None, base: int | None) -> float | None:
    """The change from ``base`` in percent; None where either is missing."""
    return None if value is None or not base else (value - base) / base * 100


class Trades:
    """The positions of a session, in their order."""

    def __init__(self) -> None:
        self.quotes = QuoteHistory()
        self._by_id: dict[str, Trade] = {}

    def record(self, now: int, event: Event, decisions: Iterable[Decision]) -> None:
        """Take in a fact that was handled at ``now`` (µs) and what it caused; facts come in the order of time."""
        self.quotes.record(now, event)
        for decision in decisions:
            match decision:
                case Opened():
                    quote = self.quotes.standing(decision.contract, now)
                    self._by_id[decision.id] = Trade(opened_at=now, opened=decision, bought=quote)
                case Closed():
                    trade = self._by_id[decision.id]
                    trade.closed_at, trade.closed = now, decision
                    trade.sold = self.quotes.standing(decision.contract, now)
                case Withdrawn():
                    self._by_id[decision.id].is_withdrawn = True
                case _:
                    pass

    @property
    def all(self) -> list[Trade]:
        """Every position, the withdrawn ones too."""
        return list(self._by_id.values())

    @property
    def told(self) -> list[Trade]:
        """The positions that a trader was told of."""
        return [trade for trade in self.all if not trade.is_withdrawn]


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """A trade followed ``delay_s`` seconds late: the ask paid and the bid got, None where missing.

    ``is_over_limit``: the ask was above what the BUY said to pay at most.
    """

    delay_s: int
    paid: int | None
    got: int | None
    is_over_limit: bool

    @property
    def percent(self) -> float | None:
        """The result in percent of what was paid; None where either price is missing."""
        return change_percent(self.got, self.paid)


def fills(trade: Trade, quotes: QuoteHistory) -> list[Fill]:
    """The trade at each of the delays."""
    contract, limit = trade.opened.contract, trade.opened.pay_limit
    found: list[Fill] = []
    for delay_s in DELAYS_S:
        delay = delay_s * SECOND
        bought, sold = trade.bought, trade.sold
        if delay:
            bought = quotes.standing(contract, trade.opened_at + delay)
            sold = None if trade.closed_at is None else quotes.standing(contract, trade.closed_at + delay)
        paid = None if bought is None else bought.ask or None
        found.append(
            Fill(
                delay_s=delay_s,
                paid=paid,
                got=None if sold is None else sold.bid,
                is_over_limit=paid is not None and paid > limit,
            )
        )
    return found


def table(book: Trades) -> list[str]:
    """The fills of every trade that was told, as lines of text; nothing without one."""
    if not book.told:
        return []
    rows = [(trade, fills(trade, book.quotes)) for trade in book.told]
    every = [fill for _, found in rows for fill in found]
    lines = [
        "Followed by hand, entry at the ask and exit at the bid, so many seconds after each push:",
        "  " + "".join([" " * 9, *(f"{f'{delay} s':<{CELL}}" for delay in DELAYS_S)]).rstrip(),
        *("  " + f"#{trade.opened.id:<8}" + "".join(map(_cell, found)).rstrip() for trade, found in rows),
        "  " + f"{'mean':<9}" + "".join(_mean(every, delay) for delay in DELAYS_S).rstrip(),
    ]
    if any(fill.is_over_limit for fill in every):
        lines.append("  * above what the BUY said to pay at most")
    if any(fill.paid is None or fill.got is None for fill in every):
        lines.append(
            f"  {MISSING} no quote was recorded in the {OLDEST_S} s before (or the position is still open)"
        )
    return lines


def _cell(fill: Fill) -> str:
    paid = MISSING if fill.paid is None else _price(fill.paid) + "*" * fill.is_over_limit
    got = MISSING if fill.got is None else _price(fill.got)
    result = "" if fill.percent is None else f" {signed_percent(fill.percent)}"
    return f"{f'{paid}→{got}{result}':<{CELL}}"


def _price(value: int) -> str:
    return option_price(value).removeprefix("$")


def _mean(every: Iterable[Fill], delay_s: int) -> str:
    known = [fill.percent for fill in every if fill.delay_s == delay_s and fill.percent is not None]
    return f"{signed_percent(sum(known) / len(known)) if known else MISSING:<{CELL}}"


def dollars(trade: Trade) -> float | None:
    """What one contract made in dollars, in at the ask and out at the bid; None where a price is missing."""
    if trade.closed is None or trade.closed.bid is None:
        return None
    return (trade.closed.bid - trade.opened.ask) * SHARES / OPTION_PRICE_UNIT
