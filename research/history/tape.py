"""A past session as the facts of a live one, in one order, through the live engine.

A bar arrives some seconds after its end. The quotes of the calls nearest the money come once a second if they changed, those
of the held call four times a second; the chain is made of the calls and the quotes that stand, every five seconds; a tick
follows each second. A push is accepted a moment after its decision.

Silence counts as it does live: a stretch without any bar blinds the engine, whether nothing was traded or nothing was sent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from engine import Engine
from events import (
    SECOND,
    STRIKE_UNIT,
    AlertKind,
    AlertOutcome,
    Chain,
    ChainRow,
    Closed,
    Covered,
    Decision,
    Evaluation,
    Event,
    FeedRestored,
    Opened,
    Outcome,
    Quote,
    Tick,
    Withdrawn,
)
from research.history.session import Block, Call, PastSession, QuoteRow, blocks
from rules import Rules

BAR_DELAY_S = 2
"""The vendor holds a bar this long after its end."""

EARLY_S, LATE_S = 300, 30
"""The live program connects this long before the open, and leaves this long after the close."""

STEP_US = SECOND // 4
"""The held call's newest quote is handed on at most this often, as live."""

PUSH_US = 250_000
"""How long a push takes until it is accepted. Measured on the real service: 0.2 to 0.3 s."""

BEFORE_US, AFTER_US = 15 * SECOND, 5 * SECOND
"""Quotes that an entry looks at: those of this long before a signal, and this long after it."""

FOLLOWED_S = 61
"""How long a call's quotes are wanted after its SELL: the longest delay that is followed, and the push."""

Take = Callable[[int, Event, Sequence[Decision], Evaluation | None], None]
"""Gets each fact with its time (µs), what was decided on it, and the evaluation if it caused one."""


def unsold(rules: Rules) -> Rules:
    """Returns the rules that history can be run under: it has no open interest, so that rule is left out."""
    return rules.model_copy(update={"min_open_interest": 0})


class Played(NamedTuple):
    """A session that was run: its engine at the end, and the blocks of quotes that it looked for and lacked."""

    engine: Engine
    missing: frozenset[Block]
    signals: tuple[int, ...]
    """The seconds (their start, µs) at which all conditions were met and no gate was closed."""


def play(
    past: PastSession,
    rules: Rules,
    take: Take = lambda now, event, decisions, evaluation: None,
    *,
    bar_delay_s: int = BAR_DELAY_S,
) -> Played:
    """Runs a whole session. ``take`` gets every fact with what was decided on it, in order.

    With ``missing`` blocks the decisions are not those that were possible: fetch them and run again.
    """
    return _Play(past, rules, take, bar_delay_s).run()


