"""Whether something grows: memory by the day, and what should stay constant by the hour."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from events import SECOND
from tests.soak.lives import Sample

HOUR = 3_600 * SECOND

BIN = 600 * SECOND
"""What is compared between days is a median of ten minutes."""

SESSION_US = 23_400 * SECOND

SURE = 2.0
"""So many standard errors below what was measured, it is still too much."""

DAYS_LEAST = 3
"""A line through fewer days has no error."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth in % a day, and its error."""

    percent: float
    error: float
    days: int
    """How many whole days one process saw."""

    def is_over(self, limit: float) -> bool:
        """Whether it is surely more than ``limit`` % a day."""
        return self.percent - SURE * self.error > limit


def settled(samples: Iterable[Sample]) -> list[Sample]:
    """Those after the first hour of each life."""
    return [sample for sample in samples if sample.age >= HOUR]


def by_day(samples: Sequence[Sample], begins: Sequence[int]) -> Growth | None:
    """Returns how memory grew from day to day within a life; None if no process has seen three whole days.

    ``begins`` says when each day begins, in µs of the days. A day fills what the next one empties, and the first whole day
    takes from the system what later ones use again. So the highest ten minutes of each whole day are compared, by a line through
    them; the error is that of its slope.
    """
    bins: dict[int, dict[int, dict[int, list[int]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for sample in settled(samples):
        if sample.at - sample.age <= begins[sample.day] + BIN:  # it was there as the day began
            bins[sample.life][sample.day][(sample.at - begins[sample.day]) // BIN].append(sample.rss)
    found: list[Growth] = []
    for days in bins.values():
        tops = {
            day: max(statistics.median(values) for values in of_day.values())
            for day, of_day in days.items()
            if max(of_day) >= SESSION_US // BIN  # and as it ended
        }
        if len(tops) >= DAYS_LEAST:
            found.append(_line(tops))
    return max(found, key=lambda growth: growth.percent, default=None)


def within_day(samples: Sequence[Sample]) -> Growth | None:
    """Returns the slope of memory over the lives after their first hour, as % of a session's length. Shown, not judged.

    One slope is fitted to all lives, each with its own level; its error is taken over lives where there are more than one.
    """
    lives: dict[tuple[int, int], list[Sample]] = defaultdict(list)
    for sample in settled(samples):
        lives[sample.life, sample.day].append(sample)
    parts: list[tuple[float, float]] = []
    for seen in lives.values():
        at, rss = statistics.fmean(s.at for s in seen), statistics.fmean(s.rss for s in seen)
        parts.append(
            (
                sum((s.at - at) * (s.rss - rss) for s in seen) / rss,
                sum((s.at - at) ** 2 for s in seen),
            )
        )
    spread = sum(xx for _, xx in parts)
    if not spread:
        return None
    slope = sum(xy for xy, _ in parts) / spread
    error = sum((xy - slope * xx) ** 2 for xy, xx in parts) ** 0.5 / spread
    return Growth(100 * slope * SESSION_US, 100 * error * SESSION_US, 1)


def _line(values: dict[int, float]) -> Growth:
    """A line through a value for each day: its slope in % of their mean a day, and that slope's standard error."""
    day, value = statistics.fmean(values), statistics.fmean(values.values())
    spread = sum((each - day) ** 2 for each in values)
    slope = sum((each - day) * (found - value) for each, found in values.items()) / spread
    rest = sum((found - value - slope * (each - day)) ** 2 for each, found in values.items())
    error = (rest / (len(values) - 2) / spread) ** 0.5
    return Growth(100 * slope / value, 100 * error / value, len(values))


def floors(samples: Sequence[Sample], of: Callable[[Sample], int]) -> dict[int, list[int]]:
    """Returns, for each life, the least of a count in each of its hours but the first: connections come and go above it."""
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for sample in settled(samples):
        hour = sample.age // HOUR
        found[sample.life][hour] = min(of(sample), found[sample.life].get(hour, of(sample)))
    return {life: [hours[hour] for hour in sorted(hours)] for life, hours in found.items()}


def rising(floor: Sequence[int], slack: int) -> bool:
    """Whether the least of every hour in the last third is more than ``slack`` above every hour of the first third."""
    third = len(floor) // 3
    return third > 0 and min(floor[-third:]) - max(floor[:third]) > slack
