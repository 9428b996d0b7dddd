"""Threads for what may block: the disk, and large answers that take long to decode. They are always passed in.

When the process ends, Python waits for the threads of asyncio and of `concurrent.futures`. It does not wait for these,
because a disk may never answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

Result = TypeVar("Result")


class Thread(Protocol):
    """Runs actions beside the event loop, one after the other, in the order of `submit`."""

    def submit(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        """Queues ``action``. Returns a future of its result, or of the exception that it raises."""

    def last(self) -> None:
        """Lets the thread end after the actions submitted so far. Does not wait for them."""


Threads = Callable[[str], Thread]
"""Makes a `Thread` with a name. It is passed in, so that a test on virtual time need not wait for real threads."""


class DaemonThread:
    """A `Thread` that is a real one. The end of the process does not wait for it."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        """Queues ``action``. Returns a future of its result, or of the exception that it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()

        def job() -> None:
            result: Result | None = None
            failed: Exception | None = None
            try:
                result = action()
            except Exception as error:  # noqa: BLE001 - a thread's border: the future raises it
                failed = error
            # RuntimeError: the loop has ended, so nobody waits for the result.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, done, result, failed)

        self._jobs.put(job)
        return done

    def last(self) -> None:
        """Lets the thread end after the actions submitted so far. Does not wait for them."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class LazyThread:
    """A `Thread` that starts with its first action."""

    def __init__(self, threads: Threads, name: str) -> None:
        self._threads = threads
        self._name = name
        self._thread: Thread | None = None

    @property
    def is_started(self) -> bool:
        """Returns whether an action was submitted."""
        return self._thread is not None

    def submit(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        """Queues ``action``. Returns a future of its result, or of the exception that it raises."""
        if self._thread is None:
            self._thread = self._threads(self._name)
        return self._thread.submit(action)

    def last(self) -> None:
        """Lets the thread end after the actions submitted so far. Does not wait for them."""
        if self._thread is not None:
            self._thread.last()


def _settle(done: asyncio.Future[Result], result: Result | None, failed: Exception | None) -> None:
    if done.cancelled():
        return
    if failed is not None:
        done.set_exception(failed)
    else:
        done.set_result(cast(Result, result))


async def in_thread(threads: Threads, name: str, action: Callable[[], Result]) -> Result:
    """Runs an action that may wait for the disk in a thread of its own. Returns its result, or raises what it raises."""
    thread = threads(name)
    try:
        return await thread.submit(action)
    finally:
        thread.last()
