"""The stocks feed on a loopback market: bars, gaps, refusals, silence."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from events import SECOND, Bar, Covered, FeedCause, FeedLost, FeedRestored, Hold, HoldReason
from feeds.massive.bad_input import BadReason
from feeds.massive.socket import Sockets
from feeds.vendor import VendorRefused
from rules import Rules
from sim.account import Plan
from sim.broken import GARBAGE
from tests.feeds.scene import BEGIN, RULES, assert_true_bar, first_prints, open_place, session, texts
from tests.wire import KEY


async def test_bars_are_what_the_market_printed_and_the_socket_is_closed_properly(logged: list[Any]) -> None:
    async with open_place() as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 60 and len(watch.all(Covered)) == 2)
        assert place.server.subscriptions("stocks") == {"A.IWM", "A.SPY"}
        await watch.stop()
        await asyncio.sleep(0.05)
        assert [(end.cluster, end.code) for end in place.server.ended] == [("stocks", 1000)]
    assert texts(logged)[0] == "🔌 Connected: stocks, 2 of 2 subscribed"
    assert watch.facts() == [FeedRestored()]
    restored_at = next(at for at, event in watch.seen if isinstance(event, FeedRestored))
    for symbol in ("IWM", "SPY"):
        live = {bar.start for bar in watch.live() if bar.symbol == symbol}
        due = {
            start for start, bar in first_prints(symbol).items()
            if restored_at + SECOND < bar.sent_at and start <= max(live)
        }  # fmt: skip
        assert due <= live
    for bar in watch.all(Bar):
        assert_true_bar(bar)


async def test_a_start_in_mid_session_fills_the_day_so_far(logged: list[Any]) -> None:
    async with open_place() as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.all(Covered)) == 2)
        began = session().open + BEGIN * SECOND
    filled = [(at, bar) for at, bar in watch.seen if isinstance(bar, Bar) and bar.backfilled]
    assert all(bar.end + 2 * SECOND <= at for at, bar in filled)
    for covered in watch.all(Covered):
        assert covered.start == session().open and covered.end > began
        known = {bar.start for bar in watch.all(Bar) if bar.symbol == covered.symbol}
        # The last seconds of the span may still be on their way over the socket.
        due = {
            start
            for start in first_prints(covered.symbol)
            if covered.start <= start < covered.end - 5 * SECOND
        }
        assert due <= known
    assert any(
        re.fullmatch(r"⏳ Backfill IWM: 1,[2-9]\d\d seconds from 09:30:00", text) for text in texts(logged)
    )
    asked = [request for request in place.server.requests if "/aggs/ticker/IWM" in request.path]
    assert len(asked) == 2 and asked[1].at - asked[0].at >= 5 * SECOND
    # The second answer is told only where it differs.
    assert len(filled) < 1.2 * len({(bar.symbol, bar.start) for _, bar in filled})


async def test_before_the_open_nothing_is_missing_and_backfill_from_shortens_the_gap() -> None:
    async with open_place(second=-60) as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 5)
        assert not place.server.requests and not watch.all(Covered)
    async with open_place() as place:
        start = session().open + 900 * SECOND
        _, watch = place.stocks(backfill_from=start)
        await watch.until(lambda: len(watch.all(Covered)) == 2)
        assert {covered.start for covered in watch.all(Covered)} == {start}


@pytest.mark.parametrize("stage", ["now", "open", "auth", "subscribe"])
async def test_a_drop_is_told_made_good_and_its_gap_filled(stage: str, logged: list[Any]) -> None:
    async with open_place() as place:
        _, watch = place.stocks(backfill_from=session().open + 1100 * SECOND)
        await watch.until(lambda: len(watch.all(Covered)) == 2 and len(watch.live()) > 20)
        if stage != "now":
            place.faults.add("drop", feed="stocks", stage=stage)
        place.faults.add("drop", feed="stocks", stage="now")
        await watch.until(lambda: len(watch.all(Covered)) == 4 and len(watch.all(FeedRestored)) >= 2)
        assert place.faults.fired["drop"] == (1 if stage == "now" else 2)
    assert watch.facts()[:2] == [FeedRestored(), FeedLost(cause=FeedCause.DROPPED)]
    # A drop between the acknowledgement and the first bar is a loss of its own; before it, the outage goes on.
    assert watch.facts()[2:] in (
        [FeedRestored()],
        [FeedRestored(), FeedLost(cause=FeedCause.DROPPED), FeedRestored()],
    )
    lost_at = next(at for at, event in watch.seen if isinstance(event, FeedLost))
    for covered in watch.all(Covered)[2:]:
        newest = max(bar.start for at, bar in watch.seen if isinstance(bar, Bar) and not bar.backfilled
                     and bar.symbol == covered.symbol and at <= lost_at)  # fmt: skip
        assert covered.start == max(session().open, newest - 119 * SECOND)
        assert covered.end > lost_at
        known = {bar.start for bar in watch.all(Bar) if bar.symbol == covered.symbol}
        first = session().open + 1100 * SECOND
        due = {start for start in first_prints(covered.symbol) if first <= start < covered.end - 5 * SECOND}
        assert due <= known
    assert "🔌 Disconnected: stocks, connection lost without a close frame; next attempt in 1 s" in texts(
        logged
    ) or "🔌 Disconnected: stocks, connection lost without a close frame; next attempt in 2 s" in texts(
        logged
    )


async def test_a_server_that_accepts_and_closes_is_not_called_more_than_twelve_times_a_minute() -> None:
    async with open_place(speed=600) as place:
        place.faults.add("accept_then_close", times=1000, feed="stocks")
        _, watch = place.stocks()
        await watch.until(lambda: len(place.server.connects["stocks"]) >= 10)
    at = place.server.connects["stocks"]
    assert watch.facts() == [FeedLost(cause=FeedCause.NOT_CONNECTED)]
    assert max(sum(begin <= other < begin + 60 * SECOND for other in at) for begin in at) <= 12
    assert place.gaps()[-1] > 25


async def test_a_stall_that_rest_can_see_closes_and_reopens_the_socket() -> None:
    async with open_place(speed=30) as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 20)
        place.faults.add("silence", feed="stocks")
        silent_at = place.clock.now()
        await watch.until(lambda: watch.all(FeedLost))
        lost_at = next(at for at, event in watch.seen if isinstance(event, FeedLost))
        assert (lost_at - silent_at) / SECOND >= 5
        place.faults.clear()
        count = len(watch.live())
        await watch.until(lambda: len(watch.live()) > count + 10)
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.STALL), FeedRestored()]


async def test_a_ping_that_is_not_answered_confirms_a_stall_without_rest() -> None:
    async with open_place(speed=2, rules=RULES.model_copy(update={"stall_seconds": 1})) as place:
        _, watch = place.stocks()
        await watch.until(watch.live)
        place.faults.add("rest_reset", times=1000)
        place.faults.add("silence", feed="stocks", pings=False)
        await watch.until(lambda: watch.all(FeedLost))
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.STALL)]


async def test_silence_that_nothing_explains_reopens_the_socket_once() -> None:
    async with open_place(speed=200, rules=Rules()) as place:
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 20)
        place.faults.add("aggregates_lag", by=3600.0)
        place.faults.add("silence", feed="stocks")
        await watch.until(lambda: len(watch.all(FeedRestored)) == 2)
        restored_at = place.clock.now()
        await watch.until(lambda: place.clock.now() - restored_at > 100 * SECOND)
        assert len(place.server.connects["stocks"]) == 2
        # A bar has come: the next silence is told again.
        place.faults.clear("silence")
        count = len(watch.live())
        await watch.until(lambda: len(watch.live()) > count + 5)
        place.faults.add("silence", feed="stocks")
        await watch.until(lambda: len(watch.all(FeedLost)) == 2)
    assert watch.facts()[:4] == [FeedRestored(), FeedLost(cause=FeedCause.SILENCE)] * 2


async def test_silence_means_nothing_before_the_open() -> None:
    async with open_place(speed=300, second=-200, rules=Rules()) as place:
        place.faults.add("silence", feed="stocks", seconds=140.0)
        _, watch = place.stocks()
        await watch.until(watch.live)
    assert watch.facts() == [FeedRestored()]


async def test_an_evicted_connection_waits_a_minute_then_two(logged: list[Any]) -> None:
    async with open_place(speed=400) as place:
        place.faults.add("evict", feed="stocks", after=5.0)
        _, watch = place.stocks()
        await watch.until(lambda: watch.all(FeedLost))
        place.faults.add("max_connections_at_auth", feed="stocks")
        await watch.until(lambda: len(watch.all(FeedRestored)) == 2)
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.EVICTED), FeedRestored()]
    assert place.gaps()[0] >= 60 and place.gaps()[1] >= 120
    lost = [entry for entry in logged if entry["event"] == "stocks_lost"]
    assert [entry["delay_s"] for entry in lost] == [60, 120]
    assert "another copy has taken the connection; next attempt in 60 s" in lost[0]["text"]


@pytest.mark.parametrize(
    ("plan", "key", "sentence"),
    [
        (None, "wrong-key", "The vendor refuses the API key (it says: authentication failed). Check POLYGON_API_KEY"),
        (Plan(websocket=False), KEY, "Your plan has no websocket access for stocks"),
        (Plan(stock_channels=("AM",)), KEY, "Your plan does not include one-second bars of IWM in real time"),
    ],
)  # fmt: skip
async def test_a_key_that_never_worked_ends_the_feed_with_a_sentence(
    plan: Plan | None, key: str, sentence: str
) -> None:
    async with open_place(plan=plan, key=key, step_s=0.5) as place:
        _, watch = place.stocks()
        with pytest.raises(VendorRefused) as caught:
            await watch.until(lambda: False)
        assert place.server.open_connections("stocks") == 0
    assert str(caught.value).startswith(sentence)
    assert key not in str(caught.value)
    assert watch.seen == []


async def test_a_key_that_worked_in_an_earlier_session_does_not_end_the_program() -> None:
    async with open_place(speed=800) as place:
        earlier, watch = place.stocks()
        await watch.until(watch.live)
        await watch.stop()
        place.faults.add("refuse_auth", feed="stocks")
        _, watch = place.stocks(key_has_worked=earlier.key_has_worked)
        await watch.until(lambda: FeedRestored() in watch.facts())
        assert place.faults.fired["refuse_auth"] == 1
    assert watch.facts() == [
        FeedLost(cause=FeedCause.REFUSED),
        Hold(reason=HoldReason.KEY_REFUSED, on=True),
        FeedRestored(),
        Hold(reason=HoldReason.KEY_REFUSED, on=False),
    ]


@pytest.mark.parametrize("has_worked", [True, False])
async def test_a_refusal_with_something_at_stake_holds_entries_and_is_tried_again(has_worked: bool) -> None:
    async with open_place(speed=800) as place:
        if not has_worked:
            place.faults.add("refuse_auth", feed="stocks")
        _, watch = place.stocks(position=not has_worked)
        if has_worked:
            await watch.until(lambda: len(watch.live()) > 5)
            place.faults.add("refuse_auth", feed="stocks")
            place.faults.add("drop", feed="stocks")
        await watch.until(lambda: len(watch.all(Hold)) == 2 and len(watch.live()) > 5)
    refused = [
        FeedLost(cause=FeedCause.REFUSED),
        Hold(reason=HoldReason.KEY_REFUSED, on=True),
        FeedRestored(),
        Hold(reason=HoldReason.KEY_REFUSED, on=False),
    ]
    before = [FeedRestored(), FeedLost(cause=FeedCause.DROPPED)] if has_worked else []
    assert watch.facts() == [*before, *refused]
    assert place.gaps()[-1] >= 300


async def test_without_the_traded_symbol_s_acknowledgement_the_socket_is_reopened(logged: list[Any]) -> None:
    async with open_place(speed=20, step_s=0.4) as place:
        place.faults.add("no_ack", feed="stocks", pair="A.IWM")
        _, watch = place.stocks()
        await watch.until(lambda: watch.all(FeedRestored))
        assert len(place.server.connects["stocks"]) == 2
    assert watch.facts() == [FeedLost(cause=FeedCause.NOT_CONNECTED), FeedRestored()]
    assert any("A.IWM was not acknowledged within 0.4 s" in text for text in texts(logged))


async def test_without_the_benchmark_s_acknowledgement_it_goes_on(logged: list[Any]) -> None:
    async with open_place(speed=20, step_s=0.4) as place:
        place.faults.add("no_ack", feed="stocks", pair="A.SPY")
        _, watch = place.stocks()
        await watch.until(lambda: watch.all(FeedRestored))
        assert place.server.subscriptions("stocks") == {"A.IWM"}
    assert "🔌 Connected: stocks, 1 of 2 subscribed" in texts(logged)
    assert "⚠️ Stocks: A.SPY not acknowledged; continuing without it" in texts(logged)


async def test_a_socket_that_says_nothing_is_given_up() -> None:
    async with open_place(step_s=0.4) as place:
        place.faults.add("no_connected", feed="stocks")
        _, watch = place.stocks()
        await watch.until(lambda: watch.all(FeedRestored))
    assert watch.facts() == [FeedLost(cause=FeedCause.NOT_CONNECTED), FeedRestored()]


@pytest.mark.parametrize("status", [401, 403, 429, 503, 302])
async def test_a_handshake_that_is_refused(status: int, logged: list[Any]) -> None:
    async with open_place() as place:
        place.faults.add("handshake", feed="stocks", status=status)
        _, watch = place.stocks()
        if status in (401, 403):
            with pytest.raises(VendorRefused, match="HTTP 40"):
                await watch.until(lambda: False)
            return
        await watch.until(lambda: watch.all(FeedRestored))
    assert f"handshake answered with HTTP {status}" in texts(logged)[0]


async def test_garbage_among_good_bars_costs_none_of_them(logged: list[Any]) -> None:
    async with open_place(speed=60) as place:
        place.faults.add("garbage", feed="stocks", times=2 * len(GARBAGE))
        feed, watch = place.stocks(backfill_from=session().open + 1190 * SECOND)
        await watch.until(lambda: place.faults.fired["garbage"] == 2 * len(GARBAGE), seconds=30)
        assert len(place.server.connects["stocks"]) == 1
    for bar in watch.all(Bar):
        assert_true_bar(bar)
    restored_at = next(at for at, event in watch.seen if isinstance(event, FeedRestored))
    for symbol in ("IWM", "SPY"):
        live = {bar.start for bar in watch.live() if bar.symbol == symbol}
        due = {start for start, bar in first_prints(symbol).items()
               if restored_at + SECOND < bar.sent_at and start <= max(live)}  # fmt: skip
        assert due <= live
    assert isinstance(feed._streams, Sockets)
    assert set(feed._streams.bad.counts) >= {
        BadReason.FRAME, BadReason.EVENT, BadReason.UNKNOWN_EVENT, BadReason.SYMBOL, BadReason.PRICE,
        BadReason.VOLUME, BadReason.TIME, BadReason.FUTURE, BadReason.NUMBER,
    }  # fmt: skip
    assert [entry["status"] for entry in logged if entry["event"] == "unknown_status"] == ["gremlins", ""]


async def test_late_bars_are_handed_on_as_they_are() -> None:
    async with open_place(speed=60) as place:
        place.faults.add("late", feed="stocks", by=20.0)
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.live()) > 10)
    assert all(
        at - bar.end >= 19 * SECOND for at, bar in watch.seen if isinstance(bar, Bar) and not bar.backfilled
    )


async def test_it_can_be_made_to_reopen() -> None:
    async with open_place() as place:
        feed, watch = place.stocks()
        feed.reopen(FeedCause.OVERFLOW)
        await watch.until(lambda: len(watch.live()) > 10)
        feed.reopen(FeedCause.OVERFLOW)
        feed.reopen(FeedCause.OVERFLOW)
        await watch.until(lambda: len(watch.all(FeedRestored)) == 2 and len(watch.all(Covered)) >= 2)
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.OVERFLOW), FeedRestored()]
    assert place.server.ended[0].code == 1000


async def test_what_is_taken_at_once_does_not_come_again(logged: list[Any]) -> None:
    taken: list[Any] = []

    def offer(events: Sequence[Any]) -> bool:
        if len(taken) % 2:
            taken.append(None)
            return False
        taken.append(events)
        return True

    async with open_place() as place:
        _, watch = place.stocks(offer=offer)
        await watch.until(
            lambda: (
                len(watch.live()) > 10
                and sum(
                    isinstance(event, Covered)
                    for events in [*taken, watch.all(Covered)]
                    for event in events or ()
                )
                == 2
            )
        )
    offered = [event for events in taken if events for event in events]
    bars = [event for event in offered + watch.all(Bar) if isinstance(event, Bar) and not event.backfilled]
    assert len(offered) > len(watch.live()) // 2
    assert len(bars) == len({(bar.symbol, bar.start, bar.close, bar.volume) for bar in bars})


async def test_a_backfill_that_fails_is_tried_until_it_succeeds(logged: list[Any]) -> None:
    async with open_place() as place:
        place.faults.add("rest_500", times=4, path="/v2/aggs")
        place.faults.add("rest_429", times=2, path="/v2/aggs", retry_after=3)
        place.faults.add("bad_page", times=2, path="/v2/aggs")
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.all(Covered)) == 2)
        assert place.faults.fired["rest_500"] == 4 and place.faults.fired["bad_page"] == 2
    for bar in watch.all(Bar):
        assert_true_bar(bar)
    failed = [entry for entry in logged if entry["event"] == "backfill_failed"]
    assert failed and all("trying again until it succeeds" in entry["text"] for entry in failed)


async def test_a_newer_connection_supersedes_a_backfill_and_keeps_its_gap() -> None:
    async with open_place() as place:
        hanging = place.faults.add("rest_hang", times=2, path="/v2/aggs", real_seconds=1.0)
        feed, watch = place.stocks()
        await watch.until(lambda: hanging.fired == 2 and watch.live())
        feed.reopen(FeedCause.OVERFLOW)
        await watch.until(lambda: len(watch.all(Covered)) == 2, seconds=4)
    assert {covered.start for covered in watch.all(Covered)} == {session().open}
