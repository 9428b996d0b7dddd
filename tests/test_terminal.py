"""Colours: on a terminal only, and not for an owner who has set NO_COLOR."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import logger
from checks.check import Check, Severity
from checks.report import coloured, report_text
from terminal import BOLD, RED, escaped, is_coloured, painted
from tests.measured import measured
from utils import printable

ROOT = Path(__file__).parent.parent


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[IO[str], int]]:
    """A terminal to write to, and the descriptor at which what it shows is read."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown, written = pty.openpty()
    with os.fdopen(written, "w", encoding="utf-8") as stream:
        yield stream, shown
    os.close(shown)


def test_a_terminal_is_coloured_unless_its_owner_does_not_want_it(
    terminal: tuple[IO[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, _ = terminal
    assert is_coloured(stream)
    monkeypatch.setenv("TERM", "dumb")
    assert not is_coloured(stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_coloured(stream)
    monkeypatch.setenv("NO_COLOR", "")  # https://no-color.org: present and not empty
    assert is_coloured(stream)


def test_files_pipes_and_what_is_closed_are_not_coloured(tmp_path: Path) -> None:
    closed = io.StringIO()
    closed.close()
    with (tmp_path / "file").open("w") as file:
        assert not any(map(is_coloured, (None, io.StringIO(), closed, file)))


def test_a_style_ends_with_its_text() -> None:
    assert painted("no", BOLD, RED) == "\x1b[1;31mno\x1b[0m"
    assert painted("no") == "no"
    assert painted("", RED) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \x07", "plain \\x07"),
        (painted("no", BOLD, RED), "\x1b[1;31mno\x1b[0m"),
        (painted("no \x1b[2J", RED), "\x1b[31mno \\x1b[2J\x1b[0m"),
        ("\x1b[5mblinks", "\\x1b[5mblinks"),
    ],
)
def test_only_styles_pass_unescaped(text: str, shown: str) -> None:
    assert escaped(text, printable) == shown


def test_a_report_is_painted_by_its_marks_and_says_the_same() -> None:
    checks = [Check("Machine", severity, severity.name.lower(), "do") for severity in Severity]
    plain = report_text(checks)
    shown = coloured(plain)
    for style in ("\x1b[32m✓", "\x1b[33m⚠", "\x1b[1;31m✗", "\x1b[1mMachine"):
        assert style in shown
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[1;31m"):
        shown = shown.replace(code, "")
    assert shown == plain


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_the_log_is_coloured_on_a_terminal_and_never_in_its_file(
    terminal: tuple[IO[str], int], tmp_path: Path, log_format: logger.LogFormat
) -> None:
    stream, shown = terminal
    path = tmp_path / "log"
    logger.setup(
        level="INFO", log_format=log_format, log_file=path, secrets=["canary"], clock=lambda: 0, stream=stream
    )
    try:
        logging.getLogger("iwm.main").warning("canary")
        logging.getLogger("iwm.main").info("fine")
    finally:
        logger.close()
    text = os.read(shown, 10_000).decode()
    assert ("\x1b[33m" in text) is (log_format == "console")
    assert "canary" not in text
    assert "\x1b" not in path.read_text(encoding="utf-8")
    assert not any("\x1b" in line for line in text.splitlines() if "fine" in line)


def test_through_an_entry_points_own_output_colours_stay_and_nothing_else_does(
    terminal: tuple[IO[str], int],
) -> None:
    """A line longer than what is written at a time, with what a vendor may have sent in it."""
    stream, shown = terminal
    program = (
        "import logging, entry; entry.begin('a test'); import utils, logger\n"
        "logger.setup(level='INFO', log_format='console', log_file=None, secrets=(), clock=lambda: 0)\n"
        "logging.getLogger('iwm.main').warning('w' * 300 + chr(27) + '[2J' + chr(27) + '[31mred')\n"
        "print(chr(27) + '[1mbold' + chr(27) + '[0m', chr(27) + '[5mblinks', chr(7))\n"
    )
    env = {**os.environ, **measured()}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, stdout=stream, check=True, timeout=60)
    text = os.read(shown, 10_000).decode()
    assert text.count("\x1b[33m") == text.count("\x1b[0m") - 1 >= 3
    assert "\x1b[1mbold\x1b[0m \\x1b[5mblinks \\x07" in text
    assert "\\x1b[2J\\x1b[31mred" in text.replace("\x1b[0m\x1b[33m", "")


def test_a_stream_that_is_closed_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    stream.close()
    assert not is_coloured(stream)
