"""A session that is the live program's own record: its facts, at their times, through the engine again.

Every start of the program begins a new engine, as it did live. With the rules of then, every decision is the recorded one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from record.lines import Line
from record.reader import Damage, Reader
from research.backtest.session import SessionResult, Watched
from research.backtest.writing import RecordWriter
from research.history.session import PastSession
from research.history.store import HistoryError
from review.derive import LineOrder, Pause, Start, derive
from rules import Rules


def run_record(
    path: Path, past: PastSession, rules: Rules, fee: float, writer: RecordWriter | None = None
) -> SessionResult:
    """Runs a record whole under ``rules``. ``fee`` is dollars for one contract and one side.

    Raises HistoryError if the record is damaged or absent, OSError if ``writer`` cannot write.
    """
    try:
        return _run(path, past, rules, fee, writer)
    except Damage as error:  # which cannot be sent to another process
        raise HistoryError(f"{error}; import the session again") from None


def _run(
    path: Path, past: PastSession, rules: Rules, fee: float, writer: RecordWriter | None
) -> SessionResult:
    watched = Watched(past, fee)
    evaluations = differing = 0
    for item in derive(path, _lines(path), lambda count: islice(Reader(path), count), texts(rules)):
        if isinstance(item, Pause):
            continue
        if isinstance(item, Start):
            if writer is not None:
                header = item.header
                writer.begin(rules, header.session, header.now, is_simulated=header.simulated)
            continue
        now, event = item.entry.now, item.entry.event
        watched.record(now, event, item.decisions, item.evaluation)
        evaluations += item.evaluation is not None
        differing += list(item.entry.decisions) != item.decisions
        if writer is not None:
            writer.take(now, event, item.decisions)
    return watched.result(evaluations, 0, differing)


def texts(rules: Rules) -> dict[str, str]:
    """Returns rules as the texts of their settings."""
    return {name.upper(): str(value) for name, value in rules.model_dump(mode="json").items()}


def _lines(path: Path) -> Iterator[Line]:
    """Yields a record's lines. Raises Damage for one that is wrong, or follows none that it can follow."""
    order = LineOrder(path)
    try:
        for line in Reader(path):
            order.check(line)
            yield line
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read ({error.strerror}); import the session again") from None
