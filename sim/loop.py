"""An event loop whose time is virtual and whose network is in memory: no waiting, no sockets, no threads.

When nothing is left to do, it jumps to the next timer. Callbacks that are due at the same time run in the order in which
they were asked for, and tasks hash by their number, so that a run depends on nothing but what is put into it.

A `Process` is the part of the loop that ends, or stands still, together: a worker among the servers that it talks to.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import heapq
import itertools
import socket
from asyncio import staggered
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from utils import ScaledClock

Result = TypeVar("Result")

TURNS_MAX = 1_000_000
"""Turns of the loop without any time passing, after which it counts as running in circles."""


class Stuck(RuntimeError):
    """Nothing is left to do and nothing to wait for, or time no longer passes."""


class Jumping:
    """Takes a selector's place: instead of waiting, it moves the time on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns_max = TURNS_MAX
        self._turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        """Lets ``timeout`` seconds pass at once. Raises Stuck without one: no timer is left that could end the wait."""
        if timeout is None:
            raise Stuck("nothing is left to do, and nothing to wait for")
        if timeout > 0:
            self.now += timeout
            self._turns = 0
        else:
            self._turns += 1
            if self._turns > self.turns_max:
                raise Stuck(f"the loop has turned {self.turns_max} times without any time passing")
        return []

    def close(self) -> None:
        """Nothing is open."""


class Timer(asyncio.TimerHandle):
    """A timer; of those that are due at the same time, the one that was set first comes first."""

    __slots__ = ("is_outside", "number")

    number: int
    is_outside: bool
    """Whether it is the surroundings' time that brings it, although a process's callback is called: bytes on their way."""

    def __lt__(self, other: Any) -> bool:
        return (self._when, self.number) < (other._when, other.number)  # type: ignore[attr-defined]


