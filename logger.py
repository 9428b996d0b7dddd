"""Writes the log, to the console and to a rotated file, in the same words.

Every line passes through one class, `_Output`, which replaces each secret with ``***`` as the last step before writing.
A log that cannot be written never stops the program: it may cost lines, but no alert.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import logging.handlers
import math
import select
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

import structlog

import utils
from log_file import RotatedFile
from redaction import redactor
from terminal import BOLD, DIM, RED, YELLOW, is_coloured, painted

LogFormat = Literal["console", "json"]

CONSOLE_SECONDS = 0.5
"""How long a line waits for a console that accepts nothing (Ctrl-S, a pipe that nobody reads). Later lines do not wait."""

CONSOLE_CHARACTERS = 128
"""How much is written to a writable console at a time. 128 characters are at most 512 bytes of UTF-8, which a writable
pipe accepts whole: POSIX's least value of PIPE_BUF (``_POSIX_PIPE_BUF``)."""

OURS = "iwm"
"""Parent of this program's loggers in the standard library's tree. Other loggers' lines are logged from WARNING on."""

LOCK_SECONDS = 2.0
"""How long a line waits for another thread's line. A blocked terminal must not stop the watchdog's thread as well."""

LEVEL_STYLES: Mapping[str, Sequence[str]] = {
    "DEBUG": (DIM,),
    "WARNING": (YELLOW,),
    "ERROR": (RED,),
    "CRITICAL": (BOLD, RED),
}
"""How a line is painted on a terminal that shows colours, by its level."""

INDENT = "    "
"""Precedes every line of a message but its first, so that no message can forge a line of the log."""

_installed = contextlib.ExitStack()


# --- Setting up --------------------------------------------------------------------------------------


def setup(
    *,
    level: str,
    log_format: LogFormat,
    log_file: Path | None,
    secrets: Sequence[str],
    clock: Callable[[], int],
    stream: IO[str] | None = None,
) -> None:
    """Sends every logger's lines to ``stream`` (default: standard output) and ``log_file`` (None: no file).

    ``clock`` returns the time that lines carry, µs of UTC. Also logs uncaught exceptions and warnings. A second call
    closes the earlier set-up first. Never raises for a file that cannot be written: the console says so.
    """
    close()
    output = _Output(
        render=_render_json if log_format == "json" else _render_console,
        redact=redactor(secrets),
        stream=_standard_output() if stream is None else stream,
        clock=clock,
    )
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    for part, least in ((root, logging.WARNING), (ours, logging.getLevelNamesMapping()[level])):
        _installed.callback(part.setLevel, part.level)
        part.setLevel(least)
    root.addHandler(output)
    _installed.callback(output.close)
    _installed.callback(root.removeHandler, output)
    _configure_structlog(ours.level)
    _install_hooks()
    if log_file is not None:
        output.open_file(log_file)


def _configure_structlog(level: int) -> None:
    """Makes structlog pass its lines, from ``level`` on, to the standard library's loggers."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            _to_standard_library,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda name="main": logging.getLogger(f"{OURS}.{name}"),
        cache_logger_on_first_use=False,
    )
    _installed.callback(structlog.reset_defaults)


def close() -> None:
    """Undoes `setup`: closes the file and restores every hook. Does nothing without a set-up."""
    _installed.close()


@contextlib.contextmanager
def only_crashes(secrets: Sequence[str], clock: Callable[[], int]) -> Iterator[None]:
    """Logs CRITICAL lines alone, to standard error: for the checks, whose own lines hold what the edges log."""
    setup(
        level="CRITICAL", log_format="console", log_file=None, secrets=secrets, clock=clock, stream=sys.stderr
    )
    try:
        yield
    finally:
        close()


def _standard_output() -> IO[str]:
    """Returns standard output, able to print an emoji whatever the machine's language is."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")
    return sys.stdout


def _to_standard_library(
    _logger: Any, _method: str, event: Mapping[str, Any]
) -> tuple[tuple[Mapping[str, Any]], dict[str, Any]]:
    """Makes the whole event the message of a log record. This is the last structlog processor."""
    return (event,), {}


