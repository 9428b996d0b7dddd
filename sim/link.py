"""A TCP connection in memory, as the network sees it: its two directions, and what is in their way.

What is written travels as its `Route` has it: later, slower, in slices, or not at all while a hole is in the way, as a
cable that somebody has pulled. After a hole, bytes arrive when TCP would have sent them again. A reset overtakes them.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sim.loop import Process, Timer

if TYPE_CHECKING:
    from sim.transport import Transport

FIRST_RETRY_S, RETRY_LAST_S = 0.2, 120.0
"""TCP sends again after 0.2 s, and then after pauses that double, up to 120 s (Linux: RTO_MIN, RTO_MAX)."""

TO_SERVER, TO_CLIENT = 0, 1
SIDES = ("client", "server")


class Route:
    """The way to one service, as it is now. Connections that are open feel every change, unless it says otherwise."""

    def __init__(self, name: str, source: random.Random) -> None:
        self.name = name
        self.source = source
        self.latency_s = 0.005
        self.jitter_s = 0.0
        self.rate: list[float] = [0.0, 0.0]
        """Bytes a second to the server and to the client; 0: no limit."""
        self.slice = 0
        """Bytes that arrive at a time; 0: as they were written."""
        self.slice_gap_s = 0.0005
        self.holes = [False, False]
        """Whether bytes to the server, and to the client, vanish."""
        self.hole_before = 0
        """The holes are in the way of connections with smaller numbers only; 0: of all, and of new ones."""
        self.dial = ""
        """What a new connection meets: ``refused``, ``silent``, ``closed`` (accepted, and closed at once); empty: the server."""
        self.unresolved = ""
        """What a name meets: ``unknown`` or ``silent``; empty: it is known."""
        self.hits: Counter[str] = Counter()
        """How often each hindrance really was in the way of something, by the attribute's name."""

    def holed(self, direction: int, number: int) -> bool:
        """Whether a direction of a connection has a hole now."""
        return self.holes[direction] and (not self.hole_before or number < self.hole_before)


class Direction:
    """The bytes of a connection that go one way."""

    def __init__(self, link: Link, direction: int) -> None:
        self._link, self._direction = link, direction
        self.written = self.delivered = self.sends = 0
        self.cut_after: int | None = None
        """The network ends the connection once so many bytes have been delivered."""
        self.cut_is_reset = True
        """Whether it does so by a reset, or with a FIN."""
        self._held: deque[bytes | None] = deque()
        self._busy_until = 0.0
        self._marks: deque[tuple[int, Callable[[], None]]] = deque()

    @property
    def outstanding(self) -> int:
        """Bytes that were written and have not reached the reader."""
        return self.written - self.delivered

    def send(self, data: bytes | None) -> None:
        """Sends bytes, or the end of them (None)."""
        self.written += len(data or b"")
        self.sends += 1
        if self._held or self._link.route.holed(self._direction, self._link.number):
            self._hold(data)
        else:
            self._travel(data)

    def mark(self, reached: Callable[[], None]) -> None:
        """Calls ``reached`` when everything written so far has reached the reader."""
        if self.outstanding:
            self._marks.append((self.written, reached))
        else:
            reached()

    def arrived(self, count: int) -> None:
        """The reader has got so many bytes."""
        self.delivered += count
        while self._marks and self._marks[0][0] <= self.delivered:
            self._marks.popleft()[1]()
        self._link.ends[self._direction].drain()
        if self.cut_after is not None and self.delivered >= self.cut_after:
            self.cut_after = None
            self._link.reset() if self.cut_is_reset else self._link.end_reading()

    def _hold(self, data: bytes | None) -> None:
        if not self._held:
            self._link.call_later(FIRST_RETRY_S, self._try_again, FIRST_RETRY_S)
        self._held.append(data)
        self._link.route.hits["holes"] += 1

    def _try_again(self, paused_s: float) -> None:
        """Sends what a hole has swallowed once more, as TCP does."""
        if self._link.is_over:
            return
        if self._link.route.holed(self._direction, self._link.number):
            pause = min(2 * paused_s, RETRY_LAST_S)
            self._link.call_later(pause, self._try_again, pause)
            return
        held, self._held = self._held, deque()
        for data in held:
            self._travel(data)

    def _travel(self, data: bytes | None) -> None:
        route, now = self._link.route, self._link.loop.time()
        at = now + route.latency_s
        if route.jitter_s:
            at += route.source.random() * route.jitter_s
        at = max(at, self._busy_until)
        size, rate = route.slice, route.rate[self._direction]
        if data is None or (not rate and not 0 < size < len(data)):
            self._arrive_at(at, data)
            return
        size = size or max(1, int(rate / 10))
        route.hits["rate" if rate else "slice"] += 1
        for begin in range(0, len(data), size):
            piece = data[begin : begin + size]
            at += len(piece) / rate if rate else route.slice_gap_s
            self._arrive_at(at, piece)

    def _arrive_at(self, at: float, data: bytes | None) -> None:
        reader = self._link.ends[1 - self._direction]
        self._busy_until = at
        timer = self._link.loop.call_at(at, reader.take, data, context=reader.context)
        if isinstance(timer, Timer):
            timer.is_outside = True


