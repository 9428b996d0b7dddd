"""What earlier starts have left, when a part of it cannot be read or used: what matters ends the start, the rest is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from record.folder import Kind, is_beginning, look_at, misnamed, record_path, tidy
from record.lines import Header
from record.past import at_start, changed
from record.reader import Damage, read
from record.upgrade import rules_of
from rules import Rules
from tests.record.test_foreign import TODAY, content

BEFORE = ("2025-09-29", "2025-09-30", "2025-10-01")


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    folder = tmp_path / "sessions"
    folder.mkdir()
    return folder


def lay(folder: Path, date: str, left: str = "closed", *, is_damaged: bool = False) -> Path:
    """Puts a record into the folder: damaged in its middle, so that its header can still be read."""
    path = folder / f"{date}.jsonl"
    text = content(date, left)
    middle = len(text) // 2
    path.write_bytes(text[:middle] + b"\0" + text[middle + 1 :] if is_damaged else text)
    return path


def test_of_older_days_one_that_cannot_be_read_keeps_nobody_from_a_later_position(
    tmp_path: Path, sessions: Path
) -> None:
    lay(sessions, BEFORE[0], "open", is_damaged=True)
    lay(sessions, BEFORE[2], "open")
    found = at_start(tmp_path, TODAY)
    assert [left.path.name for left in found.unsettled] == [f"{BEFORE[2]}.jsonl"]


def test_the_newest_that_cannot_be_read_ends_the_start(tmp_path: Path, sessions: Path) -> None:
    lay(sessions, BEFORE[0], "open")
    lay(sessions, BEFORE[2], "open", is_damaged=True)
    with pytest.raises(Damage):
        at_start(tmp_path, TODAY)


def test_one_that_is_packed_is_opened_only_as_the_newest(tmp_path: Path, sessions: Path) -> None:
    for date in BEFORE:
        (sessions / f"{date}.jsonl.gz").write_bytes(gzip.compress(content(date, "open"), mtime=0))
    with capture_logs() as logs:
        found = at_start(tmp_path, TODAY)
    assert [left.path.name for left in found.unsettled] == [f"{BEFORE[2]}.jsonl"]
    assert [line["event"] for line in logs] == ["record_unpacked"]


def test_a_later_days_record_that_cannot_be_read_is_no_position(tmp_path: Path, sessions: Path) -> None:
    lay(sessions, "2025-10-06", "open", is_damaged=True)
    with capture_logs() as logs:
        assert at_start(tmp_path, TODAY) == (None, [])
    assert "later_position" not in [line["event"] for line in logs]


def test_a_packed_record_beside_todays_that_cannot_be_read_does_not_end_the_start(
    tmp_path: Path, sessions: Path
) -> None:
    path = lay(sessions, TODAY, "open")
    packed = path.with_name(f"{path.name}.gz")
    text = path.read_bytes()
    decided = text.index(b'"type":"opened"') + 20
    packed.write_bytes(gzip.compress(text[:decided] + b"\0" + text[decided + 1 :], mtime=0))
    assert look_at(packed).kind is Kind.RECORD, "its beginning is whole"
    own = at_start(tmp_path, TODAY).own
    assert own is not None
    assert own.open is not None


def test_a_packed_record_without_a_packed_ones_name_is_said_to_be_renamed(
    tmp_path: Path, sessions: Path
) -> None:
    path = sessions / f"{TODAY}.jsonl"
    path.write_bytes(gzip.compress(content(TODAY, "open"), mtime=0))
    with pytest.raises(Damage, match=rf"rename it to {path.name}\.gz"):
        at_start(tmp_path, TODAY)


def test_a_packed_record_that_breaks_off_is_no_beginning_of_another(sessions: Path) -> None:
    path = lay(sessions, TODAY)
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    assert is_beginning(packed, path)
    packed.write_bytes(packed.read_bytes()[:-12])
    assert not is_beginning(packed, path)
    packed.unlink()
    assert not is_beginning(packed, path)


def test_what_is_named_like_a_record_and_is_none_is_told_by_its_date(tmp_path: Path, sessions: Path) -> None:
    other = lay(sessions, TODAY)
    other.rename(sessions / f"{BEFORE[1]}.jsonl")
    (sessions / f"{BEFORE[0]}.jsonl").mkdir()
    (sessions / "notes.txt").touch()
    assert misnamed(tmp_path) == {
        BEFORE[0]: f"{sessions}/{BEFORE[0]}.jsonl: is a folder, not a record",
        BEFORE[1]: f"{sessions}/{BEFORE[1]}.jsonl: holds the session of {TODAY}, not of {BEFORE[1]}",
    }
    assert misnamed(tmp_path / ("a" * 300)) == {}


def test_a_folder_that_cannot_be_looked_through_is_not_tidied_and_said(tmp_path: Path) -> None:
    (tmp_path / "sessions").write_bytes(b"mine")
    with capture_logs() as logs:
        tidy(tmp_path, 1, TODAY)
    assert [line["event"] for line in logs] == ["folder_not_tidied"]
    assert (tmp_path / "sessions").read_bytes() == b"mine"


# --- Rules ---


def test_rules_that_this_version_cannot_use_are_damage(tmp_path: Path, sessions: Path) -> None:
    path = lay(sessions, TODAY)
    header = read(path).lines[0]
    assert isinstance(header, Header)
    assert rules_of(path, header) == Rules()
    unusable = replace(header, rules={**header.rules, "stop_loss_percent": "lots"})
    with pytest.raises(Damage, match=r"its rules cannot be used by this version.*STOP_LOSS_PERCENT"):
        rules_of(record_path(tmp_path, TODAY), unusable)


def test_only_rules_that_differ_are_named() -> None:
    assert changed(Rules(), Rules()) == ""
    assert changed(Rules(stop_loss_percent=14.0), Rules(stop_loss_percent=15.0, symbol="QQQ")) == (
        "SYMBOL IWM → QQQ, STOP_LOSS_PERCENT 14.0 → 15.0"
    )
