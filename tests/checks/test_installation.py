"""Python, packages and modules: what is missing is named."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from checks.check import Severity
from checks.installation import (
    MODULES,
    REMEDY,
    check_installed,
    check_modules,
    check_packages,
    check_python,
    check_requirements,
)
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
        "msgspec==0.22.0\n\n-r other.txt\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n"
    )
    assert [check.line().strip() for check in check_packages(text, installed)] == [
        "✓ httpx 0.28.1",
        f"⚠ structlog 1.0 — tested with 26.1.0: {REMEDY}",
        f"✗ msgspec: missing — {REMEDY}",
    ]


def test_the_packages_that_are_pinned_are_the_ones_installed() -> None:
    checks = check_packages((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    assert len(checks) >= 20
    assert {check.severity for check in checks} == {Severity.OK}


def test_the_packages_of_an_installed_copy_are_those_that_pip_was_told() -> None:
    def installed(name: str) -> str:
        if name == "msgspec":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    required = ["httpx<0.29,>=0.28.1", "pydantic-settings>=2", 'numpy>=2; extra == "demo"', "msgspec"]
    assert [check.line().strip() for check in check_installed(required, installed)] == [
        "✓ httpx 1.0",
        "✓ pydantic-settings 1.0",
        "✗ msgspec: missing — install it again, in the repository's folder: pipx install --force .",
    ]


def test_a_folder_without_its_list_that_pip_has_not_installed_is_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    sys.path[:] = [str(tmp_path)]  # where Python looks for what pip has installed
    assert [check.line().strip() for check in check_requirements(True, tmp_path)] == [
        f"✗ {tmp_path}/requirements.txt: cannot be read (No such file or directory) "
        "— the installation is incomplete: install it again"
    ]


def test_modules_that_cannot_be_imported_are_named() -> None:
    assert [check.line() for check in check_modules(("events", "utils"))] == ["  ✓ all 2 can be imported"]
    (check,) = check_modules(("events", "no_such_module"))
    assert check.severity is Severity.FAIL
    assert check.found.startswith("no_such_module: ModuleNotFoundError")
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {
        "sim",
        "research",
        "review",
        "tests",
        "benchmarks",
    }
    assert set(MODULES) == {path.stem for path in ROOT.glob("*.py")} - {"diagnose", "entry"} | packages
