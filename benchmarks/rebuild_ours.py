"""The contestants: a session's record folded by a starting worker, replayed, or only read.

``python -m benchmarks.rebuild_ours RECORD fold|replay|read``
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from pydantic import SecretStr

from benchmarks.contest import Stopwatch
from benchmarks.measured import tell, told
from config import Settings
from delivery.sender import Sender
from engine import Engine
from events import Event
from record.journal import Journal
from record.lines import Header
from record.reader import Reader
from review import derive
from utils import ScaledClock
from worker.session import LiveSession

KEY = "k" * 30


def settings(data_dir: Path) -> Settings:
    """Settings that nothing is sent with."""
    return Settings(
        polygon_api_key=SecretStr(KEY),
        pushover_token=SecretStr(KEY),
        pushover_user_key=SecretStr(KEY),
        pushover_url="http://127.0.0.1:9",
        data_dir=data_dir,
    )


def ignore(_: Event) -> None:
    """A hold that nobody waits for."""


def state(engine: Engine) -> list[object]:
    """What both ways must arrive at."""
    signals, book = engine.signals, engine.book
    return [
        engine.evaluations,
        book.entries,
        signals.price,
        signals.vwap,
        signals.volume,
        engine.quotes.chain_at,
    ]


def fold(record: Path, watch: Stopwatch) -> Engine:
    """As at a start of the worker: `LiveSession.begin`, which then writes its header behind the record."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(record, folder))
        given = settings(Path(folder))
        first = next(iter(Reader(path)))
        assert isinstance(first, Header), "a record begins with one"
        end = first.session.close
        sender = Sender(given, ScaledClock(end, 1.0), ignore, lambda _: None)
        watch.start()
        desk = LiveSession(given, first.session, Journal(path), sender, ignore)
        desk.begin(end, Reader(path))
        watch.stop()
    return desk.engine


def replayed(record: Path, watch: Stopwatch) -> Engine:
    """As `python -m review replay` and `verify` do it."""
    engine: Engine | None = None
    watch.start()
    for item in derive.play(record):
        if isinstance(item, derive.Start):
            engine = item.engine
    watch.stop()
    assert engine is not None, "a record begins with a header"
    return engine


def read(record: Path, watch: Stopwatch) -> int:
    """Read, check and decode every line, and no more. Returns how many there were."""
    watch.start()
    count = sum(1 for _ in Reader(record))
    watch.stop()
    return count


def main() -> None:
    """Do one of them, and tell."""
    record, way = Path(sys.argv[1]), sys.argv[2]
    watch = Stopwatch()
    match way:
        case "fold":
            found = state(fold(record, watch))
        case "replay":
            found = state(replayed(record, watch))
        case "read":
            found = [read(record, watch)]
        case _:
            raise SystemExit(__doc__)
    tell(told(watch, found))


if __name__ == "__main__":
    main()
