"""The loopback market: does its day look like a day, does it speak the wire format, do its faults happen?"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import itertools
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import pytest
from massive import RESTClient, WebSocketClient  # type: ignore[import-untyped]
from massive.websocket.models import EquityAgg  # type: ignore[import-untyped]
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

import utils
from events import SECOND, Session
from sim.__main__ import main
from sim.account import Plan
from sim.bars import SimBar
from sim.episodes import Episode
from sim.faults import BROKEN_EVENTS, BROKEN_FRAMES, FAULTS, GARBAGE, Faults
from sim.market import Market
from sim.paths import BENCHMARK_GAPS
from sim.pricing import black_scholes
from sim.server import LoopbackMarket
from sim.wire import bar_event
from tests.patience import PatientClock

KEY = "made0up0key"
SPEED = 120.0
STORY = (
    Episode(0, 3600, "calm"),
    Episode(3600, 100, "surge"),
    Episode(3700, 90, "fade"),
    Episode(3790, 900, "calm"),
)


def session() -> Session:
    found = utils.session_on(datetime.date(2025, 10, 2))
    assert found is not None
    return found


OPEN = session().open


@functools.cache
def day(seed: int = 7, story: tuple[Episode, ...] = ()) -> Market:
    """A made day, once per process: it is never changed."""
    return Market(seed, session(), episodes=story)


def regular(market: Market, symbol: str) -> list[SimBar]:
    return [bar for bar in market.bars(symbol) if bar.start >= market.session.open]


def volumes(market: Market, symbol: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Shares of every second of the session, 0 where there is no bar."""
    out = np.zeros((market.session.close - market.session.open) // SECOND)
    for bar in regular(market, symbol):
        out[(bar.start - market.session.open) // SECOND] = bar.volume
    return out


def correlation(left: Any, right: Any) -> float:
    return float(np.corrcoef(left, right)[0, 1])


# --- The made day ------------------------------------------------------------------------------------


def test_a_seed_makes_one_day() -> None:
    one, same, other = day(), Market(7, session()), day(1)
    at = OPEN + 3600 * SECOND
    assert one.bars("IWM") == same.bars("IWM") and one.corrections("SPY") == same.corrections("SPY")
    assert one.chain(at) == same.chain(at)
    assert one.bars("IWM") != other.bars("IWM")


@pytest.mark.parametrize("seed", [1, 7])
def test_seconds_without_a_bar(seed: int) -> None:
    market = day(seed)
    empty = 1 - len(regular(market, "IWM")) / 23_400
    assert 0.17 <= empty <= 0.33
    assert 1 - len(regular(market, "SPY")) / 23_400 < 0.03
    starts = [bar.start for bar in regular(market, "SPY")]
    gaps = [(after - before) // SECOND for before, after in itertools.pairwise(starts)]
    assert max(gaps) <= 11
    assert 1 <= sum(gap > 4 for gap in gaps) <= BENCHMARK_GAPS + 2


@pytest.mark.parametrize("symbol", ["IWM", "SPY"])
def test_volume_is_clustered_heavy_tailed_and_u_shaped(symbol: str) -> None:
    shares = volumes(day(), symbol)
    traded = np.array([bar.volume for bar in regular(day(), symbol)])
    logs = np.log(traded)
    assert correlation(logs[:-1], logs[1:]) > 0.2
    assert correlation(logs[:-60], logs[60:]) > 0.05
    assert np.percentile(traded, 99) > 8 * np.median(traded)
    middle = shares[9_000:14_400].mean()
    assert shares[:1800].mean() > 2 * middle
    assert shares[-1800:].mean() > 1.4 * middle


def test_paths_are_correlated_and_priced_like_the_funds() -> None:
    minutes = range(OPEN, day().session.close, 60 * SECOND)
    paths = [np.log([day().spot(at, symbol) for at in minutes]) for symbol in ("IWM", "SPY")]
    assert correlation(np.diff(paths[0]), np.diff(paths[1])) > 0.6
    assert 215 < day().spot(OPEN) < 265 and 620 < day().spot(OPEN, "SPY") < 700


def test_bars_are_consistent_and_their_vwap_is_sometimes_outside() -> None:
    bars = regular(day(), "IWM")
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert all(bar.low - 0.01 < bar.vwap < bar.high + 0.01 for bar in bars)
    outside = sum(not bar.low <= bar.vwap <= bar.high for bar in bars) / len(bars)
    assert 0.05 < outside < 0.2
    assert any(bar.volume != int(bar.volume) for bar in bars)
    assert any(bar.volume < 1 for bar in bars)
    assert bars[-1].accumulated == pytest.approx(sum(bar.volume for bar in day().bars("IWM")), abs=0.01)


def test_bars_before_the_open_have_no_official_open() -> None:
    early = [bar for bar in day().bars("IWM") if bar.start < OPEN]
    assert early and early[0].start >= OPEN - 600 * SECOND
    assert "op" not in bar_event(early[0])
    assert bar_event(regular(day(), "IWM")[5])["op"] == regular(day(), "IWM")[0].open


@pytest.mark.parametrize("symbol", ["IWM", "SPY"])
def test_some_bars_are_corrected_later(symbol: str) -> None:
    fixes = day().corrections(symbol)
    assert 0.01 < len(fixes) / len(day().bars(symbol)) < 0.06
    delays = []
    for fix in fixes:
        first = day().first_print(symbol, fix.bar.start)
        assert first is not None and fix.bar.volume > first.volume
        assert day().known(symbol, fix.bar.start, fix.at - 1) == first
        assert day().known(symbol, fix.bar.start, fix.at) == fix.bar == day().final(symbol, fix.bar.start)
        delays.append((fix.at - first.sent_at) / SECOND)
    assert 3 <= min(delays) < 6 and 600 < max(delays) <= 900


def test_a_bar_is_not_known_before_its_end() -> None:
    bar = regular(day(), "IWM")[100]
    assert day().known("IWM", bar.start, bar.end - 1) is None
    assert day().known("IWM", bar.start, bar.end) == bar
    assert day().final("IWM", bar.start + 1) is None and day().first_print("QQQ", bar.start) is None


def test_an_early_close_makes_a_shorter_day() -> None:
    half = utils.session_on(datetime.date(2025, 11, 28))
    assert half is not None and half.early
    bars = Market(1, half).bars("IWM")
    assert half.close - 60 * SECOND < bars[-1].start < half.close


# --- The story ---------------------------------------------------------------------------------------


class Plainly:
    """The entry conditions by brute force over a made day's first prints, for seconds after the open."""

    def __init__(self, market: Market) -> None:
        self.seconds = (market.session.close - market.session.open) // SECOND
        self.volume, self.money, self.close = self._arrays(market, market.symbol)
        self.benchmark = self._arrays(market, market.benchmark)[2]
        self.volumes = np.concatenate(([0.0], np.cumsum(self.volume)))
        self.moneys = np.concatenate(([0.0], np.cumsum(self.money)))

    def _arrays(self, market: Market, symbol: str) -> tuple[Any, Any, Any]:
        volume, money, close = np.zeros(self.seconds), np.zeros(self.seconds), np.full(self.seconds, np.nan)
        for bar in regular(market, symbol):
            index = (bar.start - market.session.open) // SECOND
            volume[index], money[index], close[index] = bar.volume, bar.volume * bar.vwap, bar.close
        return volume, money, close

    def total(self, sums: Any, after: int, until: int) -> float:
        """What fell into the seconds (after, until]."""
        return float(sums[until + 1] - sums[max(0, after + 1)])

    def vwap(self, after: int, until: int) -> float:
        return self.total(self.moneys, after, until) / self.total(self.volumes, after, until)

    @staticmethod
    def last(closes: Any, at: int, reach: int) -> float:
        recent = closes[max(0, at - reach) : at + 1]
        return float(recent[~np.isnan(recent)][-1])

    def together(self, first: int, last: int) -> list[int]:
        """The evaluated seconds in [first, last) at which all seven conditions hold."""
        out: list[int] = []
        before, fell = -1, 0
        for second in np.flatnonzero(~np.isnan(self.close[:last])).tolist():
            if before >= 0 and self.vwap(second - 60, second) < self.vwap(before - 60, before) * (1 - 1e-9):
                fell = second
            before = second
            if second >= first and second - fell >= 30 and self._holds(second, float(self.close[second])):
                out.append(second)
        return out

    def _holds(self, second: int, close: float) -> bool:
        """Every condition but the rising VWAP."""
        if not close > self.vwap(second - 300, second) > self.vwap(second - 330, second - 30):
            return False
        span = min(1200, second + 1)
        relative = (self.total(self.volumes, second - 60, second) / 60) / (
            self.total(self.volumes, second - span, second) / span
        )
        if close <= self.vwap(second - 60, second) or relative < 1.5:
            return False
        window = self.volume[max(0, second - 1200) : second]
        traded = window[window > 0]
        recent = np.arange(second - 29, second + 1)
        recent = recent[~np.isnan(self.close[recent])]
        if len(traded) < 300 or self.volume[second] <= np.percentile(traded, 95) or len(recent) < 10:
            return False
        slope = float(np.polyfit(recent - second, self.close[recent], 1)[0])
        own = close / self.last(self.close, second - 300, 30) - 1
        other = self.last(self.benchmark, second, 10) / self.last(self.benchmark, second - 300, 30) - 1
        return slope / close > 1e-9 and 100 * (other - own) <= 0.20


@pytest.mark.parametrize("seed", [1, 7])
def test_a_surge_after_calm_makes_every_condition_hold_and_calm_alone_never_does(seed: int) -> None:
    together = Plainly(day(seed, STORY)).together(600, 4500)
    assert [second for second in together if second < 3600 or second > 3790] == []
    assert len([second for second in together if second < 3700]) >= 30
    assert 3610 < together[0] < 3650


def test_an_ordinary_day_has_a_few_signals_as_real_days_do() -> None:
    # Five real days of SPY had 28 to 63 such seconds, and 5 to 13 entries that are 5 minutes apart.
    together = Plainly(day()).together(600, 21_600)
    entries = together[:1]
    for second in together:
        if second - entries[-1] >= 300:
            entries.append(second)
    assert 10 <= len(together) <= 150
    assert 3 <= len(entries) <= 20


@pytest.mark.parametrize("seed", [1, 7])
def test_a_fade_costs_a_call_more_than_any_stop(seed: int) -> None:
    market = day(seed, STORY)
    bought = OPEN + 3635 * SECOND

    def mid(at: int) -> float:
        quote = market.quote(contract, at)
        assert quote is not None
        return (quote.bid + quote.ask) / 2

    contract = min(calls(market), key=lambda name: abs(market.strike(name) - market.spot(bought) - 0.5))
    course = [mid(bought + second * SECOND) for second in range(160)]
    top = course.index(max(course))
    assert max(course) > 1.1 * course[0]
    assert min(course[top:]) < 0.7 * max(course) and min(course[top:]) < 0.85 * course[0]


# --- The chain ---------------------------------------------------------------------------------------


def calls(market: Market) -> list[str]:
    return [contract for contract in market.contracts() if contract[-9] == "C"]


def call_rows(market: Market, at: int, reach: float = 1.0) -> list[dict[str, Any]]:
    spot = market.spot(at)
    return [
        row
        for row in market.chain(at)
        if row["details"]["contract_type"] == "call"
        and abs(row["details"]["strike_price"] / spot - 1) <= reach
    ]


def test_black_scholes_against_known_values() -> None:
    # Textbook case: S=100, K=100, sigma=20 %, one year, no rates: 2·N(0.1)−1 = 7.9656 dollars.
    at_the_money = black_scholes(100, 100, 0.2, 1.0, call=True)
    assert at_the_money.value == pytest.approx(7.96557, abs=1e-5)
    assert at_the_money.delta == pytest.approx(0.539828, abs=1e-6)
    put = black_scholes(100, 90, 0.3, 0.25, call=False)
    call = black_scholes(100, 90, 0.3, 0.25, call=True)
    assert call.value - put.value == pytest.approx(10.0)
    assert call.delta - put.delta == pytest.approx(1.0)
    bumped = black_scholes(100.01, 90, 0.3, 0.25, call=True)
    assert (bumped.value - call.value) / 0.01 == pytest.approx(call.delta, abs=1e-3)
    assert (bumped.delta - call.delta) / 0.01 == pytest.approx(call.gamma, rel=1e-2)


def test_prices_spreads_and_sizes_near_the_money() -> None:
    at = OPEN + 70 * 60 * SECOND
    near = call_rows(day(), at, 0.006)
    assert len(near) >= 2
    for row in near:
        quote = row["last_quote"]
        assert 1 <= round(100 * (quote["ask"] - quote["bid"])) <= 2
        assert 5 <= quote["bid_size"] <= 60 and 5 <= quote["ask_size"] <= 60
        assert quote["timeframe"] == "REAL-TIME"
        assert 0 <= at * 1000 - quote["last_updated"] < 250_000_000
        assert row["open_interest"] > 500
    closest = min(near, key=lambda row: abs(row["details"]["strike_price"] - day().spot(at)))
    assert 0.6 < closest["last_quote"]["bid"] < 1.5


def test_far_rows_lack_what_the_vendor_leaves_out() -> None:
    rows = day().chain(OPEN + 70 * 60 * SECOND)
    assert 100 <= len(rows) <= 232
    assert {row["details"]["contract_type"] for row in rows} == {"call", "put"}
    assert any(row["last_quote"]["bid"] == 0 for row in rows)
    assert any("greeks" not in row for row in rows) and any(row.get("greeks") == {} for row in rows)
    assert any(row.get("greeks", {}).get("vega", 0) is None for row in rows)
    assert any("implied_volatility" not in row for row in rows)
    assert any(row["day"] == {} and row["last_trade"] == {} for row in rows)
    assert all(
        "greeks" in row and row["greeks"]["delta"] for row in call_rows(day(), OPEN + 3600 * SECOND, 0.03)
    )


def test_the_delta_range_is_sometimes_empty_and_mostly_not() -> None:
    found = []
    for minute in range(10, 350, 10):
        deltas = [row["greeks"]["delta"] for row in call_rows(day(), OPEN + minute * 60 * SECOND, 0.03)]
        found.append(any(0.30 <= delta <= 0.45 for delta in deltas))
    assert 0.5 < sum(found) / len(found) < 1


def test_a_quote_is_the_chains_and_moves_about_every_second() -> None:
    at = OPEN + 3600 * SECOND + 123_456
    for row in day().chain(at):
        quote = day().quote(row["details"]["ticker"], at)
        assert quote is not None
        assert (quote.bid, quote.ask) == (row["last_quote"]["bid"], row["last_quote"]["ask"])
        assert quote.at * 1000 == row["last_quote"]["last_updated"]
        assert row == day().row(quote.contract, at)
    contract = min(calls(day()), key=lambda name: abs(day().strike(name) - day().spot(at)))
    quotes = [day().quote(contract, at + step * SECOND // 4) for step in range(240)]
    shown = [(quote.bid, quote.ask, quote.bid_size, quote.ask_size) for quote in quotes if quote is not None]
    assert sum(before != after for before, after in itertools.pairwise(shown)) > 60
    assert day().quote("O:IWM251002C00999000", at) is None and day().row("O:SPY", at) is None


def test_quote_times_and_sequences_never_go_back() -> None:
    # A contract's pace changes as spot moves; its stamps must not run backwards where it does.
    contract = calls(day())[len(calls(day())) // 2 + 4]
    quotes = [day().quote(contract, OPEN + step * SECOND // 4) for step in range(0, 90_000, 9)]
    stamps = [(quote.at, quote.sequence) for quote in quotes if quote is not None]
    assert stamps == sorted(stamps) and len({at % SECOND for at, _ in stamps}) > 1


# --- The wire ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(
    *, market: Market | None = None, start: int = 3600, speed: float = SPEED, **options: Any
) -> AsyncIterator[LoopbackMarket]:
    clock = PatientClock(OPEN + start * SECOND, speed)
    async with LoopbackMarket(market or day(), clock, KEY, **options) as server:
        yield server


class Raw:
    """A bare client of one cluster."""

    def __init__(self, server: LoopbackMarket, cluster: str = "stocks") -> None:
        self.url, self.server = f"{server.ws_url}/{cluster}", server
        self.frames: list[list[Any]] = []
        self._waiting: list[Any] = []

    async def __aenter__(self) -> Self:
        self.socket: ClientConnection = await connect(self.url, proxy=None, ping_interval=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def say(self, action: str, params: str) -> None:
        await self.socket.send(json.dumps({"action": action, "params": params}))

    async def frame(self) -> list[Any]:
        async with asyncio.timeout(8):
            frame = json.loads(await self.socket.recv())
        assert isinstance(frame, list)
        self.frames.append(frame)
        return frame

    async def event(self) -> Any:
        while not self._waiting:
            self._waiting = list(await self.frame())
        return self._waiting.pop(0)

    async def statuses(self, count: int) -> list[tuple[str, str]]:
        """The next so many status events; data in between is passed over."""
        out: list[tuple[str, str]] = []
        while len(out) < count:
            event = await self.event()
            if event["ev"] == "status":
                out.append((event["status"], event["message"]))
        return out

    async def data(self, count: int) -> list[dict[str, Any]]:
        """The next so many data events."""
        out: list[dict[str, Any]] = []
        while len(out) < count:
            event = await self.event()
            if event["ev"] != "status":
                out.append(event)
        return out

    async def subscribed(self, *pairs: str, key: str = KEY) -> Self:
        await self.say("auth", key)
        assert await self.statuses(2) == [
            ("connected", "Connected Successfully"),
            ("auth_success", "authenticated"),
        ]
        await self.say("subscribe", ",".join(pairs))
        assert await self.statuses(len(pairs)) == [("success", f"subscribed to: {pair}") for pair in pairs]
        return self

    async def closing(self) -> ConnectionClosed:
        """How the connection ends; whatever still comes is passed over."""
        async with asyncio.timeout(8):
            try:
                while True:
                    self.frames.append(json.loads(await self.socket.recv()))
            except ConnectionClosed as error:
                return error


@contextlib.asynccontextmanager
async def rest(server: LoopbackMarket, key: str = KEY) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(
        base_url=server.rest_url, headers=headers, verify=False, trust_env=False, timeout=8
    ) as client:
        yield client


def versions(event: dict[str, Any]) -> list[SimBar]:
    """What the day has for the second of a bar's event: its first print and, where there is one, its correction."""
    asked = (day().first_print(event["sym"], event["s"] * 1000), day().final(event["sym"], event["s"] * 1000))
    return [bar for bar in asked if bar is not None]


CHAIN = "/v3/snapshot/options/IWM"


async def test_handshake_bars_and_unsubscription() -> None:
    async with serving() as server, Raw(server) as client:
        assert await client.statuses(1) == [("connected", "Connected Successfully")]
        await client.say("auth", KEY)
        assert await client.statuses(1) == [("auth_success", "authenticated")]
        await client.say("subscribe", "A.IWM,A.SPY")
        assert await client.statuses(2) == [
            ("success", "subscribed to: A.IWM"),
            ("success", "subscribed to: A.SPY"),
        ]
        assert server.subscriptions("stocks") == {"A.IWM", "A.SPY"} and server.open_connections("stocks") == 1
        for event in await client.data(40):
            # Held for two seconds, and what is said is the day's bar, digit for digit.
            assert server.clock.now() >= event["e"] * 1000 + 2 * SECOND and event["e"] == event["s"] + 1000
            assert event in [bar_event(bar) for bar in versions(event)]
            assert event["v"] == int(float(event["dv"]))
        await client.say("unsubscribe", "A.SPY,A.QQQ")
        assert await client.statuses(1) == [("success", "unsubscribed to: A.SPY")]
        client._waiting.clear()
        assert {event["sym"] for event in await client.data(15)} == {"IWM"}
    assert server.ended[0].code == 1000 and server.ended[0].cluster == "stocks"


async def test_frames_mix_symbols_and_every_bar_of_the_stretch_comes() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.IWM", "A.SPY")
        events = await client.data(120)
        assert any(len({event.get("sym") for event in frame}) == 2 for frame in client.frames)
        assert any(len(frame) == 1 for frame in client.frames)
        # From the first frame's newest: it may hold corrections of bars that came before we asked.
        begun = next(frame for frame in client.frames if "sym" in frame[0])
        first, last = max(event["s"] for event in begun), max(event["s"] for event in events)
        for symbol in ("IWM", "SPY"):
            got = {event["s"] for event in events if event["sym"] == symbol}
            due = {
                bar.start // 1000 for bar in server.market.bars(symbol) if first < bar.start // 1000 < last
            }
            assert due and due <= got


async def test_corrections_are_sent_again_to_those_who_asked() -> None:
    async with serving(speed=300.0) as server, Raw(server) as client:
        await client.subscribed("A.IWM")
        begin = server.clock.now()
        events = await client.data(300)
        assert {event["sym"] for event in events} == {"IWM"}
        seen: dict[int, float] = {}
        again: set[int] = set()
        for event in events:
            start, volume = event["s"], float(event["dv"])
            if start in seen:
                again.add(start)
                final = server.market.final("IWM", start * 1000)
                assert final is not None and volume == final.volume > seen[start]
            seen[start] = volume
        end = max(event["e"] for event in events) * 1000
        fixes = server.market.corrections("IWM")
        due = {fix.bar.start // 1000 for fix in fixes if begin < fix.bar.sent_at and fix.at < end}
        assert due and due <= again


async def test_acknowledgements() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.IWM")
        # A repeat and an unknown channel get no word, an unknown ticker gets an empty promise.
        await client.say("subscribe", "A.IWM,ZZ.IWM,A.IWMM,A.SPY")
        assert await client.statuses(2) == [
            ("success", "subscribed to: A.IWMM"),
            ("success", "subscribed to: A.SPY"),
        ]
        await client.data(30)
        assert "A.IWMM" in server.subscriptions("stocks")
        said = [event for frame in client.frames for event in frame if event["ev"] == "status"]
        assert len(said) == 5


async def test_acknowledgements_come_in_one_frame_or_in_many() -> None:
    shapes = set()
    async with serving() as server:
        for _ in range(2):
            async with Raw(server) as client:
                await client.subscribed("A.IWM", "A.SPY", "A.QQQ")
                acknowledged = [frame for frame in client.frames if frame[-1].get("status") == "success"]
                shapes.add(len(acknowledged))
    assert shapes == {1, 3}


async def test_a_plan_without_option_quotes() -> None:
    async with serving(plan=Plan(option_channels=("A", "T"))) as server, Raw(server, "options") as client:
        contract = calls(server.market)[0]
        await client.say("auth", KEY)
        await client.statuses(2)
        await client.say("subscribe", f"Q.{contract},A.{contract}")
        assert await client.statuses(2) == [
            ("error", "not authorized"),
            ("success", f"subscribed to: A.{contract}"),
        ]
        assert server.subscriptions("options") == {f"A.{contract}"}


@pytest.mark.parametrize(
    ("key", "plan", "text"),
    [
        ("wrong", Plan(), "authentication failed"),
        (KEY, Plan(websocket=False), "Your plan doesn't include websocket access."),
    ],
)
async def test_refused_keys_are_dropped_without_a_close_frame(key: str, plan: Plan, text: str) -> None:
    async with serving(plan=plan) as server, Raw(server) as client:
        await client.say("auth", key)
        assert (await client.statuses(2))[1] == ("auth_failed", text)
        error = await client.closing()
        assert isinstance(error, ConnectionClosedError) and error.rcvd is None


async def test_a_client_that_does_not_authenticate_is_dropped_and_gets_no_data() -> None:
    async with serving(auth_real_seconds=0.3) as server, Raw(server) as client:
        await client.say("subscribe", "A.SPY")
        assert (await client.statuses(2))[1] == ("auth_timeout", "No authentication request received.")
        assert (await client.closing()).rcvd is None
        assert len(client.frames) == 2


async def test_nonsense_from_the_client_is_survived() -> None:
    async with serving() as server, Raw(server) as client:
        for text in (
            "not json",
            "[]",
            '{"action":"auth"}',
            '{"action":"auth","params":7}',
            '{"action":"ping"}',
        ):
            await client.socket.send(text)
        await client.subscribed("A.SPY")
        assert (await client.data(1))[0]["sym"] == "SPY"


async def test_the_newcomer_evicts() -> None:
    async with serving() as server, Raw(server) as old, Raw(server, "options") as other, Raw(server) as new:
        await old.subscribed("A.SPY")
        await other.subscribed(f"Q.{calls(server.market)[0]}")
        await new.subscribed("A.SPY")
        error = await old.closing()
        assert error.rcvd is not None and (error.rcvd.code, error.rcvd.reason) == (1008, "")
        status = old.frames[-1][0]
        assert status["status"] == "max_connections" and "connection limit" in status["message"]
        assert [cluster for cluster, _ in server.evictions] == ["stocks"]
        assert await new.data(3) and server.open_connections("options") == 1
        assert len(server.connects["stocks"]) == 2


async def test_option_quotes_are_streamed_as_they_change() -> None:
    async with serving() as server, Raw(server, "options") as client:
        spot = server.market.spot(server.clock.now())
        near = sorted(calls(server.market), key=lambda name: abs(server.market.strike(name) - spot))[:4]
        await client.subscribed(*(f"Q.{name}" for name in near))
        shown: dict[str, tuple[Any, ...]] = {}
        for event in await client.data(60):
            assert set(event) == {"ev", "sym", "bx", "ax", "bp", "ap", "bs", "as", "t", "q"}
            quote = server.market.quote(event["sym"], event["t"] * 1000)
            assert quote is not None and (quote.bid, quote.ask) == (event["bp"], event["ap"])
            values = (event["bp"], event["ap"], event["bs"], event["as"])
            assert shown.get(event["sym"]) != values
            shown[event["sym"]] = values
        assert set(shown) == set(near)
        assert any(len({event.get("sym") for event in frame}) > 1 for frame in client.frames)


# --- REST --------------------------------------------------------------------------------------------


async def test_the_chain_in_pages() -> None:
    async with serving() as server, rest(server) as client:
        query = {
            "expiration_date": "2025-10-02",
            "contract_type": "call",
            "limit": "20",
            "sort": "strike_price",
        }
        url: str | None = CHAIN
        params: dict[str, str] | None = query
        strikes: list[float] = []
        pages = 0
        while url:
            body = (await client.get(url, params=params)).json()
            assert body["status"] == "OK" and body["request_id"]
            strikes += [row["details"]["strike_price"] for row in body["results"]]
            url, params, pages = body.get("next_url"), None, pages + 1
            assert url is None or (url.startswith(server.rest_url) and KEY not in url)
        assert strikes == sorted(server.market.strike(name) for name in calls(server.market))
        assert pages == -(-len(strikes) // 20)
        assert server.requests[0].query == query and server.requests[0].path == CHAIN


async def test_the_full_last_page_has_no_next_url() -> None:
    async with serving() as server, rest(server) as client:
        count = len(calls(server.market))
        body = (await client.get(CHAIN, params={"contract_type": "put", "limit": count})).json()
        assert len(body["results"]) == count and "next_url" not in body


@pytest.mark.parametrize(
    ("query", "strikes"),
    [
        ({"strike_price": "240"}, [240]),
        ({"strike_price.gte": "240", "strike_price.lt": "243"}, [240, 241, 242]),
        ({"strike_price.gt": "240", "strike_price.lte": "242", "order": "desc"}, [242, 241]),
        ({"strike_price.gte": "240", "strike_price.lt": "242", "strike_price_gte": "999"}, [240, 241]),
        ({"expiration_date": "2025-10-03"}, []),
        ({"expiration_date.lte": "2025-10-01"}, []),
        ({"expiration_date.gte": "2025-10-02", "strike_price": "238"}, [238]),
    ],
)
async def test_filters_with_dots(query: dict[str, str], strikes: list[int]) -> None:
    async with serving() as server, rest(server) as client:
        body = (await client.get(CHAIN, params={"contract_type": "call", **query})).json()
        assert [row["details"]["strike_price"] for row in body["results"]] == strikes


async def test_ten_rows_come_without_a_limit_and_a_bad_one_is_refused() -> None:
    async with serving() as server, rest(server) as client:
        assert len((await client.get(CHAIN)).json()["results"]) == 10
        for query in (
            {"limit": "251"},
            {"limit": "x"},
            {"cursor": "x"},
            {"sort": "z"},
            {"strike_price": "x"},
        ):
            assert (await client.get(CHAIN, params=query)).status_code == 400
        assert (await client.get("/v3/snapshot/options/QQQ")).json()["results"] == []


async def test_one_contract_is_an_object() -> None:
    async with serving() as server, rest(server) as client:
        name = calls(server.market)[20]
        body = (await client.get(f"{CHAIN}/{name}")).json()
        assert body["results"]["details"]["ticker"] == name and body["results"]["last_quote"]["ask"] > 0
        missing = await client.get(f"{CHAIN}/O:IWM251002C00999000")
        assert missing.status_code == 404 and missing.json()["status"] == "NOT_FOUND"


async def test_keys_over_rest() -> None:
    async with serving() as server:
        async with rest(server, "") as client:
            body = await client.get(CHAIN)
            assert (body.status_code, body.json()["error"]) == (401, "API Key was not provided")
            assert (await client.get(CHAIN, params={"apiKey": KEY})).status_code == 200
        async with rest(server, "wrong") as client:
            body = await client.get(CHAIN)
            assert (body.status_code, body.json()["error"]) == (401, "Unknown API Key")
        assert KEY not in repr(server.requests)


async def test_a_plan_without_data() -> None:
    async with serving(plan=Plan(chain=False, aggregates=False)) as server, rest(server) as client:
        for path in (CHAIN, f"{CHAIN}/{calls(server.market)[0]}", "/v2/aggs/ticker/IWM/range/1/second/0/1"):
            body = await client.get(path)
            assert body.status_code == 403 and body.json()["status"] == "NOT_AUTHORIZED"
            assert "upgrade your plan" in body.json()["message"]


def aggregates(symbol: str, begin: int, end: int) -> str:
    return f"/v2/aggs/ticker/{symbol}/range/1/second/{begin // 1000}/{end // 1000}"


async def test_aggregates_trail_and_have_what_is_known_by_then() -> None:
    async with serving(speed=1.0) as server, rest(server) as client:
        before = server.clock.now()
        body = (await client.get(aggregates("IWM", OPEN, before))).json()
        after = server.clock.now()
        rows = body["results"]
        assert body["resultsCount"] == body["queryCount"] == len(rows) and "next_url" not in body
        assert rows[-1]["t"] * 1000 + SECOND <= after - 3 * SECOND
        expected = server.market.known_between("IWM", OPEN, before, before - 3 * SECOND)
        assert [(row["t"], row["c"]) for row in rows[:3000]] == [
            (bar.start // 1000, bar.close) for bar in expected[:3000]
        ]
        corrected = {fix.bar.start: fix for fix in server.market.corrections("IWM")}
        shown = {row["t"] * 1000: row["v"] for row in rows}
        early = [fix for start, fix in corrected.items() if start in shown and fix.at < before - 10 * SECOND]
        late = [fix for start, fix in corrected.items() if start in shown and fix.at > after + 10 * SECOND]
        assert early and late
        assert all(shown[fix.bar.start] == fix.bar.volume for fix in early)
        for fix in late:
            first = server.market.first_print("IWM", fix.bar.start)
            assert first is not None and shown[fix.bar.start] == first.volume


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_aggregates_in_pages(order: str) -> None:
    async with serving() as server, rest(server) as client:
        url: str | None = aggregates("SPY", OPEN, OPEN + 99 * SECOND)
        params: dict[str, str] | None = {"limit": "40", "sort": order, "apiKey": KEY}
        stamps: list[int] = []
        while url:
            body = (await client.get(url, params=params)).json()
            stamps += [row["t"] * 1000 for row in body["results"]]
            url, params = body.get("next_url"), None
            assert url is None or KEY not in url
        due = [bar.start for bar in server.market.bars("SPY") if OPEN <= bar.start <= OPEN + 99 * SECOND]
        assert stamps == (due if order == "asc" else due[::-1]) and len(due) > 80
        assert {"cursor"} <= set(server.requests[-1].query)


async def test_aggregates_without_any() -> None:
    async with serving() as server, rest(server) as client:
        for path in (
            aggregates("QQQ", OPEN, OPEN + SECOND),
            aggregates("IWM", OPEN + 10**10, OPEN + 2 * 10**10),
        ):
            body = (await client.get(path)).json()
            assert body["status"] == "OK" and body["resultsCount"] == 0 and "results" not in body
        assert (await client.get("/v2/aggs/ticker/IWM/range/1/minute/0/1")).status_code == 400
        assert (await client.get("/v2/aggs/ticker/IWM/range/1/second/then/now")).status_code == 400
        whole = (await client.get("/v2/aggs/ticker/IWM/range/1/second/2025-10-02/2025-10-02")).json()
        assert whole["resultsCount"] > 2000
        before = (await client.get("/v2/aggs/ticker/IWM/range/1/second/2025-10-01/2025-10-01")).json()
        assert before["resultsCount"] == 0


@pytest.mark.parametrize(
    ("start", "market", "early", "after"),
    [
        (3600, "open", False, False),
        (-300, "extended-hours", True, False),
        (23_500, "extended-hours", False, True),
    ],
)
async def test_the_markets_status_and_the_date_come_from_the_clock(
    start: int, market: str, early: bool, after: bool
) -> None:
    async with serving(start=start, speed=1.0) as server, rest(server) as client:
        response = await client.get("/v1/marketstatus/now")
        body = response.json()
        assert (body["market"], body["earlyHours"], body["afterHours"]) == (market, early, after)
        assert body["exchanges"]["nyse"] == market
        told = datetime.datetime.fromisoformat(body["serverTime"])
        assert told.utcoffset() == datetime.timedelta(hours=-4)
        dated = parsedate_to_datetime(response.headers["Date"])
        for moment in (told, dated):
            assert abs(moment.timestamp() - server.clock.now() / SECOND) < 5


# --- Faults ------------------------------------------------------------------------------------------


def test_faults_are_asked_for_by_name() -> None:
    faults = Faults(utils.ScaledClock(OPEN, 1.0))
    with pytest.raises(ValueError, match="no fault named 'earthquake'; there are: drop"):
        faults.add("earthquake")
    with pytest.raises(ValueError, match="takes no colour; it takes: feed, stage"):
        faults.add("drop", colour="red")
    faults.add("rest_500", path="/v2/aggs", times=2)
    assert faults.take("rest_500", path=CHAIN) is None
    assert [bool(faults.take("rest_500", path="/v2/aggs/ticker/IWM")) for _ in range(3)] == [
        True,
        True,
        False,
    ]
    faults.add("silence", feed="stocks")
    assert faults.find("silence", feed="options") is None and faults.take("silence", feed="stocks")
    faults.clear("silence")
    assert faults.find("silence", feed="stocks") is None
    assert faults.fired == {"rest_500": 2, "silence": 1}


async def test_a_fault_for_some_seconds_ends_by_the_clock() -> None:
    clock = PatientClock(OPEN, 100.0)
    faults = Faults(clock)
    fault = faults.add("market_closed", seconds=20)
    assert faults.find("market_closed") is fault and fault.until is not None
    await clock.sleep((fault.until - clock.now()) / SECOND + 0.1)
    assert faults.find("market_closed") is None


async def test_drop_ends_an_open_connection_and_the_next_works() -> None:
    async with serving() as server:
        async with Raw(server) as client:
            await client.subscribed("A.SPY")
            server.faults.add("drop", feed="stocks")
            error = await client.closing()
            assert isinstance(error, ConnectionClosedError) and error.rcvd is None
        async with Raw(server) as client:
            await client.subscribed("A.SPY")
            assert await client.data(2)
    assert server.faults.fired["drop"] == 1
    assert [ended.code for ended in server.ended] == [None, 1000]


@pytest.mark.parametrize(
    ("stage", "reached"),
    [
        ("open", []),
        ("auth", ["connected", "auth_success"]),
        ("subscribe", ["connected", "auth_success", "success"]),
    ],
)
async def test_drop_at_a_stage(stage: str, reached: list[str]) -> None:
    async with serving() as server:
        server.faults.add("drop", stage=stage)
        async with Raw(server) as client:
            with contextlib.suppress(ConnectionClosed):
                await client.subscribed("A.SPY")
            assert (await client.closing()).rcvd is None
    said = [event["status"] for frame in client.frames for event in frame if event["ev"] == "status"]
    assert said == reached
    assert server.faults.fired == {"drop": 1}


@pytest.mark.parametrize("pings", [True, False])
async def test_silence_keeps_the_socket_open(pings: bool) -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.SPY")
        await client.data(1)
        server.faults.add("silence", feed="stocks", pings=pings)
        client._waiting.clear()
        answered = await client.socket.ping()
        done, _ = await asyncio.wait([asyncio.ensure_future(answered)], timeout=5 if pings else 0.3)
        assert bool(done) == pings
        fired = server.faults.fired["silence"]
        await server.clock.sleep(20)
        assert server.faults.fired["silence"] > fired
        last = max(
            (event["s"] for frame in client.frames for event in frame if event["ev"] == "A"), default=0
        )
        server.faults.clear("silence")
        after = [event["s"] for event in await client.data(8)]
        assert max(after) - last >= 15_000


async def test_every_kind_of_garbage_leaves_its_neighbours() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.IWM", "A.SPY")
        server.faults.add("garbage", feed="stocks", times=len(GARBAGE))
        raw: list[str | bytes] = []
        async with asyncio.timeout(8):
            while server.faults.fired["garbage"] < len(GARBAGE) or len(raw) < len(GARBAGE) + len(
                BROKEN_FRAMES
            ):
                raw.append(await client.socket.recv())
    assert set(BROKEN_FRAMES.values()) <= set(raw)
    mixed = [frame for frame in raw if frame not in BROKEN_FRAMES.values()]
    events = [event for frame in mixed for event in json.loads(frame)]
    good = [
        event
        for event in events
        if isinstance(event, dict)
        and event.get("ev") == "A"
        and isinstance(event.get("s"), int)
        and day().first_print(event.get("sym") or "", event["s"] * 1000)
        and event.get("c") == bar_event(_bar(event))["c"]
    ]
    # Each of the frames that were soiled still holds its good events.
    assert len(good) >= len(GARBAGE)
    assert len(events) - len(good) >= 3 * len(BROKEN_EVENTS) - 3


def _bar(event: dict[str, Any]) -> SimBar:
    bar = day().first_print(event["sym"], event["s"] * 1000)
    assert bar is not None
    return bar


@pytest.mark.parametrize("kind", BROKEN_EVENTS)
def test_broken_events_are_broken(kind: str) -> None:
    good = bar_event(regular(day(), "IWM")[9])
    assert BROKEN_EVENTS[kind](dict(good)) != good
    assert good == bar_event(regular(day(), "IWM")[9])


async def test_late_bars() -> None:
    async with serving(speed=300.0) as server, Raw(server) as client:
        server.faults.add("late", by=120)
        await client.subscribed("A.SPY")
        for event in await client.data(10):
            assert server.clock.now() >= event["e"] * 1000 + 122 * SECOND
    assert server.faults.fired["late"] >= 10


async def test_one_symbol_late_and_cured_by_a_new_connection() -> None:
    async with serving(speed=300.0) as server:
        async with Raw(server) as client:
            server.faults.add("late", by=120, symbol="IWM", cured=True)
            await client.subscribed("A.IWM", "A.SPY")
            late = {event["sym"]: server.clock.now() >= event["e"] * 1000 + 122 * SECOND
                    for event in await client.data(400)}  # fmt: skip
            assert late == {"IWM": True, "SPY": False}
        async with Raw(server) as client:
            await client.subscribed("A.IWM")
            for event in await client.data(3):
                assert server.clock.now() < event["e"] * 1000 + 122 * SECOND


@pytest.mark.parametrize("is_known", [True, False])
async def test_one_symbol_is_not_sent(is_known: bool) -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.IWM", "A.SPY")
        await client.data(4)
        server.faults.add("one_silent", symbol="IWM", rest=is_known)
        since = server.clock.now()
        client._waiting.clear()
        assert {event["sym"] for event in await client.data(20) if event["s"] * 1000 >= since} == {"SPY"}
        assert server.faults.fired["one_silent"] > 5
        begin, end = (since + 2 * SECOND) // 1000, server.clock.now() // 1000
        async with rest(server) as http:
            body = (await http.get(f"/v2/aggs/ticker/IWM/range/1/second/{begin}/{end}")).json()
        assert bool(body.get("results")) is is_known


async def test_the_last_frame_again_and_pings_without_an_answer() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.SPY")
        await client.data(1)
        server.faults.add("repeat", feed="stocks")
        await client.data(1)
        client._waiting.clear()
        assert len({json.dumps(event) for event in await client.data(5)}) == 1
        assert server.faults.fired["repeat"] >= 5
        server.faults.clear("repeat")
        server.faults.add("flood", feed="stocks", size=1_000)
        events: list[Any] = []
        while 1 not in events:
            events.append(await client.event())
        assert server.faults.fired["flood"] == 1
        server.faults.add("no_pong", feed="stocks")
        done, _ = await asyncio.wait([asyncio.ensure_future(await client.socket.ping())], timeout=0.3)
        assert not done and server.faults.fired["no_pong"] == 1


async def test_evict_as_if_a_second_copy_connected() -> None:
    async with serving() as server, Raw(server) as client:
        await client.subscribed("A.SPY")
        await client.data(1)
        server.faults.add("evict", feed="stocks", after=1.5)
        error = await client.closing()
        assert error.rcvd is not None and (error.rcvd.code, error.rcvd.reason) == (1008, "")
        assert client.frames[-1][-1]["status"] == "max_connections"
    assert server.faults.fired["evict"] == 1 and len(server.evictions) == 1


async def test_evict_comes_again_while_it_lasts() -> None:
    async with serving() as server:
        server.faults.add("evict", feed="stocks", seconds=600)
        for _ in range(3):
            async with Raw(server) as client:
                await client.subscribed("A.SPY")
                assert (await client.closing()).rcvd is not None
    assert server.faults.fired["evict"] == 3


async def test_refusals_at_the_door() -> None:
    async with serving() as server:
        server.faults.add("refuse_auth", plan=True)
        async with Raw(server) as client:
            await client.say("auth", KEY)
            assert (await client.statuses(2))[1][1] == "Your plan doesn't include websocket access."
            assert (await client.closing()).rcvd is None
        server.faults.add("max_connections_at_auth")
        async with Raw(server) as client:
            await client.say("auth", KEY)
            assert (await client.statuses(2))[1][0] == "max_connections"
            assert (error := await client.closing()).rcvd is not None and error.rcvd.code == 1008
        server.faults.add("accept_then_close", code=1001)
        async with Raw(server) as client:
            assert (error := await client.closing()).rcvd is not None and error.rcvd.code == 1001
        server.faults.add("handshake", status=429)
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{server.ws_url}/stocks", proxy=None)
        assert refused.value.response.status_code == 429
        server.faults.add("no_connected")
        async with Raw(server) as client:
            await client.say("auth", KEY)
            assert await client.statuses(1) == [("auth_success", "authenticated")]
    names = ("refuse_auth", "max_connections_at_auth", "accept_then_close", "handshake", "no_connected")
    assert server.faults.fired == dict.fromkeys(names, 1)
    assert len(server.connects["stocks"]) == 5


async def test_a_missing_acknowledgement() -> None:
    async with serving() as server, Raw(server) as client:
        server.faults.add("no_ack", pair="A.IWM")
        await client.say("auth", KEY)
        await client.say("subscribe", "A.IWM,A.SPY")
        assert (await client.statuses(3))[2] == ("success", "subscribed to: A.SPY")
        assert {event["sym"] for event in await client.data(10)} == {"SPY"}
    assert server.faults.fired["no_ack"] == 1


@pytest.mark.parametrize(
    ("name", "status", "text"),
    [
        ("rest_429", 429, "exceeded the maximum requests"),
        ("rest_500", 500, "ERROR"),
        ("rest_html", 504, "<center>nginx"),
        ("rest_401", 401, "Unknown API Key"),
        ("rest_403", 403, "NOT_AUTHORIZED"),
        ("rest_empty", 200, '"status":"OK"'),
        ("rest_no_rows", 200, '"results":[]'),
        ("rest_null", 200, '"results":null'),
        ("rest_bad_json", 200, '"results":['),
    ],
)
async def test_rest_faults_happen_once_and_pass(name: str, status: int, text: str) -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add(name, path="/v3/snapshot")
        assert (await client.get("/v1/marketstatus/now")).status_code == 200
        response = await client.get(CHAIN)
        assert response.status_code == status and text in response.text
        assert response.headers.get("Retry-After") == ("1" if name == "rest_429" else None)
        assert ("html" in response.headers["Content-Type"]) == (name == "rest_html")
        if name == "rest_bad_json":
            with pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter"):
                response.json()
        assert len((await client.get(CHAIN)).json()["results"]) == 10
        assert server.faults.fired == {name: 1}


async def test_connections_that_are_reset_or_hang() -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add("rest_reset")
        with pytest.raises(httpx.ReadError):
            await client.get(CHAIN)
        server.faults.add("rest_hang", real_seconds=0.2)
        with pytest.raises(httpx.ReadError):
            await client.get(CHAIN)
        assert (await client.get(CHAIN)).status_code == 200
    assert server.faults.fired == {"rest_reset": 1, "rest_hang": 1}


async def test_a_slow_drip_never_rests_long_enough_for_an_inactivity_timeout() -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add("rest_slow")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.1):
                await client.get("/v1/marketstatus/now", timeout=0.7)
    assert server.faults.fired == {"rest_slow": 1}


async def test_next_url_on_another_host_and_in_a_loop() -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add("next_url_offhost", host="http://203.0.113.1")
        assert (await client.get(CHAIN)).json()["next_url"].startswith("http://203.0.113.1/v3/")
        server.faults.add("next_url_loop")
        assert (await client.get(CHAIN)).json()["next_url"] == f"{server.rest_url}{CHAIN}"
    assert server.faults.fired == {"next_url_offhost": 1, "next_url_loop": 1}


async def test_what_the_plan_shows_of_quotes() -> None:
    async with serving() as server, rest(server) as client:
        server.faults.add("no_quotes")
        assert all("last_quote" not in row for row in (await client.get(CHAIN)).json()["results"])
        server.faults.clear()
        server.faults.add("delayed_quotes")
        rows = (await client.get(CHAIN)).json()["results"]
        assert {row["last_quote"]["timeframe"] for row in rows} == {"DELAYED"}
        server.faults.clear()
        rows = (await client.get(CHAIN)).json()["results"]
        assert {row["last_quote"]["timeframe"] for row in rows} == {"REAL-TIME"}


async def test_rows_that_are_well_formed_and_cannot_be_true() -> None:
    async def rows(name: str, **options: Any) -> list[dict[str, Any]]:
        server.faults.clear()
        server.faults.add(name, **options)
        found: list[dict[str, Any]] = (await client.get(CHAIN)).json()["results"]
        assert server.faults.fired[name]
        return found

    async with serving() as server, rest(server) as client:
        good = (await client.get(CHAIN)).json()["results"]
        frozen = await rows("frozen_quotes", by=900)
        age = server.clock.now() * 1000 - max(row["last_quote"]["last_updated"] for row in frozen)
        assert 900 <= age / 1e9 < 1000
        assert {row["last_quote"]["timeframe"] for row in frozen} == {"REAL-TIME"}
        zero = await rows("zero_greeks")
        assert {value for row in zero for value in row.get("greeks", {}).values()} == {0}
        equal = await rows("absurd_delta", delta=0.4)
        assert {row["greeks"]["delta"] for row in equal if "greeks" in row} == {0.4}
        dear = await rows("absurd_quotes", factor=100.0)
        asks = [each[-1]["last_quote"]["ask"] for each in (good, dear)]
        assert asks[1] > 50 * asks[0]
        twice = await rows("adjusted_root", root="IWM1")
        names = [row["details"]["ticker"] for row in twice]
        assert names[0] == names[1].replace("O:IWM", "O:IWM1")
        assert len(twice) == 2 * len(good)


async def test_prints_and_streamed_quotes_that_cannot_be_true() -> None:
    async with serving() as server:
        async with Raw(server) as client:
            await client.subscribed("A.IWM", "A.SPY")
            server.faults.add("absurd_print", symbol="IWM", factor=1.1, volume=100.0)
            prints = [event for event in await client.data(12) if event["sym"] == "IWM"]
            absurd = [event for event in prints if event["c"] > 1.05 * prints[-1]["c"]]
            known = [server.market.known("IWM", each["s"] * 1000, server.clock.now()) for each in absurd]
            assert len(absurd) == 1 and known[0] is not None
            assert absurd[0]["c"] == pytest.approx(known[0].close * 1.1, abs=0.001)
            assert float(absurd[0]["dv"]) > 50 * known[0].volume
        async with Raw(server, "options") as client:
            call = calls(server.market)[0]
            await client.subscribed(f"Q.{call}")
            server.faults.add("absurd_quotes", factor=100.0)
            client._waiting.clear()
            dear = (await client.data(2))[-1]
            real = server.market.quote(call, dear["t"] * 1000)
            assert real is not None
            assert dear["ap"] == pytest.approx(real.ask * 100)
    assert server.faults.fired["absurd_print"] == 1
    assert server.faults.fired["absurd_quotes"] >= 1


async def test_bad_pages_still_hold_the_good_rows() -> None:
    async with serving() as server, rest(server) as client:
        good = [row["details"]["ticker"] for row in (await client.get(CHAIN)).json()["results"]]
        server.faults.add("bad_page", path="/v3/")
        server.faults.add("bad_page", path="/v2/", nan=False)
        page = await client.get(CHAIN)
        assert "NaN" in page.text
        rows = json.loads(page.text)["results"]
        assert len(rows) > 30 and None in rows
        found = [row["details"]["ticker"] for row in rows if isinstance(row, dict) and row.get("details")]
        assert set(good) <= set(found)
        bars = await client.get(aggregates("IWM", OPEN, OPEN + 20 * SECOND))
        assert "NaN" not in bars.text and None in bars.json()["results"]
    assert server.faults.fired == {"bad_page": 2}


async def test_status_date_and_lag() -> None:
    async with serving(speed=1.0) as server, rest(server) as client:
        server.faults.add("market_closed")
        server.faults.add("skewed_date", by=-40)
        server.faults.add("aggregates_lag", by=600)
        response = await client.get("/v1/marketstatus/now")
        assert response.json()["market"] == response.json()["exchanges"]["nyse"] == "closed"
        behind = server.clock.now() / SECOND - parsedate_to_datetime(response.headers["Date"]).timestamp()
        assert 39 <= behind < 46
        now = server.clock.now()
        body = (await client.get(aggregates("SPY", now - 700 * SECOND, now))).json()
        assert body["results"][-1]["t"] * 1000 < now - 590 * SECOND
    assert all(server.faults.fired[name] for name in ("market_closed", "skewed_date", "aggregates_lag"))


async def test_a_cached_answer_names_its_age_and_a_proxy_may_take_the_date_away() -> None:
    async with serving(speed=1.0) as server, rest(server) as client:
        server.faults.add("cached", by=100)
        response = await client.get("/v1/marketstatus/now")
        dated = parsedate_to_datetime(response.headers["Date"]).timestamp() + int(response.headers["Age"])
        assert 0 <= server.clock.now() / SECOND - dated < 6
        server.faults.clear()
        server.faults.add("no_date")
        assert "Date" not in (await client.get("/v1/marketstatus/now")).headers


def test_every_fault_is_tried_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in FAULTS if f'"{name}"' not in text] == []


# --- The official client -----------------------------------------------------------------------------


def values(bar: EquityAgg) -> tuple[Any, ...]:
    """A bar of the official client as comparable values."""
    return (
        *(bar.symbol, bar.start_timestamp, bar.open, bar.high, bar.low, bar.close),
        *(bar.vwap, bar.fractional_volume),
    )


async def test_the_official_client_receives_what_a_raw_one_does() -> None:
    logging.getLogger("WebSocketClient").setLevel(logging.CRITICAL)
    async with serving(plan=Plan(connections=2), speed=60.0) as server:
        theirs: list[EquityAgg] = []

        async def take(messages: Sequence[Any]) -> None:
            theirs.extend(messages)

        host = server.ws_url.removeprefix("ws://")
        official = WebSocketClient(
            api_key=KEY, feed=host, market="stocks", secure=False, subscriptions=["A.IWM", "A.SPY"]
        )
        running = asyncio.create_task(official.connect(take, proxy=None))
        async with Raw(server) as raw:
            await raw.subscribed("A.IWM", "A.SPY")
            while not theirs:
                await server.clock.sleep(0.5)
            raw._waiting.clear()
            ours = await raw.data(60)
            expected = [
                tuple(event[name] for name in ("sym", "s", "o", "h", "l", "c", "vw", "dv")) for event in ours
            ]
            async with asyncio.timeout(8):
                while expected[-1] not in map(values, theirs):
                    await server.clock.sleep(0.5)
        await official.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    received = [values(bar) for bar in theirs]
    assert received[received.index(expected[0]) :][: len(expected)] == expected


async def test_the_official_rest_client_reads_the_chain_and_the_seconds() -> None:
    async with serving() as server:

        def ask() -> tuple[list[Any], list[Any]]:
            client = RESTClient(api_key=KEY, base=server.rest_url)
            chain = client.list_snapshot_options_chain("IWM", params={"contract_type": "call", "limit": 25})
            seconds = client.list_aggs("SPY", 1, "second", OPEN // 1000, OPEN // 1000 + 60_000, limit=25)
            out = list(chain), list(seconds)
            for pool in (client.client, client.vx.client):
                pool.clear()
            return out

        chain, seconds = await asyncio.to_thread(ask)
        assert [row.details.ticker for row in chain] == calls(server.market)
        assert any(row.greeks and row.greeks.delta and row.greeks.delta > 0.9 for row in chain)
        known = server.market.known_between("SPY", OPEN, OPEN + 60 * SECOND, OPEN + 3000 * SECOND)
        assert [(bar.timestamp, bar.close, bar.vwap) for bar in seconds] == [
            (bar.start // 1000, bar.close, bar.vwap) for bar in known
        ]


# --- The command -------------------------------------------------------------------------------------


async def interrupted(*arguments: str) -> tuple[int, str, str]:
    """The command in a process of its own, interrupted once it says that it can be: status, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sim", *arguments),
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    head = b""
    async with asyncio.timeout(20):
        while b"Ctrl-C" not in head:
            head += await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (head + out).decode(), err.decode()


async def test_serve_prints_the_environment_and_ends_at_an_interrupt() -> None:
    code, out, err = await interrupted("serve", "--date", "2025-10-02", "--start", "10:30", "--speed", "5")
    assert (code, err) == (0, "")
    assert "Thu 02 Oct 10:30" in out and "cannot follow" in out
    exported = dict(
        line.removeprefix("export ").split("=", 1) for line in out.splitlines() if line.startswith("export")
    )
    assert set(exported) == {
        "POLYGON_API_KEY",
        "POLYGON_REST_URL",
        "POLYGON_WS_URL",
        "PUSHOVER_TOKEN",
        "PUSHOVER_USER_KEY",
        "PUSHOVER_URL",
    }
    assert exported["POLYGON_WS_URL"].startswith("ws://127.0.0.1:")


def test_serve_stops_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--seconds", "0.1"]) == 0
    assert "0 requests" in capsys.readouterr().out


def test_serve_says_when_its_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1]), "--seconds", "1"]) == 1
    assert "address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("dance", "invalid choice: 'dance'"),
        ("", "arguments are required: COMMAND"),
        ("serve --date 2025-10-04", "the exchange is closed on 2025-10-04"),
        ("serve --date someday", "takes a date as YYYY-MM-DD"),
        ("serve --start 25:00", "takes a New York time as HH:MM"),
        ("serve --speed 0", "takes a number over 0"),
        ("serve --port 70000", "takes a port from 0"),
    ],
)
def test_bad_arguments_are_explained(arguments: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert text in capsys.readouterr().err
