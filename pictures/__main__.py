"""``python -m pictures``: a picture's facts on the standard input, its PNG on the standard output.

It is given little: what goes wrong here costs the picture, and nothing else. Exit statuses: 0 drawn, 1 not drawn, with
the reason in the last line of the standard error.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

MEMORY_MAX = 512 * 1024 * 1024
"""Bytes of address space, where the system keeps to it: Python, Pillow and the largest picture take 120 MB."""

CPU_S = 10
"""Seconds of processor time: a picture takes one."""

ALIVE_REAL_S = 30
"""Real seconds after which it ends itself: whoever started it may have been killed."""

NICENESS = 10
"""How far it stands back for the worker."""


def be_modest() -> None:
    """Limits this process in memory, processor time and duration, as far as this system knows how."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)
    with contextlib.suppress(AttributeError):
        signal.alarm(ALIVE_REAL_S)
    with contextlib.suppress(ImportError):  # Windows
        import resource  # noqa: PLC0415

        for limit, most in (
            (resource.RLIMIT_AS, MEMORY_MAX),
            (resource.RLIMIT_CPU, CPU_S),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(ValueError, OSError):  # macOS knows RLIMIT_AS and refuses it
                resource.setrlimit(limit, (most, most))


def main() -> int:
    """Draws one picture. Returns the exit status."""
    be_modest()
    data = sys.stdin.buffer.read()
    try:
        from pictures import draw, facts  # noqa: PLC0415 - within the limits

        png = draw.draw(facts.decoded(data))
    except ImportError as error:
        print(
            f"{error.name or error} cannot be loaded: {sys.executable} -m pip install -r requirements.txt",
            file=sys.stderr,
        )
        return 1
    sys.stdout.buffer.write(png)
    return 0


if __name__ == "__main__":
    sys.exit(main())
