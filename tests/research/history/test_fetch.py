"""Sessions fetched over real HTTP from the loopback market: what is asked, kept, repeated, refused and marked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

import logger
import utils
from events import SECOND
from polygon_client import vendor_history
from research.history import fetch as fetching
from research.history.fetch import BadSpan, Wanted, fetch, sessions_between
from research.history.requests import ATTEMPTS, Refused, Requests
from research.history.store import History, Source, State
from research.history.tape import play
from rules import Rules
from sim.account import Plan
from sim.archive import Archive
from sim.market import Market
from sim.server import LoopbackMarket
from tests.research.made import DAY, SEED, session

TODAY = date(2025, 7, 7)
KEY = "made0up0key"
NOW = session(TODAY).open


class Scene:
    """The loopback market, a history, and what was told of each session."""

    def __init__(self, server: LoopbackMarket, folder: Path) -> None:
        self.server = server
        self.history = History(folder)
        self.told: list[tuple[Source, bool]] = []
        self.waits: list[float] = []

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def fetch(self, *days: date, key: str = KEY, rules: Rules | None = None) -> Source:
        """Fetches sessions. Returns the last as it was told."""
        vendor = vendor_history(self.server.rest_url, key, utils.SystemClock(), deadline_s=20.0)
        wanted = Wanted("IWM", "SPY", rules or Rules(), self.server.rest_url)
        try:
            await fetch(
                self.history,
                Requests(vendor, self.wait),
                wanted,
                [session(day) for day in days or (DAY,)],
                now=lambda: NOW,
                told=lambda source, was_asked: self.told.append((source, was_asked)),
            )
        finally:
            await vendor.aclose()
        return self.told[-1][0]

    def asked(self, part: str) -> int:
        """How many requests had this in their path."""
        return sum(part in request.path for request in self.server.requests)


@contextlib.asynccontextmanager
async def scene(folder: Path, plan: Plan | None = None) -> AsyncIterator[Scene]:
    """A market whose own day is some days after the one that is fetched."""
    logger.setup(level="ERROR", log_format="console", log_file=None, secrets=(KEY,), clock=utils.utc_now)
    try:
        clock = utils.ScaledClock(NOW, 1.0)
        async with LoopbackMarket(Market(SEED, session(TODAY)), clock, KEY, plan=plan) as server:
            yield Scene(server, folder)
    finally:
        logger.close()


async def test_a_session_is_whole_once_no_quote_is_missing_and_is_not_asked_for_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        source = await s.fetch()
        assert source.state is State.WHOLE and source.simulated and not source.faults
        past = s.history.read("IWM", DAY.isoformat())
        assert play(past, Rules()).missing == frozenset()
        made = Archive(s.server.market).on(DAY)
        assert made is not None
        for bar in past.bars[::500]:
            final = made.final(bar.symbol, bar.start)
            assert final is not None and (final.close, final.volume, final.vwap) == (
                bar.close,
                bar.volume,
                bar.vwap,
            )
        assert not any(bar.backfilled for bar in past.bars)
        assert source.counts["calls"] == len(past.calls) > 20
        before = len(s.server.requests)
        assert before == source.requests
        again = await s.fetch()
        assert again == source and len(s.server.requests) == before and s.told[-1] == (source, False)
        # Other rules look for what is missing besides, and for nothing that is there.
        blocks = {
            (request.path, request.query["timestamp.gte"])
            for request in s.server.requests
            if "quotes" in request.path
        }
        more = await s.fetch(rules=Rules(stream_contracts=12))
        assert more.state is State.WHOLE and s.asked("aggs") == 2 and s.asked("contracts") == 1
        later = [
            (request.path, request.query["timestamp.gte"])
            for request in s.server.requests[before:]
            if "quotes" in request.path
        ]
        assert later and len(later) == len(set(later)) and blocks.isdisjoint(later)


async def test_a_run_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.server.faults.add("rest_500", path="/v3/quotes", times=100_000)
        source = await s.fetch()
        assert source.state is State.PARTIAL and "quotes are missing" in source.faults[0]
        assert sorted(set(s.waits)) == [2.0**power for power in range(ATTEMPTS - 1)]
        s.server.faults.clear("rest_500")
        bars = s.asked("aggs")
        assert (await s.fetch()).state is State.WHOLE
        assert s.asked("aggs") == bars and s.asked("contracts") == 1


async def test_a_limit_is_waited_out_as_long_as_the_vendor_says(tmp_path: Path) -> None:
    async with scene(tmp_path, Plan(quote_history=False)) as s:
        s.server.faults.add("rest_429", path="/v2/aggs", retry_after=17)
        source = await s.fetch()
        assert s.waits == [17.0]
        assert source.state is State.BARS_ONLY and "Options Advanced" in source.faults[0]
        assert source.counts["seconds of IWM"] > 5_000 and source.counts["quotes"] == 0


async def test_a_key_that_is_refused_ends_everything_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        with pytest.raises(Refused):
            await s.fetch(key="another")
        assert len(s.server.requests) == 1 and not s.waits
        assert s.history.dates("IWM") == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("rest_empty", "bars or calls cannot be had"),
        ("rest_null", "bars or calls cannot be had"),
        ("rest_html", "bars or calls cannot be had"),
        ("rest_bad_json", "bars or calls cannot be had"),
        ("rest_no_rows", "IWM has 0 seconds; at least 6,300 of 12,600 are usual"),
        ("rest_403", "bars or calls cannot be had"),
    ],
)
async def test_a_vendor_that_answers_garbage_leaves_a_marked_session(
    tmp_path: Path, fault: str, said: str
) -> None:
    async with scene(tmp_path) as s:
        s.server.faults.add(fault, path="/v2/aggs", times=100)
        source = await s.fetch()
        assert source.state is State.LEFT_OUT and said in source.faults[0]
        assert KEY not in repr(source)
        assert source == s.history.source("IWM", DAY.isoformat())
        s.server.faults.clear(fault)
        s.server.faults.add("rest_403", path="/v3/quotes", times=100)
        assert (await s.fetch()).state is State.BARS_ONLY  # what was left out is asked for again


async def test_empty_blocks_of_quotes_leave_the_session_out(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        s.server.faults.add("quote_hole", times=100_000)
        source = await s.fetch()
        assert source.state is State.LEFT_OUT
        assert "blocks of quotes are empty" in source.faults[0]


async def test_a_session_with_too_few_seconds_is_left_out(tmp_path: Path) -> None:
    async with scene(tmp_path, Plan(quote_history=False)) as s:
        s.server.faults.add("bad_page", path="/v2/aggs", times=2)  # broken rows cost only themselves
        source = await s.fetch()
        assert source.state is State.BARS_ONLY
    found = fetching.usual_seconds(s.history, "IWM")
    assert found == {}  # one session is not what is usual


def test_only_sessions_that_are_over_are_fetched() -> None:
    close = session(DAY).close
    with pytest.raises(BadSpan, match="is not over yet"):
        sessions_between(DAY, DAY, close + 60 * SECOND)
    assert [
        found.date for found in sessions_between(date(2025, 7, 1), date(2025, 7, 6), close + 1_200 * SECOND)
    ] == [
        "2025-07-01",
        "2025-07-02",
        "2025-07-03",
    ]
    with pytest.raises(BadSpan, match="has no session of the exchange"):
        sessions_between(date(2025, 7, 5), date(2025, 7, 6), NOW)
