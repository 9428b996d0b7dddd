"""The positions of a session as their alerts told them, and the table of what following them late comes to."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from config import Following
from events import OPTION_PRICE_UNIT, Closed, Decision, Event, Opened, Withdrawn
from followed import DELAYS_S, SHARES, Fate, FollowedTrades, Result, Results
from quote_history import OLDEST_S, QuoteHistory, Sighting
from utils import option_price, signed_percent

CELL = 19
MISSING = "—"


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
    """Returns the change from ``base`` in percent; None where either is missing."""
    return None if value is None or not base else (value - base) / base * 100


class Trades:
    """The positions of a session, in their order. ``following`` says at which delay and fee a day is told."""

    def __init__(self, following: Following | None = None) -> None:
        self.following = Following() if following is None else following
        self.quotes = QuoteHistory()
        delays = sorted({*DELAYS_S, self.following.follow_delay_seconds})
        self._followed = FollowedTrades(delays, self.following.fee_per_contract)
        self._by_id: dict[str, Trade] = {}

    def record(self, now: int, event: Event, decisions: Iterable[Decision]) -> None:
        """Records a fact that was handled at ``now`` (µs) and what it caused. Facts come in the order of time."""
        made = tuple(decisions)
        self.quotes.record(now, event)
        self._followed.record(now, event, made)
        for decision in made:
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

    def followed(self, delay_s: int | None = None) -> Results:
        """Returns what following the pushes ``delay_s`` seconds late comes to; without it, at the owner's own delay."""
        return self._followed.results(self.following.follow_delay_seconds if delay_s is None else delay_s)


def table(trades: Trades) -> list[str]:
    """Returns every trade that was told, at each delay, as lines of text; nothing without one."""
    if not trades.told:
        return []
    columns = [trades.followed(delay) for delay in DELAYS_S]
    rows = zip(*(column.every for column in columns), strict=True)
    fee = trades.following.fee_per_contract
    lines = [
        "Followed by hand, in at the ask and out at the bid, so many seconds after each push "
        f"(percent less ${fee:.2f} a side):",
        "  " + "".join([" " * 9, *(f"{f'{delay} s':<{CELL}}" for delay in DELAYS_S)]).rstrip(),
        *("  " + f"#{row[0].opened.id:<8}" + "".join(map(_cell, row)).rstrip() for row in rows),
        "  " + f"{'mean':<9}" + "".join(map(_mean, columns)).rstrip(),
    ]
    every = [result for column in columns for result in column.every]
    if any(result.fate is Fate.OVER_LIMIT for result in every):
        lines.append("  * above what the BUY said to pay at most: not taken, and not in the mean")
    if any(result.paid is None or result.got is None for result in every):
        lines.append(
            f"  {MISSING} no quote was recorded in the {OLDEST_S} s before (or the position is still open)"
        )
    return lines


def _cell(result: Result) -> str:
    is_over = result.fate is Fate.OVER_LIMIT
    paid = MISSING if result.paid is None else _price(result.paid) + "*" * is_over
    got = MISSING if result.got is None else _price(result.got)
    percent = "" if result.percent is None else f" {signed_percent(result.percent)}"
    return f"{f'{paid}→{got}{percent}':<{CELL}}"


def _price(value: int) -> str:
    return option_price(value).removeprefix("$")


def _mean(column: Results) -> str:
    mean, count = column.mean_percent, len(column.taken)
    return f"{MISSING if mean is None else f'{signed_percent(mean)} (n {count})':<{CELL}}"


def dollars(trade: Trade) -> float | None:
    """Returns what one contract made in dollars at the pushes' own ask and bid; None where a price is missing."""
    if trade.closed is None or trade.closed.bid is None:
        return None
    return (trade.closed.bid - trade.opened.ask) * SHARES / OPTION_PRICE_UNIT
