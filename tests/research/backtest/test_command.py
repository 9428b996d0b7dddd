"""`python -m research backtest` and `data` on a small history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from research.__main__ import main
from research.backtest.run import Work, run_all
from research.history.store import History, State
from research.ledger import Ledger
from rules import Rules
from tests.research.made import DAY, bare, source_of, whole

NAME = DAY.isoformat()
ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history of one whole session, one without quotes, and one that is left out."""
    monkeypatch.setenv("HISTORY_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    history, past = History(tmp_path), whole()
    source = source_of(past, rules=(Rules().digest(),), simulated=True)
    history.write(source, past)
    few = bare()._replace(bars=[])
    for day, state in (("2025-07-01", State.BARS_ONLY), ("2025-07-02", State.LEFT_OUT)):
        history.write(msgspec.structs.replace(source, date=day, state=state, faults=("too little",)), few)
    return tmp_path


def test_a_backtest_tells_three_layers_and_counts_without_rates(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Simulated market. Too little to say: 1 session, ")
    assert "it takes 20 and 30" in " ".join(said.split())
    for part in (
        "1. Signal:",
        "2. Option at mid",
        "3. as a person gets it",
        "60 s ",
        "MIN_OPEN_INTEREST is left",
    ):
        assert part in said
    assert "mean +" not in said and "Sharpe" not in said
    assert (
        "2025-07-01 is left out: bars only; too little" in said and "2025-07-02 is left out: left out" in said
    )
    assert "Tried on this span so far: 1 set of rules." in " ".join(said.split())


def test_json_holds_every_trade_and_the_same_whatever_the_number_of_processes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", "--json"]) == 0
    one = capsys.readouterr().out
    assert main(["backtest", "--json", "--jobs", "2"]) == 0
    assert capsys.readouterr().out == one
    data = json.loads(one)
    (session,) = data["sessions"]
    assert session["trades"] and session["trades"][0]["orders"]["5"]["fate"]
    assert data["simulated"] is True and data["enough_for_rates"] is False
    work = Work(folder, "IWM", Rules(), 0.65, 2)
    both = [json.loads(msgspec.json.encode(each)) for each in run_all(work.run, [NAME, NAME], jobs=2)]
    assert both == [session, session]


def asked_again(folder: Path, answer: str) -> subprocess.CompletedProcess[str]:
    """A backtest of a rule that is set, with the vault opened by an answer."""
    command = [sys.executable, "-m", "research", "backtest", "--set", "STOP_LOSS_PERCENT=20", "--open-vault"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HISTORY_DIR": str(folder)}
    return subprocess.run(
        command,
        input=answer,
        text=True,
        capture_output=True,
        cwd=folder,
        env=environment,
        timeout=120,
        check=False,
    )


def test_sessions_are_sealed_against_a_rule_that_is_set_until_the_vault_is_opened(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", "--set", "STOP_LOSS_PERCENT=20"]) == 1
    assert "sealed against --set" in " ".join(capsys.readouterr().err.split())
    refused = asked_again(folder, "no\n")
    assert refused.returncode == 1 and "the vault stays closed" in refused.stderr
    assert Ledger(folder).openings("IWM") == []
    opened = asked_again(folder, "yes\n")
    assert opened.returncode == 0, opened.stderr
    assert "counted for good" in opened.stderr
    assert (
        "The vault was opened 1 time before." in opened.stdout and "(STOP_LOSS_PERCENT=20)" in opened.stdout
    )
    assert len(Ledger(folder).openings("IWM")) == 1
    assert main(["backtest"]) == 0
    assert "Tried on this span so far: 2 sets of rules." in " ".join(capsys.readouterr().out.split())


def test_data_lists_every_session_with_its_state(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["IWM", day] for day in ("2025-07-01", "2025-07-02", NAME)
    ]
    assert "bars only" in lines[0] and lines[0].endswith("too little  (vendor: http://127.0.0.1)")
    assert lines[-1] == "3 sessions, 1 whole"
    assert main(["data", "--json"]) == 0
    assert [source["state"] for source in json.loads(capsys.readouterr().out)] == [
        "bars only",
        "left out",
        "whole",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["backtest", "--only", "2025-07-02"], 1, "none of 1 sessions can be used: 2025-07-02 left out"),
        (["backtest", "--only", "2024-07-02"], 1, "has no session of IWM there; python -m research fetch"),
        (["backtest", "--jobs", "0"], 2, "--jobs takes a number from 1"),
        (["backtest", "--fee", "nan"], 2, "--fee dollars from 0 to 100"),
        (["backtest", "--set", "STOP_LOSS=20"], 2, "did you mean STOP_LOSS_PERCENT?"),
        (["backtest", "--set", "STOP_LOSS_PERCENT=-1"], 2, "STOP_LOSS_PERCENT"),
        (["data", "--history", "nowhere"], 1, "nowhere: has no session"),
        (["fetch", "2025-07-05..2025-07-06", "--plan"], 1, "has no session of the exchange"),
    ],
)
def test_what_cannot_be_run_is_said_with_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str
) -> None:
    assert main(arguments) == status
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_plan_says_what_it_would_take_and_needs_no_key(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "2025-06-30..2025-07-03", "--plan"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("4 sessions of IWM, 1 of them there already.")
    assert "by the 1 sessions that are there" in said


def test_a_benchmark_that_is_not_there_leaves_a_session_out(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHMARK", "QQQ")
    assert main(["backtest"]) == 1
    assert "none of 3 sessions can be used" in " ".join(capsys.readouterr().err.split())


def test_html_writes_the_report_and_with_record_each_session_s_page(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, told = folder / "report.html", folder / "told"
    assert main(["backtest", "--html", str(report), "--record", str(told)]) == 0
    assert capsys.readouterr().out.endswith(f"\nWritten: {report}\n")
    page = report.read_text(encoding="utf-8")
    assert f'<a href="{NAME}.html">' in page and "Too little to say: 1 session, " in page
    assert "2025-07-01" in page and "bars only; too little" in page and "1 set of rules" in page
    assert '<p class="simulated">Simulated market</p>' in page
    assert f"IWM {NAME}</title>" in (folder / f"{NAME}.html").read_text(encoding="utf-8")
    # Without a record the page that is there is linked; another's file is not.
    (folder / f"{NAME}.html").write_text("mine", encoding="utf-8")
    assert main(["backtest", "--html", str(report)]) == 0
    assert f'href="{NAME}.html"' not in report.read_text(encoding="utf-8")
    assert main(["backtest", "--html", str(folder / "IWM")]) == 2
    assert "is a folder" in capsys.readouterr().err
