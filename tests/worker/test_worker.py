"""The whole worker over real sockets: one BUY and one SELL, whatever happens to the wires."""

from __future__ import annotations

import asyncio
import errno
import io
import re
import time
from pathlib import Path

import httpx
import pytest
from websockets.frames import CloseCode

import logger
from events import SECOND, Bar, HoldReason
from record.folder import record_path
from record.reader import read
from sim.account import Plan
from sim.pushover import LoopbackPushover
from sim.server import LoopbackMarket
from tests.disk import Disk
from tests.stage import KEY, TOKEN, USER, session, stage, whole_market
from tests.worker.trades import bought, check_one_of_each, check_one_of_each_beside_the_feed, sold
from utils import SystemClock
from worker.ending import EXIT_CRASHED, EXIT_OK, EXIT_REFUSED

pytestmark = pytest.mark.virtual_time


async def test_a_session_gives_one_buy_and_one_sell(tmp_path: Path) -> None:
    async with stage(tmp_path, made=whole_market()) as play:
        await sold(play)
        await play.wait(20)
        assert await play.stop() == EXIT_OK
        check_one_of_each(play)
        assert play.vendor.requests, "REST was asked"
        assert all("apiKey" not in request.query for request in play.vendor.requests)
        codes = {ended.cluster: ended.code for ended in play.vendor.ended}
        assert codes == {"stocks": CloseCode.NORMAL_CLOSURE, "options": CloseCode.NORMAL_CLOSURE}
    entries = read(record_path(tmp_path / "data", session().date)).entries
    recorded = {(e.event.symbol, e.event.start) for e in entries if isinstance(e.event, Bar)}
    market, first = play.vendor.market, session().open
    told = [bar for name in market.symbols for bar in market.bars(name) if first <= bar.start < play.began]
    assert {(bar.symbol, bar.start) for bar in told} <= recorded  # the whole morning was filled in


async def test_a_drop_in_mid_position_costs_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await bought(play)
        play.vendor.faults.add("drop", feed="stocks")
        play.vendor.faults.add("drop", feed="options")
        await sold(play)
        await play.stop()
        check_one_of_each(play)
        assert play.vendor.faults.fired["drop"] == 2
        assert len(play.vendor.connects["stocks"]) == 2


