"""``diagnose.py days``: the sessions of the book and their sums; a record that is not in the book is derived first."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from book import store
from book.rows import DayRow, Order
from config import Following
from events import SECOND
from followed import DELAYS_S, Fate
from record.journal import Journal
from record.reader import Reader
from review.day_rows import day_row
from review.days import main
from review.days_report import Asked, Range, lines
from rules import Rules
from tests.book.test_store import DAY, TRADE
from tests.builders import SESSION
from tests.review.days import EVENING, folder
from tests.review.test_sums import traded

__all__ = ["folder"]  # a fixture that the tests here use, too


@pytest.fixture
def place(folder: Path, tmp_path: Path) -> Path:
    """A folder of data of one's own, with the record of a session that had a BUY and its SELL."""
    shutil.copytree(folder / "sessions", tmp_path / "sessions")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: object, now: int = EVENING) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments], now)
    out, err = capsys.readouterr()
    return status, out, err


def unwrapped(text: str) -> str:
    return " ".join(text.split())


def told(days: list[DayRow], **changes: object) -> str:
    return "\n".join(lines(days, Asked(Path(), Range(), Following(**changes), EVENING)))  # type: ignore[arg-type]


# --- The book, made whole ----------------------------------------------------------------------------


def test_a_session_without_a_row_is_derived_from_its_record_and_entered(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "--data-dir", place)
    assert (status, err) == (0, "")
    assert out.startswith("1 session, 2025-10-02. 15 s: ")
    assert "\n2025-10-02 " in out
    (row,) = store.read(store.path_in(place))
    assert row == day_row(place / "sessions" / "2025-10-02.jsonl", Following())
    assert len(row.trades) == 1
    assert run(capsys, "--data-dir", place)[1] == out  # from the book


