# coding: utf-8  # noqa: UP009 - Python 2 needs it to reach the line below that says what is needed
"""The worker's entry point: the command line, the process's signals, its log and its exit status.

Exit statuses: 0 stopped by SIGTERM, SIGINT or SIGHUP; 1 a task crashed, or the watchdog ended the process; 2 bad
configuration; 3 refused by a vendor; 4 another copy holds the lease.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` wraps it, and takes 5 ms to load
import os
import sys

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Until `entry.begin`, Ctrl-C ends the process without a traceback.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

if getattr(sys.flags, "safe_path", False):  # -P or PYTHONSAFEPATH removed this folder, where the program is
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import quick_imports

quick_imports.hold()

import entry

if _STARTED := __name__ == "__main__":  # A SyntaxError here: Python 3.11 or newer is needed, see README
    # Before the rest is loaded, to say what is missing. Python 3.8 can parse this whole file, for the same reason.
    entry.begin(
        entry.called("main.py"),
        stops="--demo" not in sys.argv,
        locks=True,
        packages=entry.DEMO_PACKAGES if "--demo" in sys.argv else entry.WORKER_PACKAGES,
    )

import argparse
import asyncio
import contextlib
import random
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import structlog
from pydantic import SecretStr

import logger
from checks import machine
from config import VERSION, ConfigError, Settings, doubts, heartbeat_address, load, load_rules
from redaction import redactor
from utils import KeptClock, SystemClock
from worker import heartbeat
from worker.ending import EXIT_CONFIG, EXIT_CRASHED, EXIT_OK, say_crashed
from worker.watchdog import WATCHDOG_REAL_S, Deadline, Watchdog
from worker.worker import STOP_REAL_S, Worker

quick_imports.release()

log = structlog.get_logger("main")

END_REAL_S = 5.0
"""Real seconds that the process may take to end after the worker. Threads stuck on a disk or a name server are left."""

DEMO_SPEED = 20.0

SPEED_MIN, SPEED_MAX = 1.0, 40.0
"""Beyond the upper bound, the machine's own delays look like the market's."""


# --- Entry point -------------------------------------------------------------------------------------


async def work(settings: Settings, clock: KeptClock) -> int:
    """Runs the live worker until SIGTERM, SIGINT or SIGHUP. Returns the exit status."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(entry.threads())
    deadline = Deadline()
    worker = Worker(settings, clock=clock, random_source=random.Random(), deadline=deadline)
    _heed_signals(
        lambda: deadline.start(STOP_REAL_S, EXIT_OK), lambda: loop.call_soon_threadsafe(worker.stop)
    )
    status = EXIT_CRASHED
    try:
        with Watchdog(loop, partial(_end_by_watchdog, settings)):
            status = await worker.run()
    finally:
        deadline.start(END_REAL_S, status)
    return status


def _end_by_watchdog(settings: Settings, status: int) -> None:
    """Ends the process from the watchdog's thread. First tells the heartbeat's service why, if that works in time."""
    why = f"exit {status}: the event loop has been stuck for {WATCHDOG_REAL_S:.0f} s"
    telling = threading.Thread(target=_say_failed, args=(settings, why), name="last words", daemon=True)
    telling.start()
    telling.join(heartbeat.FAIL_REAL_S)
    os._exit(status)


def _heed_signals(*actions: Callable[[], object]) -> None:
    """Runs ``actions`` at each signal that asks for a stop, until the process ends, even while the event loop is blocked.

    A thread of its own waits for the signals. So a disk that blocks the loop cannot delay a stop, and a second signal
    cannot end the process before the stop is complete.
    """
    numbers = entry.stop_signals()

    def act(*_: object) -> None:
        for action in actions:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process is about to end
                action()

    def wait() -> None:
        while True:
            signal.sigwait(numbers)
            act()

    for number in numbers:
        signal.signal(number, act)  # for threads that started before the signals are blocked below
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    threading.Thread(target=wait, name="signals", daemon=True).start()


async def demonstrate(speed: float, keep: Path | None) -> int:
    """Runs the same worker against the loopback market, ``speed`` times as fast. Returns the exit status.

    ``keep`` is the folder for what it leaves (None: a new temporary one).
    """
    try:
        from sim import demo  # noqa: PLC0415 - the worker runs without sim/
    except ImportError as error:
        print(f"The demo cannot begin: {entry.missing_text(error, entry.DEMO_PACKAGES)}", file=sys.stderr)
        return EXIT_CONFIG

    def make(settings: Settings, clock: KeptClock, random_source: random.Random) -> Worker:
        return Worker(settings, clock=clock, random_source=random_source)

    loop = asyncio.get_running_loop()
    loop.set_default_executor(entry.threads())
    with Watchdog(loop):
        return await demo.play(speed, make, keep)


