"""Windows over one session's seconds, and the entry conditions on them. Decides what holds, never what to do.

Sums are kept in integers (prices in billionths of a dollar, volumes in millionths of a share), so adding and
removing a second is exact: a window's value depends on its bars alone, not on the order in which they came,
on how often they were corrected, or on how many seconds passed before. A correction costs the same in a
window of a minute and in one of a day.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import assert_never

import msgspec

from events import (
    PRICE_MAX,
    PRICE_MIN,
    SECOND,
    VOLUME_LIMIT,
    Bar,
    Condition,
    DeclineReason,
    Evaluation,
    HoldReason,
    Session,
    Shortfall,
)
from rules import Rules

PRICE_SCALE = 10**9
"""Steps in a dollar: finer than any price or VWAP the vendor prints."""

VOLUME_SCALE = 10**6
"""Steps in a share: the decimals of the vendor's fractional volumes."""

PERCENTILE_SCALE = 1_000
"""Steps in a percentile, so that its rank is an exact fraction."""

PERCENTILE_PARTS = 100 * PERCENTILE_SCALE
"""Parts in the whole that percentiles are of."""

ROUNDING = 1e-9
"""Differences of ratios up to this are rounding, not movement."""

PERCENT = 100.0

RISEN = ROUNDING * 100
"""A change of the short VWAP (percent) must exceed this to count as a rise: a flat tape does not rise."""

IMPOSSIBLE_PERCENT = 20.0
"""A jump over this is treated as bad data: at 20 % the exchanges stop trading for the day, and a fund's price bands (LULD,
5 to 10 %) halt it long before. Neither a second bar nor REST nor the benchmark confirms it."""

UNPROVEN_PERCENT = 7.0
"""Two symbols' first prints at another level speak for each other up to this jump: at 7 % the whole market is halted.
Beyond it both may come from one fault of the vendor's, and the second bar of either says so a second later."""

LEVEL_BARS = 60
"""This many bars in a row at the new level make even an impossible jump the price."""

LONE_SECONDS = 300
"""A bar confirms or refutes a first print with nothing before it only if it lies within this many seconds of it."""

FAR_PERCENT = 0.10
"""A distance in price that counts as far as a second without any volume: what IWM does in a strong minute."""


class Closes:
    """The regular session's closes of one symbol, by their second from the open. Keyed: a repeat replaces."""

    def __init__(self, seconds: int) -> None:
        self.newest = -1
        self.close: list[float | None] = [None] * seconds
        self.seconds: list[int] = []
        """The seconds that have a close, in order."""

    def put(self, index: int, bar: Bar) -> tuple[bool, bool]:
        """Store a bar. Returns whether its second is new, and whether it is the newest so far."""
        is_new = self.close[index] is None
        self.close[index] = bar.close
        if index <= self.newest:
            if is_new:
                insort(self.seconds, index)
            return is_new, False
        self.newest = index
        self.seconds.append(index)
        return True, True

    def last(self, index: int, oldest: int) -> float | None:
        """The last close at or before a second, not older than another; None without one."""
        if index >= 0 and (close := self.close[index]) is not None:
            return close
        for position in range(index, max(oldest, 0) - 1, -1):
            close = self.close[position]
            if close is not None:
                return close
        return None

    def drop(self, index: int) -> None:
        """Remove a second whose bar was refuted. ``newest`` does not go back."""
        if self.close[index] is not None:
            del self.seconds[bisect_left(self.seconds, index)]
        self.close[index] = None


