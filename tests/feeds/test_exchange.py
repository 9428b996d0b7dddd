"""Whether the exchange is open and our clock right: what the vendor says, and what is believed of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from events import SECOND, Hold, HoldReason
from feeds.exchange import BarLags, ClockJudge, ClockWatch, ExchangeWatch
from feeds.massive.rest import Rest
from feeds.vendor import NoAnswer
from sim.server import LoopbackMarket
from tests.builders import bar
from tests.stage import KEY, market, session
from timekeeping import VendorOffset
from utils import ScaledClock

OPEN = session().open


class Scripted:
    """A vendor that gives these answers, one after the other, and the last one for ever."""

    def __init__(self, clock: ScaledClock, *answers: str | Exception) -> None:
        self.vendor_time: VendorOffset | None = None
        self.skews_measured = 0
        self.asked: list[int] = []
        self._clock = clock
        self._answers = list(answers)

    async def market_status(self) -> str:
        self.asked.append(self._clock.now())
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def busy(retry_after: float) -> NoAnswer:
    error = NoAnswer("too many requests (429)")
    error.retry_after = retry_after
    return error


@asynccontextmanager
async def read(events: AsyncGenerator[Sequence[Hold], None]) -> AsyncIterator[list[Hold]]:
    """What comes out, as it comes."""
    seen: list[Hold] = []

    async def pump() -> None:
        async for batch in events:
            seen.extend(batch)

    task = asyncio.create_task(pump())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task


async def until(holds: Callable[[], Any], what: str) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  a clock's and a server's making
            await asyncio.sleep(0.002)
    assert holds(), what


def market_closed(on: bool) -> Hold:
    return Hold(reason=HoldReason.MARKET_CLOSED, on=on)


# --- The exchange ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["open"], []),
        (["closed", "open"], [True, False]),
        (["extended-hours", "open"], []),  # late at the open
        (["extended-hours", "extended-hours", "open"], [True, False]),
        (["extended-hours", NoAnswer("timeout"), "extended-hours", "open"], []),  # not in a row
        (
            ["closed", NoAnswer("timeout"), NoAnswer("unusable"), "closed", "open"],
            [True, False],
        ),  # no answer changes nothing
        ([NoAnswer("timeout"), "open"], []),
    ],
)
async def test_entries_are_held_while_the_exchange_is_closed(
    answers: list[str | Exception], expected: list[bool]
) -> None:
    clock = ScaledClock(OPEN, 3000.0)
    vendor = Scripted(clock, *answers)
    async with read(ExchangeWatch(vendor=vendor, clock=clock, session=session()).events()) as seen:
        await until(lambda: len(vendor.asked) == len(answers), "asked until it is open")
        at = clock.now()
        await until(lambda: clock.now() > at + 200 * SECOND, "a while")
    assert seen == [market_closed(on) for on in expected]
    assert len(vendor.asked) == len(answers)  # an open exchange is not asked again
    assert vendor.asked[0] >= OPEN + 5 * SECOND
    assert all(later - early >= 60 * SECOND for early, later in itertools.pairwise(vendor.asked))


async def test_a_missing_answer_is_said_once_and_a_pause_asked_for_is_kept_within_bounds() -> None:
    clock = ScaledClock(OPEN, 3000.0)
    vendor = Scripted(
        clock,
        busy(100.0),
        busy(3600.0),
        NoAnswer("unusable"),
        NoAnswer("unusable"),
        NoAnswer("timeout"),
        "open",
    )
    with capture_logs() as logs:
        async with read(ExchangeWatch(vendor=vendor, clock=clock, session=session()).events()):
            await until(lambda: len(vendor.asked) == 6, "asked until it is open")
    assert [line["text"] for line in logs if line["event"] == "market_status_failed"] == [
        f"⚠️ Cannot tell whether the exchange is open ({why}); asking again every minute"
        for why in ("too many requests (429)", "unusable", "timeout")
    ]
    first, second, third, *_ = vendor.asked
    assert second - first >= 100 * SECOND
    assert 600 * SECOND <= third - second < 3000 * SECOND


async def test_a_status_that_is_not_in_the_list_is_no_answer() -> None:
    """It holds nothing and releases nothing; the log shows the word, without what could move a terminal's cursor."""
    words = iter(["closed", "paused", "OPEN", "", "a\x1b[31mb", "open"])

    def serve(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"market": next(words)})

    clock = ScaledClock(OPEN, 3000.0)
    rest = Rest("https://api.example.test", KEY, clock, httpx.MockTransport(serve))
    with capture_logs() as logs:
        async with read(ExchangeWatch(vendor=rest, clock=clock, session=session()).events()) as seen:
            await until(lambda: len(seen) == 2, "asked until it is open")
    await rest.aclose()
    assert seen == [market_closed(True), market_closed(False)]
    assert [line["reason"] for line in logs if line["event"] == "market_status_failed"] == [
        f"unusable answer: market status {word}" for word in ("paused", "OPEN", "(none)", "a [31mb")
    ]


