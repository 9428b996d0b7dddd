"""What a report tells: a judgement, and, of a backtest, what led to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from research.backtest import report as backtest_report
from research.backtest.report import Backtest
from research.history.store import Source
from research.judge_report import headline
from research.judgement import Judgement
from research.ledger import Entry
from research.statistics.days import Results
from research.track_record import TrackRecord
from review.answer import SIMULATED
from utils import plural_s


class Told(NamedTuple):
    """The report. ``judged`` has the days, their figures and the verdict."""

    judged: Judgement
    heading: str
    """The verdict in a sentence."""
    subject: str
    """What was judged, in a sentence."""
    backtest: Backtest | None = None
    entries: Sequence[Entry] = ()
    """The ledger's, within the span."""
    sources: Sequence[Source] = ()
    """Where each session comes from, those that were left out too."""
    pages: Mapping[str, str] = {}
    """The address of each session's own page, by date."""

    @property
    def results(self) -> Results:
        """The result of each day, a fraction of the stake."""
        return self.judged.record.columns[:, self.judged.chosen]

    @property
    def days(self) -> tuple[date, ...]:
        """The sessions, the oldest first."""
        return self.judged.record.days

    @property
    def tells_rates(self) -> bool:
        """Whether there are enough sessions and trades for rates; else there are counts only."""
        return self.judged.tells_rates

    @property
    def is_simulated(self) -> bool:
        """Whether a session is of a simulated market."""
        return self.backtest is not None and self.backtest.asked.simulated


def of_judgement(found: Judgement) -> Told:
    """Returns the report on a track record."""
    names, count = found.record.names, len(found.record.days)
    which = f"{found.name} of {len(names)} trials" if len(names) > 1 else found.name
    how = " (the highest Sharpe ratio)" if found.was_chosen else ""
    subject = f"{which}{how}, {count} session{plural_s(count)}, {_span(found.record.days)}. Results are fractions of the stake, after costs."
    return Told(found, headline(found), subject)


def of_backtest(
    found: Backtest, entries: Sequence[Entry], sources: Sequence[Source], pages: Mapping[str, str]
) -> Told:
    """Returns the report on a backtest."""
    asked, sessions = found.asked, found.sessions
    days = tuple(date.fromisoformat(session.date) for session in sessions)
    results = np.array([session.result(asked.delay_s) for session in sessions])
    judged = Judgement(
        record=TrackRecord(days, (f"rules {asked.digest}",), results[:, None], ()),
        chosen=0,
        was_chosen=False,
        figures=found.figures,
        intervals=found.intervals,
        deflated=found.deflated,
        overfitting=None,
        superiority=None,
        walk_forward=None,
        evidence=found.evidence,
    )
    rules = f"rules {asked.digest}" + (f" ({asked.settings})" if asked.settings else "")
    subject = (
        f"{asked.symbol}, {len(days)} session{plural_s(len(days))}, {_span(days)}; {rules}. Bought at the ask and sold at the bid, "
        f"each {asked.delay_s} s after its push, less ${asked.fee:.2f} a contract and side. A day's result is the sum over its trades, equal stakes."
    )
    heading = backtest_report.headline(found).removeprefix(SIMULATED)
    return Told(judged, heading, subject, found, entries, sources, pages)


def _span(days: Sequence[date]) -> str:
    return f"{days[0]}" if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
