"""The position: its states and their transitions, its marks, and the exit rules. Decides when to sell, never what to buy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import assert_never

import msgspec

from events import (
    OPTION_PRICE_UNIT,
    SECOND,
    Closed,
    Decision,
    Declined,
    ExitReason,
    FeedAlarmed,
    FeedRecovered,
    MarkBack,
    MarkLost,
    Opened,
    Withdrawn,
)
from rules import Rules

PERSISTENCE_BLOCKS = 2
"""How many blocks in a row the price must stay below its VWAP. The SELL's text says the same number ("2×30s")."""


class PositionState(Enum):
    """Whether a position is open."""

    FLAT = "flat"
    OPEN = "open"


TRANSITIONS: dict[PositionState, dict[type[Decision], PositionState]] = {
    PositionState.FLAT: {
        Opened: PositionState.OPEN,
        # The position closed before it became known that its BUY had not arrived.
        Withdrawn: PositionState.FLAT,
        Declined: PositionState.FLAT,
        FeedAlarmed: PositionState.FLAT,
        FeedRecovered: PositionState.FLAT,
    },
    PositionState.OPEN: {
        Closed: PositionState.FLAT,
        Withdrawn: PositionState.FLAT,
        Declined: PositionState.OPEN,
        FeedAlarmed: PositionState.OPEN,
        FeedRecovered: PositionState.OPEN,
        MarkLost: PositionState.OPEN,
        MarkBack: PositionState.OPEN,
    },
}
"""Every transition there is. A pair that is not in the table is a programming error, and raises KeyError."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """One quote of the held contract, in option price units. A price is 0 if that side is absent."""

    bid: int
    ask: int
    bid_size: float

    @property
    def is_priced(self) -> bool:
        """Returns whether there is an ask and the bid is not above it. A bid of 0 is a price: that of a worthless call."""
        return self.ask > 0 and self.bid <= self.ask

    @property
    def mid(self) -> int:
        """Returns the mid; half the ask when the bid is 0."""
        return (self.bid + self.ask) // 2


class Marks:
    """The held contract's marks: which of them count, and the highest and lowest that held lately.

    A quote as wide as a missing market maker's would sell or raise the peak by its mid alone, so it must last first.
    """

    def __init__(self, rules: Rules, opened: Opened, now: int) -> None:
        self._hold = round(rules.mark_hold_seconds * SECOND)
        self._lost_after = rules.mark_lost_seconds * SECOND
        self._wide_after = rules.wide_quote_seconds * SECOND
        self._wide_percent = rules.wide_quote_percent
        self._wide_least = round(rules.wide_quote_min * OPTION_PRICE_UNIT)
        self._stop = opened.stop
        self._held: deque[tuple[int, int]] = deque([(now, opened.mid)])
        self._wide_since: int | None = None
        self._newest: Mark | None = None
        self._newest_at = now
        self._stood_until: int | None = None
        self.usable = Mark(bid=opened.bid, ask=opened.ask, bid_size=opened.bid_size)
        """The newest mark that counted."""
        self.usable_at = now
        """When that mark was last known to stand, µs."""
        self.lost_since = now
        self.lost = False
        self._woke_at = 0

    def record(self, now: int, mark: Mark) -> None:
        """Records the newest quote."""
        self._newest = mark
        self._newest_at = now
        if self._stood_until is None:
            self._stood_until = now  # the previous mark ends here; `_count` clears this if the new one counts
        if not mark.is_priced:
            self._wide_since = None
        elif self._is_wide(mark):
            self._wide_since = now if self._wide_since is None else self._wide_since
            self.settle(now, is_fresh=True)
        else:
            self._wide_since = None
            self._count(now, mark)

    def settle(self, now: int, *, is_fresh: bool = False) -> None:
        """Counts a wide quote once it has been wide without a break for long enough, or once its ask is at the stop."""
        mark = self._newest
        if self._wide_since is None or mark is None or (mark is self.usable and not is_fresh):
            return
        if now - self._newest_at >= self._lost_after:
            return  # last seen too long ago: the quote may have been narrow in between
        unbroken = now - self._wide_since
        if unbroken >= self._wide_after or mark.ask <= self._stop:
            self._count(now, mark)

    def _is_wide(self, mark: Mark) -> bool:
        return mark.ask - mark.bid > max(mark.mid * self._wide_percent / 100, self._wide_least)

    def _count(self, now: int, mark: Mark) -> None:
        self.usable = mark
        self.usable_at = now
        self._stood_until = None
        if mark.mid != self._held[-1][1]:
            self._held.append((now, mark.mid))

    def span(self, now: int) -> tuple[int, int]:
        """Returns the lowest and the highest mark that held at any time in the last `MARK_HOLD_SECONDS`.

        Without a usable mark now, the span ends where the last one ended: the unusable quotes after a tick must not
        make it hold longer.
        """
        held = self._held
        start = (now if self._stood_until is None else self._stood_until) - self._hold
        while len(held) > 1 and held[1][0] <= start:
            held.popleft()
        if len(held) == 1:
            return held[0][1], held[0][1]
        values = [value for _, value in held]
        return min(values), max(values)

    def is_lost(self, now: int) -> bool:
        """Returns whether the last usable mark is `MARK_LOST_SECONDS` old."""
        return now - self.usable_at >= self._lost_after

    def wake(self, now: int) -> None:
        """Restarts the waiting times at ``now`` (µs), after the program did not run: the quotes in between are unknown."""
        self._woke_at = now
        if self._wide_since is not None:
            self._wide_since = now

    def is_missed(self, now: int) -> bool:
        """Returns whether the mark is lost although the program has run for `MARK_LOST_SECONDS`: then the owner is told."""
        return self.is_lost(now) and now - self._woke_at >= self._lost_after


class Persistence:
    """How long the price has been below its short VWAP at every evaluation. Times are starts of seconds, µs."""

    def __init__(self, rules: Rules, start: int) -> None:
        self._block = rules.persistence_block_seconds * SECOND
        self._minimum = rules.persistence_min_evaluations
        self._last_above: int | None = start
        self._below: deque[int] = deque()

    def record(self, start: int, *, is_below: bool, was_blind: bool) -> None:
        """Counts the evaluation of the second at ``start``. A blind spell since the last one restarts the count."""
        if was_blind:
            self._last_above = None
            self._below.clear()
        if not is_below:
            self._last_above = start
            self._below.clear()
            return
        if self._last_above is None:
            self._last_above = start - SECOND
        self._below.append(start)
        while self._below[0] <= start - PERSISTENCE_BLOCKS * self._block:
            self._below.popleft()

    @property
    def holds(self) -> bool:
        """Returns whether every evaluation of the last two blocks was below VWAP, and each block has enough of them."""
        if not self._below or self._last_above is None:
            return False
        end = self._below[-1]
        middle = end - self._block
        late = sum(1 for start in self._below if start > middle)
        early = len(self._below) - late
        whole = end - self._last_above >= PERSISTENCE_BLOCKS * self._block
        return whole and min(early, late) >= self._minimum


class Position:
    """An announced position: what was fixed when it opened, and what has moved since. ``peak`` is in option price units."""

    def __init__(self, rules: Rules, now: int, opened: Opened, start: int) -> None:
        self.opened = opened
        self.opened_at = now
        self.peak = opened.mid
        self.marks = Marks(rules, opened, now)
        self.persistence = Persistence(rules, start)

    def apply_time(self, now: int) -> None:
        """Applies what changes with time alone: a wide quote that has lasted long enough, and the peak."""
        self.marks.settle(now)
        if not self.marks.is_lost(now):
            self.peak = max(self.peak, self.marks.span(now)[0])


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What the exit rules see. ``below_vwap`` and ``persists`` are None while the feed is blind.

    ``highest`` is the highest mark that held lately, None without a usable one: a rule sells only if even that has
    fallen to its level. Prices are in option price units.
    """

    now: int
    opened: Opened
    highest: int | None
    hard_level: int
    vwap_level: int
    below_vwap: bool | None
    persists: bool | None
    is_stopping: bool


