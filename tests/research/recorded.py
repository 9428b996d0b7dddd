"""A made record of the half day's beginning, as the live program would have written it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from benchmarks.made_record import Scribe
from events import SECOND
from research.history.session import PastSession
from research.history.store import History, Origin, Source
from sim.episodes import Episode
from sim.market import Market
from tests.research.made import DAY, SEED, session

END = session().close + 60 * SECOND
"""A time after the session, µs."""

SECONDS = 2_400
"""How much of the session is recorded."""

OTHER_DAYS = ("2025-06-30", "2025-07-01", "2025-07-02")


CLIMB_S = 1_500
STORY = (
    Episode(0, CLIMB_S, "calm"),
    Episode(CLIMB_S, 130, "surge"),
    Episode(CLIMB_S + 130, 300, "fade"),
)
"""A climb and a fall, so that there is a position in the record."""


@functools.cache
def climbing() -> Market:
    """The market of the record."""
    return Market(SEED, session(), episodes=STORY)


@functools.cache
def _lines() -> bytes:
    """The record, made once a process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{DAY}.jsonl"
        Scribe(path, climbing()).write(session().open + SECONDS * SECOND)
        return path.read_bytes()


def recorded(folder: Path) -> Path:
    """Writes the record into a folder."""
    path = folder / f"{DAY}.jsonl"
    path.write_bytes(_lines())
    return path


def with_usual_seconds(history: History) -> History:
    """A history in which sessions usually have as many seconds as the record has."""
    for day in OTHER_DAYS:
        counts = {"seconds of IWM": 2_700, "seconds of SPY": 4_000}  # of a day of 23,400
        source = Source(
            symbol="IWM", benchmark="SPY", date=day, kind=Origin.VENDOR, origin="made", counts=counts
        )
        history.write(source, PastSession("IWM", "SPY", session(), [], [], {}))
    return history
