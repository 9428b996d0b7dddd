"""The program's time, from two clocks and the vendor's: what it is, and whether to doubt it. Pure.

A computer's clock may be wrong, step or stop. `Timekeeper` computes one time from the machine's wall clock, a clock that
nobody can set, and the times of the vendor's answers and bars. Every reading is passed in: `utils.SteadyClock` reads the
clocks.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from events import SECOND

AWAY_S = 5
"""If what takes a second takes this many more, the process was stopped, the machine slept, or the clock stepped."""

SLOWING = 10
"""While `now` is ahead of the right time it loses one µs in this many: it runs at 0.9 of its rate until both agree."""

SAME_US = 50_000
"""A difference between the wall clock and ours up to this size is no step: reading two clocks takes a moment."""

FRESH_US = 600 * SECOND
"""How long a measurement of the vendor's time is used. An oscillator that is off by 100 ppm drifts 0.06 s in that time."""

DATE_FIRST_US = 120 * SECOND
"""If a ``Date`` header is this recent, late bars mean a delayed plan or a slow network, not a wrong clock."""

EXACT_US = 1_200_000
"""The greatest uncertainty (half the range) of a usable measurement: a ``Date`` has whole seconds, and its answer may
travel for up to 1.4 s."""

NEAR_US = 600_000
"""`now` follows a step of the wall clock that ends this near the vendor's time, even if `now` seems slightly nearer."""

BAR_HOLD_US = (1 * SECOND, 3 * SECOND)
"""Soonest and latest arrival of a bar after its second. The vendor holds it about 2 s for late prints; 1 s to 3 s were
measured."""

MEASUREMENTS_IN_A_ROW = 2
"""How many measurements in a row must agree before the clock is doubted, or trusted again."""

RELEASE_SHARE = 0.75
"""Doubt ends at this share of the limit, so that a clock that is off by about the limit does not flap."""


class DoubtCause(StrEnum):
    """Why the time is doubted."""

    STEP = "step"
    """The wall clock differs from the program's time, and the vendor's time does not confirm the wall clock."""
    SLOWED = "slowed"
    """The program's time is ahead of the right time, and runs slower until that has caught up."""
    DATE = "date"
    """The vendor's ``Date`` says another time."""
    BARS = "bars"
    """The vendor's bars say another time."""


class Doubt(NamedTuple):
    """Why the time is doubted, and by how much the clock is ``off``: µs, positive when it is ahead."""

    cause: DoubtCause
    off: int

    @property
    def remedy(self) -> str:
        """Returns what the owner can do."""
        is_set = self.cause is DoubtCause.SLOWED
        return "nothing to do, it follows by itself" if is_set else "set this machine's clock (NTP)"


class VendorOffset(NamedTuple):
    """One measurement: when `now` was ``at``, the vendor's time was ``low`` to ``high`` µs ahead of it (negative: behind)."""

    low: int
    high: int
    at: int


