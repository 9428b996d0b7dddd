"""Python, packages and modules: what is missing is named."""

from __future__ import annotations

import importlib.metadata

from checks.check import Severity
from checks.installation import MODULES, check_modules, check_packages, check_python
from tests.checks.given import ROOT


def test_python_and_packages() -> None:
    assert check_python((3, 11, 0)).line() == "  ✓ Python 3.11.0"
    assert check_python((3, 10, 13)).line() == "  ✗ Python 3.10.13 — install Python 3.11 or newer"

    def installed(name: str) -> str:
        found = {"httpx": "0.28.1", "structlog": "1.0"}
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    text = (
        "# why\nhttpx==0.28.1 \\\n    --hash=sha256:00ff\n    # via -r requirements.in\nstructlog==26.1.0  # newer\n"
        "msgspec==0.22.0\n\nnumpy==2.4.6\n-r other.txt\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n"
    )
    assert [check.line().strip() for check in check_packages(text, installed)] == [
        "✓ httpx 0.28.1",
        "⚠ structlog 1.0 — tested with 26.1.0: pip install -r requirements.txt",
        "✗ msgspec: missing — pip install -r requirements.txt",
        "⚠ numpy: only the demo and reports need it — pip install -r requirements.txt",
    ]


def test_the_packages_that_are_pinned_are_the_ones_installed() -> None:
    checks = check_packages((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    assert len(checks) >= 30
    assert {check.severity for check in checks} == {Severity.OK}


def test_modules_that_cannot_be_imported_are_named() -> None:
    assert [check.line() for check in check_modules(("events", "utils"))] == ["  ✓ all 2 can be imported"]
    (check,) = check_modules(("events", "no_such_module"))
    assert check.severity is Severity.FAIL
    assert check.found.startswith("no_such_module: ModuleNotFoundError")
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {
        "sim",
        "review",
        "tests",
        "benchmarks",
    }
    assert set(MODULES) == {path.stem for path in ROOT.glob("*.py")} - {"diagnose", "entry"} | packages