class Tape(Closes):
    """The seconds of the watched symbol with their volumes, and the sums of those before each second.

    With these, the sum over any window is one difference, however long the window. ``reach`` is how many seconds
    back from its evaluation a window may begin; before the open nothing was traded.
    """

    def __init__(self, seconds: int, reach: int) -> None:
        super().__init__(seconds)
        self.evaluated = -1
        """The second last evaluated: no sum is asked for any more that begins more than ``reach`` before it."""
        self._reach = reach
        self.after = reach + 1
        """Where the sums up to a second stand: this much behind its own place."""
        self.price = [0] * seconds
        self.shares = [0] * seconds
        self.notional = [0] * seconds
        self.shares_before = [0] * (reach + seconds + 1)
        self._notional_before = [0] * (reach + seconds + 1)
        self.is_stale = False
        """Whether the sums lack a correction: `settle` comes before they are read."""
        self._stale_from = seconds
        self._windows: list[Window] = []

    def attach(self, window: Window) -> None:
        """Have a window mended when one of its seconds changes."""
        self._windows.append(window)

    def put(self, index: int, bar: Bar) -> tuple[bool, bool]:
        """Store a bar, and mend what has already counted its second. Returns the same."""
        shares = round(bar.volume * VOLUME_SCALE)
        # No price lies half-way between two steps, so this is `round`, which looks for its method anew each time.
        notional = shares * int(bar.vwap * PRICE_SCALE + 0.5)
        holders: list[Window] | None = None
        is_new = is_newest = index > self.newest
        if is_newest:  # in the order of time, as nearly all are: nothing has counted it yet
            all_shares, all_notional = self.shares_before, self._notional_before
            before, after = self.newest + self.after, index + self.after
            while (before := before + 1) < after:  # no bar, no volume
                all_shares[before] = all_shares[before - 1]
                all_notional[before] = all_notional[before - 1]
            all_shares[after] = all_shares[after - 1] + shares
            all_notional[after] = all_notional[after - 1] + notional
            self.newest = index
            self.seconds.append(index)
        else:
            is_new = self.close[index] is None
            if is_new:
                insort(self.seconds, index)
            holders = self._release(index, is_new)
        self.close[index] = bar.close
        self.price[index] = int(bar.close * PRICE_SCALE + 0.5)
        self.shares[index] = shares
        self.notional[index] = notional
        if holders is not None:
            for window in holders:
                window.add(index)
        return is_new, is_newest

    def _release(self, index: int, is_new: bool) -> list[Window]:
        """Remove a second that is about to change from all sums. Returns the windows that it must be added to again."""
        if index > self.evaluated - self._reach:
            self.is_stale = True
            self._stale_from = min(self._stale_from, index)
        holders = [window for window in self._windows if window.holds(index)]
        if not is_new:
            for window in holders:
                window.remove(index)
        return holders

    def drop(self, index: int) -> None:
        """Remove a second whose bar was refuted, from every window and sum."""
        self._release(index, is_new=False)
        super().drop(index)
        self.price[index] = self.shares[index] = self.notional[index] = 0

    def settle(self) -> None:
        """Bring the sums up to date after corrections: once for all of them, from the earliest on."""
        first, end = self._stale_from, self.newest + 1
        place = first + self.after - 1
        for sums, values in ((self.shares_before, self.shares), (self._notional_before, self.notional)):
            sums[place : end + self.after] = accumulate(values[first:end], initial=sums[place])
        self._stale_from = len(self.close)
        self.is_stale = False

    def vwaps(self, end: int, long: int, shift: int, short: int, ago: int) -> tuple[float | None, ...]:
        """The `vwap` of the long window, of the long one ``shift`` s before, and of the short one ``ago`` s before.

        In one go: three calls would be a twelfth of an evaluation.
        """
        all_shares, all_notional, place = self.shares_before, self._notional_before, end + self.after
        shares, notional = all_shares[place], all_notional[place]
        if shares := shares - all_shares[place - long]:
            now = (notional - all_notional[place - long]) / (shares * PRICE_SCALE)
        else:
            now = None
        before = place - shift
        if shares := all_shares[before] - all_shares[before - long]:
            earlier = (all_notional[before] - all_notional[before - long]) / (shares * PRICE_SCALE)
        else:
            earlier = None
        before = place - ago
        if shares := all_shares[before] - all_shares[before - short]:
            return (
                now,
                earlier,
                (all_notional[before] - all_notional[before - short]) / (shares * PRICE_SCALE),
            )
        return now, earlier, None

    def vwap(self, end: int, width: int) -> float | None:
        """Σ(vw·v) / Σv over the bars with start in (end - width, end], dollars; None without volume."""
        sums, place = self.shares_before, end + self.after
        shares = sums[place] - sums[place - width]
        if not shares:
            return None
        sums = self._notional_before
        return (sums[place] - sums[place - width]) / (shares * PRICE_SCALE)


class Window:
    """The bars of a tape with start in (end - width, end], in seconds; ``end`` moves forward only.

    Each bar enters once and leaves once; a corrected one is taken out and put in again.
    """

    def __init__(self, tape: Tape, width: int) -> None:
        self.width = width
        self.end = -1
        self._close = tape.close
        tape.attach(self)

    def holds(self, index: int) -> bool:
        """Whether a second lies in the window."""
        return self.end - self.width < index <= self.end

    def add(self, index: int) -> None:
        """Take a second of the tape in."""
        raise NotImplementedError

    def remove(self, index: int) -> None:
        """Take a second of the tape out."""
        raise NotImplementedError


