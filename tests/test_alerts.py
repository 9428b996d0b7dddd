"""Texts exact to the character; delivery against a loopback Pushover over real sockets, on a fast clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Self

import httpx
import pytest
from msgspec.structs import replace
from pydantic import SecretStr
from structlog.testing import capture_logs

from alerts import alert_for
from config import Settings
from delivery.answers import Result
from delivery.pending import OUTBOX_MAX, REMEMBERED_MAX, Outbox
from delivery.pushover import Pushover
from delivery.sender import Sender
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Closed,
    Declined,
    DeclineReason,
    Event,
    ExitReason,
    FeedAlarmed,
    FeedCause,
    FeedRecovered,
    Hold,
    HoldReason,
    MarkBack,
    MarkLost,
    Opened,
    Outcome,
    Session,
    Withdrawn,
)
from messages import notices
from messages.alert import Alert, Rank, text_at
from messages.causes import STILL_WATCHED
from rules import Rules
from sim.pushover import LoopbackPushover
from tests.patience import PatientClock
from utils import ScaledClock, VendorTime

TOKEN = "t0kenCANARYt0kenCANARYt0kenCAN"
USER = "us3rCANARYus3rCANARYus3rCANARY"
SECOND_SECRET = "elsewhere"

DAY = 1_759_377_600 * SECOND
"""2025-10-02 00:00 in New York."""

CALL = "O:IWM251002C00215000"
ID = "7f3a91"
RULES = Rules()
SESSION = Session(date="2025-10-02", open=DAY + 34_200 * SECOND, close=DAY + 57_600 * SECOND)


def time_of(text: str) -> int:
    """µs of UTC of a New York time on the test's day."""
    hours, minutes, seconds = map(int, text.split(":"))
    return DAY + (hours * 3600 + minutes * 60 + seconds) * SECOND


DECIDED = time_of("10:40:52")
TIME_STOP = time_of("15:55:00")

OPENED = Opened(
    id=ID,
    contract=CALL,
    strike=215_000,
    expiry="2025-10-02",
    price=215.34,
    vwap=215.12,
    momentum=0.045,
    volume_z=1.8,
    delta=0.42,
    iv=0.285,
    in_range=True,
    mid=14_000,
    bid=13_850,
    ask=14_150,
    bid_size=35,
    ask_size=40,
    entry=14_500,
    stop=12_325,
    pay_limit=15_200,
    pay_until=DECIDED + 30 * SECOND,
    time_stop=TIME_STOP,
    entry_number=1,
    considered=14,
    fallen=(),
    cost_percent=2.1,
)

CLOSED = Closed(
    id=ID,
    contract=CALL,
    reason=ExitReason.HARD_GIVEBACK,
    price=214.89,
    vwap=214.95,
    entry=12_200,
    opened_at=DECIDED,
    peak=21_000,
    mark=14_500,
    mark_at=time_of("10:44:03"),
    bid=14_300,
    bid_size=35,
    limit_percent=30.0,
    time_stop=TIME_STOP,
)
CLOSED_AT = time_of("10:44:04")

BUY_TEXT = """\
🔥 IWM 0DTE CALL — BUY

IWM $215.34 | VWAP $215.12 (+0.10%)
Momentum +0.045%/s | Vol Z1.8

📊 O:IWM251002C00215000 2025-10-02 215c
Δ0.42 IV28.5%

💰 Entry ~$1.45 (mid $1.40 +$0.05)
Spread 2.1% | Size 35×40

⚠️ Hard Giveback 30% | Time Stop 15:55 ET

Pay ≤ $1.52 until 10:41:22 | Stop $1.23
No SELL by 15:55? Close it yourself.
#7f3a91"""

SELL_TEXT = """\
🚪 IWM 0DTE CALL — SELL

Reason: Giveback 31.0% (Hard cap 30%)

IWM $214.89 | VWAP $214.95
Peak $2.10 → Now $1.45

📊 O:IWM251002C00215000
🟢 P&L: +18.9%

✅ Close at market / best bid

Entry $1.22 at 10:40:52, held 3m12s | Bid $1.43×35 (+17.2%)
#7f3a91"""


def shown(alert: Alert | None) -> str:
    assert alert is not None
    return f"{alert.title}\n\n{alert.message}"


def buy_text(**changes: Any) -> str:
    return shown(alert_for(DECIDED, replace(OPENED, **changes), RULES))


def sell_text(now: int = CLOSED_AT, rules: Rules = RULES, **changes: Any) -> str:
    return shown(alert_for(now, replace(CLOSED, **changes), rules))


# --- Texts -------------------------------------------------------------------------------------------


def test_buy_text() -> None:
    assert shown(alert_for(DECIDED, OPENED, RULES)) == BUY_TEXT


def test_sell_text() -> None:
    assert shown(alert_for(CLOSED_AT, CLOSED, RULES)) == SELL_TEXT


def test_buy_carries_what_its_delivery_needs() -> None:
    alert = alert_for(DECIDED, OPENED, RULES)
    assert alert is not None
    assert (alert.kind, alert.id, alert.position, alert.contract) == (AlertKind.BUY, ID, ID, CALL)
    assert (alert.priority, alert.decided_at, alert.pay_limit) == (1, DECIDED, 15_200)
    assert (alert.pay_until, alert.time_stop) == (DECIDED + 30 * SECOND, TIME_STOP)


