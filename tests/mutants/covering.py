"""Which tests judge a mutant: those that run a changed line, the fastest first."""

from __future__ import annotations

import ast
import difflib
import functools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from coverage import CoverageData

from tests.mutants.measure import LEFT_OUT, measurements
from tests.mutants.mutant import Mutant
from tests.mutants.tree import ROOT

_PART = re.compile(r"(?:\|(?:setup|run|teardown)| \((?:setup|call|teardown)\))$")
"""What follows a test's name in a context."""


class Covering:
    """What is known of the tests: of each test file its newest measurement."""

    def __init__(self) -> None:
        self._measured = [_Measurement(folder) for folder in measurements()]
        owner = {name: found for found in self._measured for name in found.files}
        self.seconds = {
            test: seconds
            for found in self._measured
            for test, seconds in found.seconds.items()
            if owner.get(file_of(test)) is found
        }
        """How long each test took that passed."""
        self._owner = owner

    def tests(self, mutant: Mutant) -> list[str]:
        """Returns the tests that judge a mutant, the fastest first; none if nothing runs it."""
        first, last = mutant.lines()
        tree = ast.parse(mutant.text)
        function = _function(tree, first)
        if function is None:  # run once, as the module is imported: whoever uses its names judges it
            uses = (use for name in _names(tree, first, last) for use in _uses(name))
            found = {test for file, line in uses for test in self._running(file, (line,))}
        else:
            body = range(function.body[0].lineno, (function.end_lineno or 0) + 1)
            is_header = last < function.body[0].lineno
            found = set() if is_header else self._running(mutant.file, range(*_statement(tree, first, last)))
            found = found or self._running(mutant.file, body)
        found |= {test for test in self.seconds if file_of(test) in mutant.tests}
        return sorted(found, key=lambda test: (self.seconds[test], test))

    def _running(self, file: str, lines: Iterable[int]) -> set[str]:
        found: set[str] = set()
        for measured in self._measured:
            for test in measured.running(file, lines):
                if test in self.seconds and self._owner[file_of(test)] is measured:
                    found.add(test)
        return found


class _Measurement:
    """One run of tests under coverage."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, str] = json.loads((folder / "files.json").read_text(encoding="utf-8"))
        sources = json.loads((folder / "sources.json").read_text(encoding="utf-8"))
        self._root: str = sources["root"]
        tests = json.loads((folder / "tests.json").read_text(encoding="utf-8"))
        # A name with the tree's place in it is another one in another copy.
        self.seconds: dict[str, float] = {
            name: taken for name, taken in tests.items() if self._root not in name and "\n" not in name
        }
        self._texts: dict[str, str] = sources["texts"]
        self._data = CoverageData(str(folder / "data"))
        self._data.read()
        self._contexts = functools.cache(self._read)
        self._places = functools.cache(self._translate)

    def running(self, file: str, lines: Iterable[int]) -> Iterator[str]:
        """Yields the tests that have run one of a file's lines, which are those of the file as it is now."""
        contexts, places = self._contexts(file), self._places(file)
        for line in lines:
            yield from contexts.get(places.get(line, 0), ())

    def _read(self, file: str) -> dict[int, set[str]]:
        found = self._data.contexts_by_lineno(f"{self._root}/{file}")
        return {line: {_PART.sub("", name) for name in names if name} for line, names in found.items()}

    def _translate(self, file: str) -> dict[int, int]:
        """Returns, for each line of a file as it is now, that line's number when it was measured."""
        before = self._texts.get(file, "").splitlines()
        now = (ROOT / file).read_text(encoding="utf-8").splitlines()
        same = difflib.SequenceMatcher(None, now, before, autojunk=False).get_matching_blocks()
        return {block.a + n + 1: block.b + n + 1 for block in same for n in range(block.size)}


def file_of(test: str) -> str:
    """Returns the file of a test."""
    return test.partition("::")[0]


def _statement(tree: ast.Module, first: int, last: int) -> tuple[int, int]:
    """Returns the lines, end exclusive, of the statements that hold some lines; of a compound one, its header alone."""
    begin, end = first, last + 1
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        header_end = body[0].lineno if body else (node.end_lineno or node.lineno) + 1
        if node.lineno <= last and first < header_end:
            begin, end = min(begin, node.lineno), max(end, header_end)
    return begin, end


def _function(tree: ast.Module, line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Returns the innermost function that holds a line, or None."""
    found = None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno <= line <= (
            node.end_lineno or 0
        ):
            found = node if found is None or node.lineno >= found.lineno else found
    return found


def _names(tree: ast.Module, first: int, last: int) -> set[str]:
    """Returns the names that the lines outside of functions assign."""
    found = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Assign | ast.AnnAssign)
            and node.lineno <= last
            and first <= (node.end_lineno or 0)
        ):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (name for target in targets for name in ast.walk(target))
            found |= {name.id for name in names if isinstance(name, ast.Name)}
    return found


@functools.cache
def _sources() -> list[tuple[str, list[str]]]:
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
    ours = (path for path in paths if path.parts[0] not in LEFT_OUT and not path.parts[0].startswith("."))
    return [(path.as_posix(), (ROOT / path).read_text(encoding="utf-8").splitlines()) for path in ours]


def _uses(name: str) -> Iterator[tuple[str, int]]:
    """Yields the lines of the program that hold a name."""
    word = re.compile(rf"\b{name}\b")
    for file, lines in _sources():
        yield from ((file, number) for number, line in enumerate(lines, 1) if word.search(line))
