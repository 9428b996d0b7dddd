"""One run: the whole worker among the simulated market, push service and dead-man's switch, under the faults of a schedule.

Nothing in it waits, and nothing is real but the files. A run depends on its seed and its faults alone.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import io
import os
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from pydantic import SecretStr

import logger
from config import Settings
from events import SECOND
from record.folder import record_path
from sim.loop import LoopClock, Process, SimLoop
from sim.network import Network
from tests.simulation import days
from tests.simulation.disk import Disk, SimFile
from tests.simulation.effects import Effect, Play, plays
from tests.simulation.faults import Fault
from tests.simulation.host import Host
from tests.simulation.life import WorkerClock
from tests.simulation.services import Services
from tests.simulation.story import Acknowledged, ClockChange, DiskAction, DiskEvent, Line, Story
from tests.simulation.telling import tell
from tests.stage import KEY, TOKEN, USER

GRACE_S = 150.0
"""Every fault is over this long before the end: time to connect, to tell a SELL, and to say what went wrong."""

PATIENCE_S = (4.0, 20.0, 70.0, 300.0)
"""After how many seconds the owner may tap an emergency push."""

WHOLE_EVERY = 100
"""One seed of so many is a whole session."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is about: its seed, its market, when it begins (µs), and for how long there may be faults."""

    seed: int
    market: int
    begin: int
    length_s: float

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole session."""
        return self.begin < days.session().open


@dataclass(slots=True)
class Playing:
    """A fault of the schedule, and what it does now."""

    number: int
    fault: Fault
    effect: Effect | None = None
    hits: int = 0
    ended_at: int = 0
    is_over: bool = False


class Console(io.TextIOBase):
    """What the workers print, line by line, with when and whose it is. The dead are not heard."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._begun: dict[int, str] = {}
        self.lines: list[Line] = []

    def write(self, text: str) -> int:
        """Takes a piece of a line, or several lines."""
        process = Process.current.get()
        if process is None or process.is_dead:
            return len(text)  # a server says something, or a process whose time is over
        number = self._world.host.number_of(process)
        whole = self._begun.get(number, "") + text
        *lines, self._begun[number] = whole.split("\n")
        now = self._world.services.clock.now()
        for line in lines:
            self.lines.append(Line(now, number, anywhere(line, self._world.folder)))
        return len(text)


def anywhere(text: str, folder: Path) -> str:
    """Takes out of a text what differs from one machine and process to the next."""
    own = os.getpid()
    return text.replace(str(folder), "FOLDER").replace(f"pid {own}", "pid").replace(f".{own}-", ".pid-")


