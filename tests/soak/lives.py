"""The worker's processes of a soak, one after the other, and what is seen of each from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGTERM, Signals

import msgspec

import main
from tests.soak.worker import Loop, Told
from tests.spawned import spawn

ROOT = Path(main.__file__).parent

START_REAL_S = 120.0
"""Real seconds in which a process has imported everything, on whatever machine."""

STOP_REAL_S = 25.0
"""Real seconds in which the worker promises to stop."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """What the system said of a worker's process: ``at`` is µs of the days so far, ``age`` those since its start."""

    life: int
    at: int
    age: int
    day: int
    rss: int
    """Bytes."""
    descriptors: int
    threads: int


@dataclass(slots=True)
class Life:
    """One process of the worker."""

    number: int
    process: asyncio.subprocess.Process
    output: Path
    began: int = 0
    """µs of the days so far."""
    asked: str = ""
    """Why it is being ended: the signal's name."""
    asked_at: float = 0.0
    """The machine's seconds then."""
    ended_s: float = 0.0
    """Real seconds from the request to its end."""
    status: int | None = None
    loops: list[Loop] = field(default_factory=list)

    def signal(self, number: Signals) -> None:
        """Sends it a signal, if it is there."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def end(self, number: Signals) -> None:
        """Ends it, by SIGKILL or SIGTERM."""
        if (
            not self.asked
        ):  # else a SIGKILL has just been sent, which is the reason, before the SIGTERM of the end
            self.asked, self.asked_at = number.name, time.monotonic()
        self.signal(number)

    def limit_files(self, size: int) -> None:
        """No file of this process can be written beyond ``size`` bytes any more: the kernel refuses, as a full disk does."""
        with contextlib.suppress(ProcessLookupError):
            _, most = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size if size >= 0 else most, most))

    def look(self, at: int, day: int) -> Sample | None:
        """Returns what the system says of it now; None when it is gone."""
        folder = Path(f"/proc/{self.process.pid}")
        try:
            pages = int((folder / "statm").read_text().split()[1])
            if not pages:
                return None  # it has just ended
            return Sample(
                self.number,
                at,
                at - self.began,
                day,
                pages * PAGE_BYTES,
                len(os.listdir(folder / "fd")),
                len(os.listdir(folder / "task")),
            )
        except (OSError, IndexError):
            return None


class Lives:
    """Starts the worker, and starts it again whenever it ends, until `stop`.

    ``told`` makes what a process is told, with the pipe for its gauge. The next process has imported everything before it is
    needed: no market time passes while it does, on a machine of any speed.
    """

    def __init__(
        self, folder: Path, told: Callable[[int], Told], awake: Callable[[], int], spares: int
    ) -> None:
        self._folder, self._told, self._awake = folder, told, awake
        self._spares = spares
        self._spare: asyncio.Task[tuple[Life, int]] | None = None
        self._stopping = False
        self.all: list[Life] = []

    @property
    def now(self) -> Life | None:
        """The one that runs."""
        last = self.all[-1] if self.all else None
        return last if last is not None and last.process.returncode is None else None

    async def prepare(self) -> None:
        """Makes the first process."""
        self._next()
        assert self._spare is not None
        await asyncio.wait([self._spare])

    async def run(self) -> None:
        """Keeps a worker running."""
        while not self._stopping:
            if self._spare is None:
                self._next()
            assert self._spare is not None
            life, pipe = await self._spare
            self._spare = None
            life.number, life.began = len(self.all), self._awake()
            self.all.append(life)
            assert life.process.stdin is not None
            life.process.stdin.write(msgspec.json.encode(self._told(pipe)) + b"\n")
            if self._spares > 0:
                self._spares -= 1
                self._next()
            life.status = await life.process.wait()
            if life.asked:
                life.ended_s = time.monotonic() - life.asked_at

    def _next(self) -> None:
        self._spare = asyncio.create_task(self._spawn(), name="spawn")

    async def _spawn(self) -> tuple[Life, int]:
        """A process that has imported everything, and the number of its pipe."""
        source, pipe = os.pipe()
        output = self._folder / f"output-{time.monotonic_ns()}.txt"
        try:
            process = await spawn(
                "tests.soak.worker",
                output,
                START_REAL_S,
                pass_fds=(pipe,),
                start_new_session=True,  # Ctrl-C is for the soak, not for its worker
            )
        finally:
            os.close(pipe)
        life = Life(-1, process, output)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: _Gauge(life.loops), os.fdopen(source, "rb", buffering=0)
        )
        return life, pipe

    async def stop(self) -> None:
        """Asks the last one to stop, waits until it has, and ends whatever is left."""
        self._stopping = True
        if (life := self.now) is not None:
            life.signal(SIGCONT)
            life.end(SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(life.process.wait(), 2 * STOP_REAL_S)
            life.status, life.ended_s = life.process.returncode, time.monotonic() - life.asked_at

    async def close(self) -> None:
        """Ends every process that is left."""
        self._stopping = True
        left = [life.process for life in self.all]
        if self._spare is not None:
            with contextlib.suppress(RuntimeError, TimeoutError):
                left.append((await self._spare)[0].process)
        for process in left:
            if process.returncode is None:
                process.kill()
                await process.wait()


class _Gauge(asyncio.Protocol):
    """Reads what a worker's gauge says."""

    def __init__(self, loops: list[Loop]) -> None:
        self._loops = loops
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._loops.extend(msgspec.json.decode(line, type=Loop) for line in lines)
