"""Checks this Python, the packages and the program's own modules.

Python 3.8 can load it, and it needs no package: it reports what is missing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import entry
from checks.check import Check, Severity

MODULES = (
    *("errors", "events", "rules", "settings", "config"),
    *(
        "exchange_calendar",
        "timekeeping",
        "utils",
        "wording",
        "network",
        "threads",
        "redaction",
        "quick_imports",
    ),
    *("windows", "price_level", "signals", "option_pricing", "option_quotes", "contract_selector"),
    *("quote_history", "followed", "book", "pictures", "terminal"),
    *("risk_manager", "lags", "gaps", "link", "progress", "telling", "sight"),
    *("quotes", "gates", "decisions", "engine"),
    *(
        "feeds",
        "polygon_client",
        "messages",
        "alerts",
        "delivery",
        "record",
        "log_file",
        "logger",
        "worker",
        "main",
    ),
    "checks",
)

DISTRIBUTION = "iwm-5-vwap"
"""What pip calls an installed copy of the program."""

REMEDY = entry.remedy(entry.WORKER_PACKAGES)


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """Checks that this Python is new enough and that this system can run the worker."""
    text = "Python " + ".".join(map(str, version))
    if version < entry.PYTHON_LEAST:
        return Check("Machine", Severity.FAIL, text, "install Python 3.11 or newer")
    if fault := entry.platform_text():
        return Check("Machine", Severity.FAIL, f"{text}, but {fault}")
    return Check("Machine", Severity.OK, text)


def check_packages(
    requirements: str, installed: Callable[[str], str] = importlib.metadata.version
) -> list[Check]:
    """Compares each locked package with the installed one. ``installed`` raises PackageNotFoundError for a missing one.

    Skips packages with a marker: only some machines need those.
    """
    checks = []
    for line in requirements.splitlines():
        name, _, pinned = line.partition("#")[0].strip(" \\").partition("==")
        if not pinned or ";" in pinned:
            continue
        try:
            found = installed(name)
        except importlib.metadata.PackageNotFoundError:
            checks.append(Check("Packages", Severity.FAIL, f"{name}: missing", REMEDY))
            continue
        if found == pinned:
            checks.append(Check("Packages", Severity.OK, f"{name} {found}"))
        else:
            do = f"tested with {pinned}: {REMEDY}"
            checks.append(Check("Packages", Severity.WARNING, f"{name} {found}", do))
    return checks


def check_installed(
    required: Sequence[str], installed: Callable[[str], str] = importlib.metadata.version
) -> list[Check]:
    """Checks that each package that an installed copy asks for is there. pip has seen to its version.

    ``required`` is what pip was told, such as ``httpx<0.29,>=0.28.1``. Skips what only some machines or extras need.
    """
    checks = []
    for name in (re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in required if ";" not in text):
        try:
            checks.append(Check("Packages", Severity.OK, f"{name} {installed(name)}"))
        except importlib.metadata.PackageNotFoundError:
            do = "install it again, in the repository's folder: pipx install --force ."
            checks.append(Check("Packages", Severity.FAIL, f"{name}: missing", do))
    return checks


def _shortened(checks: list[Check], every: bool, praise: str) -> list[Check]:
    """Replaces the packages that are well by one line, unless ``every`` one is asked for."""
    good = sum(check.severity is Severity.OK for check in checks)
    if every or not good:
        return checks
    line = Check("Packages", Severity.OK, f"{good} {praise} (--verbose shows them)")
    return [line, *(check for check in checks if check.severity is not Severity.OK)]


def check_modules(names: Sequence[str] = MODULES) -> list[Check]:
    """Checks that each of the program's own modules can be imported."""
    failures = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  (a module can fail in any way; it is named, and that is the check)
            if shortage := entry.shortage_text(error):
                return [Check("Modules", Severity.FAIL, *shortage.split(": ", 1))]
            text = f"{name}: {type(error).__name__}: {error}"
            failures.append(
                Check("Modules", Severity.FAIL, text, "the installation is incomplete: install it again")
            )
    return failures or [Check("Modules", Severity.OK, f"all {len(names)} can be imported")]


def check_requirements(every: bool, folder: Path = Path(entry.FOLDER)) -> list[Check]:
    """Checks the packages of ``folder``'s list, or those of an installed copy; with ``every``, each has a line of its own."""
    path = folder / "requirements.txt"
    try:
        return _shortened(check_packages(path.read_text(encoding="utf-8")), every, "as tested")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and (required := _required()):
            return _shortened(check_installed(required), every, "there")
        text = f"{path}: cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"
        return [Check("Packages", Severity.FAIL, text, "the installation is incomplete: install it again")]


def _required() -> list[str]:
    """Returns what pip was told that the program needs; empty where pip has not installed it."""
    try:
        return importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []
