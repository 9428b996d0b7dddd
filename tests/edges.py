"""Coverage of everything that is not pure, by all tests together: ``python -m tests.cover --edges [ROOM …]``.

The tests run room by room, so that few real-time tests run at once, and one that the machine's mood has failed can be run again
without the rest. Processes that tests start are measured, too, where a test hands them `measured`.

Python 3.11 does not tell a tracer that a coroutine goes on after an exception was thrown into it (a timeout, a cancelled task:
https://github.com/python/cpython/issues/106749). What follows looks as if it had not been run. Python 3.12 and newer count it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.measured import CHILDREN

ROOT = Path(__file__).parent.parent

NAMED = ("feeds", "delivery", "record", "worker", "checks", "review", "sim")
"""Packages whose tests are a room of their own."""

REST = "rest"
"""The room of all other tests."""

NOT_RUN = ("benchmarks",)
"""What measures speed proves nothing here."""


def _rest() -> tuple[str, ...]:
    tests = ROOT / "tests"
    folders = {path.parent for path in tests.glob("*/**/test_*.py")}
    others = (path for path in folders if path.relative_to(tests).parts[0] not in (*NAMED, *NOT_RUN))
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in (*tests.glob("test_*.py"), *others)))


ROOMS: Mapping[str, tuple[str, ...]] = {**{name: (f"tests/{name}",) for name in NAMED}, REST: _rest()}
"""The tests of each room, in the order in which they are run."""

COUNTS_ALL = (3, 12)
"""The oldest Python that counts what follows in a coroutine after a timeout."""

CONFIGURATION = """\
[run]
branch = true
parallel = true
patch = _exit
source = {root}
omit =
    {root}/tests/*
    {root}/benchmarks/*
    {root}/quick_imports.py
data_file = {folder}/children
disable_warnings = no-data-collected, module-not-measured
"""
"""How processes that tests start are measured. ``_exit`` is what the watchdog ends a process with."""


@dataclass(frozen=True)
class Measured:
    """What is known of one file."""

    percent: float
    done: int
    """Lines and branches that were run."""
    wanted: int
    missing: frozenset[int]
    """Lines that were not run."""
    partial: tuple[tuple[int, int], ...]
    """Branches that were not taken: from which line to which; a negative one is the end of what begins there."""


def measure(folder: Path, rooms: Sequence[str]) -> tuple[dict[str, Measured], list[str]]:
    """Runs the tests of ``rooms``. Returns what they cover, by file, and the rooms in which a test failed twice."""
    configuration = folder / "children.ini"
    configuration.write_text(CONFIGURATION.format(root=ROOT, folder=folder), encoding="utf-8")
    failed: list[str] = []
    for room in rooms:
        environment = {
            **os.environ,
            "COVERAGE_FILE": str(folder / f"room-{room}"),
            "DRAW_THE_SAME": "1",
            CHILDREN: str(configuration),
        }
        began = time.monotonic()
        tests = ("-m", "pytest", "-q", "--cov", "--cov-branch", "--cov-report=", *ROOMS[room])
        cache = ("-o", f"cache_dir={folder / room}")
        # A machine that is busy fails a real-time test now and then. What is broken fails again.
        if _run(environment, *tests, *cache) and _run(
            environment, *tests, *cache, "--cov-append", "--last-failed", "-n", "0", "-x"
        ):
            failed.append(room)
        print(f"-- {room}: {time.monotonic() - began:.0f} s", flush=True)
    return _read(folder), failed


def room_of(name: str) -> str:
    """Returns the room whose tests are the ones of a file."""
    first = name.partition("/")[0]
    return first if first in NAMED else REST


def _run(environment: Mapping[str, str], *arguments: str) -> int:
    """Runs Python; says what it said unless all is well. Returns its exit status."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-2000:], sep="\n", file=sys.stderr)
    return done.returncode


def _read(folder: Path) -> dict[str, Measured]:
    """Returns what was measured in all processes. Raises RuntimeError if coverage cannot put it together."""
    parts = [str(path) for path in folder.iterdir() if path.name.startswith(("room-", "children."))]
    parts.remove(str(folder / "children.ini"))
    environment = {**os.environ, "COVERAGE_FILE": str(folder / "all")}
    report = folder / "all.json"
    if _run(environment, "-m", "coverage", "combine", "-q", "--keep", *parts) or _run(
        environment, "-m", "coverage", "json", "-q", "-o", str(report)
    ):
        raise RuntimeError("coverage could not be put together")
    return {
        name: Measured(
            entry["summary"]["percent_covered"],
            entry["summary"]["covered_lines"] + entry["summary"]["covered_branches"],
            entry["summary"]["num_statements"] + entry["summary"]["num_branches"],
            frozenset(entry["missing_lines"]),
            tuple((first, last) for first, last in entry["missing_branches"]),
        )
        for name, entry in json.loads(report.read_text(encoding="utf-8"))["files"].items()
    }


def by_room(found: Mapping[str, Measured]) -> Iterator[tuple[str, float]]:
    """Yields each package and its percentage; the files at the top are one of them."""
    rooms: dict[str, list[Measured]] = defaultdict(list)
    for name, file in found.items():
        rooms[name.rpartition("/")[0] or "top"].append(file)
    for room, files in sorted(rooms.items()):
        yield room, 100.0 * sum(file.done for file in files) / max(1, sum(file.wanted for file in files))


def spans(lines: frozenset[int]) -> list[str]:
    """Returns line numbers as they are read: ``3-5``, ``9``."""
    found: list[list[int]] = []
    for line in sorted(lines):
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return [str(first) if first == last else f"{first}-{last}" for first, last in found]
