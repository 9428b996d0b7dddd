"""A backtest: sessions through the engine, in this process or in several, always with the same result.

A session is read and run in one process; results come back in the order of the dates, whichever was ready first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from research.backtest.recorded import run_record
from research.backtest.session import SessionResult, run_session
from research.backtest.writing import RecordWriter
from research.history.store import History, Origin
from rules import Rules


class Work(NamedTuple):
    """What is run on each session; it can be sent to another process. ``fee`` is dollars for one contract and side."""

    folder: Path
    symbol: str
    rules: Rules
    fee: float
    bar_delay_s: int
    records: Path | None = None
    """Where each session is written as a record, as DATA_DIR."""

    def run(self, day: str) -> SessionResult:
        """Reads and runs the session of a date. Raises HistoryError, and OSError if its record cannot be written."""
        history = History(self.folder)
        source, past = history.source(self.symbol, day), history.read(self.symbol, day)
        assert source is not None, "it was read"
        writer = None if self.records is None else RecordWriter(self.records, day)
        if source.kind is Origin.RECORD:
            result = run_record(history.record(self.symbol, day), past, self.rules, self.fee, writer)
        else:
            if writer is not None:
                writer.begin_session(self.rules, past.session, is_simulated=source.simulated)
            also = None if writer is None else writer.take
            result = run_session(past, self.rules, self.fee, bar_delay_s=self.bar_delay_s, also=also)
        if writer is not None:
            writer.end()
        return result


def run_all(
    work: Callable[[str], SessionResult],
    days: Sequence[str],
    *,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Iterator[SessionResult]:
    """Yields the result of each session, in the order of ``days``. ``executor`` may be a cluster's."""
    if executor is not None:
        yield from _in_order(executor, work, days)
    elif jobs == 1:
        yield from map(work, days)
    else:
        with ProcessPoolExecutor(
            jobs, mp_context=get_context("spawn")
        ) as pool:  # polars' threads do not survive a fork
            yield from _in_order(pool, work, days)


def _in_order(
    executor: Executor, work: Callable[[str], SessionResult], days: Sequence[str]
) -> Iterator[SessionResult]:
    futures: list[Future[SessionResult]] = [executor.submit(work, day) for day in days]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
