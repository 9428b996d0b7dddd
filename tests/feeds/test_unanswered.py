"""Sockets that do not answer: what was asked for and not acknowledged, and pings on a connection that is dead."""

from __future__ import annotations

from typing import Any

import pytest

from events import FeedCause, FeedLost, Quote
from feeds.options import Wanted
from tests.feeds.scene import open_place, texts
from tests.feeds.test_silence import PATIENT, causes, seen


async def test_of_several_contracts_one_that_is_not_acknowledged_is_done_without(logged: list[Any]) -> None:
    async with open_place(speed=40, step_s=1.0) as place:
        calls = place.calls(4)
        place.wanted = Wanted(contracts=frozenset(calls), held=calls[0])
        place.faults.add("no_ack", feed="options", pair=f"Q.{calls[3]}")
        _, watch = place.options()
        await watch.until(lambda: "⚠️ Options: " in "".join(texts(logged)), seconds=30)
        await watch.until(lambda: len(watch.all(Quote)) > 10)
        assert len(place.server.connects["options"]) == 1
    assert f"⚠️ Options: Q.{calls[3]} not acknowledged; continuing without it" in texts(logged)
    assert calls[3] not in {quote.contract for quote in watch.all(Quote)}


async def test_a_held_contract_that_is_not_acknowledged_is_a_lost_connection(logged: list[Any]) -> None:
    async with open_place(speed=40, step_s=1.0) as place:
        calls = place.calls(4)
        place.wanted = Wanted(contracts=frozenset(calls), held=calls[3])
        place.faults.add("no_ack", feed="options", pair=f"Q.{calls[3]}")
        feed, watch = place.options()
        await watch.until(lambda: len(place.server.connects["options"]) == 2, seconds=30)
        await watch.until(lambda: feed.streaming)
    lost = [text for text in texts(logged) if text.startswith("🔌 Disconnected: options, ")]
    assert len(lost) == 1
    assert "quotes were not acknowledged within 1 s" in lost[0]


@pytest.mark.parametrize("feed", ["stocks", "options"])
async def test_a_connection_that_neither_sends_nor_answers_pings_is_dead(
    feed: str, logged: list[Any]
) -> None:
    async with open_place(speed=100, rules=PATIENT) as place:
        place.wanted = Wanted(contracts=frozenset(place.calls(3)))
        if feed == "stocks":
            _, watch = place.stocks()
            await seen(place, watch)
        else:
            options, watch = place.options()
            await watch.until(lambda: options.streaming)
        place.faults.add("silence", feed=feed, pings=False)
        place.faults.add("aggregates_lag", by=3600.0)  # REST proves nothing
        await watch.until(lambda: len(place.server.connects[feed]) == 2, seconds=60)
        place.faults.clear()
    if feed == "stocks":
        assert causes(watch) == [(FeedCause.STALL, "")]
        assert [event for event in watch.all(FeedLost) if event.cause is not FeedCause.STALL] == []
    assert any("a ping was not answered within" in text for text in texts(logged))
