"""What runs is what was tested: every package is locked, by version and hash, and the locks are what pyproject.toml asks for."""

from __future__ import annotations

import importlib.metadata
import re
import stat
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import config
import entry
from checks.installation import DISTRIBUTION

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

EXTRAS: dict[str, tuple[str, ...]] = {
    "requirements": (),
    "requirements-demo": ("demo",),
    "requirements-review": ("review",),
    "requirements-research": ("research",),
    "requirements-dev": ("dev",),
}
"""Each lock of the program, and the extras that it is made with beside the worker's own packages."""

AUDIT = "requirements-audit"
LOCKS = (*EXTRAS, AUDIT)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def of_extra(extra: str) -> list[Requirement]:
    """What an extra asks for, with what the extras of the program that it names ask for."""
    found: list[Requirement] = []
    for item in map(Requirement, PYPROJECT["project"]["optional-dependencies"][extra]):
        if canonicalize_name(item.name) == DISTRIBUTION:
            found += [part for other in sorted(item.extras) for part in of_extra(other)]
        else:
            found.append(item)
    return found


def asked_for(name: str) -> list[Requirement]:
    """What pyproject.toml asks for in one of the locks."""
    if name == AUDIT:
        return list(map(Requirement, PYPROJECT["dependency-groups"]["audit"]))
    worker = list(map(Requirement, PYPROJECT["project"]["dependencies"]))
    return worker + [item for extra in EXTRAS[name] for item in of_extra(extra)]


NOT_INSTALLED = ("tests", "benchmarks")


def packages() -> Iterator[Path]:
    """The folders of the program that hold modules, the tests' and the benchmarks' left out."""
    for path in sorted(ROOT.glob("*/__init__.py")):
        if path.parent.name not in NOT_INSTALLED:
            yield from (inner.parent for inner in sorted(path.parent.rglob("__init__.py")))


def names(items: Iterable[Requirement]) -> set[str]:
    return {canonicalize_name(item.name) for item in items}


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
        package, marker = canonicalize_name(requirement.name), requirement.marker
        if package in found and marker is not None and not marker.evaluate():
            continue  # another Python takes this version
        found[package] = Locked(specifier.version, len(rest), marker is None)
    return found


# --- What is asked for -------------------------------------------------------------------------------


def test_the_project_is_the_program() -> None:
    project = PYPROJECT["project"]
    assert project["name"] == DISTRIBUTION
    assert project["version"] == config.VERSION
    assert project["requires-python"] == ">=" + ".".join(map(str, entry.PYTHON_LEAST))


def test_what_is_installed_is_the_tree() -> None:
    listed = PYPROJECT["tool"]["setuptools"]
    assert listed["py-modules"] == sorted(path.stem for path in ROOT.glob("*.py"))
    assert listed["packages"] == sorted(
        folder.relative_to(ROOT).as_posix().replace("/", ".") for folder in packages()
    )


def test_every_package_that_is_asked_for_has_a_lower_bound() -> None:
    for name in LOCKS:
        for item in asked_for(name):
            assert {specifier.operator for specifier in item.specifier} & {">=", "=="}, str(item)


def test_the_worker_does_without_what_the_demo_and_the_page_need() -> None:
    worker = needed(names(asked_for("requirements")))
    assert not worker & {"numpy", "aiohttp", "bokeh", "pandas"}
    assert {"numpy", "aiohttp"} <= needed(names(of_extra("demo")))


def test_uv_runs_the_demo_with_the_packages_of_the_demo() -> None:
    assert PYPROJECT["tool"]["uv"]["default-groups"] == ["demo"]
    assert PYPROJECT["dependency-groups"]["demo"] == [f"{DISTRIBUTION}[demo]"]


# --- What is locked ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_what_was_asked_for_and_a_hash_of_everything(name: str) -> None:
    packages, asked = locked(name), asked_for(name)
    assert asked
    for item in asked:
        version = packages[canonicalize_name(item.name)].version
        assert item.specifier.contains(version), f"{name}.txt has {version}, {item} is asked for: .ci/lock"
    assert min(package.hashes for package in packages.values()) >= 1


def test_every_lock_is_known() -> None:
    assert {path.stem for path in ROOT.glob("requirements*")} == set(LOCKS)


@pytest.mark.parametrize("name", [*(f"{lock}.txt" for lock in LOCKS), "pyproject.toml"])
def test_no_list_of_packages_names_where_they_come_from(name: str) -> None:
    text = read(name)
    assert "://" not in text
    assert not re.search(r"(?m)^--?(i|f|extra-index-url|index-url|find-links|trusted-host)\b", text)
    assert not re.search(r"(?m)^\[+tool\.uv\.(index|pip|sources)", text)


def test_the_demo_and_the_tests_run_on_the_worker_s_own_packages() -> None:
    worker, everything = locked("requirements"), locked("requirements-dev")
    for name in ("requirements-demo", "requirements-review", "requirements-research"):
        assert worker.items() <= locked(name).items() <= everything.items()


def needed(wanted: Iterable[str]) -> set[str]:
    """These packages with all that they need in turn on this machine."""
    found: set[tuple[str, str]] = set()
    todo = [(name, "") for name in wanted]
    while todo:
        name, extra = todo.pop()
        name = canonicalize_name(name)
        if (name, extra) not in found:
            found.add((name, extra))
            for text in importlib.metadata.requires(name) or ():
                requirement = Requirement(text)
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                    todo += [(requirement.name, more) for more in ("", *requirement.extras)]
    return {name for name, _ in found}


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_holds_all_that_its_packages_need_and_nothing_else(name: str) -> None:
    """Not one of them floats: pip refuses what has no hash, and what is there is what the lock says."""
    packages, everything = locked(name), needed(names(asked_for(name)))
    assert everything <= set(packages)
    assert {item for item, package in packages.items() if package.is_for_all} <= everything, (
        f"{set(packages) - everything} is needed by nobody"
    )
    for item in everything:
        assert importlib.metadata.version(item) == packages[item].version, item


def test_the_command_that_locks_is_the_one_that_the_locks_name() -> None:
    command = ROOT / ".ci" / "lock"
    assert stat.S_IMODE(command.stat().st_mode) & 0o111 == 0o111
    assert subprocess.run(["bash", "-n", str(command)], timeout=30, check=False).returncode == 0
    text = command.read_text(encoding="utf-8")
    for option in ("--universal", "--python-version 3.11", "--generate-hashes", "--no-emit-index-url"):
        assert option in text
    for name in LOCKS:
        assert re.search(rf"(?m)^lock {name} ", text)
        assert "#    .ci/lock\n" in read(f"{name}.txt")