def test_a_row_says_that_the_market_was_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A part of the session is enough."""
    path = tmp_path / "sessions" / "2025-10-02.jsonl"
    path.parent.mkdir()
    for simulated in (True, False):
        journal = Journal(path)
        past = Reader(path) if path.exists() else None
        assert past is None or [*past]
        journal.begin(Rules(), SESSION, SESSION.open, past, simulated=simulated)
        journal.close()
    _, out, _ = run(capsys, "--data-dir", tmp_path)
    assert out.startswith("Simulated market. 1 session, 2025-10-02. ")
    (row,) = store.read(store.path_in(tmp_path))
    assert row.simulated
    store.enter(store.path_in(tmp_path), [replace(DAY, date="2025-10-01")])
    assert run(capsys, "--data-dir", tmp_path)[1].startswith("Simulated market on 1 of 2 days. 2 sessions")


def test_rows_outlive_their_records(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.enter(store.path_in(place), [replace(DAY, date="2024-01-02")])
    for arguments in ((), ("--rebuild",)):
        _, out, _ = run(capsys, "--data-dir", place, *arguments)
        assert "\n2024-01-02 " in out and "\n2025-10-02 " in out


def test_a_session_in_progress_is_not_entered(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--data-dir", place, now=SESSION.close + 600 * SECOND)
    assert (status, out) == (0, "No session in the book for these dates.\n")
    assert not store.path_in(place).exists()


def test_what_a_restart_forgot_is_derived_again(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = store.path_in(place)
    store.enter(path, [replace(DAY, miss_since=SESSION.open, evaluations=1)])
    run(capsys, "--data-dir", place)
    assert store.read(path)[0].evaluations > 1
    followed = dict.fromkeys(DELAYS_S, Order(Fate.UNPRICED, None, None))
    whole = replace(DAY, evaluations=1, trades=(replace(TRADE, followed=followed),))
    store.enter(path, [whole])
    run(capsys, "--data-dir", place)
    assert store.read(path)[0].evaluations == 1  # a whole row is believed
    run(capsys, "--data-dir", place, "--rebuild")
    assert store.read(path)[0].evaluations > 1


def test_another_delay_is_derived_from_the_records_that_are_left_and_said_to_be_missing_from_the_others(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.enter(store.path_in(place), [replace(DAY, date="2024-01-02")])
    run(capsys, "--data-dir", place)
    monkeypatch.setenv("FOLLOW_DELAY_SECONDS", "20")
    status, out, _ = run(capsys, "--data-dir", place)
    gone, kept = store.read(store.path_in(place))
    assert (gone.trades, set(kept.trades[0].followed)) == ((TRADE,), {*DELAYS_S, 20})
    assert status == 0 and "20 s: 0 trades; 1 not in the book at this delay; 1 not taken ← yours" in out


def test_a_row_stays_if_its_record_cannot_be_derived_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.enter(store.path_in(place), [replace(DAY, date="2025-10-01")])
    (place / "sessions" / "2025-10-01.jsonl").write_text("nothing that is a record\n")
    status, out, _ = run(capsys, "--data-dir", place)
    assert status == 0 and "⚠️ 2025-10-01 stays as it was entered: " in unwrapped(out)
    assert "\n2025-10-01 " in out


def test_a_damaged_book_is_said_and_a_rebuild_sets_it_aside(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.path_in(place)
    path.write_bytes(b"a letter" * 1000)
    status, out, err = run(capsys, "--data-dir", place)
    assert (status, out) == (1, "")
    assert "days --rebuild" in unwrapped(err)
    status, out, _ = run(capsys, "--data-dir", place, "--rebuild")
    assert status == 0 and "Set aside as book.sqlite.damaged-1." in out
    assert (place / "book.sqlite.damaged-1").read_bytes() == b"a letter" * 1000
    assert len(store.read(path)) == 1


def test_a_rebuild_leaves_a_book_that_only_cannot_be_used_now(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.path_in(place)
    store.enter(path, [replace(DAY, date="2024-01-02")])
    with closing(sqlite3.connect(path)) as book:
        book.execute(f"PRAGMA user_version = {store.SCHEMA + 1}")
    before = path.read_bytes()
    status, out, err = run(capsys, "--data-dir", place, "--rebuild")
    assert (status, out) == (1, "") and "written by a later version" in unwrapped(err)
    assert path.read_bytes() == before and len(list(place.glob("book*"))) == 1


def test_a_damaged_record_costs_its_own_row(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = place / "sessions" / "2025-10-01.jsonl"
    other.write_text("nothing that is a record\n")
    status, out, _ = run(capsys, "--data-dir", place)
    assert status == 0 and "⚠️ 2025-10-01 is not entered: " in unwrapped(out) and "\n2025-10-02 " in out


def test_a_book_that_cannot_be_written_is_said_and_the_days_are_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.path_in(place).symlink_to(place / "nowhere")
    status, _, err = run(capsys, "--data-dir", place)
    assert status == 1 and "not an ordinary file" in unwrapped(err)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "--data-dir", tmp_path / "data")
    assert status == 1 and "is no folder" in unwrapped(err)
    assert list(tmp_path.iterdir()) == []


# --- Which days --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2025-10-02", ["2025-10-02"]),
        ("2025-10-02..", ["2025-10-02", "2025-10-03"]),
        ("..2025-10-02", ["2025-10-01", "2025-10-02"]),
        ("2025-10-01..2025-10-02", ["2025-10-01", "2025-10-02"]),
        ("..", ["2025-10-01", "2025-10-02", "2025-10-03"]),
        ("2025-11-01..", []),
    ],
)
def test_dates_name_a_range_with_both_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, found: list[str]
) -> None:
    dates = ("2025-10-01", "2025-10-02", "2025-10-03")
    store.enter(store.path_in(tmp_path), [replace(DAY, date=date) for date in dates])
    status, out, _ = run(capsys, text, "--data-dir", tmp_path)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith("2025-")] == found


@pytest.mark.parametrize(
    "text", ["2025-10-03..2025-10-02", "2025-13-01", "october", "2025-10-012025-10-02", ""]
)
def test_what_is_no_range_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([text], EVENING)
    assert ended.value.code == 2
    assert "FROM..TO" in capsys.readouterr().err


# --- In words ----------------------------------------------------------------------------------------


def test_a_days_row_has_each_delays_result_and_the_nearest_miss() -> None:
    text = told([traded(20.0, -5.5, Fate.OVER_LIMIT)], fee_per_contract=0.0)
    (row,) = [line for line in text.splitlines() if line.startswith("2025-10-02")]
    assert row.split() == [
        *("2025-10-02", "6h28m", "1m00s", "3", "1", "—", "—", "+$14", "—", "—", "09:33:20", "volume_surge")
    ]


def test_the_sums_lead_with_the_owners_delay_and_never_without_their_number() -> None:
    days = [traded(10.0, -4.0, date=f"2025-10-0{number}") for number in range(1, 7)]
    text = told(days, fee_per_contract=0.0)
    assert text.startswith(
        "6 sessions, 2025-10-01 to 2025-10-06. 15 s: 12 trades, 6 up, 6 down, +$36; mean +$3.00"
    )
    assert "15 s: 12 trades, 6 up, 6 down, +$36; mean +$3.00 (n 12, 95%: +$3.00 to +$3.00) ← yours" in text
    assert "  0 s: 0 trades; 12 not in the book at this delay" in text


def test_too_few_days_get_a_mean_with_its_number_and_no_interval() -> None:
    assert "15 s: 1 trade, 1 up, 0 down, +$20; mean +$20.00 (n 1)" in told(
        [traded(20.0)], fee_per_contract=0.0
    )


def test_no_line_is_wider_than_a_terminal() -> None:
    days = [traded(10.0, -400.0, date=f"2025-10-0{number}") for number in range(1, 7)]
    assert max(map(len, told(days).splitlines())) <= 110


def test_the_same_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.enter(store.path_in(tmp_path), [traded(20.0)])
    status, out, _ = run(capsys, "--json", "--data-dir", tmp_path)
    data = json.loads(out)
    assert status == 0
    assert data["days"][0]["dollars"] == {"0": 0, "5": 0, "15": 18.7, "30": 0, "60": 0}
    assert data["days"][0]["trades"][0]["followed"]["15"] == {"fate": "taken", "paid": 10_000, "got": 12_000}
    assert [(total["delay_s"], total["trades"]) for total in data["sums"]] == [
        (0, 0),
        (5, 0),
        (15, 1),
        (30, 0),
        (60, 0),
    ]
