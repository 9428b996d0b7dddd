"""Scripted sockets: what is said on a connection, in whatever frame and order, and how one is refused."""

from __future__ import annotations

import asyncio
import random
import ssl
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection

from events import SECOND, FeedCause, FeedLost, FeedRestored
from feeds.massive.errors import RestError, RestErrorKind
from feeds.massive.rest import Rest
from feeds.massive.socket import Socket
from feeds.options import Wanted
from feeds.vendor import Lost, VendorRefused
from polygon_client import SessionClient
from tests.feeds.scene import (
    RULES,
    SELF_SIGNED,
    Opened,
    Server,
    Watch,
    live_bar,
    log_in,
    make_decoder,
    make_rest,
    read_on,
    scripted,
    scripted_stocks,
    serve_once,
    session,
    status,
    texts,
)
from tests.patience import PatientClock
from tests.wire import CALL, KEY, NOW, StillClock, frame, ok


async def test_what_is_awaited_may_come_in_any_frame_and_order() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(frame(status("hello"), status("connected"), status("auth_success")))
        await connection.send(frame(status("success", "subscribed to: A.SPY"), live_bar("SPY", 500)))
        await connection.recv()
        await connection.recv()
        await connection.send(
            frame(live_bar("SPY", 501), status("success", "subscribed to: A.IWM"), live_bar("IWM", 501))
        )
        await read_on(connection)

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: len(watch.live()) == 3)
    assert watch.facts() == [FeedRestored()]
    assert [(bar.symbol, (bar.start - NOW) // SECOND) for bar in watch.live()] == [
        ("SPY", 500),
        ("SPY", 501),
        ("IWM", 501),
    ]


async def test_a_pair_whose_bars_flow_needs_no_acknowledgement(logged: list[Any]) -> None:
    async def script(connection: ServerConnection) -> None:
        await log_in(connection, "A.SPY")
        await connection.send(frame(live_bar("IWM", 500)))
        await read_on(connection)

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: watch.all(FeedRestored))
        assert [type(event) for _, event in watch.seen][:1] == [FeedRestored]
    assert "🔌 Connected: stocks, 2 of 2 subscribed" in texts(logged)


async def test_not_authorized_for_the_benchmark_alone_is_no_refusal(logged: list[Any]) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(frame(status("connected")))
        await connection.recv()
        await connection.send(frame(status("auth_success")))
        await connection.recv()
        await connection.send(frame(status("error", "not authorized")))
        await connection.send(frame(status("success", "subscribed to: A.IWM")))
        await read_on(connection)

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: watch.all(FeedRestored), seconds=4.0)
    assert "🔌 Connected: stocks, 1 of 2 subscribed" in texts(logged)


@pytest.mark.parametrize("end", ["max_connections", "slow_consumer", "force_disconnect", "auth_timeout"])
async def test_bars_beside_the_last_words_are_kept_and_the_words_understood(end: str) -> None:
    async def script(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM", "A.SPY")
        await connection.send(frame(live_bar("IWM", 500), status(end, f"{KEY} bye"), live_bar("SPY", 500)))
        await connection.close(1008, "")

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: watch.all(FeedLost))
    assert [bar.symbol for bar in watch.live()] == ["IWM", "SPY"]
    cause = FeedCause.EVICTED if end == "max_connections" else FeedCause.DROPPED
    assert watch.facts() == [FeedRestored(), FeedLost(cause=cause)]


