"""A TCP connection in memory: two directions that each keep the order of their bytes, and the transport at either end.

What is written travels as its `Route` has it: later, slower, in slices, or not at all while a hole is in the way, as a
cable that somebody has pulled. After a hole, bytes arrive when TCP would have sent them again. A reset overtakes them.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import random
import socket
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from sim.loop import Process, Timer

KERNEL_BYTES = 256 * 1024
"""What the kernels of both sides hold of a direction before the writer's transport has to."""

HIGH_WATER, LOW_SHARE = 64 * 1024, 4
"""Above so many bytes in its own buffer a transport pauses its writer, until only this part of them is left: asyncio's."""

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


class QuietSocket:
    """Stands for a socket: readable when a reader would find bytes or an end, and never anything else."""

    family, type, proto = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    _pair: tuple[socket.socket, ...] = ()

    def __init__(
        self, address: tuple[str, int], peer: tuple[str, int], is_readable: Callable[[], bool]
    ) -> None:
        self._address, self._peer, self._is_readable = address, peer, is_readable
        self.is_hard = False
        """Whether closing it at once makes a reset (SO_LINGER with 0 s)."""

    def fileno(self) -> int:
        """Returns the descriptor of a real socket that is readable or not, as this one is."""
        if not QuietSocket._pair:
            silent, _silent_peer = socket.socketpair()
            ready, ready_peer = socket.socketpair()
            ready_peer.send(b"!")
            QuietSocket._pair = (silent, ready, _silent_peer, ready_peer)
        return QuietSocket._pair[self._is_readable()].fileno()

    def getsockname(self) -> tuple[str, int]:
        """Returns its own address."""
        return self._address

    def getpeername(self) -> tuple[str, int]:
        """Returns the other side's."""
        return self._peer

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Heeds no option but SO_LINGER."""
        self.is_hard = self.is_hard or option == socket.SO_LINGER

    def getsockopt(self, *_: Any) -> int:
        """Nothing is set."""
        return 0


class FlowControl:
    """Pauses the protocol that writes too much, and lets it go on; `_size` is how much waits."""

    _protocol: Any = None
    _paused = False
    _high, _low = HIGH_WATER, HIGH_WATER // LOW_SHARE

    def get_write_buffer_size(self) -> int:
        """Returns how many bytes neither the network nor a kernel has taken."""
        raise NotImplementedError

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Sets the limits between which the protocol is paused."""
        if high is None:
            high = HIGH_WATER if low is None else LOW_SHARE * low
        self._high, self._low = high, high // LOW_SHARE if low is None else low
        self.drain()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Returns the lower and the upper limit."""
        return self._low, self._high

    def drain(self) -> None:
        """Pauses the protocol, or lets it go on, by what waits now."""
        waiting = self.get_write_buffer_size()
        if not self._paused and waiting > self._high:
            self._paused = True
            self._protocol.pause_writing()
        elif self._paused and waiting <= self._low:
            self._paused = False
            self._protocol.resume_writing()


class Receiving:
    """The reading side of an end: what has arrived waits in the kernel while its protocol does not read."""

    _protocol: Any = None
    _link: Link
    _side: int
    context: contextvars.Context
    is_lost = False
    _is_paused = _is_closing = False

    def __init__(self) -> None:
        self._inbox: deque[bytes | None] = deque()

    def take(self, data: bytes | None) -> None:
        """Bytes have arrived, or their end (None)."""
        if self.is_lost:
            if data is not None:
                self._link.ends[1 - self._side].refuse()
            return
        self._inbox.append(data)
        if not self._is_paused and self._protocol is not None:
            self._read()

    def _read(self) -> None:
        way = self._link.directions[1 - self._side]
        while self._inbox and not self._is_paused and not self.is_lost:
            data = self._inbox.popleft()
            if data is None:
                if not self._protocol.eof_received():
                    self._end_reading()
                continue
            if way.cut_after is not None:
                data = data[: max(0, way.cut_after - way.delivered)]
            if data and not self._is_closing:
                self._protocol.data_received(data)
            way.arrived(len(data))

    def _end_reading(self) -> None:
        raise NotImplementedError

    def has_news(self) -> bool:
        """Returns whether a reader would find something: bytes, or an end."""
        return bool(self._inbox) or self.is_lost

    def pause_reading(self) -> None:
        """Leaves what arrives in the kernel."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Reads again."""
        if self._is_paused:
            self._is_paused = False
            if self._inbox:
                self._link.loop.call_soon(self._read, context=self.context)

    def is_reading(self) -> bool:
        """Returns whether it reads."""
        return not self._is_paused and not self._is_closing


class Transport(Receiving, FlowControl, asyncio.Transport):
    """One end of a connection."""

    def __init__(
        self,
        link: Link,
        side: int,
        addresses: tuple[tuple[str, int], tuple[str, int]],
        context: contextvars.Context,
    ) -> None:
        Receiving.__init__(self)
        address, peer = addresses if side == TO_SERVER else addresses[::-1]
        self._quiet = QuietSocket(address, peer, self.has_news)
        asyncio.Transport.__init__(
            self, {"sockname": address, "peername": peer, "socket": self._quiet, "link": link}
        )
        self.context = context
        self._link, self._side = link, side
        self._out = link.directions[side]
        self._is_eof_sent = False

    def begin(self, protocol: Any) -> None:
        """Hands the connection to its protocol."""
        self._protocol = protocol
        protocol.connection_made(self)
        if self._inbox and not self._is_paused:
            self._read()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hands the connection to another protocol."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Returns whose connection it is."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def get_write_buffer_size(self) -> int:
        return max(0, self._out.outstanding - KERNEL_BYTES)

    def write(self, data: Any) -> None:
        """Writes bytes, unless the connection is over or its process dead."""
        if self.is_lost or self._is_closing or not data or self._link.is_dead(self._side):
            return
        data = bytes(data)
        if self._side == TO_SERVER:
            self._link.note_said(data)
        self._out.send(data)
        self.drain()

    def can_write_eof(self) -> bool:
        """Returns that a direction can be ended alone."""
        return True

    def write_eof(self) -> None:
        """Ends this side's direction."""
        if not self._is_eof_sent and not self.is_lost and not self._link.is_dead(self._side):
            self._is_eof_sent = True
            self._out.send(None)

    def is_closing(self) -> bool:
        """Returns whether it is closed, or being closed."""
        return self._is_closing

    def close(self) -> None:
        """Writes what is left, and ends the connection."""
        if self._is_closing:
            return
        self._link.note_end(self._side)
        self.write_eof()
        self._is_closing = True
        self.drain()

    _end_reading = close

    def abort(self) -> None:
        """Ends the connection without waiting. Unread bytes make a reset of it, as the kernel does."""
        if self.is_lost:
            return
        self._link.note_end(self._side)
        if self._quiet.is_hard or any(data is not None for data in self._inbox):
            self._link.ends[1 - self._side].refuse()
        else:
            self.write_eof()
        self.lose(None)

    def drain(self) -> None:
        super().drain()
        if self._is_closing and not self.is_lost and self.get_write_buffer_size() == 0:
            self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """The connection is over on this side."""
        if self.is_lost:
            return
        self.is_lost = self._is_closing = True
        if self._protocol is not None:
            self._link.loop.call_soon(self._protocol.connection_lost, error, context=self.context)

    def refuse(self) -> None:
        """The other side answers what is sent with a reset: it arrives a little later."""
        if not self._link.is_silent and not self.is_lost:
            error = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            self._link.call_later(self._link.route.latency_s, self.lose, error)