def time_stop(view: View) -> ExitReason | None:
    """Sells when now ≥ the day's time stop, whatever the feed does."""
    return ExitReason.TIME_STOP if view.now >= view.opened.time_stop else None


def stop_loss(view: View) -> ExitReason | None:
    """Sells when mark ≤ the stop level fixed at entry."""
    return ExitReason.STOP_LOSS if _is_at(view, view.opened.stop) else None


def hard_giveback(view: View) -> ExitReason | None:
    """Sells when mark ≤ peak × (1 - MAX_GIVEBACK_PERCENT / 100)."""
    return ExitReason.HARD_GIVEBACK if _is_at(view, view.hard_level) else None


def vwap_giveback(view: View) -> ExitReason | None:
    """Sells when mark ≤ peak × (1 - TIGHTEN_GIVEBACK_PERCENT / 100) while close < short VWAP."""
    return ExitReason.VWAP_GIVEBACK if view.below_vwap and _is_at(view, view.vwap_level) else None


def vwap_persistence(view: View) -> ExitReason | None:
    """Sells when the close was below the short VWAP at every evaluation of two blocks in a row."""
    return ExitReason.VWAP_PERSISTENCE if view.persists else None


def shutdown(view: View) -> ExitReason | None:
    """Sells when the program stops and was asked to close the position with it."""
    return ExitReason.SHUTDOWN if view.is_stopping else None


