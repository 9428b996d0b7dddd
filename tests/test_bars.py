"""Plain bars replayed: what they are made into, what is left out of a file, and the indicators checked from outside."""

from __future__ import annotations

import csv
import gzip
import io
import math
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from config import Rules, variable_names
from engine import Engine
from events import SECOND, Condition, FeedRestored
from sim.__main__ import main
from tests.builders import EARLY_SESSION, SESSION
from tests.made_day import bar_of, market
from tests.reference import Reference as Exact
from tests.reference import vwap
from utils import session_on, utc_iso


def csv_of(rows: list[dict[str, Any]], columns: str = "sym,start_ms,open,high,low,close,volume,vwap") -> str:
    """Rows as a file's text."""
    names = columns.split(",")
    return "".join([columns + "\n", *(",".join(str(row[name]) for name in names) + "\n" for row in rows)])


def bar_rows(symbol: str, end_s: int = 3_000) -> list[dict[str, Any]]:
    """The first prints of the made day from its pre-market on, as a file has them."""
    return [
        {
            "sym": bar.symbol,
            "start_ms": bar.start // 1000,
            "open": bar.open,
            "high": bar.high,
            "low": bar.low,
            "close": bar.close,
            "volume": bar.volume,
            "vwap": bar.vwap,
            "n": bar.trades,
        }
        for bar in market().bars(symbol)
        if bar.start < SESSION.open + end_s * SECOND
    ]


def traced(path: Path, *arguments: str) -> list[dict[str, str]]:
    """The rows of a trace of plain bars."""
    assert main(["replay", *arguments, "--trace", str(path)]) == 0
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without settings, in an environment without any."""
    for name in variable_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plain_bars_give_signals(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / "bars.csv"
    path.write_text(csv_of(bar_rows("IWM") + bar_rows("SPY")), encoding="utf-8")
    assert main(["replay", "--bars", str(path)]) == 0
    out = capsys.readouterr().out
    assert "🔁 Session 2025-10-02, 09:30–16:00 ET: " in out
    assert " bars without a chain, rules " + Rules().digest() in out
    assert "🚀 MOMENTUM SIGNAL: IWM $" in out
    assert "evaluations; all conditions held in " in out
    assert "chain too old" not in out
    assert "armed" not in out


def test_plain_bars_are_what_an_engine_gets_live(place: Path) -> None:
    """The same bars told to an engine by hand, each 2 s after its end, IWM's first: the same evaluations."""
    rows = bar_rows("IWM", 2_400) + bar_rows("SPY", 2_400)
    path = place / "bars.csv"
    path.write_text(csv_of(rows), encoding="utf-8")
    found = traced(place / "trace.csv", "--bars", str(path))
    engine = Engine(Rules(), SESSION)
    engine.handle(SESSION.open - 300 * SECOND, FeedRestored())
    values: list[tuple[str, str, str]] = []
    made = [bar for symbol in ("IWM", "SPY") for bar in market().bars(symbol)]
    for bar in sorted(made, key=lambda bar: bar.start):
        if bar.start < SESSION.open + 2_400 * SECOND and bar.sent_at >= SESSION.open - 300 * SECOND:
            before = engine.evaluation
            engine.handle(bar.sent_at, bar_of(bar))
            evaluation = engine.evaluation
            if evaluation is not None and evaluation is not before:
                values.append((utc_iso(evaluation.start), repr(evaluation.vwap_1m), str(evaluation.holds)))
    conditions = [f"met_{condition}" for condition in Condition]
    assert values == [
        (row["time"], row["vwap_1m"], str("0" not in [row[name] for name in conditions])) for row in found
    ]
    assert len(values) > 1_000
    assert {row["decision"] for row in found} == {"", "Declined"}


def test_the_order_of_files_rows_and_columns_does_not_matter_where_nothing_ties(place: Path) -> None:
    rows = bar_rows("IWM", 1_500)
    plain, packed, rest = place / "plain.csv", place / "half.txt", place / "rest.csv.gz"
    plain.write_text(csv_of(rows), encoding="utf-8")
    columns = "n,vwap,volume,CLOSE,low,high,open,start_ms,sym".lower()
    packed.write_bytes(gzip.compress(csv_of(rows[::-2], columns).encode()))
    rest.write_text("\ufeff" + csv_of(rows[-2::-2], columns).replace("\n", "\r\n"), encoding="utf-8")
    one = traced(place / "1.csv", "--bars", str(plain), "--set", "BENCHMARK=")
    two = traced(place / "2.csv", "--bars", str(rest), "--bars", str(packed), "--set", "BENCHMARK=")
    assert one == two
    assert len(one) > 700
    times = [row["time"] for row in one]
    assert times == sorted(times)
    assert times[0] >= "2025-10-02T13:30:00Z"