async def test_nobody_is_asked_after_the_close() -> None:
    clock = ScaledClock(session().close - 90 * SECOND, 1000.0)
    vendor = Scripted(clock, "closed")
    async with read(ExchangeWatch(vendor=vendor, clock=clock, session=session()).events()):
        await until(lambda: clock.now() > session().close + 200 * SECOND, "after the close")
    assert 1 <= len(vendor.asked) <= 2
    assert max(vendor.asked) < session().close


# --- The clock ---------------------------------------------------------------------------------------


@asynccontextmanager
async def vendor(
    speed: float = 60.0, second: int = 3000
) -> AsyncIterator[tuple[LoopbackMarket, Rest, ScaledClock]]:
    """The loopback vendor, and the clock of a worker of which nothing is wrong yet."""
    true = ScaledClock(OPEN + second * SECOND, speed)
    clock = ScaledClock(true.start, speed, true.origin_ns)
    async with LoopbackMarket(market(), true, KEY) as server:
        rest = Rest(server.rest_url, KEY, clock)
        try:
            yield server, rest, clock
        finally:
            await rest.aclose()


def watch_of(rest: Rest, clock: ScaledClock, lags: BarLags | None = None) -> ClockWatch:
    judge = ClockJudge(clock, 2.0)
    return ClockWatch(vendor=rest, clock=clock, judge=judge, lags=BarLags(30) if lags is None else lags)


@pytest.mark.parametrize(("by", "text"), [(3.5, "behind"), (-3.5, "ahead of"), (-86_400 * 3, "ahead of")])
async def test_clocks_that_differ_hold_entries_until_they_agree(by: float, text: str) -> None:
    async with vendor() as (server, rest, clock):
        server.faults.add("skewed_date", by=by)
        watch = watch_of(rest, clock)
        holds: list[Hold] = []
        for _ in range(3):
            await rest.market_status()
            holds += filter(None, [watch.look(), watch.look()])
        [hold] = holds
        assert (hold.reason, hold.on) == (HoldReason.CLOCK_DOUBT, True)
        assert f" {text} the vendor's" in hold.detail
        server.faults.clear()
        holds.clear()
        for _ in range(3):
            await rest.market_status()
            holds += filter(None, [watch.look()])
        assert holds == [Hold(reason=HoldReason.CLOCK_DOUBT, on=False)]


async def test_an_answer_from_a_cache_is_no_fault_of_the_clock_and_one_without_a_date_says_nothing() -> None:
    async with vendor() as (server, rest, clock):
        watch = watch_of(rest, clock)
        server.faults.add("no_date")
        await rest.market_status()
        assert rest.vendor_time is None
        server.faults.clear()
        server.faults.add("cached", by=300)
        for _ in range(4):
            await rest.market_status()
            assert watch.look() is None
        assert rest.skews_measured == 4
        assert server.faults.fired["no_date"] == 1
        assert server.faults.fired["cached"] == 4


