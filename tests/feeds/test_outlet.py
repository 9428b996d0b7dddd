"""What a feed hands on stays in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.outlet import Outlet


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["put", "turn", "room", "full"]), st.integers(0, 3)), max_size=60))
async def test_facts_stay_in_their_order_whoever_takes_them(steps: list[tuple[str, int]]) -> None:
    is_open = True
    arrived: list[int] = []

    def offer(items: Sequence[int]) -> bool:
        if is_open:
            arrived.extend(items)
        return is_open

    outlet: Outlet[int] = Outlet(offer)

    async def reader() -> None:
        while True:
            for item in await outlet.drain():
                await asyncio.sleep(0)  # as for room
                arrived.append(item)

    reading = asyncio.create_task(reader())
    count = 0
    for step, number in steps:
        match step:
            case "put":
                outlet.put(*range(count, count + number))
                count += number
            case "turn":
                for _ in range(number):
                    await asyncio.sleep(0)
            case _:
                is_open = step == "room"
    for _ in range(2 * count + 4):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    assert arrived == list(range(count))
    is_open = True
    outlet.put(count)
    assert arrived == list(range(count)), "nobody reads any more: it waits"
    assert await outlet.drain() == [count]
