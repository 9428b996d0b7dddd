"""Enters a session in the book once it is over. A failure costs only that row."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import structlog

from book.rows import DayRow
from threads import in_thread
from worker.context import Context

log = structlog.get_logger("main")

BOOK_REAL_S = 10.0
"""Real seconds that the worker waits for the disk of the book. Writing may go on after that."""


STOP_REAL_S = 1.0
"""Real seconds that a stop waits for it: SELLs and the record need the rest of a stop's 25 s."""


async def enter(context: Context, row: DayRow) -> None:
    """Enters a session in the book, or replaces its row. Logs a fault of the book, and never raises for one."""
    action = partial(_enter, context.settings.data_dir, row)
    entering = asyncio.create_task(in_thread(context.threads, "book", action))
    await context.unless_stopping(_at_most(BOOK_REAL_S, entering))
    if not entering.done():
        await _at_most(STOP_REAL_S, entering)
    fault = _fault_of(entering) if entering.done() else "the disk has not answered in time"
    if fault:
        log.warning(
            "book_failed",
            text=f"📒 Session {row.date} could not be entered in the book: {fault}",
            date=row.date,
            reason=fault,
        )


async def _at_most(seconds: float, entering: asyncio.Task[str]) -> None:
    await asyncio.wait({entering}, timeout=seconds)


def _fault_of(entering: asyncio.Task[str]) -> str:
    """Returns why a row was not entered; empty if it was. Whatever the reason, a SELL may still be under way."""
    error = entering.exception()
    return entering.result() if error is None else f"{type(error).__name__}: {error}"


def _enter(data_dir: Path, row: DayRow) -> str:
    """Enters a row. Returns why that failed; empty if it did not."""
    try:
        # SQLite is loaded here, after a close: the worker's start has no use for it.
        from book import store  # noqa: PLC0415

        store.enter(store.path_in(data_dir), [row])
    except ImportError as error:
        return f"this Python has no SQLite ({error})"
    except store.BookError as error:
        return str(error)
    return ""
