"""What every entry point does first and last: names in one line what keeps it from running, and ends as a shell expects.

It is loaded before anything that may be missing, so it imports the standard library only, and Python 3.8 can parse it.
(An older Python fails in the file that imports this one, at a line that says what is needed.) Run by itself, it says
whether this machine and its Python will do, before packages are installed: the README's two commands ask it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import signal
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # loading these takes time, and until `begin` no signal is handled
    from collections.abc import Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor
    from types import FrameType, TracebackType
    from typing import Any, NoReturn

PYTHON_LEAST = (3, 11)
"""Oldest Python that the program is written for."""

EXIT_OK, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 2
EXIT_INTERRUPTED, EXIT_PIPE = 130, 141
"""128 + SIGINT and 128 + SIGPIPE: a shell's statuses for a program ended by Ctrl-C, and for one whose reader has gone."""

FILES_LEAST, FILES_ENOUGH = 64, 1024
"""How many files the worker must be able to open (sockets count), and how many it requests if the limit may be raised."""

FOLDER = os.path.dirname(os.path.realpath(__file__))

WORKER_PACKAGES, DEMO_PACKAGES = "requirements.txt", "requirements-demo.txt"
REVIEW_PACKAGES = "requirements-review.txt"
"""The locks that a remedy names: the worker's own packages, with what the demo needs, and with what a page and `watch` need."""

LEFT_OUT = ("sim", "review")
"""The program's own packages that a machine may do without."""


# --- First -------------------------------------------------------------------------------------------


