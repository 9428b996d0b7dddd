"""Both vendors in one thread that does nothing but read, answer, and note the time: for the tick-to-alert benchmark.

No framework: a reply is bytes that were made before, so that the clock is read a system call after the network was.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

CHUNK = 65_536
HEAD_END = b"\r\n\r\n"


class Push(NamedTuple):
    """A push that has come: when its first byte did and when it was answered (ns, monotonic), and its form."""

    first_ns: int
    accepted_ns: int
    form: dict[str, str]


def answer(body: bytes, *headers: str) -> bytes:
    """An HTTP answer with JSON."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + HEAD_END + body


ACCEPTED = answer(
    b'{"status":1,"request":"benchmark","devices":["phone"],"limit":10000,"remaining":9000}',
    "X-Limit-App-Limit: 10000",
    "X-Limit-App-Remaining: 9000",
)


class Peer:
    """One connection from outside: a socket, what has been read of a request, and, once upgraded, its protocol."""

    def __init__(self, connection: socket.socket, door: str) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.door = door
        self.buffer = b""
        self.first_ns = 0
        self.protocol: ServerProtocol | None = None
        self.path = ""
        self.key = ""
        self.pairs: set[str] = set()

    def send_frame(self, payload: bytes) -> int:
        """Send one frame of text. Returns when its sending began, ns."""
        data = Frame(Opcode.TEXT, payload).serialize(mask=False)
        began = time.perf_counter_ns()
        self.connection.sendall(data)
        return began


class Outside:
    """The servers. ``rest`` answers a path and its query with a page's JSON."""

    def __init__(self, rest: Callable[[str, dict[str, str]], bytes]) -> None:
        self._rest = rest
        self._selector = selectors.SelectSelector()  # waits to the microsecond, epoll to the millisecond
        self._listeners: list[socket.socket] = []
        self.ports = {door: self._listen(door) for door in ("vendor", "push", "control")}
        self.streams: dict[tuple[str, str], Peer] = {}
        """Subscribed sockets by key and path."""
        self.pushes: deque[Push] = deque()
        self.controls: deque[Peer] = deque()
        self.lines: deque[str] = deque()
        """What the floor has said over its control connection."""

    def _listen(self, door: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        self._selector.register(listener, selectors.EVENT_READ, door)
        self._listeners.append(listener)
        port: int = listener.getsockname()[1]
        return port

    def step(self, timeout_s: float) -> None:
        """Handle what has come, waiting for it at most so long."""
        for key, _ in self._selector.select(max(0.0, timeout_s)):
            if isinstance(key.data, Peer):
                self._read(key.data)
            else:
                assert isinstance(key.fileobj, socket.socket)
                connection, _ = key.fileobj.accept()
                peer = Peer(connection, key.data)
                self._selector.register(connection, selectors.EVENT_READ, peer)
                if peer.door == "control":
                    self.controls.append(peer)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.connection.recv(CHUNK)
        except ConnectionError:
            data = b""
        if not peer.buffer:
            peer.first_ns = time.perf_counter_ns()
        if not data:
            self._drop(peer)
        elif peer.door == "push":
            self._read_push(peer, data)
        elif peer.door == "control":
            *lines, peer.buffer = (peer.buffer + data).split(b"\n")
            self.lines.extend(line.decode() for line in lines)
        elif peer.protocol is not None:
            self._read_stream(peer, data)
        else:
            self._read_request(peer, data)

    def _drop(self, peer: Peer) -> None:
        self._selector.unregister(peer.connection)
        peer.connection.close()
        self.streams = {name: known for name, known in self.streams.items() if known is not peer}

    def _read_push(self, peer: Peer, data: bytes) -> None:
        peer.buffer += data
        head, found, body = peer.buffer.partition(HEAD_END)
        if not found or len(body) < _length(head):
            return
        peer.buffer = b""
        peer.connection.sendall(ACCEPTED)
        accepted = time.perf_counter_ns()
        if b"messages.json" in head.split(b"\r\n", 1)[0]:
            self.pushes.append(Push(peer.first_ns, accepted, dict(parse_qsl(body.decode()))))

    def _read_request(self, peer: Peer, data: bytes) -> None:
        peer.buffer += data
        head, found, _ = peer.buffer.partition(HEAD_END)
        if not found:
            return
        request, peer.buffer = peer.buffer, b""
        target = urlsplit(head.split(b" ", 2)[1].decode())
        if b"upgrade: websocket" in head.lower():
            peer.protocol, peer.path = ServerProtocol(), target.path
            self._read_stream(peer, request)
        else:
            page = self._rest(target.path, dict(parse_qsl(target.query)))
            peer.connection.sendall(answer(page))

    def _read_stream(self, peer: Peer, data: bytes) -> None:
        assert peer.protocol is not None
        peer.protocol.receive_data(data)
        for item in peer.protocol.events_received():
            if isinstance(item, Request):
                peer.protocol.send_response(peer.protocol.accept(item))
                _say(peer, ("connected", "Connected Successfully"))
            elif isinstance(item, Frame) and item.opcode is Opcode.TEXT:
                self._hear(peer, json.loads(bytes(item.data)))
        for answered in peer.protocol.data_to_send():
            if answered:
                peer.connection.sendall(answered)

    def _hear(self, peer: Peer, asked: dict[str, Any]) -> None:
        match asked["action"]:
            case "auth":
                peer.key = asked["params"]
                _say(peer, ("auth_success", "authenticated"))
            case "subscribe":
                pairs = asked["params"].split(",")
                peer.pairs.update(pairs)
                self.streams[peer.key, peer.path] = peer
                _say(peer, *(("success", f"subscribed to: {pair}") for pair in pairs))
            case _:
                pairs = asked["params"].split(",")
                peer.pairs.difference_update(pairs)
                _say(peer, *(("success", f"unsubscribed to: {pair}") for pair in pairs))

    def close(self) -> None:
        """Close every socket."""
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()


def _length(head: bytes) -> int:
    """The length of a request's body by its head."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


def _say(peer: Peer, *statuses: tuple[str, str]) -> None:
    assert peer.protocol is not None
    events = [{"ev": "status", "status": status, "message": message} for status, message in statuses]
    peer.protocol.send_text(json.dumps(events).encode())
