"""`python -m research judge`: what it says of a file, and of a file that cannot be judged."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

import utils
from research.__main__ import main
from tests.research.samples import noise, with_moments


def sessions(count: int, first: date = date(2024, 1, 2)) -> list[date]:
    """So many sessions of the exchange."""
    days = (first + timedelta(days=offset) for offset in range(3 * count + 10))
    return [day for day in days if utils.session_on(day) is not None][:count]


def written(path: Path, count: int, trials: int = 1, *, seed: int = 1, mean: float = 0.0) -> Path:
    """A file of made results. The first trial has exactly that mean."""
    columns = noise(count, trials, seed=seed)
    columns[:, 0] = with_moments(columns[:, 0], mean, 0.02)
    head = ",".join(["day", *(f"T{number}" for number in range(trials))])
    rows = [
        f"{day}," + ",".join(f"{value:.6f}" for value in row)
        for day, row in zip(sessions(count), columns, strict=True)
    ]
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_record_without_an_edge_cannot_be_told_from_luck(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", str(written(tmp_path / "a.csv", 250, 4, seed=3))]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Cannot be told from luck: T")
    assert "n 250 sessions" in " ".join(said.split())
    assert "of 4 trials (the highest Sharpe ratio)" in said
    for figure in ("DSR, by their spread", "DSR, by 1 ÷ √sessions", "PBO", "SPA", "StepM", "choose on 60"):
        assert figure in said
    assert "⚠️" not in said


def test_an_edge_wins_and_one_that_costs_eat_loses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", str(written(tmp_path / "a.csv", 250, mean=0.008))]) == 0
    assert capsys.readouterr().out.startswith("Wins: T0 brings +0.")
    assert main(["judge", str(written(tmp_path / "a.csv", 250, mean=-0.008))]) == 0
    assert capsys.readouterr().out.startswith("Loses: T0 brings −0.")


def test_settings_that_the_file_leaves_out_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "a.csv", 250, mean=0.0035)
    assert main(["judge", str(path)]) == 0
    assert capsys.readouterr().out.startswith("Wins")
    assert main(["judge", str(path), "--trials", "5000"]) == 0
    assert capsys.readouterr().out.startswith("Cannot be told from luck")


def test_too_few_sessions_are_counted_and_not_rated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "a.csv", 19, 2, mean=0.05)
    assert main(["judge", str(path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Too little to say: 19 sessions and 19 days with a result")
    assert "Sharpe ratio  " not in said and "Luck" not in said
    assert main(["judge", str(path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["verdict"] == "too little to say" and data["enough_for_rates"] is False
    assert data["mean_interval"] is None and "sharpe" not in data["days"]


def test_a_record_without_any_trade_is_too_little(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("day,result\n" + "".join(f"{day},0\n" for day in sessions(100)), encoding="utf-8")
    assert main(["judge", str(path)]) == 0
    assert capsys.readouterr().out.startswith("Too little to say: 100 sessions and 0 days with a result")


def test_json_holds_every_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", str(written(tmp_path / "a.csv", 120, 3)), "--column", "T1", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["column"] == "T1" and data["was_chosen"] is False and data["trials_seen"] == 3
    assert data["deflated"]["dsr"] == min(
        data["deflated"]["dsr_by_spread"], data["deflated"]["dsr_by_length"]
    )
    assert data["overfitting"]["splits"] == 12_870
    assert data["walk_forward"]["sessions"] == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: must be the names of the columns"),
        ("day\n", "line 1: must be the names of the columns"),
        ("date,result\n2024-01-02,0\n", "line 1: must be the names of the columns"),
        ("day;result\n2024-01-02;0\n", "line 1: must be the names of the columns"),
        ("day,a,a\n2024-01-02,0,0\n", "line 1: each column needs a name of its own"),
        ("day,a,\n2024-01-02,0,0\n", "line 1: each column needs a name of its own"),
        ("day,a\n", "has no day"),
        ("day,a\n02.01.2024,0\n", "line 2: a day is written YYYY-MM-DD"),
        ("day,a\n20240102,0\n", "line 2: a day is written YYYY-MM-DD"),
        ("day,a\n0001-01-02,0\n", "line 2: 0001-01-02 lies outside"),
        ("day,a\n2024-01-02,0\n2024-01-03\n", "line 3: has 1 cells instead of 2"),
        ("day,a\n2024-01-02,0\n\n2024-01-02,1\n", "line 4: 2024-01-02 stands on line 2, too"),
        ("day,a\n2024-01-02,\n", "line 2: a result is empty"),
        ("day,a\n2024-01-02,much\n", "line 2: a result is a number such as -0.0153, not 'much'"),
        ("day,a\n2024-01-02,1.5%\n", "line 2: results are fractions: write 0.015"),
        ("day,a\n2024-01-02,nan\n", "line 2: a result is a number"),
        ("day,a\n2024-01-02,inf\n", "line 2: a result is a number"),
        ("day,a\n2024-01-02,1_0\n", "line 2: a result is a number"),
        ("day,a\n2024-01-02,١\n", "line 2: a result is a number"),
        ("day,a\n2024-01-02,1e300\n", "line 2: 1e300 is no day's result"),
        ('day,a\n2024-01-02,"0\n', "is no CSV file"),
    ],
)
def test_a_file_that_cannot_be_judged_is_refused_by_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    assert main(["judge", str(path)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert said in " ".join(output.err.split())


def test_a_file_that_is_absent_or_no_text_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", str(tmp_path / "none.csv")]) == 1
    assert "No such file" in capsys.readouterr().err
    (tmp_path / "a.csv").write_bytes(b"day,a\n\xff\xfe")
    assert main(["judge", str(tmp_path / "a.csv")]) == 1
    assert "UTF-8" in capsys.readouterr().err


def test_what_is_odd_about_a_file_is_said_before_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("day,a\n2024-01-05,50\n2024-01-02,-20\n2024-01-06,0\n", encoding="utf-8-sig")
    assert main(["judge", str(path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "The days are not in order in the file." in said
    assert "2 sessions of the exchange from 2024-01-02 to 2024-01-06 are not in the file." in said
    assert "1 day in the file, such as 2024-01-06, was no session of the exchange." in said
    assert "Half of the results of a go beyond ±100 %." in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--column", "nobody"], "--column nobody: is not in the file, which has T0, T1"),
        (["--trials", "1"], "--trials 1: the file alone has 2"),
    ],
)
def test_a_wrong_argument_ends_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["judge", str(written(tmp_path / "a.csv", 30, 2)), *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
