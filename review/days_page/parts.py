"""What every section of the days' page is made of: the days that it tells, links, and plain HTML.

Whatever comes from the book is escaped where it enters: reasons, symbols and misses are texts from records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from book.rows import DayRow
from events import SECOND
from followed import dollars_text
from review.days_report import Asked, day_text
from review.sums import Sum, day_dollars, summed
from utils import span_text

UNSEEN_SHARE = 0.1
"""The share of a session that, unseen, makes its result doubtful: nobody knows what that time would have brought."""


class Told(NamedTuple):
    """The days that a page tells, the oldest first, and the address of each day's own page, by date."""

    days: Sequence[DayRow]
    asked: Asked
    pages: Mapping[str, str]

    @property
    def own_s(self) -> int:
        """The owner's delay, seconds."""
        return self.asked.following.follow_delay_seconds

    @property
    def fee(self) -> float:
        """Dollars for one contract and one side."""
        return self.asked.following.fee_per_contract

    def sum(self, days: Sequence[DayRow], delay_s: int, *, with_interval: bool = False) -> Sum:
        """Returns what days come to at a delay."""
        return summed(days, delay_s, self.fee, with_interval=with_interval)

    def linked(self, day: DayRow, inner: str) -> str:
        """Returns finished HTML as a link to the day's page, if it has one."""
        page = self.pages.get(day.date)
        return inner if page is None else f'<a href="{escape(page)}">{inner}</a>'


AMOUNT = re.compile(r"[+−]\$[\d,]*\d(\.\d+)?|95%")


def unbroken(text: str) -> str:
    """Returns text as HTML in which no amount is broken after its sign: a line may end between ``−`` and ``$``."""
    return AMOUNT.sub(r'<span class="w">\g<0></span>', escape(text))


def key(*items: tuple[str, str]) -> str:
    """Returns what colours mean: (class of the sample, words)."""
    made = (f'<li><i class="{kind}"></i>{escape(text)}</li>' for kind, text in items)
    return f'<ul class="key">{"".join(made)}</ul>'


def swing(value: float, largest: float) -> str:
    """Returns a bar to the right of the middle for what was won, to the left for what was lost."""
    length = value / largest * 100 if largest else 0.0
    side = "up" if value >= 0 else "down"
    return (
        '<svg class="swing" viewBox="-100 0 200 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="{side}" d="M0 0H{length:.1f}V8H0Z"/><path class="middle" d="M0 0V8"/></svg>'
    )


def is_unseen(day: DayRow) -> bool:
    """Returns whether the program was blind or away for a good part of the session."""
    whole = (day.close - day.open) // SECOND
    return whole - day.seen_s > UNSEEN_SHARE * whole


def fates_text(total: Sum) -> str:
    """Returns what became of the trades that are not in a sum: ``2 not taken, 1 no quote``."""
    return ", ".join(f"{count} {fate}" for fate, count in total.fates.items())


def result_text(told: Told, day: DayRow, delay_s: int) -> str:
    """Returns a day's result at a delay with its number: ``+$14 at 15 s (n 1)``."""
    count = len(day_dollars(day, delay_s, told.fee))
    if not count:
        return f"no trade at {delay_s} s"
    return f"{day_text(day, delay_s, told.fee)} at {delay_s} s (n {count})"


def day_title(told: Told, day: DayRow) -> str:
    """Returns a day in a line, as a pointer that rests on it shows it."""
    delays = dict.fromkeys((told.own_s, 0))
    results = ", ".join(result_text(told, day, delay) for delay in delays)
    return (
        f"{day.date}: {results}; seen {span_text(day.seen_s * SECOND)} "
        f"of {span_text(day.close - day.open)}, blind {span_text(day.blind_s * SECOND)}{'; simulated market' * day.simulated}"
    )


def amount(value: float | None, digits: int = 0) -> str:
    """Returns an amount of dollars; a dash for none."""
    return "—" if value is None else dollars_text(value, digits)
