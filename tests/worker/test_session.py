"""A session's desk: what it makes of a record that an earlier start has left, and what it tells of the day."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr
from structlog.testing import capture_logs

from config import Settings
from delivery.sender import Sender
from engine import Engine
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Condition,
    DeclineReason,
    Event,
    FeedCause,
    FeedLost,
    FeedRestored,
    Hold,
    HoldReason,
    Outcome,
    Tick,
)
from messages.alert import Alert
from record.folder import record_path
from record.journal import Journal
from record.lines import Entry
from record.reader import Reader
from rules import Rules
from sim.pushover import LoopbackPushover
from tests import made_day
from tests.builders import SESSION, at, bar, chain, missing, row
from tests.followed_trade import opened_at
from utils import ScaledClock, span_text
from worker.narrator import Narrator
from worker.notices import Notices, readiness
from worker.session import LiveSession
from worker.summary import DaySummary

TOKEN, USER = "a" * 30, "b" * 30
BOUGHT = opened_at(4_370)
"""A BUY."""


def settings(folder: Path, **changes: Any) -> Settings:
    return Settings(
        polygon_api_key=SecretStr("key"),
        pushover_token=SecretStr(TOKEN),
        pushover_user_key=SecretStr(USER),
        data_dir=folder,
        **changes,
    )


def summary(session: LiveSession) -> list[str]:
    """The day in short, a line each."""
    return session.summary.lines(session.rules, session.engine.evaluations)


def desk(folder: Path, held: list[Event], sender: Sender | None = None) -> LiveSession:
    """A desk; unless it is given a sender, nobody sends."""
    chosen = settings(folder)
    if sender is None:
        sender = Sender(chosen, ScaledClock(at(100), 1.0), held.append, lambda _: None)
    return LiveSession(chosen, SESSION, Journal(record_path(folder, SESSION.date)), sender, held.append)


async def test_a_fact_with_a_time_of_before_the_records_end_gets_the_records_time(tmp_path: Path) -> None:
    path, held = record_path(tmp_path, SESSION.date), list[Event]()
    first = desk(tmp_path, held)
    first.begin(at(0), None)
    first.handle(at(10), FeedRestored())
    first.handle(at(20), Tick())
    await first.end()
    second, past = desk(tmp_path, held), Reader(path)
    assert second.latest == 0
    second.begin(at(19.5), past)
    assert second.latest == at(20)
    second.resume(at(19.5), past)
    second.handle(at(19.75), Tick())
    second.handle(at(20.25), Tick())
    await second.end()
    assert [line.now for line in Reader(path)] == sorted(line.now for line in Reader(path))
    times = [line.now for line in Reader(path) if isinstance(line, Entry)]
    assert times == [at(10), at(20), at(20), at(20), at(20.25)]
    assert held == []


# --- The push first ----------------------------------------------------------------------------------


async def until_entry(one: LiveSession) -> None:
    """The made day up to the fact at which a BUY is decided."""
    one.begin(SESSION.open + made_day.BEGIN_S * SECOND, None)
    for now, event in made_day.world(0, made_day.BEGIN_S, made_day.END_S):
        one.handle(now, event)
        for contract in one.engine.quotes.nearest(10) if isinstance(event, Tick) else ():
            one.handle(now, made_day.quote_of(contract, now))
        if one.engine.position is not None:
            return
    raise AssertionError("no BUY was decided")


def lines(logs: list[Any], *names: str) -> list[str]:
    return [line["event"] for line in logs if line["event"] in names]


async def test_a_decision_is_logged_and_counted_once_its_alert_is_handed_over(tmp_path: Path) -> None:
    one = desk(tmp_path, [])  # nobody sends
    with capture_logs() as logs:
        await until_entry(one)
        assert lines(logs, "signal", "contract_selected", "entry") == ["signal", "contract_selected", "entry"]
        assert "1 signal, 1 entry" in summary(one)[2]
        await one.end()


async def test_a_decision_is_logged_before_its_pushs_answer(tmp_path: Path) -> None:
    clock = ScaledClock(at(made_day.BEGIN_S), 1.0)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        sender = Sender(settings(tmp_path, pushover_url=pushover.url), clock, lambda _: None, lambda _: None)
        one = desk(tmp_path, [], sender)
        running = asyncio.create_task(sender.run())
        with capture_logs() as logs:
            await until_entry(one)

            def told() -> list[str]:
                """What was said of the BUY: the "armed" of the same time is another matter."""
                return [
                    line["event"] for line in logs if line["event"] == "entry" or line.get("kind") == "buy"
                ]

            async with asyncio.timeout(8):
                while "alert_sent" not in told():  # noqa: ASYNC110  a server's making
                    await asyncio.sleep(0.002)
        assert told() == ["entry", "alert_sent"]
        running.cancel()
        await asyncio.wait({running})
        await one.end()


# --- Armed -------------------------------------------------------------------------------------------

OPENED: list[tuple[float, Event]] = [
    (-200, FeedRestored()),
    (-100, Tick()),
    (0, Tick()),
    (1.5, bar(0)),
    (1.6, bar(0, symbol="SPY")),
    (1.7, chain(1.7, row(215), row(216))),
    (2, Tick()),
]
"""The minutes around an open at which all goes well."""


def told(facts: Iterable[tuple[float, Event]], duties: Notices | None = None) -> list[tuple[float, Alert]]:
    """When what was pushed while these facts came in, but that no entry is possible (`test_blocked.py`)."""
    engine, found = Engine(Rules(), SESSION), list[tuple[float, Alert]]()
    duties = Notices(arms=True) if duties is None else duties
    for second, event in facts:
        engine.handle(at(second), event)
        made = duties.owed(at(second), event, engine)
        found += [(second, alert) for alert in made if alert.kind is not AlertKind.ENTRIES_BLOCKED]
    return found


def test_armed_is_told_at_the_open_once_all_is_well() -> None:
    [(second, alert)] = told([*OPENED, *((float(s), Tick()) for s in range(3, 100))])
    assert (second, alert.title, alert.priority) == (2, "✅ IWM: armed", -1)
    assert alert.message.splitlines()[1] == (
        "OK: bars of IWM and SPY arrive, 0.6 s late; 2 calls with real-time quotes; "
        "the record is written, nothing holds entries."
    )


@pytest.mark.parametrize(
    ("left_out", "added", "lacking"),
    [
        ((3,), [], "feed blind (IWM not seen)"),
        ((3, 4), [], "feed blind (unexplained silence)"),
        ((0,), [], "feed blind (not connected)"),
        ((5,), [], "no option chain yet"),
        ((5,), [(1.7, chain(1.7, row(215, real_time=False)))], "no real-time quote in 1 calls"),
        ((), [(1.8, Hold(reason=HoldReason.CLOCK_DOUBT, on=True))], "entries held (clock doubt)"),
        ((), [(1.8, FeedLost(cause=FeedCause.EVICTED))], "feed blind (connection taken by another copy)"),
    ],
)
def test_armed_says_after_a_minute_what_is_not_well(
    left_out: tuple[int, ...], added: list[tuple[float, Event]], lacking: str
) -> None:
    facts = [fact for index, fact in enumerate(OPENED) if index not in left_out]
    later: list[tuple[float, Event]] = [(float(s), Tick()) for s in range(3, 100)]
    if 3 not in left_out:
        later += [(s + 1.5, bar(s)) for s in range(1, 98)]
    later += [(s + 1.6, bar(s, symbol="SPY")) for s in range(1, 98) if 4 not in left_out]
    [(second, alert)] = told(sorted([*facts, *added, *later], key=lambda fact: fact[0]))
    assert (second, alert.title, alert.priority) == (60, "⚠️ IWM: armed, not all well", -1)
    assert f"Not OK: {lacking}. No entries until it is." in alert.message.splitlines()


@pytest.mark.parametrize(
    ("age", "lacking"),
    [
        (15, ""),
        (16, "option quotes do not move: the newest is 16s old"),
        (72_000, "the newest is 20h00m old"),
    ],
)
def test_quotes_are_counted_by_their_own_stamps(age: int, lacking: str) -> None:
    """An answer that has just come may hold rows of yesterday, marked as real-time."""
    facts = [*OPENED[:5], (1.7, chain(1.7, row(215, quoted_at=at(1.7) - age * SECOND))), OPENED[-1]]
    engine = Engine(Rules(), SESSION)
    for second, event in facts:
        engine.handle(at(second), event)
    _, missing_ = readiness(at(2), engine)
    assert [text for text in missing_ if "quotes" in text] == missing_
    assert bool(missing_) is bool(lacking) and all(lacking in text for text in missing_)


@pytest.mark.parametrize(("now", "lacking"), [(30, []), (31, ["no bar of SPY for 21s"])])
def test_a_symbol_that_has_come_and_comes_no_more_is_not_well(now: int, lacking: list[str]) -> None:
    engine = Engine(Rules(), SESSION)
    engine.handle(at(-10), FeedRestored())
    for second in range(now - 2):
        engine.handle(at(second + 2), bar(second))
        if second < 10:
            engine.handle(at(second + 2), bar(second, symbol="SPY"))
    engine.handle(at(now), chain(now, row(215)))
    assert readiness(at(now), engine)[1] == lacking


def test_no_frozen_price_is_printed_as_if_it_were_live() -> None:
    """IWM stops at second 20 while SPY goes on: a line a minute, with the price's age, and no conditions."""
    engine = Engine(Rules(), SESSION)
    journalist = Narrator(Rules(), engine)
    facts: list[tuple[int, Event]] = [(-10, FeedRestored())]
    for second in range(150):
        facts += [(second, Tick()), (second, bar(second - 3, 660.0, symbol="SPY"))]
        facts += [(second, bar(second - 3))] if second < 24 else []
    with capture_logs() as logged:
        for second, event in facts:
            decisions = engine.handle(at(second), event)
            journalist.fact(at(second), event)
            for decision in decisions:
                journalist.decision(at(second), decision)
    said = [entry["text"] for entry in logged if entry["event"].startswith(("feed", "conditions"))]
    assert said[:2] == [
        "📊 Data feed active: IWM $215.00, VWAP $215.00, Vol 3,500",
        next(text for text in said if text.startswith("📈")),
    ]
    assert said[2:] == [
        "⏳ Data feed quiet: IWM $215.00 is 49s old",
        "🙈 FEED BLIND: IWM not seen, no bar for 1m02s",
        "🙈 Data feed blind: IWM not seen, for 47s; IWM $215.00 is 1m49s old",
    ]


