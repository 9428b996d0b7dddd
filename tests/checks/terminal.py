"""A command on a terminal of its own, and somebody who types there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.measured import measured

PATIENCE_S = 60.0
"""Real seconds until something is shown, or the command has ended."""

INTERRUPT, END = "\x03", "\x04"
"""Ctrl-C and Ctrl-D, as a keyboard sends them."""

AGAIN_S = 3.0
"""Real seconds after which somebody presses Ctrl-C again, if the command still waits for a key. Between showing a question and
reading the answer Python notes the first one only, and acts on it once the next key arrives; no hand is that quick."""

LOOK_S = 0.01
"""Real seconds between two looks at whether the command waits."""


class Terminal:
    """A command on a terminal. ``shown`` is all that it has shown, ``status`` its exit status once it has ended."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        self._own, side = os.openpty()
        self.shown = ""
        self._seen = 0
        self._is_interrupted = False
        self.status: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={"PATH": os.environ["PATH"], **measured(), **environment},
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - it is a system call only, and nothing else here has threads
        )
        os.close(side)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._own)

    def answer(self, question: str, text: str, *, end: str = "\r") -> None:
        """Waits until something new is shown that ends with ``question``, and types ``text``."""
        self.wait_for(question)
        self._is_interrupted = end == INTERRUPT
        until = time.monotonic() + AGAIN_S
        while self._is_interrupted and not self._waits() and time.monotonic() < until:
            time.sleep(LOOK_S)
        os.write(self._own, (text + end).encode())

    def wait_for(self, text: str) -> None:
        """Waits until ``text`` is shown after what was waited for before."""
        until = time.monotonic() + PATIENCE_S
        while (found := self.shown.find(text, self._seen)) < 0:
            assert self._read(until), f"no {text!r} in {self.shown!r}"
        self._seen = found + len(text)

    def ended(self) -> int:
        """Waits until the command has ended. Returns its exit status."""
        until = time.monotonic() + PATIENCE_S
        while (now := time.monotonic()) < until:
            if self._is_shown(min(until, now + AGAIN_S)):
                if not self._read(until):
                    break
            elif self._is_interrupted and self._waits():
                os.write(self._own, INTERRUPT.encode())
        self.status = self._process.wait(PATIENCE_S)
        return self.status

    def _waits(self) -> bool:
        """Returns whether the command waits for something, such as a key: one that is busy ending would be interrupted there."""
        try:
            state = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        except OSError:  # no such files on this system
            return True
        return state.split()[0] == "S"

    def _is_shown(self, until: float) -> bool:
        """Waits until there is something to read, or everybody has left the terminal. Returns whether that is so."""
        return bool(select.select([self._own], [], [], max(0.0, until - time.monotonic()))[0])

    def _read(self, until: float) -> bool:
        """Reads what is shown next. Returns whether something was."""
        data = b""
        with contextlib.suppress(OSError):  # Linux says so when the last process has left the terminal
            data = os.read(self._own, 65_536) if self._is_shown(until) else b""
        self.shown += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)


def _take_terminal() -> None:
    """Makes standard input this process's terminal, so that Ctrl-C reaches it and nothing asks on the tester's own."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
