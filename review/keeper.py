"""Reads a session's record through the engine once, and makes a `Study` of it.

It keeps evaluations, blind spells, stops, declines and positions; of the quotes, only those that price a position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from config import Following
from contract_selector import level_below
from events import (
    SECOND,
    Bar,
    Closed,
    Decision,
    Declined,
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
from quote_history import ContractQuotes, QuoteHistory
from review import fills
from review.derive import Handled, Start, Survey, play, survey
from review.screen import Progress
from review.study import Blind, Down, DownCause, Held, MarkPoint, Seen, Study
from review.trace import decision_name

ALIVE_S = 30
"""A running program writes every second, so nobody writes a record that is older than this."""


# --- Prices of the positions only --------------------------------------------------------------------


class _KeptQuotes(QuoteHistory):
    """The newest quote of every contract, and every quote of the contracts that were bought."""

    def __init__(self) -> None:
        super().__init__()
        self.bought: set[str] = set()

    def of(self, contract: str) -> ContractQuotes:
        """Returns the quotes of one contract; only the newest of one that was never bought."""
        quotes = super().of(contract)
        if contract not in self.bought:
            quotes.keep_newest()
        return quotes


class KeptTrades(fills.Trades):
    """A session's positions, without the quotes of other contracts: those would fill the memory."""

    def __init__(self, following: Following | None = None) -> None:
        super().__init__(following)
        self.quotes: _KeptQuotes = _KeptQuotes()

    def record(self, now: int, event: Event, decisions: Iterable[Decision]) -> None:
        """Records a fact that was handled at ``now`` (µs) and what it caused. Facts come in the order of time."""
        made = tuple(decisions)
        super().record(now, event, made)
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
    following: Following | None = None,
    quiet: bool = False,
) -> Study:
    """Reads a record once, under its own rules or with ``sets`` on top.

    ``now`` is when the question is asked (µs; default: the record's end). If the record ends well before ``now`` and before
    the close, the program was not running from then on. ``surveyed``: the result of an earlier `review.derive.survey`.
    ``following``: at which delay and fee results are told (default: those of the settings' defaults).
    Shows its progress on a terminal. Raises Unusable if the record cannot be read, Damage for any fault except a torn
    end, ConfigError for invalid rules, and OSError.
    """
    found = surveyed or survey(path)
    progress = Progress("Deriving again", found.lines, quiet=quiet)
    keeper: Keeper | None = None
    try:
        for item in play(path, sets):
            progress.tell(item.number)
            if keeper is None:
                assert isinstance(item, Start), "a record begins with a header"
                keeper = Keeper(path, item, following)
            keeper.record(item)
    finally:
        progress.clear()
    assert keeper is not None, "a surveyed record has a header"
    keeper.study.torn = found.torn
    return keeper.so_far(now)


def _down(session: Session, start: int, end: int, cause: DownCause) -> list[Down]:
    """Returns the part of a stop that lies in the session; none if it does not."""
    start, end = max(start, session.open), min(end, session.close)
    return [Down(start, end, cause)] if start < end else []


class Keeper:
    """Follows a replay and fills a `Study`. ``first`` is its first start, which is recorded like every other."""

    def __init__(self, path: Path, first: Start, following: Following | None = None) -> None:
        self._trades = KeptTrades(following)
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

    def record(self, item: Start | Handled) -> None:
        """Records a start of the program, or a fact that the engine has handled."""
        if isinstance(item, Handled):
            self._step(item)
        else:
            self._start(item)

    def _start(self, item: Start) -> None:
        study, now = self.study, item.header.now
        if item.before is None:
            study.down += _down(study.session, study.session.open, now, DownCause.NOT_STARTED)
        else:
            self._end_blind(item.before.now)
            cause = DownCause.STOPPED if study.is_stopped else DownCause.KILLED
            study.down += _down(study.session, item.before.now, now, cause)
        self._engine, self._levels = item.engine, (-1, 0, 0)
        study.is_simulated = study.is_simulated or item.header.simulated
        study.rules = item.engine.rules
        study.starts.append(now)
        study.rules_by_start.append(item.engine.rules)
        study.digests.append(item.digest)
        study.odd += [text for text in item.odd if text not in study.odd]
        study.until = max(study.until, now)
        study.is_stopped = False

    def _step(self, item: Handled) -> None:
        now, event, made = item.entry.now, item.entry.event, item.decisions
        study = self.study
        study.until = now
        if item.entry.decisions or made:
            study.differing += item.entry.decisions != tuple(made)
        self._trades.record(now, event, made)
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
        """Ends the blind spell, if there is one: the market is seen again, or the session or the program ends."""
        self.study.blind += self._blind(now)
        self._causes = []

    def _blind(self, now: int) -> list[Blind]:
        """Returns the blind spell that lasts, up to ``now``; none if the market is seen."""
        end = min(now, self.study.session.close)
        if not self._causes or self._blind_from >= end:
            return []
        return [Blind(self._blind_from, end, tuple(dict.fromkeys(self._causes)))]

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
        """Keeps a point if anything moved."""
        points = self.study.marks.setdefault(name, [])
        if not points or points[-1][1:] != point[1:]:
            points.append(point)

    def so_far(self, now: int | None) -> Study:
        """Returns the study as it stands at the last line, asked for at ``now`` (µs; None: then). More may be recorded."""
        study = self.study
        until, asked_at = study.until, study.until if now is None else now
        down: list[Down] = []
        if asked_at - until > ALIVE_S * SECOND:
            down = _down(
                study.session, until, asked_at, DownCause.STOPPED if study.is_stopped else DownCause.SILENT
            )
        held = [Held(since, until, reason) for reason, since in self._holds.items()]
        return replace(
            study,
            asked_at=asked_at,
            blind=[*study.blind, *self._blind(until)],
            down=[*study.down, *down],
            held=sorted([*study.held, *held]),
        )
