"""What a benchmark is, and how contestants are timed: in processes of their own, in turns, several times.

A benchmark is one module with a class that has the shape of `Benchmark`; `benchmarks.__main__` lists them all.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from benchmarks.environments import Environments

ROOT = Path(__file__).parent.parent

PASS, SHORT, NO_GOAL = "pass", "short", "–"

PROCESS_TIMEOUT_S = 900
"""Longer than any contestant takes on a slow machine."""


class BenchmarkError(Exception):
    """A contestant failed, or found something else than the others: nothing can be compared."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    ``figure`` in ``unit``; ``goal`` is the most it may be (``at_most``), or the least; None: told, not judged.
    ``median`` is the same figure from medians instead of best times, None where there is one measurement only.
    """

    benchmark: str
    what: str
    figure: float
    unit: str = "×"
    median: float | None = None
    goal: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        """``pass``, ``short``, or a dash without a goal."""
        if self.goal is None:
            return NO_GOAL
        holds = self.figure <= self.goal if self.at_most else self.figure >= self.goal
        return PASS if holds else SHORT


class Context(msgspec.Struct, kw_only=True):
    """What a benchmark is given: where to put files, how thorough to be, the environments, and a voice."""

    quick: bool
    directory: Path
    environments: Environments
    say: Callable[[str], None]
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Filled by the benchmarks: package to version, of what was measured against."""


class Outcome(msgspec.Struct, kw_only=True):
    """What a benchmark hands back: its rows, and the raw measurements for the JSON file."""

    rows: list[Row]
    raw: dict[str, Any] = msgspec.field(default_factory=dict)


class Benchmark(Protocol):
    """One benchmark. ``prepare`` installs, makes the data and checks that all agree; ``run`` measures."""

    name: str
    title: str

    def prepare(self, context: Context) -> None:
        """Everything that is not measured. Raises BenchmarkError when contestants disagree."""

    def run(self, context: Context) -> Outcome:
        """Measure."""


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """A module to run in a process of its own; its last line of output is its result as JSON."""

    label: str
    python: Path = Path(sys.executable)
    arguments: tuple[str, ...]
    """What follows ``python``: ``-m``, the module, the file it reads, options."""


class Timing(msgspec.Struct, kw_only=True):
    """All measurements of one contestant, in the order of the rounds, seconds.

    Figures are of processor time (all threads, user and system): contestants compute and wait for nothing, so on a
    quiet machine it is the time that passes, and on a shared one the turns of others are not in it.
    """

    label: str
    wall: list[float] = msgspec.field(default_factory=list)
    cpu: list[float] = msgspec.field(default_factory=list)

    def take(self, result: Mapping[str, Any]) -> None:
        """Add what one run has told."""
        self.wall.append(result["wall"])
        self.cpu.append(result["cpu"])

    @property
    def best(self) -> float:
        """The shortest: what the work takes when nothing disturbs it. Disturbance only ever adds."""
        return min(self.cpu)

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.cpu)


def call(contestant: Contestant, *options: str) -> dict[str, Any]:
    """Run a contestant once. Raises BenchmarkError with the end of its error output when it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [str(contestant.python), *contestant.arguments, *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        end = "\n".join(done.stderr.strip().splitlines()[-8:])
        raise BenchmarkError(f"{contestant.label} ended with status {done.returncode}:\n{end}")
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def take_turns(
    contestants: Sequence[Contestant],
    rounds: int,
    say: Callable[[str], None],
    check: Callable[[Contestant, dict[str, Any]], None] = lambda _contestant, _result: None,
    timings: dict[str, Timing] | None = None,
) -> dict[str, Timing]:
    """ABAB…: each round runs every contestant once, in a fresh process, every other round in the reverse order.

    So a machine that slows down slows all of them, and no layout of memory or hash seed is measured only once.
    ``check`` sees every result, and may raise. ``timings`` are those that there are already: they are gone on with.
    """
    timings = {} if timings is None else timings
    for contestant in contestants:
        timings.setdefault(contestant.label, Timing(label=contestant.label))
    for number in range(rounds):
        for contestant in contestants if number % 2 == 0 else reversed(contestants):
            result = call(contestant)
            check(contestant, result)
            timings[contestant.label].take(result)
            say(f"round {number + 1} of {rounds}: {contestant.label} {result['cpu']:.3f} s")
    return timings


def ratio(timings: Mapping[str, Timing], ours: str, theirs: str) -> tuple[float, float]:
    """Our time over theirs: from the best times, and the median of the rounds' own ratios (neighbours in time).

    One of them may have had more rounds than the other.
    """
    a, b = timings[ours], timings[theirs]
    paired = statistics.median(x / y for x, y in zip(a.cpu, b.cpu, strict=False))
    return a.best / b.best, paired