def test_how_long_it_is_blind_does_not_count_what_was_before_a_restart() -> None:
    engine = Engine(Rules(), SESSION)
    engine.handle(at(-10), FeedRestored())
    for second in range(24):
        engine.handle(at(second), bar(second - 3))
        engine.handle(at(second), bar(second - 3, 660.0, symbol="SPY"))
    engine.handle(at(24), FeedLost(cause=FeedCause.DROPPED))
    engine.handle(at(24), Tick())
    journalist = Narrator(Rules(), engine)  # of the next start, for which the record was read again
    with capture_logs() as logged:
        for second in range(100, 120):
            engine.handle(at(second), Tick())
            journalist.fact(at(second), Tick())
    (line,) = (entry["text"] for entry in logged if entry["event"] == "feed_blind")
    assert "Data feed blind: connection lost, for 10s" in line


def test_armed_waits_for_the_clock_to_be_compared_and_says_when_it_was_not() -> None:
    known: list[bool] = []
    later = [(float(s), Tick()) for s in range(3, 100)]
    bars = [(s + 1.5, bar(s, symbol=symbol)) for s in range(1, 98) for symbol in ("IWM", "SPY")]
    facts = sorted([*OPENED, *later, *bars], key=lambda fact: fact[0])
    [(second, alert)] = told(facts, Notices(arms=True, time_is_known=lambda: bool(known)))
    assert (second, alert.title) == (60, "⚠️ IWM: armed, not all well")
    assert "Not OK: this machine's clock has not been compared with the vendor's yet." in alert.message
    known.append(True)
    [(second, alert)] = told(facts, Notices(arms=True, time_is_known=lambda: bool(known)))
    assert (second, alert.title) == (2, "✅ IWM: armed")