def test_sell_is_tried_until_a_quarter_past_the_close() -> None:
    alert = alert_for(CLOSED_AT, CLOSED, RULES, sell_priority=1)
    assert alert is not None
    assert (alert.kind, alert.priority, alert.give_up_at) == (AlertKind.SELL, 1, time_of("16:15:00"))
    # A SELL found overdue the next morning gets as long from then.
    late = alert_for(time_of("23:00:00"), CLOSED, RULES)
    assert late is not None
    assert late.give_up_at == time_of("23:15:00")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"volume_z": None}, "Momentum +0.045%/s | Vol Zn/a"),
        ({"volume_z": -0.04}, "Momentum +0.045%/s | Vol Z0.0"),
        ({"momentum": 0.00081}, "Momentum +0.00081%/s | Vol Z1.8"),
        ({"momentum": 12.5}, "Momentum +12.500%/s | Vol Z1.8"),
        ({"in_range": False, "delta": 0.52}, "Δ0.52 (outside 0.30–0.45) IV28.5%"),
        ({"in_range": False, "delta": 0.4504}, "Δ0.4504 (outside 0.30–0.45) IV28.5%"),
        ({"in_range": False, "delta": 0.2}, "Δ0.20 (outside 0.30–0.45) IV28.5%"),
        ({"mid": 14_050, "entry": 14_600}, "💰 Entry ~$1.46 (mid $1.405 +$0.055)"),
        ({"strike": 242_500}, "📊 O:IWM251002C00215000 2025-10-02 242.5c"),
        ({"bid_size": 5.0, "ask_size": 12_000.0}, "Spread 2.1% | Size 5×12000"),
        ({"stop": 12_750}, "Pay ≤ $1.52 until 10:41:22 | Stop $1.275"),
        ({"time_stop": time_of("12:55:00")}, "No SELL by 12:55? Close it yourself."),
        ({"time_stop": time_of("12:55:00")}, "⚠️ Hard Giveback 30% | Time Stop 12:55 ET"),
        ({"price": 215.0, "vwap": 215.5}, "IWM $215.00 | VWAP $215.50 (-0.23%)"),
    ],
)
def test_buy_lines(changes: dict[str, Any], line: str) -> None:
    assert line in buy_text(**changes).splitlines()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"reason": ExitReason.TIME_STOP}, "Reason: Time stop 15:55 ET"),
        ({"reason": ExitReason.TIME_STOP, "time_stop": time_of("12:55:00")}, "Reason: Time stop 12:55 ET"),
        (
            {"reason": ExitReason.STOP_LOSS, "mark": 10_272, "limit_percent": 15.0},
            "Reason: Stop loss -15.8% (limit -15%)",
        ),
        (
            {"reason": ExitReason.STOP_LOSS, "mark": 10_272, "limit_percent": 12.5},
            "Reason: Stop loss -15.8% (limit -12.5%)",
        ),
        (
            {"reason": ExitReason.STOP_LOSS, "mark": 10_272, "limit_percent": None},
            "Reason: Stop loss -15.8% (limit -15%)",
        ),
        ({"peak": 21_075, "mark": 14_500}, "Reason: Giveback 31.2% (Hard cap 30%)"),
        (
            {"reason": ExitReason.VWAP_GIVEBACK, "mark": 16_506, "limit_percent": 20.0},
            "Reason: Giveback 21.4% below VWAP (cap 20%)",
        ),
        ({"reason": ExitReason.VWAP_PERSISTENCE, "limit_percent": None}, "Reason: Below VWAP 2×30s"),
        (
            {"reason": ExitReason.SHUTDOWN, "limit_percent": None},
            "Reason: Shutdown (program stopping, not a market signal)",
        ),
        ({"price": None, "vwap": None}, "IWM n/a | VWAP n/a"),
        ({"mark": None, "mark_at": None}, "Peak $2.10 → Now n/a"),
        ({"mark": None, "mark_at": None}, "P&L: n/a"),
        ({"mark": 14_450}, "Peak $2.10 → Now $1.445"),
        ({"mark": 12_200}, "🟢 P&L: +0.0%"),
        ({"mark": 12_150}, "🔴 P&L: -0.4%"),
        ({"mark_at": CLOSED_AT - 35 * SECOND}, "Price 35 s old: check the quote"),
        ({"bid": None}, "Entry $1.22 at 10:40:52, held 3m12s"),
        ({"bid": 0}, "Entry $1.22 at 10:40:52, held 3m12s | No bid"),
        ({"bid_size": None}, "Entry $1.22 at 10:40:52, held 3m12s | Bid $1.43 (+17.2%)"),
    ],
)
def test_sell_lines(changes: dict[str, Any], line: str) -> None:
    assert line in sell_text(**changes).splitlines()


def test_a_price_is_called_old_from_the_second_at_which_the_mark_is_lost() -> None:
    lost_at = CLOSED_AT - RULES.mark_lost_seconds * SECOND
    assert "old" not in sell_text(mark_at=lost_at + 1)
    assert "Price 20 s old: check the quote" in sell_text(mark_at=lost_at)
    assert "old" not in sell_text(mark=None, mark_at=None)


def test_sell_after_its_time_stop_says_how_late() -> None:
    now = time_of("18:00:04")
    text = sell_text(now, reason=ExitReason.TIME_STOP, late=now - TIME_STOP)
    assert "Reason: Time stop 15:55 ET\n2h05m after the time stop: the program was not watching" in text
    assert "⚠️ The market has closed: ask your broker" in text
    assert "best bid" not in text


def test_sell_shortly_before_the_close_is_still_closable() -> None:
    text = sell_text(time_of("15:59:59"), reason=ExitReason.TIME_STOP, late=4 * SECOND)
    assert "not watching" not in text
    assert "✅ Close at market / best bid" in text
    assert "The market has closed" in sell_text(SESSION.close, reason=ExitReason.TIME_STOP)


def test_sell_with_own_time_stop_finds_the_close() -> None:
    rules = Rules(hard_time_stop="15:50")
    text = sell_text(time_of("15:59:59"), rules, reason=ExitReason.TIME_STOP, time_stop=time_of("15:50:00"))
    assert "✅ Close at market / best bid" in text


def test_decisions_without_a_push() -> None:
    declined = Declined(
        reason=DeclineReason.COOLDOWN, hold=None, price=1.0, vwap=1.0, momentum=0.0, volume_z=None
    )
    assert alert_for(DECIDED, declined, RULES) is None
    assert alert_for(DECIDED, Withdrawn(id=ID, contract=CALL, detail="30 s old"), RULES) is None


def test_late_and_repeat_stand_above_the_id() -> None:
    alert = alert_for(CLOSED_AT, CLOSED, RULES)
    assert alert is not None
    assert text_at(alert, CLOSED_AT + 5 * SECOND, repeat=False) == alert.message
    lines = text_at(alert, CLOSED_AT + 12 * SECOND, repeat=True).splitlines()
    assert lines[-3:] == ["Late 12 s", "Repeat of #7f3a91", "#7f3a91"]
    assert "\n".join([*lines[:-3], lines[-1]]) == alert.message
    quiet = notices.armed(DECIDED, RULES, version="1.0.0", session=SESSION, well=["bars"], lacking=[])
    assert text_at(quiet, DECIDED + 7 * SECOND, repeat=False) == f"{quiet.message}\nLate 7 s"


ALARM = FeedAlarmed(cause=FeedCause.DROPPED, since=time_of("10:41:22"), position=None, untold=0)


@pytest.mark.parametrize("cause", list(FeedCause))
@pytest.mark.parametrize("position", [None, ID])
def test_feed_alarm_says_what_since_when_and_what_to_do(cause: FeedCause, position: str | None) -> None:
    alert = alert_for(DECIDED, replace(ALARM, cause=cause, position=position), RULES)
    assert alert is not None
    assert alert.id == cause.value
    assert alert.priority == (1 if position else 0)
    assert "No usable bar since 10:41:22 ET." in alert.message
    assert "\nNow: no entries; " in alert.message
    assert "\nYou: " in alert.message
    assert (STILL_WATCHED in alert.message) is (position is not None)
    assert alert.message.endswith(f"\n#{ID}") is (position is not None)


def test_feed_alarm_kinds() -> None:
    kinds = {}
    for cause in FeedCause:
        alert = alert_for(DECIDED, replace(ALARM, cause=cause), RULES)
        assert alert is not None
        kinds[cause] = alert.kind
    assert kinds.pop(FeedCause.EVICTED) is AlertKind.EVICTED
    assert kinds.pop(FeedCause.REFUSED) is AlertKind.REFUSED
    assert set(kinds.values()) == {AlertKind.FEED_BLIND}


def test_eviction_names_the_likely_cause() -> None:
    text = shown(alert_for(DECIDED, replace(ALARM, cause=FeedCause.EVICTED), RULES))
    for words in (
        "second one is running with the same account",
        "laptop",
        "Render",
        "second key does not help",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("untold", "line"),
    [(1, "Before this, 1 blind spell was not pushed."), (3, "Before this, 3 blind spells were not pushed.")],
)
def test_feed_alarm_counts_what_was_not_told(untold: int, line: str) -> None:
    assert line in shown(alert_for(DECIDED, replace(ALARM, untold=untold), RULES)).splitlines()


