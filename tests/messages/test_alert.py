"""One alert: its rank, the lines that are added when it is sent, and its length at the extremes."""

from __future__ import annotations

from msgspec.structs import replace

from alerts import alert_for
from events import SECOND, ExitReason, FeedCause
from messages import notices
from messages.alert import Rank, full_title, text_at
from rules import Rules
from tests.delivery.stories import (
    ALARM,
    CLOSED,
    CLOSED_AT,
    DECIDED,
    ID,
    OPENED,
    RULES,
    SESSION,
    buy,
    sell,
    system_pushes,
)


def test_late_and_repeat_stand_above_the_id() -> None:
    alert = alert_for(CLOSED_AT, CLOSED, RULES)
    assert alert is not None
    assert text_at(alert, CLOSED_AT + 5 * SECOND, repeat=False) == alert.message
    lines = text_at(alert, CLOSED_AT + 12 * SECOND, repeat=True).splitlines()
    assert lines[-3:] == ["Late 12 s", "Repeat of #7f3a91", "#7f3a91"]
    assert "\n".join([*lines[:-3], lines[-1]]) == alert.message
    quiet = notices.armed(DECIDED, RULES, version="1.0.0", session=SESSION, well=["bars"], lacking=[])
    assert text_at(quiet, DECIDED + 7 * SECOND, repeat=False) == f"{quiet.message}\nLate 7 s"


def test_the_title_goes_on_with_what_a_lock_screen_must_say() -> None:
    made = buy(DECIDED)
    assert full_title(made, DECIDED) == "🔥 IWM 0DTE CALL — BUY 215c ≤ $1.52 (30 s)"
    assert full_title(made, DECIDED + 11_200_000).endswith("(19 s)")
    assert full_title(made, DECIDED + 31 * SECOND).endswith("(0 s)")
    sold = [alert_for(CLOSED_AT, replace(CLOSED, bid=bid), RULES) for bid in (14_640, 0, None)]
    assert [full_title(alert, CLOSED_AT) for alert in sold if alert] == [
        "🚪 IWM 0DTE CALL — SELL +20.0 %",
        "🚪 IWM 0DTE CALL — SELL no bid",
        "🚪 IWM 0DTE CALL — SELL",
    ]
    quiet = notices.armed(DECIDED, RULES, version="1.0.0", session=SESSION, well=["bars"], lacking=[])
    assert full_title(quiet, DECIDED) == quiet.title


HUGE = 10**10
LONG_CONTRACT = "O:ABCDEFGHIJ251002C99999999"
EXTREME_BUY = replace(
    OPENED,
    contract=LONG_CONTRACT,
    strike=99_999_999,
    price=1e7,
    vwap=1e-3,
    momentum=-123456.789,
    volume_z=-1e6,
    in_range=False,
    delta=0.123456,
    iv=1e3,
    mid=HUGE + 50,
    bid=1,
    ask=2 * HUGE,
    bid_size=1e9,
    ask_size=1e9,
    entry=2 * HUGE,
    stop=HUGE + 1,
    pay_limit=3 * HUGE,
)
EXTREME_SELL = replace(
    CLOSED,
    contract=LONG_CONTRACT,
    reason=ExitReason.TIME_STOP,
    price=1e7,
    vwap=1e7,
    entry=1,
    peak=HUGE + 1,
    mark=HUGE + 1,
    mark_at=0,
    bid=HUGE + 1,
    bid_size=1e9,
    late=10**15,
)


def test_texts_fit_at_their_extremes() -> None:
    rules = Rules(symbol="ABCDEFGHIJ", max_giveback_percent=33.333333)
    pushes = [
        alert_for(DECIDED, EXTREME_BUY, rules),
        alert_for(CLOSED_AT, EXTREME_SELL, rules),
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