def test_clock_doubt_is_named_in_armed_and_pushed_once_an_hour() -> None:
    detail = "this machine's clock is 3.0 s behind the vendor's"
    doubt, trust = (
        Hold(reason=HoldReason.CLOCK_DOUBT, on=on, detail=detail if on else "") for on in (True, False)
    )
    facts: list[tuple[float, Event]] = [
        (1.8, doubt),
        (3, trust),
        (4, doubt),
        (3601.7, trust),
        (3601.8, doubt),
    ]
    ticks = [(float(s), Tick()) for s in range(3, 100)]
    found = told(sorted([*OPENED, *facts, *ticks], key=lambda fact: fact[0]))
    assert [(second, alert.title) for second, alert in found] == [
        (1.8, "⚠️ IWM: clock doubt"),
        (3, "✅ IWM: armed"),
        (3601.8, "⚠️ IWM: clock doubt"),
    ]
    assert found[0][1].message.splitlines() == [
        f"Since Thu 02 Oct 09:30 ET by this program's time: {detail}.",
        "Now: no entries until the clocks agree; they are compared every second.",
        "You: set this machine's clock (turn NTP on). The program then follows by itself.",
    ]
    lasting = told(sorted([*OPENED, facts[0], *ticks], key=lambda fact: fact[0]))
    assert f"entries held (clock doubt: {detail}; make sure that NTP sets it)" in lasting[-1][1].message


