"""Spans in which seconds of a symbol may be missing, until REST has answered for them. Pure."""

from __future__ import annotations

from events import SECOND, Covered, Session
from rules import Rules


def reach_seconds(rules: Rules) -> dict[str, int]:
    """Returns how far back (s) the conditions look at each symbol: an entry needs that span without a gap.

    Only `spy_lag` looks at the benchmark. For the traded symbol the volume conditions look back furthest: a second lost
    there would count as one without volume.
    """
    change = rules.roc_seconds + rules.roc_tolerance_seconds
    own = max(
        change,
        rules.vwap_long_seconds + rules.vwap_long_shift_seconds,
        rules.vwap_short_seconds + rules.vwap_rising_seconds,
        rules.momentum_seconds,
        rules.volume_window_seconds,
        rules.relative_volume_seconds,
    )
    return {symbol: own if symbol == rules.symbol else change for symbol in rules.symbols}


class Gaps:
    """The uncovered spans of each watched symbol in one session, µs, end exclusive."""

    def __init__(self, rules: Rules, session: Session) -> None:
        self._open, self._close = session.open, session.close
        self._symbol = rules.symbol
        self._reach = {symbol: reach * SECOND for symbol, reach in reach_seconds(rules).items()}
        self._uncovered: dict[str, list[tuple[int, int]]] = {symbol: [] for symbol in rules.symbols}
        self.exist = False
        """Whether any span of any symbol is uncovered."""

    @property
    def own(self) -> list[tuple[int, int]]:
        """Returns the uncovered spans of the traded symbol."""
        return self._uncovered[self._symbol]

    @property
    def starts(self) -> list[int]:
        """Returns where each uncovered span of any symbol begins, µs."""
        return [start for pieces in self._uncovered.values() for start, _ in pieces]

    def open(self, symbol: str, start: int, end: int) -> None:
        """Notes a span in which seconds of a symbol may be missing. Gaps that touch it are merged with it."""
        start, end = max(self._open, start), min(end, self._close)
        if start >= end:
            return
        apart = []
        for gap in self._uncovered[symbol]:
            if gap[0] <= end and start <= gap[1]:
                start, end = min(start, gap[0]), max(end, gap[1])
            else:
                apart.append(gap)
        self._uncovered[symbol] = sorted([*apart, (start, end)])
        self.exist = True

    def cover(self, covered: Covered) -> None:
        """Removes a span that REST has answered for from the gaps."""
        gaps = self._uncovered.get(covered.symbol)
        if gaps is None:
            return
        self._uncovered[covered.symbol] = [
            piece
            for start, end in gaps
            for piece in ((start, min(end, covered.start)), (max(start, covered.end), end))
            if piece[0] < piece[1]
        ]
        self.exist = any(self._uncovered.values())

    def lie_before(self, start: int) -> bool:
        """Returns whether a gap lies in any window that ends with the second at ``start`` (µs)."""
        return any(
            gap_start <= start and gap_end > start - self._reach[symbol]
            for symbol, gaps in self._uncovered.items()
            for gap_start, gap_end in gaps
        )