def _install_hooks() -> None:
    """Logs exceptions that nobody catches, of the main thread, another thread or a finaliser, and Python's warnings."""
    log = structlog.get_logger("logger")

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        log.critical(
            "uncaught_exception",
            text=f"💥 The program ended with an error: {kind.__name__}: {error}",
            exc_info=(kind, error, trace),
        )

    def uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            log.critical(
                "uncaught_thread_exception",
                text=f"💥 A thread ended with an error: {args.exc_type.__name__}: {args.exc_value}",
                exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
            )

    def unraisable(args: Any) -> None:
        log.error(
            "unraisable_exception",
            text=f"⚠️ An error that could not be raised: {args.exc_type.__name__}: {args.exc_value}",
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback) if args.exc_value else None,
        )

    for owner, name, hook in (
        (sys, "excepthook", uncaught),
        (threading, "excepthook", uncaught_in_thread),
        (sys, "unraisablehook", unraisable),
    ):
        _installed.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, hook)
    logging.captureWarnings(True)
    _installed.callback(logging.captureWarnings, False)


class _Output(logging.Handler):
    """Renders each record once, hides secrets, and writes the same line to console and file."""

    def __init__(
        self,
        *,
        render: Callable[[str, str, Mapping[str, Any], int], str],
        redact: Callable[[str], str],
        stream: IO[str],
        clock: Callable[[], int],
    ) -> None:
        super().__init__()
        self._render = render
        self._redact = redact
        self._stream: IO[str] | None = stream
        self._is_coloured = render is _render_console and is_coloured(stream)
        self._clock = clock
        self._file: RotatedFile | None = None
        self._missing = 0
        """Lines that are missing in the file since it last could be written."""
        self._untold = 0
        """Lines that are missing on the console since it last accepted some."""

    def open_file(self, path: Path) -> None:
        """Opens ``path`` for the lines to come. If that fails, says so on the console and goes on without a file."""
        with self._locked():
            try:
                self._file = RotatedFile(path)
            except (OSError, ValueError) as error:
                self._say(
                    "log_file_unusable",
                    f"⚠️ Log file {path} cannot be opened ({file_fault(error)}): this log is on the console only. "
                    "LOG_FILE takes a plain file that this user may write",
                )

    def handle(self, record: logging.LogRecord) -> bool:
        """Writes one record. Drops it if another thread has been writing for longer than `LOCK_SECONDS`."""
        lock = self.lock
        if lock is None or not lock.acquire(timeout=LOCK_SECONDS):
            return False
        try:
            self.emit(record)
        finally:
            lock.release()
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one record. Never raises: a log call must not end the task that makes it."""
        now = self._clock()
        try:
            name, event = _entry(record)
            line = self._render(record.levelname, name, event, now)
        except Exception as error:  # noqa: BLE001  (a field's own code may raise anything; it is named in the log)
            text = f"⚠️ A line of {record.name} could not be rendered ({type(error).__name__})"
            line = self._render(record.levelname, "logger", {"event": "line_lost", "text": text}, now)
        line = self._redact(line)
        styles = LEVEL_STYLES.get(record.levelname, ()) if self._is_coloured else ()
        self._to_console(line, styles)
        self._to_file(line)

    def close(self) -> None:
        """Closes the file. The stream stays open: it belongs to the caller."""
        with self._locked():
            file, self._file = self._file, None
            if file is not None:
                with contextlib.suppress(OSError):  # a full disk was reported when a write failed
                    file.close()
        super().close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _to_console(self, line: str, styles: Sequence[str] = ()) -> None:
        """Writes a line to the console, in ``styles``. A console that accepts nothing costs lines, but no time."""
        if self._stream is None:
            return
        try:
            if self._untold and _takes(self._stream, 0.0):
                untold, self._untold = self._untold, 0
                self._stream.write("\n")  # the last line may have broken off in the middle
                self._say(
                    "console_back", f"✓ The console accepts lines again, {untold} are missing here", "INFO"
                )
            for start in range(0, len(line) + 1, CONSOLE_CHARACTERS):
                if not _takes(self._stream, 0.0 if self._untold else CONSOLE_SECONDS):
                    self._untold += 1
                    return
                part = line[start : start + CONSOLE_CHARACTERS]
                is_last = start + CONSOLE_CHARACTERS > len(line)
                self._stream.write(painted(part, *styles) + "\n" * is_last)
                self._stream.flush()
        except (OSError, ValueError):  # the terminal or the pipe's reader is gone: only the file goes on
            self._stream = None

    def _to_file(self, line: str) -> None:
        if self._file is None:
            return
        was_stuck = self._file.stuck is not None
        try:
            self._file.write(line)
        except OSError as error:
            self._missing += 1
            if self._missing == 1:
                self._say(
                    "log_file_failed",
                    f"⚠️ Log file {self._file.baseFilename} cannot be written ({file_fault(error)}): "
                    "this log is on the console only until it can",
                )
            return
        if self._file.stuck is not None and not was_stuck:
            self._say(
                "log_file_not_rotated",
                f"⚠️ Log file {self._file.baseFilename} cannot be renamed ({file_fault(self._file.stuck)}): it "
                "keeps growing. Give this user write permission for its folder, or name another LOG_FILE",
            )
        if self._missing:
            missing, self._missing = self._missing, 0
            self._say("log_file_back", f"✓ Log file is written again, {missing} lines may be missing", "INFO")

    def _say(self, event: str, text: str, level: str = "WARNING") -> None:
        """Writes a line about the log itself, to the console only."""
        fields = {"event": event, "text": text}
        self._to_console(self._redact(self._render(level, "logger", fields, self._clock())))


def _takes(stream: IO[str], seconds: float) -> bool:
    """Returns whether ``stream`` becomes writable within so many real seconds. One without a descriptor always is."""
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):  # io.UnsupportedOperation is an OSError: a stream in memory
        return True
    return bool(select.select((), (descriptor,), (), seconds)[1])


def file_fault(error: OSError | ValueError) -> str:
    """Returns why a log could not be opened, in words."""
    if isinstance(error, ValueError):
        return "a name that no file can have"
    if error.errno == errno.EEXIST:
        return "a file is where its folder should be"
    if error.errno == errno.ELOOP:
        return "it is a symbolic link, which the log refuses"
    if error.errno == errno.ENXIO:
        return "it is a pipe or a socket, not a file"
    return error.strerror or type(error).__name__


def _entry(record: logging.LogRecord) -> tuple[str, Mapping[str, Any]]:
    """Returns the logger's short name and the event of a record, this program's own or a library's."""
    if isinstance(record.msg, Mapping):
        return record.name.removeprefix(f"{OURS}."), record.msg
    fields: dict[str, Any] = {"event": "library", "text": f"{record.name}: {record.getMessage().rstrip()}"}
    if record.exc_info and record.exc_info[1] is not None:
        fields["exception"] = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
    return record.name, fields


