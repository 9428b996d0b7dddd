"""How the worker ends: its exit statuses, and the reasons in words."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

import entry
from config import ConfigError, Settings
from feeds.vendor import VendorRefused
from record.disk import Taken
from record.lease import LeaseHeld
from record.reader import Damage
from redaction import redactor

log = structlog.get_logger("main")

EXIT_OK, EXIT_CRASHED, EXIT_CONFIG, EXIT_REFUSED, EXIT_LEASE = range(5)


def conclude(error: Exception, settings: Settings) -> int:
    """Logs why the worker ends. Returns the exit status."""
    refusal, first = refusal_in(error), first_in(error)
    folder = settings.data_dir.absolute()
    if refusal is not None:
        log.critical("vendor_refused", text=f"🛑 {refusal}")
        return EXIT_REFUSED
    if isinstance(first, Damage):
        cure = "move the file out of the folder (a position in it is then forgotten)"
        if not os.access(first.path, os.R_OK):
            cure = "let this user read the file"
        text = (
            f"🛑 {first}. It is kept as it is, and nothing is watched: check whether you hold a position, {cure} "
            "and start again."
        )
        log.critical("record_damaged", text=text)
        return EXIT_CRASHED
    if isinstance(first, (LeaseHeld, Taken)):
        text = f"🛑 Another copy is running on {folder}: {first}. Stop that one first, or let it run."
        log.critical("lease_held", text=text)
        return EXIT_LEASE
    if isinstance(first, ConfigError):
        log.critical("start_refused", text=f"🛑 {'; '.join(first.faults)}")
        return EXIT_CONFIG
    if isinstance(first, OSError) and is_within(first.filename, settings.data_dir):
        text = (
            f"🛑 {Path(first.filename).absolute()} cannot be used ({first.strerror}), and a position may be recorded "
            f"there: give this user access to it, move away what is there, or set DATA_DIR (now {folder}) to another folder."
        )
        log.critical("place_unusable", text=text)
        return EXIT_CONFIG
    say_crashed(first, error)
    return EXIT_CRASHED


def reason_text(error: Exception, settings: Settings) -> str:
    """Returns why the worker ends, in a line for the heartbeat's service, with secrets hidden."""
    first = first_in(error)
    return redactor(settings.secrets())(f"{type(first).__name__}: {first}")


def say_crashed(first: BaseException, error: Exception) -> None:
    """Logs a crash: ``first`` is the first exception in ``error``. Logs no traceback if the machine lacks a resource."""
    if shortage := entry.shortage_text(first):
        log.critical("machine_short", text=f"🛑 The machine lacks what this program needs: {shortage}")
        return
    log.critical("crashed", text=f"🛑 Crashed: {type(first).__name__}: {first}", exc_info=error)


def refusal_in(error: BaseException) -> VendorRefused | None:
    """Returns the vendor's refusal in the error that ended the worker, or None."""
    refused = error.subgroup(VendorRefused) if isinstance(error, BaseExceptionGroup) else error
    first = None if refused is None else first_in(refused)
    return first if isinstance(first, VendorRefused) else None


def is_within(place: object, folder: Path) -> bool:
    """Returns whether the path that an OSError names is in ``folder``."""
    return isinstance(place, (str, Path)) and Path(place).is_relative_to(folder)


def first_in(error: BaseException) -> BaseException:
    """Returns the first exception in nested groups; the error itself if it is no group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
