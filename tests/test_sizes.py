"""How long a file, a class and a function may be. What is larger says why in its docstring, in these words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

FILE_LINES, TEST_LINES, FUNCTION_LINES, CLASS_METHODS = 400, 500, 40, 15

REASON = re.compile(r"(longer than \d+ lines|more than \d+ methods) because \w")
"""How a docstring begins to say why."""

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def too_large(text: str, most: int) -> Iterator[str]:
    """Each thing of a file that is larger than it may be, and does not say why; ``most`` lines may the file have."""
    module = ast.parse(text)
    lines = len(text.splitlines())
    if lines > most and not says_why(module):
        yield f"{lines} lines"
    for node in ast.walk(module):
        if isinstance(node, Function):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES and not says_why(node):
                yield f"line {node.lineno}, {node.name}: {lines} lines"
        elif isinstance(node, ast.ClassDef):
            methods = sum(isinstance(item, Function) for item in node.body)
            if methods > CLASS_METHODS and not says_why(node):
                yield f"line {node.lineno}, {node.name}: {methods} methods"


def says_why(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the docstring says why it is that large."""
    return REASON.search(" ".join((ast.get_docstring(node) or "").split())) is not None


def test_nothing_is_larger_than_it_may_be() -> None:
    packages = [path.parent for path in ROOT.glob("*/__init__.py")]
    paths = [*ROOT.glob("*.py"), *(path for package in packages for path in package.rglob("*.py"))]
    assert ROOT / "tests" in packages and ROOT / "worker" in packages
    found = {}
    for path in paths:
        most = TEST_LINES if path.is_relative_to(ROOT / "tests") else FILE_LINES
        found[path.relative_to(ROOT).as_posix()] = [*too_large(path.read_text(encoding="utf-8"), most)]
    assert {path: large for path, large in found.items() if large} == {}


def test_what_is_too_large_is_found_and_a_reason_lets_it_pass() -> None:
    long = "def f():\n    {doc}\n" + "    x = 1\n" * 39
    assert list(too_large(long.format(doc='"""Does."""'), 400)) == ["line 1, f: 41 lines"]
    reason = '"""Does. It is longer than 40 lines because it is one table."""'
    assert list(too_large(long.format(doc=reason), 400)) == []
    wide = "class C:\n" + "    def f(self): ...\n" * 16
    assert list(too_large(wide, 400)) == ["line 1, C: 16 methods"]
    assert list(too_large("x = 1\n" * 401, 400)) == ["401 lines"]
    reason = '"""It is longer than 400 lines because it is one table."""\n'
    assert list(too_large(reason + "x = 1\n" * 400, 400)) == []
