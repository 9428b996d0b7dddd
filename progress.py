"""Progress of each symbol: when a second newer than any before came, how late, and for how long none did. Pure.

Silence is counted in progress and never in messages, for the feed as a whole and for each symbol. It begins at the open or
when subscriptions were acknowledged, if no progress came since.
"""

from __future__ import annotations

from collections.abc import Iterable

from events import SECOND, Bar, Session
from lags import Lags
from link import StocksLink
from rules import Rules


class SymbolProgress:
    """Progress of one symbol; 0 where there was none. Times are µs. `Sight.record_bar` writes its fields."""

    def __init__(self, rules: Rules) -> None:
        self.at = 0
        """When it last progressed."""
        self.start = 0
        """Start of its newest live second."""
        self.seen_end = 0
        """End of its last progress in time."""
        self.lags = Lags(rules)
        """The lags of its bars."""


class FeedProgress:
    """Progress of the watched symbols over one link. Times are µs. `Sight.record_bar` writes its fields."""

    def __init__(self, rules: Rules, session: Session, link: StocksLink) -> None:
        self._open, self._close = session.open, session.close
        self._unseen = rules.symbol_unseen_seconds * SECOND
        self._link = link
        self.of = {symbol: SymbolProgress(rules) for symbol in rules.symbols}
        """The progress of each symbol."""
        self.any_at = 0
        """When any symbol last progressed."""
        self.lags = Lags(rules)
        """The lags of all bars."""
        self.flows_since = 0
        """Since when one symbol's silence means something beside the other's bars: when the program last went on after
        a pause, or when the last long silence of all symbols (a halt) ended."""

    @property
    def lag(self) -> int | None:
        """Returns the median time from the end of a second to its bar's arrival, of the last bars; None without one."""
        return self.lags.median

    def newest(self, symbol: str) -> int | None:
        """Returns the start of a symbol's newest live bar; None without one."""
        own = self.of.get(symbol)
        return None if own is None else own.start or None

    def is_newer(self, bar: Bar) -> bool:
        """Returns whether a live bar is progress: its second is newer than its symbol's live bars so far."""
        return bar.symbol in self.of and bar.start > self.of[bar.symbol].start

    def silence(self, now: int) -> int:
        """Returns the time since the latest of: last progress, the open, subscriptions acknowledged."""
        return now - max(self.any_at, self._open, self._link.restored_at)

    def was_silent(self, now: int, symbol: str, span: int) -> bool:
        """Returns whether a symbol has not progressed for ``span`` of the session on a link that is up."""
        if not self._link.gaps_tell or not self._link.is_up or not self._open <= now < self._close:
            return False
        return now - max(self.of[symbol].at, self._open, self._link.restored_at) >= span

    def is_overdue(self, now: int, symbol: str) -> bool:
        """Returns whether a symbol counts as unseen: silent for too long while the other could be seen."""
        return now - self.flows_since >= self._unseen and self.was_silent(now, symbol, self._unseen)

    def next_overdue(self, symbols: Iterable[str]) -> int:
        """Returns the earliest time at which one of ``symbols`` can be overdue; at most the close."""
        if not self._link.gaps_tell:
            return self._close
        begun = max(self._open, self._link.restored_at, self.flows_since)
        return min([self._close, *(max(self.of[symbol].at, begun) + self._unseen for symbol in symbols)])

    def last_end(self, now: int, symbol: str) -> int:
        """Returns the end of a symbol's last bar in time; if there was none, the time from which one was due."""
        return self.of[symbol].seen_end or min(now, max(self._open, self._link.restored_at))

    def seen_until(self, symbol: str) -> int:
        """Returns the end of the last bar in time, of one symbol or of any (empty ``symbol``); 0 if there was none."""
        return self.of[symbol].seen_end if symbol else max(own.seen_end for own in self.of.values())
