"""Colours on a terminal, for people: never in a file, a pipe or JSON, and not with ``NO_COLOR`` (https://no-color.org).

Python 3.8 can load it, and it needs no package.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import IO, Optional

RED, GREEN, YELLOW, BOLD, DIM = "31", "32", "33", "1", "2"
"""Parameters of the control sequence SGR (ECMA-48, 8.3.117)."""


def is_coloured(stream: Optional[IO[str]]) -> bool:  # noqa: UP045 - Python 3.8 must load this
    """Returns whether ``stream`` is a terminal that shows colours, and its owner has not set ``NO_COLOR``."""
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def painted(text: str, *styles: str) -> str:
    """Returns ``text`` in ``styles``, which end with it. Without styles, returns it as it is."""
    return f"\x1b[{';'.join(styles)}m{text}\x1b[0m" if styles and text else text


def escaped(text: str, printable: Callable[[str], str]) -> str:
    """Returns ``text`` made ``printable``, except the sequences that `painted` writes."""
    if "\x1b[" not in text:
        return printable(text)
    parts = re.split(r"(\x1b\[(?:[012]|3[0-7])(?:;(?:[012]|3[0-7]))*m)", text)
    return "".join(part if number % 2 else printable(part) for number, part in enumerate(parts))
