"""`python -m tests.simulation --seeds 0:10000 --jobs 2`: plays seeds under the faults that they draw, and judges them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.simulation.draw import drawn
from tests.simulation.faults import Kind
from tests.simulation.play import Tally, judged, keep_story, play_many, told

SHOW_S = 2.0
"""Seconds between two lines of progress."""

LISTED_MOST = 50
"""So many failing seeds are listed one by one."""


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 every promise was kept, 1 one was broken, 130 ended by Ctrl-C without one."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", default="0:100", metavar="FROM:TO", help="which seeds, the end left out")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="how many processes")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where failing seeds leave their record and log"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="play one seed, twice")
    parser.add_argument("--show", action="store_true", help="with --seed: print all that happened")
    chosen = parser.parse_args(words)
    if chosen.seed is not None:
        return _one(chosen.seed, chosen.keep, is_shown=chosen.show)
    first, _, end = chosen.seeds.partition(":")
    seeds = range(int(first), int(end or int(first) + 1))
    progress = _Progress(len(seeds))
    tally, is_whole = play_many(seeds, chosen.jobs, chosen.keep, progress.show)
    print("\n".join(report(tally, len(seeds))))
    if tally.failed:
        return 1
    return 0 if is_whole else 130


def _one(seed: int, keep: Path | None, *, is_shown: bool) -> int:
    faults = drawn(seed)
    story, violations = judged(seed, faults, twice=True)
    if is_shown:
        print("\n".join(told(story, faults, violations)))
    else:
        print(
            f"seed {seed}: {len(violations)} violations",
            *(v.text(story.began_at) for v in violations),
            sep="\n  ",
        )
    if keep is not None:
        keep_story(story, faults, violations, keep / f"seed-{seed}")
    return 1 if violations else 0


class _Progress:
    """A line every two seconds: how many seeds were played, how fast, and how long the rest takes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._begun = self._shown = time.monotonic()

    def show(self, tally: Tally) -> None:
        """Shows it, if that is due."""
        now = time.monotonic()
        if now - self._shown < SHOW_S and tally.count < self._count:
            return
        self._shown = now
        rate = tally.count / max(now - self._begun, 1e-9)
        left = (self._count - tally.count) / max(rate, 1e-9)
        text = f"{tally.count:,} of {self._count:,} seeds, {rate:.1f} a second, {_span(left)} left"
        print(f"{text}, {len(tally.failed)} with violations", file=sys.stderr, flush=True)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def report(tally: Tally, asked: int) -> list[str]:
    """The table of faults, and the seeds that broke a promise."""
    lines = [f"{'fault':<26}{'drawn':>9}{'hit':>9}{'violations':>12}"]
    for kind in Kind:
        lines.append(
            f"{kind.value:<26}{tally.drawn[kind.value]:>9,}{tally.hit[kind.value]:>9,}{tally.violated[kind.value]:>12,}"
        )
    drawn_in_all, hit = tally.drawn.total(), tally.hit.total()
    lines.append(f"{'in all':<26}{drawn_in_all:>9,}{hit:>9,}{len(tally.failed):>12,}")
    each = tally.cpu_s / max(1, tally.count)
    lines.append(f"{tally.count:,} of {asked:,} seeds played, {each:.2f} CPU seconds each")
    missed = [kind.value for kind in Kind if tally.drawn[kind.value] and not tally.hit[kind.value]]
    if missed:
        lines.append(f"Drawn, and never hit anything: {', '.join(missed)}")
    for seed, violations in sorted(tally.failed.items())[:LISTED_MOST]:
        lines.append(f"seed {seed}: {len(violations)} violations; the first: {violations[0]}")
        lines.append(f"    python -m tests.simulation --seed {seed} --show")
    if len(tally.failed) > LISTED_MOST:
        lines.append(f"… and {len(tally.failed) - LISTED_MOST} more: {sorted(tally.failed)[LISTED_MOST:]}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
