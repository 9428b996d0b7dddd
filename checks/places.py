"""Checks the places of records and log: whether they can be written, have room, and are free."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import logger
import utils
from checks.check import Check, Severity
from config import Settings
from record.disk import DiskFile, Opener
from record.folder import Kind, look_through, record_path, records, shown
from record.lease import Lease, LeaseHeld

MEGABYTE = 1_000_000

SESSION_BYTES = 60 * MEGABYTE
"""Upper limit for the record of one session while it is written."""

PACKED_BYTES = 8 * MEGABYTE
"""Upper limit for the same record once it is packed, after the close."""

PROBE_BYTES = 64 * 1024
"""Size of the trial file: more than a full file system still stores in its spare blocks."""

PROBE_NAME = ".preflight"


def free_bytes(folder: Path) -> int:
    """Returns the bytes that this user may still write on the disk of ``folder``."""
    return shutil.disk_usage(folder).free


def check_places(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    opener: Opener | None = None,
    free: Callable[[Path], int] = free_bytes,
    is_mount: Callable[[Path], bool] = os.path.ismount,
) -> list[Check]:
    """Checks that records and log can be written in their places, and that there is room for them.

    ``opener`` opens the trial file (None: the way the record's own is opened).
    """
    found = _guarded(
        "DATA_DIR", settings.data_dir, lambda: _check_data(settings, environment, opener, free, is_mount)
    )
    return found + _guarded("LOG_FILE", settings.log_file, lambda: [_check_log(settings.log_file)])


def _guarded(name: str, place: Path, check: Callable[[], list[Check]]) -> list[Check]:
    """Returns what ``check`` finds, or a failing line if it may not even look there."""
    try:
        return check()
    except OSError as error:
        text = f"{name}: {place} cannot be used ({error.strerror or type(error).__name__})"
        return [Check("Places", Severity.FAIL, text, "name a folder that this user may list, read and write")]


def _check_data(
    settings: Settings,
    environment: Mapping[str, str],
    opener: Opener | None,
    free: Callable[[Path], int],
    is_mount: Callable[[Path], bool],
) -> list[Check]:
    """Checks the folder of records. Raises OSError if it cannot be examined."""
    folder = settings.data_dir
    found = [_check_folder("DATA_DIR", folder, folder)]
    if found[0].severity is not Severity.FAIL:
        fault = _write_fault(folder, DiskFile if opener is None else opener)
        if fault is not None:
            found = [fault]
        found.append(_check_room(settings, free))
    if folder.is_dir():
        found += _record_faults(folder)
    if environment.get("RENDER"):
        found.append(_check_disk(folder, is_mount))
    return found


def _check_log(path: Path) -> Check:
    """Checks the log. Raises OSError if its folder cannot be examined."""
    fault = _log_file_fault(path)
    if fault is None and os.path.lexists(path):
        return _check_rotation(path)
    if fault is None:
        return _check_folder("LOG_FILE", path, path.parent)
    text = f"LOG_FILE: {path.absolute()} {fault}"
    return Check("Places", Severity.FAIL, text, "name a plain file that this user may write")


def _check_rotation(path: Path) -> Check:
    """Checks that a log that exists and can be written can also be renamed when it is full."""
    can_be = f"LOG_FILE: {path.absolute()} can be written"
    if path.is_file() and not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        do = f"give this user write permission for {path.absolute().parent}"
        return Check(
            "Places", Severity.WARNING, f"{can_be}, but not renamed when it is full: it would grow on", do
        )
    return Check("Places", Severity.OK, can_be)


def _nearest(folder: Path) -> Path:
    """Returns the folder, or the nearest path above it that exists. A broken link counts as existing: it blocks the way."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))


def _check_folder(name: str, place: Path, folder: Path) -> Check:
    """Checks that ``folder``, which ``place`` needs, exists or can be made, and may be written."""
    absolute = place.absolute()
    nearest = _nearest(folder)
    if not nearest.is_dir():
        what = "a link that leads to no folder" if nearest.is_symlink() else "a file, not a folder"
        text = f"{name}: {absolute} cannot be used: {nearest} is {what}"
        return Check("Places", Severity.FAIL, text, "name a folder that exists or can be created")
    if not os.access(nearest, os.W_OK | os.X_OK):
        text = f"{name}: {absolute} cannot be written"
        return Check("Places", Severity.FAIL, text, f"give this user write permission for {nearest}")
    if nearest == folder.absolute():
        return Check("Places", Severity.OK, f"{name}: {absolute} can be written")
    return Check("Places", Severity.OK, f"{name}: {absolute} can be created")


def _record_faults(folder: Path) -> list[Check]:
    """Returns a line for each record or folder that this user cannot read: each of them ends a start."""
    try:
        found = look_through(folder)
    except OSError as error:
        text = f"DATA_DIR: {error.filename or folder} cannot be listed ({error.strerror})"
        return [
            Check(
                "Places",
                Severity.FAIL,
                text,
                "give this user permission to read it: the worker does not start",
            )
        ]
    do = "the worker may not start: a position may be recorded there"
    return [
        Check(
            "Places",
            Severity.FAIL,
            f"DATA_DIR: {shown(item.path)} is damaged, or cannot be read ({item.reason})",
            do,
        )
        for item in found
        if item.kind is Kind.DAMAGED
    ]


def _write_fault(folder: Path, opener: Opener) -> Check | None:
    """Writes a trial file where records go. Returns why that failed; None if it worked. Removes the file; makes no folder."""

    def fault(place: Path, reason: str, do: str) -> Check:
        text = f"DATA_DIR: {place.absolute()} cannot be written ({reason})"
        return Check("Places", Severity.FAIL, text, do)

    repair = "free up space, or repair the disk: no entries until then"
    for place in (folder, record_path(folder, "").parent):
        if not place.is_dir():
            continue
        path = place / f"{PROBE_NAME}-{os.getpid()}"
        try:
            try:
                file = opener(path)
                try:
                    taken = file.write(bytes(PROBE_BYTES))
                    file.sync()
                finally:
                    file.close()
            finally:
                path.unlink(missing_ok=True)
        except PermissionError:
            return fault(
                place, "Permission denied", f"give this user write permission for {place.absolute()}"
            )
        except OSError as error:
            return fault(place, error.strerror or type(error).__name__, repair)
        if taken < PROBE_BYTES:
            return fault(place, "No space left on device", repair)
    return None


def _check_room(settings: Settings, free: Callable[[Path], int]) -> Check:
    """Checks that today's record, and the records to keep, fit on the disk."""
    try:
        room = free(_nearest(settings.data_dir))
    except OSError as error:
        text = f"DATA_DIR: its free space cannot be read ({error.strerror})"
        return Check(
            "Places", Severity.WARNING, text, f"a session needs up to {SESSION_BYTES // MEGABYTE} MB"
        )
    found = f"DATA_DIR: {room // MEGABYTE:,} MB free"
    if room < SESSION_BYTES + PACKED_BYTES:
        need = f"a session needs up to {(SESSION_BYTES + PACKED_BYTES) // MEGABYTE} MB"
        return Check("Places", Severity.FAIL, f"{found}, {need}", "free up space: a full disk holds entries")
    sessions = (room - SESSION_BYTES) // PACKED_BYTES
    if sessions < settings.keep_sessions - len(records(settings.data_dir)):
        text = (
            f"{found}, enough for about {sessions} more sessions; KEEP_SESSIONS is {settings.keep_sessions}"
        )
        return Check("Places", Severity.WARNING, text, "a bigger disk, or a smaller KEEP_SESSIONS")
    return Check("Places", Severity.OK, found)


def _check_disk(folder: Path, is_mount: Callable[[Path], bool]) -> Check:
    """Checks, on Render, that the folder is on a mounted disk: a deploy loses everything else."""
    absolute = folder.absolute()
    mount = next((path for path in (absolute, *absolute.parents[:-1]) if is_mount(path)), None)
    if mount is None:
        text = f"DATA_DIR: {absolute} is not on a persistent disk: a deploy loses it, and an open position with it"
        do = "attach a disk at /var/data, and set DATA_DIR to it"
        return Check("Places", Severity.FAIL, text, do)
    return Check("Places", Severity.OK, f"DATA_DIR: on the disk mounted at {mount}")


def _log_file_fault(path: Path) -> str | None:
    """Returns why an existing log cannot be written; None if it can, or does not exist yet."""
    try:
        # The log's own flags, without O_CREAT; O_NONBLOCK keeps a pipe from blocking us.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        return "is a pipe, not a file" if is_pipe else None
    except (FileNotFoundError, NotADirectoryError):
        return None  # `_check_folder` reports it
    except OSError as error:
        if path.is_symlink():
            return "is a symbolic link, which the log refuses"
        return (
            "is a folder, not a file" if path.is_dir() else f"cannot be opened ({logger.file_fault(error)})"
        )


def check_lease(folder: Path) -> tuple[Check, bool]:
    """Checks whether a copy of the worker runs on ``folder``. Returns the line about it, and whether one runs.

    Takes the lease for a moment, if it exists.
    """
    try:
        has_run = (folder / "lease").exists()
    except OSError as error:
        text = f"lease: cannot be checked ({error.strerror})"
        return Check(
            "Places", Severity.FAIL, text, f"give this user permission to list {folder.absolute()}"
        ), False
    if not has_run:
        return Check("Places", Severity.OK, "lease: free, no copy has run on DATA_DIR yet"), False
    lease = Lease(folder)
    try:
        lease.acquire(f"{utils.moment_text(utils.utc_now())} by diagnose.py")
    except LeaseHeld as held:
        text = f"lease: a copy is running on DATA_DIR ({held})"
        return Check(
            "Places", Severity.WARNING, text, "fine if you started it: a second copy ends with status 4"
        ), True
    except OSError as error:
        text = f"lease: cannot be taken ({error.strerror})"
        do = f"move away what is at {folder.absolute()}/lease: the program makes its own"
        if error.errno in (errno.EACCES, errno.EPERM):  # `Misplaced` is no PermissionError
            do = f"give this user write permission for {folder.absolute()}/lease"
        return Check("Places", Severity.FAIL, text, do), False
    lease.release()
    return Check("Places", Severity.OK, "lease: free, no copy runs on DATA_DIR"), False
