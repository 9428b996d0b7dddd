"""A session's record read once through the engine, for those who ask afterwards what happened and why.

It keeps what an evaluation, a blind spell, a stop, a decline and a position left behind; of the quotes, only those
that price a position. Nothing is judged here: see `review.funnel` for the counts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from contract_selector import level_below
from events import (
    SECOND,
    Bar,
    Closed,
    ContractRule,
    Decision,
    Declined,
    DeclineReason,
    Evaluation,
    Event,
    FeedCause,
    Hold,
    HoldReason,
    Opened,
    Quote,
    QuoteSource,
    Session,
    Shutdown,
    Withdrawn,
)
from review import fills
from review.replay import Start, Step, Survey, play, survey
from review.screen import Progress
from review.trace import decision_name
from rules import Rules

ALIVE_S = 30
"""A running program writes every second; a record that is older than this is not being written."""

# --- What is kept ------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """One evaluation: when it was made (µs), whether the feed was blind then, and what was decided with it.

    ``decision`` is the weightiest decision's name (empty without one), ``declined`` why there was no entry although
    all conditions held.
    """

    now: int
    evaluation: Evaluation
    is_blind: bool
    decision: str
    declined: DeclineReason | None

    @property
    def is_fired(self) -> bool:
        """Whether it opened a position."""
        return self.decision == Opened.__name__


class Blind(NamedTuple):
    """From ``start`` to ``end`` (µs) the feed was blind; its causes in the order in which they came."""

    start: int
    end: int
    causes: tuple[FeedCause, ...]

    @property
    def cause(self) -> str:
        """The causes in words."""
        return ", then ".join(self.causes)


class DownCause(StrEnum):
    """Why the program was not running."""

    NOT_STARTED = "not started yet"
    STOPPED = "stopped on request"
    KILLED = "killed or crashed"
    SILENT = "killed or crashed, or its record was off"


class Down(NamedTuple):
    """From ``start`` to ``end`` (µs, inside the session) the program was not running."""

    start: int
    end: int
    cause: DownCause


class Held(NamedTuple):
    """From ``start`` to ``end`` (µs) entries were held."""

    start: int
    end: int
    reason: HoldReason


class MarkPoint(NamedTuple):
    """The open position at ``now`` (µs): its mark (None while there is no usable one), its peak, and the two levels
    that move with it: hard giveback, and giveback while below VWAP. Option price units."""

    now: int
    mark: int | None
    peak: int
    hard_level: int
    vwap_level: int


@dataclass(kw_only=True)
class Study:
    """What a session's record shows when every fact has gone through the engine again. Times are µs of UTC."""

    path: Path
    session: Session
    rules: Rules
    """Those of the newest start, with what was set anew."""
    starts: list[int]
    """When the program was started."""
    rules_by_start: list[Rules]
    digests: list[str]
    """The hash of each start's rules, as the version of then printed it unless some were set anew."""
    odd: list[str]
    """What is odd about the recorded rules, in words."""
    torn: int
    """Bytes torn off at the record's end: it is being written, or the program was killed as it wrote."""
    until: int
    """When the last fact was handled. The session may be in progress."""
    asked_at: int = 0
    """When the question was asked."""
    is_stopped: bool = False
    """Whether the program was asked to stop before the record ends."""
    seen: list[Seen] = field(default_factory=list)
    closes: list[float | None] = field(default_factory=list)
    """The close of each second of the session, as finally known; None without a bar."""
    blind: list[Blind] = field(default_factory=list)
    down: list[Down] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    declined: Counter[DeclineReason] = field(default_factory=Counter)
    fallen: Counter[ContractRule] = field(default_factory=Counter)
    """How many contracts fell to each rule, over all signals that found none."""
    trades: fills.Trades
    marks: dict[str, list[MarkPoint]] = field(default_factory=dict)
    """By the position's id; a point wherever something moved."""
    streamed: Counter[str] = field(default_factory=Counter)
    """How many quotes from the stream the record has of each position's contract while it was open, by its id."""
    withdrawn: dict[str, str] = field(default_factory=dict)
    """Why each position that never was did not reach its owner, by its id."""
    withdrawn_at: dict[str, int] = field(default_factory=dict)
    differing: int = 0
    """Facts whose decisions are not those that were recorded. With rules set anew, that is the point."""

    @property
    def is_over(self) -> bool:
        """Whether the session was over when the question was asked."""
        return self.asked_at >= self.session.close

    @property
    def is_down_now(self) -> bool:
        """Whether the session is in progress and nobody writes its record any more."""
        return not self.is_over and bool(self.down) and self.down[-1].end == self.asked_at > self.until

    @property
    def end(self) -> int:
        """Where the session so far ends: at its close, or where the record or the program has got to."""
        last_down = self.down[-1].end if self.down else 0
        return min(max(self.until, last_down), self.session.close)

    @property
    def seconds(self) -> int:
        """Seconds of the session so far."""
        newest = next((index for index in reversed(range(len(self.closes))) if self.closes[index]), -1)
        return max(0, (self.end - self.session.open) // SECOND, newest + 1)

    @property
    def down_us(self) -> int:
        """How long the program was not running, in the session, µs."""
        return sum(span.end - span.start for span in self.down)

    @property
    def blind_us(self) -> int:
        """How long the feed was blind, µs."""
        return sum(span.end - span.start for span in self.blind)

    @property
    def held_us(self) -> int:
        """How long entries were held in the session, for one reason or several at once, µs."""
        total, reached = 0, self.session.open
        for span in self.held:  # in the order of their starts
            total += max(0, min(span.end, self.session.close) - max(span.start, reached))
            reached = max(reached, span.end)
        return total

    @property
    def bar_seconds(self) -> int:
        """Seconds of the session that have a bar of the symbol, live or filled in later."""
        return sum(1 for close in self.closes if close is not None)

    def rules_at(self, now: int) -> Rules:
        """The rules that were in force at a time: a restart may have brought others."""
        return self.rules_by_start[max(0, bisect_right(self.starts, now) - 1)]

    def held_at(self, now: int) -> fills.Trade | None:
        """The position that was open just before ``now`` (µs)."""
        for trade in self.trades.all:
            end = trade.closed_at or self.withdrawn_at.get(trade.opened.id)
            if trade.opened_at < now and (end is None or now <= end):
                return trade
        return None

    def index_of(self, at: int) -> int:
        """The second of the session that a time lies in, counted from the open."""
        return (at - self.session.open) // SECOND


# --- Prices of the positions only --------------------------------------------------------------------


class _KeptQuotes(fills.Quotes):
    """The newest quote of every contract, and each one of those that were bought."""

    def __init__(self) -> None:
        super().__init__()
        self.bought: set[str] = set()

    def _put(self, contract: str, sighting: fills.Sighting, is_poll: bool) -> None:
        super()._put(contract, sighting, is_poll)
        if contract not in self.bought:
            del self._seen[contract][:-1]


class KeptTrades(fills.Trades):
    """A session's positions without the quotes of contracts that nobody was told of: those would fill the memory."""

    def __init__(self) -> None:
        super().__init__()
        self.quotes: _KeptQuotes = _KeptQuotes()

    def learn(self, now: int, event: Event, decisions: Iterable[Decision]) -> None:
        """Take in a fact that was handled at ``now`` (µs) and what it caused; facts come in the order of time."""
        made = tuple(decisions)
        super().learn(now, event, made)
        for decision in made:
            if isinstance(decision, Opened):
                self.quotes.bought.add(decision.contract)


# --- Reading -----------------------------------------------------------------------------------------


def read(
    path: Path,
    sets: Mapping[str, str] | None = None,
    *,
    now: int | None = None,
    surveyed: Survey | None = None,
    quiet: bool = False,
) -> Study:
    """Read a record through once, under its own rules or with ``sets`` on top.

    ``now`` is when the question is asked (µs; default: at the record's end). A record that ends well before it and
    before the close says that the program was not running from then on.
    ``surveyed``: what `review.replay.survey` found, where that was asked before. Shows how far it is on a terminal.
    Raises Unusable when the record cannot be read, Damage for what is wrong but a torn end, ConfigError for rules
    that cannot be, and OSError.
    """
    found = surveyed or survey(path)
    progress = Progress("Deriving again", found.lines, quiet=quiet)
    keeper: _Keeper | None = None
    try:
        for item in play(path, sets):
            progress.tell(item.number)
            if isinstance(item, Step):
                assert keeper is not None, "a record begins with a header"
                keeper.step(item)
            else:
                keeper = _Keeper(path, item) if keeper is None else keeper
                keeper.start(item)
    finally:
        progress.clear()
    assert keeper is not None, "a surveyed record has a header"
    keeper.study.torn = found.torn
    return keeper.finish(now)


class _Keeper:
    """Goes along with a replay and keeps what a `Study` holds."""

    def __init__(self, path: Path, first: Start) -> None:
        self._trades = KeptTrades()
        self.study = Study(
            path=path,
            session=first.header.session,
            rules=first.engine.rules,
            starts=[],
            rules_by_start=[],
            digests=[],
            odd=[],
            torn=0,
            until=first.header.now,
            trades=self._trades,
        )
        session = self.study.session
        self.study.closes = [None] * ((session.close - session.open) // SECOND)
        self._engine = first.engine
        self._blind_from = 0
        self._causes: list[FeedCause] = []
        self._holds: dict[HoldReason, int] = {}
        self._levels = (-1, 0, 0)

    def start(self, item: Start) -> None:
        """The program was started, or started again."""
        study, now = self.study, item.header.now
        if item.before is None:
            self._add_down(study.session.open, now, DownCause.NOT_STARTED)
        else:
            self._end_blind(item.before.now)
            cause = DownCause.STOPPED if study.is_stopped else DownCause.KILLED
            self._add_down(item.before.now, now, cause)
        self._engine, self._levels = item.engine, (-1, 0, 0)
        study.rules = item.engine.rules
        study.starts.append(now)
        study.rules_by_start.append(item.engine.rules)
        study.digests.append(item.digest)
        study.odd += [text for text in item.odd if text not in study.odd]
        study.until = max(study.until, now)
        study.is_stopped = False

    def _add_down(self, start: int, end: int, cause: DownCause) -> None:
        session = self.study.session
        start, end = max(start, session.open), min(end, session.close)
        if start < end:
            self.study.down.append(Down(start, end, cause))

    def step(self, item: Step) -> None:
        """A fact was handled."""
        now, event, made = item.entry.now, item.entry.event, item.decisions
        study = self.study
        study.until = now
        if item.entry.decisions or made:
            study.differing += item.entry.decisions != tuple(made)
        self._trades.learn(now, event, made)
        self._follow_feed(now)
        if item.evaluation is not None:
            self._see(now, item.evaluation, made)
        if isinstance(event, Bar):
            self._keep_close(event)
        elif isinstance(event, Hold):
            self._follow_hold(now, event)
        elif isinstance(event, Shutdown):
            study.is_stopped = True
        for decision in made:
            if isinstance(decision, Declined):
                self._decline(decision)
            elif isinstance(decision, Withdrawn):
                study.withdrawn[decision.id] = decision.detail
                study.withdrawn_at[decision.id] = now
        self._follow_position(now, event, made)

    def _keep_close(self, bar: Bar) -> None:
        index = self.study.index_of(bar.start)
        if bar.symbol == self.study.rules.symbol and 0 <= index < len(self.study.closes):
            self.study.closes[index] = bar.close

    def _see(self, now: int, evaluation: Evaluation, made: Sequence[Decision]) -> None:
        declined = next((decision.reason for decision in made if isinstance(decision, Declined)), None)
        is_blind = self._engine.feed.is_blind
        self.study.seen.append(Seen(now, evaluation, is_blind, decision_name(made), declined))

    def _decline(self, declined: Declined) -> None:
        self.study.declined[declined.reason] += 1
        for rule, count in declined.fallen:
            self.study.fallen[rule] += count

    def _follow_feed(self, now: int) -> None:
        feed = self._engine.feed
        if feed.cause is None:
            if self._causes:
                self._end_blind(now)
        elif not self._causes:
            since = max(feed.blind_since, self.study.session.open, self.study.starts[-1])
            self._blind_from, self._causes = since, [feed.cause]
        elif feed.cause is not self._causes[-1]:
            self._causes.append(feed.cause)

    def _end_blind(self, now: int) -> None:
        """The spell, if there is one, ends: in sight, with the session, or with the program."""
        end = min(now, self.study.session.close)
        if self._causes and self._blind_from < end:
            self.study.blind.append(Blind(self._blind_from, end, tuple(dict.fromkeys(self._causes))))
        self._causes = []

    def _follow_hold(self, now: int, hold: Hold) -> None:
        if hold.on:
            self._holds.setdefault(hold.reason, now)
        elif hold.reason in self._holds:
            self.study.held.append(Held(self._holds.pop(hold.reason), now, hold.reason))

    def _follow_position(self, now: int, event: Event, made: Sequence[Decision]) -> None:
        for decision in made:
            if isinstance(decision, Closed):
                self._point(decision.id, self._point_of(now, decision.mark, decision.peak))
        position = self._engine.position
        if position is None:
            return
        opened = position.opened
        if isinstance(event, Quote) and event.contract == opened.contract:
            self.study.streamed[opened.id] += event.source is QuoteSource.STREAM
        mark = None if position.marks.is_lost(now) else position.marks.usable.mid
        self._point(opened.id, self._point_of(now, mark, position.peak))

    def _point_of(self, now: int, mark: int | None, peak: int) -> MarkPoint:
        if self._levels[0] != peak:
            rules = self._engine.rules
            hard, vwap = rules.max_giveback_percent, rules.tighten_giveback_percent
            self._levels = peak, level_below(peak, hard), level_below(peak, vwap)
        return MarkPoint(now, mark, *self._levels)

    def _point(self, name: str, point: MarkPoint) -> None:
        """Keep a point where something moved."""
        points = self.study.marks.setdefault(name, [])
        if not points or points[-1][1:] != point[1:]:
            points.append(point)

    def finish(self, now: int | None) -> Study:
        """The record has ended."""
        study = self.study
        self._end_blind(study.until)
        study.asked_at = study.until if now is None else now
        if study.asked_at - study.until > ALIVE_S * SECOND:
            cause = DownCause.STOPPED if study.is_stopped else DownCause.SILENT
            self._add_down(study.until, study.asked_at, cause)
        study.held += [Held(since, study.until, reason) for reason, since in self._holds.items()]
        study.held.sort()
        return study
