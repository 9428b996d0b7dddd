"""Tries deliberate faults in the worker, one at a time: ``python -m tests.mutants [--only NAME|CLASS] [--jobs 2] [--list]``.

A fault that no test notices is a test that is missing. What is tried is a copy of the tree; what becomes of each mutant stands under
`.mutants/`, so that a run that was interrupted goes on, and one after a change tries only what the change may have altered.
Exit status 1 if under 97 % are killed, or if one survives that no reason is given for.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from tests.mutants.covering import Covering, file_of
from tests.mutants.judge import Judge, Result, Verdict
from tests.mutants.measure import changed, digest, measure
from tests.mutants.mutant import Mutant, Stale, catalogue
from tests.mutants.tree import KEPT, copied_tree

GOAL = 0.97
"""The share of mutants that the tests must kill."""

JOBS = 2

INTERRUPTED = 130

RESULTS = KEPT / "results.json"


class Kept:
    """The results of this run and of earlier ones, on the disk."""

    def __init__(self, is_fresh: bool) -> None:
        self._known: dict[str, dict[str, Any]] = {}
        if RESULTS.is_file():
            self._known = json.loads(RESULTS.read_text(encoding="utf-8"))
        self._is_fresh = is_fresh
        self._tried: set[str] = set()

    def killer(self, mutant: Mutant) -> str:
        """Returns the test that killed a mutant the last time; empty if none did."""
        by: str = self._known.get(mutant.name, {}).get("by", "")
        return by

    def of(self, mutant: Mutant, tests: str) -> Result | None:
        """Returns what became of a mutant if nothing has changed since; ``tests`` tells one state of all tests from another.

        A kill stands as long as the file and the killing test's do; a survivor's as long as all tests do.
        """
        known = self._known.get(mutant.name)
        if (
            known is None
            or known["digest"] != mutant.digest
            or (self._is_fresh and mutant.name not in self._tried)
        ):
            return None
        result = Result(Verdict(known["verdict"]), known["by"], known["cpu_s"])
        now = _digest_of(result.by) if result.is_killed else tests
        return result if known["tests"] == now else None

    def put(self, mutant: Mutant, result: Result, tests: str) -> None:
        """Keeps a result."""
        self._tried.add(mutant.name)
        self._known[mutant.name] = {
            "digest": mutant.digest,
            "verdict": result.verdict,
            "by": result.by,
            "tests": _digest_of(result.by) if result.is_killed else tests,
            "cpu_s": round(result.cpu_s, 1),
        }
        new = RESULTS.with_suffix(".new")
        new.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        new.replace(RESULTS)


def _digest_of(test: str) -> str:
    return digest(file_of(test)) if "::" in test else ""


class Run:
    """Tries mutants, several at once."""

    def __init__(self, mutants: Sequence[Mutant], kept: Kept, covering: Covering) -> None:
        self._kept, self._covering = kept, covering
        self._tests = json.dumps(
            sorted((name, digest(name)) for name in {file_of(test) for test in covering.seconds})
        )
        self.results: dict[Mutant, Result] = {}
        self._left: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
        for mutant in mutants:
            if (result := kept.of(mutant, self._tests)) is not None:
                self.results[mutant] = result
            else:
                self._left.put(mutant)
        self._count, self._done = self._left.qsize(), 0
        self._began = time.monotonic()
        self._ended: queue.SimpleQueue[tuple[Mutant, Result | Exception] | None] = queue.SimpleQueue()
        self._judges: list[Judge] = []

    def go(self, jobs: int) -> None:
        """Tries what is left. Raises what a judge raises."""
        if self.results:
            print(f"{len(self.results)} are known from earlier", flush=True)
        sound: dict[str, bool] = {}
        with ExitStack() as stack:
            trees = [stack.enter_context(copied_tree()) for _ in range(min(jobs, self._count))]
            self._judges = [Judge(tree, self._covering, sound) for tree in trees]
            threads = [threading.Thread(target=self._work, args=(judge,)) for judge in self._judges]
            try:
                for thread in threads:
                    thread.start()
                working = len(threads)
                while working:
                    match self._ended.get():
                        case None:
                            working -= 1
                        case (_, Exception() as error):
                            raise error
                        case (mutant, result):
                            self._record(mutant, result)
            finally:
                for judge in self._judges:
                    judge.stop()
                for thread in threads:
                    thread.join()

    def _work(self, judge: Judge) -> None:
        while True:
            try:
                mutant = self._left.get_nowait()
            except queue.Empty:
                break
            try:
                self._ended.put((mutant, judge.judge(mutant, self._kept.killer(mutant))))
            except InterruptedError:
                break
            except Exception as error:  # noqa: BLE001 - a thread's border: the run raises it
                self._ended.put((mutant, error))
                break
        self._ended.put(None)

    def _record(self, mutant: Mutant, result: Result) -> None:
        self.results[mutant] = result
        self._kept.put(mutant, result, self._tests)
        self._done += 1
        left = (time.monotonic() - self._began) / self._done * (self._count - self._done)
        by = f" by {result.by}" if result.is_killed else ""
        print(
            f"[{self._done:3}/{self._count}] {result.verdict:8} {mutant.name} ({mutant.kind}){by}, "
            f"{result.cpu_s:.0f} s; {left / 60:.0f} min left",
            flush=True,
        )


def report(results: Mapping[Mutant, Result], began: float) -> bool:
    """Prints what became of the mutants. Returns whether the goal is met."""
    kinds: dict[str, list[Result]] = defaultdict(list)
    for mutant, result in results.items():
        kinds[mutant.kind].append(result)
    print(f"\n{'class':12} {'tried':>6} {'killed':>6} {'hung':>5} {'alive':>5}")
    for kind, found in [*sorted(kinds.items()), ("all", list(results.values()))]:
        count = [
            sum(result.verdict is verdict for result in found) for verdict in (Verdict.KILLED, Verdict.HUNG)
        ]
        print(f"{kind:12} {len(found):6} {count[0]:6} {count[1]:5} {len(found) - sum(count):5}")
    alive = [mutant for mutant, result in results.items() if not result.is_killed]
    for mutant in alive:
        why = f"survives because {mutant.survives}" if mutant.survives else "NO TEST NOTICES IT"
        print(f"{mutant.name} ({mutant.file}: {mutant.breaks}): {results[mutant].verdict}, {why}")
    for mutant, result in results.items():
        if mutant.survives and result.is_killed:
            print(f"{mutant.name} is killed now: take its reason away")
    share = 1 - len(alive) / max(1, len(results))
    cpu = sum(result.cpu_s for result in results.values())
    print(
        f"{share:.1%} killed; {cpu / 60:.0f} min of the processor, {(time.monotonic() - began) / 60:.0f} min"
    )
    return share >= GOAL and all(mutant.survives for mutant in alive)


def chosen(only: Sequence[str]) -> list[Mutant]:
    """Returns the mutants of some names and classes, all of them without any. Raises Stale, SyntaxError."""
    mutants = [mutant for mutant in catalogue() if not only or mutant.name in only or mutant.kind in only]
    for mutant in mutants:
        mutant.check()
    return mutants


def main() -> int:
    """Tries the mutants; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME|CLASS", help="may be given several times"
    )
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"how many are tried at once; default {JOBS}")
    parser.add_argument(
        "--list", action="store_true", help="print the mutants, and how many tests judge each"
    )
    parser.add_argument(
        "--fresh", action="store_true", help="try everything again, whatever earlier runs have found"
    )
    asked = parser.parse_args()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    KEPT.mkdir(exist_ok=True)
    try:
        mutants = chosen(asked.only)
        if not mutants:
            parser.error("no such mutant or class")
        if asked.list:
            for mutant in mutants:
                print(f"{mutant.kind:12} {mutant.name:40} {mutant.file}: {mutant.breaks}")
            print(len(mutants))
            return 0
        if files := changed():
            print(f"Measuring which lines the tests of {len(files)} files run …", flush=True)
            measure(files, jobs=max(2, os.cpu_count() or 2))
        run = Run(mutants, Kept(asked.fresh), Covering())
        run.go(asked.jobs)
        return 0 if report(run.results, began) else 1
    except (Stale, SyntaxError) as error:
        print(f"A mutant is out of date: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted: the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
