"""Holds what a session's record shows once the engine has handled every fact again. It judges nothing.

`review.keeper` makes a `Study`; the counts are in `review.funnel`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from events import (
    SECOND,
    Bar,
    ContractRule,
    DeclineReason,
    Evaluation,
    FeedCause,
    HoldReason,
    Opened,
    Session,
)
from review import fills
from rules import Rules


class Seen(NamedTuple):
    """One evaluation: when it was made (µs), whether the feed was blind then, and what was decided with it.

    ``decision`` is the weightiest decision's name (empty without one), ``declined`` why there was no entry although
    all conditions were met.
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
    is_simulated: bool = False
    """Whether a simulated market was watched, as a start of the program says."""
    is_stopped: bool = False
    """Whether the program was asked to stop before the record ends."""
    seen: list[Seen] = field(default_factory=list)
    bars: list[Bar | None] = field(default_factory=list)
    """The symbol's bar of each second of the session, as finally known; None without one."""
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
    def closes(self) -> list[float | None]:
        """The close of each second of the session, as finally known; None without a bar."""
        return [None if bar is None else bar.close for bar in self.bars]

    @property
    def seconds(self) -> int:
        """Seconds of the session so far."""
        newest = next((index for index in reversed(range(len(self.bars))) if self.bars[index]), -1)
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
        return sum(1 for bar in self.bars if bar is not None)

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
