"""What a session's record gives back after a restart, and what it does not: the state, the day's sums, and what is still to be told."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from delivery.sender import Sender
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Event,
    FeedCause,
    FeedRestored,
    Hold,
    HoldReason,
    Opened,
    Outcome,
    Quote,
    QuoteSource,
    Shutdown,
    Tick,
)
from messages.alert import Alert
from record.folder import record_path
from record.journal import Journal
from record.lines import Entry, Header
from record.reader import Reader, read
from tests import made_day
from tests.builders import SESSION, at
from tests.stage import stage
from tests.worker.test_record_start import AFTER_S, KILLED_S, decisions, watched_again
from tests.worker.test_session import settings, until_entry
from tests.worker.test_summary import played
from tests.worker.test_watch import with_position
from utils import ScaledClock
from worker.session import LiveSession

AGAIN_S = made_day.END_S + 60
"""When the second start is, seconds after the open."""


class Start:
    """One start of a session on a record, with a sender that sends nothing."""

    def __init__(self, folder: Path, start_s: float, **changes: Any) -> None:
        self.told: list[Event] = []
        """The facts that the sender and the record put into the inbox."""
        chosen, path = settings(folder, **changes), record_path(folder, SESSION.date)
        self.now = at(start_s)
        self.sender = Sender(chosen, ScaledClock(self.now, 1.0), self.told.append, lambda _: None)
        self.session = LiveSession(chosen, SESSION, Journal(path), self.sender, self.told.append)
        self._past = Reader(path) if path.exists() else None

    @property
    def pending(self) -> list[Alert]:
        """What is still to be told."""
        return self.sender.pending

    def begin(self) -> None:
        """Begins the record, or restores what is in it."""
        self.session.begin(self.now, self._past)

    def resume(self) -> None:
        """Restores what the record holds, and goes on where it ends."""
        self.begin()
        assert self._past is not None
        self.session.resume(self.now, self._past)


MADE: list[tuple[bytes, int, int]] = []
"""The record of `traded` and its seconds, made once."""


async def traded() -> tuple[bytes, int, int]:
    """The record of a session with a BUY and a SELL, both told; and its seconds seen and blind."""
    if not MADE:
        with tempfile.TemporaryDirectory() as folder:
            start = Start(Path(folder), made_day.BEGIN_S)
            start.begin()
            played(start.session, delivery=2)
            await start.session.end()
            summary = start.session.summary
            record = record_path(Path(folder), SESSION.date).read_bytes()
            MADE.append((record, summary.seen_s, summary.blind_s))
    return MADE[0]


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """The folder with that record."""
    path = record_path(tmp_path, SESSION.date)
    path.parent.mkdir(parents=True)
    path.write_bytes((await traded())[0])
    return tmp_path


async def test_what_was_told_is_not_told_again(folder: Path) -> None:
    start = Start(folder, AGAIN_S)
    start.resume()
    assert [alert.title for alert in start.pending] == []
    await start.session.end()


async def until_bought(folder: Path) -> tuple[str, int]:
    """A session that ends with a BUY decided, and no word of what became of it. Returns its id and its time limit, µs."""
    first = Start(folder, made_day.BEGIN_S)
    await until_entry(first.session)
    position = first.session.engine.position
    assert position is not None
    await first.session.end()
    return position.opened.id, position.opened.pay_until


@pytest.mark.parametrize("late_s", [-5, 0, 3_600])
async def test_a_buy_without_outcome_is_repeated_while_it_is_good_and_counts_as_told_after_that(
    tmp_path: Path, late_s: int
) -> None:
    name, good_until = await until_bought(tmp_path)
    start = Start(tmp_path, (good_until - SESSION.open) / SECOND + late_s)
    start.resume()
    assert start.session.engine.position is not None
    buys = [alert for alert in start.pending if alert.kind is AlertKind.BUY]
    assert [(alert.id, alert.repeat) for alert in buys] == ([(name, True)] if late_s < 0 else [])
    await start.session.end()
    again = Start(tmp_path, (good_until - SESSION.open) / SECOND + late_s + 1)
    again.resume()
    assert [alert.kind for alert in again.pending if alert.kind is AlertKind.BUY] == (
        [AlertKind.BUY] if late_s < 0 else []
    )
    events = [entry.event for entry in read(record_path(tmp_path, SESSION.date)).entries]
    outcomes = [event.outcome for event in events if isinstance(event, AlertOutcome)]
    assert outcomes == ([] if late_s < 0 else [Outcome.LOST])
    await again.session.end()


async def test_the_seconds_of_before_count_in_the_evening(folder: Path) -> None:
    _, seen_s, blind_s = await traded()
    start = Start(folder, AGAIN_S)
    start.begin()
    summary = start.session.summary
    assert (summary.seen_s, summary.blind_s) == (seen_s, blind_s)
    assert seen_s > 100
    assert summary.away_us >= (60 + made_day.BEGIN_S) * SECOND
    await start.session.end()


async def test_holds_and_the_connection_of_before_are_over(tmp_path: Path) -> None:
    """Both were the earlier process's: a hold that nobody ends would last all day."""
    first = Start(tmp_path, 10)
    first.begin()
    first.session.handle(at(11), FeedRestored())
    for reason in (HoldReason.PUSH_REFUSED, HoldReason.CLOCK_DOUBT):
        first.session.handle(at(12), Hold(reason=reason, on=True))
    await first.session.end()
    start = Start(tmp_path, 20)
    start.resume()
    engine = start.session.engine
    assert engine.holds == frozenset()
    assert engine.feed.cause is FeedCause.NOT_CONNECTED
    await start.session.end()


