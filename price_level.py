"""A symbol's price level, and the prints kept apart from it until something confirms them. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

import msgspec

from events import PRICE_MAX, PRICE_MIN, VOLUME_LIMIT, Bar
from rules import Rules
from windows import PERCENT, ROUNDING, Closes

IMPOSSIBLE_PERCENT = 20.0
"""A jump over this is treated as bad data: at 20 % the exchanges stop trading for the day, and a fund's price bands (LULD,
5 to 10 %) halt it long before. Neither a second bar nor REST nor the benchmark can confirm it."""

UNPROVEN_PERCENT = 7.0
"""Two symbols' first prints at another level speak for each other up to this jump: at 7 % the whole market is halted.
Beyond it both may share one fault of the vendor's; the second bar of either tells a second later."""

LEVEL_BARS = 60
"""This many bars in a row at the new level make even an impossible jump the price."""

LONE_SECONDS = 300
"""A bar confirms or refutes a first print with nothing before it only if it lies within this many seconds of it."""


class Kept(msgspec.Struct, gc=False):
    """A bar that is kept apart.

    ``is_live``: the socket sent its second, not only REST. ``is_in``: REST or the other symbol has confirmed it, so the
    windows hold it; it stays here because a second bar near it would start a new level.
    """

    bar: Bar
    is_live: bool
    is_in: bool = False


