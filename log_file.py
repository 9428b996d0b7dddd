"""The log file: readable by its owner only, rotated when full, opened anew when it was moved or removed."""

from __future__ import annotations

import contextlib
import errno
import logging
import logging.handlers
import os
import stat
from pathlib import Path
from typing import IO, Any

FILE_BYTES = 10 * 1024 * 1024
"""Size at which the log file is rotated, bytes."""

FILES_KEPT = 5
"""How many rotated files are kept besides the current one."""

ROTATE_AGAIN_BYTES = 1024 * 1024
"""How much a file that could not be rotated grows before the next attempt, bytes."""


# --- Writing -----------------------------------------------------------------------------------------


class RotatedFile(logging.handlers.RotatingFileHandler):
    """The log file. Raises OSError where the standard library would print to standard error.

    A file that cannot be renamed grows on (see `stuck`). Once its name leads to another file or to none, lines go to a
    new file under that name.
    """

    def __init__(self, path: Path) -> None:
        self.stuck: OSError | None = None
        """Why the last rotation failed; None if it did not."""
        super().__init__(
            path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", errors="backslashreplace"
        )

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        # O_NOFOLLOW: whoever can place a link in the folder could make us write elsewhere. O_NONBLOCK, and then only
        # a regular file or a device: opening a pipe without a reader would block, and writing to a full one, too.
        file = open(  # noqa: SIM115  (the handler closes it)
            self.baseFilename,
            "a",
            encoding=self.encoding,
            errors=self.errors,
            opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600),
        )
        mode = os.fstat(file.fileno()).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
            file.close()
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO), self.baseFilename)
        if stat.S_ISREG(mode):
            with contextlib.suppress(PermissionError):  # another user's file that this user may write
                os.fchmod(file.fileno(), 0o600)
        return file

    def handleError(self, record: logging.LogRecord) -> None:
        """Raises the error that is being handled, so that the caller gets it."""
        raise  # noqa: PLE0704  (called inside the handler's own ``except``)

    def doRollover(self) -> None:
        """Rotates. If that fails, goes on in the same file and tries again `ROTATE_AGAIN_BYTES` later."""
        try:
            super().doRollover()
        except OSError as error:
            self.stuck = error
            self.maxBytes += ROTATE_AGAIN_BYTES
            if self.stream is None or self.stream.closed:
                self.stream = self._open()
            return
        self.stuck = None
        self.maxBytes = FILE_BYTES

    def write(self, line: str) -> None:
        """Appends a line, and rotates first if it would not fit. Raises OSError."""
        if self.stream is not None and self._has_lost_its_name(self.stream):
            left = self.stream
            try:
                self.stream = self._open()
            except OSError:
                # No new file can be made, so the one that was moved away gets the line.
                self.emit(logging.makeLogRecord({"msg": line}))
                raise
            with contextlib.suppress(OSError):  # a full disk was reported when a write failed
                left.close()
        self.emit(logging.makeLogRecord({"msg": line}))

    def _has_lost_its_name(self, stream: IO[str]) -> bool:
        """Returns whether the open file was moved or removed: its name leads to another file, or to none."""
        try:
            return not os.path.samestat(os.stat(self.baseFilename), os.fstat(stream.fileno()))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # unknown: keep the open file