@pytest.mark.parametrize("position", [None, ID])
def test_feed_recovered(position: str | None) -> None:
    decision = FeedRecovered(
        cause=FeedCause.STALL,
        gap_start=time_of("10:40:50"),
        gap_end=time_of("10:43:00"),
        position=position,
    )
    alert = alert_for(DECIDED, decision, RULES)
    assert alert is not None
    assert alert.title == "✅ IWM: feed recovered, gap 2m10s"
    assert "Gap 2m10s: 10:40:50 to 10:43:00 ET (confirmed stall)." in alert.message
    assert ("All exits stand again." in alert.message) is (position is not None)
    assert alert.priority == (1 if position else 0)


def test_a_traded_symbol_that_alone_is_blind_is_named() -> None:
    unseen = replace(ALARM, cause=FeedCause.UNSEEN, symbol="IWM", position=ID)
    assert shown(alert_for(DECIDED, unseen, RULES)) == (
        "⚠️ IWM: feed blind (IWM not seen)\n\n"
        "IWM does not trade or is not sent, while SPY comes.\n"
        "No usable bar of IWM since 10:41:22 ET.\n"
        "Now: no entries; asking the vendor's REST every 5 s, and reconnecting if that has newer seconds.\n"
        f"{STILL_WATCHED}\n"
        "You: see whether trading in it is halted.\n"
        f"#{ID}"
    )
    stalled = shown(alert_for(DECIDED, replace(unseen, cause=FeedCause.STALL), RULES))
    assert "IWM has stalled: SPY comes, but IWM does not, and the vendor's REST has newer seconds" in stalled
    late = shown(alert_for(DECIDED, replace(unseen, cause=FeedCause.LAG), RULES))
    assert "Bars of IWM come too late to act on, while SPY is in time." in late


def test_a_missing_benchmark_is_named_and_is_no_blindness() -> None:
    alarm = alert_for(DECIDED, replace(ALARM, cause=FeedCause.UNSEEN, symbol="SPY", position=ID), RULES)
    assert alarm is not None and alarm.id == "SPY not seen"
    assert alarm.title == "⚠️ IWM: benchmark missing (SPY not seen)"
    assert alarm.message.startswith("SPY does not trade or is not sent, while IWM comes.\n")
    assert "Now: no entries, for SPY is compared with; " in alarm.message
    assert "The position is watched as before." in alarm.message
    assert STILL_WATCHED not in alarm.message
    decision = FeedRecovered(
        cause=FeedCause.UNSEEN,
        gap_start=time_of("10:40:50"),
        gap_end=time_of("10:43:00"),
        position=ID,
        symbol="SPY",
    )
    back = alert_for(DECIDED, decision, RULES)
    assert back is not None and back.id == "SPY not seen"
    assert back.title == "✅ IWM: benchmark back, gap 2m10s"
    assert back.message.startswith("Bars of SPY come again.")
    assert "exits" not in back.message


def test_mark_lost_and_back() -> None:
    lost = MarkLost(id=ID, contract=CALL, since=time_of("10:41:22"), mark=14_300)
    alert = alert_for(DECIDED, lost, RULES)
    assert alert is not None
    assert alert.title == "⚠️ IWM: no price for the open position"
    assert alert.message == (
        f"{CALL} has had no usable price since 10:41:22 ET. The last was $1.43.\n"
        "Now: stop loss and givebacks wait for a price; the time stop still comes.\n"
        "You: check the quote, and close it yourself if you want out.\n"
        "#7f3a91"
    )
    assert "The last was" not in shown(alert_for(DECIDED, replace(lost, mark=None), RULES))
    back = MarkBack(id=ID, contract=CALL, since=time_of("10:41:22"), mark=14_350)
    text = shown(alert_for(time_of("10:42:07"), back, RULES))
    assert f"{CALL} has a usable price again: $1.435. There was none for 45s, since 10:41:22 ET." in text
    assert alert.priority == 1


def system_pushes(position: str | None) -> list[Alert]:
    """Every push that is not a decision, for an owner with and without a position."""
    since = time_of("10:38:42")
    pushes = [
        notices.record_off(DECIDED, RULES, since=since, reason="no space left", position=position),
        notices.record_on(DECIDED, RULES, since=since, position=position),
        notices.cap_reached(DECIDED, RULES, entries=5, position=position),
        notices.clock_doubt(
            DECIDED,
            RULES,
            since=since,
            detail="this machine's clock is slow",
            session=SESSION,
            position=position,
        ),
        notices.market_closed(DECIDED, RULES, session=SESSION, position=position),
    ]
    if position:
        pushes += [
            notices.watching_again(
                DECIDED, RULES, position=position, contract=CALL, since=since, time_stop=TIME_STOP
            ),
            notices.unwatched(
                DECIDED, RULES, position=position, contract=CALL, stop=12_325, time_stop=TIME_STOP
            ),
        ]
    return pushes


@pytest.mark.parametrize("position", [None, ID])
def test_system_pushes_say_what_they_must(position: str | None) -> None:
    for alert in system_pushes(position):
        assert "\n" not in alert.title
        assert " ET" in alert.message, "since when"
        assert "\nNow: " in alert.message, "what the program does now"
        assert "\nYou: " in alert.message, "what the owner can do"
        assert alert.priority == (1 if position else 0)
        assert alert.message.endswith(f"\n#{ID}") is (position is not None)


def test_watching_again_and_unwatched_texts() -> None:
    *_, again, unwatched = system_pushes(ID)
    assert again.message.splitlines()[0] == "Watching again #7f3a91: gap 2m10s, peak in the gap unknown"
    assert again.kind is AlertKind.WATCHING_AGAIN
    lines = unwatched.message.splitlines()
    assert lines[0] == "Unwatched from now #7f3a91"
    assert "You: close it yourself by 15:55 ET, or at $1.23 (its stop)." in lines
    assert unwatched.give_up_at == time_of("16:15:00")


def test_armed_and_evening_are_quiet() -> None:
    armed = notices.armed(
        time_of("09:30:02"),
        RULES,
        version="1.0.0",
        session=SESSION,
        well=["bars arrive", "14 calls"],
        lacking=[],
    )
    assert armed.title == "✅ IWM: armed"
    assert armed.message == (
        "Watching IWM at 09:30:02 ET, session 2025-10-02 09:30–16:00 ET.\n"
        "Well: bars arrive; 14 calls.\n"
        f"Version 1.0.0, rules {RULES.digest()}.\n"
        "You: nothing to do. No such push on a trading day? The program is not running."
    )
    late = notices.armed(
        time_of("15:30:00"), RULES, version="1.0.0", session=SESSION, well=["bars arrive"], lacking=[]
    )
    assert "\nNo BUY any more in this session: it is past 15:30 ET.\n" in late.message
    lame = notices.armed(
        time_of("09:31:02"), RULES, version="1.0.0", session=SESSION, well=[], lacking=["no option chain yet"]
    )
    assert lame.title == "⚠️ IWM: armed, not all well"
    assert lame.message == (
        "Watching IWM at 09:31:02 ET, session 2025-10-02 09:30–16:00 ET.\n"
        "Not well: no option chain yet. No entry before it is.\n"
        f"Version 1.0.0, rules {RULES.digest()}.\n"
        "You: run python diagnose.py, which says what to do."
    )
    evening = notices.evening(DECIDED, RULES, date="2025-10-02", summary=["2 entries", "P&L +3.1%"])
    assert (evening.title, evening.message) == ("🌙 IWM: 2025-10-02", "2 entries\nP&L +3.1%")
    assert (armed.priority, lame.priority, evening.priority) == (-1, -1, -1)


