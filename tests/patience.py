"""A clock for tests on a busy machine: the time in which this thread was ready and not let run does not pass.

A test on a scaled clock fails for the machine's mood when other processes take the processor: at 30 times the pace, half a
second without it is 15 s of the market in which no bar was read. What is tested is the program, not the machine. Linux
says, to the nanosecond, how long a thread has waited for a processor; elsewhere this is an ordinary scaled clock.
"""

from __future__ import annotations

import os
from pathlib import Path

from utils import ScaledClock

SCHEDSTAT = Path("/proc/thread-self/schedstat")
"""Three numbers of the thread that opens it: ns that it ran, ns that it waited for a processor, how often it ran."""

READ_BYTES = 128


class Waited:
    """How long the thread that makes this has waited for a processor since then, ns; 0 where nobody says."""

    def __init__(self) -> None:
        self._file = os.open(SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC) if SCHEDSTAT.exists() else None
        self._begin = self._read()

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)

    def _read(self) -> int:
        return 0 if self._file is None else int(os.pread(self._file, READ_BYTES, 0).split()[1])

    def ns(self) -> int:
        return self._read() - self._begin


class PatientClock(ScaledClock):
    """A scaled clock that leaves out the time in which its thread waited for a processor."""

    def __init__(self, start: int, speed: float, origin_ns: int | None = None, wall_off: int = 0) -> None:
        self._waited = Waited()
        self._origin_ns = 0
        super().__init__(start, speed, origin_ns, wall_off)

    @property
    def origin_ns(self) -> int:
        """The machine's monotonic time at the start, moved by what was left out."""
        return self._origin_ns + self._waited.ns()

    @origin_ns.setter
    def origin_ns(self, value: int) -> None:
        self._origin_ns = value
