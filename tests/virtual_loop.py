"""An event loop on which time is virtual: when nothing is left to do, it jumps to the next timer. Sockets are real.

What a peer on loopback has sent lies in the receiver's socket as soon as it is sent, so when no socket has anything to read
and no callback is ready, nothing can happen before the next timer is due. Threads are the exception: nothing may run in one
beside this loop (`inline` does at once what the worker would hand to a thread). `sim.loop` has a loop without real sockets.
"""

from __future__ import annotations

import asyncio
import os
import selectors
from collections.abc import Callable
from typing import Any

from sim.loop import LoopClock, inline

__all__ = ["LoopClock", "VirtualLoop", "inline", "is_virtual"]

STUCK_REAL_S = 20.0
"""Real seconds that nothing happens, with no timer to jump to, after which a test has hung."""


class Jumping(selectors.DefaultSelector):
    """A selector that does not wait: it moves its own time on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Returns what is ready; when nothing is, ``timeout`` seconds have passed."""
        found = super().select(0)
        if found or timeout == 0:
            return found
        os.sched_yield()  # on a busy machine the kernel may not have handed over yet what a peer has sent
        if found := super().select(0):
            return found
        if timeout is None:
            found = super().select(STUCK_REAL_S)
            assert found, "nothing is left to do, and nothing to wait for"
            return found
        self.now += max(0.0, timeout)
        return []


class OrdinaryLoop(asyncio.SelectorEventLoop):
    """An ordinary loop, which leaves no connection open.

    A dial that is cancelled in the very moment in which it succeeds leaves its connection to nobody: anyio, below httpx,
    does not close it. Python does once it is collected, and pytest would blame whichever test runs then.
    """

    def close(self) -> None:
        """Closes what is left of connections, then the loop."""
        if not self.is_closed():
            for transport in list(self._transports.values()):  # type: ignore[attr-defined]
                if transport._sock is not None:  # else it is closed, and only not collected yet
                    transport.abort()
            self.run_until_complete(asyncio.sleep(0))
        super().close()


class VirtualLoop(OrdinaryLoop):
    """A loop of its own time, which begins at 0."""

    def __init__(self) -> None:
        self._jumping = Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Returns seconds of virtual time."""
        return self._jumping.now

    def stand(self, seconds: float) -> None:
        """Lets time pass while nothing runs: as when something blocks the loop."""
        self._jumping.now += seconds

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Does at once what would be done in a thread."""
        return inline("executor").submit(lambda: func(*args))


def is_virtual() -> bool:
    """Returns whether the running loop's time is virtual."""
    return isinstance(asyncio.get_running_loop(), VirtualLoop)
