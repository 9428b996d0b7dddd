"""A session's desk: what it makes of a record that an earlier start has left, and what it tells of the day."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

import alerts
from config import Rules, Settings
from desk import Desk, Duties, Tally
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
from record.folder import record_path
from record.journal import Journal
from record.lines import Entry
from record.reader import Reader
from sim.pushover import LoopbackPushover
from tests import made_day
from tests.builders import SESSION, at, bar, chain, missing, row
from utils import ScaledClock, span_text

TOKEN, USER = "a" * 30, "b" * 30


def settings(folder: Path, **changes: Any) -> Settings:
    return Settings(
        polygon_api_key=SecretStr("key"),
        pushover_token=SecretStr(TOKEN),
        pushover_user_key=SecretStr(USER),
        data_dir=folder,
        **changes,
    )


def desk(folder: Path, held: list[Event], sender: alerts.Sender | None = None) -> Desk:
    """A desk; unless it is given a sender, nobody sends."""
    chosen = settings(folder)
    if sender is None:
        sender = alerts.Sender(chosen, ScaledClock(at(100), 1.0), held.append, lambda _: None)
    return Desk(chosen, SESSION, Journal(record_path(folder, SESSION.date)), sender, held.append)


async def test_a_clock_behind_the_record_stands_still_until_it_has_caught_up(tmp_path: Path) -> None:
    path, held = record_path(tmp_path, SESSION.date), list[Event]()
    first = desk(tmp_path, held)
    first.begin(at(0), None)
    first.take(at(10), FeedRestored())
    first.take(at(20), Tick())
    await first.end()
    second, past = desk(tmp_path, held), Reader(path)
    second.begin(at(19.5), past)
    second.resume(at(19.5), past)
    second.take(at(19.75), Tick())
    second.take(at(20.25), Tick())
    await second.end()
    times = [line.now for line in Reader(path) if isinstance(line, Entry)]
    assert times == [at(10), at(20), at(20), at(20), at(20.25)]
    assert held == []


# --- The push first ----------------------------------------------------------------------------------


async def until_entry(one: Desk) -> None:
    """The made day up to the fact at which a BUY is decided."""
    one.begin(SESSION.open + made_day.BEGIN_S * SECOND, None)
    for now, event in made_day.world(0, made_day.BEGIN_S, made_day.END_S):
        one.take(now, event)
        for contract in one.engine.nearest(10) if isinstance(event, Tick) else ():
            one.take(now, made_day.quote_of(contract, now))
        if one.engine.position is not None:
            return
    raise AssertionError("no BUY was decided")


def lines(logs: list[Any], *names: str) -> list[str]:
    return [line["event"] for line in logs if line["event"] in names]


async def test_a_decision_is_logged_behind_its_push_even_if_that_takes_long(tmp_path: Path) -> None:
    one = desk(tmp_path, [])  # nobody sends
    with capture_logs() as logs:
        await until_entry(one)
        assert lines(logs, "signal", "contract_selected", "entry") == []
        async with asyncio.timeout(8):
            while not lines(logs, "entry"):  # noqa: ASYNC110  a timer's making
                await asyncio.sleep(0.002)
        assert lines(logs, "signal", "contract_selected", "entry") == ["signal", "contract_selected", "entry"]
        await one.end()


async def test_what_is_not_yet_logged_is_before_the_next_second_and_in_every_summary(tmp_path: Path) -> None:
    one = desk(tmp_path / "one", [])
    with capture_logs() as logs:
        await until_entry(one)
        one.take(SESSION.open + (made_day.END_S + 1) * SECOND, Tick())
        assert lines(logs, "entry", "mark_lost") == ["entry", "mark_lost"]
        await one.end()
    other = desk(tmp_path / "other", [])
    await until_entry(other)
    assert "1 signal, 1 entry" in other.summary[1]
    await other.end()


async def test_a_decision_is_logged_before_its_pushs_answer(tmp_path: Path) -> None:
    clock = ScaledClock(at(made_day.BEGIN_S), 1.0)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        sender = alerts.Sender(
            settings(tmp_path, pushover_url=pushover.url), clock, lambda _: None, lambda _: None
        )
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


def told(
    facts: Iterable[tuple[float, Event]], duties: Duties | None = None
) -> list[tuple[float, alerts.Alert]]:
    """When what was pushed while these facts came in."""
    engine, found = Engine(Rules(), SESSION), list[tuple[float, alerts.Alert]]()
    duties = Duties(arms=True) if duties is None else duties
    for second, event in facts:
        engine.handle(at(second), event)
        found += [(second, alert) for alert in duties.owed(at(second), event, engine)]
    return found


def test_armed_is_told_at_the_open_once_all_is_well() -> None:
    [(second, alert)] = told([*OPENED, *((float(s), Tick()) for s in range(3, 100))])
    assert (second, alert.title, alert.priority) == (2, "✅ IWM: armed", -1)
    assert alert.message.splitlines()[1] == (
        "Well: bars of IWM and SPY arrive, 0.6 s late; 2 calls with real-time quotes; "
        "the record is written, nothing holds entries."
    )


@pytest.mark.parametrize(
    ("left_out", "added", "lacking"),
    [
        ((3,), [], "no bar of IWM yet"),
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
    assert f"Not well: {lacking}. No entry before it is." in alert.message.splitlines()


def test_armed_is_told_once_a_session_whatever_restarts() -> None:
    outcome = AlertOutcome(kind=AlertKind.ARMED, id=SESSION.date, outcome=Outcome.ACCEPTED, attempts=1)
    duties = Duties(arms=True)
    duties.learn(outcome)
    assert told(OPENED, duties) == []
    untold = Duties(arms=True)
    untold.learn(Tick())
    assert len(told(OPENED, untold)) == 1
    assert told(OPENED, Duties(arms=False)) == []


# --- The evening -------------------------------------------------------------------------------------


def test_the_evening_names_the_nearest_miss() -> None:
    tally, rules = Tally(SESSION), Rules()
    assert tally.lines(rules, 0)[2] == "No near miss: no second lacked one condition alone"
    tally.evaluation(rules, missing(Condition.VOLUME_SURGE, start=at(700), volume=3000.0))
    tally.evaluation(rules, missing(Condition.VOLUME_SURGE, start=at(4333), volume=3912.0, volume_p95=4105.0))
    tally.evaluation(rules, missing(Condition.RELATIVE_VOLUME, start=at(5000), relative_volume=1.0))
    tally.evaluation(
        rules,
        missing(Condition.RELATIVE_VOLUME, start=at(5001), relative_volume=1.49, gate=DeclineReason.COOLDOWN),
    )
    nearest = "10:42:13, volume 3,912, needed 4,105: 5 % short"
    assert tally.lines(rules, 4)[2] == f"Nearest miss: {nearest}"
    tally.resumed_at = at(600)
    assert tally.lines(rules, 4)[2] == f"Nearest miss since the restart at 09:40:00: {nearest}"
    tally.resumed_at = at(23_460)  # what was near was before, and is not known
    assert tally.lines(rules, 4)[2] == "Nearest miss: see python diagnose.py why 2025-10-02"


def test_the_evening_counts_one_and_many() -> None:
    tally, rules = Tally(SESSION), Rules()
    assert tally.lines(rules, 17_410)[1] == "17,410 evaluations, 0 signals, 0 entries"
    tally.signals = tally.entries = 1
    assert tally.lines(rules, 1)[1] == "1 evaluation, 1 signal, 1 entry"


async def test_the_evening_tells_how_long_the_program_was_not_running(tmp_path: Path) -> None:
    """Killed twice and started again, and once more after the close."""
    path, held = record_path(tmp_path, SESSION.date), list[Event]()
    close = (SESSION.close - SESSION.open) // SECOND
    for number, (begin, end, told) in enumerate(
        (
            (-300, 10, ""),
            (70, 100, ", not running 1m00s"),
            (110, 120, ", not running 1m10s"),
            (close + 60, close + 61, f", not running {span_text(SESSION.close - at(50))}"),
        )
    ):
        one, past = desk(tmp_path, held), Reader(path) if number else None
        one.begin(at(begin), past)
        if past is not None:
            one.resume(at(begin), past)
        one.take(at(end), Tick())
        await one.end()
        assert re.fullmatch(rf"Seen \d+s of 6h30m, blind \d+s{told}", one.summary[0]), one.summary[0]


async def test_what_a_restart_forgets_is_said(tmp_path: Path) -> None:
    path, held = record_path(tmp_path, SESSION.date), list[Event]()
    first = desk(tmp_path, held)
    first.begin(at(0), None)
    first.take(at(10), Tick())
    assert first.summary[2].startswith("No near miss: ")
    await first.end()
    second, past = desk(tmp_path, held), Reader(path)
    second.begin(at(60), past)
    second.resume(at(60), past)
    assert second.summary[2].startswith("No near miss since the restart at 09:31:00: ")
    await second.end()
