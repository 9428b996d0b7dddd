"""Windows over one symbol's seconds of a session: sums, percentile and trend, each exact. Pure.

Sums are kept in integers (prices in billionths of a dollar, volumes in millionths of a share), so adding and
removing a second is exact: a window's value depends on its bars alone, not on the order in which they came,
on how often they were corrected, or on how many seconds passed before. A correction costs the same in a
window of a minute and in one of a day.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from itertools import accumulate

from events import Bar

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


class Closes:
    """The regular session's closes of one symbol, by their second from the open. A repeat replaces."""

    def __init__(self, seconds: int) -> None:
        self.newest = -1
        self.close: list[float | None] = [None] * seconds
        self.seconds: list[int] = []
        """The seconds that have a close, in order."""

    def put(self, index: int, bar: Bar) -> tuple[bool, bool]:
        """Stores a bar. Returns whether its second is new, and whether it is the newest so far."""
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
        """Returns the last close at or before a second, not older than another; None if there is none."""
        if index >= 0 and (close := self.close[index]) is not None:
            return close
        for position in range(index, max(oldest, 0) - 1, -1):
            close = self.close[position]
            if close is not None:
                return close
        return None

    def drop(self, index: int) -> None:
        """Removes a second whose bar was refuted. ``newest`` does not go back."""
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
        """The last evaluated second: no later sum begins more than ``reach`` seconds before it."""
        self._reach = reach
        self.after = reach + 1
        """How far behind a second's own index the sums up to it stand."""
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
        """Registers a window that must be corrected when one of its seconds changes."""
        self._windows.append(window)

    def put(self, index: int, bar: Bar) -> tuple[bool, bool]:
        """Stores a bar, and corrects every window that has counted its second. Returns what `Closes.put` does."""
        shares = round(bar.volume * VOLUME_SCALE)
        # Equals `round`, since no price lies half-way between two steps, and is faster.
        notional = shares * int(bar.vwap * PRICE_SCALE + 0.5)
        holders: list[Window] | None = None
        is_new = is_newest = index > self.newest
        if is_newest:  # nearly all bars come in order: nothing has counted this second yet
            all_shares, all_notional = self.shares_before, self._notional_before
            place, after = self.newest + self.after + 1, index + self.after
            while (
                place < after
            ):  # seconds without a bar add nothing; mostly there are none, and a range costs more
                all_shares[place] = all_shares[place - 1]
                all_notional[place] = all_notional[place - 1]
                place += 1
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
        """Removes a second that is about to change from all sums. Returns the windows that it must be added to again."""
        if index > self.evaluated - self._reach:
            self.is_stale = True
            self._stale_from = min(self._stale_from, index)
        holders = [window for window in self._windows if window.holds(index)]
        if not is_new:
            for window in holders:
                window.remove(index)
        return holders

    def drop(self, index: int) -> None:
        """Removes a second whose bar was refuted, from every window and sum."""
        self._release(index, is_new=False)
        super().drop(index)
        self.price[index] = self.shares[index] = self.notional[index] = 0

    def settle(self) -> None:
        """Brings the sums up to date after corrections: once for all of them, from the earliest on."""
        first, end = self._stale_from, self.newest + 1
        place = first + self.after - 1
        for sums, values in ((self.shares_before, self.shares), (self._notional_before, self.notional)):
            sums[place : end + self.after] = accumulate(values[first:end], initial=sums[place])
        self._stale_from = len(self.close)
        self.is_stale = False

    def vwaps(self, end: int, spans: tuple[int, int, int, int]) -> tuple[float | None, ...]:
        """Returns the `vwap` of the long window, of the long one ``shift`` s before, and of the short one ``ago`` s before.

        ``spans`` are the long width, ``shift``, the short width and ``ago``. In one function: three calls take a twelfth of an evaluation.
        """
        long, shift, short, ago = spans
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
        """Returns Σ(vw·v) / Σv over the bars with start in (end - width, end], dollars; None without volume."""
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
        """Returns whether a second lies in the window."""
        return self.end - self.width < index <= self.end

    def add(self, index: int) -> None:
        """Adds a second of the tape."""
        raise NotImplementedError

    def remove(self, index: int) -> None:
        """Removes a second of the tape."""
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
        """Moves the end, second by second. Inlined, because every evaluation passes through here."""
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
        """Adds a second."""
        shares = self._shares[index]
        insort(self.ordered, shares)
        self._total += shares
        self._squares += shares * shares

    def remove(self, index: int) -> None:
        """Removes a second."""
        shares = self._shares[index]
        del self.ordered[bisect_left(self.ordered, shares)]
        self._total -= shares
        self._squares -= shares * shares

    def percentile(self) -> int:
        """Returns the percentile by linear interpolation, exact, in volume steps × `PERCENTILE_PARTS`."""
        ordered = self.ordered
        rank, rest = divmod((len(ordered) - 1) * self._percent, PERCENTILE_PARTS)
        below = ordered[rank]
        return below * PERCENTILE_PARTS + ((ordered[rank + 1] - below) * rest if rest else 0)

    def total_at(self, second: int) -> int:
        """Returns Σv over the bars with start in (second - width, second], the window being the one that ends just before."""
        total, leaving = self._total + self._shares[second], second - self.width
        return total - self._shares[leaving] if leaving >= 0 else total

    def z(self, shares: int) -> float | None:
        """Returns the distance of a volume from the mean in population deviations; None without deviation."""
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
        """Moves the end, second by second. Inlined, because every evaluation passes through here."""
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
        """Adds a second."""
        self._change(index, 1)

    def remove(self, index: int) -> None:
        """Removes a second."""
        self._change(index, -1)

    def _change(self, index: int, sign: int) -> None:
        price = sign * self._price[index]
        self._count += sign
        self._x += sign * index
        self._y += price
        self._xx += sign * index * index
        self._xy += index * price

    def slope(self, end: int) -> float | None:
        """Returns the slope up to a second, in price steps per second; None with too few bars."""
        self.advance(end)
        count, x = self._count, self._x
        spread = count * self._xx - x * x
        return (count * self._xy - x * self._y) / spread if count >= self._least and spread else None
