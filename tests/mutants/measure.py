"""Which test runs which line, and for how long: coverage with contexts, kept under `.mutants/`.

Each measurement stands in a folder of its own, with the text that was measured, so that it stays of use while the code changes: lines are
found again by what stands in them. A test file that has changed is measured again, alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.measured import CHILDREN
from tests.mutants import plugin
from tests.mutants.tree import KEPT, ROOT, copied_tree

MEASURED = KEPT / "measured"

LEFT_OUT = ("tests", "benchmarks", "review", "research", "sim", "book", "checks", "build")
"""Folders without a module of the worker."""

ROOMS = ("delivery", "feeds", "messages", "pictures", "record", "worker")
"""The packages whose tests, with those at the top, judge the worker."""

CONFIGURATION = """\
[run]
branch = false
parallel = true
patch = _exit
context = ${{COVER_TEST-}}
source = {root}
omit =
{omit}
    {root}/quick_imports.py
data_file = {data}
disable_warnings = no-data-collected, module-not-measured
"""
"""How a test's processes are measured; each notes whose it is in its context."""


def test_files() -> list[str]:
    """Returns the files whose tests judge the worker."""
    paths = list((ROOT / "tests").glob("test_*.py"))
    for room in ROOMS:
        paths += (ROOT / "tests" / room).rglob("test_*.py")
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def digest(name: str) -> str:
    """Returns what tells one state of a file from another."""
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()[:16]


def measurements() -> list[Path]:
    """Returns the folders of what was measured, the oldest first."""
    return sorted(path for path in MEASURED.glob("*") if (path / "tests.json").is_file())


def changed() -> list[str]:
    """Returns the test files that were never measured as they are."""
    known: dict[str, str] = {}
    for folder in measurements():
        known |= json.loads((folder / "files.json").read_text(encoding="utf-8"))
    return [name for name in test_files() if known.get(name) != digest(name)]


def measure(files: Sequence[str], jobs: int) -> None:
    """Runs the tests of ``files``, and once more, one at a time, the files of those that fail: the machine may be busy.

    Raises RuntimeError if coverage cannot put it together.
    """
    if failed := _measure(files, jobs):
        _measure(sorted(failed), 0)


def _measure(files: Sequence[str], jobs: int) -> set[str]:
    """Runs the tests of ``files`` in a copy of the tree. Returns the files in which a test has failed. Raises RuntimeError."""
    number = max((int(path.name) for path in MEASURED.glob("*")), default=0) + 1
    folder = MEASURED / f"{number:04}"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    try:
        return _measured(folder, files, jobs)
    except BaseException:
        shutil.rmtree(folder)
        raise


def _measured(folder: Path, files: Sequence[str], jobs: int) -> set[str]:
    digests = {name: digest(name) for name in files}
    with copied_tree() as root:
        _run(root, folder, files, jobs)
        _combine(folder)
        sources = {
            path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in _modules(root)
        }
    (folder / "sources.json").write_text(json.dumps({"root": str(root), "texts": sources}), encoding="utf-8")
    (folder / "files.json").write_text(json.dumps(digests), encoding="utf-8")
    passed, failed = _outcomes(folder / "outcomes")
    (folder / "tests.json").write_text(json.dumps(passed), encoding="utf-8")
    return {test.partition("::")[0] for test in failed}


def _run(root: Path, folder: Path, files: Sequence[str], jobs: int) -> None:
    """Runs the tests under coverage; what is measured, and what pytest says, is in ``folder`` afterwards."""
    omit = "\n".join(f"    {root}/{name}/*" for name in LEFT_OUT)
    configuration = folder / "coverage.ini"
    text = CONFIGURATION.format(root=root, omit=omit, data=folder / "part")
    configuration.write_text(text, encoding="utf-8")
    environment = {
        **os.environ,
        "COVERAGE_FILE": str(folder / "part.tests"),
        "DRAW_THE_SAME": "1",
        CHILDREN: str(configuration),
        plugin.OUTCOMES: str(folder / "outcomes"),
    }
    pytest = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", plugin.__name__)
    cov = ("--cov", f"--cov-config={configuration}", "--cov-context=test", "--cov-report=")
    places = (f"--basetemp={root.parent / 'tests'}", *files)
    with (folder / "output").open("wb") as output:
        subprocess.run(
            [*pytest, *cov, "-n", str(jobs), *places],
            cwd=root,
            env=environment,
            check=False,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _modules(root: Path) -> Iterable[Path]:
    return (path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in LEFT_OUT)


def _combine(folder: Path) -> None:
    parts = [str(path) for path in folder.iterdir() if path.name.startswith("part")]
    environment = {**os.environ, "COVERAGE_FILE": str(folder / "data")}
    command = [sys.executable, "-m", "coverage", "combine", "-q", *parts]
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"coverage could not be put together: {done.stdout[-500:]}{done.stderr[-500:]}")


def _outcomes(outcomes: Path) -> tuple[dict[str, float], set[str]]:
    """Returns the seconds of each test that passed, and those that failed."""
    seconds: dict[str, float] = {}
    others: dict[str, str] = {}
    for line in outcomes.read_text(encoding="utf-8").splitlines():
        name, outcome, duration = json.loads(line)
        seconds[name] = seconds.get(name, 0.0) + duration
        if outcome not in ("passed", plugin.BEGUN):
            others[name] = outcome
    passed = {name: round(taken, 3) for name, taken in seconds.items() if name not in others}
    return passed, {name for name, outcome in others.items() if outcome == "failed"}
