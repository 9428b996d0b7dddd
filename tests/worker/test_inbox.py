"""The inbox: its bound, its order, and who waits for it."""

from __future__ import annotations

import asyncio

import pytest

from events import (
    AlertKind,
    AlertOutcome,
    Bar,
    Chain,
    Event,
    FeedCause,
    FeedLost,
    Hold,
    HoldReason,
    Outcome,
    Quote,
    Shutdown,
    Tick,
)
from tests.builders import bar, quote
from worker.inbox import INBOX_MAX, Inbox

pytestmark = pytest.mark.virtual_time


async def test_an_inbox_refuses_bars_past_its_bound_and_nothing_else() -> None:
    inbox = Inbox()
    for _ in range(INBOX_MAX):
        assert await inbox.put(bar(1))
    assert not await inbox.put(bar(1))
    assert not await inbox.put(quote(1, 1.0, 1.1))
    for kept in (Tick(), FeedLost(cause=FeedCause.OVERFLOW), Chain(rows=())):
        assert await inbox.put(kept)
    waiting = asyncio.create_task(inbox.put(bar(2, backfilled=True)))
    await asyncio.sleep(0)
    assert not waiting.done()
    taken = [await inbox.get() for _ in range(INBOX_MAX)]
    assert all(isinstance(event, Bar) for event in taken)
    assert await waiting
    assert not isinstance(taken[-1], Quote)


async def test_a_full_inbox_takes_outcomes_holds_and_the_shutdown() -> None:
    inbox = Inbox()
    for _ in range(INBOX_MAX):
        inbox.put_now(bar(1))
    kept: list[Event] = [
        AlertOutcome(kind=AlertKind.SELL, id="7f3a91", outcome=Outcome.ACCEPTED, attempts=1),
        Hold(reason=HoldReason.RECORD_OFF, on=True),
        Shutdown(close_position=True),
    ]
    for event in kept:
        inbox.put_now(event)
    taken = [await inbox.get() for _ in range(INBOX_MAX + len(kept))]
    assert taken[INBOX_MAX:] == kept


async def test_an_inbox_takes_what_is_offered_whole_or_not_at_all() -> None:
    inbox = Inbox()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    batch: list[Event] = [bar(1), Tick(), bar(2, backfilled=True)]
    assert inbox.offer(batch)
    assert [await reading, await inbox.get(), await inbox.get(), inbox.next()] == [*batch, None]
    assert inbox.offer([bar(1)] * (INBOX_MAX - 1))
    assert not inbox.offer([bar(1)])
    assert await inbox.put(bar(1))
    for _ in range(INBOX_MAX // 2 - 1):
        await inbox.get()
    assert not inbox.offer([bar(1)]), "not before half is free again"
    await inbox.get()
    assert inbox.offer([bar(1)])


async def test_an_inbox_wakes_its_reader_and_keeps_the_order() -> None:
    inbox = Inbox()
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    assert not reading.done()
    events: list[Event] = [bar(1), bar(2), quote(3, 1.0, 1.1), Tick()]
    for event in events:
        inbox.put_now(event)
    assert [await reading, await inbox.get(), inbox.next(), inbox.next(), inbox.next()] == [*events, None]
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_now(Tick())
    assert await reading == Tick()


async def test_backfill_goes_on_once_half_of_an_inbox_is_free_and_live_bars_at_once() -> None:
    inbox = Inbox()
    for _ in range(INBOX_MAX):
        inbox.put_now(bar(1))
    backfill = asyncio.create_task(inbox.put(bar(2, backfilled=True)))
    await inbox.get()
    assert await inbox.put(bar(3))
    assert inbox.is_full
    while not backfill.done():
        await inbox.get()
        await asyncio.sleep(0)
    left = 0
    while inbox.next() is not None:
        left += 1
    assert left in (INBOX_MAX // 2, INBOX_MAX // 2 + 1)


async def test_an_inbox_waits_no_longer_than_a_nap() -> None:
    inbox = Inbox()
    assert await inbox.get_within(asyncio.sleep(0)) is None
    inbox.put_now(Tick())
    assert await inbox.get_within(asyncio.sleep(3600)) == Tick()
    assert await inbox.get_within(asyncio.sleep(0)) is None
    waiting = asyncio.create_task(inbox.get_within(asyncio.sleep(3600)))
    await asyncio.sleep(0)
    inbox.put_now(bar(1))
    assert await waiting == bar(1)
