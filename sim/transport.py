"""The two ends of a TCP connection in memory: what a protocol sees of it, as asyncio's own transports behave."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from sim.link import TO_SERVER, Link

KERNEL_BYTES = 256 * 1024
"""What the kernels of both sides hold of a direction before the writer's transport has to."""

HIGH_WATER, LOW_SHARE = 64 * 1024, 4
"""Above so many bytes in its own buffer a transport pauses its writer, until only this part of them is left: asyncio's."""


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
