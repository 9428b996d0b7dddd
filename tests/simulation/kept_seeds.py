"""Runs in which something was wrong once. Each stays for good, with its faults written out: the draw may change.

`python -m tests.simulation --seed N --show` ends with the lines of a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulation.faults import Fault, Kind


@dataclass(frozen=True, slots=True)
class Kept:
    """A run, and what was wrong in it: with the worker, the simulation or the checker."""

    seed: int
    why: str
    faults: Sequence[Fault]


KEPT = (
    Kept(
        7,
        "simulation: what had been sent to a machine while it slept reached it late and after newer bytes",
        (
            Fault(Kind.WRONG_SYMBOL, 38.552, 26.047),
            Fault(Kind.SUSPEND, 43.462, 21.929, {"stopped": True}),
        ),
    ),
    Kept(
        129,
        "checker: it lost track of a record that was written anew, renamed, and gone on with by the next process",
        (
            Fault(Kind.FOLDER_GONE, 356.401),
            Fault(Kind.READ_ONLY, 363.749, 176.478),
            Fault(Kind.SECOND_COPY, 377.092),
            Fault(Kind.CRASH, 378.205, 0.0, {"restart": 62.969}),
        ),
    ),
    Kept(
        131,
        "checker: it took the whole lines of a write that failed for written, although they were cut off again",
        (
            Fault(Kind.LOOP_LAG, 133.29, 0.0, {"by": 22.092}),
            Fault(Kind.WRITE_FAILS, 220.679, 86.802, {"errno": "EROFS"}),
            Fault(Kind.WRITE_FAILS, 252.622, 176.909, {"errno": "EIO"}),
            Fault(Kind.SHORT_WRITE, 326.466, 43.873),
        ),
    ),
)
