"""How the worker's process ends: by which signals, in what time, and what it says when it is cut off."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import entry
import logger
from tests.environment import environment
from worker.ending import EXIT_CRASHED, EXIT_OK
from worker.watchdog import Deadline

ROOT = Path(__file__).parent.parent.parent


@contextlib.contextmanager
def worker(folder: Path, *, before: str = "", **more: str) -> Iterator[subprocess.Popen[str]]:
    """The worker's process, once it has said that it runs; ``before`` is run in it first."""
    program = f"{before}\nimport runpy, sys; sys.argv = ['main.py']; runpy.run_path({str(ROOT / 'main.py')!r}, run_name='__main__')"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment(ROOT, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert "IWM-5-VWAP" in process.stdout.readline()
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_hang_up_is_a_stop_and_asking_again_changes_nothing(tmp_path: Path) -> None:
    # Tests that were started under nohup would hand that on.
    with worker(tmp_path, before="import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)") as process:
        process.send_signal(signal.SIGHUP)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) * 20:
            if process.poll() is None:
                process.send_signal(number)
            time.sleep(0.01)
        output, _ = process.communicate(timeout=25)
        assert process.returncode == EXIT_OK
        assert output.count("Asked to stop") == 1
        assert "Stopped" in output


def test_under_nohup_a_hang_up_stays_ignored(tmp_path: Path) -> None:
    with worker(tmp_path, before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)") as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=25)
        assert (process.returncode, output.count("Asked to stop")) == (EXIT_OK, 1)


def test_a_signal_before_anything_has_begun_ends_without_a_word() -> None:
    program = (
        "import entry, os, signal, time\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "entry.begin('main.py', stops=True)\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(1)\n"
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            output, _ = process.communicate(timeout=25)
            assert (process.returncode, output) == (EXIT_OK, "")


def test_threads_that_do_not_end_hold_the_process_up_for_seconds_only(tmp_path: Path) -> None:
    program = (
        "import asyncio, entry, time\n"
        "async def work():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    loop.set_default_executor(entry.threads(0.2))\n"
        "    loop.run_in_executor(None, time.sleep, 600)\n"
        "    await asyncio.sleep(0.1)\n"
        "    return 3\n"
        "entry.run(lambda: asyncio.run(work()))\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert time.monotonic() - began < 20


def test_threads_that_end_are_waited_for() -> None:
    done: list[int] = []
    pool = entry.threads(10.0)

    def work() -> None:
        time.sleep(0.05)
        done.append(1)

    pool.submit(work)
    pool.shutdown()
    assert done == [1]


# --- A stop that is cut off --------------------------------------------------------------------------


class Ended:
    """Notes with which status the process would have been ended."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.is_over = threading.Event()

    def __call__(self, status: int) -> None:
        self.statuses.append(status)
        self.is_over.set()


def test_a_stop_that_takes_too_long_is_cut_off_and_says_what_is_unfinished(
    capfd: pytest.CaptureFixture[str],
) -> None:
    logger.setup(
        level="INFO", log_format="console", log_file=None, secrets=[], clock=lambda: 0, stream=sys.stderr
    )
    try:
        ended = Ended()
        deadline = Deadline(ended)
        deadline.unfinished = lambda: [
            "not sent: 🚪 IWM 0DTE CALL — SELL",
            "not closed: the record of 2025-10-02",
        ]
        deadline.start(0.05, EXIT_OK)
        assert ended.is_over.wait(10)
    finally:
        logger.close()
    assert ended.statuses == [EXIT_OK]
    assert (
        "🛑 Stopping took over 0 s and is cut short; unfinished: not sent: 🚪 IWM 0DTE CALL — SELL; "
        "not closed: the record of 2025-10-02"
    ) in capfd.readouterr().err


def test_a_deadline_is_never_put_off_and_the_last_status_counts() -> None:
    ended = Ended()
    deadline = Deadline(ended)
    began = time.monotonic()
    deadline.start(60, EXIT_OK)
    deadline.start(0.1, EXIT_CRASHED)
    deadline.start(60, EXIT_CRASHED)
    assert ended.is_over.wait(10)
    assert time.monotonic() - began < 10
    assert ended.statuses == [EXIT_CRASHED]


def test_a_log_that_is_stuck_does_not_put_it_off() -> None:
    release = threading.Event()
    ended = Ended()
    deadline = Deadline(ended)

    def stuck() -> list[str]:
        release.wait(30)
        return []

    deadline.unfinished = stuck
    deadline.start(0.0, EXIT_OK)
    assert ended.is_over.wait(10)
    release.set()


def test_a_log_that_is_stuck_does_not_keep_the_watchdog_from_ending_a_process_that_hangs() -> None:
    """As when the disk that holds the loop up has the log's file, too."""
    program = (
        "import asyncio, logging, main, time\n"
        "class Stuck(logging.Handler):\n"
        "    def handle(self, record): time.sleep(600)\n"
        "import structlog\n"
        "structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())\n"
        "logging.getLogger().addHandler(Stuck())\n"
        "async def work():\n"
        "    with main.Watchdog(asyncio.get_running_loop(), limit_s=0.3):\n"
        "        time.sleep(600)\n"
        "asyncio.run(work())\n"
    )
    done = subprocess.run(  # most of it is what a busy machine takes to load the program
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == EXIT_CRASHED, done.stderr


def test_the_worker_ends_though_a_thread_of_its_process_does_not(tmp_path: Path) -> None:
    stuck = "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()"
    with worker(tmp_path, before=stuck) as process:
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=40)
        assert process.returncode == EXIT_OK, output
        assert time.monotonic() - began < 20
        assert "Stopped" in output


def test_a_stop_is_heard_while_the_loop_stands(tmp_path: Path) -> None:
    """As in a disk that does not answer: what is waited for does not turn the loop."""
    program = (
        "import asyncio, main, time\n"
        "ended = asyncio.Event()\n"
        "heard = []\n"
        "async def work():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    main._heed_signals(lambda: heard.append(time.monotonic()), lambda: loop.call_soon_threadsafe(ended.set))\n"
        "    print('ready', flush=True)\n"
        "    began = time.monotonic()\n"
        "    time.sleep(1.5)\n"
        "    await ended.wait()\n"
        "    print(len(heard), heard[0] - began < 1.2, flush=True)\n"
        "asyncio.run(work())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=25)
        assert (process.returncode, output) == (0, "1 True\n")
