"""The commands that read what was recorded, where their reader or the machine stops them: a status, and at most a line."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

import entry
from events import SECOND
from review import days, why
from review.page.parts import result
from review.report import print_lines
from tests.environment import DIAGNOSE, run
from tests.refusals import no_more_files
from tests.review.days import EVENING, day, folder

__all__ = ["day", "folder"]


@pytest.mark.parametrize("words", [("why", "2025-10-02"), ("days",)])
def test_a_reader_that_has_gone_ends_it_without_a_word(
    folder: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    shutil.copytree(folder / "sessions", tmp_path / "sessions")  # `days` makes a book of it
    reader, writer = os.pipe()
    os.close(reader)
    done = run(
        tmp_path,
        DIAGNOSE,
        *words,
        env={"DATA_DIR": str(tmp_path)},
        stdout=writer,
        stderr=subprocess.PIPE,
        capture_output=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (entry.EXIT_PIPE, "")


def test_a_machine_that_opens_no_more_files_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with no_more_files():
        status = why.main(["2025-10-02", "--data-dir", str(folder)], EVENING)
    assert status == entry.EXIT_FAILED
    output, errors = capsys.readouterr()
    assert output == ""
    assert "Too many open files" in " ".join(errors.split())  # in lines of its width
    assert "Traceback" not in errors


def test_settings_that_are_wrong_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLLOW_DELAY_SECONDS", "lots")
    assert days.main(["--data-dir", str(folder)], EVENING) == entry.EXIT_CONFIGURATION
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("python diagnose.py days: bad settings:\n  FOLLOW_DELAY_SECONDS: ")


def test_a_day_can_be_named_in_a_word(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert why.main(["yesterday", "--data-dir", str(folder)], EVENING + 24 * 3600 * SECOND) == entry.EXIT_OK
    assert "2 Oct" in capsys.readouterr().out


def test_on_a_terminal_that_shows_colours_a_report_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown, written = pty.openpty()
    with open(written, "w", encoding="utf-8") as terminal, contextlib.redirect_stdout(terminal):
        print_lines(["the answer", "⚠️ a warning", "\x1b[2J from outside"], range(1))
        terminal.flush()
        said = os.read(shown, 1000).decode().splitlines()
    os.close(shown)
    assert said == ["\x1b[1mthe answer\x1b[0m", "\x1b[33m⚠️ a warning\x1b[0m", "\\x1b[2J from outside"]


def test_what_is_not_known_is_no_number() -> None:
    assert result(None) == "n/a"