class VolumeDistribution(Window):
    """The volumes of the window's bars, sorted, with their first two power sums."""

    def __init__(self, tape: Tape, width: int, percent: float) -> None:
        super().__init__(tape, width)
        self._shares = tape.shares
        self._percent = round(percent * PERCENTILE_SCALE)
        self.ordered: list[int] = []
        """The volumes, the smallest first."""
        self._total = 0
        self._squares = 0

    def advance(self, end: int) -> None:
        """Move the end, second by second; written out, because every evaluation comes through here."""
        index = self.end
        if end <= index:
            return
        close, all_shares, ordered, width = self._close, self._shares, self.ordered, self.width
        total, squares = self._total, self._squares
        while index < end:
            index += 1
            leaving = index - width
            if leaving >= 0 and close[leaving] is not None:
                shares = all_shares[leaving]
                del ordered[bisect_left(ordered, shares)]
                total -= shares
                squares -= shares * shares
            if close[index] is not None:
                shares = all_shares[index]
                insort(ordered, shares)
                total += shares
                squares += shares * shares
        self._total, self._squares = total, squares
        self.end = end

    def add(self, index: int) -> None:
        """Take a second in."""
        shares = self._shares[index]
        insort(self.ordered, shares)
        self._total += shares
        self._squares += shares * shares

    def remove(self, index: int) -> None:
        """Take a second out."""
        shares = self._shares[index]
        del self.ordered[bisect_left(self.ordered, shares)]
        self._total -= shares
        self._squares -= shares * shares

    def percentile(self) -> int:
        """The percentile by linear interpolation, exact, in volume steps × `PERCENTILE_PARTS`."""
        ordered = self.ordered
        rank, rest = divmod((len(ordered) - 1) * self._percent, PERCENTILE_PARTS)
        below = ordered[rank]
        return below * PERCENTILE_PARTS + ((ordered[rank + 1] - below) * rest if rest else 0)

    def total_at(self, second: int) -> int:
        """Σv over the bars with start in (second - width, second], the window being the one that ends just before."""
        total, leaving = self._total + self._shares[second], second - self.width
        return total - self._shares[leaving] if leaving >= 0 else total

    def z(self, shares: int) -> float | None:
        """Distance of a volume from the mean in population deviations; None without deviation."""
        count, total = len(self.ordered), self._total
        spread = count * self._squares - total * total
        return (count * shares - total) / math.sqrt(spread) if spread > 0 else None


class CloseTrend(Window):
    """Least squares of close on start time."""

    def __init__(self, tape: Tape, width: int, least: int) -> None:
        super().__init__(tape, width)
        self._price = tape.price
        self._least = least
        self._count = 0
        self._x = self._y = self._xx = self._xy = 0

    def advance(self, end: int) -> None:
        """Move the end, second by second; written out, because every evaluation comes through here."""
        index = self.end
        if end <= index:
            return
        close, price, width = self._close, self._price, self.width
        count, x, y, xx, xy = self._count, self._x, self._y, self._xx, self._xy
        while index < end:
            index += 1
            leaving = index - width
            if leaving >= 0 and close[leaving] is not None:
                value = price[leaving]
                count -= 1
                x -= leaving
                y -= value
                xx -= leaving * leaving
                xy -= leaving * value
            if close[index] is not None:
                value = price[index]
                count += 1
                x += index
                y += value
                xx += index * index
                xy += index * value
        self._count, self._x, self._y, self._xx, self._xy = count, x, y, xx, xy
        self.end = end

    def add(self, index: int) -> None:
        """Take a second in."""
        self._change(index, 1)

    def remove(self, index: int) -> None:
        """Take a second out."""
        self._change(index, -1)

    def _change(self, index: int, sign: int) -> None:
        price = sign * self._price[index]
        self._count += sign
        self._x += sign * index
        self._y += price
        self._xx += sign * index * index
        self._xy += index * price

    def slope(self, end: int) -> float | None:
        """Slope up to a second, in price steps per second; None with too few bars."""
        self.advance(end)
        count, x = self._count, self._x
        spread = count * self._xx - x * x
        return (count * self._xy - x * self._y) / spread if count >= self._least and spread else None


class Kept(msgspec.Struct, gc=False):
    """A bar that is kept apart.

    ``is_live``: the socket sent its second, not only REST. ``is_in``: REST or the other symbol has confirmed it, so the
    windows hold it; it stays here because a second bar near it would start a new level.
    """

    bar: Bar
    is_live: bool
    is_in: bool = False


