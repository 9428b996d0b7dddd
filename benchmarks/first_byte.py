"""What is gained by making a push ready while its record goes to the disk: ``python -m benchmarks.first_byte [MS]``.

In turns a line goes to the disk by ``fsync`` in a thread, and a push over a warm loopback connection. *after*: the push
begins once the disk is done. *held*: it is made ready meanwhile, and its first byte is held back until then
(`delivery.first_byte`). Both times run from the disk's end to the first byte at the other side, a process apart.
With ``MS`` the disk is a sleep of so many milliseconds, so that the figures do not depend on this machine's.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from statistics import median, quantiles

from pydantic import SecretStr

from benchmarks.alert_floor import LINE
from benchmarks.alert_outside import ACCEPTED, HEAD_END
from delivery.pushover import Pushover

TURNS = 1000
"""Pushes of each way."""

WARM = 50
"""Pushes of each way before the counted ones."""

PAUSE_S = 0.005

SWITCH_S = 0.0001
"""As in the worker: the disk's thread gets the interpreter at once."""

MEANWHILE_S = 0.001
"""What the worker does between the disk's start and the push: the text, the log, the sender's turn (tick to alert)."""

FIELDS = {"title": "t" * 30, "message": "m" * 300, "priority": "1", "timestamp": "1"}


def serve(connection: socket.socket, count: int) -> None:
    """Answer ``count`` requests, then print when the first byte of each came (ns, monotonic)."""
    times = []
    for _ in range(count):
        data = connection.recv(65_536)
        times.append(time.perf_counter_ns())
        while not _is_whole(data):
            data += connection.recv(65_536)
        connection.sendall(ACCEPTED)
    print(*times)


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(HEAD_END)
    sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end and sizes) and len(body) >= int(sizes[0].partition(b":")[2])


async def after(service: Pushover, written: asyncio.Future[None]) -> None:
    """First the disk, then the push."""
    await written
    await service.post(FIELDS)


async def held(service: Pushover, written: asyncio.Future[None]) -> None:
    """Both at once; the first byte waits for the disk."""

    async def cleared() -> None:
        await written

    await service.post(FIELDS, cleared)


async def play(port: int, disk_s: float | None) -> list[int]:
    """When the disk was done before each push, the ways in turn (ns, monotonic)."""
    ends: list[int] = []

    def disk() -> None:
        if disk_s is None:
            os.fsync(file.fileno())
        else:
            time.sleep(disk_s)
        ends.append(time.perf_counter_ns())

    loop = asyncio.get_running_loop()
    sys.setswitchinterval(SWITCH_S)
    with tempfile.TemporaryFile(buffering=0, dir=".") as file:
        key = SecretStr("k" * 30)
        async with Pushover(f"http://127.0.0.1:{port}", key, key) as service:
            for _ in range(WARM + TURNS):
                for way in (after, held):
                    await asyncio.sleep(PAUSE_S)
                    file.write(LINE)
                    written = loop.run_in_executor(None, disk)
                    busy_until = loop.time() + MEANWHILE_S
                    while loop.time() < busy_until:
                        pass
                    await way(service, written)
    return ends


def main() -> None:
    """Measure, and print both ways' times to the first byte."""
    if sys.argv[1:] == ["serve"]:
        with socket.create_server(("127.0.0.1", 0)) as door:
            print(door.getsockname()[1], flush=True)
            serve(door.accept()[0], 2 * (WARM + TURNS))
        return
    disk_s = float(sys.argv[1]) / 1000 if sys.argv[1:] else None
    command = [sys.executable, "-m", "benchmarks.first_byte", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        ends = asyncio.run(play(int(server.stdout.readline()), disk_s))
        seen = [int(each) for each in server.stdout.readline().split()]
    times = [(byte - end) / 1e6 for end, byte in zip(ends, seen, strict=True)][2 * WARM :]
    for name, way in (("after", times[::2]), ("held", times[1::2])):
        print(f"{name}: p50 {median(way):.3f} ms, p99 {quantiles(way, n=100)[98]:.3f} ms")
    print(f"gain at p50: {median(times[::2]) - median(times[1::2]):.3f} ms")


if __name__ == "__main__":
    main()
