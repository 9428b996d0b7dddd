"""The commands with which the demonstration ends, as they can be pasted into the shell that started it."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import entry
from record.folder import date_of
from review.page.library import PACKAGE as PAGE_PACKAGE
from review.watch.command import PACKAGE as VIEW_PACKAGE

PAGE = "why.html"


class Step(NamedTuple):
    """What is to be had, and the command for it; before it, one that installs what it needs if that is missing."""

    text: str
    commands: tuple[str, ...]


def steps(folder: Path, record: Path) -> list[Step]:
    """Returns the commands about a demonstration's ``record`` in ``folder``: why, the page, watch, replay."""
    diagnose, review = _checks(), [*_python(), "-m", "review"]
    why = ["why", date_of(record), "--data-dir", str(folder)]
    page = _line([*diagnose, *why, "--html", str(folder / PAGE)])
    watch = _line([*diagnose, "watch", "--data-dir", str(record)])
    return [
        Step("Why it decided as it did, second by second:", (_line([*diagnose, *why]),)),
        _with_package("The same as a page with charts", page, PAGE_PACKAGE),
        _with_package("The session's last minutes, as the terminal shows them live", watch, VIEW_PACKAGE),
        Step("The session again, from its record:", (_line([*review, "replay", str(record)]),)),
    ]


def _with_package(text: str, command: str, package: str) -> Step:
    """Returns a step that needs a package, with the command that installs it where it is missing."""
    if importlib.util.find_spec(package) is not None:
        return Step(f"{text}:", (command,))
    lacking = f"{text} (needs the package {package}, which is not installed"
    if _is_installed():  # pip has installed the program: it is installed again, with more
        return Step(f"{lacking}; {entry.remedy(entry.REVIEW_PACKAGES)}):", (command,))
    return Step(f"{lacking}):", (_line(entry.installing(_python()[0], entry.REVIEW_PACKAGES)), command))


def _line(words: Sequence[str]) -> str:
    """Returns a command line. In a clone, commands run in its folder, so it goes there first if it must."""
    command = shlex.join(words)
    is_away = not _is_installed() and os.path.realpath(os.getcwd()) != entry.FOLDER
    return f"cd {shlex.quote(entry.FOLDER)} && {command}" if is_away else command


def _is_installed() -> bool:
    """Whether pip has installed the program: then it has commands of its own."""
    return entry.called("main.py") != "main.py"


def _checks() -> list[str]:
    """Returns how the checks are called: the console command beside the one that was typed, or the file of the clone."""
    if not _is_installed():
        return [*_python(), "diagnose.py"]
    beside = os.path.abspath(f"{sys.argv[0]}-diagnose")
    name = os.path.basename(beside)
    return [name if shutil.which(name) == beside else beside]


def _python() -> list[str]:
    """Returns how this interpreter is called: as it was typed if that leads to it, else by its path."""
    typed = sys.orig_argv[0]
    found = shutil.which(typed)
    is_at_home = _is_installed() or os.path.realpath(os.getcwd()) == entry.FOLDER
    is_name = os.path.basename(typed) == typed
    if found is not None and os.path.abspath(found) == sys.executable and (is_at_home or is_name):
        return [typed]
    within = os.path.relpath(sys.executable, entry.FOLDER)
    return [sys.executable if within.startswith(os.pardir) or _is_installed() else within]
