"""The feeds on real sockets: which silence, lag and refusal they believe, and what they take for covered."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket as socket_module
import ssl
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from websockets.asyncio.server import ServerConnection

from events import SECOND, Bar, Covered, FeedCause, FeedLost, FeedRestored, Quote
from polygon_client import BadInput, FrameDecoder, Lost, Pacing, Socket, VendorRefused, Wanted, _is_vendors
from tests.test_polygon_client import (
    BEGIN,
    RULES,
    Place,
    Watch,
    first_prints,
    log_in,
    open_place,
    read_on,
    scripted,
    scripted_stocks,
    session,
    status,
)
from tests.wire import KEY, frame
from utils import SystemClock

PATIENT = RULES.model_copy(update={"stall_seconds": 20, "symbol_silence_seconds": 25})
"""A busy machine must not look like a silent feed on a fast clock."""


def causes(watch: Watch) -> list[tuple[FeedCause, str]]:
    return [(event.cause, event.symbol) for event in watch.all(FeedLost)]


def live_of(watch: Watch, symbol: str) -> list[Bar]:
    return [bar for bar in watch.live() if bar.symbol == symbol]


async def seen(place: Place, watch: Watch) -> None:
    """Both symbols come, and nothing is missing."""
    await watch.until(
        lambda: live_of(watch, "IWM") and live_of(watch, "SPY") and len(watch.all(Covered)) >= 2
    )


async def pass_by(place: Place, watch: Watch, seconds: float) -> None:
    """Let market time pass under a feed that goes on."""
    end = place.clock.now() + round(seconds * SECOND)
    await watch.until(lambda: place.clock.now() >= end)


# --- One symbol's silence ----------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["IWM", "SPY"])
async def test_a_symbol_that_rest_has_and_the_socket_does_not_send_is_a_stall_of_it(symbol: str) -> None:
    async with open_place(rules=PATIENT) as place:
        _, watch = place.stocks()
        await seen(place, watch)
        place.faults.add("one_silent", symbol=symbol, cured=True)
        began = place.clock.now()
        await watch.until(lambda: causes(watch))
        lost_at = next(at for at, event in watch.seen if isinstance(event, FeedLost))
        count = len(live_of(watch, symbol))
        await watch.until(lambda: len(live_of(watch, symbol)) > count + 5 and len(watch.all(Covered)) >= 4)
    assert causes(watch) == [(FeedCause.STALL, symbol)]
    assert 20 <= (lost_at - began) / SECOND <= 60
    known = {bar.start for bar in watch.all(Bar) if bar.symbol == symbol}
    end = max(covered.end for covered in watch.all(Covered) if covered.symbol == symbol)
    lacking = {start for start in first_prints(symbol) if began <= start < end} - known
    assert lacking == set(), "what was not sent was filled"


@pytest.mark.parametrize(("silence_s", "is_asked"), [(19.9, False), (20.0, True)])
async def test_a_symbol_is_asked_about_from_twenty_seconds_of_its_silence_on(
    silence_s: float, is_asked: bool
) -> None:
    async with open_place(rules=RULES) as place:
        feed, watch = place.stocks()
        await seen(place, watch)
        newest = feed._progress_at["IWM"]
        assert feed._is_silent("IWM", newest + round(silence_s * SECOND)) is is_asked


async def test_a_symbol_that_rest_has_not_either_is_left_alone_and_its_gap_filled_when_it_comes() -> None:
    async with open_place(rules=PATIENT) as place:
        _, watch = place.stocks()
        await seen(place, watch)
        place.faults.add("one_silent", symbol="IWM", rest=False)
        began = place.clock.now()
        await pass_by(place, watch, 120)
        asked = [request for request in place.server.requests if "/aggs/ticker/IWM" in request.path]
        assert len(asked) > 5, "REST is asked again and again"
        covered, bars = len(watch.all(Covered)), len(live_of(watch, "IWM"))
        place.faults.add("aggregates_lag", by=200.0)  # REST does not get ahead of the socket
        place.faults.clear("one_silent")
        await watch.until(lambda: len(live_of(watch, "IWM")) > bars)
        place.faults.clear()
        await watch.until(lambda: len(watch.all(Covered)) > covered)
        assert len(place.server.connects["stocks"]) == 1
    last = watch.all(Covered)[-1]
    assert last.symbol == "IWM" and last.start <= began < last.end


async def test_a_symbol_that_no_new_connection_brings_back_is_not_reopened_for_without_end() -> None:
    async with open_place(rules=PATIENT, speed=120) as place:
        _, watch = place.stocks()
        await seen(place, watch)
        place.faults.add("one_silent", symbol="SPY")
        await watch.until(lambda: causes(watch))
        await pass_by(place, watch, 300)
        assert 2 <= len(place.server.connects["stocks"]) <= 4
    assert set(causes(watch)) == {(FeedCause.STALL, "SPY")}


# --- Repeats, pongs, lag -----------------------------------------------------------------------------


@pytest.mark.parametrize("rest_lags", [False, True])
async def test_the_same_message_again_and_again_is_no_life(rest_lags: bool) -> None:
    rules = PATIENT.model_copy(update={"silence_alarm_seconds": 60})
    async with open_place(rules=rules) as place:
        _, watch = place.stocks()
        await seen(place, watch)
        if rest_lags:
            place.faults.add("aggregates_lag", by=3600.0)
        place.faults.add("repeat", feed="stocks")
        await watch.until(lambda: causes(watch))
        assert place.faults.fired["repeat"] > 10
        place.faults.clear()
        count = len(watch.live())
        await watch.until(lambda: len(watch.live()) > count + 10)
        assert len(place.server.connects["stocks"]) == 2
    assert causes(watch) == [(FeedCause.SILENCE if rest_lags else FeedCause.STALL, "")]


async def test_a_server_that_answers_no_pings_is_left_alone_while_bars_flow() -> None:
    async with open_place(speed=100, rules=PATIENT) as place:
        place.faults.add("no_pong", feed="stocks")
        feed, watch = place.stocks()
        await seen(place, watch)
        await pass_by(place, watch, 240)
        assert place.faults.fired["no_pong"] >= 1
        assert not feed._pings_tell, "an unanswered ping proves nothing here"
        # Nor in a silence that REST does not explain.
        place.faults.add("aggregates_lag", by=3600.0)
        place.faults.add("silence", feed="stocks", seconds=270.0)
        await pass_by(place, watch, 260)
        assert len(place.server.connects["stocks"]) == 1
    assert watch.facts() == [FeedRestored()]


async def test_the_library_does_not_judge_a_connection_by_its_pongs() -> None:
    async def script(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM")
        await read_on(connection)

    async with scripted(script) as (url, _):
        clock = SystemClock()
        socket = Socket(
            "stocks", ws_url=url, api_key=KEY, clock=clock, step_s=5.0,
            decoder=FrameDecoder(BadInput("the stocks socket", clock, str)),
        )  # fmt: skip
        await socket.open()
        assert socket._connection is not None and socket._connection.ping_interval is None
        await socket.close()


@pytest.mark.parametrize(("symbol", "cured"), [("", True), ("IWM", True), ("", False)])
async def test_lag_that_lasts_reopens_the_socket_once(symbol: str, cured: bool) -> None:
    rules = PATIENT.model_copy(update={"stall_seconds": 60, "symbol_silence_seconds": 60})
    async with open_place(speed=100, rules=rules) as place:
        _, watch = place.stocks()
        await seen(place, watch)
        place.faults.add("late", symbol=symbol, by=40.0, cured=cured)
        began = place.clock.now()
        await watch.until(lambda: causes(watch))
        lost_at = next(at for at, event in watch.seen if isinstance(event, FeedLost))
        await pass_by(place, watch, 180)
        assert len(place.server.connects["stocks"]) == 2
    newest: dict[str, int] = {}
    lags = []
    for at, bar in watch.seen:
        if isinstance(bar, Bar) and not bar.backfilled and bar.start > newest.get(bar.symbol, 0):
            newest[bar.symbol] = bar.start
            lags += [(at - bar.end) / SECOND] if at > lost_at + 30 * SECOND else []
    assert causes(watch) == [(FeedCause.LAG, "")]
    assert (lost_at - began) / SECOND >= 60
    assert (statistics.median(lags) < 15) is cured


@pytest.mark.parametrize(("late_s", "is_reopened"), [(50, False), (115, True)])
async def test_lag_reopens_the_socket_from_sixty_seconds_of_it_on(late_s: float, is_reopened: bool) -> None:
    """Late bars come from 40 s after the lag has begun to 40 s after its end: for 50 s, and for 115."""
    rules = PATIENT.model_copy(update={"stall_seconds": 60, "symbol_silence_seconds": 60})
    async with open_place(speed=60, rules=rules) as place:
        _, watch = place.stocks()
        await seen(place, watch)
        place.faults.add("late", by=40.0, seconds=late_s)
        await pass_by(place, watch, late_s + 60)
        assert bool(causes(watch)) is is_reopened


# --- What is covered ---------------------------------------------------------------------------------


async def test_empty_answers_cover_nothing() -> None:
    async with open_place() as place:
        place.faults.add("rest_empty", times=6, path="/v2/aggs")
        _, watch = place.stocks()
        await watch.until(lambda: place.faults.fired["rest_empty"] == 6)
        assert not watch.all(Covered)
        await watch.until(lambda: len(watch.all(Covered)) >= 2)
    began = session().open + BEGIN * SECOND
    for covered in watch.all(Covered):
        known = {bar.start for bar in watch.all(Bar) if bar.symbol == covered.symbol}
        assert {start for start in first_prints(covered.symbol) if covered.start <= start < began} <= known


async def test_short_answers_cover_up_to_their_end_only() -> None:
    async with open_place() as place:
        place.faults.add("aggregates_lag", by=60.0)
        _, watch = place.stocks()
        await watch.until(lambda: len(watch.all(Covered)) >= 2)
        began = session().open + BEGIN * SECOND
        for at, event in watch.seen:
            if isinstance(event, Covered):
                assert event.end <= at - 60 * SECOND
        await watch.until(lambda: sum(covered.end >= began for covered in watch.all(Covered)) == 2)


async def test_a_symbol_that_does_not_trade_is_covered_as_far_as_the_other_shows() -> None:
    async with open_place() as place:
        place.faults.add("one_silent", symbol="IWM", rest=False)
        _, watch = place.stocks()
        began = session().open + BEGIN * SECOND
        await watch.until(
            lambda: (
                {covered.symbol for covered in watch.all(Covered) if covered.end >= began + SECOND}
                == {"IWM", "SPY"}
            )
        )
    assert not live_of(watch, "IWM")


# --- Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [401, 403])
async def test_a_page_in_place_of_the_first_handshake_is_a_lost_connection(code: int) -> None:
    async with open_place() as place:
        place.faults.add("handshake", feed="stocks", status=code, html=True)
        with capture_logs() as logged:
            _, watch = place.stocks()
            await watch.until(watch.live)
    assert watch.facts() == [FeedLost(cause=FeedCause.NOT_CONNECTED), FeedRestored()]
    assert f"handshake answered with HTTP {code}, not by the vendor" in logged[0]["text"]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.text('{}[]":,status\\ud0', max_size=30).map(str.encode))
def test_no_body_of_a_refusal_ends_more_than_the_attempt(body: bytes) -> None:
    for whole in (body, b'{"status":"' + body + b'"}', b"[" * 200_000 + body):
        assert _is_vendors(whole) in (True, False)


@pytest.mark.parametrize(
    ("body", "is_vendors"),
    [
        (b'{"status":"ERROR","request_id":"1","error":"Unknown API Key"}', True),
        (b'{"status":"NOT_AUTHORIZED","message":"You are not entitled"}', True),
        (b"<html><title>403 Forbidden</title></html>", False),
        (b'{"status":"\xff"}', False),
        (b'"status"', False),
        (b"{}", False),
        (b"", False),
        (None, False),
    ],
)
def test_a_refusal_of_the_vendor_has_its_form(body: bytes | None, is_vendors: bool) -> None:
    assert _is_vendors(body) is is_vendors


async def test_a_page_that_stays_for_five_minutes_is_a_refusal() -> None:
    async with open_place(speed=400) as place:
        place.faults.add("handshake", feed="stocks", status=403, html=True, times=1000)
        _, watch = place.stocks()
        with pytest.raises(VendorRefused, match="Something on the way to the vendor's stocks socket"):
            await watch.until(lambda: False)
        at = place.server.connects["stocks"]
    assert at[-1] - at[0] >= 300 * SECOND


async def test_a_key_that_was_taken_at_a_login_does_not_end_the_program() -> None:
    async def taken(connection: ServerConnection) -> None:
        await connection.send(frame(status("connected")))
        await connection.recv()
        await connection.send(frame(status("auth_success")))
        await connection.close(1011, "")

    async def refused(connection: ServerConnection) -> None:
        await connection.send(frame(status("connected")))
        await connection.recv()
        await connection.send(frame(status("auth_failed", "authentication failed")))

    async with scripted_stocks(taken, refused) as watch:
        await watch.until(lambda: len(watch.all(FeedLost)) == 2)
    assert [cause for cause, _ in causes(watch)] == [FeedCause.NOT_CONNECTED, FeedCause.REFUSED]


@pytest.mark.parametrize(("asked", "waits"), [(10.0, 10.0), (3600.0, 300.0), (None, 0.0)])
def test_a_retry_after_is_believed_within_bounds(asked: float | None, waits: float) -> None:
    pacing = Pacing(random.Random(1))
    pacing.attempt(0)
    delay = pacing.delay(0, FeedCause.DROPPED, asked)
    assert delay == waits if waits else 1 <= delay <= 2


# --- What connecting may raise -----------------------------------------------------------------------


async def fails(url: str) -> Lost:
    """How a socket to that address fails; anything but Lost ends the test."""
    clock = SystemClock()
    socket = Socket(
        "stocks", ws_url=url, api_key=KEY, clock=clock, step_s=5.0,
        decoder=FrameDecoder(BadInput("the stocks socket", clock, str)),
    )  # fmt: skip
    with pytest.raises(Lost) as caught:
        await socket.open()
    await socket.close()
    return caught.value


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://127.0.0.1:9", "socks4a://user:secret@127.0.0.1:9", "http://127.0.0.1:9", "https://127.0.0.1:9",
        "ftp://127.0.0.1:9", "http://[::1", "http://127.0.0.1:70000", "http://a..b:80", "127.0.0.1:9", "http://",
    ],
)  # fmt: skip
async def test_no_proxy_of_the_environment_ends_more_than_the_attempt(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "wss_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    lost = await fails("wss://socket.example.invalid")
    assert lost.cause is FeedCause.DROPPED
    assert "secret" not in lost.text


@pytest.mark.parametrize(
    "url", ["ws://a..b", f"ws://{'a' * 70}.example", "ws://127.0.0.1:1", "wss://127.0.0.1:1"]
)
async def test_no_address_ends_more_than_the_attempt(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert (await fails(url)).cause is FeedCause.DROPPED


ANSWERS: dict[str, bytes] = {
    "not TLS": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a broken record": b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "noise": bytes(range(256)),
    "nothing": b"",
}


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_no_answer_to_the_first_bytes_ends_more_than_the_attempt(scheme: str, answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(100)
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await fails(f"{scheme}://127.0.0.1:{port}")).cause is FeedCause.DROPPED


@pytest.mark.parametrize("doing", ["ping", "close", "send", "recv"])
@pytest.mark.parametrize(
    "fault", [ssl.SSLError(1, "bad record mac"), ConnectionResetError(), ValueError("closed"), EOFError()]
)
async def test_a_fault_while_a_connection_is_used_or_closed_is_a_lost_connection(
    doing: str, fault: Exception
) -> None:
    """The library's connection, with one of its methods failing as a broken TLS record makes it fail."""

    async def script(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM")
        await read_on(connection)

    async def broken(*_: Any, **__: Any) -> Any:
        raise fault

    async with scripted(script) as (url, _):
        clock = SystemClock()
        socket = Socket(
            "stocks", ws_url=url, api_key=KEY, clock=clock, step_s=5.0,
            decoder=FrameDecoder(BadInput("the stocks socket", clock, str)),
        )  # fmt: skip
        await socket.open()
        setattr(socket._connection, doing, broken)
        match doing:
            case "ping":
                assert not await socket.alive()
            case "close":
                pass
            case "send":
                with pytest.raises(Lost):
                    await socket.subscribe(["A.IWM"])
            case _:
                with pytest.raises(Lost):
                    await socket.receive()
        await socket.close()


# --- The options socket ------------------------------------------------------------------------------


async def test_the_same_quote_again_and_again_is_no_stream() -> None:
    async with open_place(speed=40) as place:
        calls = place.calls(3)
        place.wanted = Wanted(contracts=frozenset(calls))
        feed, watch = place.options()
        await watch.until(lambda: feed.streaming and len(watch.all(Quote)) > 10)
        place.faults.add("repeat", feed="options")
        await watch.until(lambda: not feed.streaming)
        await watch.until(lambda: len(place.server.connects["options"]) == 2)
        assert place.faults.fired["repeat"] > 10
        place.faults.clear()
        await watch.until(lambda: feed.streaming)


async def test_the_addresses_of_a_name_are_tried_side_by_side() -> None:
    """The first address of the name never answers: the second is tried a quarter of a second later."""

    async def script(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM")
        await read_on(connection)

    loop = asyncio.get_running_loop()
    # Its queue of connections is full, so the next one is neither taken nor refused.
    deaf = socket_module.create_server(("127.0.0.2", 0), backlog=0)
    fillers = [socket_module.socket() for _ in range(3)]
    async with scripted(script) as (url, _):
        deaf_port, port = deaf.getsockname()[1], int(url.rpartition(":")[2])
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.2", deaf_port))

        async def addresses(*_: Any, **__: Any) -> list[Any]:
            kind = (socket_module.AF_INET, socket_module.SOCK_STREAM, 6, "")
            return [(*kind, ("127.0.0.2", deaf_port)), (*kind, ("127.0.0.1", port))]

        vars(loop)["getaddrinfo"] = addresses  # this test's own loop: nothing to put back
        clock = SystemClock()
        one = Socket(
            "stocks", ws_url=f"ws://localhost:{port}", api_key=KEY, clock=clock, step_s=5.0,
            decoder=FrameDecoder(BadInput("the stocks socket", clock, str)),
        )  # fmt: skip
        began = loop.time()
        await one.open()
        assert 0.2 < loop.time() - began < 3
        await one.close()
    for item in (*fillers, deaf):
        item.close()
