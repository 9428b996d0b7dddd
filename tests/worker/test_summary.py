"""The evening's summary tells a trade as every review of its record does."""

from __future__ import annotations

from pathlib import Path

from config import Following
from delivery.sender import Sender
from events import SECOND, AlertKind, AlertOutcome, Decision, Event, Outcome, Tick, Withdrawn
from followed import headline
from record.folder import record_path
from record.journal import Journal
from record.reader import Reader
from review.day_rows import day_row
from review.keeper import read
from rules import Rules
from tests import made_day
from tests.builders import SESSION, at, quote
from tests.followed_trade import NAME, closed_at, opened_at, outcome
from tests.worker.test_session import desk, settings, summary
from utils import ScaledClock
from worker.session import LiveSession
from worker.summary import DaySummary


def played(one: LiveSession, delivery: int) -> None:
    """The made day with its BUY and its SELL, each accepted ``delivery`` seconds after its decision."""
    due: list[tuple[int, AlertKind, str]] = []
    is_open = False
    for now, event in made_day.world(0, made_day.BEGIN_S, made_day.END_S):
        one.handle(now, event)
        for contract in one.engine.quotes.nearest(10) if isinstance(event, Tick) else ():
            one.handle(now, made_day.quote_of(contract, now))
        position = one.engine.position
        if position is not None:
            name = position.opened.id
        if (position is not None) is not is_open:
            is_open = not is_open
            due.append((now + delivery * SECOND, AlertKind.BUY if is_open else AlertKind.SELL, name))
        while due and due[0][0] <= now:
            _, kind, name = due.pop(0)
            one.handle(now, AlertOutcome(kind=kind, id=name, outcome=Outcome.ACCEPTED, attempts=1))


async def test_live_after_a_restart_and_in_review_the_result_is_the_same(tmp_path: Path) -> None:
    path, held = record_path(tmp_path, SESSION.date), list[Event]()
    live = desk(tmp_path, held)
    live.begin(SESSION.open + made_day.BEGIN_S * SECOND, None)
    played(live, delivery=2)
    told, row = summary(live), live.row()
    await live.end()
    assert day_row(path, Following()) == row  # the book gets the same, made again from the record

    restarted = desk(tmp_path, held)
    restarted.begin(at(made_day.END_S + 60), Reader(path))
    folded = summary(restarted)
    await restarted.end()

    trades = read(path).trades
    (result,) = trades.followed().every
    assert result.paid != result.opened.ask and result.got is not None  # the delay counts
    assert told[0] == folded[0] == headline(trades.followed(), trades.followed(0))
    assert told[-1].startswith("10:07:03–10:0") and told[-1] == folded[-1]


async def test_a_day_of_two_symbols_is_that_of_the_last_one_live_and_in_review(tmp_path: Path) -> None:
    path, held = record_path(tmp_path, SESSION.date), list[Event]()
    first = desk(tmp_path, held)
    first.begin(at(made_day.BEGIN_S), None)
    played(first, delivery=2)
    assert len(first.row().trades) == 1
    await first.end()

    chosen = settings(tmp_path, symbol="SPY", benchmark="")
    sender = Sender(chosen, ScaledClock(at(100), 1.0), held.append, lambda _: None)
    other = LiveSession(chosen, SESSION, Journal(path), sender, held.append)
    other.begin(at(made_day.END_S + 60), Reader(path))
    for second in range(61, 70):
        other.handle(at(made_day.END_S + second), Tick())
    row = other.row()
    await other.end()
    assert (row.symbol, row.entries, row.trades, row.blind_s) == ("SPY", 0, (), 9)
    assert day_row(path, Following()) == row


def test_a_trade_is_told_by_its_times_and_by_what_a_hand_could_have_got() -> None:
    day, rules = DaySummary(SESSION, Following(follow_delay_seconds=5)), Rules()
    steps: tuple[tuple[int, Event, list[Decision]], ...] = (
        (100, Tick(), [opened_at(100)]),
        (100, outcome(AlertKind.BUY, Outcome.ACCEPTED), []),
        (104, quote(104, 1.40, 1.42), []),
        (200, quote(200, 1.49, 1.51), [closed_at(1.50, 1.49)]),
        (200, outcome(AlertKind.SELL, Outcome.ACCEPTED), []),
        (204, quote(204, 1.52, 1.54), []),
        (206, Tick(), []),
    )
    for second, event, decisions in steps:
        day.record(at(second), event, decisions, rules, is_blind=False)
    lines = day.lines(rules, 0)
    assert lines[0] == "1 trade, 1 up, 0 down, +$9 at 5 s (+$7 at 0 s)"
    assert lines[-1] == (
        "09:31:40–09:33:20 215c: +$8.70 (+6.1%) at 5 s, +$6.70 at 0 s, Stop loss +6.4% (limit -15%)"
    )


def test_an_open_and_a_withdrawn_position() -> None:
    day, rules = DaySummary(SESSION), Rules()
    day.record(at(100), Tick(), [opened_at(100)], rules, is_blind=False)
    assert day.lines(rules, 0)[-1] == "09:31:40–open 215c: still open"
    gone = Withdrawn(id=NAME, contract=opened_at(100).contract, detail="older than 30 s")
    day.record(at(131), outcome(AlertKind.BUY, Outcome.UNSENT), [gone], rules, is_blind=False)
    assert day.lines(rules, 0)[0] == "No trade"
    assert "1 entry (1 withdrawn)" in day.lines(rules, 0)[2]
