"""Sessions from files, judged like those that are fetched, and written into the history."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from research.history.fetch import counts_of, too_few
from research.history.records import read_record
from research.history.session import PastSession
from research.history.store import History, HistoryError, Origin, Source, State


class Ready(NamedTuple):
    """A session that can be written, and the record that it is, if it is one."""

    source: Source
    past: PastSession
    record: Path | None = None


def from_record(history: History, path: Path, now: int) -> Ready:
    """Returns the session of a record. ``now`` is the time, µs. Raises HistoryError, Unusable or Damage."""
    found = read_record(path, now)
    past, lacking = found.past, too_few(history, found.past)
    source = Source(
        symbol=past.symbol,
        benchmark=past.benchmark,
        date=past.session.date,
        kind=Origin.RECORD,
        origin=path.name,
        fetched_at=now,
        state=State.LEFT_OUT if lacking else State.WHOLE,
        faults=(*found.faults, *filter(None, [lacking])),
        counts=counts_of(past),
        simulated=found.is_simulated,
    )
    return Ready(source, past, path)


def write(
    history: History, ready: Ready, *, is_replacing: bool, before: Collection[tuple[str, str]] = ()
) -> None:
    """Writes a session. ``before``: symbol and date of those that the same command has written.

    Raises HistoryError if the session came from elsewhere and is not to be replaced, or is one of those; OSError if it
    cannot be written, and then what was there stands.
    """
    source = ready.source
    name = f"{source.symbol} on {source.date}"
    if (source.symbol, source.date) in before:
        raise HistoryError(f"{source.origin}: another of the files has the session of {name} too")
    history.mend(source.symbol)
    if not is_replacing:
        known = history.source(source.symbol, source.date)
        if known is not None and known.kind is not source.kind:
            raise HistoryError(
                f"{source.origin}: the session of {name} is there from another source ({known.kind}: {known.origin}); "
                "--replace replaces it"
            )
    history.write(source, ready.past, ready.record)
