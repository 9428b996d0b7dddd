"""What runs is what was tested: every package is locked, by version and hash, and the locks are what was asked for."""

from __future__ import annotations

import importlib.metadata
import re
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from checks.installation import DEMO_ONLY

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements", "requirements-dev", "requirements-audit")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def asked_for(name: str) -> dict[str, str]:
    """The packages that an .in file pins itself: name to version."""
    lines = [line for line in read(f"{name}.in").splitlines() if line and not line.startswith(("#", "-"))]
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line), line
    return {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in lines}


class Locked(NamedTuple):
    """A package of a lock. ``is_for_all``: no marker says that only some machines need it."""

    version: str
    hashes: int
    is_for_all: bool


def locked(name: str) -> dict[str, Locked]:
    """The packages of a lock."""
    found: dict[str, Locked] = {}
    for block in re.split(r"(?m)^(?=[A-Za-z])", read(f"{name}.txt"))[1:]:
        pin, *rest = block.replace("\\\n", "").splitlines()[0].split(" --hash=")
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", item.strip()) for item in rest), block
        requirement = Requirement(pin)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", pin
        found[canonicalize_name(requirement.name)] = Locked(
            specifier.version, len(rest), requirement.marker is None
        )
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_what_was_asked_for_and_a_hash_of_everything(name: str) -> None:
    packages, asked = locked(name), asked_for(name)
    assert asked
    assert {package: packages[package].version for package in asked} == asked
    assert min(package.hashes for package in packages.values()) >= 1


@pytest.mark.parametrize("name", LOCKS)
def test_no_file_of_requirements_names_where_packages_come_from(name: str) -> None:
    text = read(f"{name}.in") + read(f"{name}.txt")
    assert "://" not in text
    assert not re.search(r"(?m)^--?(i|f|extra-index-url|index-url|find-links|trusted-host)\b", text)


def test_the_tests_run_on_the_worker_s_own_packages() -> None:
    assert "-r requirements.in\n-c requirements.txt\n" in read("requirements-dev.in")
    assert locked("requirements").items() <= locked("requirements-dev").items()


def needed(names: Iterable[str]) -> set[str]:
    """These packages with all that they need in turn on this machine."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name not in found:
            found.add(name)
            for text in importlib.metadata.requires(name) or ():
                requirement = Requirement(text)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    todo.append(requirement.name)
    return found


def test_a_lock_holds_all_that_its_packages_need() -> None:
    """Not one of them floats: pip refuses what has no hash, and what is there is what the lock says."""
    for name in ("requirements", "requirements-dev"):
        packages = locked(name)
        everything = needed(asked_for(name)) | needed(asked_for("requirements"))
        assert everything <= set(packages), name
        assert {item for item, package in packages.items() if package.is_for_all} <= everything, (
            f"{name}: {set(packages) - everything} is needed by nobody"
        )
        for item in everything:
            assert importlib.metadata.version(item) == packages[item].version, item


def test_what_only_the_demo_needs_is_what_the_worker_does_without() -> None:
    direct = set(asked_for("requirements"))
    assert DEMO_ONLY - {"plotly"} == needed(direct) - needed(direct - DEMO_ONLY)


def test_the_command_that_locks_is_the_one_that_the_locks_name() -> None:
    command = ROOT / ".ci" / "lock"
    assert stat.S_IMODE(command.stat().st_mode) & 0o111 == 0o111
    assert subprocess.run(["bash", "-n", str(command)], timeout=30, check=False).returncode == 0
    text = command.read_text(encoding="utf-8")
    for option in ("--universal", "--python-version 3.11", "--generate-hashes", "--no-emit-index-url"):
        assert option in text
    for name in LOCKS:
        assert re.search(rf"\b{name}\b", text)
        assert "#    .ci/lock\n" in read(f"{name}.txt")
