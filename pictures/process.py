"""Has a picture drawn in a process of its own, bounded in time and in what it may say.

The process gets no key, no network address and no file: its facts, and a place for the PNG.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from errors import TheirError
from utils import printable

FOLDER = Path(__file__).resolve().parent.parent
"""Where the program's modules are."""

COMMAND = (sys.executable, "-m", "pictures")

PICTURE_REAL_S = 20.0
"""Real seconds for a picture, from the process's start to its last byte: one takes 1 s, and 5 s where others need the processor."""

REAP_REAL_S = 0.5
"""Real seconds for a killed process to be gone: longer only if the system is stuck, which is not waited for."""

PNG_MAX = 2_500_000
"""Bytes of a picture that are taken. Pushover's limit is 5,242,880 since 2022, and was 2,621,440 before: clients of that
time exist, and a picture has 0.2 MB."""

FAULT_MAX = 4_096
"""Bytes of what the process says went wrong that are read."""

FAULT_TEXT_MAX = 200
"""Characters of it that are told."""

KEPT = ("PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
"""What of the environment Python and its packages may need to be found. Nothing else is passed on, and so no key."""

SIGNATURE, HEADER, END = b"\x89PNG\r\n\x1a\n", b"IHDR", b"IEND\xaeB`\x82"
"""How a PNG begins, what comes first in it, and how it ends (RFC 2083)."""

WIDTH, HEIGHT_MAX = 780, 1000
"""Pixels that a picture has, and at most has."""

Draw = Callable[[bytes], Awaitable[bytes]]
"""Makes a PNG of a picture's facts. Raises NotDrawn."""


class NotDrawn(TheirError):
    """There is no picture. Its text says why."""


async def drawn_apart(
    facts: bytes, *, command: Sequence[str] = COMMAND, limit_s: float = PICTURE_REAL_S
) -> bytes:
    """Returns the PNG that a process of its own makes of ``facts``, within ``limit_s`` real seconds. Raises NotDrawn.

    Cancelled, it kills the process at once.
    """
    try:
        transport, output = await asyncio.get_running_loop().subprocess_exec(
            _Output,
            *command,
            cwd=FOLDER,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            start_new_session=True,  # Ctrl-C at the terminal is the worker's
        )
    except (OSError, ValueError) as error:
        raise NotDrawn(f"no process for it ({type(error).__name__})") from None
    stdin = transport.get_pipe_transport(0)
    assert isinstance(stdin, asyncio.WriteTransport)
    try:
        async with asyncio.timeout(limit_s):
            stdin.write(facts)
            stdin.close()  # once it is written
            await output.ended
    except TimeoutError:
        raise NotDrawn(f"not done within {limit_s:g} s") from None
    finally:
        if stdin.get_write_buffer_size():
            stdin.abort()  # what it has not read, it never will
        transport.close()  # kills it if it still runs, and waits for nothing that it has started in turn
        await asyncio.wait({output.exited}, timeout=REAP_REAL_S)
    png, fault, status = bytes(output.png), bytes(output.fault), transport.get_returncode()
    if status and not output.is_too_much:
        raise NotDrawn(f"ended by signal {-status}" if status < 0 else _last_line(fault) or f"exit {status}")
    if reason := flaw(png):
        raise NotDrawn(reason)
    return png


class _Output(asyncio.SubprocessProtocol):
    """Keeps the beginning of what a process says, and knows when it has ended."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.png, self.fault = bytearray(), bytearray()
        self.is_too_much = False
        """Whether it says more than a picture may have."""
        self.exited: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        """Set once it has exited and all that it said is here, or it says too much."""
        self._open = {1, 2}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keeps what it says, up to what is of use."""
        if fd == 1:
            self.png += data
            self.is_too_much = len(self.png) > PNG_MAX
            self._check()
        elif len(self.fault) < FAULT_MAX:
            self.fault += data[:FAULT_MAX]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """A pipe is closed."""
        self._open.discard(fd)
        self._check()

    def process_exited(self) -> None:
        """The process has exited; what it said may still come."""
        if not self.exited.done():
            self.exited.set_result(None)
        self._check()

    def _check(self) -> None:
        is_over = self.is_too_much or (self.exited.done() and not self._open)
        if is_over and not self.ended.done():
            self.ended.set_result(None)


def _last_line(fault: bytes) -> str:
    lines = fault.decode("utf-8", "replace").strip().splitlines()
    return printable(lines[-1])[:FAULT_TEXT_MAX] if lines else ""


def flaw(png: bytes) -> str:
    """Returns why ``png`` is not a picture that can be sent; empty when it is."""
    if not png:
        return "it is empty"
    if len(png) > PNG_MAX:
        return f"it has more than {PNG_MAX:,} bytes"
    if not png.startswith(SIGNATURE) or png[12:16] != HEADER or not png.endswith(END):
        return "it is no PNG"
    width, height = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    if width != WIDTH or not 0 < height <= HEIGHT_MAX:
        return f"it has {width}×{height} pixels"
    return ""
