"""I1 durable before audible: what the phone is told is on the disk before."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.books import Books, Told
from tests.simulation.faults import Kind
from tests.simulation.invariants.violation import Violation
from tests.simulation.record_lines import Line
from tests.simulation.sent import SECOND
from tests.simulation.story import DiskAction

DISK_WAIT_S = 1.0
"""How long an alert waits for its record to be on the disk. Then it goes out without."""

SLACK_US = SECOND // 20
"""What is written and what is seen of it may lie this far apart."""


def durable_before_audible(books: Books) -> Iterator[Violation]:
    """The line of a BUY or SELL is on the disk before the push's first byte goes out.

    Two exceptions are promised: after one second it goes without; and a SELL goes at once when it cannot be recorded. A BUY
    that cannot be recorded never goes.
    """
    for each in books.told:
        if each.kind not in ("buy", "sell"):
            continue
        line = line_of(books, each)
        if line is not None and line.safe_at is not None and line.safe_at <= each.at:
            continue
        failed = _disk_failed(books, each, 0 if line is None else line.at)
        waited = line is not None and each.at - line.at >= DISK_WAIT_S * SECOND - SLACK_US
        if each.kind == "sell" and (waited or failed):
            continue
        if each.kind == "buy" and waited and not failed:
            continue
        state = "is in no record" if line is None else "was written but not on the disk"
        if line is not None:
            state += f" ({(each.at - line.at) / SECOND:.3f} s before)"
        yield Violation(
            "I1",
            each.at,
            f"the decision of {each.kind} #{each.position} on the disk before its push",
            f"the first byte while it {state}{', after a failure of the disk' if failed else ''}",
        )


def _disk_failed(books: Books, told: Told, since: int) -> bool:
    """Whether the disk had failed between ``since`` and the push's first byte, or writes had failed and none worked since."""
    failed = False
    for event in books.story.disk:
        done_at = event.done_at if event.done_at is not None else event.at
        if event.life != told.push.life or done_at > told.at:
            continue
        if event.error and (event.action is not DiskAction.SYNC or done_at >= since):
            failed = True
        elif event.action is DiskAction.WRITE and event.data and not event.error:
            failed = failed and done_at >= since > 0
    return failed or books.troubled(
        frozenset({Kind.FOLDER_GONE, Kind.FILE_REPLACED, Kind.READ_ONLY}), 0, told.at
    )


def line_of(books: Books, told: Told) -> Line | None:
    """The line of the decision that a push tells, if it was in a file when the push went out."""
    kind = "opened" if told.kind == "buy" else "closed"
    for line, decision in books.decisions(kind):
        if decision["id"] == told.position and line.at <= told.at:
            return line
    return None
