"""What every contestant does: read the made session, get ready, run once under the stopwatch, say what it found.

A contestant is a module with ``prepare`` that is run in a process of its own: ``python -m benchmarks.ours TAPE``.
Peers run in environments that have none of our packages, so this file needs the standard library only.
"""

from __future__ import annotations

import gc
import json
import marshal
import resource
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HOLD_S = 2
"""The vendor holds a bar this long after its end."""

ROUNDING = 1e-9
"""Differences of ratios up to this are rounding, not movement."""


class Row(NamedTuple):
    """One print of one bar. ``second`` counts from the open; ``batch`` is the second together with whose bars it came."""

    symbol: int
    second: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    batch: int
    is_repeat: bool


class Tape(NamedTuple):
    """A made session. ``open_s``: seconds of UTC. Symbol 0 is the watched one, 1 the benchmark.

    ``stream`` has every print in the order of arrival, ``final`` the bars as they stood after the last correction.
    ``rules`` are those that differ from their defaults, ``numbers`` all that the conditions need.
    ``measured_from``: what comes before this second is not under the stopwatch (0: all is).
    """

    open_s: int
    seconds: int
    symbols: tuple[str, str]
    rules: dict[str, Any]
    numbers: dict[str, float]
    measured_from: int
    stream: list[Row]
    final: list[Row]


Found = list[tuple[int, int]]
"""Each evaluated second, and a bit for each condition that holds there (bit 0: the first in their order)."""

ALL = 0b1111111
"""Every condition holds: a signal."""


class Stopwatch:
    """Time and processor time that pass between ``start`` and ``stop``, seconds."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self._wall = self._cpu = 0.0

    def start(self) -> None:
        """Go on."""
        self._cpu = time.process_time()
        self._wall = time.perf_counter()

    def stop(self) -> None:
        """Halt; what has passed is kept."""
        self.wall += time.perf_counter() - self._wall
        self.cpu += time.process_time() - self._cpu

    def reset(self) -> None:
        """Begin anew from here, running: for what a framework does inside its one call, but others before it."""
        self.wall = self.cpu = 0.0
        self.start()


Run = Callable[[Stopwatch], Found]


def write_tape(path: Path, tape: Tape) -> None:
    """For one run and one Python: a form that is read three times as fast as JSON."""
    rows = {name: list(map(tuple, getattr(tape, name))) for name in ("stream", "final")}
    path.write_bytes(marshal.dumps(tape._asdict() | rows))


def read_tape(path: Path) -> Tape:
    """What `write_tape` wrote."""
    fields = marshal.loads(path.read_bytes())
    for name in ("stream", "final"):
        fields[name] = list(map(Row._make, fields[name]))
    return Tape(**fields)


def digest(found: Found) -> str:
    """A short name of what was found, to compare runs by."""
    return f"{zlib.crc32(json.dumps([list(item) for item in found]).encode()):08x}"


def contend(prepare: Callable[[Tape], Run]) -> None:
    """The body of a contestant's process: prints one line of JSON, the last of its output.

    What was prepared is taken out of the garbage collector's sight, for every contestant alike: it collects while
    they run, but does not walk through the session that is fed to them.
    """
    path, *options = sys.argv[1:]
    run = prepare(read_tape(Path(path)))
    gc.collect()
    gc.freeze()
    watch = Stopwatch()
    watch.start()
    found = run(watch)
    watch.stop()
    found = [(int(second), int(mask)) for second, mask in found]
    result: dict[str, Any] = {
        "wall": watch.wall,
        "cpu": watch.cpu,
        "digest": digest(found),
        "evaluations": len(found),
        "signals": sum(mask == ALL for _, mask in found),
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    if "--found" in options:
        result["found"] = found
    print(json.dumps(result), flush=True)
