"""The command line: ``python -m tests.fuzz [--seed N] [--cases N] [--only KIND …] [--jobs N] [--keep] [--disk] [--kills]``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.fuzz import disk, kills
from tests.fuzz.case import KEPT
from tests.fuzz.kinds import KINDS, Failure, Found, run

SLICE = 2_000
"""How many cases one task of a process has."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is asked for. Returns 0 if nothing fails, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="what every case is drawn from (1)")
    parser.add_argument(
        "--cases", type=int, default=20_000, help="how many cases, of all kinds together (20,000)"
    )
    parser.add_argument("--only", nargs="+", choices=sorted(KINDS), default=sorted(KINDS), metavar="KIND")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes (1)")
    parser.add_argument(
        "--keep", action="store_true", help="keep what fails in tests/fuzz/kept, where the suite runs it"
    )
    parser.add_argument(
        "--kills", action="store_true", help="kill the program at each step of a short session instead"
    )
    parser.add_argument(
        "--disk", action="store_true", help="let each step on the disk fail instead, and spoil a record"
    )
    chosen = parser.parse_args(arguments)
    if chosen.kills or chosen.disk:
        return deaths(chosen.jobs, is_killed=chosen.kills, is_refused=chosen.disk)
    failures = cases(chosen.seed, chosen.cases, chosen.only, chosen.jobs)
    for failure in (each for each in failures if each.is_small):
        print(failure.told())
        if chosen.keep:
            KEPT.mkdir(exist_ok=True)
            path = KEPT / f"{failure.case.kind}-{failure.seed}-{failure.number}.json"
            path.write_text(failure.case.written(), encoding="utf-8")
            print(f"kept as {path}")
    return 1 if failures else 0


def deaths(jobs: int, *, is_killed: bool, is_refused: bool) -> int:
    """Kills the program at every step, and lets every step on the disk fail. Returns 0 if nothing is wrong, else 1."""
    wrong: list[str] = []
    with ProcessPoolExecutor(jobs) as pool:
        if is_killed:
            names = kills.steps()
            for found in pool.map(kills.failures, ([place] for place in range(len(names)))):
                wrong += found
            print(f"killed at {len(names):,} steps, in {len(kills.MODES)} ways each: {len(wrong)} wrong")
        if is_refused:
            names, before = disk.steps(), len(wrong)
            for found in pool.map(disk.failures, ([place] for place in range(len(names)))):
                wrong += found
            ways = 2 * len(disk.FAULTS)
            print(f"refused at {len(names):,} steps, in {ways} ways each: {len(wrong) - before} wrong")
            count, spoilt = disk.spoilt_failures()
            wrong += spoilt
            print(f"{count:,} spoilt records: {len(spoilt)} wrong")
    print("\n".join(wrong))
    return 1 if wrong else 0


def cases(seed: int, count: int, only: Sequence[str], jobs: int) -> list[Failure]:
    """Runs so many cases, and prints how many of each kind there were. Returns what fails."""
    shares = {
        name: round(count * KINDS[name].share / sum(KINDS[each].share for each in only)) for name in only
    }
    slices = [
        (name, seed, first, min(first + SLICE, share))
        for name, share in shares.items()
        for first in range(0, share, SLICE)
    ]
    began = time.monotonic()
    found: list[Found] = []
    with ProcessPoolExecutor(jobs) as pool:
        for number, result in enumerate(pool.map(run, *zip(*slices, strict=True)), start=1):
            found.append(result)
            if sys.stderr.isatty():
                print(f"\r{number} of {len(slices)}", end="", file=sys.stderr)
    print(f"{'kind':12} {'cases':>9} {'failed':>7} {'CPU s':>8}")
    for name in only:
        mine = [each for each in found if each.kind == name]
        failed = sum(len(each.failures) for each in mine)
        print(
            f"{name:12} {sum(each.count for each in mine):9,} {failed:7,} {sum(each.cpu_s for each in mine):8.1f}"
        )
    print(f"{'':12} {sum(each.count for each in found):9,} {'':7} {time.monotonic() - began:8.1f} s")
    return [failure for each in found for failure in each.failures]


if __name__ == "__main__":
    raise SystemExit(main())
