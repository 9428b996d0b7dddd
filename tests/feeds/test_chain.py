"""The chain poller: its pace, its failures, and empty answers."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from events import SECOND, Chain
from tests.feeds.scene import market, open_place, session


@pytest.mark.parametrize(("streaming", "pace"), [(True, 5.0), (False, 2.0)])
async def test_the_chain_is_polled_at_its_pace(streaming: bool, pace: float) -> None:
    async with open_place(speed=20) as place:
        watch = place.poller(spot=market().spot(place.clock.now()), streaming=streaming)
        await watch.until(lambda: len(watch.all(Chain)) >= 4)
    at = [at for at, event in watch.seen if isinstance(event, Chain)]
    gaps = [(later - early) / SECOND for early, later in itertools.pairwise(at)]
    assert all(gap > pace - 1.5 for gap in gaps) and min(gaps) < pace + 2.5
    (row, *_), spot = watch.all(Chain)[0].rows, market().spot(at[0])
    assert row.real_time and row.contract.startswith("O:IWM251002C")
    assert all(abs(row.strike / 1000 / spot - 1) < 0.045 for chain in watch.all(Chain) for row in chain.rows)


async def test_a_poll_that_fails_is_told_once_and_so_is_recovery(logged: list[Any]) -> None:
    async with open_place(speed=150) as place:
        place.faults.add("rest_403", times=1, path="/v3/snapshot")
        place.faults.add("rest_html", times=6, path="/v3/snapshot")
        place.faults.add("next_url_offhost", times=1)
        place.faults.add("bad_page", times=1, path="/v3/snapshot")
        watch = place.poller()
        await watch.until(lambda: len(watch.all(Chain)) >= 2)
        snapshots = [request.at for request in place.server.requests if "snapshot" in request.path]
        # Three polls fail twice each at the usual pace, then the plan's refusal is left alone for a minute.
        assert (snapshots[7] - snapshots[6]) / SECOND >= 60
    lines = [entry["text"] for entry in logged if entry["event"].startswith("chain_poll")]
    assert lines[0] == "⚠️ Chain poll failed, still using the last good one: vendor's server fails (504)"
    assert lines[1].startswith("⚠️ Chain poll failed, still using the last good one: not in the plan (403)")
    assert lines[-1].startswith("✓ Chain polls work again ")
    assert len(lines) == 3


async def test_too_many_requests_are_waited_out() -> None:
    async with open_place(speed=150) as place:
        place.faults.add("rest_429", path="/v3/snapshot", retry_after=40)
        watch = place.poller()
        await watch.until(lambda: watch.all(Chain))
        first, second, *_ = (request.at for request in place.server.requests if "snapshot" in request.path)
    assert (second - first) / SECOND >= 40


async def test_a_chain_that_is_empty_is_said_when_it_changes_and_never_replaces_a_good_one(
    logged: list[Any],
) -> None:
    async with open_place(speed=40) as place:
        place.faults.add("rest_no_rows", path="/v3/snapshot", times=3)
        watch = place.poller()
        await watch.until(lambda: any(chain.rows for chain in watch.all(Chain)))
        assert [bool(chain.rows) for chain in watch.all(Chain)] == [False, False, False, True]
        place.faults.add("rest_no_rows", path="/v3/snapshot", times=4)
        await watch.until(lambda: len(watch.all(Chain)) == 6)
        assert all(chain.rows for chain in watch.all(Chain)[3:])
    events = [(entry["event"], entry["text"]) for entry in logged if entry["event"].startswith("chain_")]
    assert events == [
        ("chain_empty", f"⚠️ The chain is empty: no IWM calls expire on {session().date}"),
        ("chain_empty", "⚠️ The chain came back empty after good ones: still using the last good one"),
        ("chain_polled_again", "✓ Chain polls work again (4 failed)"),
    ]


async def test_nothing_is_polled_before_the_open_or_after_the_close() -> None:
    async with open_place(speed=100, second=-30) as place:
        watch = place.poller()
        await watch.until(lambda: watch.all(Chain))
        assert min(request.at for request in place.server.requests) >= session().open
    length = (session().close - session().open) // SECOND
    async with open_place(speed=100, second=length - 30) as place:
        watch = place.poller()
        await watch.until(lambda: place.clock.now() > session().close + 20 * SECOND)
        assert not watch.task.done()
        assert 1 <= len(watch.all(Chain)) <= 7
        assert max(request.at for request in place.server.requests) < session().close + SECOND