class Band:
    """The range in which a close is plainly near the last ones.

    It avoids computing a median for nearly every bar: a close between ``floor`` and ``ceiling`` is within the limit of
    each of the last closes, and so of their median. While a bar waits, no close lies between them. A close between
    ``low`` and ``high``, which lie inside that range, leaves it as it is: it needs no call of `admit`.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.shut()

    def shut(self) -> None:
        """Makes the range empty: every bar is then weighed."""
        self.floor, self.ceiling = math.inf, -math.inf
        self.low, self.high = math.inf, -math.inf
        self._least, self._most = math.inf, -math.inf

    def admit(self, bar: Bar) -> bool:
        """Returns whether a bar is plainly near the last ones, and if so, extends the range by its close."""
        if not (
            self.floor <= bar.close <= self.ceiling
            and self.floor <= bar.vwap <= self.ceiling
            and 0 <= bar.volume < VOLUME_LIMIT
        ):
            return False
        self.widen(bar.close)
        return True

    def widen(self, close: float) -> None:
        """Extends the range by a close that was stored."""
        self._least, self._most = min(self._least, close), max(self._most, close)
        self.floor = max(self._most * (1 - self._limit), PRICE_MIN)
        self.ceiling = min(self._least * (1 + self._limit), PRICE_MAX)
        self.low, self.high = max(self._least, self.floor), min(self._most, self.ceiling)


class Vicinity:
    """The closes around a second, and how far another close lies from them.

    A second at which another price level begins separates the closes before it from those after it.
    """

    def __init__(self, rules: Rules, closes: Closes) -> None:
        self._closes = closes
        self._limit = rules.price_jump_percent / PERCENT
        self._count = rules.price_jump_closes
        self._starts: list[int] = []
        """The seconds at which another level began, in order."""

    def begin_level(self, start: int) -> None:
        """Notes that another level begins at a second."""
        if start not in self._starts:
            insort(self._starts, start)

    def before(self, index: int, *, across: bool = False) -> list[float]:
        """Returns the last closes before a second, the newest first; of its level only unless ``across`` levels."""
        seconds, starts = self._closes.seconds, self._starts
        end = bisect_left(seconds, index)
        first = max(0, end - self._count)
        if starts and not across and (level := bisect_left(starts, index)):
            first = max(first, bisect_left(seconds, starts[level - 1]))
        return [self._known(second) for second in reversed(seconds[first:end])]

    def after(self, index: int) -> list[float]:
        """Returns the first closes after a second that are near it in time."""
        seconds = self._closes.seconds
        first = bisect_right(seconds, index)
        near = seconds[first : first + self._count]
        return [self._known(second) for second in near if second <= index + LONE_SECONDS]

    def _known(self, second: int) -> float:
        close = self._closes.close[second]
        assert close is not None, "the seconds are those that have one"
        return close

    def move(self, index: int, close: float) -> float:
        """Returns how far a close lies from those around it, in percent."""
        base = self.before(index) or self.after(index)
        return (close / _median(base) - 1) * PERCENT if base else 0.0

    def agrees(self, close: float, other: float) -> bool:
        """Returns whether two closes lie within the limit of each other."""
        return abs(close / other - 1) <= self._limit + ROUNDING

    def is_second_source(self, twin: Bar, bar: Bar) -> bool:
        """Returns whether two bars of one second agree, one from the socket and one from REST."""
        return twin.backfilled is not bar.backfilled and self.agrees(twin.close, bar.close)

    def needed(self, index: int) -> int:
        """Returns how many other bars must agree with an impossible jump before it is believed."""
        known = len(self.before(index, across=True) or self.after(index))
        return known if known < self._count else LEVEL_BARS - 1


class Level:
    """The price level of one symbol, and the bars that are kept apart because they lie far from it.

    A close further than `PRICE_JUMP_PERCENT` from the median of the last `PRICE_JUMP_CLOSES` enters no window until
    it is confirmed: by a second bar of the symbol within the same percentage of it, by the other source of the same
    second (REST for the socket, or the reverse), or by a similar move of the other symbol. The next bar from the same
    source at the old level refutes it. The first print of a session has nothing before it: it enters the windows at
    once, is not used as the price until another bar agrees, and is dropped when two bars near it in time disagree.
    """

    def __init__(self, rules: Rules, closes: Closes) -> None:
        self.closes = closes
        self._limit = rules.price_jump_percent / PERCENT
        self._around = Vicinity(rules, closes)
        self.band = Band(self._limit)
        self._age_s = rules.benchmark_max_age_seconds
        self._waiting: dict[int, Kept] = {}
        self.put = closes.put
        """Stores a bar that needs no weighing."""
        self.refuted: dict[int, Bar | None] = {}
        """Seconds whose only bar so far was refuted, with that bar; None for a first print that was dropped."""
        self._lone: set[int] = set()
        self.kept_apart = 0
        """How many bars were kept apart so far, including those confirmed later."""
        self.newest_apart: tuple[Bar, float] | None = None
        """The latest of them, and how far (percent) it lies from the last closes."""

    # --- Questions ---

    @property
    def waits(self) -> bool:
        """Returns whether a bar waits to be confirmed or refuted."""
        return bool(self._waiting)

    @property
    def price(self) -> float | None:
        """Returns the newest close; None if that is a first print which no other bar has confirmed."""
        seconds = self.closes.seconds
        return None if not seconds or seconds[-1] in self._lone else self.closes.close[seconds[-1]]

    def is_known(self, index: int) -> bool:
        """Returns whether a bar of this second was seen before, even if no window holds it."""
        return self.closes.close[index] is not None or index in self._waiting or index in self.refuted

    def reset(self, *, is_shut: bool) -> None:
        """Computes the band from the last closes. Leaves it empty if ``is_shut``, or while a bar or a first print waits."""
        self.band.shut()
        if not (is_shut or self._waiting or self._lone):
            for close in self._around.before(self.closes.newest + 1):
                self.band.widen(close)

    # --- Bars that must be weighed ---

    def store(self, index: int, bar: Bar, other: Level | None) -> tuple[bool, bool]:
        """Weighs a bar, then stores it or keeps it apart. Returns what `Closes.put` does; a bar kept apart is not the newest.

        ``other`` is the level of the other symbol.
        """
        is_new, newest = not self.is_known(index), self.closes.newest
        if abs(bar.vwap - bar.close) <= self._limit * bar.close:
            entering = self._weigh(index, bar, other)
        else:  # no second trades that far from its own close: keep the volume, but replace the VWAP
            entering = self._weigh(index, msgspec.structs.replace(bar, vwap=bar.close), other)
        for second in sorted(entering):
            self.closes.put(second, entering[second])
            self.refuted.pop(second, None)
        if index not in entering:
            return is_new, False
        self._refute_before(index, bar)
        self._review_lone(index, bar.close)
        return is_new, index > newest and index == self.closes.newest

    def reconsider(self, other: Level) -> None:
        """Stores the waiting bars that the other symbol's move now confirms."""
        for second, kept in self._waiting.items():
            move = self._around.move(second, kept.bar.close)
            if not kept.is_in and abs(move) <= IMPOSSIBLE_PERCENT and other.moved_like(second, move):
                kept.is_in = True
                self.closes.put(second, kept.bar)

    def moved_like(self, index: int, move: float) -> bool:
        """Returns whether this symbol moved at least half as far the same way within `BENCHMARK_MAX_AGE_SECONDS`.

        ``move`` is in percent. A bar that is itself kept apart confirms only a move of about its own size.
        """
        for second, kept in self._waiting.items():
            if abs(second - index) <= self._age_s and not kept.is_in:
                own = self._around.move(second, kept.bar.close)
                is_possible = max(abs(own), abs(move)) <= UNPROVEN_PERCENT
                if is_possible and _is_alike(move, own) and _is_alike(own, move):
                    return True
        end = min(index + self._age_s, self.closes.newest)
        for second in range(end, max(index - self._age_s, 0) - 1, -1):
            close = self.closes.close[second]
            if close is not None:
                # Measured from the closes before it at any level, so that a move confirmed meanwhile still counts.
                before = self._around.before(second, across=True)
                return bool(before) and _is_alike(move, (close / _median(before) - 1) * PERCENT)
        return False

    # --- Weighing ---

    def _weigh(self, index: int, bar: Bar, other: Level | None) -> dict[int, Bar]:
        """Returns the bars to store, by second: this one and those that it confirms, or none."""
        before = self._waiting.pop(index, None)
        if self._is_near(index, bar.close):
            return {index: bar}
        is_live = not bar.backfilled or (before is not None and before.is_live)
        kin = [
            second for second, kept in self._waiting.items() if self._around.agrees(kept.bar.close, bar.close)
        ]
        move = self._around.move(index, bar.close)
        if abs(move) > IMPOSSIBLE_PERCENT:
            is_real = len(kin) >= self._around.needed(index)
            if is_real:
                self._drop_impossible(bar.close)
        else:
            twin = before.bar if before is not None else self.refuted.get(index)
            is_real = (
                bool(kin)
                or (twin is not None and self._around.is_second_source(twin, bar))
                or (other is not None and other.moved_like(index, move))
            )
        if not is_real:
            self._keep_apart(index, bar, is_live)
            return {}
        if not kin:
            self._waiting[index] = Kept(bar, is_live, is_in=True)  # the next bar near it begins a level
            return {index: bar}
        start = min(index, *kin)
        self._around.begin_level(start)
        found = {second: self._waiting.pop(second) for second in kin}
        return {index: bar, **{second: kept.bar for second, kept in found.items() if not kept.is_in}}

    def _is_near(self, index: int, close: float) -> bool:
        """Returns whether a close lies near those before it, that of the same second, or the next one after it."""
        known, after = self.closes.close[index], self._around.after(index)
        base = self._around.before(index) or after
        if not base:
            self._lone.add(index)  # nothing to compare with
            return True
        return (
            self._around.agrees(close, _median(base))
            or (known is not None and (index in self._lone or self._around.agrees(close, known)))
            or (bool(after) and self._around.agrees(close, after[0]))
        )

    def _keep_apart(self, index: int, bar: Bar, is_live: bool) -> None:
        if len(self._waiting) >= LEVEL_BARS:
            oldest = next(iter(self._waiting))
            self.refuted[oldest] = self._waiting.pop(oldest).bar
        self._waiting[index] = Kept(bar, is_live)
        self.kept_apart += 1
        self.newest_apart = bar, self._around.move(index, bar.close)

    def _refute_before(self, index: int, bar: Bar) -> None:
        """Refutes the bars that wait at earlier seconds and came from the same source as this one.

        A live bar says nothing about a gap that REST is filling, unless that lies more than `LONE_SECONDS` back.
        """
        for second in [each for each in self._waiting if each < index]:
            kept = self._waiting[second]
            if kept.is_live is not bar.backfilled or index - second > LONE_SECONDS:
                del self._waiting[second]
                if not kept.is_in:
                    self.refuted[second] = kept.bar

    def _review_lone(self, index: int, close: float) -> None:
        """Confirms a first print that agrees with this close. Drops one that two closes near it in time contradict."""
        for lone in self._lone - {index}:
            first = self.closes.close[lone]
            if first is None or self._around.agrees(close, first):
                self._lone.discard(lone)
            elif abs(lone - index) <= LONE_SECONDS:
                start, end = max(lone - LONE_SECONDS, 0), lone + LONE_SECONDS + 1
                around = [each for each in self.closes.close[start:end] if each is not None]
                if sum(not self._around.agrees(each, first) for each in around) > 1:
                    self._lone.discard(lone)
                    self._drop(lone)

    def _drop(self, second: int) -> None:
        self.closes.drop(second)
        self.refuted[second] = None

    def _drop_impossible(self, close: float) -> None:
        """Drops the closes that lie impossibly far from ``close``, where the feed now continues."""
        for second, value in enumerate(self.closes.close):
            if value is not None and abs(value / close - 1) * PERCENT > IMPOSSIBLE_PERCENT:
                self._drop(second)
        self._lone.clear()


def _median(values: Iterable[float]) -> float:
    """Returns the middle value, or the mean of the middle two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _is_alike(move: float, other: float) -> bool:
    """Returns whether another move goes the same way and at least half as far."""
    return move * other > 0 and abs(other) * 2 >= abs(move)
