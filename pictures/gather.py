"""Keeps, second by second, what the pictures of a session show. Pure: values and their time in, columns out.

A session of 6.5 hours takes 1.1 MB. Nothing of this runs on the way of a bar to its alert: a second is kept when its tick
is handled.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from math import isnan, nan

from events import SECOND
from pictures.facts import Dark, DarkSpan, Seconds
from timekeeping import AWAY_S

SECONDS_MAX = 40_000
"""Seconds that are kept: more than the longest session with its early connection. What comes later is not."""


class Gathered:
    """The seconds of one session."""

    def __init__(self) -> None:
        self._at = array("q")
        self._price, self._vwap, self._long_vwap = array("d"), array("d"), array("d")
        self._mark, self._peak = array("q"), array("q")
        self._dark: list[DarkSpan] = []

    def second(
        self,
        now: int,
        *,
        price: float | None,
        vwap: float | None,
        long_vwap: float | None,
        mark: int | None,
        peak: int | None,
        is_blind: bool,
    ) -> None:
        """Keeps what is known at ``now`` (µs), which must not go back. While blind, the share's price is not known."""
        if len(self._at) >= SECONDS_MAX:
            return
        before = self._at[-1] if self._at else now
        if _is_away(gap := DarkSpan(before, now, Dark.AWAY)):
            self._darken(gap)
        elif is_blind:
            self._darken(DarkSpan(before, now, Dark.BLIND))
        self._at.append(now)
        self._price.append(nan if price is None or is_blind else price)
        self._vwap.append(nan if vwap is None or is_blind else vwap)
        self._long_vwap.append(nan if long_vwap is None or is_blind else long_vwap)
        self._mark.append(-1 if mark is None else mark)
        self._peak.append(-1 if peak is None else peak)

    def _darken(self, span: DarkSpan) -> None:
        """Adds a span of which nothing is known, to the one before if they touch."""
        last = self._dark[-1] if self._dark else None
        if last is not None and last.why is span.why and last.end == span.start:
            self._dark[-1] = DarkSpan(last.start, span.end, span.why)
        else:
            self._dark.append(span)

    def between(self, start: int, end: int, most: int) -> Seconds:
        """Returns the seconds in [start, end] (µs), at most about ``most`` of them, evenly thinned out."""
        first, last = bisect_left(self._at, start), bisect_right(self._at, end)
        step = max(1, -(-(last - first) // most))
        places = range(first, last, step)
        return Seconds(
            at=[self._at[place] for place in places],
            price=[_known(self._price[place]) for place in places],
            vwap=[_known(self._vwap[place]) for place in places],
            long_vwap=[_known(self._long_vwap[place]) for place in places],
            mark=[None if self._mark[place] < 0 else self._mark[place] for place in places],
            peak=[None if self._peak[place] < 0 else self._peak[place] for place in places],
        )

    def dark(self, start: int, end: int) -> list[DarkSpan]:
        """Returns the spans within [start, end] (µs) of which nothing is known, cut to it."""
        first, last = (self._at[0], self._at[-1]) if self._at else (end, end)
        before = filter(_is_away, [DarkSpan(start, first, Dark.AWAY)])
        after = filter(_is_away, [DarkSpan(last, end, Dark.AWAY)])
        return [
            DarkSpan(max(span.start, start), min(span.end, end), span.why)
            for span in (*before, *self._dark, *after)
            if span.start < end and span.end > start
        ]


def _is_away(span: DarkSpan) -> bool:
    return span.end - span.start > AWAY_S * SECOND


def _known(value: float) -> float | None:
    return None if isnan(value) else value