def speed_of(text: str) -> float:
    """Returns the demo's speed in a text. Raises argparse.ArgumentTypeError if it is no number within the bounds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not SPEED_MIN <= value <= SPEED_MAX:
        raise argparse.ArgumentTypeError(f"takes a number from {SPEED_MIN:g} to {SPEED_MAX:g}, got {text!r}")
    return value


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    described = argparse.ArgumentParser(
        prog=entry.called("python main.py"),
        description="Watches IWM second by second and pushes a BUY, then the SELL, for one 0DTE call. Alerts only: it never trades.",
        epilog="Settings come from the environment or .env (see docs/settings.md). "
        "Exit status: 0 stopped by SIGTERM or Ctrl-C, 1 crashed, 2 bad configuration or arguments, 3 refused by a vendor, "
        "4 another copy is running.",
    )
    described.add_argument(
        "--demo",
        action="store_true",
        help="play a simulated session through loopback sockets, without keys; under a minute",
    )
    described.add_argument(
        "--speed",
        type=speed_of,
        default=None,
        metavar="N",
        help=f"with --demo: how many times faster than real time ({SPEED_MIN:g} to {SPEED_MAX:g}; default {DEMO_SPEED:g})",
    )
    described.add_argument(
        "--keep",
        type=Path,
        default=None,
        metavar="DIR",
        help="with --demo: the folder for the record that it leaves: new, empty, or an earlier demo's, which gets a folder of its own inside (default: a new temporary one)",
    )
    described.add_argument(
        "--version", action="store_true", help="print the version and the rules' fingerprint, and exit"
    )
    return described


def _demo(speed: float, keep: Path | None) -> int:
    machine.forget_tls()
    try:
        return asyncio.run(demonstrate(speed, keep))
    except BrokenPipeError:
        raise  # the reader has gone (`| head`): `entry.run` ends without a traceback
    except OSError as error:
        # The demo needs nothing of this machine but a temporary folder and loopback ports.
        print(f"The demo cannot run on this machine: {error.strerror or error}", file=sys.stderr)
        return EXIT_CRASHED


def _settings() -> Settings:
    """Returns the settings, checked on this machine. Raises ConfigError with every fault at once."""
    settings: Settings | None = None
    faults: list[str] = []
    try:
        settings, _ = load()
    except ConfigError as error:
        faults = error.faults
    faults = faults + machine.faults(settings)
    if settings is None or faults:
        raise ConfigError(faults)
    machine.unify()
    return settings


def _tell_outside(faults: Sequence[str]) -> None:
    """Tells the heartbeat's service that bad settings ended the start. Its own address, if bad, is on the console."""
    _post_failure(heartbeat_address(), f"exit {EXIT_CONFIG}: bad configuration: {'; '.join(faults)}")


def _say_failed(settings: Settings, why: str) -> None:
    """Tells the heartbeat's service why the worker ended, with secrets hidden. Gives up without an error."""
    _post_failure(settings.heartbeat_url, redactor(settings.secrets())(why))


def _post_failure(url: SecretStr, why: str) -> None:
    """Posts ``why`` to the heartbeat's service. Uses a new event loop, whose end does not wait for a name server."""

    async def post() -> None:
        asyncio.get_running_loop().set_default_executor(entry.threads())
        await heartbeat.say_failed(url, why)

    asyncio.run(post())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status."""
    described = parser()
    asked = described.parse_args(arguments)
    if asked.speed is not None and not asked.demo:
        described.error("--speed goes with --demo")
    if asked.keep is not None and not asked.demo:
        described.error("--keep goes with --demo")
    if asked.demo:
        return _demo(asked.speed or DEMO_SPEED, asked.keep)
    try:
        if asked.version:
            print(f"IWM-5-VWAP {VERSION}, rules {load_rules().digest()}")
            return EXIT_OK
        settings = _settings()
    except ConfigError as error:
        print("Bad configuration:", *error.faults, sep="\n  ", file=sys.stderr)
        if not asked.version:
            _tell_outside(error.faults)
        return EXIT_CONFIG
    clock = SystemClock()  # one clock for all: the log's times are those of the decisions
    logger.setup(
        level=settings.log_level,
        log_format=settings.log_format,
        log_file=settings.log_file,
        secrets=settings.secrets(),
        clock=clock.now,
    )
    for doubt in (*doubts(), *machine.doubts()):
        log.warning("setting_doubtful", text=f"⚠️ {doubt}")
    try:
        return asyncio.run(work(settings, clock))
    except Exception as error:  # noqa: BLE001 - the process's border: any crash ends it, with its reason
        say_crashed(error, error)
        _say_failed(settings, f"exit {EXIT_CRASHED}: {type(error).__name__}: {error}")
        return EXIT_CRASHED
    finally:
        logger.close()
        entry.let_go()


if _STARTED:
    entry.run(main)
