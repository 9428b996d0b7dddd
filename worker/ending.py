"""How the worker ends: its exit statuses, and what has ended it, in words."""

from __future__ import annotations

from pathlib import Path

import structlog

import entry
from feeds.vendor import VendorRefused

log = structlog.get_logger("main")

EXIT_OK, EXIT_CRASHED, EXIT_CONFIG, EXIT_REFUSED, EXIT_LEASE = range(5)


def say_crashed(first: BaseException, error: Exception) -> None:
    """Log what has ended the worker: ``first`` of what is in ``error``. What the machine refuses needs no traceback."""
    if shortage := entry.shortage_text(first):
        log.critical("machine_short", text=f"🛑 The machine has too little for this program: {shortage}")
        return
    log.critical("crashed", text=f"🛑 Crashed: {type(first).__name__}: {first}", exc_info=error)


def refusal_in(error: BaseException) -> VendorRefused | None:
    """A vendor's refusal among what has ended the worker."""
    refused = error.subgroup(VendorRefused) if isinstance(error, BaseExceptionGroup) else error
    first = None if refused is None else first_in(refused)
    return first if isinstance(first, VendorRefused) else None


def is_within(place: object, folder: Path) -> bool:
    """Whether a place that an OSError names lies in a folder."""
    return isinstance(place, (str, Path)) and Path(place).is_relative_to(folder)


def first_in(error: BaseException) -> BaseException:
    """The first single exception of a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
