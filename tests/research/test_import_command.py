"""`python -m research import`: what it prints of each file, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from research.__main__ import main
from research.history.store import History, State
from tests.research.made import DAY
from tests.research.recorded import recorded, with_usual_seconds

NAME = DAY.isoformat()


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """A history in which the record has as many seconds as is usual."""
    monkeypatch.chdir(tmp_path)
    return with_usual_seconds(History(tmp_path / "history"))


def run(history: History, *arguments: Path | str) -> int:
    """Runs the command; returns its exit status."""
    return main(["import", *map(str, arguments), "--history", str(history.folder)])


def test_a_file_that_cannot_be_used_is_said_and_its_neighbours_come_in(
    history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, absent = tmp_path / "2025-07-02.jsonl", tmp_path / "absent.jsonl"
    bad.write_text("a letter\n")
    assert run(history, bad, recorded(tmp_path), absent) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"IWM  {NAME}  whole ")
    text = " ".join(said.err.split())
    assert text.count("✗ ") == 2 and "2025-07-02.jsonl" in text and "absent.jsonl" in text
    assert "1 whole, 2 of 3 files cannot be used, in " in text
    found = history.source("IWM", NAME)
    assert found is not None and found.state is State.WHOLE


def test_a_session_that_came_from_a_file_before_is_refused_and_one_of_an_earlier_run_is_replaced(
    history: History, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = recorded(tmp_path)
    assert run(history, record) == 0
    assert f"1 whole, in {history.folder}" in capsys.readouterr().out
    assert run(history, record, record) == 1
    assert "1 whole, 1 of 2 files cannot be used" in " ".join(capsys.readouterr().err.split())
