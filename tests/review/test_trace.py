"""The trace: every evaluation, to the last bit."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from events import Condition
from review.__main__ import main
from review.derive import Handled, play
from review.trace import COLUMNS, TRACE_BEGINS
from tests.made_day import Made
from tests.review.records import made

__all__ = ["made"]  # fixtures that the tests here use, too


def test_the_trace_has_every_evaluation_to_the_last_bit(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    assert main(["replay", str(made.path), "--trace", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith(
        "time,symbol,price,vwap_1m,vwap_1m_change,vwap_5m,vwap_5m_change,vwap_rising_s,volume,volume_p95,volume_z,"
        "momentum_pct_per_s,relative_volume,roc5,benchmark_roc5,met_five_minute_vwap,met_above_vwap,"
        "met_vwap_rising,met_volume_surge,met_momentum,met_relative_volume,met_spy_lag,gate,decision\n"
    )
    assert "\r" not in text
    assert text.encode().startswith(TRACE_BEGINS)
    names, *rows = csv.reader(io.StringIO(text))
    assert tuple(names) == COLUMNS
    assert len(set(names)) == len(names)
    steps = [item for item in play(made.path) if isinstance(item, Handled) and item.evaluation is not None]
    assert len(rows) == len(steps) > 200
    first = len(COLUMNS) - len(Condition) - 2
    for row, step in zip(rows, steps, strict=True):
        evaluation = step.evaluation
        assert evaluation is not None
        assert row[0].endswith("Z")
        assert row[1] == "IWM"
        for name, field in (("vwap_5m", "vwap_5m"), ("momentum_pct_per_s", "momentum"), ("roc5", "roc5")):
            value = getattr(evaluation, field)
            assert row[names.index(name)] == ("" if value is None else repr(value))
        assert row[first:-2] == ["01"[passed] if passed is not None else "" for passed in evaluation.passes]
        assert row[-2] == (evaluation.gate or "")
    named = {type(decision).__name__ for step in steps for decision in step.decisions}
    assert {row[-1] for row in rows} - {""} <= named
    assert [row[-1] for row in rows].count("Opened") == 1
    assert next(row for row in rows if row[-1] == "Opened")[0] == "2025-10-02T14:07:00Z"


def test_a_condition_that_is_left_out_is_empty(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    sets = ["--set", "BENCHMARK=", "--set", "RELATIVE_VOLUME_MIN=0"]
    assert main(["replay", str(made.path), *sets, "--trace", str(path)]) == 0
    _, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    for row in rows:
        assert row[-4] == row[-3] == ""
        assert row[COLUMNS.index("benchmark_roc5")] == ""


def test_the_trace_never_overwrites_what_is_replayed(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made.path.read_bytes()
    again = made.path.parent / ".." / made.path.parent.name / made.path.name
    assert main(["replay", str(made.path), "--trace", str(again)]) == 2
    assert made.path.read_bytes() == before
    assert main(["replay", str(made.path), "--trace", str(tmp_path / "no" / "trace.csv")]) == 2
    assert main(["replay", str(made.path), "--trace", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("--trace") == 3