def test_armed_is_told_once_a_session_whatever_restarts() -> None:
    outcome = AlertOutcome(kind=AlertKind.ARMED, id=SESSION.date, outcome=Outcome.ACCEPTED, attempts=1)
    duties = Notices(arms=True)
    duties.record(outcome)
    assert told(OPENED, duties) == []
    untold = Notices(arms=True)
    untold.record(Tick())
    assert len(told(OPENED, untold)) == 1
    assert told(OPENED, Notices(arms=False)) == []


# --- The evening -------------------------------------------------------------------------------------


def test_the_evening_names_the_nearest_miss() -> None:
    summary, rules = DaySummary(SESSION), Rules()
    assert (
        summary.lines(rules, 0)[3]
        == "No near miss: there was no second at which exactly one condition failed"
    )
    summary.evaluation(rules, missing(Condition.VOLUME_SURGE, start=at(700), volume=3000.0))
    summary.evaluation(
        rules, missing(Condition.VOLUME_SURGE, start=at(4333), volume=3912.0, volume_p95=4105.0)
    )
    summary.evaluation(rules, missing(Condition.RELATIVE_VOLUME, start=at(5000), relative_volume=1.0))
    summary.evaluation(
        rules,
        missing(Condition.RELATIVE_VOLUME, start=at(5001), relative_volume=1.49, gate=DeclineReason.COOLDOWN),
    )
    nearest = "10:42:13, volume 3,912, needed 4,105: 5% short"
    assert summary.lines(rules, 4)[3] == f"Nearest miss: {nearest}"
    summary.resumed_at = at(600)
    assert summary.lines(rules, 4)[3] == f"Nearest miss since the restart at 09:40:00: {nearest}"
    summary.resumed_at = at(23_460)  # what was near was before, and is not known
    assert summary.lines(rules, 4)[3] == "Nearest miss: see python diagnose.py why 2025-10-02"


@pytest.mark.parametrize(("after", "is_miss"), [(1, False), (60, False), (61, True)])
def test_a_near_miss_that_a_buy_follows_within_a_minute_is_none(after: int, is_miss: bool) -> None:
    summary, rules = DaySummary(SESSION), Rules()
    near = missing(Condition.VOLUME_SURGE, start=at(4333), volume=3912.0, volume_p95=4105.0)
    summary.evaluation(rules, near)
    far = missing(Condition.RELATIVE_VOLUME, start=at(4333 - 100), relative_volume=1.0)
    other = DaySummary(SESSION)
    for evaluation in (far, near):
        other.evaluation(rules, evaluation)
    for each in (summary, other):
        each.evaluation(rules, replace(near, start=at(4333 + after), passes=(True,) * len(Condition)))
        each.decision(BOUGHT, "")
    if is_miss:
        for each in (summary, other):
            assert each.lines(rules, 2)[3] == "Nearest miss: 10:42:13, volume 3,912, needed 4,105: 5% short"
    else:
        assert summary.lines(rules, 2)[3] == (
            "No near miss: there was no second at which exactly one condition failed (1 before a BUY is left out)"
        )
        assert other.lines(rules, 2)[3] == (
            "Nearest miss: 10:40:33, relative volume 1.00, needed 1.50: 33% short (1 before a BUY is left out)"
        )


