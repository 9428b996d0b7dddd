"""Getting it: what a wheel holds, what an installed copy does, and what each command says where something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import entry
from tests.environment import MAIN, bare, environment, run
from tests.test_packages import NOT_INSTALLED, PYPROJECT, packages

__all__ = ["bare"]  # a fixture that every test here uses, too

ROOT = Path(__file__).parent.parent


def program() -> set[str]:
    """Every file of the program, by its path in the repository."""
    found = {path.name for path in ROOT.glob("*.py")}
    for folder in packages():
        found |= {
            path.relative_to(ROOT).as_posix()
            for path in folder.iterdir()
            if path.is_file() and path.suffix != ".pyc"
        }
    return found


# --- Installed by pip --------------------------------------------------------------------------------


def build(folder: Path) -> Path:
    """A wheel of the program, made in ``folder`` as ``pip install .`` makes it. Returns its path."""
    source = folder / "source"
    source.mkdir()
    for path in (*ROOT.glob("*.py"), ROOT / "pyproject.toml", ROOT / "README.md", ROOT / "LICENSE"):
        shutil.copy(path, source)
    for name in (*{folder.relative_to(ROOT).parts[0] for folder in packages()}, *NOT_INSTALLED):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    made = subprocess.run(
        [sys.executable, "-c", "from setuptools import build_meta; build_meta.build_wheel('..')"],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_an_installed_copy_is_whole_and_its_commands_work(tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(build(tmp_path)) as wheel:
        files = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        fields = HeaderParser().parsestr(wheel.read(metadata).decode())
        wheel.extractall(installed)
    assert files == program()
    assert fields["Requires-Python"] == PYPROJECT["project"]["requires-python"]
    assert fields.get_all("Provides-Extra") == list(PYPROJECT["project"]["optional-dependencies"])

    def call(command: str, *arguments: str, without: tuple[str, ...] = ()) -> tuple[int, str]:
        """What pip's script of a command does."""
        script = (
            "import sys\n"
            f"sys.modules.update(dict.fromkeys({without!r}))\n"
            f"sys.argv = {[command, *arguments]!r}\n"
            "from importlib.metadata import entry_points\n"
            "(found,) = entry_points(group='console_scripts', name=sys.argv[0])\n"
            "sys.exit(found.load()())\n"
        )
        env = environment(installed)
        done = run(elsewhere, "-c", script, env=env)
        return done.returncode, done.stdout + done.stderr

    status, text = call("iwm-5-vwap", "--version")
    assert (status, text[:12]) == (entry.EXIT_OK, "IWM-5-VWAP 1")
    assert call("iwm-5-vwap", "--help")[1].startswith("usage: iwm-5-vwap [-h]")
    status, text = call("iwm-5-vwap-diagnose", "--offline")
    assert status == entry.EXIT_OK, text
    asked = len(PYPROJECT["project"]["dependencies"])
    assert f"Packages\n  ✓ {asked} there (--verbose shows them)\n" in text
    assert call("iwm-5-vwap-diagnose", "why", "--help")[1].startswith("usage: iwm-5-vwap-diagnose why [-h]")
    status, text = call("iwm-5-vwap", "--demo", without=("numpy",))
    assert (status, text.count("\n")) == (entry.EXIT_CONFIGURATION, 1)
    assert text.endswith("install it again, in the repository's folder: pipx install --force '.[demo]'\n")


# --- Something is missing ----------------------------------------------------------------------------


