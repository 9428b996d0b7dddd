"""How a worker ends, in words: what it says of a fault, and of what it leaves undone."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from events import Closed, Opened, Tick, Withdrawn
from record.lines import Entry
from record.reader import Damage
from rules import Rules
from tests.builders import at
from tests.environment import run
from tests.refusals import ordinary_user, users_folder
from tests.stage import stage
from tests.test_risk_manager import closed, opened
from tests.worker.test_record_start import settings
from worker.ending import EXIT_CRASHED, EXIT_OK, conclude
from worker.undelivered import Undelivered


def said(error: Exception, folder: Path) -> tuple[int, str]:
    """The exit status, and the line in the log."""
    with capture_logs() as logs:
        status = conclude(error, settings(folder))
    (line,) = logs
    return status, line["text"]


def test_a_record_that_this_user_may_not_read_is_to_be_made_readable() -> None:
    with users_folder() as folder:
        path = folder / "record.jsonl"
        path.touch()
        path.chmod(0)
        with ordinary_user():
            status, text = said(Damage(path, 1, "Permission denied"), folder)
    assert status == EXIT_CRASHED
    assert "let this user read the file and start again" in text


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (MemoryError(), "give it more"),
        (ExceptionGroup("tasks", [OSError(errno.EMFILE, "Too many open files")]), "ulimit -n"),
    ],
)
def test_a_machine_that_lacks_something_is_told_without_a_traceback(
    tmp_path: Path, error: Exception, cure: str
) -> None:
    with capture_logs() as logs:
        assert conclude(error, settings(tmp_path)) == EXIT_CRASHED
    (line,) = logs
    assert line["event"] == "machine_short"
    assert cure in line["text"]
    assert "exc_info" not in line


@pytest.mark.virtual_time
async def test_what_a_stop_would_leave_undone_is_named(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await play.until(lambda: play.titles("BUY"), 240, "the BUY")
        engine = play.worker.engine
        assert engine is not None and engine.position is not None
        position = engine.position.opened
        assert play.worker.unfinished() == [
            f"not sold: {position.contract} #{position.id}, which nobody watches now",
            "not closed: the record of 2025-10-02",
        ]
        assert await play.stop() == EXIT_OK
        assert play.worker.unfinished() == []


def test_a_sell_that_was_withdrawn_is_not_sent_by_the_next_start() -> None:
    left, sold = Undelivered(), closed()
    decisions: tuple[Opened | Closed, ...] = (opened(), sold)
    for number, decision in enumerate(decisions, start=1):
        left.record(Entry(at(number), number, Tick(), (decision,)), Rules())
    assert [alert.id for alert in left.outstanding(1)] == [sold.id] * 2
    left.record(
        Entry(at(3), 3, Tick(), (Withdrawn(id=sold.id, contract=sold.contract, detail="refused"),)), Rules()
    )
    assert len(left.outstanding(1)) == 1


WITHOUT_LOCKS = """
import sys
sys.modules["fcntl"] = None
from pathlib import Path
from threads import DaemonThread
from utils import SystemClock
from worker.lease_keeper import LeaseKeeper
keeper = LeaseKeeper(Path(sys.argv[1]), SystemClock(), DaemonThread, lambda: False)
keeper.acquire()
keeper.release()
"""


def test_a_disk_without_locks_is_told_at_the_start(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", WITHOUT_LOCKS, str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "is on a disk without file locks: make sure that only one copy runs" in done.stdout
