"""The clock of a soak, the same in every process: days at so many times the machine's pace, and nights that it leaps over."""

from __future__ import annotations

import time

import msgspec

from events import SECOND
from utils import SteadyClock


class Night(msgspec.Struct, frozen=True):
    """A night that is left out: ``at`` says after how many µs of the days so far, ``by`` how many µs it has."""

    at: int
    by: int


class Step(msgspec.Struct, frozen=True):
    """The worker's wall clock is ``ahead`` µs ahead from ``at`` to ``until`` (µs of the days so far)."""

    at: int
    until: int
    ahead: int


class Times(msgspec.Struct, frozen=True):
    """What two processes must know to have one clock. ``start`` is µs of UTC, ``origin_ns`` the machine's monotonic time then."""

    start: int
    speed: float
    nights: tuple[Night, ...] = ()
    origin_ns: int = 0


class SoakClock(SteadyClock):
    """Starts at ``times.start`` and leaps over the nights, as a machine that was suspended does. ``steps`` are its wall clock's."""

    def __init__(self, times: Times, steps: tuple[Step, ...] = ()) -> None:
        self._times, self._steps = times, steps
        super().__init__(lambda: times.start + self._passed() + self._ahead(), self._passed, times.speed)

    def awake(self) -> int:
        """Returns the µs since the start without the nights."""
        return int((time.monotonic_ns() - self._times.origin_ns) * self._times.speed) // 1000

    def true(self) -> int:
        """Returns the µs of UTC, whatever the wall clock says."""
        return self._times.start + self._passed()

    def _passed(self) -> int:
        awake = self.awake()
        return awake + sum(night.by for night in self._times.nights if night.at <= awake)

    def _ahead(self) -> int:
        awake = self.awake()
        return sum(step.ahead for step in self._steps if step.at <= awake < step.until)


def seconds(count: float) -> int:
    """Returns so many seconds in µs."""
    return round(count * SECOND)
