"""``python -m research``: what the alerts are worth. Needs no keys, and the packages of requirements-research.txt."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps, which takes 5 ms to load
import sys

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Ctrl-C ends a program that has not begun, without a traceback.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import entry

if _STARTED := __name__ == "__main__":  # A SyntaxError here: Python 3.11 or newer is needed, see README
    entry.begin("python -m research")

import argparse
from importlib.util import find_spec

from review.ending import finished

PACKAGES = ("numpy", "polars", "arch")


def parser() -> argparse.ArgumentParser:
    """Returns the command line."""
    # Its packages may be missing.
    from research.commands import backtest, calibrate, data, demo, fetch, import_files, judge  # noqa: PLC0415

    made = argparse.ArgumentParser(
        prog="python -m research",
        description="What the alerts are worth, and how sure one can be.",
        allow_abbrev=False,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (backtest, judge, fetch, import_files, data, calibrate, demo):
        command.add_command(commands)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        print(
            f"python -m research: needs {' and '.join(missing)}: pip install -r requirements-research.txt",
            file=sys.stderr,
        )
        return 1
    options = parser().parse_args(arguments)
    return finished(f"python -m research {options.command}", lambda: options.run(options))


if _STARTED:
    entry.run(main)
