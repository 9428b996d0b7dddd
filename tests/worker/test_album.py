"""When a picture is due, and what it shows: facts in, requests out, without a clock."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from engine import Engine
from events import (
    SECOND,
    AlertKind,
    AlertOutcome,
    Decision,
    Declined,
    DeclineReason,
    Event,
    Outcome,
    Quote,
    Tick,
    Withdrawn,
)
from messages.alert import PICTURE_LATEST_S
from pictures.facts import Dark, DayPicture, Level, Moment, TradePicture
from rules import Rules
from tests.delivery.stories import CALL, CLOSED, ID, OPENED, SESSION, time_of
from worker.album import AFTER_S, BEFORE_LEAST_S, DAY_DRAWN_S, HAND_WAITS_S, Album, Request
from worker.summary import EVENING_S, DaySummary

BOUGHT, SOLD = time_of("10:40:52"), time_of("10:44:04")
DECLINED = Declined(
    reason=DeclineReason.COOLDOWN, hold=None, price=215.0, vwap=214.9, momentum=0.01, volume_z=None
)
CLOSED_HERE = replace(CLOSED, entry=OPENED.entry, opened_at=BOUGHT)


def outcome(
    kind: AlertKind, outcome: Outcome = Outcome.ACCEPTED, alert_id: str = ID, **more: Any
) -> AlertOutcome:
    return AlertOutcome(kind=kind, id=alert_id, outcome=outcome, attempts=1, **more)


class Kept:
    """An album with its engine and summary, and the requests it has made."""

    def __init__(self, *, delay_s: int = 15, has_day: bool = True, is_on: bool = True) -> None:
        self.engine = Engine(Rules(), SESSION)
        self.summary = DaySummary(SESSION)
        self.requests: list[Request] = []
        request = self.requests.append if is_on else None
        self.album = Album(self.engine, self.summary, request, delay_s=delay_s, has_day=has_day)

    def tell(self, now: int, event: Event, *decisions: Decision) -> Kept:
        self.engine.restore(now, event, decisions)
        self.summary.record(now, event, decisions, self.engine.rules, is_blind=False)
        self.album.record(now, event, decisions)
        self.album.look(now)
        return self

    def tick(self, start: int, end: int) -> Kept:
        """Ticks in [start, end], one a second."""
        for now in range(start, end + 1, SECOND):
            self.tell(now, Tick())
        return self

    def traded(self, told: Outcome = Outcome.ACCEPTED) -> Kept:
        """A BUY and a SELL, both told at once."""
        self.tick(BOUGHT - 60 * SECOND, BOUGHT - SECOND)
        self.tell(BOUGHT, Tick(), OPENED).tell(BOUGHT, outcome(AlertKind.BUY))
        for now in range(BOUGHT + SECOND, SOLD, SECOND):
            quote = Quote(contract=CALL, at=now, bid=14_300, ask=14_500, bid_size=9, ask_size=9)
            self.tell(now, quote).tell(now, Tick())
        return self.tell(SOLD, Tick(), CLOSED_HERE).tell(SOLD, outcome(AlertKind.SELL, told))


def test_a_trade_s_picture_is_due_once_what_a_hand_got_is_known() -> None:
    kept = Kept().traded()
    kept.tick(SOLD + SECOND, SOLD + 15 * SECOND)
    kept.tell(SOLD + 15 * SECOND, outcome(AlertKind.SELL, Outcome.ACKNOWLEDGED))  # that begins nothing anew
    kept.tell(SOLD + 15 * SECOND, Tick(), DECLINED)
    assert kept.requests == []
    kept.tick(SOLD + 16 * SECOND, SOLD + 60 * SECOND)
    (request,) = kept.requests
    assert request.alert.title == f"🖼️ IWM: trade #{ID}"
    assert request.alert.message.splitlines() == [
        "10:40:52–10:44:04 ET, held 3m12s.",
        "Entry $1.45, peak $2.10, bid at the SELL $1.43.",
        "By hand: no quote.",  # none came after the SELL
        f"#{ID}",
    ]
    assert not request.alert.repeat
    assert not request.is_of_day


def test_it_shows_the_trade() -> None:
    kept = Kept().traded().tick(SOLD + SECOND, SOLD + 30 * SECOND)
    picture = kept.requests[0].make()
    assert isinstance(picture, TradePicture)
    assert (picture.symbol, picture.call, picture.id) == ("IWM", "215 call", ID)
    assert picture.bought == Moment(BOUGHT, 215.34)
    assert picture.sold == Moment(SOLD, 214.89)
    assert (picture.entry, picture.exit, picture.peak) == (14_500, 14_500, 21_000)
    assert picture.levels[0] == Level("Stop", 12_325)
    assert [level.name for level in picture.levels[1:]] == ["Cap 20%", "Cap 30%"]
    assert [level.of_peak for level in picture.levels[1:]] == pytest.approx([0.8, 0.7])
    assert picture.reason == "Giveback 31.0% (Hard cap 30%)"
    assert (picture.by_hand, picture.percent) == ("no quote", None)
    assert picture.at_once == "+$0.20 at 0 s"
    seconds = picture.seconds
    assert seconds.at[0] == BOUGHT - 60 * SECOND
    assert seconds.at[-1] == SOLD + AFTER_S * SECOND
    held = [mark for at, mark in zip(seconds.at, seconds.mark, strict=True) if BOUGHT < at < SOLD]
    assert set(held) == {14_400}
    assert [at for at, peak in zip(seconds.at, seconds.peak, strict=True) if peak] == list(
        range(BOUGHT, SOLD, SECOND)
    )
    # It began a minute before the BUY, and no bar has ever come.
    assert [span.why for span in picture.dark][:2] == [Dark.AWAY, Dark.BLIND]


def test_a_short_trade_has_some_time_before_it() -> None:
    kept = Kept()
    kept.tick(BOUGHT - 400 * SECOND, BOUGHT - SECOND).tell(BOUGHT, Tick(), OPENED)
    sold = BOUGHT + 5 * SECOND
    kept.tell(sold, outcome(AlertKind.BUY)).tell(sold, Tick(), CLOSED_HERE)
    kept.tell(sold, outcome(AlertKind.SELL)).tick(sold + SECOND, sold + 20 * SECOND)
    picture = kept.requests[0].make()
    assert isinstance(picture, TradePicture)
    assert picture.seconds.at[0] == BOUGHT - BEFORE_LEAST_S * SECOND


def test_a_long_delay_is_not_waited_for() -> None:
    kept = Kept(delay_s=300).traded().tick(SOLD + SECOND, SOLD + (HAND_WAITS_S + 1) * SECOND)
    picture = kept.requests[0].make()
    assert isinstance(picture, TradePicture)
    assert picture.by_hand == "not known yet"


def test_a_delay_whose_moment_has_not_come_is_said_so() -> None:
    kept = Kept(delay_s=60).traded().tick(SOLD + SECOND, SOLD + (HAND_WAITS_S + 1) * SECOND)
    picture = kept.requests[0].make()
    assert isinstance(picture, TradePicture)
    assert picture.by_hand == "not known yet"


def test_without_a_delay_the_result_stands_once() -> None:
    kept = Kept(delay_s=0).traded().tick(SOLD + SECOND, SOLD + 5 * SECOND)
    picture = kept.requests[0].make()
    assert isinstance(picture, TradePicture)
    assert (picture.by_hand, picture.at_once) == ("+$0.20 (+0.1%) at 0 s", "")


@pytest.mark.parametrize("told", [Outcome.LOST, Outcome.UNSENT, Outcome.REFUSED])
def test_a_sell_that_was_not_accepted_has_its_picture_too(told: Outcome) -> None:
    assert len(Kept().traded(told).tick(SOLD + SECOND, SOLD + 20 * SECOND).requests) == 1


def test_a_sell_that_is_not_told_yet_or_only_elsewhere_has_none() -> None:
    kept = Kept()
    kept.tell(BOUGHT, Tick(), OPENED).tell(SOLD, Tick(), CLOSED_HERE)
    kept.tell(SOLD, outcome(AlertKind.SELL, channel="second channel"))
    kept.tell(SOLD, outcome(AlertKind.SELL, alert_id="abcdef"))
    assert kept.tick(SOLD + SECOND, SOLD + 60 * SECOND).requests == []


def test_a_trade_that_nobody_was_told_of_has_none() -> None:
    kept = Kept()
    kept.tell(BOUGHT, Tick(), OPENED).tell(
        BOUGHT + SECOND, Tick(), Withdrawn(id=ID, contract=CALL, detail="too late")
    )
    kept.tell(SOLD, outcome(AlertKind.SELL))
    assert kept.tick(SOLD + SECOND, SOLD + 60 * SECOND).requests == []


def test_what_is_on_record_is_not_sent_again_and_what_is_late_not_at_all() -> None:
    kept = Kept().traded()
    kept.tell(SOLD + SECOND, outcome(AlertKind.PICTURE))
    assert kept.tick(SOLD + 2 * SECOND, SOLD + 60 * SECOND).requests == []
    late = Kept().traded()
    late.tell(SOLD + (PICTURE_LATEST_S + 16) * SECOND, Tick())
    assert late.requests == []


def test_after_a_restart_one_that_was_due_before_is_marked() -> None:
    kept = Kept().traded()
    kept.album.record(SOLD + 20 * SECOND, Tick(), ())  # the last tick of an earlier start
    kept.album.resume()
    kept.tell(SOLD + 40 * SECOND, Tick())
    assert kept.requests[0].alert.repeat
    kept = Kept().traded()
    kept.album.resume()
    kept.tell(SOLD + 40 * SECOND, Tick())
    assert not kept.requests[0].alert.repeat


def test_the_day_s_picture_is_due_after_the_close() -> None:
    kept = Kept().traded().tick(SOLD + SECOND, SOLD + 20 * SECOND)
    kept.tell(SESSION.close + (DAY_DRAWN_S - 1) * SECOND, Tick())
    assert len(kept.requests) == 1
    kept.tell(SESSION.close + DAY_DRAWN_S * SECOND, Tick()).tell(SESSION.close + 25 * SECOND, Tick())
    _, request = kept.requests
    assert request.is_of_day
    assert request.alert.title == "🖼️ IWM: picture of 2025-10-02"
    picture = request.make()
    assert isinstance(picture, DayPicture)
    assert picture.headline.startswith("0 trades")
    assert picture.lines[0].startswith("Seen for ")
    (trade,) = picture.trades
    assert (trade.number, trade.text) == (1, "10:40:52–10:44:04 215c: no quote")
    assert trade.dollars is None
    assert picture.dark[-1].why is Dark.AWAY


def test_a_day_with_an_open_position_shows_it() -> None:
    kept = Kept()
    kept.tell(BOUGHT, Tick(), OPENED).tell(SESSION.close + DAY_DRAWN_S * SECOND, Tick())
    picture = kept.requests[-1].make()
    assert isinstance(picture, DayPicture)
    assert picture.trades[0].sold is None
    assert picture.trades[0].text == "10:40:52–open 215c: still open"


@pytest.mark.parametrize(
    "kept", [Kept(has_day=False), Kept(is_on=False), Kept().tell(SESSION.close, outcome(AlertKind.EVENING))]
)
def test_a_day_that_nobody_wants_or_that_was_told_has_no_picture(kept: Kept) -> None:
    assert kept.tell(SESSION.close + 60 * SECOND, Tick()).requests == []


def test_a_day_that_is_long_over_has_no_picture() -> None:
    assert Kept().tell(SESSION.close + (EVENING_S + PICTURE_LATEST_S) * SECOND, Tick()).requests == []
