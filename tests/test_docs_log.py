"""What the documentation says about the log, held against the code and the commands."""

from __future__ import annotations

import ast
import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from events import FeedCause
from tests.documents import LOGGING, ROOT, default, first_cells, section

# --- The log -----------------------------------------------------------------------------------------

LOG_METHODS = {"debug", "info", "warning", "error", "critical", "exception"}


PACKAGES = ("checks", "delivery", "feeds", "messages", "record", "worker")
"""The packages that the worker needs."""


def sources() -> list[Path]:
    """The files of the worker: top-level modules and the packages that it needs."""
    return sorted([*ROOT.glob("*.py"), *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))])


def is_log(owner: ast.expr) -> bool:
    """Whether a method's owner is a module's log, or one that was handed in."""
    is_handed_in = isinstance(owner, ast.Attribute) and owner.attr == "_log"
    return is_handed_in or (isinstance(owner, ast.Name) and owner.id == "log")


def logged_events() -> dict[str, str]:
    """Every event that a module of the worker logs, and where. A name must be a literal."""
    found: dict[str, str] = {"line_lost": "logger.py", "library": "logger.py"}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            method = node.func.attr
            by_log = is_log(node.func.value) and method in LOG_METHODS
            if not by_log and method != "_say":
                continue
            where = f"{path.name}:{node.lineno}"
            first = node.args[0] if node.args else None
            if method == "_say" and not isinstance(first, ast.Constant):
                continue
            assert isinstance(first, ast.Constant), f"{where}: the event must be a literal"
            assert isinstance(first.value, str), where
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", first.value), f"{where}: {first.value} is not snake_case"
            found[first.value] = where
    return found


def test_every_event_of_the_log_is_documented() -> None:
    missing = {event: where for event, where in logged_events().items() if f"\n| `{event}` |" not in LOGGING}
    assert not missing


def test_no_event_is_documented_that_is_never_logged() -> None:
    documented = re.findall(r"(?m)^\| `([a-z_]+)` \|", LOGGING)
    assert len(documented) == len(set(documented))
    assert set(documented) <= set(logged_events())


def test_every_log_call_says_what_a_person_reads() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and is_log(node.func.value)
                and node.func.attr in LOG_METHODS
            ):
                assert "text" in {keyword.arg for keyword in node.keywords}, f"{path.name}:{node.lineno}"


def test_every_cause_of_a_blind_feed_is_explained() -> None:
    causes = section(LOGGING, "## Why the feed is blind")
    assert first_cells(causes) == [str(cause) for cause in FeedCause]


# --- By symptom --------------------------------------------------------------------------------------

SYMPTOMS = re.split(r"(?m)^### ", LOGGING[LOGGING.index("## By symptom") :])[1:]


@functools.cache
def help_of(*command: str) -> str:
    """What a command of the program says of itself."""
    return subprocess.run(
        [sys.executable, *command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=[text.splitlines()[0] for text in SYMPTOMS])
def test_every_symptom_ends_in_a_command_that_there_is(symptom: str) -> None:
    blocks = re.findall(r"(?s)```\n(.+?)\n```\s*", symptom)
    assert len(blocks) == 1, "one command"
    assert symptom.rstrip().endswith(f"```\n{blocks[0]}\n```"), "at its end"
    program, *arguments = shlex.split(blocks[0])
    if program == "grep":
        log = arguments[-1]
        assert log == str(default("LOG_FILE"))
        return
    assert program == "python"
    shown = help_of(*arguments[: 2 if arguments[0] == "-m" or "why" in arguments else 1])
    for argument in arguments:
        if argument.startswith("--"):
            assert argument in shown


def test_the_common_symptoms_are_there() -> None:
    titles = " ".join(symptom.splitlines()[0].lower() for symptom in SYMPTOMS)
    for words in ("no buy alert", "blind every few minutes", "max_connections", "alerts come late"):
        assert words in titles
