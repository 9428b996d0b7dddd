"""One session through the engine, and everything that is told of it. What it returns travels between processes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from config import Following
from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    STRIKE_UNIT,
    Bar,
    Closed,
    Decision,
    DeclineReason,
    Evaluation,
    Event,
    Opened,
    Quote,
    Withdrawn,
)
from followed import DELAYS_S, SHARES, SIDES, Fate
from research.backtest.greeks import Attribution, Moment, attributed
from research.history.session import PastSession
from research.history.tape import BAR_DELAY_S, Take, play
from review.fills import Trade, Trades
from rules import Rules

HORIZONS_S = (10, 30, 60, 300, 900)
"""Seconds after a signal at which the symbol's move is looked at; and the close."""

OPEN_GATES = frozenset({None, DeclineReason.POSITION_OPEN, DeclineReason.COOLDOWN, DeclineReason.MAX_ENTRIES})
"""Gates that say nothing about the market: a signal behind one of these counts in the signal layer."""


class Order(msgspec.Struct, frozen=True):
    """A trade followed so many seconds late: what became of it, its prices, and its result as a fraction of the stake."""

    fate: str
    paid: int | None
    got: int | None
    result: float | None


class TradeResult(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of a backtest. Times are µs of UTC, prices are option prices, results fractions."""

    id: str
    contract: str
    opened_at: int
    closed_at: int | None
    reason: str
    delta: float
    spread_percent: float
    entry: int
    ask: int
    mid_result: float | None
    """From the mid at the BUY to the mid at the SELL."""
    orders: dict[int, Order]
    """By the delay in seconds."""
    worst: float | None
    """Maximum adverse excursion: the lowest bid on the way, against the ask of the BUY."""
    best: float | None
    """Maximum favourable excursion: the highest bid."""
    kept: float | None
    """The share of that best result which the SELL's own bid kept; None if the bid was never above the ask of the BUY."""
    attribution: Attribution | None


class SessionResult(msgspec.Struct, frozen=True, kw_only=True):
    """One session of a backtest."""

    date: str
    evaluations: int
    signals: int
    """Seconds at which all conditions were met, and no gate but those of a position was closed."""
    signal_moves: dict[str, list[float]]
    """Moves of the symbol after each signal, basis points, by horizon."""
    usual_moves: dict[str, tuple[int, float]]
    """The same after every second at which the gates were open: their number and mean."""
    trades: list[TradeResult]
    missing_blocks: int
    """Blocks of quotes that were looked for and are not there: the decisions are not to be trusted."""
    missing_seconds: dict[str, int]
    """Seconds of the session without a bar, by symbol."""
    differing: int | None = None
    """Of a session that is the live program's record: facts on which something else is decided than was then."""

    def result(self, delay_s: int) -> float:
        """Returns the day's result at a delay: the sum over its trades, equal stakes; 0 without one."""
        orders = (trade.orders[delay_s] for trade in self.trades)
        return sum(order.result for order in orders if order.result is not None)


def run_session(
    past: PastSession, rules: Rules, fee: float, *, bar_delay_s: int = BAR_DELAY_S, also: Take | None = None
) -> SessionResult:
    """Runs a session whole. ``fee`` is dollars for one contract and one side. ``also`` gets every fact too."""
    watched = Watched(past, fee)

    def take(now: int, event: Event, decisions: Sequence[Decision], evaluation: Evaluation | None) -> None:
        watched.record(now, event, decisions, evaluation)
        if also is not None:
            also(now, event, decisions, evaluation)

    played = play(past, rules, take, bar_delay_s=bar_delay_s)
    return watched.result(played.engine.evaluations, len(played.missing))


class Moves:
    """How the symbol moves after a second."""

    def __init__(self, past: PastSession) -> None:
        own: Sequence[Bar] = [bar for bar in past.bars if bar.symbol == past.symbol]
        self._starts = [bar.start for bar in own]
        self._closes = [bar.close for bar in own]
        self._end = past.session.close

    def price(self, at: int) -> float:
        """Returns the last close of a second that began at or before ``at`` (µs), or the first one."""
        return self._closes[max(0, bisect_right(self._starts, at) - 1)]

    def _points(self, start: int, horizon_s: int | None) -> float | None:
        until = self._end - SECOND if horizon_s is None else start + horizon_s * SECOND
        if until >= self._end:
            return None
        before = self.price(start)
        return (self.price(until) / before - 1) * 10_000

    def after(self, starts: Sequence[int]) -> dict[str, list[float]]:
        """Returns each second's move in basis points, by horizon; those that end after the close are left out."""
        found: dict[str, list[float]] = {}
        for name, horizon in HORIZONS.items():
            moves = (self._points(start, horizon) for start in starts)
            found[name] = [move for move in moves if move is not None]
        return found

    def means(self, starts: Sequence[int]) -> dict[str, tuple[int, float]]:
        """Returns number and mean of the moves, by horizon."""
        return {
            name: (len(moves), sum(moves) / len(moves) if moves else 0.0)
            for name, moves in self.after(starts).items()
        }


HORIZONS: dict[str, int | None] = {**{f"{horizon} s": horizon for horizon in HORIZONS_S}, "close": None}


class Watched:
    """Watches a session being run. ``fee`` is dollars for one contract and one side."""

    def __init__(self, past: PastSession, fee: float) -> None:
        self._past = past
        self.trades = Trades(Following(follow_delay_seconds=0, fee_per_contract=fee))
        self.moves = Moves(past)
        self.signals: list[int] = []
        self.open_seconds: list[int] = []
        self._close = past.session.close
        self._fee = fee
        self._bids: dict[str, list[int]] = {}
        """Every bid of a position's call while it was open, by the position's id."""
        self._open: Opened | None = None

    def record(
        self, now: int, event: Event, decisions: Sequence[Decision], evaluation: Evaluation | None
    ) -> None:
        """A fact was handled."""
        self.trades.record(now, event, decisions)
        if evaluation is not None and evaluation.gate in OPEN_GATES:
            self.open_seconds.append(evaluation.start)
            if False not in evaluation.passes:
                self.signals.append(evaluation.start)
        if self._open is not None and isinstance(event, Quote) and event.contract == self._open.contract:
            self._bids[self._open.id].append(event.bid)
        for decision in decisions:
            if isinstance(decision, Opened):
                self._open = decision
                self._bids[decision.id] = [decision.bid]
            elif isinstance(decision, Closed | Withdrawn):
                self._open = None

    def result(self, evaluations: int, missing_blocks: int, differing: int | None = None) -> SessionResult:
        """Returns what was seen of the session, at its end."""
        past, session = self._past, self._past.session
        seconds = (session.close - session.open) // SECOND
        names = [name for name in (past.symbol, past.benchmark) if name]
        return SessionResult(
            date=session.date,
            evaluations=evaluations,
            signals=len(self.signals),
            signal_moves=self.moves.after(self.signals),
            usual_moves=self.moves.means(self.open_seconds),
            trades=[self.told(trade) for trade in self.trades.told],
            missing_blocks=missing_blocks,
            missing_seconds={name: seconds - sum(bar.symbol == name for bar in past.bars) for name in names},
            differing=differing,
        )

    def told(self, trade: Trade) -> TradeResult:
        """Returns everything that is told of a trade."""
        opened, closed = trade.opened, trade.closed
        bids = [bid / opened.ask - 1 for bid in self._bids[opened.id]]
        best = max(bids, default=None)
        got = None if closed is None or closed.bid is None else closed.bid / opened.ask - 1
        return TradeResult(
            id=opened.id,
            contract=opened.contract,
            opened_at=trade.opened_at,
            closed_at=trade.closed_at,
            reason="" if closed is None else closed.reason.value,
            delta=opened.delta,
            spread_percent=(opened.ask - opened.bid) / opened.mid * 100,
            entry=opened.entry,
            ask=opened.ask,
            mid_result=None if trade.mid_percent is None else trade.mid_percent / 100,
            orders={delay: self._order(opened.id, delay) for delay in DELAYS_S},
            worst=min(bids, default=None),
            best=best,
            kept=None if best is None or best <= 0 or got is None else got / best,
            attribution=self._attribution(trade),
        )

    def _order(self, name: str, delay_s: int) -> Order:
        every = self.trades.followed(delay_s).every
        result = next(result for result in every if result.opened.id == name)
        share = None if result.fate is not Fate.TAKEN or result.percent is None else result.percent / 100
        return Order(result.fate.value, result.paid, result.got, share)

    def _attribution(self, trade: Trade) -> Attribution | None:
        """Returns the result at the pushes' own prices taken apart; None where a price is missing."""
        opened, closed = trade.opened, trade.closed
        if closed is None or trade.closed_at is None or closed.mark is None or closed.bid is None:
            return None
        begin, end = (
            Moment(mid / OPTION_PRICE_UNIT, self.moves.price(at), self._close - at)
            for mid, at in ((opened.mid, trade.opened_at), (closed.mark, trade.closed_at))
        )
        crossing = (opened.ask - opened.mid + closed.mark - closed.bid) / OPTION_PRICE_UNIT
        strike = opened.strike / STRIKE_UNIT
        return attributed(begin, end, strike, crossing=crossing, fees=SIDES * self._fee, contract=SHARES)
