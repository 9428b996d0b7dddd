"""What no worker can do without: the record's ``fsync`` and the request, alone. For the tick-to-alert benchmark.

``python -m benchmarks.alert_floor FILE CONTROL_PORT PUSH_URL``. On each line ``WAY FORM`` over the control connection
it does one of two things and answers when it began (ns, monotonic): ``floor`` writes a line, waits for the disk in a
thread as an event loop must, then sends the form with httpx over a warm connection. ``bare`` writes, waits, and sends the
same bytes over a bare socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from urllib.parse import urlencode, urlsplit

import httpx

LINE = b"x" * 999 + b"\n"
"""About as long as the record's line of a decision."""

PATH = "/1/messages.json"


class Floor:
    """The file and the connections."""

    def __init__(self, file: int, push_url: str) -> None:
        self._file = file
        self._client = httpx.AsyncClient(base_url=push_url, trust_env=False)
        place = urlsplit(push_url)
        assert place.port is not None
        self._host = f"{place.hostname}:{place.port}"
        self._socket = socket.create_connection(("127.0.0.1", place.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def floor(self, form: dict[str, str]) -> int:
        """The least that an event loop takes."""
        began = time.perf_counter_ns()
        os.write(self._file, LINE)
        await asyncio.to_thread(os.fsync, self._file)
        (await self._client.post(PATH, data=form)).raise_for_status()
        return began

    def bare(self, form: dict[str, str]) -> int:
        """The least that anything takes."""
        body = urlencode(form).encode()
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        request = head.encode() + body
        began = time.perf_counter_ns()
        os.write(self._file, LINE)
        os.fsync(self._file)
        self._socket.sendall(request)
        if not self._socket.recv(4096).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("the push was not accepted")
        return began


async def main() -> None:
    """Do as the lines say until the connection ends."""
    path, port, push_url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    floor = Floor(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), push_url)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while line := await reader.readline():
        way, form = line.decode().split(" ", 1)
        fields = json.loads(form)
        began = await floor.floor(fields) if way == "floor" else floor.bare(fields)
        writer.write(f"{began}\n".encode())


if __name__ == "__main__":
    asyncio.run(main())