def _render_console(level: str, _name: str, event: Mapping[str, Any], now: int) -> str:
    """Returns a line such as ``2025-10-02 10:40:52 ET  INFO  📊 Data feed active: …``.

    An event without a text shows its name and its fields instead.
    """
    fields = {key: value for key, value in event.items() if key not in {"event", "text", "exception"}}
    text = event.get("text") or " ".join(
        (str(event.get("event")), *(f"{key}={value}" for key, value in fields.items()))
    )
    body = f"{text}\n{event['exception']}" if event.get("exception") else str(text)
    # A vendor's message may hold control characters that a terminal would obey.
    body = utils.printable(body)
    stamp = f"{utils.new_york_date(now)} {utils.clock_text(now)} ET"
    return f"{stamp}  {level}  " + body.replace("\n", f"\n{INDENT}")


def _render_json(level: str, name: str, event: Mapping[str, Any], now: int) -> str:
    """Returns one JSON object on one line: timestamp, level, logger, event, text, then the fields."""
    head = {
        "timestamp": utils.utc_iso(now),
        "level": level.lower(),
        "logger": name,
        "event": event.get("event"),
        "text": event.get("text"),
    }
    fields = {str(key): value for key, value in event.items() if str(key) not in head}
    line = {key: value for key, value in head.items() if value is not None} | fields
    return utils.printable(json.dumps(_plain(line), ensure_ascii=False, allow_nan=False), as_json=True)


def _plain(value: Any) -> Any:
    """Returns ``value`` in JSON's types. NaN and infinity become None; any other type becomes text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
