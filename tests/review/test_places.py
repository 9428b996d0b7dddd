"""What the commands on records read and write: a date finds its record, odd files cost a line, nothing is overwritten."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from config import variable_names
from events import SECOND, Tick
from record.folder import pack, record_path
from review import why
from review.__main__ import main
from review.places import Choice, NoSession, Unusable, check_own, claim, find, named, spoken
from review.trace import COLUMNS, TRACE_BEGINS
from rules import Rules
from tests.builders import SESSION, at
from tests.made_day import Made
from tests.made_record import resealed
from tests.measured import measured
from tests.review.records import record_in

ROOT = Path(__file__).parent.parent.parent
NOW = SESSION.close + 3_600 * SECOND
TRACE = ",".join(COLUMNS) + "\n"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DATA_DIR with one record, named by the environment, in a folder without a ``.env``."""
    for name in variable_names():
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "data"
    record_in(folder)
    monkeypatch.setenv("DATA_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


# --- A record by its date ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("command", ["verify", "replay"])
def test_a_date_finds_its_record_packed_or_not(
    data: Path, command: str, is_packed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data / "sessions" / "2025-10-02.jsonl"
    path = pack(path) if is_packed else path
    assert main([command, "2025-10-02"]) == 0
    assert (f"✓ {path}: 2025-10-02, 3 facts" if command == "verify" else "Session 2025-10-02") in (
        capsys.readouterr().out
    )


def test_a_record_that_was_packed_since_is_found_by_its_old_name(data: Path) -> None:
    path = data / "sessions" / "2025-10-02.jsonl"
    assert named(f"{path}.gz", NOW).path == path
    packed = pack(path)
    assert named(str(path), NOW).path == packed
    assert main(["verify", str(path)]) == 0
    other = packed.with_name("notes.txt.gz")
    other.write_bytes(b"")
    assert named(str(other.with_suffix("")), NOW).path == other.with_suffix("")


@pytest.mark.parametrize(
    ("word", "error", "text"),
    [
        ("2025-10-01", Unusable, "no record of Wed 1 Oct 2025"),
        ("2025-10-04", NoSession, "it was a weekend"),
        ("2025-10-06", NoSession, "its session opens"),
        ("2025-13-01", Unusable, "there is no such date"),
    ],
)
def test_a_date_without_a_record_is_said(
    data: Path, word: str, error: type[Exception], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error, match=text):
        named(word, NOW)
    for command in ("verify", "replay"):
        assert main([command, word]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith(f"python -m review {command}: ")
        assert not captured.out


def test_a_name_is_no_proof_of_the_session(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data / "sessions" / "2025-10-02.jsonl"
    path.rename(path.with_name("2025-10-01.jsonl"))
    assert main(["verify", "2025-10-01"]) == 2
    assert "2025-10-01.jsonl: holds the session of 2025-10-02, not of 2025-10-01" in capsys.readouterr().err
    assert main(["replay", "2025-10-01"]) == 2
    assert "holds the session of 2025-10-02" in capsys.readouterr().err
    # Given as a file, it is what its header says.
    assert main(["verify", str(path.with_name("2025-10-01.jsonl"))]) == 0


def test_a_start_in_another_session_is_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "2025-10-02.jsonl"
    story = Made(path)
    story.start(SESSION.open)
    story.tell(at(1), Tick())
    day = 86_400 * SECOND
    other = replace(SESSION, date="2025-10-03", open=SESSION.open + day, close=SESSION.close + day)
    story.start(at(2), Rules(), other)
    story.journal.close()
    assert main(["verify", str(path)]) == 1
    assert "line 3: a header of session 2025-10-03 in the record of 2025-10-02" in capsys.readouterr().out


def test_bad_settings_are_said_where_a_date_needs_them(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STALL_SECONDS", "soon")
    for command in ("verify", "replay"):
        assert main([command, "2025-10-02"]) == 2
        assert "STALL_SECONDS: got 'soon'" in capsys.readouterr().err
    assert main(["verify", str(data / "sessions" / "2025-10-02.jsonl")]) == 0  # a file needs no settings


# --- Odd files ---------------------------------------------------------------------------------------


def fifo(path: Path) -> None:
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def bytes_of(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


ODD: dict[str, Callable[[Path], None]] = {
    "fifo": fifo,
    "folder": Path.mkdir,
    "loop": loop,
    "dangling": lambda path: path.symlink_to("nowhere"),
    "link": lambda path: path.symlink_to(shutil.copy(__file__, path.with_name("target"))),
    "empty": bytes_of(b""),
    "zeros": bytes_of(b"\0" * 5_000),
    "letter": bytes_of(b"Dear reader,\n\nnothing here is a record.\n"),
    "not UTF-8": bytes_of(b'{"type":"header","version":"\xff\xfe"} 00000000\n'),
    "one huge line": bytes_of(b"[" * 3_000_000),
    "deep": bytes_of(b"[" * 50_000 + b"]" * 50_000 + b"\n"),
    "foreign archive": bytes_of(gzip.compress(b"a letter\n" * 100, mtime=0)),
    "no archive": bytes_of(b"\x1f\x8b" + b"\0" * 40),
    "lone surrogate": bytes_of(b'{"type":"header","version":"\\ud800"} 00000000\n'),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_file_costs_a_line_and_no_traceback(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "2025-10-02.jsonl"
    ODD[kind](path)
    runs: list[tuple[Callable[[], int], tuple[int, ...]]] = [
        (lambda: main(["verify", str(path)]), (1, 2)),
        (lambda: main(["replay", str(path)]), (2,)),
        (lambda: why.main(["--data-dir", str(path)], NOW), (1,)),
        (lambda: main(["replay", "--bars", str(path)]), (2,)),
    ]
    for run, statuses in runs:
        assert run() in statuses
        captured = capsys.readouterr()
        said = captured.err + captured.out
        # A folder in place of one record is a DATA_DIR without any.
        assert str(path) in said.replace("\n", "") or "no record in" in said
        assert "Traceback" not in said


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=400), st.text(max_size=200).map(str.encode)), place=st.integers(0, 3)
)
def test_no_content_ends_in_a_traceback(
    tmp_path: Path, content: bytes, place: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything in place of a record, behind some of its lines, or instead of its end."""
    good = record_in(tmp_path / "made").read_bytes()
    lines = good.splitlines(keepends=True)
    (tmp_path / "made" / "sessions" / "2025-10-02.jsonl").unlink()
    path = tmp_path / "record"
    path.write_bytes(b"".join(lines[:place]) + content)
    status = main(["verify", str(path)])
    assert status in ((1,) if content or not place else (0,))
    assert main(["replay", str(path)]) in (0, 2)
    assert why.main(["--data-dir", str(path)], NOW) in (0, 1)
    capsys.readouterr()


# --- Files of its own --------------------------------------------------------------------------------


def test_a_trace_is_written_over_a_trace_and_over_nothing_else(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = data / "sessions" / "2025-10-02.jsonl"
    mine = tmp_path / "rows.csv"
    old = ",".join(["time", "symbol", "price"]) + ",vwap_1m\n"
    for before in ("sym,start_ms,open\n", "time,symbol\n", old):
        mine.write_text(before, encoding="utf-8")
        assert main(["replay", str(record), "--trace", str(mine)]) == 2
        assert f"--trace {mine}: already holds something that is not ours" in capsys.readouterr().err
        assert mine.read_text(encoding="utf-8") == before
    for before in ("", TRACE + "1,2,3\n" * 9, TRACE.replace("met_", "")):
        mine.write_text(before, encoding="utf-8")
        assert main(["replay", str(record), "--trace", str(mine)]) == 0
        assert mine.read_text(encoding="utf-8") == TRACE
    assert main(["replay", str(record), "--trace", str(tmp_path / "new.csv")]) == 0


@pytest.mark.parametrize(
    "name", ["2025-10-01.jsonl", "2025-10-01.jsonl.gz", "2025-10-03.jsonl", "2025-10-02.jsonl"]
)
def test_a_trace_never_takes_the_place_of_a_record(
    data: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = data / "sessions" / "2025-10-02.jsonl"
    other = record.with_name("2025-10-01.jsonl")
    shutil.copy(record, other)
    if name.endswith(".gz"):
        pack(other)
    before = {path.name: path.read_bytes() for path in record.parent.iterdir()}
    assert main(["replay", str(record), "--trace", str(record.with_name(name))]) == 2
    assert "has the name of a session's record; choose another file" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in record.parent.iterdir()} == before


@pytest.mark.parametrize("kind", ["fifo", "folder", "loop", "dangling", "link"])
def test_what_is_no_ordinary_file_is_not_written_to(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    ODD[kind](path)
    names = sorted(os.listdir(tmp_path))
    with pytest.raises(Unusable, match=r"^--trace .*rows\.csv: "):
        claim(path, "--trace", TRACE_BEGINS)
    assert sorted(os.listdir(tmp_path)) == names


@given(content=st.binary(min_size=1, max_size=60).filter(lambda drawn: not drawn.startswith(TRACE_BEGINS)))
def test_no_other_file_is_ever_claimed(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        with pytest.raises(Unusable):
            check_own(path, "--trace", TRACE_BEGINS)
        with pytest.raises(Unusable):
            claim(path, "--trace", TRACE_BEGINS)
        assert path.read_bytes() == content


def test_the_command_line_says_it_in_a_process_of_its_own(data: Path, tmp_path: Path) -> None:
    fifo(tmp_path / "pipe")
    done = subprocess.run(
        [sys.executable, "-m", "review", "verify", "2025-10-02", str(tmp_path / "pipe")],
        cwd=ROOT,
        env={**os.environ, **measured(), "DATA_DIR": str(data)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"python -m review verify: {tmp_path / 'pipe'}: is not an ordinary file\n"
    assert not done.stdout


# --- Whole lines that no program wrote ---------------------------------------------------------------


def header_with(**changes: Any) -> Callable[[list[bytes]], None]:
    def edit(texts: list[bytes]) -> None:
        texts[0] = msgspec.json.encode({**msgspec.json.decode(texts[0]), **changes})

    return edit


def session_with(**changes: Any) -> Callable[[list[bytes]], None]:
    return header_with(session={**msgspec.to_builtins(SESSION), **changes})


def line_with(text: bytes) -> Callable[[list[bytes]], None]:
    def edit(texts: list[bytes]) -> None:
        texts[1:] = [text]

    return edit


def nested(texts: list[bytes]) -> None:
    texts[0] = texts[0].replace(b'"rules":{', b'"rules":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b",")


@pytest.mark.parametrize(
    "edit",
    [
        session_with(open=0),
        session_with(close=2**60),
        session_with(close=SESSION.open),
        session_with(date="x"),
        session_with(date="\x1b[2J"),
        header_with(now=2**62),
        header_with(now=-5),
        header_with(rules={"symbol": 3}),
        header_with(rules={**Rules().model_dump(mode="json"), "lag_bars": None}),
        header_with(rules={**Rules().model_dump(mode="json"), "symbol": "I\0M"}),
        line_with(b'[9223372036854775807,1,{"type":"tick"}]'),
        line_with(b'[0,1,{"type":"tick"}]'),
        nested,
    ],
)
def test_what_no_program_wrote_is_damage_in_a_line(
    data: Path,
    tmp_path: Path,
    edit: Callable[[list[bytes]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = resealed(data / "sessions" / "2025-10-02.jsonl", tmp_path / "forged.jsonl", edit)
    assert main(["verify", str(copy)]) == 1
    assert capsys.readouterr().out.startswith(f"✗ {copy}, line ")
    assert main(["replay", str(copy)]) in (0, 2)
    assert why.main(["--data-dir", str(copy)], NOW) in (0, 1, 2)
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkdir, "is a folder"),
        (os.mkfifo, "is not an ordinary file"),
        (lambda place: os.symlink("nowhere", place), "is a link"),
    ],
)
def test_what_stands_in_a_records_place_is_named_and_not_taken_for_none(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    place = record_path(tmp_path, "2025-10-02")
    place.parent.mkdir()
    make(place)
    with pytest.raises(Unusable, match=rf"2025-10-02\.jsonl: {words}, not a record"):
        find(tmp_path, date(2025, 10, 2), at(0))


def test_a_folder_of_records_that_cannot_be_looked_through_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_bytes(b"mine")
    with pytest.raises(Unusable, match=r"sessions: cannot be listed \(Not a directory\)"):
        find(tmp_path, date(2025, 10, 2), at(0))


@pytest.mark.parametrize(
    ("word", "second", "day"),
    [
        ("today", 0, "2025-10-02"),
        ("today", 3 * 86_400, "2025-10-05"),
        ("yesterday", 0, "2025-10-01"),
        ("yesterday", 40_000, "2025-10-01"),
        ("yesterday", 4 * 86_400, "2025-10-03"),  # on a Monday, the Friday
    ],
)
def test_today_and_yesterday_are_dates(word: str, second: int, day: str) -> None:
    assert spoken(word, at(second)) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("second", "dated"),
    [(23_399, "2025-09-30"), (23_400, "2025-10-02"), (40 * 86_400, "2025-10-02")],
)
def test_last_is_the_newest_record_whose_session_is_over(tmp_path: Path, second: int, dated: str) -> None:
    """Days without a record are passed over, unlike those that yesterday names."""
    (tmp_path / "sessions").mkdir()
    for day in ("2025-09-30", "2025-10-02"):
        record_path(tmp_path, day).touch()
    assert find(tmp_path, "last", at(second)).date == dated
    with pytest.raises(Unusable, match=r"no record of Wed 1 Oct 2025 .* Records: 2025-09-30, 2025-10-02\."):
        find(tmp_path, "yesterday", at(0))


def test_without_a_session_that_is_over_there_is_no_last(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    path = record_path(tmp_path, "2025-10-02")
    path.touch()
    with pytest.raises(Unusable, match=r"of a session that is over\. Records: 2025-10-02\."):
        find(tmp_path, "last", at(0))
    assert find(path, "last", at(0)) == Choice(path)


def test_the_newest_of_our_own_folder_asks_for_the_program(data: Path) -> None:
    day = 24 * 3_600
    note = find(None, None, at(day + 60)).note
    assert note == "Today (2025-10-03) has no record: this is the newest. Is the program running?"
    assert find(data, None, at(day + 60)).note == "Today (2025-10-03) has no record: this is the newest."
