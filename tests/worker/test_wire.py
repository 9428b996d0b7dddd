"""The whole worker while the vendor says what cannot be believed: answers of REST that once ended it or emptied its
chain, quotes of yesterday, and a print that never was."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import ssl
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from events import SECOND
from feeds.massive.bad_input import BadReason
from feeds.massive.dial import FRAME_MAX_BYTES
from network import trust
from sim.account import Plan
from sim.bars import SimBar
from sim.demo import EPISODES, SEED
from sim.market import Market
from tests.stage import BEGIN_S, Stage, session, stage
from worker.ending import EXIT_OK
from worker.watchdog import Watchdog

pytestmark = pytest.mark.virtual_time


class Spoiling(httpx.AsyncBaseTransport):
    """The network, but of the answers about options every second one is spoilt, in each way in turn."""

    def __init__(self) -> None:
        self._network = httpx.AsyncHTTPTransport(verify=trust())
        self._chains = self._closed = 0
        self.spoilt: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the network, and spoil the answer."""
        response = await self._network.handle_async_request(request)
        if "/v3/snapshot/options/" not in request.url.path:
            return response
        self._chains += 1
        if self._chains % 2:
            return response
        ways = (self._tls, self._null, self._label, self._unknown, self._surrogate, self._packed)
        way = ways[len(self.spoilt) % len(ways)]
        self.spoilt.append(way.__name__)
        body = json.loads(await response.aread())
        await response.aclose()
        return way(body)

    def _tls(self, body: dict[str, Any]) -> httpx.Response:
        raise ssl.SSLError(
            1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed or bad record mac"
        )

    def _null(self, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={**body, "results": None})

    def _label(self, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={**body, "next_url": "https://xn--.test/v3?cursor=1"})

    def _unknown(self, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json={**body, "status": "PARTIAL", "results": []})

    def _surrogate(self, body: dict[str, Any]) -> httpx.Response:
        text = json.dumps({**body, "request_id": "\ud800"})
        return httpx.Response(200, content=text.encode(), headers={"content-type": "application/json"})

    def _packed(self, body: dict[str, Any]) -> httpx.Response:
        answer = httpx.Response(200, json=body)
        answer.headers["content-encoding"] = "gzip, gzip"
        return answer

    async def aclose(self) -> None:
        """Close the network, and fail at that, too, the first time: REST's client is closed before the sender's."""
        await self._network.aclose()
        self._closed += 1
        if self._closed > 1:
            return
        raise ssl.SSLError(
            1, "[SSL: APPLICATION_DATA_AFTER_CLOSE_NOTIFY] application data after close notify"
        )


async def test_a_rest_that_answers_wrongly_ends_nothing_and_empties_no_chain(tmp_path: Path) -> None:
    network = Spoiling()
    with structlog.testing.capture_logs() as entries:
        async with stage(tmp_path, transport=network) as play:
            await play.until(lambda: play.titles("BUY"), 120, "the BUY")
            await play.until(lambda: len(network.spoilt) > 6, 120, "each way once")
            assert await play.stop() == EXIT_OK
    found = {entry["event"] for entry in entries}
    assert {"chain_poll_failed", "chain_polled_again", "rest_close_failed"} <= found
    assert not {"chain_empty", "crashed"} & found


@pytest.mark.parametrize(("size", "connections"), [(FRAME_MAX_BYTES, 1), (4 * FRAME_MAX_BYTES, 2)])
async def test_frames_full_of_junk_hold_nothing_up(tmp_path: Path, size: int, connections: int) -> None:
    """Twelve in a row once held the loop for a minute. A frame beyond the bound costs the connection, and no more."""
    stood: list[int] = []  # noted, where the worker would end: this process runs other tests, too
    async with stage(tmp_path) as play:
        await play.until(lambda: play.vendor.open_connections("stocks"), 30, "connected")
        with Watchdog(asyncio.get_running_loop(), stood.append):
            play.vendor.faults.add("flood", feed="stocks", size=size, times=12 if connections == 1 else 1)
            await play.until(lambda: play.titles("BUY"), 200, "BUY")
        assert stood == []
        assert play.vendor.faults.fired["flood"] == (12 if connections == 1 else 1)
        assert len(play.vendor.connects["stocks"]) == connections
        assert await play.stop() == EXIT_OK


SURGE_OVER_S = 110
"""Market seconds after `BEGIN_S` by which the surge has made every condition hold for a minute."""


