"""The commands that read what was recorded, where their reader or the machine stops them: a status, and at most a line."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import entry
from review import why
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
    assert "Too many open files" in errors
    assert "Traceback" not in errors