def test_evening_that_is_too_long_says_what_it_leaves_out() -> None:
    summary = [f"{number:03d} " + "x" * 60 for number in range(40)]
    message = notices.evening(DECIDED, RULES, date="2025-10-02", summary=summary).message
    *kept, last = message.splitlines()
    assert kept == summary[: len(kept)]
    assert last == f"({40 - len(kept)} more lines: see the log)"
    assert 900 < len(message) <= 1024


def test_texts_fit_at_their_extremes() -> None:
    symbol = "ABCDEFGHIJ"
    rules = Rules(symbol=symbol, max_giveback_percent=33.333333)
    huge = 10**10
    contract = "O:ABCDEFGHIJ251002C99999999"
    opened = replace(
        OPENED,
        contract=contract,
        strike=99_999_999,
        price=1e7,
        vwap=1e-3,
        momentum=-123456.789,
        volume_z=-1e6,
        in_range=False,
        delta=0.123456,
        iv=1e3,
        mid=huge + 50,
        bid=1,
        ask=2 * huge,
        bid_size=1e9,
        ask_size=1e9,
        entry=2 * huge,
        stop=huge + 1,
        pay_limit=3 * huge,
    )
    closed = replace(
        CLOSED,
        contract=contract,
        reason=ExitReason.TIME_STOP,
        price=1e7,
        vwap=1e7,
        entry=1,
        peak=huge + 1,
        mark=huge + 1,
        mark_at=0,
        bid=huge + 1,
        bid_size=1e9,
        late=10**15,
    )
    pushes = [
        alert_for(DECIDED, opened, rules),
        alert_for(CLOSED_AT, closed, rules),
        alert_for(DECIDED, replace(ALARM, cause=FeedCause.EVICTED, position=ID, untold=10**6), rules),
        *system_pushes(ID),
        notices.record_off(DECIDED, rules, since=0, reason="y" * 5000, position=ID),
    ]
    for alert in pushes:
        assert alert is not None
        sent = text_at(alert, alert.decided_at + 10**13, repeat=True)
        assert len(alert.title) <= 250
        assert len(sent) <= 1024, alert.kind
        assert sent.endswith(f"\n#{ID}")


def test_ranks_and_lanes() -> None:
    blind = alert_for(DECIDED, ALARM, RULES)
    blind_with_position = alert_for(DECIDED, replace(ALARM, position=ID), RULES)
    evicted = alert_for(DECIDED, replace(ALARM, cause=FeedCause.EVICTED), RULES)
    assert blind is not None
    assert blind_with_position is not None
    assert evicted is not None
    assert (blind.rank, blind_with_position.rank, evicted.rank) == (Rank.SYSTEM, Rank.SAFETY, Rank.SAFETY)
    assert [push.rank for push in system_pushes(ID)[-1:]] == [Rank.UNWATCHED]
    assert not buy().urgent
    assert sell().urgent


# --- Delivery ----------------------------------------------------------------------------------------

START = time_of("10:40:00")


def buy(now: int = DECIDED, position: str = ID, **changes: Any) -> Alert:
    """A BUY decided at ``now``."""
    opened = replace(OPENED, id=position, pay_until=now + 30 * SECOND, **changes)
    alert = alert_for(now, opened, RULES)
    assert alert is not None
    return alert


def sell(now: int = DECIDED, position: str = ID) -> Alert:
    """A SELL decided at ``now``."""
    alert = alert_for(now, replace(CLOSED, id=position, mark_at=now, opened_at=now), RULES)
    assert alert is not None
    return alert


def system(now: int, cause: FeedCause = FeedCause.STALL, position: str | None = None) -> Alert:
    """A "feed blind" decided at ``now``."""
    alert = alert_for(now, replace(ALARM, cause=cause, since=now, position=position), RULES)
    assert alert is not None
    return alert


