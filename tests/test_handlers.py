"""Every handler is entered by a test, and few catch everything: what finds the others is tried on a program of its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.handlers import ROOT, modules, run

PART = """\
import os, resource, signal

def fail(what):
    try:
        raise KeyError(what)
    except KeyError:
        try:
            act(what)
        finally:
            done = what
    except ValueError:
        never = 1

def act(what):
    try:
        if what == "kill":
            raise OSError
    except OSError:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        if what == "no files":
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, 100))
            open("part.py")
    except OSError:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
"""

MAIN = """\
import sys
from part import fail
try:
    fail(sys.argv[1])
finally:
    print(__name__, __file__, sys.path[0], sys.argv, fail.__code__.co_filename)
"""

INNER, FINALLY, OTHER, KILL, FILES = (f"part.py:{line}" for line in (7, 10, 12, 19, 25))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "part.py").write_text(PART)
    (folder / "main.py").write_text(MAIN)
    return folder


@pytest.mark.parametrize(
    ("command", "status", "unreached"),
    [
        (("main.py", "quiet"), 0, {OTHER, KILL, FILES}),
        (("-m", "main", "quiet"), 0, {OTHER, KILL, FILES}),
        (("main.py", "kill"), -9, {"main.py:6", FINALLY, OTHER, FILES}),
        (("main.py", "no files"), 0, {OTHER, KILL}),
        (("-c", "pass"), 0, {"main.py:6", INNER, FINALLY, OTHER, KILL, FILES}),
        (("-c", "import sys, part\nsys.exit(3)"), 3, {"main.py:6", INNER, FINALLY, OTHER, KILL, FILES}),
    ],
)
def test_what_was_not_entered_is_found_however_a_process_is_started_and_ends(
    tmp_path: Path, program: Path, command: tuple[str, ...], status: int, unreached: set[str]
) -> None:
    folder = tmp_path / "noted"
    folder.mkdir()
    ended, found = run([sys.executable, *command], program, folder)
    assert (ended, {line.partition(": ")[0] for line in found}) == (status, unreached)


def test_a_script_finds_what_it_finds_otherwise(
    tmp_path: Path, program: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "noted"
    folder.mkdir()
    command = [sys.executable, "main.py", "quiet"]
    subprocess.run(command, cwd=program, timeout=60, check=True)
    alone, _ = capfd.readouterr()
    run(command, program, folder)
    assert capfd.readouterr() == (alone, "")


# --- Everything is caught only at a border ----------------------------------------------------------

BORDERS = {
    (
        "checks/installation.py",
        "check_modules",
    ): "a module can fail in any way as it is imported; it is named",
    ("delivery/apprise_library.py", "_reason"): "a foreign library's plugins can fail in any way",
    ("diagnose.py", "_check_program"): "the checks' own task: a fault becomes a failing line",
    ("logger.py", "emit"): "a value's own code writes itself into the log; a log call ends no task",
    ("main.py", "main"): "the process",
    ("threads.py", "job"): "a thread: whoever waits for it gets the error",
    ("worker/pictures.py", "_make"): "the task that draws",
    ("worker/worker.py", "run"): "the worker's task",
}
"""Where all that is an Exception is caught, by file and function, and why."""

BROAD = {"BaseException", "Exception", "BaseExceptionGroup"}


def names(node: ast.expr | None) -> set[str]:
    """The last words of what is caught; all where nothing is named."""
    if node is None:
        return BROAD
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name)} | {
        item.attr for item in ast.walk(node) if isinstance(item, ast.Attribute)
    }


def is_broad(node: ast.AST) -> bool:
    """Whether it keeps every exception from going on: a handler that ends by raising it again does not."""
    if isinstance(node, ast.ExceptHandler):
        last = node.body[-1]
        goes_on = isinstance(last, ast.Raise) and last.exc is None
        return not goes_on and bool(names(node.type) & BROAD)
    if isinstance(node, ast.Call) and "suppress" in names(node.func):
        return any(names(item) & BROAD for item in node.args)
    return False


def broad(node: ast.AST, function: str = "") -> Iterator[str]:
    """Yields the function of each place that catches everything."""
    for child in ast.iter_child_nodes(node):
        if is_broad(child):
            yield function
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from broad(child, getattr(child, "name", "") if is_function else function)


def test_everything_is_caught_only_at_the_borders_that_are_listed() -> None:
    found = [
        (path.relative_to(ROOT).as_posix(), function)
        for path in modules(ROOT)
        for function in broad(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert sorted(found) == sorted(BORDERS)


@pytest.mark.parametrize(
    ("caught", "count"),
    [
        ("try:\n  pass\n except Exception:\n  pass", 1),
        ("try:\n  pass\n except (OSError, BaseException) as error:\n  log(error, exc_info=error)", 1),
        ("try:\n  pass\n except:\n  pass", 1),
        ("try:\n  pass\n except* builtins.Exception:\n  pass", 1),
        ("with contextlib.suppress(OSError, Exception):\n  pass", 1),
        ("try:\n  pass\n except BaseException:\n  close()\n  raise", 0),
        ("try:\n  pass\n except OSError:\n  pass", 0),
        ("with suppress(OSError):\n  pass", 0),
    ],
)
def test_what_catches_everything_is_found(caught: str, count: int) -> None:
    assert [*broad(ast.parse(f"def part():\n {caught}\n"))] == ["part"] * count
