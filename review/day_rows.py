"""A session's row for the book, from its record: the same summary that the worker makes as the day goes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from book.rows import DayRow
from config import Following
from engine import Engine
from record.reader import is_of
from review.derive import Start, play, survey
from review.screen import Progress
from worker.summary import DaySummary


def day_row(path: Path, following: Following, *, quiet: bool = False) -> DayRow:
    """Derives a record again and returns its row. Shows its progress on a terminal.

    Raises Unusable if the record cannot be read, Damage for any fault except a torn end, ConfigError and OSError.
    """
    found = survey(path)
    first, symbol = found.headers[0][1], found.headers[-1][1].rules.get("symbol", "")
    summary = DaySummary(first.session, following)
    progress = Progress(f"Deriving {first.session.date} again", found.lines, quiet=quiet)
    header, evaluations = first, 0
    engine: Engine | None = None
    try:
        for item in play(path):
            progress.tell(item.number)
            if isinstance(item, Start):
                header, engine = item.header, item.engine
                summary.is_simulated |= header.simulated
                summary.away(first.session.open if item.before is None else item.before.now, header.now)
                continue
            assert engine is not None, "a record begins with a header"
            if not is_of(header, symbol):
                continue  # a day is that of the symbol that was watched last, as the worker counts it
            now, event = item.entry.now, item.entry.event
            if item.evaluation is not None:
                evaluations += 1
                summary.evaluation(engine.rules, item.evaluation)
            summary.record(now, event, item.decisions, engine.rules, is_blind=engine.feed.is_blind)
    finally:
        progress.clear()
    assert engine is not None, "a surveyed record has a header"
    row = summary.row(engine.rules, evaluations)
    return msgspec.structs.replace(row, version=header.version, rules=header.rules_hash)