async def test_a_stop_of_before_is_over(tmp_path: Path) -> None:
    first = Start(tmp_path, 10)
    first.begin()
    first.session.handle(at(11), Shutdown(close_position=True))
    await first.session.end()
    start = Start(tmp_path, 20)
    start.resume()
    start.session.handle(at(21), Tick())
    assert AlertKind.SELL not in {alert.kind for alert in start.pending}
    await start.session.end()


@pytest.mark.virtual_time
async def test_an_open_position_is_priced_before_anything_is_decided(tmp_path: Path) -> None:
    path = with_position(tmp_path)
    async with stage(tmp_path, start_s=AFTER_S) as play:
        await watched_again(play)
        await play.stop()
    lines = read(path).lines
    start = max(number for number, line in enumerate(lines) if isinstance(line, Header))
    first = lines[start + 1]
    assert isinstance(first, Entry) and isinstance(first.event, Quote)
    assert first.event.source is QuoteSource.POLL
    (opened,) = decisions(path, Opened)
    assert first.event.contract == opened.contract


# --- A SELL that no start has told, and what was told already ----------------------------------------


async def until_sold(folder: Path) -> str:
    """A session that ends with a SELL decided, and no word of what became of it. Returns its id."""
    first = Start(folder, made_day.BEGIN_S)
    await until_entry(first.session)
    position = first.session.engine.position
    assert position is not None
    name = position.opened.id
    first.session.handle(
        first.session.latest, AlertOutcome(kind=AlertKind.BUY, id=name, outcome=Outcome.ACCEPTED, attempts=1)
    )
    first.session.handle(first.session.latest + SECOND, Shutdown(close_position=True))
    await first.session.end()
    return name


async def test_a_sell_whose_time_is_over_is_reported_once(tmp_path: Path) -> None:
    name = await until_sold(tmp_path)
    late_s = (SESSION.close - SESSION.open) / SECOND + 1_000
    for reports in (1, 0):
        start, reported = Start(tmp_path, late_s), list[str]()
        start.sender.gave_up = reported.append
        start.resume()
        assert [text.endswith(f"SELL #{name}") for text in reported] == [True] * reports
        assert start.pending == []
        await start.session.end()
        late_s += 10


async def test_a_sell_is_told_in_the_words_of_the_symbol_that_it_was_decided_for(tmp_path: Path) -> None:
    name = await until_sold(tmp_path)
    start = Start(tmp_path, AGAIN_S, symbol="SPY", benchmark="")
    start.resume()
    assert [(alert.title, alert.id, alert.repeat) for alert in start.pending] == [
        ("🚪 IWM 0DTE CALL — SELL", name, True)
    ]
    await start.session.end()


async def test_an_evening_that_was_told_is_not_told_again(tmp_path: Path) -> None:
    first = Start(tmp_path, 10, daily_summary=True)
    first.begin()
    for kind in (AlertKind.ARMED, AlertKind.EVENING):
        first.session.handle(
            at(11), AlertOutcome(kind=kind, id=SESSION.date, outcome=Outcome.ACCEPTED, attempts=1)
        )
    await first.session.end()
    start = Start(tmp_path, 20, daily_summary=True)
    start.resume()
    start.session.sum_up(at(21))
    assert start.pending == []
    await start.session.end()


@pytest.mark.virtual_time
async def test_a_clock_that_is_behind_the_record_goes_on_from_its_end(tmp_path: Path) -> None:
    with_position(tmp_path)
    async with stage(tmp_path, start_s=KILLED_S - 60) as play:
        await watched_again(play)
        assert play.own.now() >= SESSION.open + (KILLED_S - 2) * SECOND
        await play.stop()


@pytest.mark.virtual_time
async def test_rules_that_a_position_keeps_end_with_it(tmp_path: Path) -> None:
    with_position(tmp_path)
    with capture_logs() as logs:
        async with stage(tmp_path, start_s=AFTER_S, entry_cooldown_seconds=60) as play:
            await watched_again(play)
            await play.until(lambda: play.titles("SELL"), 300, "SELL")
            await play.until(lambda: "rules_changed" in [line["event"] for line in logs], 10, "new rules")
            engine = play.worker.engine
            assert engine is None or engine.rules.entry_cooldown_seconds == 60
            await play.stop()
    assert "rules_kept" in [line["event"] for line in logs]