class Yesterday(httpx.AsyncBaseTransport):
    """The network, but every option quote is stamped so many hours ago, and still marked as real-time."""

    def __init__(self, hours: int) -> None:
        self._network = httpx.AsyncHTTPTransport(verify=trust())
        self._ago_ns = hours * 3600 * 1_000_000_000

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask the network, and stamp the quotes anew."""
        response = await self._network.handle_async_request(request)
        if "/v3/snapshot/options/" not in request.url.path:
            return response
        body = json.loads(await response.aread())
        await response.aclose()
        for row in body["results"]:
            row["last_quote"]["last_updated"] -= self._ago_ns
        return httpx.Response(200, json=body)

    async def aclose(self) -> None:
        """Close the network."""
        await self._network.aclose()


async def test_quotes_of_yesterday_that_are_marked_real_time_buy_nothing_and_arm_nothing(
    tmp_path: Path,
) -> None:
    """The other side of the limit, polled quotes of now that buy, is `test_main`'s plan without quotes."""
    plan = Plan(option_channels=())
    async with stage(tmp_path, transport=Yesterday(20), plan=plan, daily_summary=True) as play:
        await play.until(lambda: play.market_s > SURGE_OVER_S, SURGE_OVER_S + 10, "the surge is over")
        engine = play.worker.engine
        assert engine is not None and engine.quotes.chain, "polls go well"
        assert play.titles("BUY") == []
        (armed,) = [message for message in play.pushover.messages if "armed" in message.title]
        assert armed.title == "⚠️ IWM: armed, not all well"
        assert "quotes" in armed.text.partition("Not OK: ")[2].partition("\n")[0]
        assert await play.stop() == EXIT_OK


class OnePrint(Market):
    """The made day, with one print of IWM on the socket that is 10 % off and has 100 times its volume."""

    @functools.cached_property
    def schedule(self) -> list[tuple[int, int, SimBar]]:
        """What the socket sends. REST has the good bar."""
        made = list(super().schedule)
        since = self.session.open + (BEGIN_S + 20) * SECOND
        place = next(
            place
            for place, (at, _, bar) in enumerate(made)
            if at > since and bar.symbol == "IWM" and bar.end + 3 * SECOND > at
        )
        at, order, bar = made[place]
        off = {name: round(getattr(bar, name) * 1.1, 2) for name in ("close", "high")}
        made[place] = at, order, msgspec.structs.replace(bar, **off, volume=bar.volume * 100)
        return made


async def test_a_print_that_never_was_is_nobodys_spot_and_costs_no_later_signal(tmp_path: Path) -> None:
    made = OnePrint(SEED, session(), episodes=EPISODES)
    usual = made.spot(session().open + BEGIN_S * SECOND)
    spots: set[float] = set()

    def is_bought(play: Stage) -> bool:
        engine = play.worker.engine
        if engine is not None and engine.signals.price is not None:
            spots.add(engine.signals.price)
        return bool(play.titles("BUY"))

    with structlog.testing.capture_logs() as logged:
        async with stage(tmp_path, made=made) as play:
            await play.until(lambda: is_bought(play), 120, "the BUY of the surge")
            assert await play.stop() == EXIT_OK
    assert [entry["text"][:7] for entry in logged if entry["event"] == "price_doubted"] == ["🤨 IWM $"]
    assert spots and all(abs(spot / usual - 1) < 0.01 for spot in spots)
    (buy,) = [message for message in play.pushover.messages if "BUY" in message.title]
    assert float(buy.text.partition("IWM $")[2].partition(" ")[0]) in {round(spot, 2) for spot in spots}
    assert "chain_empty" not in [entry["event"] for entry in logged]


class TinyVwaps(Market):
    """The made day, with a VWAP of 1e-10 in every bar of IWM that the socket sends."""

    @functools.cached_property
    def schedule(self) -> list[tuple[int, int, SimBar]]:
        """What the socket sends. REST has the good bars."""
        return [
            (at, order, msgspec.structs.replace(bar, vwap=1e-10) if bar.symbol == "IWM" else bar)
            for at, order, bar in super().schedule
        ]


async def test_vwaps_of_nothing_end_no_worker_and_are_in_no_alert(tmp_path: Path) -> None:
    made = TinyVwaps(SEED, session(), episodes=EPISODES)
    with structlog.testing.capture_logs() as logged:
        async with stage(tmp_path, made=made) as play:
            await play.until(lambda: play.titles("BUY"), 120, "the BUY of the surge")
            assert await play.stop() == EXIT_OK
    (buy,) = [message for message in play.pushover.messages if "BUY" in message.title]
    price, vwap = (float(text) for text in re.findall(r"\$(\d+\.\d\d)", buy.text)[:2])
    assert abs(price / vwap - 1) < 0.01
    assert BadReason.VWAP in [entry.get("reason") for entry in logged]