def begin(
    command: str,
    *,
    stops: bool = False,
    locks: bool = False,
    reports: bool = False,
    packages: str = WORKER_PACKAGES,
) -> None:
    """Prepares a process for ``command``, before the rest of the program is loaded.

    Ends the process with status 2 and one line if this is Windows, this Python is too old or the working folder is gone;
    with ``locks``, also if this system has no file locks or allows too few open files. A command that ``reports`` Windows
    and an old Python by itself may run there.

    Afterwards a failing import names what is missing, and the lock that has this command's ``packages``; standard output
    and error can print any character. With ``stops``, a signal that asks for a stop ends the process with 0; without,
    Ctrl-C ends it at once until `run` begins.
    """

    def at_import(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if shortage := shortage_text(error):  # A SyntaxError here: Python 3.11 or newer is needed, see README
            _refuse(command, shortage)
        if issubclass(kind, (ImportError, OSError, SyntaxError, EOFError, ValueError, KeyError)):
            # These are what an installation raises that lacks a part, or has a damaged one.
            _refuse(command, missing_text(error, packages))
        sys.__excepthook__(kind, error, trace)

    def stop(number: int, _: FrameType | None) -> None:
        os._exit(EXIT_OK)  # nothing has begun

    for number in stop_signals() if stops else ():
        signal.signal(number, stop)
    _prepare_streams()
    if refusal := _refusal(locks, packages, reports=reports):
        _refuse(command, refusal)
    sys.excepthook = at_import


def stop_signals() -> tuple[int, ...]:
    """Returns the signals that ask for a stop. Leaves out SIGHUP if it was ignored from the start, as under ``nohup``."""
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is None or signal.getsignal(hang_up) is signal.SIG_IGN:
        return (signal.SIGTERM, signal.SIGINT)
    return (signal.SIGTERM, signal.SIGINT, hang_up)


def _refusal(locks: bool, packages: str | None, *, reports: bool) -> str | None:
    if os.name == "nt" and not reports:
        return platform_text()
    if sys.version_info < PYTHON_LEAST and not reports:
        return python_text(packages)
    try:
        os.getcwd()
    except OSError as error:
        return f"the folder it was started in cannot be used ({error.strerror}): change to one that exists"
    return platform_text() or _files_text() if locks else None


def _files_text() -> str | None:
    """Raises the soft limit of open files to `FILES_ENOUGH` if possible. Returns why it is too low; None if it is not."""
    import resource  # noqa: PLC0415 - Windows has none, and has been refused by now

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < FILES_ENOUGH:
        wanted = FILES_ENOUGH if hard == resource.RLIM_INFINITY else min(hard, FILES_ENOUGH)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if resource.RLIM_INFINITY != soft < FILES_LEAST:
        return f"it may open only {soft} files at once, and needs {FILES_LEAST}: raise the limit (ulimit -n)"
    return None


def shortage_text(error: BaseException) -> str | None:
    """Returns which resource the machine denied the process, and where its limit is set; None for any other error."""
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    # CPython raises SystemError if it runs out of memory where it is not prepared to.
    if no_memory or isinstance(error, (MemoryError, SystemError)) or "failed to map segment" in str(error):
        return "there is no memory left for it: give it more (ulimit -v, or the container's limit)"
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return "it may start no more threads: raise the limit (ulimit -u, ulimit -v, or the container's)"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "it may open no more files: raise the limit (ulimit -n)"
    return None


def python_text(packages: str | None) -> str:
    """Returns what to do about a Python that is too old; ``packages`` is the lock that is to be installed, None for any."""
    found, least = (".".join(map(str, version)) for version in (sys.version_info[:3], PYTHON_LEAST))
    said = f"this is Python {found} ({sys.executable}), {least} or newer is needed: "
    if packages is None:
        return f"{said}install one, then python{least} -m venv --clear .venv, and go on as before"
    return said + (_start_inside() or _make(f"python{least}", packages))


def platform_text() -> str | None:
    """Returns why a system cannot run the worker; None if it can."""
    if os.name == "nt":
        return "this is Windows: use WSL (wsl --install), and get and start it there"
    try:
        import fcntl  # noqa: F401, PLC0415 - Windows has none
    except ImportError:
        return "this system has no file locks (fcntl): it runs on macOS and Linux, and on Windows through WSL"
    return None


def missing_text(error: BaseException, packages: str = WORKER_PACKAGES) -> str | None:
    """Returns what to do about a package that is missing or damaged; ``packages`` is the lock that has it."""
    name = str(getattr(error, "name", None))
    if name == "fcntl":
        return platform_text()
    what = f"it cannot be loaded, {type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError):
        if name.partition(".")[0] in LEFT_OUT:
            return f"{name} is missing in {FOLDER}: this needs the whole repository"
        what = f"the package {name} is missing"
    elif type(error).__name__ == "ZoneInfoNotFoundError":
        what = "the package tzdata is missing"
    return f"{what} ({sys.executable}): {remedy(packages)}"


def remedy(packages: str) -> str:
    """Returns the command that brings the packages of a lock to where this Python looks for them."""
    if not os.path.exists(os.path.join(FOLDER, packages)):  # not a clone: pip has installed it
        extra = {DEMO_PACKAGES: "[demo]", REVIEW_PACKAGES: "[review]"}.get(packages, "")
        return f"install it again, in the repository's folder: pipx install --force '.{extra}'"
    if (inside := _start_inside()) is not None:
        return inside
    if sys.prefix == sys.base_prefix:
        return _make("python3", packages)
    return " ".join(installing(sys.executable, packages))


def installing(python: str, packages: str) -> tuple[str, ...]:
    """Returns the words of the command that installs a lock for ``python``, which is this Python as it is called."""
    if not os.path.exists(os.path.join(sys.prefix, "bin", "pip")):  # an environment of uv's has none
        return ("uv", "pip", "install", "--python", python, "-r", packages)
    return (python, "-m", "pip", "install", "-r", packages)


def _start_inside() -> str | None:
    """Returns what to start it with when the clone has an environment, and this is not it; else None."""
    made = os.path.join(FOLDER, ".venv")
    inside = os.path.join(made, "bin", "python")
    return f"start it with {inside}" if os.path.exists(inside) and sys.prefix != made else None


def _make(python: str, packages: str) -> str:
    """Returns the command that makes the environment. One of an older Python would keep it, so that one is cleared."""
    made = f"{python} -m venv --clear .venv && .venv/bin/pip install"
    return f"{made} -r {packages}, then start it with .venv/bin/python"


def _refuse(command: str, text: str | None) -> NoReturn:
    print(f"{command}: {text}", file=sys.stderr)
    raise SystemExit(EXIT_CONFIGURATION)


# --- Console commands --------------------------------------------------------------------------------


def worker() -> None:
    """The console command ``iwm-5-vwap`` of an installed copy: what ``python main.py`` is in a clone."""
    _run_as_program("main")


def checks() -> None:
    """The console command ``iwm-5-vwap-diagnose`` of an installed copy: what ``python diagnose.py`` is in a clone."""
    _run_as_program("diagnose")


def _run_as_program(module: str) -> None:
    """Runs a file as ``python FILE`` does, so that an installed copy begins and ends as a clone."""
    import runpy  # noqa: PLC0415 - a clone does without it

    runpy.run_module(module, run_name="__main__")


def called(in_a_clone: str) -> str:
    """Returns the name that this command was called by: its console command, or what one types ``in_a_clone``."""
    name = os.path.basename(sys.argv[0])
    return name if name in ("iwm-5-vwap", "iwm-5-vwap-diagnose") else in_a_clone


# --- Standard output and error -----------------------------------------------------------------------


class Unwritable(OSError):
    """Standard output or error cannot be written any more: its disk is full, or its device is gone."""


class _Patient(io.FileIO):
    """A descriptor that always blocks, even if the parent process has made it non-blocking."""

    def write(self, data: Any) -> int:
        """Writes some of ``data``. Returns how many bytes were written."""
        while (taken := super().write(data)) is None:
            select.select((), (self,), ())
        return taken


class _Careful(io.TextIOWrapper):
    """Standard output that escapes control characters, and prints every character whatever the machine's language is."""

    def write(self, text: str) -> int:
        """Writes ``text`` with control characters escaped.

        Keeps one that moves the cursor only at the start of ``text`` and only on a terminal, where our own code put it;
        there colours stay as well, because whatever comes from outside is escaped before it is painted.
        """
        printable = getattr(sys.modules.get("utils"), "printable", None)
        shown = text
        if printable is not None:  # else `utils` is not loaded yet, and every text is our own
            head = next((mark for mark in ("\r\x1b[K", "\r") if text.startswith(mark) and self.isatty()), "")
            body = text[len(head) :]
            escaped = getattr(sys.modules.get("terminal"), "escaped", None) if self.isatty() else None
            shown = head + (printable(body) if escaped is None else escaped(body, printable))
        with _told_apart():
            super().write(shown)
        return len(text)

    def flush(self) -> None:
        """Writes what is buffered."""
        with _told_apart():
            super().flush()


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """Raises OSError as `Unwritable`, so that nobody takes it for another file's failure. Lets BrokenPipeError pass."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Unwritable(*error.args) from None


def _prepare_streams() -> None:
    """Opens those of the descriptors 0 to 2 that are closed, and makes standard output and error print any character.

    Without that, the first file that the program opens would become its standard output.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream: Any = getattr(sys, name)
        if stream is not None:
            stream.flush()
        at_once = bool(getattr(stream, "write_through", False))  # PYTHONUNBUFFERED
        raw: Any = _Patient(number, "wb", closefd=False)
        careful = _Careful(
            raw if at_once else io.BufferedWriter(raw),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=getattr(stream, "line_buffering", True),
            write_through=at_once,
        )
        setattr(sys, name, careful)


# --- Threads -----------------------------------------------------------------------------------------


def threads(patience_s: float = 2.0) -> ThreadPoolExecutor:
    """Returns threads for blocking calls. Shutting down waits at most ``patience_s`` real seconds: a name server may hang."""
    # Imported here, so that signals are handled before this much is loaded.
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    class Threads(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            """Accepts no more work. With ``wait``, waits up to ``patience_s`` for the calls under way."""
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            give_up = time.monotonic() + patience_s
            for thread in self._threads if wait else ():
                thread.join(max(0.0, give_up - time.monotonic()))

    return Threads(thread_name_prefix="blocking")


# --- Last --------------------------------------------------------------------------------------------


def run(main: Callable[[], int]) -> NoReturn:
    """Runs a command and ends the process with the exit status that it returns.

    Prints no traceback for a reader that has gone (``| head``), for output that cannot be written, for a machine without
    memory, threads or files, and for Ctrl-C.
    """
    sys.excepthook = sys.__excepthook__
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        status = EXIT_PIPE
    except Unwritable as error:
        status = EXIT_FAILED
        with contextlib.suppress(OSError):  # standard error may be what cannot be written
            print(f"The output cannot be written: {error.strerror}", file=sys.stderr)
    except (MemoryError, SystemError, RuntimeError, OSError) as error:
        shortage = shortage_text(error)
        if shortage is None:
            raise
        status = EXIT_FAILED
        print(f"It cannot go on: {shortage}", file=sys.stderr)
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else EXIT_FAILED if ended.code else EXIT_OK
    end(status)


def end(status: int) -> NoReturn:
    """Ends the process. Does not wait for threads that hang on a name server or a disk."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            if not isinstance(error, BrokenPipeError) and status == EXIT_OK:
                status = EXIT_FAILED
            _silence(stream)
    others = (thread for thread in threading.enumerate() if thread is not threading.current_thread())
    if not all(thread.daemon for thread in others):
        os._exit(status)
    sys.exit(status)


def let_go() -> None:
    """Discards buffered output that nobody accepts any more: a closed console must not change the worker's exit status."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _silence(stream)


def _silence(stream: Any) -> None:
    """Redirects a stream to the null device, so that the interpreter's exit does not try to write its buffer again."""
    number = os.open(os.devnull, os.O_WRONLY)
    os.dup2(number, stream.fileno())
    os.close(number)


if __name__ == "__main__":
    if refused := _refusal(locks=True, packages=None, reports=False):
        _refuse("entry.py", refused)
