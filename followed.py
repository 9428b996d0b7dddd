"""What following each push by hand would have brought: in at the ask and out at the bid, some seconds after each push.

Pure: facts and decisions go in, in the order of time. The worker's evening push and every review use this one
calculation, so they agree to the cent. Prices are quotes that arrived; a price without one is missing, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    AlertKind,
    AlertOutcome,
    Chain,
    Closed,
    Decision,
    Event,
    Opened,
    Outcome,
    Quote,
    Withdrawn,
)
from quote_history import ContractQuotes, Sighting, is_current
from utils import plural_s, session_at, signed_percent

DELAYS_S = (0, 5, 15, 30, 60)
"""Seconds from a push to the order of a trader who follows it; 0 is the moment of the decision, at its own prices."""

SHARES = 100
"""Shares per contract (the Options Clearing Corporation's standard; other contracts are no candidates)."""

SIDES = 2
"""A followed trade pays the fee of a contract twice: to open and to close it."""


def trade_dollars(paid: int, got: int, fee: float) -> float:
    """Returns what one contract brings in dollars, bought and sold at option prices, at ``fee`` dollars a side."""
    return (got - paid) * SHARES / OPTION_PRICE_UNIT - SIDES * fee


class Fate(StrEnum):
    """What becomes of a trade that is followed by hand."""

    TAKEN = "taken"
    """Bought and sold."""
    OVER_LIMIT = "not taken"
    """The ask had passed the BUY's own "Pay ≤"."""
    UNPRICED = "no quote"
    """No quote was recorded shortly before the moment of one of the orders."""
    UNTOLD = "SELL never arrived"
    OPEN = "still open"
    """Not sold yet, or the moment of an order is still to come in the session."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One trade, followed ``delay_s`` seconds after each push. ``paid`` and ``got`` are option prices of one contract.

    ``fee`` is in dollars for one contract and one side. Times are µs of UTC.
    """

    opened_at: int
    opened: Opened
    closed_at: int | None
    closed: Closed | None
    delay_s: int
    fate: Fate
    paid: int | None
    got: int | None
    fee: float

    @property
    def dollars(self) -> float | None:
        """The result of one contract in dollars, fees included; None unless it was taken."""
        if self.fate is not Fate.TAKEN or self.paid is None or self.got is None:
            return None
        return trade_dollars(self.paid, self.got, self.fee)

    @property
    def percent(self) -> float | None:
        """The result in percent of what was paid, fees included; None unless it was taken."""
        if self.dollars is None or not self.paid:
            return None
        return self.dollars / (self.paid * SHARES / OPTION_PRICE_UNIT) * 100


class Results(msgspec.Struct, frozen=True):
    """The results of several trades at one delay."""

    delay_s: int
    every: tuple[Result, ...]

    def of(self, fate: Fate) -> list[Result]:
        """Returns the trades that came to ``fate``."""
        return [result for result in self.every if result.fate is fate]

    @property
    def taken(self) -> list[float]:
        """The result of each trade that was taken, in dollars of one contract."""
        return [result.dollars for result in self.every if result.dollars is not None]

    @property
    def up(self) -> int:
        """How many did not lose; the SELL's green begins at zero, too."""
        return sum(value >= 0 for value in self.taken)

    @property
    def down(self) -> int:
        """How many lost."""
        return len(self.taken) - self.up

    @property
    def dollars(self) -> float:
        """The sum in dollars, one contract each."""
        return sum(self.taken)

    @property
    def mean_percent(self) -> float | None:
        """The mean result in percent of what was paid; None if none was taken."""
        known = [result.percent for result in self.every if result.percent is not None]
        return sum(known) / len(known) if known else None


class _Position:
    """A position that was announced, with the quotes that its orders still need."""

    def __init__(self, now: int, opened: Opened) -> None:
        self.opened_at, self.opened = now, opened
        self._close = session_at(opened.time_stop).close
        """After the close no quote comes: a moment that has not come by then is without one."""
        self.closed_at: int | None = None
        self.closed: Closed | None = None
        self.buy_told_at: int | None = None
        """When the BUY was accepted by the push service, or may have arrived, µs."""
        self.sell_told_at: int | None = None
        self.is_sell_refused = False
        self.quotes = ContractQuotes()
        self.quotes.begin(Sighting(now, 0, opened.bid, opened.ask))
        self._asks: dict[int, int | None] | None = None
        self._bids: dict[int, int | None] | None = None
        """The prices at each delay, in seconds, once they are known for good."""

    def close(self, now: int, closed: Closed) -> None:
        """Records the SELL."""
        self.closed_at, self.closed = now, closed

    def told(self, now: int, outcome: AlertOutcome) -> None:
        """Records what became of the BUY's or the SELL's push."""
        if outcome.outcome not in (Outcome.ACCEPTED, Outcome.LOST):
            is_refused = outcome.outcome in (Outcome.REFUSED, Outcome.UNSENT)
            self.is_sell_refused |= is_refused and outcome.kind is AlertKind.SELL
            return
        # A lost answer says nothing about the moment: the push may have been there at once.
        is_accepted = outcome.outcome is Outcome.ACCEPTED
        if outcome.kind is AlertKind.BUY and self.buy_told_at is None:
            self.buy_told_at = now if is_accepted else self.opened_at
        elif outcome.kind is AlertKind.SELL and self.closed_at is not None and self.sell_told_at is None:
            self.sell_told_at = now if is_accepted else self.closed_at

    @property
    def is_waiting(self) -> bool:
        """Whether a price is still wanted."""
        return self._asks is None or self._bids is None

    def settle(self, now: int, delays_s: Sequence[int]) -> None:
        """Fixes the prices of orders whose moments have passed, and forgets quotes that nobody asks for any more."""
        longest = max(delays_s) * SECOND
        if self._asks is None and self.buy_told_at is not None and now > self.buy_told_at + longest:
            self._asks = {delay: self._ask(delay) for delay in delays_s}
        if self._bids is None and self.sell_told_at is not None and now > self._sells_at(max(delays_s)):
            self._bids = {delay: self._bid(delay) for delay in delays_s}
        if self._asks is not None and (self.closed is None or self._bids is not None):
            self.quotes.keep_newest()

    def _ask(self, delay_s: int) -> int | None:
        """Returns the ask of an order to buy; None without one. At 0 s it is the BUY's own."""
        if self._asks is not None and delay_s in self._asks:
            return self._asks[delay_s]
        if not delay_s:
            return self.opened.ask or None
        quote = self.quotes.standing(self._buys_at(delay_s))
        return None if quote is None else quote.ask or None

    def _bid(self, delay_s: int) -> int | None:
        """Returns the bid of an order to sell, 0 where nobody bids; None without a quote. At 0 s it is the SELL's own."""
        if self._bids is not None and delay_s in self._bids:
            return self._bids[delay_s]
        if self.closed is None:
            return None
        if not delay_s:
            return self.closed.bid
        quote = self.quotes.standing(self._sells_at(delay_s))
        return None if quote is None else quote.bid

    def _buys_at(self, delay_s: int) -> int:
        return (self.opened_at if self.buy_told_at is None else self.buy_told_at) + delay_s * SECOND

    def _sells_at(self, delay_s: int) -> int:
        """Returns the moment of the order to sell, µs; of a position that is open, one that never comes."""
        if self.closed_at is None:
            return self.opened.time_stop + delay_s * SECOND
        told_at = self.closed_at if self.sell_told_at is None else self.sell_told_at
        # Nobody sells before he has bought: the SELL may arrive first, if the BUY's answer took long.
        return max(told_at + delay_s * SECOND, self._buys_at(delay_s))

    def result(self, now: int, delay_s: int, fee: float) -> Result:
        """Returns what following ``delay_s`` seconds later comes to, as known at ``now`` (µs)."""
        # A moment that has not come yet has no price, though a quote may stand now.
        buys, sells = now >= self._buys_at(delay_s), now >= self._sells_at(delay_s)
        paid = self._ask(delay_s) if buys or not delay_s else None
        got = self._bid(delay_s) if sells or not delay_s else None
        return Result(
            opened_at=self.opened_at,
            opened=self.opened,
            closed_at=self.closed_at,
            closed=self.closed,
            delay_s=delay_s,
            fate=self._fate(now, delay_s, paid, got),
            paid=paid,
            got=got,
            fee=fee,
        )

    def _fate(self, now: int, delay_s: int, paid: int | None, got: int | None) -> Fate:
        if delay_s and now < self._buys_at(delay_s):
            return Fate.OPEN
        if paid is not None and paid > self.opened.pay_limit:
            return Fate.OVER_LIMIT
        if self.closed is None:
            return Fate.OPEN
        if self.is_sell_refused and self.sell_told_at is None:
            return Fate.UNTOLD
        if delay_s and now < min(self._sells_at(delay_s), self._close):
            return Fate.OPEN
        return Fate.UNPRICED if paid is None or got is None else Fate.TAKEN


class FollowedTrades:
    """The positions of a session that were announced, and what following their pushes comes to.

    ``delays_s`` are the delays of interest in seconds; 0 is the moment of the decision, at its own prices. ``fee`` is in
    dollars for one contract and one side.
    """

    def __init__(self, delays_s: Sequence[int], fee: float) -> None:
        self.delays_s = tuple(delays_s)
        self._fee = fee
        self._by_id: dict[str, _Position] = {}
        self._waiting: list[_Position] = []
        """Those that still lack the price of an order."""
        self._wanted: frozenset[str] = frozenset()
        """Their contracts."""
        self._now = 0
        self.is_waiting = False
        """Whether quotes matter at present. While it is false, facts that are mere quotes need not be recorded."""

    def record(self, now: int, event: Event, decisions: Iterable[Decision]) -> None:
        """Records a fact that was handled at ``now`` (µs) and what it caused. Facts come in the order of time."""
        self._now = now
        if self._waiting:
            if isinstance(event, Quote | Chain):
                self.record_quotes(now, event)
            else:
                self._settle(now, event)
        for decision in decisions:
            match decision:
                case Opened():
                    self._by_id[decision.id] = _Position(now, decision)
                case Closed() if decision.id in self._by_id:
                    self._by_id[decision.id].close(now, decision)
                case Withdrawn():
                    self._by_id.pop(decision.id, None)
                case _:
                    continue
            self._find_waiting()

    def record_quotes(self, now: int, event: Quote | Chain) -> None:
        """Records quotes that caused no decision: nearly every one is of a contract that nobody holds."""
        if isinstance(event, Quote):
            if event.contract in self._wanted:
                for position in self._waiting:
                    if position.opened.contract == event.contract:
                        position.quotes.record(now, event)
        elif self._waiting and is_current(now, event):
            for row in event.rows:
                if row.contract in self._wanted:
                    for position in self._waiting:
                        if position.opened.contract == row.contract:
                            position.quotes.record_row(now, row)

    def _settle(self, now: int, event: Event) -> None:
        for position in self._waiting:
            position.settle(now, self.delays_s)
        if isinstance(event, AlertOutcome) and event.kind in (AlertKind.BUY, AlertKind.SELL):
            found = self._by_id.get(event.id)
            if found is not None:
                found.told(now, event)
        self._find_waiting()

    def _find_waiting(self) -> None:
        self._waiting = [position for position in self._by_id.values() if position.is_waiting]
        self._wanted = frozenset(position.opened.contract for position in self._waiting)
        self.is_waiting = bool(self._waiting)

    def results(self, delay_s: int) -> Results:
        """Returns the result of every position that was announced, in their order."""
        every = self._by_id.values()
        return Results(delay_s, tuple(position.result(self._now, delay_s, self._fee) for position in every))

    def result(self, name: str, delay_s: int) -> Result | None:
        """Returns the result of the position with the id ``name``; None if it was withdrawn or never announced."""
        position = self._by_id.get(name)
        return None if position is None else position.result(self._now, delay_s, self._fee)


# --- In words ----------------------------------------------------------------------------------------


def dollars_text(value: float, digits: int = 2) -> str:
    """Returns an amount of dollars with its sign: ``+$5.70``, ``−$31`` without digits."""
    return f"{'−' if round(value, digits) < 0 else '+'}${abs(value):,.{digits}f}"


def headline(results: Results, at_once: Results) -> str:
    """Returns a day in one line: what a hand could have got, then the same at the moments of the decisions.

    ``9 trades, 4 up, 5 down, −$31 at 15 s (+$12 at 0 s); 1 BUY not taken, its ask was above Pay ≤``
    """
    count = len(results.taken)
    parts = [f"{count} trade{plural_s(count)}" if results.every else "No trade"]
    if count:
        parts += [f"{results.up} up", f"{results.down} down"]
        parts += [f"{dollars_text(results.dollars, 0)} at {results.delay_s} s"]
    text = ", ".join(parts)
    if at_once.taken and results.delay_s:
        number = len(at_once.taken)
        other = "" if number == count else f", {number} trade{plural_s(number)}"
        text += f" ({dollars_text(at_once.dollars, 0)} at 0 s{other})"
    return "; ".join([text, *_left_out(results)])


def acted_text(results: Results, at_once: Results) -> str:
    """Returns the same in words that need no explanation, as part of a sentence.

    ``acting 15 s after each push: 2 trades, 1 up, 1 down, −$7 after fees (at the pushes' own prices, 0 s: +$3)``
    """
    count, delay = len(results.taken), results.delay_s
    text = f"acting {delay} s after each push: " if delay else "acting at the pushes' own prices (0 s): "
    left_out = _left_out(results)
    if count:
        text += f"{count} trade{plural_s(count)}, {results.up} up, {results.down} down, {dollars_text(results.dollars, 0)} after fees"
    elif len({result.fate for result in results.every}) == 1:
        text, left_out = f"{text}no trade, because {NOT_TAKEN[results.every[0].fate]}", []
    else:
        text += "no trade"
    if delay and (number := len(at_once.taken)):
        whose = "push's" if len(at_once.every) == 1 else "pushes'"
        other = (
            "" if number == count else f" from {number} trade{plural_s(number)}" if count else " after fees"
        )
        text += f" (at the {whose} own prices, 0 s: {dollars_text(at_once.dollars, 0)}{other})"
    return "; ".join([text, *left_out])


NOT_TAKEN = {
    Fate.OVER_LIMIT: "the ask was above Pay ≤ by then",
    Fate.UNPRICED: "no quote was recorded at that moment",
    Fate.UNTOLD: "the SELL never arrived",
    Fate.OPEN: "it is not over yet",
}
"""Why nothing was taken, if one thing kept every trade from it."""


def fate_text(result: Result) -> str:
    """Returns one trade's result in words: ``+$5.70 (+12.4%) at 15 s``, or why there is none."""
    if result.dollars is None:
        return (
            result.fate if result.fate is not Fate.OVER_LIMIT else f"{result.fate}, the ask was above Pay ≤"
        )
    percent = "" if result.percent is None else f" ({signed_percent(result.percent)})"
    return f"{dollars_text(result.dollars)}{percent} at {result.delay_s} s"


def _left_out(results: Results) -> list[str]:
    """Returns why trades are missing from the sum, a phrase for each reason."""
    over, unpriced = len(results.of(Fate.OVER_LIMIT)), len(results.of(Fate.UNPRICED))
    untold, still_open = len(results.of(Fate.UNTOLD)), len(results.of(Fate.OPEN))
    phrases = [
        (over, f"{over} BUY{plural_s(over)} not taken, the ask was above Pay ≤"),
        (unpriced, f"{unpriced} without a quote at its moment"),
        (untold, f"{untold} whose SELL never arrived"),
        (still_open, f"{still_open} still open"),
    ]
    return [text for count, text in phrases if count]