class Reference(Exact):
    """The reference, that may be asked about some evaluations only."""

    def pass_by(self, second: int) -> None:
        """An evaluation that is not looked at: only how long VWAP has been rising goes on."""
        self._rising(second, vwap(self.own, second, self.rules.vwap_short_seconds), False)


def agrees(shown: str, value: object) -> bool:
    """Whether a cell of the trace is a value, to nine digits."""
    if value is None:
        return shown == ""
    assert isinstance(value, int | float | Fraction)
    return shown != "" and math.isclose(float(shown), value, rel_tol=1e-9, abs_tol=1e-12)


def test_indicators_equal_an_independent_calculation(place: Path) -> None:
    """Of every twentieth evaluation each value again, from all bars so far, in exact fractions."""
    rows = bar_rows("IWM", 2_400) + bar_rows("SPY", 2_400)
    path = place / "bars.csv"
    path.write_text(csv_of(rows), encoding="utf-8")
    found = {row["time"]: row for row in traced(place / "trace.csv", "--bars", str(path))}
    reference, evaluated, checked = Reference(Rules()), 0, 0
    for row in sorted(rows, key=lambda row: row["start_ms"]):
        second = row["start_ms"] // 1000 - SESSION.open // SECOND
        if second < 0:
            continue
        known = reference.own if row["sym"] == "IWM" else reference.benchmark
        known[second] = row["close"], row["volume"], row["vwap"]
        if row["sym"] != "IWM":
            continue
        shown = found.pop(utc_iso(row["start_ms"] * 1000))
        evaluated += 1
        if evaluated % 20:
            reference.pass_by(second)
            continue
        checked += 1
        values = reference.evaluate(second, was_blind=False)
        values["momentum_pct_per_s"] = values.pop("momentum")
        passes = values.pop("passes")
        assert isinstance(passes, tuple)
        assert [shown[f"met_{condition}"] for condition in Condition] == ["01"[passed] for passed in passes]
        assert {name: shown[name] for name, value in values.items() if not agrees(shown[name], value)} == {}
    assert not found
    assert checked > 50


