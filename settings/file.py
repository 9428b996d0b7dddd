"""Reading a ``.env`` file: its names, values and lines, and what is wrong with it."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream

ENV_FILE_BYTES = 256 * 1024
"""The largest file that is read: one of settings has a few thousand bytes."""

ENV_LINES_NAMED = 10
"""How many bad lines are named one by one; the rest are counted."""


@dataclass
class SettingsFile:
    """What a file of settings holds, and what is wrong with it."""

    path: Path
    values: dict[str, str | None] = field(default_factory=dict)
    """Values by upper-case name."""
    lines: dict[str, int] = field(default_factory=dict)
    """The line of each name."""
    faults: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """What is probably not meant, and yet no fault."""


def read_file(path: Path, known: Set[str]) -> SettingsFile:
    """Reads the variables of a file. Never raises: what cannot be read is in its ``faults``.

    A line that is not ``NAME=value`` is a fault; its text is not shown. A name of ``known`` that stands twice is a doubt.
    """
    found = SettingsFile(path)
    values, lines = found.values, found.lines
    wrong: list[int] = []
    text = _text_of(path, found.faults)
    for binding in parse_stream(io.StringIO(text or "")):
        written = binding.original.string  # with the empty lines before it
        line = binding.original.line + written[: -len(written.lstrip()) or None].count("\n")
        if binding.key is not None and binding.value is not None:
            name = binding.key.upper()
            if name in values and name in known:
                found.doubts.append(
                    f"{name} stands twice in {path}: line {line} counts, not line {lines[name]}"
                )
            values[name] = binding.value
            lines[name] = line
        elif binding.key is not None or binding.error:
            wrong.append(line)
    found.faults += [f"{path}: line {line} takes NAME=value" for line in wrong[:ENV_LINES_NAMED]]
    if others := len(wrong[ENV_LINES_NAMED:]):
        found.faults.append(f"{path}: {others} more lines are no NAME=value: is it a file of settings?")
    return found


def _text_of(path: Path, faults: list[str]) -> str | None:
    """Returns the text of a file of settings; None if there is none. Adds to ``faults`` why it cannot be read."""
    try:
        data = _bytes_of(path)
        text = None if data is None else data.decode("utf-8-sig")
    except FileNotFoundError:
        if path.is_symlink():
            faults.append(f"{path}: is a link that leads nowhere; remove it or mend it")
        return None
    except OSError as error:
        faults.append(f"{path}: cannot be read ({error.strerror}); it takes a file that this user may read")
        return None
    except UnicodeDecodeError as error:
        faults.append(f"{path}: cannot be read as UTF-8 text ({type(error).__name__})")
        return None
    if data is not None and len(data) > ENV_FILE_BYTES:
        faults.append(f"{path}: has more than {ENV_FILE_BYTES // 1024} kB, which no file of settings has")
        return None
    if text is not None and "\0" in text:
        faults.append(f"{path}: holds zero bytes, which no text has (was it saved as UTF-16?)")
        return None
    return text


def _bytes_of(path: Path) -> bytes | None:
    """Returns a file's bytes, at most one more than `ENV_FILE_BYTES`; None for ``/dev/null``. Raises OSError."""
    descriptor = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    )  # opening a pipe must not wait for its writer
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISCHR(mode):
            return None
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(mode):
            raise OSError(errno.ENXIO, "it is a pipe")
        data = b""
        while (more := os.read(descriptor, ENV_FILE_BYTES + 1 - len(data))) and len(data) <= ENV_FILE_BYTES:
            data += more
        return data
    finally:
        os.close(descriptor)