class _Play:
    """One run of a session."""

    def __init__(self, past: PastSession, rules: Rules, take: Take, bar_delay_s: int) -> None:
        self._past = past
        self._take = take
        self._session = past.session
        self._rules = unsold(rules)
        self._engine = Engine(self._rules, past.session)
        self._bars = sorted(past.bars, key=lambda bar: (bar.start, bar.symbol != past.benchmark))
        self._delay_us = (bar_delay_s + 1) * SECOND
        self._calls = sorted(past.calls, key=lambda call: (call.strike, call.contract))
        self._strikes = [call.strike for call in self._calls]
        self._handed: dict[str, QuoteRow] = {}
        self._outcomes: list[tuple[int, AlertOutcome]] = []
        self._followed: dict[str, int] = {}
        """Calls whose quotes are wanted, and until when (µs)."""
        self._missing: set[Block] = set()
        self._signals: list[int] = []

    def run(self) -> Played:
        session = self._session
        begin, end = session.open - EARLY_S * SECOND, session.close + LATE_S * SECOND
        self._handle(begin, FeedRestored())
        for symbol in self._rules.symbols:
            self._handle(begin, Covered(symbol=symbol, start=begin, end=session.close))
        bars = iter(self._bars)
        bar = next(bars, None)
        while bar is not None and bar.start + self._delay_us < begin:
            bar = next(bars, None)
        for now in range(begin + SECOND, end, SECOND):
            for at in range(now - SECOND + STEP_US, now, STEP_US):
                self._between(at)
            self._tell(now)
            if session.open <= now < session.close:
                self._options(now)
            while bar is not None and bar.start + self._delay_us <= now:
                self._handle(now, bar)
                self._look_at_signal(now)
                bar = next(bars, None)
            self._handle(now, Tick())
        return Played(self._engine, frozenset(self._missing), tuple(self._signals))

    # --- Facts ---

    def _handle(self, now: int, event: Event) -> None:
        before = self._engine.evaluation
        decisions = self._engine.handle(now, event)
        evaluation = self._engine.evaluation
        self._take(now, event, decisions, None if evaluation is before else evaluation)
        for decision in decisions:
            if isinstance(decision, Opened | Closed):
                kind = AlertKind.BUY if isinstance(decision, Opened) else AlertKind.SELL
                outcome = AlertOutcome(kind=kind, id=decision.id, outcome=Outcome.ACCEPTED, attempts=1)
                self._outcomes.append((now + PUSH_US, outcome))
                until = self._session.close if kind is AlertKind.BUY else now + FOLLOWED_S * SECOND
                self._followed[decision.contract] = min(until, self._session.close)
            elif isinstance(decision, Withdrawn):
                self._followed.pop(decision.contract, None)

    def _tell(self, now: int) -> None:
        """Tells the engine of the pushes that were accepted by now."""
        while self._outcomes and self._outcomes[0][0] <= now:
            at, outcome = self._outcomes.pop(0)
            self._handle(at, outcome)

    def _between(self, at: int) -> None:
        """Hands on the held call's quote between two seconds."""
        self._tell(at)
        position = self._engine.position
        if position is not None:
            self._hand_on(at, position.opened.contract)

    def _options(self, now: int) -> None:
        if (now - self._session.open) // SECOND % self._rules.chain_poll_seconds == 0:
            self._handle(now, Chain(rows=tuple(self._chain(now))))
        wanted = dict.fromkeys(self._engine.quotes.nearest(self._rules.stream_contracts))
        for contract, until in list(self._followed.items()):
            if now > until:
                del self._followed[contract]
                continue
            wanted[contract] = None
            self._need(blocks(contract, now, now))
        for contract in wanted:
            self._hand_on(now, contract)

    def _hand_on(self, now: int, contract: str) -> None:
        """Hands on the quote of a call that stands now, if it is another than the last."""
        row = self._standing(contract, now)
        if row is None or row == self._handed.get(contract):
            return
        self._handed[contract] = row
        quote = Quote(
            contract=contract,
            at=row.at,
            bid=row.bid,
            ask=row.ask,
            bid_size=row.bid_size,
            ask_size=row.ask_size,
        )
        self._handle(now, quote)

    def _standing(self, contract: str, at: int) -> QuoteRow | None:
        found = self._past.quotes.get(contract)
        return None if found is None else found.standing(at)

    def _chain(self, now: int) -> Iterator[ChainRow]:
        """Yields the calls near the money with the quotes that stand, as a poll of the chain would."""
        spot = self._engine.signals.price
        calls: Sequence[Call] = self._calls
        if spot is not None:
            reach = self._rules.chain_spot_percent / 100
            low = bisect_left(self._strikes, spot * (1 - reach) * STRIKE_UNIT)
            calls = self._calls[low : bisect_left(self._strikes, spot * (1 + reach) * STRIKE_UNIT)]
        for call in calls:
            row = self._standing(call.contract, now)
            yield ChainRow(
                contract=call.contract,
                strike=call.strike,
                shares=call.shares,
                bid=0 if row is None else row.bid,
                ask=0 if row is None else row.ask,
                bid_size=0.0 if row is None else row.bid_size,
                ask_size=0.0 if row is None else row.ask_size,
                quoted_at=0 if row is None else row.at,
                real_time=True,
                iv=None,
                delta=None,
                open_interest=0.0,
            )

    # --- What is missing ---

    def _look_at_signal(self, now: int) -> None:
        """Notes a second at which a call would be chosen, and the blocks that the choice looks at."""
        evaluation = self._engine.evaluation
        if evaluation is None or evaluation.gate is not None or not evaluation.holds:
            return
        if evaluation.start + self._delay_us != now or self._signals[-1:] == [evaluation.start]:
            return  # of an earlier second, or seen already: the newest bar was the benchmark's
        self._signals.append(evaluation.start)
        for contract in self._engine.quotes.nearest(self._rules.stream_contracts):
            self._need(blocks(contract, max(now - BEFORE_US, self._session.open), now + AFTER_US))

    def _need(self, wanted: Sequence[Block]) -> None:
        self._missing.update(block for block in wanted if not self._past.has(block))
