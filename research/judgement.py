"""A track record judged: every figure that its days allow, and the verdict. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from research.statistics.days import Days, days
from research.statistics.deflated import Deflated, deflated
from research.statistics.intervals import Intervals, intervals
from research.statistics.overfitting import BLOCKS, Overfitting, overfitting
from research.statistics.superiority import Superiority, superiority
from research.statistics.verdict import Evidence, Verdict, is_too_little, reasons, verdict
from research.statistics.walk_forward import WalkForward, best_column, walk_forward
from research.track_record import TrackRecord


class Judgement(NamedTuple):
    """One trial of a track record, judged among all of them."""

    record: TrackRecord
    chosen: int
    """The column that is judged."""
    was_chosen: bool
    """Whether it is judged because it did best."""
    figures: Days
    intervals: Intervals
    deflated: Deflated | None
    overfitting: Overfitting | None
    superiority: Superiority | None
    walk_forward: WalkForward | None
    evidence: Evidence

    @property
    def name(self) -> str:
        """The trial that is judged."""
        return self.record.names[self.chosen]

    @property
    def verdict(self) -> Verdict:
        """What it is worth."""
        return verdict(self.evidence)

    @property
    def reasons(self) -> list[str]:
        """Why."""
        return reasons(self.evidence)

    @property
    def tells_rates(self) -> bool:
        """Whether there are enough days for rates; else there are counts only."""
        return self.verdict is not Verdict.TOO_LITTLE


def judged(
    record: TrackRecord,
    *,
    column: int | None = None,
    trials: int | None = None,
    blocks: int = BLOCKS,
    step: Callable[[str], None] = lambda what: None,
) -> Judgement:
    """Judges ``column``, or the trial with the highest Sharpe ratio.

    ``trials`` is how many were ever tried, at least those of the record (the default). ``step`` is told what is computed
    next, because some of it takes seconds.
    """
    columns = record.columns
    count = columns.shape[1]
    was_chosen = column is None and count > 1
    chosen = best_column(columns) if column is None else column
    results = columns[:, chosen]
    figures = days(results)
    step("drawing days again")
    sure = intervals(results)
    luck = deflated(columns, chosen, max(count, trials or count))
    step("choosing on every half of the days")
    split = overfitting(columns, blocks)
    evidence = evidence_of_days(figures, sure, luck, split, trials=count)
    step("testing all trials together")
    return Judgement(
        record=record,
        chosen=chosen,
        was_chosen=was_chosen,
        figures=figures,
        intervals=sure,
        deflated=luck,
        overfitting=split,
        superiority=None if is_too_little(evidence) else superiority(columns),
        walk_forward=walk_forward(columns),
        evidence=evidence,
    )


def evidence_of_days(
    figures: Days,
    sure: Intervals,
    luck: Deflated | None,
    split: Overfitting | None,
    *,
    trials: int,
) -> Evidence:
    """Returns what the verdict is made of where only days are known: one of so many ``trials`` that were seen."""
    return Evidence(
        sessions=figures.sessions,
        trades=figures.with_result,
        trades_are_known=False,
        mean=sure.mean,
        dsr=None if luck is None else luck.dsr,
        pbo=None if split is None else split.probability,
        best_day_share=figures.best_day_share,
        among_several=trials > 1,
    )
