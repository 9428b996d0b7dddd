"""The pictures of one session: what they show, gathered as it goes on, and when each is due. Pure.

After a restart it is gathered from the record, fact by fact, on the path of a first start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import msgspec

import alerts
from engine import Engine
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Closed,
    Decision,
    Event,
    Opened,
    Tick,
    Withdrawn,
)
from followed import Fate, Result, dollars_text, fate_text
from messages import notices
from messages.alert import PICTURE_LATEST_S, Alert, repeated
from pictures.facts import DayPicture, DayTrade, Level, Moment, Picture, TradePicture
from pictures.gather import Gathered
from rules import Rules
from utils import clock_text, number_text, option_price, span_text, strike_text
from worker.summary import EVENING_S, DaySummary

BEFORE_LEAST_S, BEFORE_MOST_S = 45, 300
"""A trade's picture begins before its BUY by as long as it took, but by so much at least and at most."""

AFTER_S = 15
"""How long after the SELL it ends, if so much has been seen."""

HAND_WAITS_S = 30
"""How long after its SELL was told a picture waits for what a hand got; `FOLLOW_DELAY_SECONDS` may be longer."""

TRADE_POINTS, DAY_POINTS = 1_300, 1_400
"""Moments that a picture shows at most: its lines have fewer pixels from left to right."""

DAY_DRAWN_S = 20
"""Seconds after the close at which the day's picture is due: the evening's push comes 5 minutes after it."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A picture that is due. ``make`` returns what it shows, ``alert`` goes with it; ``date`` is the session's."""

    date: str
    alert: Alert
    make: Callable[[], Picture]
    is_of_day: bool = False


class _Trade:
    """A position that was announced."""

    def __init__(self, now: int, opened: Opened) -> None:
        self.opened_at, self.opened = now, opened
        self.closed_at = 0
        self.closed: Closed | None = None
        self.told_at: int | None = None
        """When its SELL was told, or given up, µs."""


