"""Holds the folder's lease while the worker runs, and acquires it again if its file is removed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import structlog

from record.lease import Lease, LeaseHeld, Misplaced
from threads import Threads, in_thread
from utils import Clock, moment_text

log = structlog.get_logger("main")

LEASE_LOOK_S = 60
"""Seconds between two checks of the lease."""

UNUSABLE = frozenset({errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
"""Faults of the folder's name, not of its disk: nothing can ever be stored there, so nothing is."""


class LeaseKeeper:
    """Acquires, checks and releases the lease on the data folder.

    ``is_at_work`` returns whether a session's record is open here: then no other copy can watch that session.
    """

    def __init__(
        self, data_dir: Path, clock: Clock, threads: Threads, is_at_work: Callable[[], bool]
    ) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._threads = threads
        self._is_at_work = is_at_work
        self._lease = Lease(data_dir)
        self._is_disputed = False

    def acquire(self) -> None:
        """Acquires the lease. Raises LeaseHeld; OSError for a fault that the owner must mend."""
        try:
            self._lease.acquire(moment_text(self._clock.now()))
        except OSError as error:
            if isinstance(error, Misplaced) or error.errno in UNUSABLE:
                raise
            # A full or broken disk must not keep the worker from watching an open position.
            text = (
                f"⚠️ DATA_DIR {self._data_dir.absolute()} cannot be written ({error.strerror}): no entries until it can "
                "be, and another copy would not be noticed"
            )
            log.error("lease_failed", text=text)
            return
        if not self._lease.is_locked:
            text = f"⚠️ {self._lease.path.absolute()} is on a disk without file locks: make sure that only one copy runs"
            log.warning("lease_unsupported", text=text)

    async def keep(self) -> None:
        """Checks once a minute whether the lease is still ours, and acquires it again if it was removed.

        Raises LeaseHeld if another copy holds it at two checks in a row, unless a session is at work here: this copy has
        locked that session's record, so the other one cannot watch it.
        """
        while True:
            await self._clock.sleep(LEASE_LOOK_S)
            try:
                if not await in_thread(self._threads, "lease", self._lease.is_lost):
                    continue
                self._lease.acquire(moment_text(self._clock.now()))
            except LeaseHeld as error:
                if not self._is_at_work() and self._is_disputed:
                    raise  # for the second time: diagnose.py holds it only for a moment
                is_new, self._is_disputed = not self._is_disputed, True
                if is_new:
                    text = f"🛑 Another copy has taken the lease ({error}): stop one of the two. A session in progress here continues"
                    log.critical("lease_disputed", text=text)
            except OSError as error:
                log.debug("lease_not_taken", text=f"The lease cannot be taken: {error.strerror}")
            else:
                self._is_disputed = False
                text = f"🔑 The lease {self._lease.path.absolute()} was missing: taken again"
                log.warning("lease_taken", text=text)

    def release(self) -> None:
        """Releases the lease."""
        self._lease.release()
