"""A stocks socket that sends made frames as fast as they are taken: ``python -m benchmarks.wire_server EVENTS``.

It costs the clients nothing but its turns of the processor: all frames are one block of bytes, made before anyone
connects. Prints one line of JSON, frame size to port, and runs until its input ends.
"""

from __future__ import annotations

import json
import socket
import sys
import threading

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from benchmarks.made_frames import SIZES, frames

CHUNK = 65_536


def status(kind: str, message: str) -> bytes:
    """A frame with one status."""
    return json.dumps([{"ev": "status", "status": kind, "message": message}]).encode()


class Session:
    """One client from its handshake to its subscription."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._protocol = ServerProtocol()

    def prepared(self) -> bool:
        """Let a client in as the vendor does. Returns whether it subscribed to something."""
        while data := self._connection.recv(CHUNK):
            self._protocol.receive_data(data)
            for item in self._protocol.events_received():
                if isinstance(item, Request):
                    self._protocol.send_response(self._protocol.accept(item))
                    self._say("connected", "Connected Successfully")
                elif isinstance(item, Frame) and item.opcode is Opcode.TEXT and self._answer(item.data):
                    return True
            self._flush()
        return False

    def _answer(self, text: bytes | bytearray | memoryview) -> bool:
        asked = json.loads(bytes(text))
        if asked["action"] == "auth":
            self._say("auth_success", "authenticated")
            return False
        for pair in asked["params"].split(","):
            self._say("success", f"subscribed to: {pair}")
        self._flush()
        return True

    def _say(self, kind: str, message: str) -> None:
        self._protocol.send_text(status(kind, message))

    def until_closed(self) -> None:
        """Answer what the client still says, its close frame above all: it waits for us to hang up."""
        while not self._protocol.close_expected() and (data := self._connection.recv(CHUNK)):
            self._protocol.receive_data(data)
            self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._connection.sendall(data)


def on_wire(payloads: list[bytes]) -> bytes:
    """Frames as a server writes them."""
    return b"".join(Frame(Opcode.TEXT, payload).serialize(mask=False) for payload in payloads)


def serve(listener: socket.socket, block: bytes) -> None:
    """Give every client that subscribes the whole block, one client after the other."""
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                session = Session(connection)
                if session.prepared():
                    connection.sendall(block)
                    session.until_closed()
            except ConnectionError:
                continue  # a client may leave when it has what it wants


def main() -> None:
    """Listen, one port for each size of frames."""
    events = int(sys.argv[1])
    ports: dict[int, int] = {}
    for size in SIZES:
        listener = socket.create_server(("127.0.0.1", 0))
        ports[size] = listener.getsockname()[1]
        block = on_wire(frames(size, events))
        threading.Thread(target=serve, args=(listener, block), daemon=True).start()
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