def without(*missing: str) -> str:
    """A program that runs a command as if these packages were not installed."""
    return (
        "import os, runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({missing!r}))\n"
        "sys.argv = sys.argv[1:]\n"
        "if sys.argv[0] == '-m':\n"
        "    sys.argv = sys.argv[1:]\n"
        "    runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
        "else:\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )


@pytest.mark.parametrize("command", [(MAIN, "--demo"), ("-m", "sim", "serve", "--seconds", "1")])
@pytest.mark.parametrize("missing", ["numpy", "aiohttp"])
def test_a_demo_without_its_packages_says_what_to_install(
    tmp_path: Path, command: tuple[str, ...], missing: str
) -> None:
    done = run(tmp_path, "-c", without(missing), *command)
    assert (done.returncode, done.stdout) == (entry.EXIT_CONFIGURATION, "")
    assert done.stderr.count("\n") == 1
    assert f": the package {missing} is missing (" in done.stderr
    assert " -r requirements-demo.txt" in done.stderr or "start it with " in done.stderr


def test_a_demo_without_the_made_market_says_that_it_needs_the_repository(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", without("sim"), MAIN, "--demo")
    assert (done.returncode, done.stdout) == (entry.EXIT_CONFIGURATION, "")
    assert done.stderr == (
        f"The demo cannot begin: sim is missing in {ROOT}: this needs the whole repository\n"
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a start loads before it looks for packages, in a folder of its own without an environment."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("main.py", "entry.py", "quick_imports.py", "requirements.txt", "requirements-demo.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def environment_of(folder: Path) -> Path:
    """An environment without packages, and without pip, as uv makes them. Returns its Python."""
    made = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(made, timeout=60, check=True)
    return folder / "bin" / "python"


def refused(python: Path | str, clone: Path, *arguments: str) -> str:
    """What a start in a clone says that cannot load its packages."""
    done = subprocess.run(
        [str(python), str(clone / "main.py"), *arguments],
        cwd=clone,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (entry.EXIT_CONFIGURATION, "", 1)
    return done.stderr.strip()


def test_what_is_said_of_a_missing_package_fits_where_python_looks(clone: Path, tmp_path: Path) -> None:
    other = environment_of(tmp_path / "other")
    uv = f"uv pip install --python {other} -r"
    assert refused(other, clone).endswith(
        f"the package structlog is missing ({other}): {uv} requirements.txt"
    )
    assert refused(other, clone, "--demo").endswith(f": {uv} requirements-demo.txt")
    (other.parent / "pip").touch()
    assert refused(other, clone).endswith(f": {other} -m pip install -r requirements.txt")
    # The clone's own environment is the one to start it with, and the one to install into.
    own = environment_of(clone / ".venv")
    assert refused(other, clone).endswith(f": start it with {own}")
    assert refused(own, clone).endswith(f": uv pip install --python {own} -r requirements.txt")


def test_a_python_without_an_environment_is_told_to_make_one(clone: Path) -> None:
    base = Path(sys.base_prefix) / "bin" / "python3"
    if (
        not base.exists()
        or subprocess.run(
            [base, "-c", "import structlog"], capture_output=True, timeout=60, check=False
        ).returncode
        == 0
    ):
        pytest.skip("this machine has no Python without packages")
    least = "python3 -m venv --clear .venv && .venv/bin/pip install -r"
    assert refused(base, clone).endswith(f": {least} requirements.txt, then start it with .venv/bin/python")
    assert f": {least} requirements-demo.txt, then" in refused(base, clone, "--demo")


def test_windows_is_told_to_use_wsl_by_every_command(tmp_path: Path) -> None:
    windows = "import os\nos.name = 'nt'\n" + without()
    said = "this is Windows: use WSL (wsl --install), and get and start it there\n"
    commands = {
        "main.py": (MAIN,),
        "entry.py": (str(ROOT / "entry.py"),),
        "python -m review": ("-m", "review", "verify", "x"),
        "python -m sim": ("-m", "sim", "serve"),
    }
    for name, command in commands.items():
        done = run(tmp_path, "-c", windows, *command)
        assert (done.returncode, done.stdout, done.stderr) == (
            entry.EXIT_CONFIGURATION,
            "",
            f"{name}: {said}",
        )


def test_a_machine_that_will_do_is_told_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "entry.py"))
    assert (done.returncode, done.stdout, done.stderr) == (entry.EXIT_OK, "", "")
