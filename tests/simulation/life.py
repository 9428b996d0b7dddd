"""One life of the worker: its process on the simulated loop, its clock, and its end, wired as `main.work` wires it."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from pathlib import Path

from config import Settings
from events import SECOND
from main import END_REAL_S
from sim.loop import LoopClock, Process, SimLoop
from tests.simulation.disk import Disk, SimFile, SimThread
from tests.simulation.story import LifeEnd
from threads import Thread
from worker.ending import EXIT_CRASHED, EXIT_OK, say_crashed
from worker.heartbeat import say_failed
from worker.watchdog import Deadline
from worker.worker import STOP_REAL_S, Worker

FIRST_PID = 100

BESIDE_THE_DISK = ("page", "apprise")
"""Threads that do not wait for the disk."""

UNWINDING_TURNS = 1_000
"""Turns of the loop in which the tasks of a dead worker have ended."""


class WorkerClock(LoopClock):
    """The clock of the worker's machine: its wall clock may step and drift, and its steady one stands while it sleeps."""

    def __init__(self, start: int) -> None:
        self._drift = 0.0
        self._drifts_since = 0.0
        self._slept_us = 0
        self._stepped = 0
        super().__init__(start)

    @property
    def wall_off(self) -> int:
        """How far the wall clock is ahead of the true time, µs."""
        drifted = self._drift * (self._loop.time() - self._drifts_since)
        return self._stepped + self._slept_us + round(drifted * SECOND)

    @wall_off.setter
    def wall_off(self, value: int) -> None:
        self._stepped = value - self._slept_us

    @property
    def ahead(self) -> int:
        """How far the wall clock is ahead of the true time, without what sleep took from the steady one, µs."""
        return self.wall_off - self._slept_us

    def step(self, by_s: float) -> None:
        """Steps the wall clock."""
        self._stepped += round(by_s * SECOND)

    def drift(self, rate: float) -> None:
        """From now on the wall clock gains so many seconds a second."""
        self._stepped = self.ahead
        self._drift, self._drifts_since = rate, self._loop.time()

    def sleep_through(self, seconds: float) -> None:
        """The machine slept: the steady clock stood, and the wall clock did not."""
        self._slept_us += round(seconds * SECOND)

    def _passed(self) -> int:
        return round((self._loop.time() - self._began) * SECOND) - self._slept_us


class LoopDeadline(Deadline):
    """The deadline of a stop, on the loop's time."""

    def __init__(self, cut_off: Callable[[int], None]) -> None:
        super().__init__()
        self._cut_off = cut_off
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float, status: int) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._timer is not None:
            due = min(due, self._timer.when())
            self._timer.cancel()
        # It is a thread in the real process, so it goes on while the loop stands.
        self._timer = loop.call_at(due, self._cut_off, status, context=contextvars.Context())

    def stop(self) -> None:
        """The process has ended by itself."""
        if self._timer is not None:
            self._timer.cancel()


class Life:
    """A process of the worker, from its start to its end. Its times are seconds of the loop."""

    def __init__(
        self,
        number: int,
        settings: Settings,
        clock: WorkerClock,
        disk: Disk,
        source: random.Random,
    ) -> None:
        self.number, self.settings, self.clock, self.disk = number, settings, clock, disk
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        self.loop: SimLoop = loop
        self.process = Process(f"life {number}")
        self.files: list[SimFile] = []
        self.began_at = loop.time()
        self.stop_asked_at: float | None = None
        self.ended_at: float | None = None
        self.end: LifeEnd | None = None
        self.status: int | None = None
        self.error = ""
        self.pauses: list[list[float]] = []
        self.ended = asyncio.Event()
        """Set when nothing of it is left."""
        self._deadline = LoopDeadline(self._cut_off)
        self.worker = Worker(
            settings,
            clock=clock,
            random_source=source,
            opener=self._open,
            threads=self._thread,
            deadline=self._deadline,
            pid=FIRST_PID + number,
        )

    def start(self) -> None:
        """Starts it."""
        self.process.start(self.loop, self._run())

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.end is None

    def _open(self, path: Path, is_new: bool = True) -> SimFile:
        file = SimFile(path, is_new, self.disk, self.process)
        self.files.append(file)
        return file

    def _thread(self, name: str) -> Thread:
        return SimThread(self.disk, self.process, waits=name not in BESIDE_THE_DISK)

    async def _run(self) -> None:
        """What `main.work` and `main.main` do around the worker."""
        try:
            try:
                status = await self.worker.run()
            except BaseException:
                self._deadline.start(END_REAL_S, EXIT_CRASHED)
                raise
        except Exception as error:  # noqa: BLE001 - the process's border, as in main.py
            if self.process.is_dead:
                return
            say_crashed(error, error)
            why = f"exit {EXIT_CRASHED}: {type(error).__name__}: {error}"
            await say_failed(self.settings.heartbeat_url, why)
            self._over(LifeEnd.CRASHED, EXIT_CRASHED, f"{type(error).__name__}: {error}")
        else:
            asked = self.stop_asked_at is not None and status == EXIT_OK
            self._over(LifeEnd.STOPPED if asked else LifeEnd.ENDED, status)
        finally:
            if not self.process.is_dead:
                self.ended.set()

    def _over(self, end: LifeEnd, status: int | None, error: str = "") -> None:
        if self.end is None:
            self._deadline.stop()
            self.end, self.status, self.error = end, status, error
            self.ended_at = self.loop.time()

    # --- What is done to it ---

    def stop(self) -> None:
        """SIGTERM: the deadline runs from now on, and the loop hears of it as soon as it turns."""
        if self.is_running and self.stop_asked_at is None:
            self.stop_asked_at = self.loop.time()
            self._deadline.start(STOP_REAL_S, EXIT_OK)
            context = contextvars.copy_context()
            context.run(Process.current.set, self.process)
            self.loop.call_soon(self.worker.stop, context=context)

    def kill(
        self, end: LifeEnd = LifeEnd.KILLED, status: int | None = None, *, silently: bool = False
    ) -> None:
        """The process is gone at once; ``silently``: its whole host, and with it what was not put on the disk."""
        if not self.is_running:
            return
        self.loop.thaw(self.process)
        self.loop.network.end_process(self.process, silently=silently)
        self._over(end, status)
        self._unwinding = self.loop.create_task(self._unwind(is_power_cut=silently), name="unwinding")

    async def _unwind(self, *, is_power_cut: bool) -> None:
        """Lets its tasks end: whatever their handlers wait for is cancelled again. The kernel closes its files."""
        for _ in range(UNWINDING_TURNS):
            if not self.process.tasks:
                break
            self.process.die()
            await asyncio.sleep(0)
        assert not self.process.tasks, self.process.tasks
        for file in self.files:
            file.let_go(is_power_cut=is_power_cut)
        self.ended.set()

    def _cut_off(self, status: int) -> None:
        self.kill(LifeEnd.CUT_OFF if status == EXIT_OK else LifeEnd.WATCHDOG, status)

    def pause(self, seconds: float, *, sleeps: bool = False) -> None:
        """Nothing of it happens for a time; ``sleeps``: neither does its machine's steady clock."""
        if not self.is_running:
            return
        began = self.loop.time()
        self.pauses.append([began, began + seconds])
        self.loop.freeze(self.process)
        self.loop.call_later(seconds, self._go_on, seconds if sleeps else 0.0, context=contextvars.Context())

    def _go_on(self, slept_s: float) -> None:
        if not self.is_running:
            return
        if slept_s and isinstance(self.clock, WorkerClock):
            self.clock.sleep_through(slept_s)
        self.loop.thaw(self.process, slept_s)