async def test_a_close_the_vendor_explains_is_logged_without_the_key(logged: list[Any]) -> None:
    async def script(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM", "A.SPY")
        await connection.close(1001, f"going away {KEY}\n")

    async with scripted_stocks(script) as watch:
        await watch.until(lambda: watch.all(FeedLost))
    assert any("closed by the vendor (1001 going away *** )" in text for text in texts(logged))


async def test_a_frame_beyond_every_bound_costs_the_connection_only() -> None:
    async def huge(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM", "A.SPY")
        await connection.send(b" " * (5 * 1024 * 1024))
        await read_on(connection)

    async def good(connection: ServerConnection) -> None:
        await log_in(connection, "A.IWM", "A.SPY")
        await connection.send(frame(live_bar("IWM", 500)))
        await read_on(connection)

    async with scripted_stocks(huge, good) as watch:
        await watch.until(watch.live)
    assert watch.facts() == [FeedRestored(), FeedLost(cause=FeedCause.DROPPED), FeedRestored()]


def socket_to(ws_url: str) -> Socket:
    return Socket(
        "stocks", ws_url=ws_url, api_key=KEY, clock=StillClock(), decoder=make_decoder(), step_s=5.0
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "header", "wait"),
    [
        (429, "7", 7.0),
        (503, "7", 7.0),
        (503, None, None),
        (503, "soon", None),
        (426, "7", None),
        (500, "7", None),
    ],
)
async def test_a_handshake_put_off_says_for_how_long(
    status: int, header: str | None, wait: float | None
) -> None:
    async def put_off(writer: asyncio.StreamWriter) -> None:
        more = "" if header is None else f"Retry-After: {header}\r\n"
        writer.write(f"HTTP/1.1 {status} No\r\n{more}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()

    server, url, _ = await serve_once(put_off)
    async with server:
        with pytest.raises(Lost, match=f"HTTP {status}") as refused:
            await socket_to(url.replace("http", "ws")).open()
    assert (refused.value.cause, refused.value.retry_after) == (FeedCause.DROPPED, wait)


async def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    server, url, _ = await serve_once(refuse)
    monkeypatch.setenv("https_proxy", url.replace("//", f"//user:{KEY}@"))
    monkeypatch.delenv("no_proxy", raising=False)
    async with server:
        with pytest.raises(Lost, match="this machine's proxy answers HTTP 407") as refused:
            await socket_to("wss://feed.test").open()
    assert refused.value.cause is FeedCause.DROPPED
    assert KEY not in str(refused.value)


async def test_a_redirect_is_not_followed_to_where_the_key_would_go() -> None:
    visitors = 0

    async def stranger(connection: ServerConnection) -> None:
        nonlocal visitors
        visitors += 1
        await read_on(connection)

    async with scripted(stranger) as (elsewhere, _):
        answer = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}/stocks\r\nContent-Length: 0\r\n\r\n"

        async def redirect(writer: asyncio.StreamWriter) -> None:
            writer.write(answer.encode())
            await writer.drain()

        server, url, count = await serve_once(redirect)
        clock = PatientClock(NOW, 40)
        rest = make_rest(Server(ok([])))
        client = SessionClient(
            rest=rest, ws_url=url.replace("http", "ws"), api_key=KEY, clock=clock, rules=RULES, session=session(),
            rng=random.Random(1),
        )  # fmt: skip
        feed = client.stocks(position_open=lambda: False)
        watch = Watch(feed.events(), clock)
        async with server:
            await watch.until(lambda: count[0] >= 2)
        await watch.stop()
        await rest.aclose()
    assert visitors == 0
    assert watch.facts() == [FeedLost(cause=FeedCause.NOT_CONNECTED)]


async def test_a_certificate_that_nobody_vouches_for_is_refused_clearly(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_text(SELF_SIGNED)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "both.pem")
    got_key = False

    async def script(connection: ServerConnection) -> None:
        nonlocal got_key
        await connection.recv()
        got_key = True

    clock = PatientClock(NOW, 600)
    async with scripted(script, tls=tls) as (url, _):
        rest = Rest(url.replace("wss", "https"), KEY, clock)
        async with Opened(rest):
            with pytest.raises(RestError) as error:
                await rest.market_status()
            assert error.value.kind is RestErrorKind.CERTIFICATE

            def feed(position: bool) -> Watch:
                client = SessionClient(
                    rest=rest, ws_url=url, api_key=KEY, clock=clock, rules=RULES, session=session(),
                    rng=random.Random(1),
                )  # fmt: skip
                return Watch(client.stocks(position_open=lambda: position).events(), clock)

            watch = feed(position=False)
            with pytest.raises(
                VendorRefused, match=r"certificate of the stocks socket is not trusted .*self"
            ):
                await watch.until(lambda: False)
            watch = feed(position=True)
            await watch.until(lambda: watch.all(FeedLost))
            await watch.stop()
    # The key was not refused: it was never sent.
    assert watch.facts() == [FeedLost(cause=FeedCause.REFUSED)]
    assert not got_key


@pytest.mark.parametrize("market", ["stocks", "options"])
async def test_the_dial_is_handed_in_and_what_it_raises_is_a_lost_connection(market: str) -> None:
    """No other way leads to the network: what a dial of one's own refuses, nothing else tries."""
    dialled: list[str] = []

    async def refuse(url: str, **options: Any) -> ClientConnection:
        assert options["ssl"] is not None and options["ping_interval"] is None
        dialled.append(url)
        raise ConnectionRefusedError

    clock = PatientClock(NOW + 600 * SECOND, 100)
    rest = make_rest(Server(ok([])), StillClock())
    client = SessionClient(
        rest=rest, ws_url="wss://vendor.test/", api_key=KEY, clock=clock, rules=RULES, session=session(),
        rng=random.Random(1), dial=refuse,
    )  # fmt: skip
    wanted = Wanted(contracts=frozenset({CALL}))
    feed = (
        client.stocks(position_open=lambda: False)
        if market == "stocks"
        else client.options(wanted=lambda: wanted)
    )
    watch = Watch(feed.events(), clock)
    await watch.until(lambda: len(dialled) >= 2)
    await watch.stop()
    await rest.aclose()
    assert set(dialled) == {f"wss://vendor.test/{market}"}
    lost = [FeedLost(cause=FeedCause.NOT_CONNECTED)] if market == "stocks" else []
    assert watch.facts() == lost
