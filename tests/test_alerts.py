"""What the phone is told of each decision, exact to the character."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from alerts import alert_for
from events import (
    SECOND,
    AlertKind,
    Declined,
    DeclineReason,
    ExitReason,
    FeedCause,
    FeedRecovered,
    MarkBack,
    MarkLost,
    Withdrawn,
)
from messages.causes import STILL_WATCHED
from rules import Rules
from tests.delivery.stories import (
    ALARM,
    CALL,
    CLOSED,
    CLOSED_AT,
    DECIDED,
    ID,
    OPENED,
    RULES,
    SESSION,
    TIME_STOP,
    shown,
    time_of,
)

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
        "second one is probably running on the same account",
        "laptop",
        "Render",
        "second key does not help",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("untold", "line"),
    [(1, "1 earlier blind spell was not pushed."), (3, "3 earlier blind spells were not pushed.")],
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
    assert ("All exits apply again." in alert.message) is (position is not None)
    assert alert.priority == (1 if position else 0)


def test_a_traded_symbol_that_alone_is_blind_is_named() -> None:
    unseen = replace(ALARM, cause=FeedCause.UNSEEN, symbol="IWM", position=ID)
    assert shown(alert_for(DECIDED, unseen, RULES)) == (
        "⚠️ IWM: feed blind (IWM not seen)\n\n"
        "IWM does not trade or is not being sent, while SPY is.\n"
        "No usable bar of IWM since 10:41:22 ET.\n"
        "Now: no entries; asking the vendor's REST API every 5 s, and reconnecting if it has newer data.\n"
        f"{STILL_WATCHED}\n"
        "You: check whether trading in it is halted.\n"
        f"#{ID}"
    )
    stalled = shown(alert_for(DECIDED, replace(unseen, cause=FeedCause.STALL), RULES))
    assert (
        "IWM has stalled: bars of SPY arrive, bars of IWM do not, and the vendor's REST API has newer ones."
        in stalled
    )
    late = shown(alert_for(DECIDED, replace(unseen, cause=FeedCause.LAG), RULES))
    assert "Bars of IWM arrive too late to act on, while those of SPY are on time." in late


def test_a_missing_benchmark_is_named_and_is_no_blindness() -> None:
    alarm = alert_for(DECIDED, replace(ALARM, cause=FeedCause.UNSEEN, symbol="SPY", position=ID), RULES)
    assert alarm is not None and alarm.id == "SPY not seen"
    assert alarm.title == "⚠️ IWM: benchmark missing (SPY not seen)"
    assert alarm.message.startswith("SPY does not trade or is not being sent, while IWM is.\n")
    assert "Now: no entries, because SPY is the benchmark; " in alarm.message
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
    assert back.message.startswith("Bars of SPY arrive again.")
    assert "exits" not in back.message


def test_mark_lost_and_back() -> None:
    lost = MarkLost(id=ID, contract=CALL, since=time_of("10:41:22"), mark=14_300)
    alert = alert_for(DECIDED, lost, RULES)
    assert alert is not None
    assert alert.title == "⚠️ IWM: no price for the open position"
    assert alert.message == (
        f"{CALL} has had no usable price since 10:41:22 ET. The last was $1.43.\n"
        "Now: stop loss and givebacks wait for a price; the time stop still applies.\n"
        "You: check the quote, and close it yourself if you want out.\n"
        "#7f3a91"
    )
    assert "The last was" not in shown(alert_for(DECIDED, replace(lost, mark=None), RULES))
    back = MarkBack(id=ID, contract=CALL, since=time_of("10:41:22"), mark=14_350)
    text = shown(alert_for(time_of("10:42:07"), back, RULES))
    assert f"{CALL} has a usable price again: $1.435. There was none for 45s, since 10:41:22 ET." in text
    assert alert.priority == 1