class Album:
    """The pictures of the session that ``engine`` decides and ``summary`` sums up.

    ``request`` is given each picture that is due; None if nobody wants pictures, and then nothing is gathered. ``has_day``
    says whether the day's picture is wanted, ``delay_s`` is the owner's own delay.
    """

    def __init__(
        self,
        engine: Engine,
        summary: DaySummary,
        request: Callable[[Request], None] | None,
        *,
        delay_s: int,
        has_day: bool,
    ) -> None:
        self._request = request
        self._engine, self._summary = engine, summary
        self._rules: Rules = engine.rules
        self._delay_s = delay_s
        self._has_day = has_day
        self._gathered = Gathered()
        self._trades: dict[str, _Trade] = {}
        self._settled: set[str] = set()
        """The trades, by id, and the day, by date, whose picture was told, asked for, or is too late."""
        self._last_at = 0
        self._resumed_from = 0
        """Until when an earlier start is known to have run, µs."""

    def resume(self) -> None:
        """What was recorded so far was an earlier start's."""
        self._resumed_from = self._last_at

    def record(self, now: int, event: Event, decisions: Sequence[Decision]) -> None:
        """Records a fact that was handled at ``now`` (µs), and what it caused. Mere prices need not be recorded."""
        if self._request is None:
            return
        self._last_at = now
        if isinstance(event, Tick):
            self._second(now)
        elif isinstance(event, AlertOutcome):
            self._record_outcome(now, event)
        for decision in decisions:
            match decision:
                case Opened():
                    self._trades[decision.id] = _Trade(now, decision)
                case Closed() if decision.id in self._trades:
                    trade = self._trades[decision.id]
                    trade.closed_at, trade.closed = now, decision
                case Withdrawn():
                    self._trades.pop(decision.id, None)
                case _:
                    pass

    def _record_outcome(self, now: int, event: AlertOutcome) -> None:
        if event.kind is AlertKind.PICTURE:
            self._settled.add(event.id)
        elif event.kind is AlertKind.EVENING:
            self._settled.add(self._engine.session.date)
        elif event.kind is AlertKind.SELL and not event.channel and event.id in self._trades:
            trade = self._trades[event.id]
            if trade.told_at is None:
                trade.told_at = now

    def _second(self, now: int) -> None:
        engine, position = self._engine, self._engine.position
        vwap, long_vwap = engine.signals.vwaps
        marks = None if position is None or position.marks.is_lost(now) else position.marks.usable
        self._gathered.second(
            now,
            price=engine.signals.price,
            vwap=vwap,
            long_vwap=long_vwap,
            mark=None if marks is None else marks.mid,
            peak=None if position is None else position.peak,
            is_blind=engine.feed.is_blind,
        )

    # --- What is due ---

    def look(self, now: int) -> None:
        """Requests each picture that is due at ``now`` (µs), once."""
        if self._request is not None:
            for request in self._due(now):
                self._request(request)

    def _due(self, now: int) -> Iterator[Request]:
        wait = min(self._delay_s, HAND_WAITS_S) + 1
        for name, trade in self._trades.items():
            if trade.told_at is None or trade.closed is None or name in self._settled:
                continue
            if now >= trade.told_at + wait * SECOND:
                self._settled.add(name)
                if now < trade.told_at + PICTURE_LATEST_S * SECOND:
                    yield self._trade_request(now, trade, trade.told_at + wait * SECOND)
        session = self._engine.session
        if (
            self._has_day
            and now >= session.close + DAY_DRAWN_S * SECOND
            and session.date not in self._settled
        ):
            self._settled.add(session.date)
            if now < session.close + (EVENING_S + PICTURE_LATEST_S) * SECOND:
                yield self._day_request(now)

    def _trade_request(self, now: int, trade: _Trade, due: int) -> Request:
        opened, closed = trade.opened, trade.closed
        assert closed is not None
        result = self._result(opened.id)
        bid = option_price(closed.bid)
        lines = (
            f"{clock_text(trade.opened_at)}–{clock_text(trade.closed_at)} ET, held {span_text(trade.closed_at - trade.opened_at)}.",
            f"Entry {option_price(opened.entry)}, peak {option_price(closed.peak)}, bid at the SELL {bid}.",
            f"By hand: {'not known' if result is None else fate_text(result)}.",
        )
        alert = notices.picture(
            now,
            self._rules,
            cause=opened.id,
            title=f"trade #{opened.id}",
            lines=lines,
            position=opened.id,
        )
        was_due = due <= self._resumed_from  # an earlier start may have sent it
        return Request(
            date=self._engine.session.date,
            alert=repeated(alert) if was_due else alert,
            make=partial(self._trade_picture, trade, closed),
        )

    def _day_request(self, now: int) -> Request:
        date = self._engine.session.date
        alert = notices.picture(
            now, self._rules, cause=date, title=f"picture of {date}", lines=self._lines()[:1]
        )
        return Request(date=date, alert=alert, make=self._day_picture, is_of_day=True)

    def _lines(self) -> list[str]:
        return self._summary.lines(self._rules, self._engine.evaluations)

    def _result(self, name: str) -> Result | None:
        return self._summary.trades.result(name, self._delay_s)

    # --- What it shows ---

    def _trade_picture(self, trade: _Trade, closed: Closed) -> TradePicture:
        opened, rules, session = trade.opened, self._rules, self._engine.session
        took = (trade.closed_at - trade.opened_at) // SECOND
        start = trade.opened_at - min(max(took, BEFORE_LEAST_S), BEFORE_MOST_S) * SECOND
        end = trade.closed_at + AFTER_S * SECOND
        result, at_once = self._result(opened.id), self._summary.trades.result(opened.id, 0)
        once = None if at_once is None or not self._delay_s else at_once.dollars
        return TradePicture(
            symbol=rules.symbol,
            call=f"{strike_text(opened.strike)} call",
            id=opened.id,
            date=session.date,
            bought=Moment(trade.opened_at, opened.price),
            sold=Moment(trade.closed_at, closed.price),
            entry=opened.entry,
            exit=closed.mark,
            peak=closed.peak,
            levels=[
                Level("Stop", opened.stop),
                Level(_cap(rules.tighten_giveback_percent), None, 1 - rules.tighten_giveback_percent / 100),
                Level(_cap(rules.max_giveback_percent), None, 1 - rules.max_giveback_percent / 100),
            ],
            percent=None if result is None else result.percent,
            reason=alerts.reason_text(closed, rules),
            by_hand="not known" if result is None else _fate(result),
            at_once="" if once is None else f"{dollars_text(once)} at 0 s",
            short_vwap_s=rules.vwap_short_seconds,
            long_vwap_s=rules.vwap_long_seconds,
            seconds=self._gathered.between(start, end, TRADE_POINTS),
            dark=self._gathered.dark(start, end),
        )

    def _day_picture(self) -> DayPicture:
        session, lines = self._engine.session, self._lines()
        return DayPicture(
            symbol=self._rules.symbol,
            date=session.date,
            open=session.open,
            close=session.close,
            headline=lines[0],
            lines=lines[1:2],
            trades=[self._day_trade(number, each) for number, each in enumerate(self._trades.values(), 1)],
            long_vwap_s=self._rules.vwap_long_seconds,
            seconds=self._gathered.between(session.open, session.close, DAY_POINTS),
            dark=self._gathered.dark(session.open, session.close),
        )

    def _day_trade(self, number: int, trade: _Trade) -> DayTrade:
        opened, closed, result = trade.opened, trade.closed, self._result(trade.opened.id)
        ended = "open" if closed is None else clock_text(trade.closed_at)
        told = "not known" if result is None else _fate(result)
        return DayTrade(
            number=number,
            bought=Moment(trade.opened_at, opened.price),
            sold=None if closed is None else Moment(trade.closed_at, closed.price),
            text=f"{clock_text(trade.opened_at)}–{ended} {strike_text(opened.strike)}c: {told}",
            dollars=None if result is None else result.dollars,
        )


def _cap(percent: float) -> str:
    return f"Cap {number_text(percent)}%"


def _fate(result: Result) -> str:
    """Returns a result in words; of one whose moment has not come yet, that it is not known."""
    is_closed = result.closed is not None
    return "not known yet" if is_closed and result.fate is Fate.OPEN else fate_text(result)
