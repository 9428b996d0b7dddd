"""Coverage with branches: ``python -m tests.cover [--pure] [--edges]``. Exit status 1 when a goal is missed.

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
from pathlib import Path

ROOT = Path(__file__).parent.parent
EDGES_PERCENT = 95.0
JOBS = 2

PURE: Mapping[str, Sequence[str]] = {
    "windows.py": ("tests/test_signals.py",),
    "price_level.py": ("tests/test_price_jump.py",),
    "signals.py": ("tests/test_signals.py",),
    "contract_selector.py": ("tests/test_contract_selector.py",),
    "risk_manager.py": ("tests/test_risk_manager.py",),
    "gaps.py": ("tests/test_sight.py",),
    "lags.py": ("tests/test_sight.py",),
    "telling.py": ("tests/test_sight.py",),
    "sight.py": ("tests/test_sight.py", "tests/test_sight_away.py"),
    "quotes.py": ("tests/test_frozen_quotes.py", "tests/test_engine.py"),
    "gates.py": ("tests/test_engine.py",),
    "decisions.py": ("tests/test_engine.py",),
    "engine.py": ("tests/test_engine.py", "tests/test_engine_contract.py"),
    "wording.py": ("tests/test_wording.py",),
    "alerts.py": ("tests/test_alerts.py",),
    "messages/": ("tests/messages", "tests/test_alerts.py"),
    "delivery/answers.py": ("tests/delivery/test_answers.py",),
    "delivery/obstacles.py": ("tests/delivery/test_obstacles.py",),
    "delivery/outbox.py": ("tests/delivery/test_outbox.py",),
    "delivery/receipts.py": ("tests/delivery/test_receipts.py",),
    "delivery/standing.py": ("tests/delivery/test_standing.py",),
    "feeds/states.py": ("tests/feeds/test_states.py",),
    "worker/start.py": ("tests/worker/test_start.py",),
}
"""Each pure module, and the tests of its own."""

EXCEPTIONS: Mapping[str, tuple[float, str]] = {}
"""Files with a lower goal (percent), and why."""


def covered(arguments: Sequence[str], include: str, folder: Path) -> dict[str, float]:
    """Returns the percentage of each file under ``include``, after pytest has run with ``arguments``. Raises CalledProcessError."""
    data = folder / f"{abs(hash((include, *arguments)))}.coverage"
    environment = {**os.environ, "COVERAGE_FILE": str(data)}
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
    return {name: entry["summary"]["percent_covered"] for name, entry in files.items()}


def pure(folder: Path) -> list[str]:
    """Returns what is not covered whole by the tests of its own, a line each."""

    def one(item: tuple[str, Sequence[str]]) -> dict[str, float]:
        module, tests = item
        return covered(["-n", "0", *tests], f"{module}*" if module.endswith("/") else module, folder)

    with ThreadPoolExecutor(JOBS) as jobs:
        found = {name: percent for part in jobs.map(one, PURE.items()) for name, percent in part.items()}
    return missed(found, 100.0)


def edges(folder: Path) -> list[str]:
    """Returns what all tests together leave uncovered, a line each."""
    return missed(covered([], "*.py", folder), EDGES_PERCENT)


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
    parser.add_argument("--edges", action="store_true", help="only all tests together")
    asked = parser.parse_args()
    both = asked.pure is asked.edges
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        if asked.pure or both:
            lines += pure(Path(folder))
        if asked.edges or both:
            lines += edges(Path(folder))
    print(*lines, sep="\n", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
