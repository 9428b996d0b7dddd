"""The book on the disk: what is entered is read, and what is not ours, or damaged, is left alone and said."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from book import store
from book.rows import DayRow, Order, TradeRow
from book.store import BookError, enter, path_in, read, set_aside
from tests.refusals import ordinary_user, users_folder

TRADE = TradeRow(
    id="7f3a91",
    contract="O:IWM251002C00215000",
    strike=215_000,
    opened_at=1_759_415_000_000_000,
    closed_at=1_759_415_100_000_000,
    reason="hard_giveback",
    entry=14_100,
    mark=15_000,
    peak=16_000,
    followed={0: Order("taken", 14_100, 14_900), 15: Order("not taken", 15_600, None)},
)
DAY = DayRow(
    date="2025-10-02",
    symbol="IWM",
    version="1.1.0",
    rules="c8b45eab",
    open=1_759_411_800_000_000,
    close=1_759_435_200_000_000,
    seen_s=23_300,
    blind_s=60,
    away_s=40,
    evaluations=17_410,
    signals=3,
    entries=1,
    withdrawn=0,
    miss_at=1_759_412_000_000_000,
    miss="volume 3,912, needed 4,105: 5% short",
    miss_condition="volume_surge",
    trades=(TRADE,),
)
QUIET = replace(DAY, date="2025-10-03", entries=0, trades=(), miss_at=None, miss="", miss_condition="")


def test_what_is_entered_is_read(tmp_path: Path) -> None:
    path = path_in(tmp_path / "data")  # its folder is made, too
    enter(path, [QUIET, DAY])
    assert read(path) == [DAY, QUIET]
    assert read(path, "2025-10-03") == [QUIET]
    assert read(path, last="2025-10-02") == [DAY]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_session_that_is_entered_again_is_replaced(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    enter(path, [DAY])
    other = replace(DAY, seen_s=1, trades=(replace(TRADE, id="aaaaaa"),))
    enter(path, [other])
    assert read(path) == [other]


def test_trades_come_in_the_order_of_their_entries(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    late, early = replace(TRADE, id="000001", opened_at=9), replace(TRADE, id="ffffff", opened_at=3)
    enter(path, [replace(DAY, trades=(early, late))])
    assert [trade.id for trade in read(path)[0].trades] == ["ffffff", "000001"]


def test_no_book_has_no_session(tmp_path: Path) -> None:
    assert read(path_in(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"hello, I am a letter of love, not a database" * 100, b"SQLite format 3\0" + b"\xff" * 4_000]
)
def test_a_damaged_book_is_said_and_kept(tmp_path: Path, content: bytes) -> None:
    path = path_in(tmp_path)
    path.write_bytes(content)
    for use in (lambda: read(path), lambda: enter(path, [DAY])):
        with pytest.raises(BookError, match=r"damaged .*days --rebuild"):
            use()
    assert path.read_bytes() == content
    assert set_aside(path).read_bytes() == content
    enter(path, [DAY])
    assert read(path) == [DAY]


def test_books_that_are_set_aside_keep_their_names_apart(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        path_in(tmp_path).write_bytes(b"x")
        names.append(set_aside(path_in(tmp_path)).name)
    assert names == ["book.sqlite.damaged-1", "book.sqlite.damaged-2"]


@pytest.mark.parametrize(
    ("facts", "table"),
    [("{}", "day"), ("no JSON", "day"), ('{"date": "2025-10-03"}', "day"), ("[]", "trade")],
)
def test_a_row_that_cannot_be_read_is_damage(tmp_path: Path, facts: str, table: str) -> None:
    path = path_in(tmp_path)
    enter(path, [DAY])
    with sqlite3.connect(path) as book:
        book.execute(f"UPDATE {table} SET facts = ?", (facts,))
    book.close()
    with pytest.raises(BookError, match="damaged"):
        read(path)


def test_a_row_of_another_day_is_damage(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    enter(path, [replace(DAY, trades=())])
    with sqlite3.connect(path) as book:
        book.execute("UPDATE day SET date = '2025-10-09'")
    book.close()
    with pytest.raises(BookError, match="the row of 2025-10-09 holds 2025-10-02"):
        read(path)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE photo (name TEXT)")
    other.close()
    before = path.read_bytes()
    for use in (lambda: read(path), lambda: enter(path, [DAY])):
        with pytest.raises(BookError, match="a database of another program; move it away"):
            use()
    assert path.read_bytes() == before


def test_a_book_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    enter(path, [DAY])
    with sqlite3.connect(path) as book:
        book.execute(f"PRAGMA user_version = {store.SCHEMA + 1}")
    book.close()
    with pytest.raises(BookError, match="written by a later version"):
        enter(path, [QUIET])


def test_an_empty_file_becomes_a_book_when_it_is_written_and_not_when_it_is_read(tmp_path: Path) -> None:
    """A writer was cut off, or is about to write."""
    path = path_in(tmp_path)
    path.touch()
    assert read(path) == []
    assert path.read_bytes() == b""
    enter(path, [DAY])
    assert read(path) == [DAY]


def test_what_is_no_file_is_not_followed(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    (tmp_path / "elsewhere").touch()
    path.symlink_to(tmp_path / "elsewhere")
    for use in (lambda: read(path), lambda: enter(path, [DAY])):
        with pytest.raises(BookError, match="not an ordinary file"):
            use()
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(BookError, match=r"Not a directory|File exists"):
        enter(path_in(tmp_path / "data"), [DAY])


def test_a_writer_that_another_one_keeps_waiting_says_so(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    enter(path, [DAY])
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert read(path) == [DAY]  # a reader need not wait
        with pytest.raises(BookError, match="locked"):
            enter(path, [QUIET], wait_s=0.05)
    finally:
        other.close()
    enter(path, [QUIET])
    assert read(path) == [DAY, QUIET]


def test_what_a_failed_writer_began_is_undone(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    enter(path, [DAY])
    twice = replace(QUIET, trades=(TRADE, TRADE))
    with pytest.raises(BookError):
        enter(path, [replace(DAY, seen_s=1), twice])
    assert read(path) == [DAY]


def _die_while_writing(path: Path) -> None:
    book = sqlite3.connect(path, isolation_level=None)
    book.execute("PRAGMA cache_size = 1")  # so that pages are written before the end of the transaction
    book.execute("BEGIN IMMEDIATE")
    book.execute("DELETE FROM trade")
    book.executemany("INSERT INTO day VALUES (?, ?)", [(f"{number}", "x" * 3_000) for number in range(100)])
    os._exit(0)


def killed_while_writing(path: Path) -> None:
    """A book as a writer leaves it that is killed half way: some of its pages are written, and their journal is beside it."""
    writer = multiprocessing.get_context("spawn").Process(target=_die_while_writing, args=(path,))
    writer.start()
    writer.join()
    assert path.with_name("book.sqlite-journal").exists()


def test_a_reader_undoes_what_a_killed_writer_left(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    enter(path, [DAY])
    killed_while_writing(path)
    assert read(path) == [DAY]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_journal_is_set_aside_with_its_book(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    enter(path, [DAY])
    killed_while_writing(path)
    aside = set_aside(path)
    enter(path, [QUIET])
    assert (read(path), read(aside)) == ([QUIET], [DAY])


def test_a_book_that_may_only_be_read_is_read() -> None:
    with users_folder() as folder, ordinary_user():
        path = path_in(folder)
        enter(path, [DAY])
        path.chmod(0o400)
        assert read(path) == [DAY]
        with pytest.raises(BookError, match="readonly"):
            enter(path, [QUIET])
        path.chmod(0)
        for use in (lambda: read(path), lambda: enter(path, [QUIET])):
            with pytest.raises(BookError, match="this user may not read it"):
                use()