class Link:
    """A connection: its two directions and its two ends. ``process`` is whose client it is."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, route: Route, number: int, process: Process | None
    ) -> None:
        self.loop, self.route, self.number, self.process = loop, route, number, process
        self.directions = (Direction(self, TO_SERVER), Direction(self, TO_CLIENT))
        self.ends: tuple[Transport, Transport]
        self.opened_at = loop.time()
        self.closed_at: float | None = None
        self.ended_by = ""
        self.is_reset = False
        self.is_silent = False
        """Whether what reaches the client's host is not even refused."""
        self._context = contextvars.Context()
        self.first_said: Callable[[Link, bytes], None] | None = None
        """Called with the first bytes that the client writes."""
        self.asked: tuple[float, bytes] | None = None
        """When the client wrote the first byte since `answering`, and the bytes with it."""

    @property
    def is_over(self) -> bool:
        """Whether both ends have lost it."""
        return all(end.is_lost for end in self.ends)

    @property
    def carried(self) -> int:
        """How often either side has sent something."""
        return sum(direction.sends for direction in self.directions)

    def is_dead(self, side: int) -> bool:
        """Whether the process at an end is dead: nothing comes from it."""
        return side == TO_SERVER and self.process is not None and self.process.is_dead

    def call_later(self, seconds: float, action: Callable[..., object], *arguments: Any) -> None:
        """Does something later that belongs to the network, whoever stands still."""
        self.loop.call_later(seconds, action, *arguments, context=self._context)

    def note_said(self, data: bytes) -> None:
        """The client writes."""
        if self.first_said is not None:
            said, self.first_said = self.first_said, None
            said(self, data)
        if self.asked is None:
            self.asked = self.loop.time(), data

    def answering(self) -> tuple[float, bytes] | None:
        """The server has a whole request. Returns when its first byte was written, and the bytes written with it."""
        asked, self.asked = self.asked, None
        return asked

    def note_end(self, side: int | str, *, is_reset: bool = False) -> None:
        """Notes who ended it first: a side, or another cause."""
        if self.closed_at is None:
            self.closed_at, self.is_reset = self.loop.time(), is_reset
            self.ended_by = SIDES[side] if isinstance(side, int) else side

    def reset(self) -> None:
        """The network ends it without a FIN on both sides; bytes under way are lost."""
        self.note_end("network", is_reset=True)
        for end in self.ends:
            end.lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def end_reading(self) -> None:
        """The network ends it with a FIN to the client; the server's side is reset."""
        self.note_end("network")
        self.ends[TO_SERVER].take(None)
        self.ends[TO_CLIENT].lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def die(self, *, silently: bool) -> None:
        """The client's process is gone: its kernel ends the connection, or nobody does where the host is gone, too."""
        self.note_end("death")
        self.is_silent = silently
        if not silently:
            self.directions[TO_SERVER].send(None)
        self.ends[TO_SERVER].lose(None)
