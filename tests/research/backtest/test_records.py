"""A backtest of the live program's own record, and records that a backtest writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import diagnose
from record.lines import Entry, Header
from record.reader import Reader
from research.__main__ import main
from research.backtest.run import Work
from research.backtest.session import SessionResult, run_session
from research.history.imported import from_record, write
from research.history.store import History, HistoryError
from review.keeper import read as study_of
from review.verify import check
from rules import Rules
from tests.research.made import DAY, source_of, whole
from tests.research.recorded import END, recorded, with_usual_seconds

NAME = DAY.isoformat()
FEE = 0.65


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """A history of one record."""
    folder = tmp_path_factory.mktemp("history")
    found = with_usual_seconds(History(folder / "history"))
    write(found, from_record(found, recorded(folder), END), is_replacing=False)
    return found


@pytest.fixture(scope="module")
def told(history: History, tmp_path_factory: pytest.TempPathFactory) -> tuple[SessionResult, Path]:
    """The record's backtest with unchanged rules, and the record that it wrote."""
    folder = tmp_path_factory.mktemp("told")
    result = Work(history.folder, "IWM", Rules(), FEE, 2, folder).run(NAME)
    return result, folder / "sessions" / f"{NAME}.jsonl"


def entries(path: Path) -> list[Entry]:
    """The facts of a record, with their decisions."""
    return [line for line in Reader(path) if isinstance(line, Entry)]


def test_with_unchanged_rules_every_decision_is_the_recorded_one(
    history: History, told: tuple[SessionResult, Path]
) -> None:
    result, written = told
    assert result.differing == 0 and result.trades
    live = entries(history.record("IWM", NAME))
    assert sum(bool(line.decisions) for line in live) > 10
    assert entries(written) == live
    study = study_of(written, quiet=True)
    assert [trade.id for trade in result.trades] == [trade.opened.id for trade in study.trades.told]
    assert result.evaluations == len(study.seen)


def test_the_written_record_verifies(told: tuple[SessionResult, Path]) -> None:
    assert "decisions derived again and equal" in check(told[1], NAME)


def test_a_rule_that_is_set_applies_as_in_what_if(history: History, tmp_path: Path) -> None:
    rules = Rules(stop_loss_percent=12)
    result = Work(history.folder, "IWM", rules, FEE, 2, tmp_path).run(NAME)
    study = study_of(history.record("IWM", NAME), {"STOP_LOSS_PERCENT": "12"}, quiet=True)
    assert result.differing == study.differing > 0
    assert [(trade.id, trade.closed_at) for trade in result.trades] == [
        (trade.opened.id, trade.closed_at) for trade in study.trades.told
    ]
    written = tmp_path / "sessions" / f"{NAME}.jsonl"
    header = next(iter(Reader(written)))
    assert isinstance(header, Header) and header.rules_hash == rules.digest()
    assert "equal" in check(written, NAME)


def test_a_session_of_history_is_written_as_a_record_that_verifies(tmp_path: Path) -> None:
    history, past = History(tmp_path / "history"), whole()
    history.write(source_of(past, simulated=True), past)
    result = Work(history.folder, "IWM", Rules(), FEE, 2, tmp_path / "told").run(NAME)
    assert result == run_session(past, Rules(), FEE) and result.differing is None
    written = tmp_path / "told" / "sessions" / f"{NAME}.jsonl"
    assert [path.name for path in written.parent.iterdir()] == [written.name]
    assert "equal" in check(written, NAME)
    study = study_of(written, quiet=True)
    assert [trade.opened.id for trade in study.trades.told] == [trade.id for trade in result.trades]


def test_by_command_the_report_names_the_record_and_why_reads_what_it_wrote(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HISTORY_DIR", str(history.folder))
    monkeypatch.chdir(tmp_path)
    command = ["backtest", "--only", NAME, "--record"]
    assert main([*command, "told"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "1 session is the live program's own record: every decision equals the recorded one." in said
    assert "MIN_OPEN_INTEREST" not in said and "when it got them" in said
    assert main([*command, "told"]) == 2
    assert "is there already; choose another folder" in " ".join(capsys.readouterr().err.split())
    assert main([*command, "data"]) == 2
    assert "the live program's own records" in " ".join(capsys.readouterr().err.split())
    assert diagnose.main(["why", NAME, "--data-dir", "told", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["session"] == NAME


def test_a_damaged_record_is_named_and_sent_to_import_again(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    write(history, from_record(history, recorded(tmp_path), END), is_replacing=False)
    path = history.record("IWM", NAME)
    data = path.read_bytes()
    for damaged in (data[: len(data) // 2], b"nothing", None):
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        with pytest.raises(HistoryError, match="import the session again"):
            Work(history.folder, "IWM", Rules(), FEE, 2).run(NAME)
        if damaged is None:
            path.touch()