class Task(asyncio.Task[Any]):
    """A task whose hash is its number in its loop: sets of tasks have the same order in each run.

    Counted by the process, the numbers would depend on what ran before, and with them the order in a set.
    """

    def __init__(self, work: Any, *, loop: SimLoop, **options: Any) -> None:
        self._number = next(loop.task_numbers)
        super().__init__(work, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number


class Process:
    """What ends or stands still together: its tasks, and the ends of its connections."""

    current: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
    """Whose callback this is; None where it is the surroundings'."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        """From then on none of its connections carries anything."""
        self.tasks: set[asyncio.Task[Any]] = set()

    def start(self, loop: SimLoop, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Starts its first task; whatever that one starts belongs to it, too."""
        context = contextvars.copy_context()
        context.run(Process.current.set, self)
        return loop.create_task(work, name=self.name, context=context)

    def take(self, task: asyncio.Task[Any]) -> None:
        """A task of this process has begun."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def die(self) -> None:
        """Cancels each of its tasks. Their handlers run, as nothing else can end them, but reach nobody any more."""
        self.is_dead = True
        for task in sorted(self.tasks, key=hash):
            task.cancel()


def numbered(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """Makes a task with a number, and notes whose it is."""
    assert isinstance(loop, SimLoop)
    task = Task(work, loop=loop, **options)
    context = options.get("context")
    process = Process.current.get() if context is None else context.get(Process.current)
    if process is not None:
        process.take(task)
    return task


class SimLoop(asyncio.BaseEventLoop):
    """A loop of its own time, which begins at 0. ``network`` is what connects its clients and servers."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, network: Any = None) -> None:
        super().__init__()
        self.network = network
        self._selector = Jumping()
        self._clock_resolution = 1e-9
        self._numbers = itertools.count()
        self.task_numbers = itertools.count()
        self._frozen: dict[Process, list[asyncio.Handle]] = {}
        self.set_task_factory(numbered)

    def time(self) -> float:
        """Returns seconds of virtual time."""
        return self._selector.now

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls ``callback`` at a virtual time."""
        timer = Timer(when, callback, args, self, context)
        timer.number = next(self._numbers)
        timer.is_outside = False
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def run_in_executor(self, executor: object, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Does at once what would be done in a thread."""
        return Inline().submit(lambda: func(*args))

    # --- Processes that stand still ---

    def freeze(self, process: Process) -> None:
        """Lets nothing of a process happen until `thaw`. Everything around it goes on."""
        self._frozen.setdefault(process, [])

    def thaw(self, process: Process, stood_s: float = 0.0) -> None:
        """Lets a process go on: what has become due meanwhile happens now, in its order.

        Where its machine slept, its clock has stood for ``stood_s`` seconds, and its timers are due that much later; what
        was sent to it meanwhile has arrived all the same.
        """
        for handle in self._frozen.pop(process, []):
            if handle.cancelled():
                continue
            if isinstance(handle, asyncio.TimerHandle):
                if not (isinstance(handle, Timer) and handle.is_outside):
                    handle._when += stood_s  # type: ignore[attr-defined]
                heapq.heappush(self._scheduled, handle)
                handle._scheduled = True  # type: ignore[attr-defined]
            else:
                self._ready.append(handle)

    def _run_once(self) -> None:
        if self._frozen:
            self._set_aside()
        super()._run_once()  # type: ignore[misc]

    def _set_aside(self) -> None:
        """Takes what belongs to frozen processes out of what is to be done."""
        for handle in tuple(self._ready):
            if (aside := self._aside(handle)) is not None:
                self._ready.remove(handle)
                aside.append(handle)
        kept: list[asyncio.TimerHandle] = []
        for timer in sorted(self._scheduled):
            if (aside := self._aside(timer)) is None:
                kept.append(timer)
            else:
                timer._scheduled = False  # type: ignore[attr-defined]
                aside.append(timer)
        self._scheduled[:] = kept

    def _aside(self, handle: asyncio.Handle) -> list[asyncio.Handle] | None:
        process = None if handle.cancelled() else handle._context.get(Process.current)  # type: ignore[attr-defined]
        return None if process is None else self._frozen.get(process)

    # --- The network ---

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        """Resolves a name. Raises socket.gaierror where the network does not know it."""
        addresses = await self.network.resolve(host.decode() if isinstance(host, bytes) else host, port)
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port),
            )
            for address in addresses
        ]

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], Any],
        host: str,
        port: int,
        *,
        happy_eyeballs_delay: float | None = None,
        **_: Any,
    ) -> tuple[Any, Any]:
        """Connects to the first address of ``host`` that answers: one after the other, or in a race. Raises OSError."""
        addresses = [entry[4][0] for entry in await self.getaddrinfo(host, port)]
        attempts = [functools.partial(self.network.connect, address, port) for address in addresses]
        transport = await first_of(attempts, happy_eyeballs_delay)
        protocol = protocol_factory()
        transport.begin(protocol)
        return transport, protocol

    async def create_server(self, protocol_factory: Callable[[], Any], host: str, port: int, **_: Any) -> Any:  # type: ignore[override]
        """Serves an address; port 0 is any that is free. Raises OSError."""
        return self.network.listen(protocol_factory, host, port)

    # --- What a selector's loop has besides ---

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""


async def first_of(attempts: Sequence[Callable[[], Coroutine[Any, Any, Any]]], delay: float | None) -> Any:
    """Returns what the first attempt that succeeds returns: in a race with ``delay`` seconds between the starts, or one
    after the other. Raises the first one's OSError if none does."""
    if delay is not None and len(attempts) > 1:
        winner, _, faults = await staggered.staggered_race(attempts, delay)
        if winner is not None:
            return winner
        raise next(fault for fault in faults if fault is not None)
    failed: OSError | None = None
    for attempt in attempts:
        try:
            return await attempt()
        except OSError as error:
            failed = failed or error
    assert failed is not None, "a name has an address at least"
    raise failed


class Inline:
    """Does at once what is submitted. Its result comes a turn of the loop later, as a thread's would."""

    def submit(self, action: Callable[[], Result]) -> asyncio.Future[Result]:
        """Do something; the future has its result, or what it raised."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        try:
            result = action()
        except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
            loop.call_soon(settle, done, None, error)
        else:
            loop.call_soon(settle, done, result, None)
        return done

    def last(self) -> None:
        """Nothing is left to end."""


def settle(done: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    """Give a future its result, unless nobody waits any more."""
    if done.cancelled():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(result)


def inline(name: str) -> Inline:
    """Stands for a thread of that name."""
    return Inline()


class LoopClock(ScaledClock):
    """A clock that starts at ``start`` (µs of UTC) and goes with the running loop's time."""

    def __init__(self, start: int, wall_off: int = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        super().__init__(start, 1.0, wall_off=wall_off)

    def _passed(self) -> int:
        return round((self._loop.time() - self._began) * 1_000_000)