class Story:
    """A sender, a loopback Pushover, and what they said."""

    def __init__(self, clock: ScaledClock, pushover: LoopbackPushover, settings: Settings) -> None:
        self.clock = clock
        self.pushover = pushover
        self.facts: list[Event] = []
        self.asks: dict[str, int] = {}
        self.logs: list[Any] = []
        self.sender = Sender(settings, clock, self.facts.append, self.asks.get)

    @property
    def outcomes(self) -> list[tuple[AlertKind, Outcome, int]]:
        """What became of each alert at the push service, but for what came of its receipt."""
        return [
            (f.kind, f.outcome, f.attempts)
            for f in self.facts
            if isinstance(f, AlertOutcome)
            and not f.channel
            and f.outcome not in (Outcome.ACKNOWLEDGED, Outcome.EXPIRED)
        ]

    @property
    def holds(self) -> list[tuple[HoldReason, bool]]:
        return [(fact.reason, fact.on) for fact in self.facts if isinstance(fact, Hold)]

    @property
    def titles(self) -> list[str]:
        return [message.title.rpartition(" ")[2] for message in self.pushover.messages]

    @property
    def attempts(self) -> int:
        return len(self.pushover.asked("messages.json"))

    def logged(self, event: str) -> list[Any]:
        return [entry for entry in self.logs if entry["event"] == event]

    def now(self) -> int:
        return self.clock.now()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition, at most 8 real seconds."""
        async with asyncio.timeout(8):
            while not condition():  # noqa: ASYNC110  conditions are of a server's making
                await asyncio.sleep(0.002)

    async def told(self, count: int = 1) -> Self:
        """Wait for that many outcomes."""
        await self.until(lambda: len(self.outcomes) >= count)
        return self

    async def ready(self) -> Self:
        """Wait until the questions of the start are answered."""
        await self.until(lambda: self.pushover.asked("validate.json") and self.pushover.asked("limits.json"))
        return self


def settings_for(pushover: LoopbackPushover, **changes: Any) -> Settings:
    return Settings(
        polygon_api_key=SecretStr("polygonCANARY"),
        pushover_token=SecretStr(TOKEN),
        pushover_user_key=SecretStr(USER),
        pushover_url=pushover.url,
        **changes,
    )


@asynccontextmanager
async def story(
    *answers: str, speed: float = 50.0, second_channel: bool = False, **changes: Any
) -> AsyncIterator[Story]:
    """A running sender. Whatever is logged must hold no secret."""
    clock = PatientClock(START, speed)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        if second_channel:
            changes["second_channel_url"] = SecretStr(pushover.elsewhere_url)
        told = Story(clock, pushover, settings_for(pushover, **changes))
        pushover.answers.extend(answers)
        with capture_logs() as told.logs:
            running = asyncio.create_task(told.sender.run())
            try:
                yield told
            finally:
                running.cancel()
                await asyncio.wait({running})
        assert running.cancelled(), running
        for secret in (TOKEN, USER, "token=", "http://", *([SECOND_SECRET] if second_channel else [])):
            assert secret not in repr(told.logs)
            assert secret not in repr(told.facts)
        assert pushover.connections_most <= 2 + second_channel
        assert all(entry["text"] for entry in told.logs)


async def test_buy_is_sent_with_all_its_fields() -> None:
    async with story(speed=1) as s:
        alert = buy(s.now())
        s.sender.submit(alert)
        await s.told()
        (message,) = s.pushover.messages
        assert message.shown == shown(alert)
        ttl = int(message.fields.pop("ttl"))
        assert 0 <= (TIME_STOP - alert.decided_at) // SECOND - ttl <= 30
        assert message.fields == {
            "title": alert.title,
            "message": alert.message,
            "timestamp": str(alert.decided_at // SECOND),
            "priority": "1",
        }
        assert s.outcomes == [(AlertKind.BUY, Outcome.ACCEPTED, 1)]
        (sent,) = s.logged("alert_sent")
        assert sent["text"].startswith("✓ Alert sent: 🔥 IWM 0DTE CALL — BUY (")
        assert sent["text"].endswith(" s)")
        assert s.sender.healthy


async def test_sell_is_an_emergency() -> None:
    async with story() as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        fields = s.pushover.messages[0].fields
        assert (fields["priority"], fields["retry"], fields["expire"]) == ("2", "30", "1500")
        assert "ttl" not in fields


async def test_server_errors_are_tried_again_and_give_one_message() -> None:
    async with story("500", "500", speed=20) as s:
        started = s.now()
        s.sender.submit(buy(started))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.ACCEPTED, 3)]
        assert s.titles == ["BUY"]
        first, second, third = [seen.at for seen in s.pushover.asked("messages.json")]
        assert second - first >= 5 * SECOND
        assert third - second >= 10 * SECOND
        late = s.pushover.messages[0].text.splitlines()[-2]
        word, seconds, unit = late.split()
        assert (word, unit) == ("Late", "s")
        assert int(seconds) >= 15
        assert "Repeat" not in s.pushover.messages[0].text


async def test_buy_gives_up_after_three_attempts() -> None:
    async with story(*["500"] * 5, speed=40) as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 3)]
        assert s.attempts == 3
        # The position never was: its SELL goes to nobody.
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes[1] == (AlertKind.SELL, Outcome.UNSENT, 0)
        assert s.attempts == 3
        assert "nobody was told" in s.logged("alert_not_sent")[0]["text"]


async def test_refused_is_never_sent_again_and_holds_until_the_user_is_good() -> None:
    async with story("400", speed=200) as s:
        await s.ready()
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.REFUSED, 1)]
        assert s.holds == [(HoldReason.PUSH_REFUSED, True)]
        assert not s.sender.healthy
        (refused,) = s.logged("alert_refused")
        assert refused["errors"] == ("this message was refused by request",)
        held_at = s.now()
        await s.until(lambda: len(s.holds) == 2)
        assert s.holds[1] == (HoldReason.PUSH_REFUSED, False)
        assert s.now() - held_at > 50 * SECOND
        assert s.attempts == 1
        assert s.sender.healthy


async def test_sell_of_a_refused_buy_is_not_sent() -> None:
    async with story("400") as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes[1] == (AlertKind.SELL, Outcome.UNSENT, 0)
        assert s.attempts == 1


async def test_refused_sell_is_critical() -> None:
    async with story("400", second_channel=True, speed=200) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.logged("second_channel_sent"))
        assert s.logged("sell_refused")[0]["log_level"] == "critical"
        (text,) = s.pushover.texts
        assert text.startswith("🚪 IWM 0DTE CALL — SELL\n\nReason: Giveback")
        assert text.endswith(f"\n#{ID}")
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 2)]


async def test_nothing_but_sells_is_tried_while_refused() -> None:
    async with story("400", "ok") as s:
        await s.ready()
        s.sender.submit(system(s.now()))
        await s.told()
        s.sender.submit(system(s.now(), FeedCause.LAG))
        s.sender.submit(buy(s.now()))
        await s.told(3)
        assert s.attempts == 1
        assert {outcome for _, outcome, _ in s.outcomes[1:]} == {Outcome.UNSENT}
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.told(4)
        assert s.outcomes[3] == (AlertKind.SELL, Outcome.ACCEPTED, 1)


async def test_bad_user_is_found_at_the_start() -> None:
    async with story(speed=200) as s:
        s.pushover.user_valid = False
        await s.until(lambda: s.holds)
        assert s.holds == [(HoldReason.PUSH_REFUSED, True)]
        assert s.sender.holds == {HoldReason.PUSH_REFUSED}
        assert not s.pushover.asked("messages.json")
        s.pushover.user_valid = True
        await s.until(lambda: len(s.holds) == 2)
        assert s.holds[1] == (HoldReason.PUSH_REFUSED, False)
        assert s.sender.holds == set()


async def test_quota_used_up_holds_until_its_reset() -> None:
    async with story("429", speed=100) as s:
        await s.ready()
        reset = s.pushover.reset = s.now() // SECOND + 65
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.REFUSED, 1)]
        assert s.holds == [(HoldReason.PUSH_REFUSED, True)]
        assert s.logged("quota_used_up")[0]["reset"] == reset
        validated = len(s.pushover.asked("validate.json"))
        await s.until(lambda: s.now() // SECOND >= reset - 5)
        assert len(s.pushover.asked("validate.json")) == validated
        assert len(s.holds) == 1
        s.pushover.remaining = 10_000
        await s.until(lambda: len(s.holds) == 2)
        assert s.now() // SECOND >= reset
        assert s.attempts == 1


async def test_quota_stays_used_up_though_another_push_is_refused() -> None:
    async with story("429", "400", speed=200) as s:
        await s.ready()
        reset = s.pushover.reset = s.now() // SECOND + 100
        s.sender.submit(buy(s.now()))
        await s.told()
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.until(lambda: len(s.holds) == 2)
        assert s.now() // SECOND >= reset
        assert s.outcomes[1] == (AlertKind.SELL, Outcome.ACCEPTED, 2)


async def test_quota_used_up_without_a_reset_holds_until_there_is_quota() -> None:
    async with story("429", speed=2000) as s:
        await s.ready()
        s.pushover.reset = None
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.holds)
        assert s.logged("sell_refused")
        assert s.holds == [(HoldReason.PUSH_REFUSED, True)]
        asked = len(s.pushover.asked("limits.json"))
        await s.until(lambda: len(s.pushover.asked("limits.json")) >= asked + 2)
        assert len(s.holds) == 1
        s.pushover.remaining = 1
        await s.until(lambda: len(s.holds) == 2)
        assert s.holds[1] == (HoldReason.PUSH_REFUSED, False)


async def test_lost_unwatched_is_repeated_and_marked() -> None:
    async with story("cut", speed=100) as s:
        alert = notices.unwatched(
            s.now(), RULES, position=ID, contract=CALL, stop=12_325, time_stop=TIME_STOP
        )
        s.sender.submit(alert)
        await s.told()
        assert s.outcomes == [(AlertKind.UNWATCHED, Outcome.ACCEPTED, 2)]
        assert "\nRepeat of #7f3a91\n#7f3a91" in s.pushover.messages[0].text


async def test_sell_that_is_lost_again_and_again_ends_as_lost() -> None:
    async with story(*["cut"] * 20, speed=400) as s:
        now = s.now()
        s.sender.submit(replace(sell(now), give_up_at=now + 200 * SECOND))
        await s.told()
        ((kind, outcome, attempts),) = s.outcomes
        assert (kind, outcome, attempts) == (AlertKind.SELL, Outcome.LOST, s.attempts)
        assert s.logged("could_not_deliver")


async def test_what_is_in_flight_at_a_cancellation_is_still_pending() -> None:
    async with story("slow", speed=20) as s:
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
    assert [alert.kind for alert in s.sender.pending] == [AlertKind.BUY]
    assert s.outcomes == []


async def test_lost_buy_is_not_repeated_and_counts_as_told() -> None:
    async with story("lost") as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.LOST, 1)]
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.titles == ["BUY", "SELL"]
        assert s.attempts == 2
        assert s.holds == []


async def test_lost_sell_is_repeated_once_and_marked() -> None:
    async with story("lost", speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 2)]
        first, second = s.pushover.messages
        assert "Repeat of" not in first.text
        assert second.text.splitlines()[-2:] == ["Repeat of #7f3a91", "#7f3a91"]


async def test_mark_stays_when_a_lost_answer_is_followed_by_an_error() -> None:
    async with story("lost", "500", speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 3)]
        assert "Repeat of #7f3a91" in s.pushover.messages[1].text


async def test_sell_that_may_have_arrived_is_repeated_though_its_buy_was_refused() -> None:
    async with story("slow 400", "cut", speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 3
        s.sender.submit(buy(s.now()))
        await s.until(lambda: len(s.pushover.answers) == 1)
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [(AlertKind.BUY, Outcome.REFUSED, 1), (AlertKind.SELL, Outcome.ACCEPTED, 2)]


async def test_lost_system_push_counts_as_told() -> None:
    async with story("cut") as s:
        s.sender.submit(system(s.now(), position=ID))
        await s.told()
        assert s.outcomes == [(AlertKind.FEED_BLIND, Outcome.LOST, 1)]


async def test_answer_that_is_none_is_a_lost_one() -> None:
    async with story("html", speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert "Repeat of #7f3a91" in s.pushover.messages[1].text
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 2)]


async def test_no_connection_is_tried_again_without_a_mark() -> None:
    async with story(speed=100) as s:
        await s.ready()
        await s.pushover.down()
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.logged("alert_attempt_failed"))
        assert not s.sender.healthy
        await s.pushover.up()
        await s.told()
        assert s.outcomes[0][:2] == (AlertKind.SELL, Outcome.ACCEPTED)
        assert s.outcomes[0][2] >= 2
        assert "Repeat" not in s.pushover.messages[0].text
        await s.until(lambda: s.sender.healthy)


async def test_sell_outlives_its_three_attempts() -> None:
    async with story(*["500"] * 5, speed=200, second_channel=True) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 6)]
        times = [seen.at for seen in s.pushover.asked("messages.json")]
        assert all(later - earlier >= 30 * SECOND for earlier, later in pairwise(times[2:]))
        await s.until(lambda: s.pushover.texts)
        assert len(s.pushover.texts) == 1
        assert "Late" in s.pushover.messages[0].text


async def test_sell_that_cannot_be_delivered_says_so() -> None:
    async with story(*["500"] * 20, speed=400) as s:
        give_up_at = s.now() + 200 * SECOND
        s.sender.submit(replace(sell(s.now()), give_up_at=give_up_at))
        await s.told()
        ((kind, outcome, attempts),) = s.outcomes
        assert (kind, outcome, attempts) == (AlertKind.SELL, Outcome.UNSENT, s.attempts)
        assert 4 <= attempts <= 10
        (critical,) = s.logged("could_not_deliver")
        assert critical["log_level"] == "critical"
        assert critical["text"].startswith(f"🛑 Could not deliver after {attempts} attempts: 🚪")


async def test_sell_does_not_wait_behind_a_buy() -> None:
    async with story("slow", speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 10
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.told(2)
        assert s.titles == ["SELL", "BUY"]


async def test_most_important_goes_first() -> None:
    async with story() as s:
        s.sender.submit(system(s.now(), position=ID))
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert [kind for kind, _, _ in s.outcomes] == [AlertKind.SELL, AlertKind.FEED_BLIND]


async def test_health_comes_back_without_an_alert() -> None:
    async with story(speed=200) as s:
        await s.ready()
        await s.until(lambda: s.sender.healthy)
        await s.pushover.down()
        s.sender.submit(buy(s.now()))
        await s.until(lambda: s.logged("alert_attempt_failed"))
        assert not s.sender.healthy
        s.asks[CALL] = 99_999
        await s.told()
        await s.pushover.up()
        await s.until(lambda: s.sender.healthy)
        assert s.attempts == 0


async def test_sell_does_not_wait_behind_another_sells_retry() -> None:
    async with story("500", speed=100) as s:
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.until(lambda: s.logged("alert_attempt_failed"))
        s.sender.submit(sell(s.now(), "bbbbbb"))
        await s.told(2)
        first, second = s.pushover.messages
        assert first.text.endswith("#bbbbbb")
        assert second.text.endswith("#aaaaaa")


async def test_question_gives_way_to_an_alert() -> None:
    async with story("slow", speed=20) as s:
        s.pushover.question_s = 10_000
        s.pushover.slow_s = 6
        await s.clock.sleep(3)
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.told(2)
        assert s.titles == ["SELL", "BUY"]
        s.pushover.question_s = 0
        await s.until(lambda: s.pushover.asked("limits.json"))


async def test_alerts_and_questions_share_two_connections() -> None:
    async with story("slow", "slow") as s:
        await s.ready()
        s.sender.in_session(on=True)
        for round_number in range(3):
            s.sender.submit(buy(s.now(), f"b{round_number}"))
            s.sender.submit(sell(s.now(), f"s{round_number}"))
            await s.told(2 * round_number + 2)
        assert len(s.pushover.messages) == 6


async def test_buy_is_withdrawn_by_age() -> None:
    async with story(speed=20) as s:
        alert = buy(s.now() - 31 * SECOND)
        s.sender.submit(alert)
        await s.told()
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 0)]
        assert s.logged("alert_not_sent")[0]["reason"] == "it is 31 s old"
        assert s.attempts == 0


async def test_buy_is_withdrawn_by_its_ask() -> None:
    async with story() as s:
        s.asks[CALL] = 15_200
        s.sender.submit(buy(s.now(), "aaaaaa"))
        await s.told()
        s.asks[CALL] = 15_300
        s.sender.submit(buy(s.now(), "bbbbbb"))
        await s.told(2)
        assert [outcome for _, outcome, _ in s.outcomes] == [Outcome.ACCEPTED, Outcome.UNSENT]
        assert s.logged("alert_not_sent")[0]["reason"] == "the ask $1.53 has passed its limit $1.52"


async def test_buy_and_its_sell_cancel_each_other_before_an_attempt_arrives() -> None:
    async with story("500") as s:
        s.sender.submit(buy(s.now()))
        await s.until(lambda: s.logged("alert_attempt_failed"))
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [
            (AlertKind.BUY, Outcome.UNSENT, 1),
            (AlertKind.SELL, Outcome.UNSENT, 0),
        ]
        await s.clock.sleep(15)
        assert s.attempts == 1


async def test_sell_goes_at_once_while_its_buy_is_in_flight() -> None:
    async with story("slow") as s:
        await s.ready()
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [
            (AlertKind.SELL, Outcome.ACCEPTED, 1),
            (AlertKind.BUY, Outcome.ACCEPTED, 1),
        ]


@pytest.mark.parametrize(("answer", "outcome"), [("slow 400", Outcome.REFUSED), ("slow 500", Outcome.UNSENT)])
async def test_buy_that_comes_to_nothing_after_its_sell(answer: str, outcome: Outcome) -> None:
    async with story(answer) as s:
        await s.ready()
        s.pushover.slow_s = 10
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.answers)
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [(AlertKind.SELL, Outcome.ACCEPTED, 1), (AlertKind.BUY, outcome, 1)]
        assert bool(s.logged("buy_refused_after_sell")) is (outcome is Outcome.REFUSED)


async def test_sell_is_dropped_when_its_buy_comes_to_nothing_meanwhile() -> None:
    async with story("slow 500", "500", speed=20) as s:
        await s.ready()
        s.pushover.slow_s = 3
        s.sender.submit(buy(s.now()))
        await s.until(lambda: not s.pushover.asked("messages.json") and len(s.pushover.answers) == 1)
        s.sender.submit(sell(s.now()))
        await s.told(2)
        assert s.outcomes == [(AlertKind.BUY, Outcome.UNSENT, 1), (AlertKind.SELL, Outcome.UNSENT, 1)]
        assert s.titles == []


async def test_duplicates_within_a_minute_are_dropped() -> None:
    async with story(speed=200) as s:
        s.sender.submit(system(s.now()))
        s.sender.submit(system(s.now()))
        s.sender.submit(system(s.now(), FeedCause.LAG))
        s.sender.submit(replace(system(s.now()), repeat=True))
        await s.told(3)
        assert len(s.logged("alert_duplicate")) == 1
        assert len(s.pushover.messages) == 3
        await s.clock.sleep(61)
        s.sender.submit(system(s.now()))
        await s.told(4)
        assert len(s.pushover.messages) == 4


async def test_repeated_buy_is_marked_and_never_called_unsent() -> None:
    async with story(speed=20) as s:
        s.sender.submit(replace(buy(s.now()), repeat=True))
        await s.told()
        assert "Repeat of #7f3a91" in s.pushover.messages[0].text
        s.asks[CALL] = 99_999
        s.sender.submit(replace(buy(s.now(), "aaaaaa"), repeat=True))
        await s.told(2)
        assert s.outcomes[1] == (AlertKind.BUY, Outcome.LOST, 0)
        s.asks.clear()
        s.pushover.answers.append("400")
        s.sender.submit(replace(buy(s.now(), "bbbbbb"), repeat=True))
        await s.told(3)
        assert s.outcomes[2] == (AlertKind.BUY, Outcome.LOST, 1)
        s.sender.submit(sell(s.now(), "bbbbbb"))
        await s.told(4)
        assert s.outcomes[3] == (AlertKind.SELL, Outcome.ACCEPTED, 1)


async def test_push_cap_holds_entries_until_its_span_has_emptied() -> None:
    async with story(speed=200, push_cap_count=3, push_cap_seconds=60) as s:
        for number in range(3):
            s.sender.submit(sell(s.now(), f"00000{number}"))
        await s.told(3)
        assert s.holds == [(HoldReason.PUSH_CAP, True)]
        s.sender.submit(sell(s.now(), "aaaaaa"))
        await s.told(4)
        await s.until(lambda: len(s.holds) == 2)
        assert s.holds[1] == (HoldReason.PUSH_CAP, False)
        assert len(s.pushover.messages) == 4
        assert s.now() - s.pushover.messages[1].at >= 60 * SECOND


async def test_connection_is_kept_warm_in_session_only() -> None:
    async with story(speed=400) as s:
        await s.ready()
        await s.clock.sleep(100)
        asked = len(s.pushover.asked("limits.json"))
        assert asked == 1
        s.sender.in_session(on=True)
        await s.until(lambda: len(s.pushover.asked("limits.json")) >= asked + 3)
        await s.clock.sleep(20)
        s.sender.submit(buy(s.now()))
        await s.told()
        assert len(set(s.pushover.peers)) == 1
        times = [seen.at for seen in s.pushover.asked("limits.json")][asked:]
        assert all(later - earlier >= 30 * SECOND for earlier, later in pairwise(times))


async def test_quiet_pushes_are_not_sent_on_the_last_of_the_quota() -> None:
    async with story() as s:
        s.pushover.remaining = 150
        await s.until(lambda: s.logged("quota_low"))
        s.sender.submit(system(s.now(), FeedCause.LAG))
        await s.told()
        assert s.outcomes == [(AlertKind.FEED_BLIND, Outcome.UNSENT, 0)]
        assert s.logged("alert_not_sent")[0]["reason"] == "only 150 pushes are left this month"
        s.sender.submit(system(s.now(), FeedCause.STALL, position=ID))
        s.sender.submit(sell(s.now()))
        s.sender.submit(buy(s.now(), "aaaaaa"))
        await s.told(4)
        assert {outcome for _, outcome, _ in s.outcomes[1:]} == {Outcome.ACCEPTED}
        assert len(s.logged("quota_low")) == 1


async def test_receipt_is_asked_until_acknowledged() -> None:
    async with story(speed=400) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        receipt = s.pushover.messages[0].receipt
        path = f"{receipt}.json"
        await s.until(lambda: len(s.pushover.asked(path)) == 2)
        s.pushover.acknowledge(receipt)
        await s.until(lambda: s.logged("sell_acknowledged"))
        asked = [seen.at for seen in s.pushover.asked(path)]
        assert all(later - earlier >= 15 * SECOND for earlier, later in pairwise(asked))
        await s.clock.sleep(70)
        assert len(s.pushover.asked(path)) == len(asked)


async def test_unacknowledged_sell_is_warned_of_once_and_ends() -> None:
    async with story(speed=2000) as s:
        s.sender.submit(sell(s.now()))
        await s.told()
        await s.until(lambda: s.logged("sell_never_acknowledged"))
        assert len(s.logged("sell_unacknowledged")) == 1


async def test_overflow_drops_the_least_important_and_never_a_sell() -> None:
    clock = ScaledClock(START, 1.0)
    facts: list[Event] = []
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        sender = Sender(settings_for(pushover), clock, facts.append, lambda _: None)
        with capture_logs() as logs:
            sender.submit(notices.evening(START, RULES, date="2025-10-02", summary=["quiet"]))
            sender.submit(buy(START, "b00000"))
            sender.submit(system(START, position=ID))
            for number in range(OUTBOX_MAX + 2):
                sender.submit(sell(START, f"{number:06d}"))
        kinds = [fact.kind for fact in facts if isinstance(fact, AlertOutcome)]
        assert kinds == [AlertKind.EVENING, AlertKind.BUY, AlertKind.FEED_BLIND]
        assert [entry["event"] for entry in logs] == ["outbox_full"] * 3
        assert len(sender.pending) == OUTBOX_MAX + 2


async def test_drain_delivers_what_is_pending() -> None:
    async with story("500", "slow") as s:
        s.sender.submit(sell(s.now()))
        s.sender.submit(system(s.now()))
        assert await s.sender.drain(5) == []
        assert len(s.pushover.messages) == 2


async def test_drain_returns_what_is_left_the_most_important_first() -> None:
    async with story(speed=20) as s:
        await s.ready()
        await s.pushover.down()
        s.sender.submit(system(s.now()))
        s.sender.submit(sell(s.now()))
        s.sender.submit(buy(s.now(), "aaaaaa"))
        left = await s.sender.drain(0.15)
        assert [alert.kind for alert in left] == [AlertKind.SELL, AlertKind.BUY, AlertKind.FEED_BLIND]
        assert [entry["log_level"] for entry in s.logged("sell_left_unsent")] == ["critical"]
        assert len(s.logged("alert_left_unsent")) == 2


async def test_drain_does_not_wait_for_a_sender_that_has_ended() -> None:
    async with story("slow", speed=20) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: not s.pushover.answers)
    async with asyncio.timeout(5):
        left = await s.sender.drain(60)
    assert [alert.kind for alert in left] == [AlertKind.SELL]


async def test_drain_does_not_wait_for_an_attempt_beyond_its_time() -> None:
    async with story(*["500"] * 9, speed=100) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.attempts >= 4)
        await s.until(lambda: len(s.logged("alert_attempt_failed")) >= 4)
        assert [alert.kind for alert in await s.sender.drain(0.05)] == [AlertKind.SELL]
        assert not s.logged("drain_timed_out")


async def test_a_step_of_the_clock_ends_nobodys_patience() -> None:
    async with story("500", "500", speed=20) as s:
        s.sender.submit(sell(s.now()))
        await s.until(lambda: s.attempts == 1)
        draining = asyncio.create_task(s.sender.drain(5))
        await asyncio.sleep(0)
        ahead = 600 * SECOND
        s.clock.wall_off = ahead
        s.clock.hear_date(VendorTime(ahead, ahead, s.now()))  # as after a sleep: the vendor agrees
        before = s.now()
        assert s.clock.check(2.0) is None
        assert s.now() - before >= ahead
        assert await draining == []
        assert s.attempts == 3


async def test_second_channel_is_for_sells_and_safety_only() -> None:
    async with story("400", second_channel=True) as s:
        s.sender.submit(buy(s.now()))
        await s.told()
        await s.clock.sleep(5)
        assert s.pushover.texts == []


async def test_second_channel_failure_names_no_address() -> None:
    async with story("400", second_channel=True) as s:
        await s.ready()
        s.sender.submit(system(s.now(), FeedCause.EVICTED))
        await s.until(lambda: s.logged("second_channel_sent"))
        assert s.pushover.texts[0].startswith("⚠️ IWM: feed taken by another copy\n\nThe vendor gave")
    clock = PatientClock(START, 50)
    facts: list[Event] = []
    async with LoopbackPushover(clock, TOKEN, USER) as pushover:
        pushover.answers.append("400")
        settings = settings_for(pushover, second_channel_url=SecretStr("http://127.0.0.1:9/CANARYtopic"))
        sender = Sender(settings, clock, facts.append, lambda _: None)
        with capture_logs() as logs:
            running = asyncio.create_task(sender.run())
            sender.submit(sell(START))
            await Story(clock, pushover, settings).until(
                lambda: any(entry["event"] == "second_channel_failed" for entry in logs)
            )
            running.cancel()
            await asyncio.wait({running})
        assert "CANARY" not in repr(logs)


# --- The service -------------------------------------------------------------------------------------


def client(pushover: LoopbackPushover, token: str = TOKEN) -> Pushover:
    return Pushover(pushover.url, SecretStr(token), SecretStr(USER))


async def test_questions() -> None:
    clock = ScaledClock(START, 1.0)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover, client(pushover) as service:
        user = await service.validate()
        assert (user.result, user.status, user.devices) == (Result.OK, 200, ("phone",))
        quota = await service.limits()
        assert (quota.limit, quota.remaining, quota.reset) == (10_000, 10_000, pushover.reset)
        message = {"title": "t", "message": "m", "priority": "2", "retry": "30", "expire": "60"}
        sent = await service.send(service.message(message))
        assert sent.remaining == 9_999
        assert not (await service.receipt(sent.receipt)).acknowledged
        pushover.acknowledge(sent.receipt)
        assert (await service.receipt(sent.receipt)).acknowledged
        assert TOKEN not in repr(service)
        assert TOKEN not in repr(sent)


async def test_bad_token_is_refused_with_the_vendors_words() -> None:
    clock = ScaledClock(START, 1.0)
    async with LoopbackPushover(clock, TOKEN, USER) as pushover, client(pushover, "x" * 30) as service:
        for answer in (
            await service.validate(),
            await service.limits(),
            await service.send(service.message({"message": "m"})),
        ):
            assert answer.result is Result.REFUSED
            assert answer.errors == ("application token is invalid",)
            assert answer.reason == "400: application token is invalid"


@pytest.mark.parametrize(
    ("response", "result", "reason"),
    [
        (httpx.Response(200, json={"status": 1}), Result.OK, ""),
        (httpx.Response(200, json={"status": 0, "errors": ["no"]}), Result.FAILED, "200: no"),
        (httpx.Response(200, json={"status": 0}), Result.FAILED, "200: no reason given"),
        (httpx.Response(200, json=[1]), Result.LOST, "200 with a body that is no answer"),
        (httpx.Response(200, content=b"\xff\xfe"), Result.LOST, "200 with a body that is no answer"),
        (httpx.Response(200, content=b"[" * 100_000), Result.LOST, "200 with a body that is no answer"),
        (httpx.Response(302, headers={"Location": "/"}), Result.FAILED, "status 302"),
        (httpx.Response(503, text="x"), Result.FAILED, "status 503"),
        (httpx.Response(404, json={"errors": [f"a\nb {TOKEN}"]}), Result.REFUSED, "404: a b ***"),
        (httpx.Response(400, json={"errors": "x"}), Result.REFUSED, "400: no reason given"),
        (httpx.Response(429), Result.FAILED, "429, a passing limit"),
    ],
)
async def test_answers(response: httpx.Response, result: Result, reason: str) -> None:
    transport = httpx.MockTransport(lambda _: response)
    async with Pushover("https://example.com", SecretStr(TOKEN), SecretStr(USER), transport) as service:
        answer = await service.send(service.message({"message": "m"}))
    assert (answer.result, answer.reason) == (result, reason)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (httpx.ConnectError, Result.FAILED),
        (httpx.ConnectTimeout, Result.FAILED),
        (httpx.PoolTimeout, Result.FAILED),
        (httpx.ReadTimeout, Result.LOST),
        (httpx.ReadError, Result.LOST),
        (httpx.WriteError, Result.LOST),
        (httpx.RemoteProtocolError, Result.LOST),
        (httpx.DecodingError, Result.LOST),
        (TimeoutError, Result.LOST),
        (OSError, Result.LOST),
    ],
)
async def test_failures_are_told_in_words(error: type[Exception], result: Result) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error(f"failed at {request.url} with {TOKEN}")

    async with Pushover(
        "https://example.com", SecretStr(TOKEN), SecretStr(USER), httpx.MockTransport(fail)
    ) as service:
        answer = await service.limits()
    assert answer.result is result
    assert answer.reason.endswith(f"({error.__name__})")
    assert TOKEN not in repr(answer)


async def test_answer_that_drips_ends_at_the_deadline() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b"{")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Pushover(url, SecretStr(TOKEN), SecretStr(USER), exchange_s=0.3) as service:
            answer = await service.send(service.message({"message": "m"}))
        assert (answer.result, answer.reason) == (Result.LOST, "no answer in time (TimeoutError)")
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("raw", "whole"),
    [(5, 5), ("5", 5), (True, None), (-1, None), (5.5, None), ("x", None), ("٣", None), (10**30, None)],
)
async def test_numbers_of_the_quota(raw: Any, whole: int | None) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"status": 1, "remaining": raw}))
    async with Pushover("https://example.com", SecretStr(TOKEN), SecretStr(USER), transport) as service:
        assert (await service.limits()).remaining == whole


def test_outbox_forgets_the_oldest_outcomes_only() -> None:
    outbox = Outbox()
    for number in range(REMEMBERED_MAX + 1):
        outbox.settle(outbox.add(sell(START, f"{number}"), START), Outcome.ACCEPTED)
    assert outbox.entries == []
    assert outbox.outcome(AlertKind.SELL, "0") is None
    assert outbox.outcome(AlertKind.SELL, "1") is Outcome.ACCEPTED
    assert not outbox.sold("0")
    assert outbox.sold("1")
