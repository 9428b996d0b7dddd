"""The loop on virtual time: nothing waits, the order is always the same, and processes stand still or die."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sim.loop import Jumping, LoopClock, Process, SimLoop, Stuck
from sim.network import Network


def on_loop(work: Callable[[SimLoop], Coroutine[Any, Any, Any]]) -> Any:
    """Runs something on a loop of its own; returns what it returns."""
    loop = SimLoop(Network(random.Random(1)))
    try:
        return loop.run_until_complete(work(loop))
    finally:
        loop.close()


def test_an_hour_passes_at_once() -> None:
    async def work(loop: SimLoop) -> tuple[float, int]:
        clock = LoopClock(1_000_000)
        await clock.sleep(3_600)
        return loop.time(), clock.now()

    began = time.process_time()
    assert on_loop(work) == (3_600.0, 3_601_000_000)
    assert time.process_time() - began < 10


def test_what_is_due_at_the_same_time_comes_in_the_order_in_which_it_was_asked_for() -> None:
    async def work(loop: SimLoop) -> list[int]:
        came: list[int] = []
        for number in range(50):
            loop.call_at(1.0 if number % 2 else 0.5, came.append, number)
        await asyncio.sleep(2)
        return came

    assert on_loop(work) == [*range(0, 50, 2), *range(1, 50, 2)]


def test_a_set_of_tasks_has_the_same_order_in_each_run() -> None:
    async def work(loop: SimLoop) -> list[int]:
        tasks = {loop.create_task(asyncio.sleep(0)): number for number in range(30)}
        await asyncio.wait(tasks)
        first = min(hash(task) for task in tasks)
        assert sorted(hash(task) - first for task in tasks) == list(range(30))
        return [tasks[task] for task in sorted(tasks, key=hash)]

    assert on_loop(work) == list(range(30))


def test_an_executor_does_it_at_once_and_a_failure_reaches_whoever_waits() -> None:
    async def work(loop: SimLoop) -> int:
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 1, 0)
        found: int = await loop.run_in_executor(None, sum, (1, 2, 3))
        return found

    assert on_loop(work) == 6


def test_a_loop_with_nothing_to_wait_for_says_so() -> None:
    async def work(loop: SimLoop) -> None:
        await loop.create_future()

    with pytest.raises(Stuck, match="nothing to wait for"):
        on_loop(work)


def test_a_loop_that_runs_in_circles_says_so() -> None:
    passing = Jumping()
    passing.turns_max = 3
    assert [passing.select(timeout) for timeout in (0, 0, 0, 5.0, 0, 0, 0)] == [[]] * 7 and passing.now == 5
    with pytest.raises(Stuck, match="3 times without any time passing"):
        passing.select(0)


# --- Processes ---------------------------------------------------------------------------------------


async def ticking(seen: list[float]) -> None:
    """Notes the time every second."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        seen.append(round(loop.time(), 3))


@pytest.mark.parametrize(("slept", "expected"), [(0.0, [1, 2, 8, 9]), (5.5, [1, 2, 8.5, 9.5])])
def test_a_frozen_process_stands_still_while_its_surroundings_go_on(
    slept: float, expected: list[float]
) -> None:
    async def work(loop: SimLoop) -> tuple[list[float], list[float]]:
        inside: list[float] = []
        outside: list[float] = []
        process = Process("frozen")
        process.start(loop, ticking(inside))
        around = loop.create_task(ticking(outside))
        await asyncio.sleep(2.5)
        loop.freeze(process)
        await asyncio.sleep(5.5)
        loop.thaw(process, slept)
        await asyncio.sleep(1.7)
        around.cancel()
        process.die()
        return inside, outside

    inside, outside = on_loop(work)
    assert outside == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert inside == expected


def test_a_dead_process_ends_with_all_that_it_has_started() -> None:
    async def work(loop: SimLoop) -> list[str]:
        ended: list[str] = []

        async def child(name: str) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                ended.append(name)

        async def parent() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(child("one"))
                tasks.create_task(child("two"))

        process = Process("mortal")
        task = process.start(loop, parent())
        await asyncio.sleep(1)
        assert len(process.tasks) == 3
        process.die()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert process.is_dead and not process.tasks and loop.time() == 1
        return ended

    assert on_loop(work) == ["one", "two"]


def test_whoever_is_around_a_process_does_not_belong_to_it() -> None:
    async def work(loop: SimLoop) -> None:
        process = Process("worker")
        task = process.start(loop, asyncio.sleep(0.5))
        other = loop.create_task(asyncio.sleep(0.5))
        assert process.tasks == {task}
        await asyncio.wait({task, other})

    on_loop(work)