async def test_sixty_seconds_of_silence_are_one_blind_and_one_recovered(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await play.wait(20)
        play.vendor.faults.add("silence", feed="stocks", seconds=60)
        await play.until(lambda: play.titles("feed blind"), 40, "blind")
        engine = play.worker.engine
        assert engine is not None
        assert engine.feed.is_blind
        assert engine.position is None
        await play.until(lambda: play.titles("feed recovered"), 90, "recovered")
        assert play.titles("BUY") == []
        await sold(play)
        await play.stop()
        check_one_of_each_beside_the_feed(play)


async def test_a_push_that_fails_twice_arrives_once(tmp_path: Path) -> None:
    def prepare(_: LoopbackMarket, pushover: LoopbackPushover) -> None:
        pushover.answers.extend(["500", "500"])

    # The market runs away within the 15 s of the retries: with the usual limit the BUY would be withdrawn.
    async with stage(tmp_path, prepare=prepare, pay_limit_percent=100.0) as play:
        await sold(play)
        await play.stop()
        assert len(play.titles("BUY")) == len(play.titles("SELL")) == 1
        asked = [seen.status for seen in play.pushover.asked("/1/messages.json")]
        assert asked == [500, 500, 200, 200]
        buy = next(message for message in play.pushover.messages if "BUY" in message.title)
        assert re.search(r"\nLate \d+ s\n#[0-9a-f]{6}$", buy.text)


async def test_a_push_that_is_refused_is_not_sent_again_and_was_never_a_position(tmp_path: Path) -> None:
    def prepare(_: LoopbackMarket, pushover: LoopbackPushover) -> None:
        pushover.answers.append("400")
        pushover.user_valid = True

    async with stage(tmp_path, prepare=prepare) as play:
        await play.until(lambda: play.pushover.asked("/1/messages.json"), 240, "BUY")
        engine = play.worker.engine
        assert engine is not None
        await play.until(lambda: engine.position is None and engine.book.rests_until, 30, "withdrawn")
        first = len(play.pushover.asked("/1/messages.json"))
        assert first == 1
        await play.wait(20)
        assert len(play.pushover.asked("/1/messages.json")) == 1
        assert engine.book.entries == 0
        assert play.pushover.messages == []


async def test_a_stop_with_a_position_sells_it_and_closes_the_sockets(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await bought(play)
        began = time.monotonic()
        assert await play.stop() == EXIT_OK
        assert time.monotonic() - began < 25
        assert "Reason: Shutdown (program stopping, not a market signal)" in play.pushover.messages[-1].text
        assert {ended.code for ended in play.vendor.ended} == {CloseCode.NORMAL_CLOSURE}


async def test_a_stop_may_keep_the_position_and_says_that_nobody_watches_it(tmp_path: Path) -> None:
    async with stage(tmp_path, on_shutdown="keep") as play:
        await bought(play)
        assert await play.stop() == EXIT_OK
        assert play.titles("SELL") == []
        assert re.search(r"^Unwatched from now #[0-9a-f]{6}$", play.pushover.messages[-1].text, re.M)


async def test_a_wrong_key_ends_the_program_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add("refuse_auth", feed="stocks")

    stream = io.StringIO()
    logger.setup(
        level="DEBUG",
        log_format="console",
        log_file=None,
        secrets=(KEY, TOKEN, USER),
        clock=SystemClock().now,
        stream=stream,
    )
    try:
        async with stage(tmp_path, prepare=prepare) as play:
            assert await asyncio.wait_for(play.running, 20) == EXIT_REFUSED
    finally:
        logger.close()
    assert "CRITICAL" in stream.getvalue()
    assert "POLYGON_API_KEY" in stream.getvalue()


async def test_a_wrong_key_is_known_at_the_start_and_not_before_the_open(tmp_path: Path) -> None:
    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add("rest_401")

    async with stage(tmp_path, start_s=-7200, prepare=prepare) as play:
        assert await asyncio.wait_for(play.running, 20) == EXIT_REFUSED
        assert play.vendor.connects == {"stocks": [], "options": []}


@pytest.mark.real_time
async def test_at_a_start_in_mid_session_the_feed_comes_first(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await play.until(lambda: play.vendor.connects["options"] and play.pushover.requests, 60, "the rest")
        connected = play.vendor.connects["stocks"][0]
        asked = [request.at for request in play.vendor.requests]
        pushed = [seen.at for seen in play.pushover.requests]
        assert connected < min(asked + pushed)
        assert connected < play.vendor.connects["options"][0]


async def test_a_feed_that_does_not_come_up_keeps_no_question_waiting(tmp_path: Path) -> None:
    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add("rest_401")

    async with stage(tmp_path, prepare=prepare, polygon_ws_url="ws://127.0.0.1:9") as play:
        assert await asyncio.wait_for(play.running, 20) == EXIT_REFUSED
        assert play.vendor.connects == {"stocks": [], "options": []}


async def test_who_is_stopped_before_the_feed_comes_up_asks_nobody(tmp_path: Path) -> None:
    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add("rest_401")

    async with stage(tmp_path, prepare=prepare, polygon_ws_url="ws://127.0.0.1:9") as play:
        await play.until(lambda: play.worker.live is not None, 20, "the session")
        play.worker.stop()
        assert await asyncio.wait_for(play.running, 20) == EXIT_OK
        assert "/v1/marketstatus/now" not in {request.path for request in play.vendor.requests}


async def test_a_key_that_the_feed_has_taken_outlives_a_refusal_by_rest(tmp_path: Path) -> None:
    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add("rest_401", times=3)

    async with stage(tmp_path, prepare=prepare) as play:
        await play.until(lambda: play.vendor.faults.fired["rest_401"], 60, "refused")
        # The chain's poll may be one of those that were refused: it is made again after 300 s.
        await play.until(lambda: play.worker.engine and play.worker.engine.quotes.chain_at, 330, "the chain")


async def test_a_hold_that_began_in_the_night_holds_in_the_session(tmp_path: Path) -> None:
    def prepare(_: LoopbackMarket, pushover: LoopbackPushover) -> None:
        pushover.user_valid = False

    async with stage(tmp_path, start_s=-420, speed=40, prepare=prepare) as play:
        await play.until(lambda: play.worker.engine, 300, "the session")
        engine = play.worker.engine
        assert engine is not None
        assert engine.holds == {HoldReason.PUSH_REFUSED}


class Broken(httpx.AsyncBaseTransport):
    """A transport with a programming error in it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError("a bug, not a network")


async def test_a_crash_of_one_task_ends_the_program_with_the_reason(tmp_path: Path) -> None:
    stream = io.StringIO()
    logger.setup(
        level="DEBUG",
        log_format="console",
        log_file=None,
        secrets=(KEY, TOKEN, USER),
        clock=SystemClock().now,
        stream=stream,
    )
    try:
        async with stage(tmp_path, transport=Broken()) as play:
            assert await asyncio.wait_for(play.running, 20) == EXIT_CRASHED
    finally:
        logger.close()
    assert "Crashed: ZeroDivisionError: a bug, not a network" in stream.getvalue()


async def test_no_secret_appears_whatever_fails(tmp_path: Path) -> None:
    """Canary keys through a session of failures: refused REST, refused sockets, refused and lost pushes."""

    def prepare(vendor: LoopbackMarket, pushover: LoopbackPushover) -> None:
        for name in ("rest_401", "rest_403", "rest_500", "rest_reset", "rest_html", "rest_bad_json"):
            vendor.faults.add(name, times=2)
        vendor.faults.add("refuse_auth", feed="options")
        vendor.faults.add("garbage", feed="stocks", times=20)
        pushover.answers.extend(["500", "lost"])

    stream = io.StringIO()
    log_file = tmp_path / "worker.log"
    secrets = (KEY, TOKEN, USER)
    logger.setup(
        level="DEBUG",
        log_format="json",
        log_file=log_file,
        secrets=(),
        clock=SystemClock().now,
        stream=stream,
    )
    try:
        async with stage(tmp_path, prepare=prepare) as play:
            await play.until(lambda: play.titles("SELL") or play.titles("BUY"), 300, "a push")
            await play.wait(30)
            play.vendor.faults.add("refuse_auth", feed="stocks")
            play.vendor.faults.add("drop", feed="stocks")
            await play.wait(30)
            assert KEY not in repr(play.worker.settings)
            await play.stop()
            for name in ("rest_401", "rest_500", "garbage"):
                assert play.vendor.faults.fired[name], name
    finally:
        logger.close()
    written = stream.getvalue() + log_file.read_text(encoding="utf-8")
    assert len(written) > 10_000
    # Nothing was redacted (no secrets were given to the log), so nothing ever held one.
    for secret in secrets:
        assert secret not in written


async def test_without_quotes_in_the_plan_the_chain_prices_everything(tmp_path: Path) -> None:
    async with stage(tmp_path, plan=Plan(option_channels=())) as play:
        await sold(play)
        await play.stop()
        check_one_of_each(play)


async def test_a_disk_that_fails_holds_buys_and_lets_sells_out(tmp_path: Path) -> None:
    disk = Disk()
    async with stage(tmp_path, opener=disk) as play:
        await bought(play)
        disk.fault = errno.ENOSPC
        await play.until(lambda: play.titles("record off"), 10, "record off")
        await sold(play)
        disk.fault = 0
        await play.until(lambda: play.titles("record on"), 90, "record on")
        await play.stop()
        assert len(play.titles("record off")) == len(play.titles("record on")) == 1
    record = read(record_path(tmp_path / "data", session().date))
    kinds = [type(decision).__name__ for entry in record.entries for decision in entry.decisions]
    assert [kind for kind in kinds if kind != "Declined"] == ["Opened", "Closed"]
    numbers = [entry.number for entry in record.entries]
    assert numbers == list(range(1, len(numbers) + 1)), "what came meanwhile was kept and written"


async def test_no_buy_goes_out_while_the_record_is_off(tmp_path: Path) -> None:
    disk = Disk()
    disk.fault = errno.EROFS
    async with stage(tmp_path, opener=disk) as play:
        await play.until(lambda: play.titles("record off"), 30, "record off")
        await play.wait(180)
        assert play.titles("BUY") == []
        engine = play.worker.engine
        assert engine is not None
        assert engine.holds == {HoldReason.RECORD_OFF}


async def test_a_buy_whose_own_record_fails_is_withdrawn(tmp_path: Path) -> None:
    disk = Disk()
    disk.fails_at = b'"type":"opened"'
    async with stage(tmp_path, opener=disk) as play:
        await play.until(lambda: play.titles("record off"), 240, "record off")
        engine = play.worker.engine
        assert engine is not None
        await play.until(lambda: engine.position is None, 10, "withdrawn")
        assert engine.book.entries == 0
        assert play.titles("BUY") == []


async def test_eviction_is_told_and_not_fought(tmp_path: Path) -> None:
    async with stage(tmp_path) as play:
        await play.wait(10)
        play.vendor.faults.add("evict", feed="stocks")
        await play.until(lambda: play.titles("taken by another copy"), 30, "evicted")
        await play.wait(50)
        assert len(play.vendor.connects["stocks"]) == 1
        await play.until(lambda: len(play.vendor.connects["stocks"]) == 2, 40, "back after a minute")
        await play.until(lambda: play.titles("feed recovered"), 30, "recovered")


async def test_an_unscheduled_closing_is_told_and_gives_no_entry(tmp_path: Path) -> None:
    def prepare(vendor: LoopbackMarket, _: LoopbackPushover) -> None:
        vendor.faults.add("market_closed")

    async with stage(tmp_path, prepare=prepare) as play:
        await play.until(lambda: play.titles("market closed"), 60, "told")
        await play.wait(180)
        assert play.titles("BUY") == []


async def test_a_session_ends_with_its_summary_and_sleeps(tmp_path: Path) -> None:
    async with stage(tmp_path, start_s=23_300, speed=60, daily_summary=True) as play:
        await play.until(lambda: play.titles("armed"), 120, "armed")
        await play.until(
            lambda: play.vendor.open_connections("stocks") == 0 and play.vendor.ended, 200, "left"
        )
        await play.until(lambda: play.titles("🌙"), 400, "evening")
        text = play.pushover.messages[-1].text
        assert re.search(
            r"^Seen for 1m\d+s of 6h30m, blind for \d+s, not running for 6h\d\dm$", text, re.M
        ), text
        assert re.search(r"^[\d,]+ evaluations, 0 signals, 0 entries$", text, re.M), text
        assert re.search(r"^(Nearest miss: \d\d:\d\d:\d\d, |No near miss: )", text, re.M), text
        assert play.pushover.messages[-1].fields["priority"] == "-1"
        folder = tmp_path / "data" / "sessions"
        await play.until(
            lambda: [path.name for path in folder.iterdir()] == ["2025-10-02.jsonl.gz"], 900, "packed"
        )
        began = time.monotonic()
        assert await play.stop() == EXIT_OK
        assert time.monotonic() - began < 5


async def test_before_the_open_it_connects_to_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path, start_s=-400, speed=60) as play:
        await play.wait(60)
        assert play.vendor.connects == {"stocks": [], "options": []}
        await play.until(lambda: play.vendor.connects["stocks"], 60, "connected")
        assert play.vendor.connects["stocks"][0] >= session().open - 300 * SECOND
        await play.until(lambda: play.worker.engine and play.worker.engine.evaluation, 420, "evaluated")
        assert play.titles() == []
