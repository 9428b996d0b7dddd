"""Plain bars replayed: what they are made into, what is left out of a file, and the indicators checked from outside."""

from __future__ import annotations

import csv
import gzip
import io
import math
import tempfile
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from config import variable_names
from engine import Engine
from events import PRICE_MAX, PRICE_MIN, SECOND, VOLUME_LIMIT, Bar, Condition, FeedRestored
from review.__main__ import main
from review.bars import BadFile, Loaded, load
from rules import Rules
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


def archive(content: bytes) -> bytes:
    """An archive of a file, the same at any time."""
    return gzip.compress(content, 1, mtime=0)


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
    assert "evaluations; all conditions met in " in out
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
    assert f"{path}, line 505: open 'nan' is not a number from 0.01 to 1,000,000" in out
    assert f"… and {len(bad) - 5} bad rows more" in out
    assert f"{len(bad)} of {len(rows) + len(bad) + 1:,} rows are bad and left out" in out
    assert "1 rows of symbols that the rules do not watch (QQQ)" in out
    path.write_text("\n".join(good), encoding="utf-8")
    assert with_bad == traced(place / "2.csv", "--bars", str(path), "--set", "BENCHMARK=")
    assert "bad" not in capsys.readouterr().out


HEADER = "sym,start_ms,open,high,low,close,volume,vwap"
START_MS = SESSION.open // 1000


def loaded_of(path: Path, *rows: str, header: str = HEADER) -> Loaded:
    """What a file of these rows gives."""
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return load([path], ["IWM"], lambda _: None)


