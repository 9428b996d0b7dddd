"""Two threads that end the process in real time: if its event loop hangs, or if its stop takes too long."""

from __future__ import annotations

import asyncio
import io
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from worker.ending import EXIT_CRASHED, EXIT_OK

log = structlog.get_logger("main")

WATCHDOG_REAL_S = 30.0
"""Real seconds after which an event loop that has not turned counts as hung."""

LAST_WORDS_REAL_S = 1.0
"""Real seconds that the last log line may take before the process is ended."""

STOPPED_SHARE = 1 / 3
"""If the watchdog's own wait took longer than it should by this share of its limit, the whole process was stopped."""


def say_last(words: Callable[[], object]) -> None:
    """Logs a process's last line, and waits for it only `LAST_WORDS_REAL_S`: the log may be on the stuck disk."""
    telling = threading.Thread(target=words, name="last words", daemon=True)
    telling.start()
    telling.join(LAST_WORDS_REAL_S)


class Watchdog:
    """A thread that ends the process if the event loop has been stuck for ``limit_s`` real seconds.

    If the thread's own wait took much longer than it should while the process used no processor time, the process was
    stopped (SIGSTOP, a suspended machine). The loop could not turn either, so its time starts again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: Callable[[int], object] = os._exit,
        limit_s: float = WATCHDOG_REAL_S,
    ) -> None:
        self._loop = loop
        self._end = end
        self._limit_s = limit_s
        self._turned_at = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._turn()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _turn(self) -> None:
        self._turned_at = time.monotonic()
        if not self._stopped.is_set():
            self._loop.call_later(self._limit_s / 10, self._turn)

    def _watch(self) -> None:
        asked_s = self._limit_s / 10
        began, used = time.monotonic(), time.process_time()
        while not self._stopped.wait(asked_s):
            # Read the clocks only once: a stop between two readings would look like a hung loop.
            woke, uses = time.monotonic(), time.process_time()
            waited = woke - began
            if waited - asked_s > STOPPED_SHARE * self._limit_s and uses - used < waited / 2:
                self._turned_at = woke
                log.warning(
                    "was_stopped",
                    text=f"⏸️ This process was paused for {waited - asked_s:.0f} s and continues",
                    seconds=round(waited - asked_s),
                )
            began, used = woke, uses
            stood = woke - self._turned_at
            if stood > self._limit_s:
                say_last(partial(self._tell, stood))
                self._end(EXIT_CRASHED)
                return

    def _tell(self, stood: float) -> None:
        log.critical(
            "watchdog_fired",
            text=f"🛑 The event loop has been stuck for {stood:.0f} s: ending the process\n{self._stacks()}",
            seconds=round(stood),
        )

    def _stacks(self) -> str:
        out = io.StringIO()
        for thread, frame in sys._current_frames().items():
            out.write(f"Thread {thread}:\n{''.join(traceback.format_stack(frame))}")
        for task in asyncio.all_tasks(self._loop):
            task.print_stack(file=out)
        return out.getvalue()


class Deadline:
    """A thread that ends the process if its stop takes too long in real time, whatever blocks it.

    ``unfinished`` returns what could not be written or sent by then.
    """

    def __init__(self, end: Callable[[int], object] = os._exit) -> None:
        self.unfinished: Callable[[], Sequence[str]] = tuple
        self._end = end
        self._status = EXIT_OK
        self._at = math.inf
        self._began = 0.0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)

    def start(self, seconds: float, status: int) -> None:
        """Ends the process with ``status`` after so many real seconds, or at the time of an earlier call if that is sooner."""
        with self._changed:
            self._status = status
            if self._at == math.inf:
                self._began = time.monotonic()
                self._thread.start()
            self._at = min(self._at, time.monotonic() + seconds)
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while (left := self._at - time.monotonic()) > 0:
                self._changed.wait(left)
        say_last(self._tell)
        self._end(self._status)

    def _tell(self) -> None:
        log.critical(
            "stop_cut_off",
            text=f"🛑 Stopping took over {time.monotonic() - self._began:.0f} s and is cut short; unfinished: "
            f"{'; '.join(self.unfinished()) or 'a thread that does not end'}",
        )
