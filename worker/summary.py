"""Sums up the day for the evening's push and the log."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import alerts
from book.rows import DayRow, Order, TradeRow
from config import VERSION, Following
from events import (
    SECOND,
    Closed,
    Decision,
    Declined,
    Evaluation,
    Event,
    Opened,
    Session,
    Shortfall,
    Tick,
    Withdrawn,
)
from followed import DELAYS_S, FollowedTrades, Result, dollars_text, fate_text, headline
from rules import Rules
from signals import BUY_FOLLOWS_S, EPISODE_GAP_S, near_miss
from utils import clock_text, plural_s, span_text, strike_text
from wording import miss_text

EVENING_S = 300
"""Seconds after the close at which the day is summed up."""


@dataclass
class _Miss:
    """Adjacent seconds (µs) at which only the same condition failed: the last one, and the nearest miss among them."""

    until: int
    start: int
    missed: Shortfall


class DaySummary:
    """Counts what the evening's message says about a session."""

    def __init__(self, session: Session, following: Following | None = None) -> None:
        self._session = session
        self._following = Following() if following is None else following
        delays = sorted({*DELAYS_S, self._following.follow_delay_seconds})
        self.trades = FollowedTrades(delays, self._following.fee_per_contract)
        self.signals = 0
        self.entries = 0
        self.withdrawn = 0
        self.seen_s = 0
        self.blind_s = 0
        self.away_us = 0
        """How long the program did not run during the session, µs."""
        self._reasons: dict[str, str] = {}
        """Why each position was closed, in words, by its id."""
        self.resumed_at: int | None = None
        """When the program last started again, µs; None: it did not. Earlier near misses are not known."""
        self.is_simulated = False
        """Whether a header of the record says that the market was simulated."""
        self._nearest: _Miss | None = None
        self._recent: deque[_Miss] = deque()
        """Near misses that a BUY may still follow, the oldest first."""
        self._goes_on = False
        """Whether the last evaluation belongs to the last of them."""
        self._signal_at: int | None = None
        self._followed = 0
        """How many near misses a BUY followed. Those were not missed."""

    def away(self, start: int, end: int) -> None:
        """Records that the program did not run from ``start`` to ``end`` (µs)."""
        self.away_us += max(0, min(end, self._session.close) - max(start, self._session.open))

    def tick(self, now: int, is_blind: bool) -> None:
        """Counts a second as seen or blind, if it is in the session."""
        if self._session.open <= now < self._session.close:
            self.blind_s += is_blind
            self.seen_s += not is_blind

    def evaluation(self, rules: Rules, evaluation: Evaluation) -> None:
        """Records the evaluation of a second."""
        start = evaluation.start
        self._settle(start - BUY_FOLLOWS_S * SECOND)
        if evaluation.holds and evaluation.gate is None:
            self._signal_at = start
        missed = near_miss(rules, evaluation)
        last = self._recent[-1] if self._recent and self._goes_on else None
        self._goes_on = missed is not None
        if missed is None:
            return
        if (
            last is None
            or last.missed.condition is not missed.condition
            or start - last.until > (EPISODE_GAP_S + 1) * SECOND
        ):
            self._recent.append(_Miss(start, start, missed))
            return
        last.until = start
        if missed.ratio < last.missed.ratio:
            last.start, last.missed = start, missed

    def _settle(self, until: int) -> None:
        """Keeps the nearest of the near misses that ended before ``until`` (µs): no BUY can follow them any more."""
        while self._recent and self._recent[0].until < until:
            self._nearest = _nearer(self._nearest, self._recent.popleft())

    def _bought(self) -> None:
        """Drops the near misses of the minute before a BUY's signal: it follows them."""
        if self._signal_at is None:
            return  # the BUY was before a restart, like its near misses
        self._settle(self._signal_at - BUY_FOLLOWS_S * SECOND)
        self._followed += len(self._recent)
        self._recent.clear()

    def record(
        self, now: int, event: Event, decisions: Sequence[Decision], rules: Rules, *, is_blind: bool
    ) -> None:
        """Counts a fact handled at ``now`` (µs) and the decisions it caused."""
        self.trades.record(now, event, decisions)
        if isinstance(event, Tick) and event.away:
            self.away(now - event.away, now)
        elif isinstance(event, Tick):
            self.tick(now, is_blind)
        for decision in decisions:
            reason = alerts.reason_text(decision, rules) if isinstance(decision, Closed) else ""
            self.decision(decision, reason)

    def decision(self, decision: Decision, reason: str) -> None:
        """Counts a decision. ``reason`` is an exit's, in words."""
        match decision:
            case Opened():
                self.signals += 1
                self.entries += 1
                self._bought()
            case Declined():
                self.signals += 1
            case Withdrawn():
                self.withdrawn += 1
            case Closed():
                self._reasons[decision.id] = reason
            case _:
                pass

    def lines(self, rules: Rules, evaluations: int) -> list[str]:
        """Returns the summary, a line each: the result by hand, what was seen, what nearly came, each trade."""
        results = self.trades.results(self._following.follow_delay_seconds)
        at_once = self.trades.results(0)
        withdrawn = f" ({self.withdrawn} withdrawn)" if self.withdrawn else ""
        away = f", not running for {span_text(self.away_us)}" if self.away_us >= SECOND else ""
        return [
            headline(results, at_once),
            f"Seen for {span_text(self.seen_s * SECOND)} of {span_text(self._session.close - self._session.open)}, "
            f"blind for {span_text(self.blind_s * SECOND)}{away}",
            f"{evaluations:,} evaluation{plural_s(evaluations)}, {self.signals} signal{plural_s(self.signals)}, "
            f"{self.entries} {'entry' if self.entries == 1 else 'entries'}{withdrawn}",
            self._nearest_line(rules),
            *map(self._trade_line, results.every, at_once.every),
        ]

    def _trade_line(self, result: Result, at_once: Result) -> str:
        """Returns a trade as its owner remembers it: by its times, and by what a hand could have got."""
        closed = "open" if result.closed_at is None else clock_text(result.closed_at)
        reason = self._reasons.get(result.opened.id)
        told = [
            f"{clock_text(result.opened_at)}–{closed} {strike_text(result.opened.strike)}c: {fate_text(result)}"
        ]
        if at_once.dollars is not None and result.delay_s:
            told.append(f"{dollars_text(at_once.dollars)} at 0 s")
        return ", ".join([*told, *([reason] if reason else [])])

    def row(self, rules: Rules, evaluations: int) -> DayRow:
        """Returns the session as a row of the book."""
        nearest = reduce(_nearer, self._recent, self._nearest)
        return DayRow(
            date=self._session.date,
            symbol=rules.symbol,
            version=VERSION,
            rules=rules.digest(),
            open=self._session.open,
            close=self._session.close,
            seen_s=self.seen_s,
            blind_s=self.blind_s,
            away_s=self.away_us // SECOND,
            evaluations=evaluations,
            signals=self.signals,
            entries=self.entries,
            withdrawn=self.withdrawn,
            miss_at=None if nearest is None else nearest.start,
            miss="" if nearest is None else miss_text(nearest.missed, rules.benchmark),
            miss_condition="" if nearest is None else nearest.missed.condition,
            miss_since=self.resumed_at,
            trades=tuple(self._trade_row(result) for result in self.trades.results(0).every),
            simulated=self.is_simulated,
        )

    def _trade_row(self, result: Result) -> TradeRow:
        opened, closed = result.opened, result.closed
        orders = ((delay, self.trades.result(opened.id, delay)) for delay in self.trades.delays_s)
        return TradeRow(
            id=opened.id,
            contract=opened.contract,
            strike=opened.strike,
            opened_at=result.opened_at,
            closed_at=result.closed_at,
            reason="" if closed is None else closed.reason,
            entry=opened.entry,
            mark=None if closed is None else closed.mark,
            peak=None if closed is None else closed.peak,
            followed={
                delay: Order(made.fate, made.paid, made.got) for delay, made in orders if made is not None
            },
        )

    def _nearest_line(self, rules: Rules) -> str:
        if self.resumed_at is not None and self.resumed_at >= self._session.close:
            # Started again after the close: every near miss was before, and is not known.
            return f"Nearest miss: see python diagnose.py why {self._session.date}"
        since = "" if self.resumed_at is None else f" since the restart at {clock_text(self.resumed_at)}"
        found = reduce(_nearer, self._recent, self._nearest)
        count = self._followed
        followed = f" ({count} before a BUY {'is' if count == 1 else 'are'} left out)" if count else ""
        if found is None:
            return f"No near miss{since}: there was no second at which exactly one condition failed{followed}"
        return f"Nearest miss{since}: {clock_text(found.start)}, {miss_text(found.missed, rules.benchmark)}{followed}"


def _nearer(one: _Miss | None, other: _Miss) -> _Miss:
    """Returns the nearer of two misses, the earlier of two equal ones."""
    return other if one is None or other.missed.ratio < one.missed.ratio else one