class Level:
    """The price level of one symbol, and the bars that are kept apart because they lie far from it.

    A close further than `PRICE_JUMP_PERCENT` from the median of the last `PRICE_JUMP_CLOSES` enters no window until
    it is confirmed: by a second bar of the symbol within the same percentage of it, by the other source of the same
    second (REST for the socket, or the reverse), or by a similar move of the other symbol. The next bar from the same
    source at the old level refutes it. The first print of a session has nothing before it: it enters the windows at
    once, is not used as the price until another bar agrees, and is dropped when two bars near it in time disagree.

    ``floor`` and ``ceiling`` avoid computing the median for nearly every bar: a close between them is within the limit
    of each of the last closes, and so of their median. While a bar waits, no close lies between them.
    """

    def __init__(self, rules: Rules, closes: Closes) -> None:
        self.closes = closes
        self._limit = rules.price_jump_percent / PERCENT
        self._count = rules.price_jump_closes
        self._age_s = rules.benchmark_max_age_seconds
        self.floor, self.ceiling = math.inf, -math.inf
        self.low, self.high = math.inf, -math.inf
        self._waiting: dict[int, Kept] = {}
        self.put = closes.put
        """Store a bar that needs no weighing."""
        self.refuted: dict[int, Bar | None] = {}
        """Seconds whose only bar so far was refuted, with that bar; None for a first print that was dropped."""
        self._lone: set[int] = set()
        self._starts: list[int] = []
        """The seconds at which another level began, in order."""
        self.kept_apart = 0
        """How many bars were kept apart so far, including those confirmed later."""
        self.newest_apart: tuple[Bar, float] | None = None
        """The latest of them, and how far (percent) it lies from the last closes."""

    # --- Questions ---

    @property
    def waits(self) -> bool:
        """Whether a bar waits to be confirmed or refuted."""
        return bool(self._waiting)

    @property
    def price(self) -> float | None:
        """The newest close; None if that is a first print which no other bar has confirmed."""
        seconds = self.closes.seconds
        return None if not seconds or seconds[-1] in self._lone else self.closes.close[seconds[-1]]

    def is_known(self, index: int) -> bool:
        """Whether a bar of this second was seen before, even if no window holds it."""
        return self.closes.close[index] is not None or index in self._waiting or index in self.refuted

    def widen(self, close: float) -> None:
        """Extend the range of the last closes by one that was stored by the short way."""
        self.low, self.high = min(self.low, close), max(self.high, close)
        self.floor = max(self.high * (1 - self._limit), PRICE_MIN)
        self.ceiling = min(self.low * (1 + self._limit), PRICE_MAX)

    def reset(self, *, is_shut: bool) -> None:
        """Compute ``floor`` and ``ceiling`` from the last closes, or close the short way."""
        self.floor, self.ceiling = math.inf, -math.inf
        self.low, self.high = math.inf, -math.inf
        if not (is_shut or self._waiting or self._lone):
            for close in self._before(self.closes.newest + 1):
                self.widen(close)

    # --- The long way ---

    def store(self, index: int, bar: Bar, other: Level | None) -> tuple[bool, bool]:
        """Judge a bar, then store it or keep it apart. Returns what `Closes.put` does; a bar kept apart is not the newest.

        ``other`` is the level of the other symbol.
        """
        is_new, newest = not self.is_known(index), self.closes.newest
        if abs(bar.vwap - bar.close) <= self._limit * bar.close:
            entering = self._weigh(index, bar, other)
        else:  # no second trades that far from its own close: keep the volume, replace the average price
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
        """Store the waiting bars that the other symbol's move now confirms."""
        for second, kept in self._waiting.items():
            move = self._move(second, kept.bar.close)
            if not kept.is_in and abs(move) <= IMPOSSIBLE_PERCENT and other.moved_like(second, move):
                kept.is_in = True
                self.closes.put(second, kept.bar)

    def moved_like(self, index: int, move: float) -> bool:
        """Whether this symbol moved at least half as far the same way within `BENCHMARK_MAX_AGE_SECONDS`.

        ``move`` is in percent. A bar that is itself kept apart confirms only a move of about its own size.
        """
        for second, kept in self._waiting.items():
            if abs(second - index) <= self._age_s and not kept.is_in:
                own = self._move(second, kept.bar.close)
                is_possible = max(abs(own), abs(move)) <= UNPROVEN_PERCENT
                if is_possible and _is_alike(move, own) and _is_alike(own, move):
                    return True
        end = min(index + self._age_s, self.closes.newest)
        for second in range(end, max(index - self._age_s, 0) - 1, -1):
            close = self.closes.close[second]
            if close is not None:
                # Measured from the closes before it, of any level: a move confirmed meanwhile still counts.
                before = self._before(second, across=True)
                return bool(before) and _is_alike(move, (close / _median(before) - 1) * PERCENT)
        return False

    # --- Weighing ---

    def _weigh(self, index: int, bar: Bar, other: Level | None) -> dict[int, Bar]:
        """Returns the bars to store, by second: this one and those that it confirms, or none."""
        before = self._waiting.pop(index, None)
        if self._is_near(index, bar.close):
            return {index: bar}
        is_live = not bar.backfilled or (before is not None and before.is_live)
        kin = [second for second, kept in self._waiting.items() if self._agree(kept.bar.close, bar.close)]
        move = self._move(index, bar.close)
        if abs(move) > IMPOSSIBLE_PERCENT:
            is_real = len(kin) >= self._needed(index)
            if is_real:
                self._drop_impossible(bar.close)
        else:
            twin = before.bar if before is not None else self.refuted.get(index)
            is_real = (
                bool(kin)
                or (twin is not None and self._is_second_source(twin, bar))
                or (other is not None and other.moved_like(index, move))
            )
        if not is_real:
            self._keep_apart(index, bar, is_live)
            return {}
        if not kin:
            self._waiting[index] = Kept(bar, is_live, is_in=True)  # the next bar near it starts a level
            return {index: bar}
        start = min(index, *kin)
        if start not in self._starts:
            insort(self._starts, start)
        found = {second: self._waiting.pop(second) for second in kin}
        return {index: bar, **{second: kept.bar for second, kept in found.items() if not kept.is_in}}

    def _is_near(self, index: int, close: float) -> bool:
        """Whether a close lies near those before it, that of the same second, or the next one after it."""
        known, after = self.closes.close[index], self._after(index)
        base = self._before(index) or after
        if not base:
            self._lone.add(index)  # nothing to compare with
            return True
        return (
            self._agree(close, _median(base))
            or (known is not None and (index in self._lone or self._agree(close, known)))
            or (bool(after) and self._agree(close, after[0]))
        )

    def _is_second_source(self, twin: Bar, bar: Bar) -> bool:
        """Whether two bars of one second agree, one from the socket and one from REST."""
        return twin.backfilled is not bar.backfilled and self._agree(twin.close, bar.close)

    def _needed(self, index: int) -> int:
        """How many other bars must agree with an impossible jump before it is believed."""
        known = len(self._before(index, across=True) or self._after(index))
        return known if known < self._count else LEVEL_BARS - 1

    def _keep_apart(self, index: int, bar: Bar, is_live: bool) -> None:
        if len(self._waiting) >= LEVEL_BARS:
            oldest = next(iter(self._waiting))
            self.refuted[oldest] = self._waiting.pop(oldest).bar
        self._waiting[index] = Kept(bar, is_live)
        self.kept_apart += 1
        self.newest_apart = bar, self._move(index, bar.close)

    def _refute_before(self, index: int, bar: Bar) -> None:
        """Refute the bars that wait at earlier seconds and came from the same source as this one.

        A live bar says nothing about a gap that REST is filling, unless that lies more than `LONE_SECONDS` back.
        """
        for second in [each for each in self._waiting if each < index]:
            kept = self._waiting[second]
            if kept.is_live is not bar.backfilled or index - second > LONE_SECONDS:
                del self._waiting[second]
                if not kept.is_in:
                    self.refuted[second] = kept.bar

    def _review_lone(self, index: int, close: float) -> None:
        """Confirm a first print that agrees with this close; drop one that two closes near it in time contradict."""
        for lone in self._lone - {index}:
            first = self.closes.close[lone]
            if first is None or self._agree(close, first):
                self._lone.discard(lone)
            elif abs(lone - index) <= LONE_SECONDS:
                start, end = max(lone - LONE_SECONDS, 0), lone + LONE_SECONDS + 1
                around = [each for each in self.closes.close[start:end] if each is not None]
                if sum(not self._agree(each, first) for each in around) > 1:
                    self._lone.discard(lone)
                    self._drop(lone)

    def _drop(self, second: int) -> None:
        self.closes.drop(second)
        self.refuted[second] = None

    def _drop_impossible(self, close: float) -> None:
        """The feed continues at another level: drop the closes that lie impossibly far from it."""
        for second, value in enumerate(self.closes.close):
            if value is not None and abs(value / close - 1) * PERCENT > IMPOSSIBLE_PERCENT:
                self._drop(second)
        self._lone.clear()

    # --- The closes around a second ---

    def _before(self, index: int, *, across: bool = False) -> list[float]:
        """The last closes before a second, the newest first; of its level only unless ``across`` levels."""
        seconds, starts = self.closes.seconds, self._starts
        end = bisect_left(seconds, index)
        first = max(0, end - self._count)
        if starts and not across and (level := bisect_left(starts, index)):
            first = max(first, bisect_left(seconds, starts[level - 1]))
        return [self._known(second) for second in reversed(seconds[first:end])]

    def _after(self, index: int) -> list[float]:
        """The first closes after a second that are near it in time."""
        seconds = self.closes.seconds
        first = bisect_right(seconds, index)
        near = seconds[first : first + self._count]
        return [self._known(second) for second in near if second <= index + LONE_SECONDS]

    def _known(self, second: int) -> float:
        close = self.closes.close[second]
        assert close is not None, "the seconds are those that have one"
        return close

    def _move(self, index: int, close: float) -> float:
        """How far a close lies from those around it, in percent."""
        base = self._before(index) or self._after(index)
        return (close / _median(base) - 1) * PERCENT if base else 0.0

    def _agree(self, close: float, other: float) -> bool:
        return abs(close / other - 1) <= self._limit + ROUNDING


