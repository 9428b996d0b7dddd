"""``python diagnose.py watch``: the session in progress, in the terminal, as one frame, or as a page on this machine."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import entry
import utils
from config import ConfigError
from entry import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from review.ending import print_faults
from review.places import Unusable, data_dir
from review.screen import Progress
from review.watch import lines
from review.watch.frame import frame_of
from review.watch.recent import Recent
from review.watch.source import Source
from review.watch.watcher import Watcher

COMMAND = "python diagnose.py watch"

LAST_PORT = 65_535

DESCRIPTION = """\
The session in progress, from its record: feed and lag, price with both VWAPs, the conditions, the gate, the open position
and what happened last. Reads the record only: the worker is not touched, and need not run in this terminal.
"""

EXAMPLES = """\
examples:
  python diagnose.py watch
  python diagnose.py watch --once
  python diagnose.py watch --serve

Exit status: 0 ended with q, or one frame was printed; 1 no record of today, a damaged one, no terminal, no Textual, or the
port is taken; 2 bad arguments or configuration; 130 ended by Ctrl-C.
"""

PACKAGE = "textual"
"""The package that draws the view."""

WITHOUT_TEXTUAL = f"watch draws with the package {PACKAGE}: {entry.remedy(entry.REVIEW_PACKAGES)}; --once prints one frame without it"
WITHOUT_TERMINAL = "watch draws on a terminal, and this is not one: --once prints one frame"


def parser() -> argparse.ArgumentParser:
    """Returns the command line."""
    made = argparse.ArgumentParser(
        prog=COMMAND,
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    how = made.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="print one frame as plain text, and end")
    how.add_argument(
        "--serve",
        nargs="?",
        type=_port,
        const=0,
        metavar="PORT",
        help="serve the session's page on this machine's loopback address instead (default: any free port)",
    )
    made.add_argument(
        "--data-dir",
        type=Path,
        metavar="PLACE",
        help="the folder with the records, or one record (default: DATA_DIR from the environment or .env)",
    )
    return made


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"takes a port from 0 (any free one) to {LAST_PORT}, not {text!r}")
    return int(text)


def main(arguments: list[str], now: Callable[[], int] = utils.utc_now) -> int:
    """Runs the command; returns the exit status. ``now`` is a clock, µs of UTC."""
    options = parser().parse_args(arguments)
    try:
        source = Source(data_dir() if options.data_dir is None else options.data_dir)
        if options.serve is not None:
            serve = importlib.import_module("review.watch.serve")  # only here: it brings the page's library
            status: int = serve.run(source, options.serve, now)
            return status
        if not options.once and (fault := _terminal_fault()):
            return _failed(fault)
        watcher = Watcher(source, lambda _, first: Recent(first))
        _catch_up(watcher, now)
        return _print_once(watcher, now()) if options.once else _draw(watcher, now)
    except ConfigError as error:
        print_faults(COMMAND, error)
        return EXIT_CONFIGURATION
    except Unusable as error:
        return _failed(str(error))
    except BrokenPipeError:
        raise  # whoever read it (`| head`) has seen enough
    except OSError as error:
        return _failed(error.strerror or str(error))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _failed(text: str) -> int:
    print(f"{COMMAND}: {text}", file=sys.stderr)
    return EXIT_FAILED


def _terminal_fault() -> str:
    """Returns why nothing can be drawn here; empty if it can."""
    is_terminal = all(stream is not None and stream.isatty() for stream in (sys.__stdin__, sys.__stderr__))
    if not is_terminal or os.environ.get("TERM") == "dumb":
        return WITHOUT_TERMINAL
    try:
        importlib.import_module(PACKAGE)
    except ImportError:
        return WITHOUT_TEXTUAL
    return ""


def _catch_up(watcher: Watcher[Recent], now: Callable[[], int]) -> None:
    """Derives what the record holds so far, with its progress on standard error."""
    progress: Progress | None = None
    while True:
        watcher.turn(now())
        if not watcher.is_behind:
            break
        done, total = watcher.progress
        progress = progress or Progress("Reading the record", total)
        progress.tell(done)
    if progress is not None:
        progress.clear()


def _print_once(watcher: Watcher[Recent], now: int) -> int:
    """Prints one frame in the width that COLUMNS names, or 80."""
    if watcher.kept is None:
        return _failed(utils.printable(watcher.fault))
    columns, height = (os.environ.get(name, "") for name in ("COLUMNS", "LINES"))
    width = int(columns) if columns.isascii() and columns.isdigit() else lines.WIDTH_LEAST
    rows = int(height) if height.isascii() and height.isdigit() else lines.HEIGHT_LEAST
    frame = frame_of(watcher.kept, now, watcher.fault)
    for line in lines.whole(frame, max(width, lines.WIDTH_LEAST // 2), rows):
        print(lines.text_of(line))
    return EXIT_FAILED if watcher.fault else EXIT_OK


def _draw(watcher: Watcher[Recent], now: Callable[[], int]) -> int:
    app = importlib.import_module("review.watch.app")
    status: int | None = app.WatchApp(watcher, now).run()
    watcher.close()
    return EXIT_OK if status is None else status
