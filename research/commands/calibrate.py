"""``python -m research calibrate``: how often the verdict is wrong, on histories whose truth is known."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from research.calibration import SCENES, Tally, tallied
from research.statistics.verdict import Verdict
from review.screen import Progress

DESCRIPTION = """\
Make histories whose truth is known, judge each as `judge` does, and print how often each verdict was given: without an edge,
where "wins" must stay below 5%, also for the best of 100 settings; with costs alone; and with an edge, where it shows how
many sessions it takes to find one. 2,000 histories of each kind take about half an hour on one core.
"""

HISTORIES = 2_000
HEADS = ("mean of a trade", "settings", "sessions", *(kind.value for kind in Verdict))


def add_command(commands: Any) -> None:
    """Adds ``calibrate`` to the command line."""
    made = commands.add_parser(
        "calibrate",
        help="measure how often the verdict is wrong",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--histories",
        type=_at_least_one,
        default=HISTORIES,
        metavar="N",
        help=f"of each kind (default: {HISTORIES:,})",
    )
    made.add_argument("--jobs", type=_at_least_one, default=1, metavar="N", help="processes (default: 1)")
    made.set_defaults(run=run)


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def run(options: argparse.Namespace) -> None:
    """Judges all histories, and prints a row as soon as its kind is done."""
    progress = Progress("judging histories", len(SCENES))
    print(f"{options.histories:,} histories of each kind\n")
    for line in _heads():
        print(line)
    for done, scene in enumerate(SCENES):
        progress.tell(done)
        found = tallied(scene, options.histories, options.jobs)
        progress.clear()
        print(row(found), flush=True)
    sys.stdout.flush()


def _heads() -> Iterator[str]:
    yield f"| {' | '.join(HEADS)} |"
    yield f"|{'---|' * len(HEADS)}"


def row(found: Tally) -> str:
    """Returns a kind of histories as a row of the table."""
    scene = found.scene
    mean = "0" if scene.mean == 0 else f"{'−' if scene.mean < 0 else '+'}{100 * abs(scene.mean):g}%"
    settings = "1" if scene.settings == 1 else f"best of {scene.settings}"
    shares = " | ".join(f"{100 * found.share(kind):.1f}%" for kind in Verdict)
    return f"| {mean} | {settings} | {scene.sessions} | {shares} |"
