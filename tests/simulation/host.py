"""The worker's host: it starts the worker, ends it, and starts it again when it has ended, as the platform does."""

from __future__ import annotations

import asyncio
import random

from config import Settings
from sim.loop import Process
from tests.simulation.disk import Disk
from tests.simulation.life import Life, WorkerClock

RESTART_S = 5.0
"""After how many seconds a worker that has ended by itself is started again."""

SECOND_COPY_S = 60.0
"""How long a second copy may run before it is asked to stop."""

STOP_LASTS_S = 60.0
"""How long the end of a life is waited for; its own deadline ends it long before."""


class Host:
    """Every life of the worker on one machine, with its clock and its disk."""

    def __init__(self, settings: Settings, clock: WorkerClock, disk: Disk, source: random.Random) -> None:
        self.settings, self.clock, self.disk = settings, clock, disk
        self.lives: list[Life] = []
        self._source = source
        self._numbers: dict[Process | None, int] = {None: 0}
        self._main: Life | None = None
        self._restart: asyncio.TimerHandle | None = None
        self._restart_s = RESTART_S
        self._is_over = False

    @property
    def life(self) -> Life | None:
        """The worker that runs now."""
        return self._main if self._main is not None and self._main.is_running else None

    def number_of(self, process: Process | None) -> int:
        """The number of a process's life; 0: it is none."""
        return self._numbers[process]

    def start(self) -> None:
        """Starts the worker."""
        self._restart_s = RESTART_S
        self._restart = None
        self._main = life = self._new_life()
        watching = asyncio.get_running_loop().create_task(self._start_again(life), name="platform")
        watching.add_done_callback(lambda done: done.result())

    async def _start_again(self, life: Life) -> None:
        await life.ended.wait()
        if not self._is_over:
            self._restart = asyncio.get_running_loop().call_later(self._restart_s, self.start)

    def _new_life(self) -> Life:
        number = len(self.lives) + 1
        life = Life(number, self.settings, self.clock, self.disk, random.Random(self._source.random()))
        self._numbers[life.process] = number
        life.start()
        self.lives.append(life)
        return life

    def end_life(self, how: str, restart_s: float) -> bool:
        """Ends the worker (``kill``, ``stop`` or ``crash``), and starts it again later. Returns whether one ran."""
        life = self.life
        if life is None:
            return False
        self._restart_s = restart_s
        if how == "kill":
            life.kill()
        elif how == "stop":
            life.stop()
        else:
            self.disk.raises_next = True
        return True

    def second_copy(self) -> None:
        """Starts another worker on the same folder."""
        asyncio.get_running_loop().call_later(SECOND_COPY_S, self._new_life().stop)

    async def end(self) -> None:
        """Stops every life, and waits for its end."""
        self._is_over = True
        if self._restart is not None:
            self._restart.cancel()
        for life in self.lives:
            life.stop()
            async with asyncio.timeout(STOP_LASTS_S):
                await life.ended.wait()
