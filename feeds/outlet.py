"""Where a feed's facts wait for their reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

BATCHES_WAITING_MAX = 20
"""How many batches or polls may wait for their reader. Beyond that, quotes are merged and the chain is not polled."""


class Outlet(Generic[T]):
    """Where a feed puts its facts. They go to ``offer`` at once if that accepts them, else they wait for the feed's reader.

    The reader gets everything that waits at once. To keep the order, nothing is offered while anything waits or the
    reader is still handling its last batch.
    """

    def __init__(self, offer: Callable[[Sequence[T]], bool] | None = None) -> None:
        self.batches = 0
        """How many batches wait for the reader."""
        self._offer = offer
        self._waiting: list[T] = []
        self._woken = asyncio.Event()
        self._is_read = False
        """Whether the reader waits, and has handled its last batch."""

    def put(self, *items: T) -> None:
        """Passes a batch on."""
        if self._offer is not None and self._is_read and not self.batches and self._offer(items):
            return
        self._waiting += items
        self.batches += 1
        self._woken.set()

    def wake(self) -> None:
        """Makes `drain` return even if nothing waits."""
        self._woken.set()

    async def drain(self) -> list[T]:
        """Waits until there are facts, and returns all of them in their order; may return none after `wake`."""
        self._is_read = True
        try:
            await self._woken.wait()
        finally:
            self._is_read = False
        self._woken.clear()
        taken, self._waiting, self.batches = self._waiting, [], 0
        return taken


async def iterate(
    outlet: Outlet[T], work: Callable[[], Coroutine[object, object, None]], name: str
) -> AsyncGenerator[list[T], None]:
    """Yields what ``work`` puts into ``outlet``, all that waits at once. Closing the iterator cancels ``work``.

    Raises what ``work`` raises, and RuntimeError if ``work`` ends without an error: a task group treats a cancelled task
    as a finished one, and the reader would mistake a silent end for a quiet market.
    """
    task = asyncio.create_task(work(), name=name)
    task.add_done_callback(lambda _: outlet.wake())
    try:
        while not task.done() or outlet.batches:
            if items := await outlet.drain():
                yield items
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    raise RuntimeError(f"the {name} has ended, and nobody had asked it to")


async def apart(work: Coroutine[object, object, T]) -> T:
    """Runs ``work`` in a task of its own and returns its result.

    Python 3.11's task group loses its task's cancellation if a child fails at the same moment, and leaves the task's
    count of cancellations too high. In a task that ends with the group, neither does harm.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
        await asyncio.wait({task})
    return task.result()
