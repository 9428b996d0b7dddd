"""Coverage with branches: ``python -m tests.cover [--pure] [--edges [ROOM …]]``. Exit status 1 when a goal is missed.

Pure modules must be covered whole by the tests of their own: what another module's test happens to touch proves nothing about
them. Everything else must be covered to `EDGES_PERCENT`, by all tests together. What is left out stands in `EXCEPTIONS`, each with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

from tests.edges import COUNTS_ALL, ROOMS, by_room, measure, room_of, spans

ROOT = Path(__file__).parent.parent
EDGES_PERCENT = 95.0
JOBS = 2

SEEN = (
    "tests/test_sight.py",
    "tests/test_sight_away.py",
    "tests/test_sight_judge.py",
    "tests/test_lost_seconds.py",
)
TAPE = (
    "tests/test_signals.py",
    "tests/test_price_jump.py",
    "tests/test_price_jump_engine.py",
    "tests/test_lost_seconds.py",
)
QUOTED = ("tests/test_contract_selector.py", "tests/test_delta_doubt.py", "tests/test_frozen_quotes.py")
DECIDED = (
    "tests/test_engine.py",
    "tests/test_engine_feed.py",
    "tests/test_engine_position.py",
    "tests/test_engine_restart.py",
)

PURE: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("windows.py", "price_level.py", "signals.py"): (*TAPE, *DECIDED, "tests/test_engine_contract.py"),
    ("contract_selector.py", "option_pricing.py", "option_quotes.py", "quotes.py"): QUOTED,
    ("gaps.py", "lags.py", "link.py", "progress.py", "telling.py", "sight.py"): (*SEEN, "tests/test_link.py"),
    ("engine.py", "gates.py", "decisions.py"): (
        *DECIDED,
        "tests/test_engine_contract.py",
        "tests/test_sight_away.py",
        "tests/test_frozen_quotes.py",
    ),
    ("risk_manager.py",): (
        "tests/test_risk_manager.py",
        "tests/test_sight_away.py",
        *DECIDED,
        *QUOTED,
        "tests/test_engine_contract.py",
    ),
    ("timekeeping.py",): ("tests/test_clock.py",),
    ("alerts.py", "messages/*"): ("tests/test_alerts.py", "tests/messages"),
    ("delivery/answers.py",): ("tests/delivery/test_answers.py",),
    ("delivery/obstacles.py", "delivery/outbox.py", "delivery/receipts.py", "delivery/standing.py"): (
        "tests/delivery/test_obstacles.py",
        "tests/delivery/test_outbox.py",
        "tests/delivery/test_receipts.py",
        "tests/delivery/test_standing.py",
    ),
    ("feeds/states.py",): ("tests/feeds/test_states.py",),
    ("pictures/facts.py", "pictures/gather.py", "worker/album.py"): (
        "tests/pictures/test_gather.py",
        "tests/worker/test_album.py",
    ),
    ("worker/start.py",): ("tests/worker/test_start.py",),
}
"""Pure modules, and the tests of their own."""

EXHAUSTIVE = "a match over all members has no other way out, which branch coverage cannot know"
LOST_IN_3_11 = "what a coroutine does after a timeout, which Python 3.11 does not count (tests/edges.py)"
EXCEPTIONS: Mapping[str, tuple[float, str]] = {
    "messages/alert.py": (
        92.0,
        "what is said of an alert once it is late or repeated is tested where it is sent (tests/delivery)",
    ),
    "price_level.py": (
        97.0,
        "more than 60 bars that wait at once, and a symbol that is looked back on past its first bar",
    ),
    "contract_selector.py": (98.9, "a loop over calls that ends without one that has an IV"),
    "option_pricing.py": (
        97.0,
        "a volatility that Newton's steps have not settled on after the last of them",
    ),
    "delivery/outbox.py": (97.0, EXHAUSTIVE),
    "delivery/receipts.py": (98.9, EXHAUSTIVE),
    "checks/init.py": (84.0, LOST_IN_3_11),
    "checks/installation.py": (
        93.0,
        "an installation without the clone: tests/test_setup.py makes one, elsewhere",
    ),
    "entry.py": (
        94.0,
        "what is said there of such an installation, and of environments that are not the clone's",
    ),
    "feeds/connection.py": (92.0, LOST_IN_3_11),
    "timekeeping.py": (98.0, "bars heard of from before the clock was moved"),
}
"""Files with a lower goal (percent), and why."""


def covered(arguments: Sequence[str], include: str, folder: Path) -> dict[str, float]:
    """Returns the percentage of each file under ``include``, after pytest has run with ``arguments``. Raises CalledProcessError."""
    data = folder / f"{abs(hash((include, *arguments)))}.coverage"
    environment = {**os.environ, "COVERAGE_FILE": str(data), "DRAW_THE_SAME": "1"}
    report = data.with_suffix(".json")
    for command in (
        ("pytest", "-q", "--cov", "--cov-branch", "--cov-report=", *arguments),
        ("coverage", "json", "-q", f"--include={include}", "-o", str(report)),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-2000:], sep="\n", file=sys.stderr)
            done.check_returncode()
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    wanted = include.split(",")  # coverage takes another folder's file of that name, too
    return {
        name: entry["summary"]["percent_covered"]
        for name, entry in files.items()
        if any(fnmatch(name, pattern) for pattern in wanted)
    }


def pure(folder: Path) -> list[str]:
    """Returns what is not covered whole by the tests of its own, a line each."""

    def one(item: tuple[tuple[str, ...], tuple[str, ...]]) -> dict[str, float]:
        modules, tests = item
        return covered(["-n", "0", *tests], ",".join(modules), folder)

    with ThreadPoolExecutor(JOBS) as jobs:
        found = {name: percent for part in jobs.map(one, PURE.items()) for name, percent in part.items()}
    return missed(found, 100.0)


def edges(folder: Path, rooms: Sequence[str]) -> list[str]:
    """Returns what the tests of ``rooms`` leave uncovered of these rooms' files, a line each."""
    measured, failed = measure(folder, rooms)
    found = {name: file for name, file in measured.items() if room_of(name) in rooms}
    lines = [f"{room}: a test fails" for room in failed] + missed(
        {name: file.percent for name, file in found.items()}, EDGES_PERCENT
    )
    for name, file in sorted(found.items()):
        gaps = ", ".join([*spans(file.missing), *(f"{first}->{last}" for first, last in file.partial)])
        if gaps:
            print(f"{name}: {gaps}")
    if sys.version_info < COUNTS_ALL:
        print(
            "This Python does not count what a coroutine does after a timeout: 3.12 shows more (tests/edges.py)"
        )
    for room, percent in by_room(found):
        print(f"{percent:6.1f} %  {room}", flush=True)
    return lines


def missed(found: Mapping[str, float], goal: float) -> list[str]:
    """Prints each file's percentage. Returns those under their goal."""
    lines = []
    for name, percent in sorted(found.items()):
        wanted = min(goal, EXCEPTIONS.get(name, (goal, ""))[0])
        print(f"{percent:6.1f} %  {name}", flush=True)
        if percent < wanted:
            lines.append(f"{name}: {percent:.1f} % covered, {wanted:g} % wanted")
    return lines


def main() -> int:
    """Measures; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.cover", description=__doc__)
    parser.add_argument("--pure", action="store_true", help="only the pure modules")
    parser.add_argument(
        "--edges",
        nargs="*",
        choices=[*ROOMS],
        metavar="ROOM",
        help=f"only all tests together, or those of some rooms: {', '.join(ROOMS)}",
    )
    asked = parser.parse_args()
    both = asked.pure is (asked.edges is not None)
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        if asked.pure or both:
            lines += pure(Path(folder))
        if asked.edges is not None or both:
            lines += edges(Path(folder), asked.edges or [*ROOMS])
    print(*lines, sep="\n", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
