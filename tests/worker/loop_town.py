"""A town whose worker shares this loop and its virtual time, and is cut off where its process would die.

At that moment each of its tasks is cancelled, and its record's file and its wires are dead: while they unwind, which closes its
sockets as the kernel would, nothing reaches the disk or the push service. That nothing has reached the disk is asserted.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import logger
from events import SECOND
from pictures.process import Draw, drawn_apart
from sim.demo import SEED
from tests.stage import BEGIN_S, settings, threads
from tests.virtual_loop import LoopClock
from tests.worker.death import Death, MortalFile, MortalTransport
from tests.worker.town import Town, begin, opened_town
from worker.worker import Worker

LOOK_S = 0.1
"""Seconds between two looks at whether something holds."""

UNWINDING_S = 60.0
"""Seconds in which the tasks of a worker that was cut off have ended."""


class Killed(BaseException):
    """The worker is dead: no handler of its own may take this for a failure that it can live with."""


class Life:
    """A worker from its start to its end, with everything that ends with its process: its tasks and its files."""

    current: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)
    """Whose task this is; none where it is the surroundings'."""

    def __init__(self, place: LoopTown, death: tuple[str, str], changes: dict[str, Any]) -> None:
        self.output = io.StringIO()
        self.death = Death(death[0], death[1], self._die)
        self._folder = place.folder / "data"
        self._left: dict[Path, bytes] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._files: list[MortalFile] = []
        draw: Draw = changes.pop("draw", drawn_apart)
        chosen = settings(place.vendor, place.pushover, place.folder, **changes)
        logger.setup(
            level="DEBUG",
            log_format="console",
            log_file=None,
            secrets=chosen.secrets(),
            clock=place.own.now,
            stream=self.output,
        )
        self.worker = Worker(
            chosen,
            clock=place.own,
            random_source=random.Random(SEED),
            opener=self._open,
            threads=threads(),
            transport=MortalTransport(self.death),
            draw=draw,
        )
        context = contextvars.copy_context()
        context.run(Life.current.set, self)
        loop = asyncio.get_running_loop()
        loop.set_task_factory(of_its_life)
        self.running = loop.create_task(self.worker.run(), name="worker", context=context)
        self.take(self.running)

    def take(self, task: asyncio.Task[Any]) -> None:
        """A task of this worker has begun."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open(self, path: Path, is_new: bool = True) -> MortalFile:
        file = self.death.opener(path, is_new)
        self._files.append(file)
        return file

    def _die(self) -> None:
        self.cut_off()
        raise Killed

    def cut_off(self) -> None:
        """Nothing of this worker happens from now on."""
        self.death.has_come = True
        self._left = self._on_disk()
        for task in self._tasks:
            task.cancel()

    async def has_ended(self) -> None:
        """Wait until nothing of it is left; what it leaves is what was there when it was cut off."""
        await asyncio.wait([self.running, *self._tasks], timeout=UNWINDING_S)
        assert not self._tasks, self._tasks
        with suppress(BaseExceptionGroup, asyncio.CancelledError, Killed):
            await self.running
        for file in self._files:  # the kernel would do so, and give their locks back
            with suppress(OSError):
                file.close()
        assert self._on_disk() == self._left, "a dead worker has written"

    def _on_disk(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self._folder.rglob("*") if path.is_file()}


def of_its_life(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """Makes a task, and notes whose it is: a worker's own, or the surroundings'."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
    if (life := Life.current.get()) is not None:
        life.take(task)
    return task


class LoopTown(Town):
    """The market, Pushover and the worker on one loop."""

    def __init__(self, *surroundings: Any) -> None:
        super().__init__(*surroundings)
        self.lives: list[Life] = []
        self.own = self.clock
        """The worker's clock, which a test may put in place of the market's."""

    async def start(self, death: tuple[str, str] = ("", ""), **changes: Any) -> None:
        self.lives.append(Life(self, death, changes))

    async def kill(self) -> None:
        self.lives[-1].cut_off()
        await self.lives[-1].has_ended()

    async def died(self) -> None:
        life = self.lives[-1]
        async with asyncio.timeout(600):
            while not life.death.has_come:
                assert not life.running.done(), self.said()
                await asyncio.sleep(LOOK_S)
        await life.has_ended()

    async def ended(self) -> int:
        async with asyncio.timeout(600):
            return await self.lives[-1].running

    async def stop(self) -> int:
        self.lives[-1].worker.stop()
        return await self.lives[-1].running

    async def until(self, holds: Callable[[], Any], seconds: float, what: str) -> None:
        end = self.clock.now() + round(seconds * SECOND)
        while not holds():
            assert not self.lives[-1].running.done(), f"the worker ended: {self.said()}"
            assert self.clock.now() < end, f"not within {seconds:g} market seconds: {what}\n{self.said()}"
            await asyncio.sleep(LOOK_S)

    def texts(self) -> list[str]:
        return [life.output.getvalue() for life in self.lives]

    async def close(self) -> None:
        try:
            for life in self.lives:
                if not life.running.done():
                    life.cut_off()
                    await life.has_ended()
        finally:
            logger.close()


@asynccontextmanager
async def loop_town(folder: Path, start_s: float = BEGIN_S) -> AsyncIterator[LoopTown]:
    """A town that begins so many seconds after the open."""
    async with opened_town(LoopTown, folder, LoopClock(begin(start_s))) as place:
        yield place
