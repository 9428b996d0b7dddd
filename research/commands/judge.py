"""``python -m research judge``: what a track record is worth, mine or anybody's."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import utils
from research.judge_report import as_json, headline, lines
from research.judgement import Judgement, judged
from research.report_page import page
from research.report_page.told import of_judgement
from research.statistics.overfitting import BLOCK_CHOICES, BLOCKS
from research.track_record import TrackRecord, read
from review.places import BadArgument
from review.report import print_lines, wrapped
from review.screen import Progress

DESCRIPTION = """\
Judge a track record by its days: how sure its mean is, whether its Sharpe ratio is more than luck, whether choosing it
among others was overfitting; and a verdict in one sentence. FILE.csv has the column day (YYYY-MM-DD) and one column for
each trial, or day,result: each day's result as a fraction of the stake (0.015 is 1.5%), after costs, 0 for a session
without a trade.
"""

EXAMPLES = """\
examples:
  python -m research judge results.csv
  python -m research judge results.csv --trials 300 --html report.html
  python -m research judge sweep.csv --column STOP_20 --json

Exit status: 0 judged, whatever the verdict; 1 the file cannot be used; 2 bad arguments.
"""

STEPS = 3


def add_command(commands: Any) -> None:
    """Adds ``judge`` to the command line."""
    made = commands.add_parser(
        "judge",
        help="judge a track record, mine or anybody's",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("file", type=Path, metavar="FILE.csv", help="daily results")
    which = made.add_mutually_exclusive_group()
    which.add_argument(
        "--best", action="store_true", help="judge the trial with the highest Sharpe ratio (the default)"
    )
    which.add_argument("--column", metavar="NAME", help="judge this trial")
    made.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help="how many settings were ever tried, those that the file leaves out included (default: its trials)",
    )
    made.add_argument(
        "--blocks",
        type=int,
        choices=BLOCK_CHOICES,
        default=BLOCKS,
        help=f"blocks of days that choosing is tried on (default: {BLOCKS})",
    )
    made.add_argument(
        "--html", type=Path, metavar="FILE", help="also write the judgement as one page with charts"
    )
    made.add_argument("--json", action="store_true", help="print every number as JSON")
    made.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Judges. Raises Unusable or OSError."""
    if options.html is not None:
        page.check(options.html)
    record = read(options.file)
    found = _judged(record, options)
    if options.json:
        print(utils.printable(as_json(found), as_json=True))
    else:
        notes = [line for note in record.notes for line in wrapped(f"⚠️ {note}")]
        print_lines([*notes, *lines(found)], range(len(notes), len(notes) + len(wrapped(headline(found)))))
    if options.html is not None:
        page.write(of_judgement(found), options.html)
        print(f"\nWritten: {options.html}", file=sys.stderr if options.json else sys.stdout)


def _judged(record: TrackRecord, options: argparse.Namespace) -> Judgement:
    names = record.names
    if options.column is not None and options.column not in names:
        some = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")  # noqa: PLR2004 - as many as a line takes
        raise BadArgument(f"--column {options.column}: is not in the file, which has {some}")
    if options.trials is not None and options.trials < len(names):
        raise BadArgument(f"--trials {options.trials}: the file alone has {len(names)}")
    progress, done = Progress("judging", STEPS, quiet=options.json), iter(range(STEPS))
    try:
        return judged(
            record,
            column=None if options.column is None else names.index(options.column),
            trials=options.trials,
            blocks=options.blocks,
            step=lambda what: progress.tell(next(done)),
        )
    finally:
        progress.clear()
