"""``python -m research demo``: made sessions, fetched, run and judged as real ones are, in under a minute and without a key.

The market is that of ``python -m sim serve``, in a process of its own, asked over real HTTP. It has no edge: no rule can
win on it but by luck.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import config
import entry
from config import Settings
from research.backtest.report import Backtest, headline
from research.commands import backtest
from research.commands.fetch import fetch_all
from research.history.fetch import Wanted
from research.history.store import History
from review.page.library import library
from review.places import WITHOUT_KEYS, BadArgument, Unusable
from review.report import wrapped
from utils import session_on

DESCRIPTION = """\
Fetch made sessions from the loopback market over real HTTP, run them through the live engine, judge the alerts, and write
the report as a page. Needs no key and asks nobody outside this machine. The market is simulated and has no edge: whatever
the alerts bring on it is chance, less costs.
"""

PREFIX = "iwm-research-"
"""How the name of a new folder begins."""

TODAY = date(2025, 7, 7)
"""The market's own day, after those that are fetched."""

DAYS = ("2025-07-01", "2025-07-02", "2025-07-03")
"""What is fetched; the last one is a half day."""

SEED, JOBS = 7, 2
LONGEST_S = 300
"""The market ends by itself after so many seconds, even where this process was killed."""

SIGNALLED = 128
"""A shell's status for a process that a signal has ended is this and the signal's number."""

READY = "# Ctrl-C stops it."
EXPORT = "export "


def add_command(commands: Any) -> None:
    """Adds ``demo`` to the command line."""
    made = commands.add_parser(
        "demo",
        help="all of it on a simulated market, without a key",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="where everything goes, a new or an empty folder (default: a new one)",
    )
    made.add_argument(
        "--sessions",
        type=int,
        choices=range(1, len(DAYS) + 1),
        default=len(DAYS),
        metavar="N",
        help=f"how many sessions, 1 to {len(DAYS)} (default: {len(DAYS)})",
    )
    made.set_defaults(run=run)


class Places(NamedTuple):
    """What is in the demonstration's folder."""

    folder: Path

    @property
    def history(self) -> Path:
        """The sessions, as HISTORY_DIR."""
        return self.folder / "history"

    @property
    def records(self) -> Path:
        """A record of each session, as DATA_DIR."""
        return self.folder / "records"

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"


def run(options: argparse.Namespace) -> None:
    """Runs it. Raises Unusable where something is missing, BadArgument for a folder in use, and OSError."""
    _check_packages()
    places = Places(_folder(options.keep))
    print(*wrapped(f"A simulated market without an edge. Everything goes into {places.folder}"), sep="\n")
    days = DAYS[-options.sessions :]
    with _market() as addresses:
        chosen = _settings(addresses, places)
        print(
            *wrapped(f"Fetching {len(days)} simulated sessions from {chosen.polygon_rest_url}:"),
            sep="\n",
            flush=True,
        )
        sessions = [session for day in days if (session := session_on(date.fromisoformat(day))) is not None]
        rules = chosen.rules
        wanted = Wanted(rules.symbol, rules.benchmark, rules, chosen.polygon_rest_url)
        fetch_all(History(places.history), wanted, sessions, chosen)
    print(flush=True)
    found = backtest.run_with(chosen, _arguments(places, jobs=min(JOBS, len(days))))
    print(*_last_words(found, places, days[0]), sep="\n")


def _check_packages() -> None:
    """Raises Unusable if a package is missing that the market or the page needs."""
    for package, locked in (("aiohttp", entry.DEMO_PACKAGES), ("numpy", entry.DEMO_PACKAGES)):
        if find_spec(package) is None:
            raise Unusable(f"the loopback market needs the package {package}: {entry.remedy(locked)}")
    library()


def _folder(keep: Path | None) -> Path:
    """Returns the folder of the demonstration, which is empty. Raises BadArgument if ``keep`` is in use."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix=PREFIX))
    folder = Path(os.path.abspath(keep))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if there := sorted(os.listdir(folder)):
            raise BadArgument(f"--keep {keep}: contains {there[0]}; name a new or empty folder")
    except OSError as error:
        raise BadArgument(f"--keep {keep}: cannot be used ({error.strerror}); name another folder") from None
    return folder


@contextmanager
def _market() -> Iterator[Mapping[str, str]]:
    """Starts the loopback market, and yields the environment that points at it. Raises Unusable if it does not start."""
    command = [sys.executable, "-m", "sim", "serve", "--date", f"{TODAY}"]
    command += ["--seed", f"{SEED}", "--seconds", f"{LONGEST_S}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=entry.FOLDER) as market:
        # By default it would end this process, and leave the market.
        before = signal.signal(signal.SIGTERM, _end)
        try:
            yield _addresses(market)
        finally:
            signal.signal(signal.SIGTERM, before)
            market.kill()  # it has nothing to keep


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(SIGNALLED + number)


def _addresses(market: subprocess.Popen[str]) -> dict[str, str]:
    """Returns the environment that the market prints once it listens."""
    found: dict[str, str] = {}
    assert market.stdout is not None
    for line in market.stdout:
        if line.startswith(EXPORT):
            name, _, value = line.removeprefix(EXPORT).strip().partition("=")
            found[name] = value
        elif line.startswith(READY):
            return found
    raise Unusable("the loopback market did not start (python -m sim serve says why)")


def _settings(addresses: Mapping[str, str], places: Places) -> Settings:
    """Returns the defaults, pointed at the market: nothing of the owner's settings or keys is read."""
    named = {name: value for name, value in addresses.items() if name.startswith("POLYGON_")}
    places_named = {"HISTORY_DIR": str(places.history), "DATA_DIR": str(places.folder / "data")}
    return config.load({**WITHOUT_KEYS, **named, **places_named}, env_file=None)[0]


def _arguments(places: Places, *, jobs: int) -> argparse.Namespace:
    """Returns the options of the backtest, as they would be typed."""
    parser = argparse.ArgumentParser()
    backtest.add_command(parser.add_subparsers())
    return parser.parse_args(
        ["backtest", "--record", str(places.records), "--html", str(places.report), "--jobs", str(jobs)]
    )


def _last_words(found: Backtest, places: Places, day: str) -> list[str]:
    """Returns the verdict and what to try next."""
    python = sys.orig_argv[0]
    research = [python, "-m", "research"]
    history = ["--history", str(places.history)]
    steps = (
        ("The sessions, and where they come from:", [*research, "data", *history]),
        ("The same alerts, followed a minute late:", [*research, "backtest", *history, "--delay", "60"]),
        (
            "Whether every decision follows from a session's record:",
            [python, "-m", "review", "verify", str(places.records / "sessions" / f"{day}.jsonl")],
        ),
    )
    told = ["", *wrapped(headline(found)), ""]
    for text, words in steps:
        told += [text, f"  {shlex.join(words)}"]
    return told
