"""The log file: for its owner only, rotated when it is full, begun anew when its name leads elsewhere."""

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
"""Size at which the log file is rotated."""

FILES_KEPT = 5
"""Rotated files that are kept besides the current one."""

ROTATE_AGAIN_BYTES = 1024 * 1024
"""How much is written on before a file that could not be renamed is rotated again."""


# --- Writing -----------------------------------------------------------------------------------------


class RotatedFile(logging.handlers.RotatingFileHandler):
    """The log file. Raises OSError where the standard library would print to standard error.

    A file that cannot be renamed grows on, see `stuck`; one whose name leads elsewhere by now is begun anew.
    """

    def __init__(self, path: Path) -> None:
        self.stuck: OSError | None = None
        """Why the file could not be rotated when it was full; None when it could."""
        super().__init__(
            path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", errors="backslashreplace"
        )

    def _open(self) -> Any:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        # A link is refused: whoever can place one in the folder could make us write elsewhere. A pipe that nobody
        # reads would keep us waiting, and one that somebody reads would later.
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
            with contextlib.suppress(PermissionError):  # another user's file, which we may write all the same
                os.fchmod(file.fileno(), 0o600)
        return file

    def handleError(self, record: logging.LogRecord) -> None:
        """Passes the error that is being handled on to the caller."""
        raise  # noqa: PLE0704  (called inside the handler's own ``except``)

    def doRollover(self) -> None:
        """Rotates. If that fails, goes on in the same file and tries again a megabyte later."""
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
        """Appends a line, rotating first when it would not fit. Raises OSError."""
        if self.stream is not None and self._has_lost_its_name(self.stream):
            left = self.stream
            try:
                self.stream = self._open()
            except OSError:
                # No new one can be made: the file that was moved away still takes the line.
                self.emit(logging.makeLogRecord({"msg": line}))
                raise
            with contextlib.suppress(OSError):  # what a full disk did not take was reported when it happened
                left.close()
        self.emit(logging.makeLogRecord({"msg": line}))

    def _has_lost_its_name(self, stream: IO[str]) -> bool:
        """Returns whether the name leads to another file than the open one, or to none: it was moved or removed."""
        try:
            return not os.path.samestat(os.stat(self.baseFilename), os.fstat(stream.fileno()))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False  # it cannot be told: the open file is the one there is
