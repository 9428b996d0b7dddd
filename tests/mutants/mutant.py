"""One deliberate fault: a small patch of one file, and what it breaks for the trader."""

from __future__ import annotations

import ast
import hashlib
import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.mutants import faults
from tests.mutants.tree import ROOT


class Stale(Exception):
    """A patch that does not apply: its text stands in the file not at all, or more than once."""


@dataclass(frozen=True)
class Mutant:
    """``old`` stands exactly once in ``file``, a path in the tree, and ``new`` replaces it.

    ``kind`` is its class: the name of the module in `faults` that holds it. ``breaks`` says what it costs the trader. ``survives`` is
    why no test can notice it; empty where one must. ``tests`` are files whose tests judge it besides those that run the line.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    survives: str = ""
    tests: tuple[str, ...] = ()
    kind: str = ""

    @property
    def text(self) -> str:
        """Returns the file as it is."""
        return (ROOT / self.file).read_text(encoding="utf-8")

    @property
    def mutated(self) -> str:
        """Returns the file with the fault. Raises Stale."""
        text = self.text
        if (count := text.count(self.old)) != 1:
            where = "does not stand" if not count else f"stands {count} times"
            raise Stale(f"{self.name}: its old text {where} in {self.file}")
        return text.replace(self.old, self.new)

    @property
    def digest(self) -> str:
        """Returns what changes with the patch or with the file."""
        parts = (self.file, self.old, self.new, self.text)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def lines(self) -> tuple[int, int]:
        """Returns the first and the last line of the file that the patch changes, counted from 1. Raises Stale."""
        text, mutated = self.text, self.mutated
        same = next((n for n, (a, b) in enumerate(zip(text, mutated, strict=False)) if a != b), len(text))
        ending = 0
        most = min(len(text), len(mutated)) - same
        while ending < most and text[-1 - ending] == mutated[-1 - ending]:
            ending += 1
        end = max(same, len(text) - ending - 1)
        return text.count("\n", 0, same) + 1, text.count("\n", 0, end) + 1

    def check(self) -> None:
        """Raises Stale if the patch does not apply, SyntaxError if the file with it is no Python."""
        ast.parse(self.mutated, self.file)


def catalogue() -> Iterator[Mutant]:
    """Yields every mutant, class by class."""
    for found in sorted(pkgutil.iter_modules(faults.__path__), key=lambda found: found.name):
        module = importlib.import_module(f"{faults.__name__}.{found.name}")
        mutants: Sequence[Mutant] = module.MUTANTS
        for mutant in mutants:
            yield replace(mutant, kind=found.name)