def bars_of(loaded: Loaded) -> list[Bar]:
    return [bar for _, bars in loaded.sessions.values() for bar in bars]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"IWM,{START_MS},215,215.2,214.9,215.1,1,234,215.05", "9 cells are too many: there are 8 columns"),
        (f"IWM,{START_MS},215,215.2,214.9,215.1,500", "7 cells are too few: there are 8 columns"),
        (f"IWM,{START_MS},1e300,1e300,1e300,1e300,500,1e300", "open '1e300' is not a number from 0.01 to 1,000,000"),
        (f"IWM,{START_MS},215,1000000.1,214.9,215.1,500,215.05", "high '1000000.1' is not a number from 0.01"),
        (f"IWM,{START_MS},0.0099,215.2,0.0099,215.1,500,215.05", "open '0.0099' is not a number from 0.01"),
        (f"IWM,{START_MS},215,215.2,214.9,215.1,1e12,215.05", "volume '1e12' is not a number from 0 to 1,000,000,000,000"),
        (f"IWM,{START_MS},215,215.2,214.9,215.1,inf,215.05", "volume 'inf' is not a number from 0"),
        (f"IWM,{START_MS},215,215.2,214.9,215.1,500,-0.01", "vwap '-0.01' is not a number from 0 up"),
        (f"IWM,{START_MS},215,215.2,214.9,215.1,500,nan", "vwap 'nan' is not a number from 0 up"),
        (f"IWM,{START_MS},215,215.2,214.9,215.3,500,215.05", "close 215.3 is outside low 214.9 and high 215.2"),
        (f"IWM,{START_MS},214.8,215.2,214.9,215.1,500,215.05", "open 214.8 is outside low 214.9 and high 215.2"),
        (f"IWM,{START_MS},215,214.9,215.2,215.1,500,215.05", "high 214.9 is below low 215.2"),
        (f"I\u202eWM\x1b[2J,{START_MS},215,215.2,214.9,215.1,500,215.05", r"sym 'I\u202eWM\x1b[2J' is no symbol"),
        (f"IWM,{'9' * 5000},215,215.2,214.9,215.1,500,215.05", "9 is not the milliseconds of a whole second"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_named_and_costs_no_other(tmp_path: Path, row: str, words: str) -> None:
    path = tmp_path / "bars.csv"
    good = f"IWM,{START_MS + 1000},215,215.2,214.9,215.1,500,215.05"
    loaded = loaded_of(path, good, row, good.replace(str(START_MS + 1000), str(START_MS + 2000)))
    assert [bar.start // 1000 - START_MS for bar in bars_of(loaded)] == [1000, 2000]
    (note,) = loaded.shown
    assert note.startswith(f"{path}, line 3: ")
    assert words in note
    assert note.isprintable() and len(note) < 300


@pytest.mark.parametrize(
    ("vwap", "expected"),
    [
        ("212.751", 212.751),  # 1 % below the low
        ("217.352", 217.352),  # 1 % above the high
        ("212.749", 215.1),
        ("217.354", 215.1),
        ("1e-10", 215.1),
        ("1e300", 215.1),
        ("21505", 215.1),
    ],
)
def test_a_vwap_over_one_percent_off_is_replaced_as_it_is_live(
    tmp_path: Path, vwap: str, expected: float
) -> None:
    loaded = loaded_of(tmp_path / "bars.csv", f"IWM,{START_MS},215,215.2,214.9,215.2,500,{vwap}")
    (bar,) = bars_of(loaded)
    assert bar.vwap == pytest.approx(expected)
    assert loaded.mended == (bar.vwap != float(vwap))
    assert any("VWAP over 1%" in note for note in loaded.notes()) is bool(loaded.mended)


def test_bounds_are_inside_and_empty_cells_at_the_end_are_nothing(tmp_path: Path) -> None:
    loaded = loaded_of(
        tmp_path / "bars.csv",
        f"IWM,{START_MS},0.01,1000000,0.01,1e6,999999999999,0.01,,",
        f"IWM,{START_MS + 1000},215,215,215,215,0,0",
    )
    assert [(bar.close, bar.volume, bar.vwap) for bar in bars_of(loaded)] == [
        (1e6, 999_999_999_999, 0.01), (215, 0, 215),
    ]  # fmt: skip


def test_rows_in_any_order_twice_and_of_other_days_are_told(tmp_path: Path) -> None:
    row = "IWM,{},215,215.2,214.9,{},500,215.05".format
    loaded = loaded_of(
        tmp_path / "bars.csv",
        row(START_MS + 5000, 215.1), row(START_MS, 215.1), row(START_MS + 5000, 215.2), row(START_MS - 86_400_000 * 4, 215.1),
    )  # fmt: skip
    assert [(bar.start // 1000 - START_MS, bar.close) for bar in bars_of(loaded)] == [
        (0, 215.1), (5000, 215.1), (5000, 215.2),
    ]  # fmt: skip
    assert (loaded.repeats, loaded.outside) == (1, 1)
    assert [note[:20] for note in loaded.notes()] == ["1 rows repeat a seco", "1 rows long before t"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: b"\x00" * 1_000_000, "line 1: over 16,384 bytes long"),
        (lambda: HEADER.encode() + b"\n" + b"1" * 20_000, "line 2: over 16,384 bytes long"),
        (lambda: archive(b"0" * 50_000_000), "line 1: over 16,384 bytes long"),
        (lambda: archive(HEADER.encode() + b"\n" * 20_000_000), "unpacks to over 100 times its size"),
        (lambda: archive(HEADER.encode())[:-6] + b"\x00" * 6, "the archive is broken"),
    ],
    ids=[
        "zeros",
        "a long line",
        "a long line in an archive",
        "empty lines in an archive",
        "no archive's end",
    ],
)
def test_a_file_without_end_is_given_up(tmp_path: Path, content: Callable[[], bytes], words: str) -> None:
    """The contents are made for the test: to collect it need not pack 70 MB."""
    path = tmp_path / "bars.csv"
    path.write_bytes(content())
    with pytest.raises(BadFile, match=words) as caught:
        load([path], ["IWM"], lambda _: None)
    assert str(path) in str(caught.value)


cells = st.sampled_from(
    ["", " ", "0", "-1", "215", "215.1", "21510", "1e300", "-1e300", "nan", "inf", "1e-10", "1,234", '"1,234"', '"', "x",
     "1_0", "٣", "\x00", "\u202e", "0x10", "9" * 400, str(START_MS), "IWM", "1e6", "1e12", "0.01"]
)  # fmt: skip


@seed(10)
@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 7), cells), min_size=1, max_size=3), st.text(max_size=5))
def test_whatever_stands_in_a_row_it_costs_itself_only(changes: list[tuple[int, str]], tail: str) -> None:
    """Every row either makes a bar within the bounds or is counted, and the rows beside it are as they were."""
    good = f"IWM,{START_MS},215,215.2,214.9,215.1,500,215.05"
    odd = good.split(",")
    for place, text in changes:
        odd[place] = text
    line = (",".join(odd) + tail).replace("\n", " ").replace("\r", " ")
    with tempfile.TemporaryDirectory() as folder:
        loaded = loaded_of(
            Path(folder) / "bars.csv",
            good, line, good.replace(str(START_MS), str(START_MS + 9000)),
        )  # fmt: skip
    found = bars_of(loaded)
    assert loaded.bad + loaded.others.total() + loaded.outside + len(found) == loaded.rows
    assert {0, 9000} <= {bar.start // 1000 - START_MS for bar in found}
    for bar in found:
        assert (
            PRICE_MIN
            <= bar.low
            <= min(bar.open, bar.close)
            <= max(bar.open, bar.close)
            <= bar.high
            <= PRICE_MAX
        )
        assert 0 <= bar.volume < VOLUME_LIMIT
        assert bar.low * 0.99 <= bar.vwap <= bar.high * 1.01


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\n", "line 1: no column sym, start_ms"),
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
    assert capsys.readouterr().err.count("python -m review replay: ") == 2


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
