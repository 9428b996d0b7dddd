"""How long and how much a case may take: processor time of one turn of the event loop, and memory."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sim.loop import Inline, settle

Result = TypeVar("Result")

TURN_S = 0.05
"""The longest that one turn of the event loop may take, seconds of processor time."""

BESIDE_S = 2.0
"""The longest that a thread beside the loop may work on one case, seconds of processor time."""

MEMORY_BYTES = 64 * 1024 * 1024
"""The most memory that a case may take beside its own bytes."""

LARGE_BYTES = 64 * 1024
"""Memory is measured from this size on: measuring takes several times as long, and less than this cannot become 64 MB."""

TRIES = 3
"""How often a case is measured that took too long: the machine may have been busy."""


class TooMuch(AssertionError):
    """A case took too long, or too much memory."""


class TurnLoop(asyncio.SelectorEventLoop):
    """An event loop that knows the longest of its turns, in seconds of processor time."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = self.beside = 0.0

    def _run_once(self) -> None:
        beside, began = self.beside, time.thread_time()
        super()._run_once()  # type: ignore[misc]
        self.longest = max(self.longest, time.thread_time() - began - (self.beside - beside))


class Beside(Inline):
    """Does at once what the program would do in a thread; its time does not count as the loop's."""

    def submit(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        """Do something; the future has its result, or what it raised."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, TurnLoop)
        began = time.thread_time()
        done: asyncio.Future[Result] = loop.create_future()
        try:
            result, error = action(), None
        except Exception as raised:  # noqa: BLE001 - whoever waits for the future gets it
            result, error = None, raised
        loop.beside += time.thread_time() - began
        loop.call_soon(settle, done, result, error)
        return done


def beside(name: str) -> Beside:
    """Stands for a thread of that name."""
    return Beside()


class Bench:
    """Runs cases on one loop, and raises TooMuch for what takes too long or too much."""

    def __init__(self) -> None:
        self._loop = TurnLoop()

    def run(self, work: Callable[[], Awaitable[Result]], size: int) -> Result:
        """Returns what ``work`` returns. ``size`` is how many bytes are put in."""
        result, turn, thread = self._timed(work)
        if turn > TURN_S or thread > BESIDE_S:
            again = [self._timed(work)[1:] for _ in range(TRIES)]
            turn, thread = min(first for first, _ in again), min(second for _, second in again)
            if turn > TURN_S or thread > BESIDE_S:
                raise TooMuch(
                    f"a turn of {turn * 1000:.0f} ms, and {thread:.1f} s beside the loop, for {size:,} bytes"
                )
        if size >= LARGE_BYTES:
            self._weigh(work, size)
        return result

    def _timed(self, work: Callable[[], Awaitable[Result]]) -> tuple[Result, float, float]:
        loop = self._loop
        loop.longest = loop.beside = 0.0
        result = loop.run_until_complete(_of(work))
        return result, loop.longest, loop.beside

    def _weigh(self, work: Callable[[], Awaitable[Any]], size: int) -> None:
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            self._loop.run_until_complete(_of(work))
            most = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
        if most > MEMORY_BYTES:
            raise TooMuch(f"{most / 1e6:.0f} MB of memory for {size:,} bytes")


async def _of(work: Callable[[], Awaitable[Result]]) -> Result:
    return await work()


BENCH = Bench()
"""The one of this process."""