def test_bad_rows_are_counted_shown_and_left_out(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = bar_rows("IWM", 1_200)
    good = csv_of(rows).splitlines()
    start = rows[-1]["start_ms"] + 1000
    bad = [
        "IWM,soon,1,1,1,1,1,1",
        f"IWM,{start // 1000},1,1,1,1,1,1",
        f"IWM,{start + 500},1,1,1,1,1,1",
        f"IWM,{start},1,1",
        f"IWM,{start},nan,1,1,1,1,1",
        f"IWM,{start},1,inf,1,1,1,1",
        f"IWM,{start},1,1,1,-1,1,1",
        f"IWM,{start},1,1,1,0,1,1",
        f"IWM,{start},1,1_0,1,1,1,1",
        f"IWM,{start},1,1,2,1,1,1",
        f"IWM,{start},1,1,1,1,-5,1",
        f"IWM,{start},1,1,1,1,5,0",
        f"IWM,{start},1,1,1,1,,1",
        f",{start},1,1,1,1,1,1",
        f'IWM,{start},"1,1,1,1,1,1',
        "\x00\x01\x02",
    ]
    path = place / "bars.csv"
    path.write_text(
        "\n".join([*good[:500], *bad, "", *good[500:], "QQQ," + good[-1][4:]]) + "\n", encoding="utf-8"
    )
    with_bad = traced(place / "1.csv", "--bars", str(path), "--set", "BENCHMARK=")
    out = capsys.readouterr().out
    assert f"{path}, line 501: start_ms 'soon' is not a whole number" in out
    assert f"{path}, line 505: open 'nan' is not a number over 0" in out
    assert f"… and {len(bad) - 5} bad rows more" in out
    assert f"{len(bad)} of {len(rows) + len(bad) + 1:,} rows are bad and left out" in out
    assert "1 rows of symbols that the rules do not watch (QQQ)" in out
    path.write_text("\n".join(good), encoding="utf-8")
    assert with_bad == traced(place / "2.csv", "--bars", str(path), "--set", "BENCHMARK=")
    assert "bad" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1: no column sym, start_ms"),
        (b"sym,start_ms,open,high,low,close,volume\n", "line 1: no column vwap"),
        (b"sym,sym,start_ms,open,high,low,close,volume,vwap\n", "line 1: column sym twice"),
        (b"sym,start_ms,open,high,low,close,volume,vwap\n", "nothing to evaluate"),
        (b"sym,start_ms,open,high,low,close,volume,vwap\nIWM,x,1,1,1,1,1,1\n", "nothing to evaluate"),
        (b"sym,start_ms,open,high,low,close,volume,vwap\nIWM,1759411800000,1,1,1,1,1,1\n"[:-15], "nothing"),
        (
            gzip.compress(b"sym,start_ms,open,high,low,close,volume,vwap\n" * 9, mtime=0)[:-9],
            "archive is broken",
        ),
    ],
)
def test_a_file_that_is_no_bars_is_refused(
    place: Path, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "bars.csv"
    path.write_bytes(content)
    assert main(["replay", "--bars", str(path)]) == 2
    assert words in capsys.readouterr().err
    assert main(["replay", "--bars", str(place)]) == 2
    assert main(["replay", "--bars", str(place / "none.csv")]) == 2
    assert capsys.readouterr().err.count("python -m sim replay: ") == 2


def test_each_day_is_a_session_of_its_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A holiday, a half day and a full one, in one file; winter time and summer time."""
    lines = ["sym,start_ms,open,high,low,close,volume,vwap"]
    half_day = EARLY_SESSION.open
    monday = session_on(date(2025, 12, 1))
    assert monday is not None
    for begin in (half_day - 86_400 * SECOND, half_day, monday.open):
        for second in range(-400, 60, 1):
            lines.append(
                f"IWM,{begin // 1000 + second * 1000},215.0,215.2,214.9,215.1,{500 + second % 7},215.05"
            )
    for second in range(12_600 - 30, 12_600 + 60):
        lines.append(f"IWM,{half_day // 1000 + second * 1000},215.0,215.2,214.9,215.1,500,215.05")
    path = place / "bars.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    found = traced(place / "trace.csv", "--bars", str(path), "--set", "BENCHMARK=")
    out = capsys.readouterr().out
    assert "Session 2025-11-28, 09:30–13:00 ET" in out
    assert "Session 2025-12-01, 09:30–16:00 ET" in out
    assert "2025-11-27" not in out
    assert f"{460 + 97 * 2 + 33:,} rows long before the open" in out
    times = [row["time"] for row in found]
    assert len(times) == 60 + 30 + 60
    assert times[0] == "2025-11-28T14:30:00Z"
    assert times[89] == "2025-11-28T17:59:59Z"
    assert times[-1] == "2025-12-01T14:30:59Z"
    assert found[0]["vwap_rising_s"] == found[90]["vwap_rising_s"] == "0"


def test_a_session_without_the_watched_symbol_is_said(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "bars.csv"
    day_ms = 86_400_000
    next_day = [{**row, "start_ms": row["start_ms"] + day_ms} for row in bar_rows("SPY", 60)]
    early = [{**row, "start_ms": row["start_ms"] - 300_000} for row in bar_rows("IWM", 60)]
    path.write_text(csv_of(bar_rows("IWM", 60) + bar_rows("SPY", 60) + next_day), encoding="utf-8")
    assert main(["replay", "--bars", str(path)]) == 0
    assert "2025-10-03: no bar of IWM, so nothing is evaluated\n" in capsys.readouterr().out
    # Bars of before the open are evaluated by nobody.
    path.write_text(csv_of(early + bar_rows("SPY", 60)), encoding="utf-8")
    assert main(["replay", "--bars", str(path)]) == 2
    captured = capsys.readouterr()
    assert "no bar of IWM inside a session" in captured.err
    assert "0 evaluations" not in captured.out


def test_bars_are_replayed_under_the_environment_s_rules(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "bars.csv"
    path.write_text(csv_of(bar_rows("SPY", 700)), encoding="utf-8")
    assert main(["replay", "--bars", str(path)]) == 2
    assert (
        "no bar of IWM inside a session, only of SPY: nothing to evaluate. SYMBOL is what is watched"
        in capsys.readouterr().err
    )
    (place / ".env").write_text("SYMBOL=SPY\nBENCHMARK=\nPOLYGON_API_KEY=abc\n", encoding="utf-8")
    assert main(["replay", "--bars", str(path)]) == 0
    assert f"rules {Rules(symbol='SPY', benchmark='').digest()}" in capsys.readouterr().out
    monkeypatch.setenv("WARMUP_SECONDS", "100")
    assert main(["replay", "--bars", str(path), "--set", "VWAP_SHORT_SECONDS=30"]) == 0
    rules = Rules(symbol="SPY", benchmark="", warmup_seconds=100, vwap_short_seconds=30)
    assert f"rules {rules.digest()}, VWAP_SHORT_SECONDS=30" in capsys.readouterr().out
    monkeypatch.setenv("WARMUP_SECONDS", "soon")
    assert main(["replay", "--bars", str(path)]) == 2
    assert "WARMUP_SECONDS: got 'soon'; takes" in capsys.readouterr().err
