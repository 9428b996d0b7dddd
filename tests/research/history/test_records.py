"""The live program's records as sessions of the history."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from events import SECOND, Bar, Covered, FeedRestored
from record.journal import Journal
from record.lines import Entry
from record.reader import Damage, Reader
from research.history.imported import from_record, write
from research.history.records import read_record
from research.history.session import BLOCK_US, Told
from research.history.store import RECORD, History, HistoryError, Origin, Source, State
from rules import Rules
from tests.made_record import resealed
from tests.research.made import DAY, bare, final_bars, session
from tests.research.recorded import END, climbing, recorded, with_usual_seconds

NAME = DAY.isoformat()


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record."""
    return recorded(tmp_path_factory.mktemp("record"))


def test_bars_are_the_last_print_of_each_second(record: Path) -> None:
    past = read_record(record, END).past
    known = {(bar.start, bar.symbol): bar for bar in final_bars(climbing())}
    found = {(bar.start, bar.symbol): bar for bar in past.bars}
    prints: dict[tuple[int, str], Bar] = {}
    for line in Reader(record):
        if isinstance(line, Entry) and isinstance(line.event, Bar):
            prints[line.event.start, line.event.symbol] = line.event
    hours = {key: bar for key, bar in prints.items() if session().open <= key[0] < session().close}
    assert found == hours and list(found) == sorted(found)
    assert sum(found[key] == known[key] for key in found) > 0.95 * len(found)


def test_calls_and_quotes_are_those_that_the_program_saw(record: Path) -> None:
    past = read_record(record, END).past
    assert {call.contract for call in past.calls} <= {call.contract for call in bare().calls}
    nearest = min(past.calls, key=lambda call: abs(call.strike / 1_000 - past.bars[0].close))
    quotes = past.quotes[nearest.contract]
    first = session().open // BLOCK_US
    assert first in quotes.known and list(quotes.rows) == sorted(quotes.rows)
    at = session().open + 120 * SECOND
    standing, made = quotes.standing(at), climbing().quote(nearest.contract, at)
    assert standing is not None and made is not None
    assert standing.bid == round(made.bid * 10_000)


def test_a_record_is_kept_whole_and_packed_beside_what_was_taken_from_it(
    record: Path, tmp_path: Path
) -> None:
    history = with_usual_seconds(History(tmp_path))
    ready = from_record(history, record, END)
    write(history, ready, is_replacing=False)
    source = history.source("IWM", NAME)
    assert source == ready.source and source.kind is Origin.RECORD and source.state is State.WHOLE
    assert source.simulated and source.origin == record.name
    kept = history.record("IWM", NAME)
    assert kept == tmp_path / "IWM" / NAME / RECORD
    assert gzip.decompress(kept.read_bytes()) == record.read_bytes()
    assert list(history.read("IWM", NAME).bars) == list(ready.past.bars)
    packed = tmp_path / "other.gz"
    packed.write_bytes(kept.read_bytes())
    write(history, from_record(history, packed, END), is_replacing=False)
    assert history.record("IWM", NAME).read_bytes() == packed.read_bytes()


def test_a_session_from_elsewhere_is_only_replaced_on_request(record: Path, tmp_path: Path) -> None:
    history, past = History(tmp_path), bare()._replace(bars=bare().bars[:10])
    history.write(
        Source(symbol="IWM", benchmark="SPY", date=NAME, kind=Origin.VENDOR, origin="http://127.0.0.1"), past
    )
    ready = from_record(history, record, END)
    with pytest.raises(HistoryError, match=r"\(vendor: http://127.0.0.1\); --replace replaces it"):
        write(history, ready, is_replacing=False)
    assert len(history.read("IWM", NAME).bars) == 10
    write(history, ready, is_replacing=True)
    assert len(history.read("IWM", NAME).bars) == len(ready.past.bars)
    with pytest.raises(HistoryError, match="another of the files has the session of IWM on 2025-07-03 too"):
        write(history, ready, is_replacing=True, before={("IWM", NAME)})


def test_a_record_that_lacks_much_of_its_session_is_marked(record: Path, tmp_path: Path) -> None:
    part = tmp_path / record.name
    data = record.read_bytes()
    part.write_bytes(data[: len(data) // 2])
    ready = from_record(History(tmp_path), part, END)
    assert ready.source.state is State.LEFT_OUT
    torn, few = ready.source.faults
    assert torn.endswith("at its end are torn off") and "seconds; at least" in few


def edited(old: bytes, new: bytes) -> Callable[[list[bytes]], None]:
    """An edit of a record's first line."""

    def edit(lines: list[bytes]) -> None:
        assert old in lines[0]
        lines[0] = lines[0].replace(old, new)
        del lines[100:]

    return edit


@pytest.mark.parametrize(
    ("now", "edit", "said"),
    [
        (END, edited(b'"close":%d' % session().close, b'"close":%d' % END), "the exchange had other hours"),
        (session().close - 1, edited(b"", b""), "its session is not over yet"),
        (END, lambda lines: lines.pop(50), "arrival number"),
        (END, lambda lines: lines.clear(), "empty, or not a record"),
        (
            END,
            lambda lines: lines.append(lines[0].replace(b'"symbol":"IWM"', b'"symbol":"QQQ"')),
            r"SYMBOL or BENCHMARK was changed in this session \(IWM beside SPY and QQQ beside SPY\)",
        ),
    ],
)
def test_what_is_no_whole_session_of_one_symbol_is_refused(
    record: Path, tmp_path: Path, now: int, edit: Callable[[list[bytes]], None], said: str
) -> None:
    copy = resealed(record, tmp_path / record.name, edit)
    with pytest.raises((HistoryError, Damage), match=said):
        read_record(copy, now)


def test_a_record_that_a_backtest_wrote_is_not_taken_for_a_live_one(tmp_path: Path) -> None:
    path, hours = tmp_path / f"{NAME}.jsonl", session()
    journal = Journal(path)
    journal.begin(Rules(), hours, hours.open - 300 * SECOND)
    journal.append(hours.open - 300 * SECOND, FeedRestored(), [])
    journal.append(hours.open - 300 * SECOND, Covered(symbol="IWM", start=hours.open, end=hours.close), [])
    journal.close()
    with pytest.raises(HistoryError, match="was written by backtest --record"):
        read_record(path, END)


def test_a_block_is_known_where_no_minute_passes_without_a_word() -> None:
    hours, number = session(), session().open // BLOCK_US
    told = Told(hours)
    at = hours.open - 5 * SECOND
    while at < hours.open + 910 * SECOND:  # three blocks, with a hole in the second
        if not 400 * SECOND <= at - hours.open <= 470 * SECOND:
            told.tell("A", at)
        at += 10 * SECOND
    assert told.known("A") == {number, number + 2}
    assert told.known("B") == frozenset()
    late = Told(hours)
    late.tell("A", hours.open + 300 * SECOND)
    late.tell("A", hours.close)
    assert late.known("A") == frozenset()


def test_the_kind_of_a_source_is_a_word_in_its_file(record: Path, tmp_path: Path) -> None:
    source = from_record(History(tmp_path), record, END).source
    assert msgspec.json.decode(msgspec.json.encode(source))["kind"] == "record"