class World:
    """A worker and its surroundings, from the first life's start to the last one's end."""

    def __init__(self, plan: Plan, faults: Sequence[Fault], folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.source = random.Random(plan.seed)
        self.network = Network(random.Random(self.source.random()))
        self.playing = [Playing(index, fault) for index, fault in enumerate(faults)]
        self.disk = Disk(self._note_disk)
        self.disk_events: list[DiskEvent] = []
        self.acknowledged: list[Acknowledged] = []
        self.clock_changes: list[ClockChange] = []
        self.on_shutdown: Literal["close", "keep"] = self.source.choice(("close", "keep"))
        self.console = Console(self)
        self.services: Services
        self.host: Host
        self._plays: dict[Any, Play] = plays()

    # --- The run ---

    async def play(self) -> Story:
        """Plays it. Raises what a server or the run itself raises: that is no fault of the worker."""
        loop = asyncio.get_running_loop()
        async with Services(
            self.network, LoopClock(self.plan.begin), days.market(self.plan.market), self._ring
        ) as services:
            self.services = services
            self.host = Host(
                self._settings(services.addresses), WorkerClock(self.plan.begin), self.disk, self.source
            )
            logger.setup(
                level="INFO",
                log_format="console",
                log_file=None,
                secrets=self.host.settings.secrets(),
                clock=self.host.clock.now,
                stream=cast(IO[str], self.console),
            )
            try:
                warm_bytes = size_of(self.record)
                self.host.start()
                for each in self.playing:
                    loop.call_at(loop.time() + each.fault.at, self._begin_fault, each)
                await asyncio.sleep(self.plan.length_s)
                healed_at = self._heal()
                await asyncio.sleep(GRACE_S)
                stopped_at = services.clock.now()
                await self.host.end()
            finally:
                logger.close()
            ended_at = services.clock.now()
        if services.failures:
            raise services.failures[0]
        return tell(self, warm_bytes, healed_at, stopped_at, ended_at)

    @property
    def record(self) -> Path:
        """Where the session's record is."""
        return record_path(self.folder, days.session().date)

    def _heal(self) -> int:
        """Takes every fault back. Returns when."""
        for each in self.playing:
            self._end_fault(each)
        self.services.vendor.faults.clear()
        return self.services.clock.now()

    # --- Faults ---

    def _begin_fault(self, playing: Playing) -> None:
        fault = playing.fault
        playing.effect = self._plays[fault.kind](self, fault)
        playing.ended_at = self.services.clock.now()
        if fault.seconds:
            loop = asyncio.get_running_loop()
            loop.call_at(loop.time() + fault.seconds, self._end_fault, playing)

    def _end_fault(self, playing: Playing) -> None:
        """Takes a fault back, and counts what it has hit."""
        if playing.effect is not None and not playing.is_over:
            playing.is_over = True
            playing.hits = playing.effect.hits()
            playing.effect.undo()
            playing.ended_at = self.services.clock.now()

    def clock_changed(self) -> None:
        self.clock_changes.append(ClockChange(self.services.clock.now(), self.host.clock.ahead))

    def spoil_record(self, how: str) -> bool:
        path = self.record
        if not path.exists():
            return False
        if how == "gone":
            path.parent.rename(path.parent.with_name(f"sessions-{self.services.clock.now()}"))
            return True
        path.rename(path.with_name("moved-away"))
        if how != "nothing":
            path.write_bytes(b"" if how == "empty" else b"something else\n")
        return True

    def _settings(self, addresses: Mapping[str, str]) -> Settings:
        return Settings(
            polygon_api_key=SecretStr(KEY),
            pushover_token=SecretStr(TOKEN),
            pushover_user_key=SecretStr(USER),
            polygon_rest_url=f"http://{addresses['rest']}",
            polygon_ws_url=f"ws://{addresses['ws']}",
            pushover_url=f"http://{addresses['push']}",
            heartbeat_url=SecretStr(f"http://{addresses['heartbeat']}/beat"),
            data_dir=self.folder,
            log_file=self.folder.with_name("worker.log"),
            pictures=False,
            on_shutdown=self.on_shutdown,
        )

    # --- What is seen ---

    def _note_disk(self, file: SimFile, action: DiskAction, offset: int, data: bytes, error: str) -> None:
        now = self.services.clock.now()
        number = self.host.number_of(Process.current.get())
        name = anywhere(file.path.name, self.folder)
        self.disk_events.append(DiskEvent(now, now, number, name, action, offset, data, error))

    def _ring(self, receipt: str) -> None:
        """The phone rings until the owner taps it, which may be never."""
        patience = self.source.choice((*PATIENCE_S, 0.0))
        if patience:
            asyncio.get_running_loop().call_later(patience, self._tap, receipt)

    def _tap(self, receipt: str) -> None:
        self.services.pushover.acknowledge(receipt)
        self.acknowledged.append(Acknowledged(self.services.clock.now(), receipt))


def size_of(path: Path) -> int:
    """A file's size; 0 without one."""
    return path.stat().st_size if path.exists() else 0


def play(world: World) -> Story:
    """Plays a world on a loop of its own."""
    loop = SimLoop(world.network)
    try:
        return loop.run_until_complete(world.play())
    finally:
        loop.close()


@functools.cache
def warm(number: int, home: Path) -> Path:
    """Returns a folder in ``home`` whose record is `days.WARM_S` old, by a run without faults. The first to ask makes it."""
    folder, part = home / f"warm-{number}", home / f"warm-{number}.part"
    with (home / f"warm-{number}.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(part, ignore_errors=True)
            (part / "data").mkdir(parents=True)
            lead_s = 30.0
            begin = days.session().open - round(lead_s * SECOND)
            planned = Plan(number, number, begin, lead_s + days.WARM_S - GRACE_S - 5)
            play(World(planned, (), part / "data"))
            part.rename(folder)
    return folder / "data"


def plan(seed: int) -> Plan:
    """What a seed's run is about."""
    session, number = days.session(), seed % days.MARKETS
    if seed % WHOLE_EVERY == WHOLE_EVERY - 1:
        begin = session.open - 60 * SECOND
        return Plan(seed, number, begin, (session.close - begin) / SECOND)
    return Plan(seed, number, days.begin(), float(days.WINDOW_S))


def run(seed: int, faults: Sequence[Fault]) -> Story:
    """Plays one run. Its folder stays until the next one in this process."""
    planned = plan(seed)
    folder = days.scratch() / "run" / "data"
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.parent.mkdir(parents=True)
    if planned.is_whole:
        folder.mkdir()
    else:
        shutil.copytree(warm(planned.market, days.shared()), folder)
    return play(World(planned, faults, folder))