def _median(values: Iterable[float]) -> float:
    """The middle value, or the mean of the middle two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _is_alike(move: float, other: float) -> bool:
    """Whether another move goes the same way and at least half as far."""
    return move * other > 0 and abs(other) * 2 >= abs(move)


class Signals:
    """All windows of the watched symbols in one session, and the conditions at each new second."""

    def __init__(self, rules: Rules, session: Session) -> None:
        self.open = session.open
        self._symbol, self._benchmark_symbol = rules.symbol, rules.benchmark
        self._seconds = seconds = (session.close - session.open) // SECOND
        longest = rules.vwap_long_seconds + rules.vwap_long_shift_seconds
        longest_short = rules.vwap_short_seconds + rules.vwap_rising_seconds
        reach = max(longest, longest_short, rules.relative_volume_seconds)
        self._tape = tape = Tape(seconds, reach)
        self._benchmark = Closes(seconds)
        self.level = Level(rules, tape)
        """The symbol's price level, and the bars kept apart from it."""
        self.benchmark_level = Level(rules, self._benchmark)
        """The same of the benchmark."""
        self._volumes = VolumeDistribution(tape, rules.volume_window_seconds, rules.volume_percentile)
        self._trend = CloseTrend(tape, rules.momentum_seconds, rules.momentum_min_bars)
        # Read from here: the conditions ask for some twenty of these at every second.
        self._long_s = rules.vwap_long_seconds
        self._long_shift_s = rules.vwap_long_shift_seconds
        self._short_s = rules.vwap_short_seconds
        self._rising_s = rules.vwap_rising_seconds
        self._base_s = rules.volume_window_seconds
        self._recent_s = rules.relative_volume_seconds
        self._volume_min_bars = rules.volume_min_bars
        self._relative_volume_min = rules.relative_volume_min
        self._roc_s = rules.roc_seconds
        self._roc_tolerance_s = rules.roc_tolerance_seconds
        self._benchmark_age_s = rules.benchmark_max_age_seconds
        self._lag_max = rules.spy_iwm_lag_threshold + ROUNDING
        self._newest_outside = dict.fromkeys(rules.symbols, 0)
        self._short_vwap: float | None = None
        self._rising_since = -1

    def learn(self, bar: Bar) -> tuple[bool, bool]:
        """Store a bar, or keep it apart.

        Returns whether its second is seen for the first time, and whether it is now the newest of its symbol in the
        windows. A bar outside the session enters no window; it is new if none later was seen. A bar whose numbers no
        window could hold is ignored.
        """
        index, symbol, close = (bar.start - self.open) // SECOND, bar.symbol, bar.close
        if not 0 <= index < self._seconds:
            return self._is_new_outside(bar), False
        if symbol == self._symbol:
            level = self.level
        elif symbol == self._benchmark_symbol:
            level = self.benchmark_level
        else:
            return False, False
        # Nearly every bar takes this short way: a few comparisons instead of a median.
        floor, ceiling = level.floor, level.ceiling
        if not (
            floor <= close <= ceiling and floor <= bar.vwap <= ceiling and 0 <= bar.volume < VOLUME_LIMIT
        ):
            return self._weigh(level, index, bar)
        if not level.low <= close <= level.high:
            level.widen(close)
        if index in level.refuted:
            return False, level.put(index, bar)[1]  # its second was seen before
        return level.put(index, bar)

    def _weigh(self, level: Level, index: int, bar: Bar) -> tuple[bool, bool]:
        """Handle a bar that is not plainly near the last ones."""
        if not (PRICE_MIN <= bar.close <= PRICE_MAX and 0 <= bar.volume < VOLUME_LIMIT):
            return False, False
        other = self.benchmark_level if level is self.level else self.level
        found = level.store(index, bar, other if self._benchmark_symbol else None)
        if other.waits:
            other.reconsider(level)
        level.reset(is_shut=other.waits)
        other.reset(is_shut=level.waits)
        return found

    def _is_new_outside(self, bar: Bar) -> bool:
        newest = self._newest_outside.get(bar.symbol)
        if newest is None:
            return False
        self._newest_outside[bar.symbol] = max(bar.start, newest)
        return bar.start > newest

    @property
    def price(self) -> float | None:
        """The symbol's newest close of the session, never one kept apart; None while only an unconfirmed first print is known."""
        return self.level.price

    @property
    def price_start(self) -> int | None:
        """Start (µs) of the second of `price`; None without one."""
        return self.open + self._tape.newest * SECOND if self._tape.newest >= 0 else None

    @property
    def vwap(self) -> float | None:
        """The short VWAP at the last evaluation, from the bars as now known."""
        if self._tape.is_stale:
            self._tape.settle()
            self._short_vwap = self._tape.vwap(self._tape.evaluated, self._short_s)
        return self._short_vwap

    @property
    def volume(self) -> float:
        """The session's volume so far, in shares."""
        return sum(self._tape.shares) / VOLUME_SCALE

    def evaluate(
        self,
        bar: Bar,
        was_blind: bool,
        gate: DeclineReason | None = None,
        hold: HoldReason | None = None,
        gaps: Sequence[tuple[int, int]] = (),
    ) -> Evaluation:
        """All conditions at the second of ``bar``, the newest of the symbol, already learned.

        ``was_blind``: there was a blind spell since the last evaluation. Gate and hold are passed through.
        ``gaps``: spans (µs, end exclusive) in which trades are unknown.
        """
        tape, close = self._tape, bar.close
        second = self.follow(was_blind)
        vwap_1m, rising_s = self._short_vwap, second - self._rising_since
        vwap_5m, earlier, vwap_1m_before = tape.vwaps(
            second, self._long_s, self._long_shift_s, self._short_s, self._rising_s
        )
        risen = _change(vwap_1m, vwap_1m_before)
        p95, volume_z, surges = self._surge(second)
        slope = self._trend.slope(second)
        momentum = None if slope is None else slope / PRICE_SCALE / close
        relative_volume, is_busy = self._relative_volume(second, gaps)
        roc5, benchmark_roc5, keeps_up, has_benchmark = self._rates_of_change(second, close)
        return Evaluation(
            # Six positional arguments: beyond 15 keywords CPython builds a dict first (10 % of this function).
            bar.start,
            bar.symbol,
            close,
            vwap_1m,
            vwap_5m,
            _change(vwap_5m, earlier),
            vwap_distance=_change(close, vwap_1m),
            vwap_rising_s=rising_s,
            volume=bar.volume,
            volume_p95=p95,
            volume_z=volume_z,
            momentum=None if momentum is None else momentum * PERCENT,
            relative_volume=relative_volume,
            roc5=roc5,
            benchmark_roc5=benchmark_roc5,
            passes=(
                vwap_5m is not None and earlier is not None and close > vwap_5m > earlier,
                vwap_1m is not None and close > vwap_1m,
                rising_s >= self._rising_s and (not self._rising_s or (risen is not None and risen > RISEN)),
                surges,
                momentum is not None and momentum > ROUNDING,
                is_busy,
                keeps_up,
            ),
            gate=gate,
            hold=hold,
            vwap_1m_change=risen,
            has_benchmark=has_benchmark,
        )

    def follow(self, was_blind: bool) -> int:
        """Update the short VWAP at the newest second, and since when it has not fallen. Returns that second.

        A fall is between consecutive evaluations, both windows from the bars as now known.
        """
        tape, width, before = self._tape, self._short_s, self._short_vwap
        second = tape.newest
        if tape.is_stale:
            tape.settle()
            before = tape.vwap(tape.evaluated, width)
        now = self._short_vwap = tape.vwap(second, width)
        fell = was_blind or before is None or now is None or now < before * (1 - ROUNDING)
        if fell or tape.evaluated < 0:
            self._rising_since = second
        tape.evaluated = second
        return second

    def _surge(self, second: int) -> tuple[float | None, float | None, bool]:
        """The percentile, z, and whether this second's volume exceeds the percentile."""
        volumes, shares = self._volumes, self._tape.shares[second]
        volumes.advance(second - 1)  # of the bars before this one: start in [s - W, s - 1]
        if len(volumes.ordered) < self._volume_min_bars:
            return None, None, False
        percentile = volumes.percentile()
        p95 = percentile / (PERCENTILE_PARTS * VOLUME_SCALE)
        return p95, volumes.z(shares), shares * PERCENTILE_PARTS > percentile

    def _relative_volume(
        self, second: int, gaps: Sequence[tuple[int, int]]
    ) -> tuple[float | None, bool | None]:
        """Returns the last minute's volume per second against that of the base window (or of the session so far), and
        whether that is enough. A second without a bar inside a gap is not a quiet one: it is not counted at all.
        """
        recent_s, base_s, least = self._recent_s, self._base_s, self._relative_volume_min
        sums, place = self._tape.shares_before, second + self._tape.after
        base = self._volumes.total_at(second)
        if not base:
            return None, False if least else None
        recent = sums[place] - sums[place - recent_s]
        known_s = base_s if base_s <= second else second + 1
        if gaps:
            known_s -= self._lost_seconds(second, base_s, gaps)
            recent_s -= self._lost_seconds(second, recent_s, gaps)
        ratio = recent * known_s / (recent_s * base)
        return ratio, ratio >= least - ROUNDING if least else None

    def _lost_seconds(self, second: int, width: int, gaps: Sequence[tuple[int, int]]) -> int:
        """How many seconds of (second - width, second] lie in a gap and have no bar."""
        close, first = self._tape.close, max(0, second - width + 1)
        lost: set[int] = set()  # two gaps may share a second
        for begin, end in gaps:
            last = min(second + 1, -((self.open - end) // SECOND))
            lost.update(range(max(first, (begin - self.open) // SECOND), last))
        return sum(close[index] is None for index in lost)

    def _rates_of_change(
        self, second: int, close: float
    ) -> tuple[float | None, float | None, bool | None, bool]:
        """Returns both rates of change (percent; None where a close is missing or too old), whether the symbol keeps up
        with the benchmark, and whether the benchmark's newest close is recent enough.
        """
        base = second - self._roc_s
        oldest = base - self._roc_tolerance_s
        own = _change(close, self._tape.last(base, oldest))
        if not self._benchmark_symbol:
            return own, None, None, False
        last = self._benchmark.last(second, second - self._benchmark_age_s)
        benchmark = _change(last, self._benchmark.last(base, oldest))
        keeps_up = own is not None and benchmark is not None and benchmark - own <= self._lag_max
        return own, benchmark, keeps_up, last is not None


def _change(value: float | None, base: float | None) -> float | None:
    """The change from ``base`` in percent; None when either is missing."""
    if value is None or base is None:
        return None
    return (value / base - 1.0) * PERCENT


# --- Near misses -------------------------------------------------------------------------------------

EPISODE_GAP_S = 5
"""Seconds without a trade between two misses of one kind that still make them one miss."""

BUY_FOLLOWS_S = 60
"""A near miss that a BUY follows within this many seconds cost nothing and is not listed."""


def near_miss(rules: Rules, evaluation: Evaluation) -> Shortfall | None:
    """What alone stood between an evaluation and a signal: every gate open and every condition but this one held."""
    condition = evaluation.sole_failure
    if condition is None or evaluation.gate is not None:
        return None
    return shortfall(rules, evaluation, condition)


def shortfall(rules: Rules, evaluation: Evaluation, condition: Condition) -> Shortfall | None:
    """How far ``condition`` was from holding, or past it (ratio below 0); None where its value is undefined."""
    value, threshold, scale = _measured(rules, evaluation, condition)
    if value is None or threshold is None:
        return None
    lacking = threshold - value
    if condition is Condition.SPY_LAG:  # the only one whose threshold is a ceiling
        lacking = -lacking
    return Shortfall(
        condition=condition, value=value, threshold=threshold, ratio=lacking / scale if scale else 0.0
    )


def _measured(
    rules: Rules, evaluation: Evaluation, condition: Condition
) -> tuple[float | None, float | None, float]:
    """A condition's value, its threshold, and the distance between them that counts as 1."""
    price = evaluation.price
    far = price * FAR_PERCENT / PERCENT
    match condition:
        case Condition.FIVE_MINUTE_VWAP:
            # Two demands in one. The price comes first: as long as it is below, the rise is not asked for.
            above = evaluation.vwap_5m is None or price > evaluation.vwap_5m
            return (
                (evaluation.vwap_5m_change, 0.0, FAR_PERCENT) if above else (price, evaluation.vwap_5m, far)
            )
        case Condition.ABOVE_VWAP:
            return price, evaluation.vwap_1m, far
        case Condition.VWAP_RISING:
            # Two demands in one here, too: until it has not fallen for long enough, the size of the rise is not asked for.
            least = rules.vwap_rising_seconds
            if evaluation.vwap_rising_s < least:
                return evaluation.vwap_rising_s, least, least
            return evaluation.vwap_1m_change, 0.0, FAR_PERCENT
        case Condition.VOLUME_SURGE:
            return evaluation.volume, evaluation.volume_p95, evaluation.volume_p95 or 0.0
        case Condition.MOMENTUM:
            return evaluation.momentum, 0.0, FAR_PERCENT / rules.momentum_seconds
        case Condition.RELATIVE_VOLUME:
            return evaluation.relative_volume, rules.relative_volume_min, rules.relative_volume_min
        case Condition.SPY_LAG:
            own, benchmark = evaluation.roc5, evaluation.benchmark_roc5
            lag = None if own is None or benchmark is None else benchmark - own
            return lag, rules.spy_iwm_lag_threshold, FAR_PERCENT
        case _:
            assert_never(condition)
