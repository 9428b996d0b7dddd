"""Threads for what may block: the disk, and an answer that takes long to read. They are handed in, never reached for.

A thread of asyncio or of `concurrent.futures` is waited for when the process ends. These are not: a disk may never answer.
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
    """Does one thing after the other beside the event loop: what may have to wait for the disk."""

    def submit(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        """Have something done; the future has its result, or what it raised."""

    def last(self) -> None:
        """Let the thread end when all is done that was submitted. Does not wait."""


Threads = Callable[[str], Thread]
"""Makes a thread of a name. It is handed in, so that a test on virtual time need not wait for real threads."""


class DaemonThread:
    """One thread that does one thing after the other, and that nothing waits for at the end: a disk may never answer.

    The threads of asyncio and of `concurrent.futures` are waited for when the process ends.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        """Have something done; the future has its result, or what it raised."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()

        def job() -> None:
            result: Result | None = None
            failed: Exception | None = None
            try:
                result = action()
            except Exception as error:  # noqa: BLE001 - a thread's border: whoever waits for the future gets it
                failed = error
            # A loop that has ended has nobody who waits.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, done, result, failed)

        self._jobs.put(job)
        return done

    def last(self) -> None:
        """Let the thread end when all is done that was submitted. Does not wait."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class LazyThread:
    """A `Thread` that is started by the first action."""

    def __init__(self, threads: Threads, name: str) -> None:
        self._threads = threads
        self._name = name
        self._thread: Thread | None = None

    @property
    def is_started(self) -> bool:
        """Returns whether there was an action."""
        return self._thread is not None

    def submit(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        """Has something done; the future has its result, or what it raised."""
        if self._thread is None:
            self._thread = self._threads(self._name)
        return self._thread.submit(action)

    def last(self) -> None:
        """Lets the thread end when all is done that was submitted. Does not wait."""
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
    """Do something that may wait for the disk in a thread of its own. Raises what it raises."""
    thread = threads(name)
    try:
        return await thread.submit(action)
    finally:
        thread.last()