class _Evidence:
    """One source's measurements of the vendor's time, relative to a time that only the steady clock advances."""

    def __init__(self) -> None:
        self.low = self.high = 0
        """Bounds (µs) of how far the vendor's time is ahead."""
        self.measured_at: int | None = None
        """When it was last measured, µs of the steady clock; None: never."""
        self.is_off = False
        """Whether this source says that the clock is off by more than the limit."""
        self._is_news = False
        self._judged = 0
        self._in_a_row = 0

    @property
    def is_settled(self) -> bool:
        """Returns whether `is_off` can be relied on: enough measurements, the last one agrees, and its range is narrow."""
        is_exact = (self.high - self.low) // 2 <= EXACT_US
        return self._judged >= MEASUREMENTS_IN_A_ROW and not self._in_a_row and is_exact

    @property
    def middle(self) -> int:
        """Returns the best guess of how far the vendor's time is ahead, µs."""
        return (self.low + self.high) // 2

    def is_fresh(self, steady: int, within: int = FRESH_US) -> bool:
        """Returns whether it was measured at most ``within`` µs ago."""
        return self.measured_at is not None and steady - self.measured_at <= within

    def record(self, low: int, high: int, steady: int, *, narrows: bool) -> None:
        """Records a measurement. With ``narrows``, keeps only the range that it shares with the earlier ones, if any."""
        if narrows and self.is_fresh(steady) and max(low, self.low) <= min(high, self.high):
            low, high = max(low, self.low), min(high, self.high)
        self.low, self.high, self.measured_at = low, high, steady
        self._is_news = True

    def move(self, by: int) -> None:
        """Shifts the measurements after the time that they are relative to has moved by ``by`` µs."""
        self.low -= by
        self.high -= by

    def update(self, lead: int, limit: int, *, ahead_counts: bool = True) -> None:
        """Updates `is_off` from a new measurement, if there is one since the last call.

        The clock is ``lead`` µs ahead of the time that the measurement is relative to. Uncertainty beyond half the limit
        counts in the clock's favour. Without ``ahead_counts``, only a clock that is behind counts as off.
        """
        if not self._is_news:
            return
        self._is_news = False
        self._judged += 1
        off = lead - self.middle
        vague = max(0, (self.high - self.low) // 2 - limit // 2)
        is_beyond = abs(off) - vague > limit * (RELEASE_SHARE if self.is_off else 1)
        if (is_beyond and (ahead_counts or off < 0)) is self.is_off:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if self._in_a_row >= MEASUREMENTS_IN_A_ROW:
            self.is_off = not self.is_off
            self._in_a_row = 0

    def clear(self) -> None:
        """Resets the verdict: the clock now follows this source, or its difference is already known."""
        self.is_off = False
        self._in_a_row = 0


class Timekeeper:
    """Computes `now` from the wall clock, a steady clock and the vendor's time. Pure: every reading (µs) is passed in.

    The right time is assumed to be ``line`` + the steady clock; at the start that is the wall clock's time. A step of the
    wall clock moves the line only once the vendor's time agrees with the step. If the line moves forward, `now` follows
    at once. If it moves back, `now` runs at 0.9 of its rate until the right time has caught up: it never stands still
    and never goes back.
    """

    def __init__(self, wall: int, steady: int) -> None:
        self._line = wall - steady
        self._lead, self._lead_since = 0, steady
        """How far `now` was ahead of the right time, and at which reading of the steady clock."""
        self._step = 0
        """How far the wall clock is ahead of the right time."""
        self._moved_at = wall
        """`now` when the line last moved. Earlier measurements no longer count."""
        self._date, self._bars = _Evidence(), _Evidence()
        self._is_slowed = False

    def at(self, steady: int) -> int:
        """Returns `now` (µs of UTC) at a reading of the steady clock."""
        right = self._line + steady
        return right + self._lead_at(steady) if self._lead else right

    @property
    def is_compared(self) -> bool:
        """Returns whether the vendor's time is known well enough to rule out doubt."""
        return self._date.is_settled or (self._date.measured_at is None and self._bars.is_settled)

    def _lead_at(self, steady: int) -> int:
        """Returns how far `now` is ahead of the right time."""
        return max(0, self._lead - (steady - self._lead_since) // SLOWING)

    def hear_date(self, vendor: VendorOffset, steady: int) -> None:
        """Records the vendor's time from a ``Date`` header. Each has whole seconds; several together narrow it further."""
        if vendor.at >= self._moved_at:
            lead = self._lead_at(steady)
            self._date.record(vendor.low + lead, vendor.high + lead, steady, narrows=True)

    def hear_bars(self, lag: int, since: int, steady: int) -> None:
        """Records the median ``lag`` of bars that arrived from ``since`` on. It is negative if they came before their end."""
        if since >= self._moved_at:
            soonest, latest = BAR_HOLD_US
            lead = self._lead_at(steady)
            self._bars.record(soonest - lag + lead, latest - lag + lead, steady, narrows=False)

    def go_on_from(self, latest: int, steady: int) -> None:
        """Makes `now` at least ``latest``, the last time of a record: a wall clock behind that has stepped back."""
        ahead = latest - self.at(steady)
        if ahead > 0:
            self._move(ahead)
            self._moved_at = latest

    def check(self, wall: int, steady: int, limit: int) -> Doubt | None:
        """Compares the wall clock, and follows its step if the vendor's time agrees with the step within ``limit`` µs.

        Returns why the time is doubted; None if it is not.
        """
        step = wall - self._line - steady
        self._step = step if abs(step) > SAME_US else 0
        known = next((found for found in (self._date, self._bars) if found.is_fresh(steady)), None)
        if self._step and known is not None:
            off = abs(known.middle - self._step)
            # Follow only a step towards the vendor's time: a wall clock that drifts away from it is not followed.
            if off <= limit and off <= max(abs(known.middle), NEAR_US):
                self._follow(steady)
        self._compare_vendor(steady, limit)
        return self._doubt(steady, limit)

    def _follow(self, steady: int) -> None:
        """Adopts the wall clock's time as the right one."""
        now = self.at(steady)
        self._move(self._step)
        self._lead, self._lead_since = max(0, now - self._line - steady), steady
        self._moved_at = self.at(steady)
        self._date.clear()
        self._bars.clear()

    def _move(self, by: int) -> None:
        self._line += by
        self._step -= by
        self._date.move(by)
        self._bars.move(by)

    def _compare_vendor(self, steady: int, limit: int) -> None:
        """Updates each source's verdict on whether the vendor's time differs from ours.

        Bars that come too early prove that our clock is behind. Late bars prove nothing while a ``Date`` is known: the
        plan may be delayed, or the network slow.
        """
        date, bars, lead = self._date, self._bars, self._lead_at(steady)
        date.update(lead, limit)
        bars.update(lead, limit, ahead_counts=not date.is_fresh(steady, DATE_FIRST_US))
        if self._is_slowed:  # this difference is known, and reported as SLOWED
            date.clear()
            bars.clear()

    def _doubt(self, steady: int, limit: int) -> Doubt | None:
        if abs(self._step) > limit:
            return Doubt(DoubtCause.STEP, self._step)
        lead = self._lead_at(steady)
        self._is_slowed = lead > (limit * RELEASE_SHARE if self._is_slowed else limit)
        if self._is_slowed:
            return Doubt(DoubtCause.SLOWED, lead)
        # A source that has gone quiet yields to the other one.
        has_date, has_bars = self._date.is_fresh(steady), self._bars.is_fresh(steady)
        if self._date.is_off and (has_date or not has_bars):
            return Doubt(DoubtCause.DATE, lead - self._date.middle)
        if self._bars.is_off and (has_bars or not has_date):
            return Doubt(DoubtCause.BARS, lead - self._bars.middle)
        return None