EXIT_RULES: tuple[Callable[[View], ExitReason | None], ...] = (
    time_stop,
    stop_loss,
    hard_giveback,
    vwap_giveback,
    vwap_persistence,
    shutdown,
)
"""The policy: the first rule that gives a reason sells."""


def _is_at(view: View, level: int) -> bool:
    """Returns whether the mark is at or below a level; False without a usable mark."""
    return view.highest is not None and view.highest <= level


def exit_reason(view: View) -> ExitReason | None:
    """Returns the reason of the first exit rule that sells, or None."""
    for rule in EXIT_RULES:
        reason = rule(view)
        if reason is not None:
            return reason
    return None


class Book:
    """The phase, the position and the day's counts. Only decisions change them, so a record's decisions restore them."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.phase = PositionState.FLAT
        self.position: Position | None = None
        self.entries = 0
        self.rests_until = 0
        """No position opens before this time (µs): the cooldown after a close, or the rest after a withdrawal."""
        self.last: Opened | None = None
        self._rested_until = 0

    @property
    def position_id(self) -> str | None:
        """Returns the open position's id, or None."""
        return None if self.position is None else self.position.opened.id

    def evolve(self, now: int, decision: Decision, start: int) -> None:
        """Applies a decision made at ``now``. ``start`` is the second evaluated last. Both in µs.

        Raises KeyError for a transition that is not in the table.
        """
        self.phase = TRANSITIONS[self.phase][type(decision)]
        match decision:
            case Opened():
                self.last = decision
                self._rested_until = self.rests_until
                self.entries += 1
                self.position = Position(self._rules, now, decision, start)
            case Closed():
                self.position = None
                self.rests_until = now + self._rules.entry_cooldown_seconds * SECOND
            case Withdrawn():
                # Nobody was told, so nobody holds it: neither its cooldown nor its entry counts.
                self.position = None
                self.entries -= 1
                self.last = None
                rest = now + self._rules.withdrawn_rest_seconds * SECOND
                self.rests_until = max(self._rested_until, rest)
            case MarkLost() | MarkBack():
                assert self.position is not None
                self.position.marks.lost = isinstance(decision, MarkLost)
                self.position.marks.lost_since = decision.since
            case Declined() | FeedAlarmed() | FeedRecovered():
                pass
            case _:
                assert_never(decision)
