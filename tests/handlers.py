"""Whether tests enter each ``except`` and ``finally`` of the worker: ``python -m tests.handlers [COMMAND …]``.

Runs the command, or else all tests, and prints the handlers that nothing has entered meanwhile; exit status 1 when there are some, and
the command's own when it fails. A handler that no test has entered handles a failure that nobody has seen.

Each handler is compiled with a call in front of it that notes its place (`tests/probes/sitecustomize.py`). Where nothing is
raised, nothing is added, so this takes no longer than the tests alone. Unlike a tracer it sees what a coroutine does after a timeout on Python 3.11.
Processes that tests start note theirs, too, where a test hands them `tests.measured.measured()` or the environment.
"""

from __future__ import annotations

import ast
import marshal
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.measured import HANDLERS, PATH

ROOT = Path(__file__).parent.parent
PROBES = ROOT / "tests" / "probes"
LEFT_OUT = ("benchmarks", "build", "review", "sim", "tests")
"""Folders whose handlers are no promise of the worker: it imports none of them."""


def modules(root: Path) -> Iterator[Path]:
    """Yields the worker's modules under ``root``."""
    for path in sorted(root.rglob("*.py")):
        first, *_ = path.relative_to(root).parts
        if first not in LEFT_OUT and not first.startswith("."):
            yield path


def bodies(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """Yields what each ``except`` and ``finally`` does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try | ast.TryStar):
            yield from (handler.body for handler in node.handlers)
            if node.finalbody:
                yield node.finalbody


def compile_all(root: Path, folder: Path) -> dict[str, str]:
    """Writes the code of the modules under ``root`` into ``folder``. Returns each handler's place, and its first line."""
    found = {}
    for path in modules(root):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        lines = text.splitlines()
        for body in bodies(tree):
            first = body[0]
            place = f"{path.relative_to(root).as_posix()}:{first.lineno}"
            found[place] = lines[first.lineno - 1].strip()
            call = ast.Call(ast.Name("entered", ast.Load()), [ast.Constant(place)], [])
            body.insert(0, ast.fix_missing_locations(ast.copy_location(ast.Expr(call), first)))
        target = folder / sys.implementation.cache_tag / path.relative_to(path.anchor)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(marshal.dumps(compile(tree, str(path), "exec", dont_inherit=True)))
    return found


def run(command: Sequence[str], root: Path, folder: Path) -> tuple[int, list[str]]:
    """Runs ``command``. Returns its exit status, and the handlers of the modules under ``root`` that were not entered."""
    found = compile_all(root, folder)
    noted = folder / "entered"
    noted.touch()
    noted.chmod(0o666)
    path = os.pathsep.join(filter(None, (str(PROBES), os.environ.get(PATH))))
    done = subprocess.run(
        command, cwd=root, env={**os.environ, HANDLERS: str(folder), PATH: path}, check=False
    )
    entered = set(noted.read_text(encoding="utf-8").splitlines())
    return done.returncode, [f"{place}: {line}" for place, line in found.items() if place not in entered]


def main(command: Sequence[str]) -> int:
    """Runs ``command``, or else all tests; returns the exit status."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # tests start processes of another user
        status, unreached = run(command or (sys.executable, "-m", "pytest"), ROOT, folder)
    if status:
        return status
    if unreached:
        print("No test enters these handlers:", *unreached, sep="\n  ", file=sys.stderr)
        return 1
    print("Tests enter every except and finally of the worker.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
