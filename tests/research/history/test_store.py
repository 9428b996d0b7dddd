"""The history on disk: a session is whole or absent, whatever happens to its files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from research.history.session import Block, PastSession, QuoteRow
from research.history.store import (
    BARS,
    BLOCKS,
    CALLS,
    QUOTES,
    SOURCE,
    History,
    HistoryError,
    State,
    with_blocks,
)
from tests.research.made import DAY, added, bare, source_of

NAME = DAY.isoformat()
FILES = (BARS, CALLS, QUOTES, BLOCKS, SOURCE)


def some() -> PastSession:
    """The session's first minutes, with a block of quotes and one that is empty."""
    past = bare()
    block = Block(past.calls[10].contract, past.session.open // 300_000_000)
    few = past._replace(bars=past.bars[:500])
    return with_blocks(added(few, [block]), [(Block("O:IWM250703C00500000", block.number), [])])


def stored(history: History, past: PastSession) -> dict[str, object]:
    """What a session holds, to be compared."""
    read = history.read("IWM", NAME)
    assert read.session == past.session
    return {
        "bars": list(read.bars),
        "calls": list(read.calls),
        "quotes": {name: (list(found.rows), found.known) for name, found in read.quotes.items()},
    }


def test_what_is_written_is_read_again_to_the_last_digit(tmp_path: Path) -> None:
    history, past = History(tmp_path), some()
    history.write(source_of(past), past)
    assert history.source("IWM", NAME) == source_of(past)
    assert stored(history, past) == {
        "bars": list(past.bars),
        "calls": list(past.calls),
        "quotes": {name: (list(found.rows), found.known) for name, found in past.quotes.items()},
    }
    assert history.symbols() == ["IWM"] and history.dates("IWM") == [NAME]
    assert sorted(path.name for path in (tmp_path / "IWM" / NAME).iterdir()) == sorted(FILES)


def test_a_session_that_is_written_again_replaces_the_old_one(tmp_path: Path) -> None:
    history, past = History(tmp_path), some()
    history.write(source_of(past, state=State.PARTIAL), past)
    history.write(source_of(past), past._replace(bars=past.bars[:10]))
    found = history.source("IWM", NAME)
    assert found is not None and found.state is State.WHOLE
    assert len(history.read("IWM", NAME).bars) == 10
    assert [path.name for path in (tmp_path / "IWM").iterdir()] == [NAME]


def test_a_block_that_is_there_is_not_changed_by_another_answer() -> None:
    past = some()
    block = Block(past.calls[10].contract, past.session.open // 300_000_000)
    again = with_blocks(past, [(block, [QuoteRow(block.start, 1, 2, 3.0, 4.0)])])
    assert again.quotes[block.contract].rows == past.quotes[block.contract].rows


@pytest.mark.parametrize("left", ["part", "old", "both"])
def test_what_a_killed_process_left_is_put_right(tmp_path: Path, left: str) -> None:
    history, past = History(tmp_path), some()
    history.write(source_of(past), past)
    home = tmp_path / "IWM" / NAME
    if left != "part":
        home.rename(home.with_name(f".{NAME}.17.old"))  # killed between the two renames
    if left != "old":
        (home.with_name(f".{NAME}.17.part")).mkdir()
    assert history.dates("IWM") == ([NAME] if left == "part" else [])
    history.mend("IWM")
    assert history.dates("IWM") == [NAME] and len(history.read("IWM", NAME).bars) == 500
    assert [path.name for path in (tmp_path / "IWM").iterdir()] == [NAME]


def test_a_file_that_cannot_be_written_leaves_what_was_there_and_nothing_half(tmp_path: Path) -> None:
    history, past = History(tmp_path), some()
    history.write(source_of(past), past)
    with pytest.raises(OSError):
        history.write(source_of(past), past._replace(bars=[]), record=tmp_path / "absent.jsonl")
    assert len(history.read("IWM", NAME).bars) == 500
    assert [path.name for path in (tmp_path / "IWM").iterdir()] == [NAME]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["absent", "empty", "torn", "other"])
def test_a_damaged_file_is_named_and_never_half_read(tmp_path: Path, name: str, damage: str) -> None:
    history, past = History(tmp_path), some()
    history.write(source_of(past), past)
    path = tmp_path / "IWM" / NAME / name
    data = path.read_bytes()
    if damage == "absent":
        path.unlink()
    elif damage == "other":
        pl.DataFrame({"x": [1]}).write_parquet(path)
    else:
        path.write_bytes(b"" if damage == "empty" else data[: len(data) // 2])
    with pytest.raises(HistoryError, match=r"fetch the session again|there is no session"):
        history.read("IWM", NAME)


def test_a_source_of_another_day_or_symbol_is_refused(tmp_path: Path) -> None:
    history, past = History(tmp_path), some()
    history.write(source_of(past), past)
    (tmp_path / "IWM" / NAME).rename(tmp_path / "IWM" / "2025-07-02")
    with pytest.raises(HistoryError, match="is of IWM on 2025-07-03, not of IWM on 2025-07-02"):
        history.source("IWM", "2025-07-02")


def test_empty_cells_are_damage(tmp_path: Path) -> None:
    history, past = History(tmp_path), some()
    history.write(source_of(past), past)
    path = tmp_path / "IWM" / NAME / CALLS
    table = pl.read_parquet(path)
    table.with_columns(pl.lit(None, dtype=pl.Int64).alias("strike")).select(table.columns).write_parquet(path)
    with pytest.raises(HistoryError, match="empty cells"):
        history.read("IWM", NAME)


@pytest.mark.parametrize(
    ("symbol", "day"), [("../x", NAME), ("IWM", ".."), ("iwm", NAME), ("IWM", "2025-7-3")]
)
def test_a_name_cannot_lead_out_of_the_history(tmp_path: Path, symbol: str, day: str) -> None:
    with pytest.raises(HistoryError, match="is no session's name"):
        History(tmp_path).read(symbol, day)


def test_other_things_in_the_folder_are_no_sessions(tmp_path: Path) -> None:
    history, past = History(tmp_path), some()
    assert history.symbols() == [] and history.dates("IWM") == []
    history.write(source_of(past), past)
    (tmp_path / "IWM" / "2025-07-04").mkdir()
    (tmp_path / "IWM" / "notes").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert history.dates("IWM") == [NAME] and history.symbols() == ["IWM"]