async def test_the_vendor_is_asked_for_its_time_when_nothing_else_is_asked() -> None:
    async with vendor(speed=400.0, second=-3000) as (server, rest, clock):
        server.faults.add("skewed_date", by=30.0)
        server.faults.add(
            "rest_500", path="marketstatus", times=2
        )  # an answer without success is dated as well
        with capture_logs() as logs:
            async with read(watch_of(rest, clock).events()) as seen:
                await until(lambda: seen, "doubt")
                server.faults.clear()
                await until(lambda: len(seen) == 2, "trust")
        asked = [request.at for request in server.requests]
    assert [hold.on for hold in seen] == [True, False]
    said = [line["text"] for line in logs if line["event"] in ("clock_doubted", "clock_trusted")]
    assert said[0].startswith("⚠️ Clock doubt: this machine's clock is ")
    assert said[0].endswith("No entries until they agree: set this machine's clock (NTP)")
    assert said[1:] == ["✓ This machine's clock and the vendor's agree again"]
    assert asked[0] >= clock.start + 60 * SECOND


async def test_a_step_that_the_vendor_denies_is_held_and_passes() -> None:
    """600 s ahead for five seconds, then right."""
    async with vendor() as (_, rest, clock):
        watch = watch_of(rest, clock)
        await rest.market_status()
        assert watch.look() is None
        before = clock.now()
        clock.wall_off = 600 * SECOND
        hold = watch.look()
        assert hold is not None and hold.on
        assert hold.detail.startswith("this machine's clock is 10m00s ahead of the program's time")
        assert clock.now() - before < 60 * SECOND
        clock.wall_off = 0
        assert watch.look() == Hold(reason=HoldReason.CLOCK_DOUBT, on=False)
        assert clock.now() > before


def test_lags_are_of_first_prints_of_all_symbols_and_told_once_there_are_enough() -> None:
    lags = BarLags(4)
    for second, late, symbol in [(1, 2.0, "IWM"), (1, 2.5, "SPY"), (2, 3.0, "IWM")]:
        start = OPEN + second * SECOND
        made = bar(second, symbol=symbol)
        assert made.start == start
        lags.record(start + SECOND + round(late * SECOND), made)
    lags.record(OPEN + 900 * SECOND, bar(1, symbol="IWM"))  # a correction
    lags.record(OPEN + 900 * SECOND, bar(5, symbol="IWM", backfilled=True))
    assert lags.pop_median() is None
    lags.record(OPEN + 4 * SECOND - SECOND // 2, bar(3, symbol="IWM"))  # before its second is over
    assert lags.pop_median() == (2_500_000, OPEN + 4 * SECOND)
    assert lags.pop_median() is None


def test_bars_that_are_left_out_for_coming_early_tell_of_the_clock_too() -> None:
    lags = BarLags(3)
    now = OPEN + 10 * SECOND
    lags.record_early(now, "IWM", OPEN + 14 * SECOND)
    for _ in range(5):
        lags.record_early(now, "IWM", OPEN + 14 * SECOND)  # the same again, as from a stuck socket
    lags.record_early(now, "IWM", OPEN * 1000)  # in another unit
    assert lags.pop_median() is None
    lags.record_early(now, "SPY", OPEN + 14 * SECOND)
    lags.record(now + SECOND, bar(12))  # just near enough
    assert lags.pop_median() == (-5 * SECOND, now)


async def test_bars_alone_name_a_clock_that_is_behind() -> None:
    async with vendor() as (_, rest, clock):
        lags = BarLags(3)
        watch = watch_of(rest, clock, lags)
        holds: list[Hold | None] = []
        for second in range(6):
            made = bar(second)
            lags.record(made.end - SECOND, made)
            holds.append(watch.look())
        assert [
            hold.on for hold in holds if hold is not None
        ] == []  # all of them are of before the clock began
        start = clock.now() // SECOND + 1
        for second in range(start, start + 6):
            made = bar(second - OPEN // SECOND)
            lags.record(made.end - SECOND, made)
            holds.append(watch.look())
    [hold] = [hold for hold in holds if hold is not None]
    assert hold.detail == "this machine's clock is 3.0 s behind the vendor's, as its bars tell"
