"""A replay as a table: one row for each evaluation, in CSV, for checks from outside and for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import IO

from events import Closed, Condition, Decision, Declined, Evaluation, Opened, Withdrawn
from utils import utc_iso

VALUES = {
    "symbol": "symbol",
    "price": "price",
    "vwap_1m": "vwap_1m",
    "vwap_1m_change": "vwap_1m_change",
    "vwap_5m": "vwap_5m",
    "vwap_5m_change": "vwap_5m_change",
    "vwap_rising_s": "vwap_rising_s",
    "volume": "volume",
    "volume_p95": "volume_p95",
    "volume_z": "volume_z",
    "momentum_pct_per_s": "momentum",
    "relative_volume": "relative_volume",
    "roc5": "roc5",
    "benchmark_roc5": "benchmark_roc5",
}
"""Columns that show a value, with the evaluation's field that they show."""

COLUMNS = ("time", *VALUES, *(f"met_{condition}" for condition in Condition), "gate", "decision")
"""``met_NAME`` says whether a condition was met: 1, 0, or empty where the rules leave it out."""

TRACE_BEGINS = b"time,symbol,price,vwap_1m,vwap_"
"""What every trace begins with, those of before 1.1.0 (whose conditions' columns had bare names) as well."""


class Trace:
    """Writes the table. ``time`` is the bar's start in UTC; floats are written to the last bit, undefined is empty."""

    def __init__(self, stream: IO[str]) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def write(self, evaluation: Evaluation, decisions: Sequence[Decision]) -> None:
        """The row of an evaluation and of what was decided with it."""
        self._writer.writerow(
            (
                utc_iso(evaluation.start),
                *(_text(getattr(evaluation, field)) for field in VALUES.values()),
                *("" if passed is None else int(passed) for passed in evaluation.passes),
                "" if evaluation.gate is None else evaluation.gate.value,
                decision_name(decisions),
            )
        )


def _text(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else repr(value)


def decision_name(decisions: Sequence[Decision]) -> str:
    """The weightiest decision's name: one on a position, then a decline, then any; empty without one."""
    for kinds in ((Opened, Closed, Withdrawn), (Declined,), (object,)):
        for decision in decisions:
            if isinstance(decision, kinds):
                return type(decision).__name__
    return ""
