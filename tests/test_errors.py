"""One root for the program's exceptions: each has its kind, and its place in the tree that `errors` draws."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import errors

ROOT = Path(__file__).parent.parent
OUTSIDE = {"tests", "sim", "benchmarks"}
"""Not the program: tests, the made vendors, the benchmarks."""

PROGRAMS = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if not any(part in OUTSIDE or part.startswith(".") for part in path.relative_to(ROOT).parts)
]


def bases() -> dict[str, set[str]]:
    """The names of the bases of every class of the program, by its name."""
    return {
        node.name: {ast.unparse(base) for base in node.bases}
        for path in PROGRAMS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }


def ancestors(name: str, known: dict[str, set[str]]) -> set[str]:
    """Every base of a class, near and far."""
    found = known.get(name, set())
    return found | {far for base in found for far in ancestors(base, known)}


def is_builtin_error(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


def test_every_exception_is_ours_or_theirs_and_stands_in_the_tree() -> None:
    known = bases()
    raised = {name for name in known if any(map(is_builtin_error, ancestors(name, known)))}
    assert raised >= {"ConfigError", "Damage", "RestError"}
    kinds = {"IwmError", "OurError", "TheirError"}
    loose = {name for name in raised - kinds if not {"OurError", "TheirError"} & ancestors(name, known)}
    assert loose == {"Unwritable"}, "entry knows the standard library only"
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted(raised - loose - {"IwmError"})