def test_seconds_of_one_near_miss_count_once() -> None:
    summary, rules = DaySummary(SESSION), Rules()
    for second in (0, 1, 7, 14, 15):  # a pause of more than five seconds begins another
        summary.evaluation(
            rules, missing(Condition.VOLUME_SURGE, start=at(4000 + second), volume=3000.0 + second)
        )
    summary.evaluation(rules, missing(Condition.VOLUME_SURGE, start=at(4016), gate=DeclineReason.LATE_BAR))
    summary.evaluation(rules, missing(Condition.VOLUME_SURGE, start=at(4017), volume=3000.0))
    summary.evaluation(rules, missing(Condition.RELATIVE_VOLUME, start=at(4018), relative_volume=1.0))
    signal = missing(Condition.VOLUME_SURGE, start=at(4020))
    summary.evaluation(rules, replace(signal, passes=(True,) * len(Condition)))
    summary.decision(BOUGHT, "")
    assert summary.lines(rules, 8)[3].endswith("(4 before a BUY are left out)")


def test_the_evening_counts_one_and_many() -> None:
    summary, rules = DaySummary(SESSION), Rules()
    assert summary.lines(rules, 17_410)[2] == "17,410 evaluations, 0 signals, 0 entries"
    summary.signals = summary.entries = 1
    assert summary.lines(rules, 1)[2] == "1 evaluation, 1 signal, 1 entry"


async def test_the_evening_tells_how_long_the_program_was_not_running(tmp_path: Path) -> None:
    """Killed twice and started again, and once more after the close."""
    path, held = record_path(tmp_path, SESSION.date), list[Event]()
    close = (SESSION.close - SESSION.open) // SECOND
    for number, (begin, end, told) in enumerate(
        (
            (-300, 10, ""),
            (70, 100, ", not running for 1m00s"),
            (110, 120, ", not running for 1m10s"),
            (close + 60, close + 61, f", not running for {span_text(SESSION.close - at(50))}"),
        )
    ):
        one, past = desk(tmp_path, held), Reader(path) if number else None
        one.begin(at(begin), past)
        if past is not None:
            one.resume(at(begin), past)
        one.handle(at(end), Tick())
        await one.end()
        assert re.fullmatch(rf"Seen for \d+s of 6h30m, blind for \d+s{told}", summary(one)[1]), summary(one)[
            1
        ]


async def test_what_a_restart_forgets_is_said(tmp_path: Path) -> None:
    path, held = record_path(tmp_path, SESSION.date), list[Event]()
    first = desk(tmp_path, held)
    first.begin(at(0), None)
    first.handle(at(10), Tick())
    assert summary(first)[3].startswith("No near miss: ")
    await first.end()
    second, past = desk(tmp_path, held), Reader(path)
    second.begin(at(60), past)
    second.resume(at(60), past)
    assert summary(second)[3].startswith("No near miss since the restart at 09:31:00: ")
    await second.end()


async def test_time_in_which_the_program_stood_is_neither_seen_nor_blind(tmp_path: Path) -> None:
    one = desk(tmp_path, [])
    one.begin(SESSION.open, None)
    with capture_logs() as logs:
        one.handle(SESSION.open + SECOND, Tick())
        one.handle(SESSION.open + 37 * SECOND, Tick(away=36 * SECOND))
        one.handle(SESSION.open + 37 * SECOND, Tick())
        assert [line["text"] for line in logs if line["event"] == "was_away"] == [
            "⏸️ Nothing was read for 36s: the process was stopped, the machine slept, or its clock jumped. "
            "The feeds' time limits start again"
        ]
    assert one.summary.away_us == 36 * SECOND
    assert one.summary.seen_s + one.summary.blind_s == 2
    await one.end()
