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
"""Memory is compared between days at the same ten minutes: a day fills what the next one empties."""

SESSION_US = 23_400 * SECOND

SURE = 2.0
"""So many standard errors below what was measured, it is still too much."""

BINS_LEAST = 6
"""So many of these ten minutes must have been seen on two days for anything to be said."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Growth in % a day, and its error."""

    percent: float
    error: float
    days: int
    """The most days that one process lived."""

    def is_over(self, limit: float) -> bool:
        """Whether it is surely more than ``limit`` % a day."""
        return self.percent - SURE * self.error > limit


def settled(samples: Iterable[Sample]) -> list[Sample]:
    """Those after the first hour of each life."""
    return [sample for sample in samples if sample.age >= HOUR]


def by_day(samples: Sequence[Sample], begins: Sequence[int]) -> Growth | None:
    """Returns how memory grew from day to day within a life; None if no life has seen enough of two days.

    ``begins`` says when each day begins, in µs of the days. The medians of ten minutes are compared with those of the same
    ten minutes a day later, by a line through them. Days on which the process began
    count only if it was there from their beginning: one that has read half a day's record is not as large as one that lived
    through it. The growth is the median of the lines' slopes. They hang together, as they
    are of one process: so the error is their standard deviation, not divided by their number's root.
    """
    bins: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for sample in settled(samples):
        if sample.at - sample.age > begins[sample.day] + BIN:
            continue
        bins[sample.life, (sample.at - begins[sample.day]) // BIN][sample.day].append(sample.rss)
    slopes = [
        _slope({day: statistics.median(values) for day, values in days.items()})
        for days in bins.values()
        if len(days) > 1
    ]
    if len(slopes) < BINS_LEAST:
        return None
    return Growth(
        statistics.median(slopes), statistics.stdev(slopes), max(len(days) for days in bins.values())
    )


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


def _slope(values: dict[int, float]) -> float:
    """The slope of a line through a value for each day, in % of their mean a day."""
    day, value = statistics.fmean(values), statistics.fmean(values.values())
    over = sum((each - day) * (found - value) for each, found in values.items())
    return 100 * over / sum((each - day) ** 2 for each in values) / value


def floors(samples: Sequence[Sample], of: Callable[[Sample], int]) -> dict[int, list[int]]:
    """Returns, for each life, the least of a count in each of its hours but the first: connections come and go above it."""
    found: dict[int, dict[int, int]] = defaultdict(dict)
    for sample in settled(samples):
        hour = sample.age // HOUR
        found[sample.life][hour] = min(of(sample), found[sample.life].get(hour, of(sample)))
    return {life: [hours[hour] for hour in sorted(hours)] for life, hours in found.items()}


def rising(floor: Sequence[int], slack: int) -> bool:
    """Whether the least of the last hours is more than ``slack`` above that of the first ones: three or more hours."""
    return len(floor) >= 3 and min(floor[-2:]) - min(floor[:2]) > slack
