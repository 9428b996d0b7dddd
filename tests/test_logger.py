"""The log: the same words everywhere, no secret anywhere, and no failure that reaches the program."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog

import logger
from events import SECOND, ExitReason
from log_file import FILE_BYTES
from redaction import MASK
from wording import feed_active_line

NOW = 1_759_416_052 * SECOND
"""2025-10-02 10:40:52 in New York."""

KEY = 'Kq3/x+z"Canary\\Key9'
HEARTBEAT = "https://hc.example.com/ping/0f3b3b1e-5d1c-4c55-aaaa-000011112222"
ROOT = Path(__file__).parent.parent

Start = Callable[..., io.StringIO]


@pytest.fixture
def start() -> Iterator[Start]:
    """Sets the log up on a stream of its own and takes it down afterwards."""
    root = logging.getLogger()
    others: list[logging.Handler] = []

    def begin(
        log_format: logger.LogFormat = "console", log_file: Path | None = None, level: str = "INFO"
    ) -> io.StringIO:
        # The test runner listens on the root logger, too, and raises at a record that cannot be rendered.
        logger.close()
        for handler in list(root.handlers):
            root.removeHandler(handler)
            others.append(handler)
        stream = io.StringIO()
        logger.setup(
            level=level,
            log_format=log_format,
            log_file=log_file,
            secrets=[KEY, HEARTBEAT],
            clock=lambda: NOW,
            stream=stream,
        )
        return stream

    yield begin
    logger.close()
    for handler in others:
        root.addHandler(handler)


# --- Words -------------------------------------------------------------------------------------------


def test_console_and_file_carry_the_same_words(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "iwm.log"
    stream = start(log_file=path)
    log = structlog.get_logger("main")
    log.info("feed_active", text=feed_active_line("IWM", 220.5, 220.3, 1_250_000), price=220.5)
    log.warning("odd", text="⚠️ Odd")
    log.info("bare_event", count=2, name="x")
    assert stream.getvalue() == (
        "2025-10-02 10:40:52 ET  INFO  📊 Data feed active: IWM $220.50, VWAP $220.30, Vol 1,250,000\n"
        "2025-10-02 10:40:52 ET  WARNING  ⚠️ Odd\n"
        "2025-10-02 10:40:52 ET  INFO  bare_event count=2 name=x\n"
    )
    assert path.read_text(encoding="utf-8") == stream.getvalue()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_level_decides(start: Start) -> None:
    stream = start(level="WARNING")
    log = structlog.get_logger("main")
    log.info("quiet", text="not heard")
    log.error("loud", text="heard")
    assert stream.getvalue() == "2025-10-02 10:40:52 ET  ERROR  heard\n"


def test_lines_of_a_message_cannot_pass_for_lines_of_the_log(start: Start) -> None:
    stream = start()
    structlog.get_logger("alerts").info("alert", text="🔥 BUY\n\n2025-10-02 forged\r\x1b[31mred\u202e")
    assert stream.getvalue() == (
        "2025-10-02 10:40:52 ET  INFO  🔥 BUY\n    \n    2025-10-02 forged\\r\\x1b[31mred\\u202e\n"
    )


def test_json_is_one_object_a_line(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "iwm.log"
    stream = start("json", path)
    structlog.get_logger("alerts").info(
        "alert_sent",
        text="✓ Alert sent: 🔥\nsecond line",
        seconds=0.21,
        bad=float("nan"),
        nested={"reason": ExitReason.TIME_STOP, "path": Path("x"), "all": (1, {2})},
        level="a field's name may not hide the level",
    )
    assert path.read_text(encoding="utf-8") == stream.getvalue()
    assert "🔥" in stream.getvalue()
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line) == {
        "timestamp": "2025-10-02T14:40:52Z",
        "level": "info",
        "logger": "alerts",
        "event": "alert_sent",
        "text": "✓ Alert sent: 🔥\nsecond line",
        "seconds": 0.21,
        "bad": None,
        "nested": {"reason": "time stop", "path": "x", "all": [1, [2]]},
    }


def test_exceptions_show_their_traceback(start: Start) -> None:
    stream = start()
    try:
        raise RuntimeError("broken here")
    except RuntimeError:
        structlog.get_logger("main").exception("task_crashed", text="💥 A task crashed")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "2025-10-02 10:40:52 ET  ERROR  💥 A task crashed"
    assert lines[1] == "    Traceback (most recent call last):"
    assert lines[-1] == "    RuntimeError: broken here"


def test_libraries_are_heard_from_warning_on(start: Start) -> None:
    stream = start(level="DEBUG")
    for name in ("httpx", "httpcore.http11", "websockets.client", "asyncio"):
        logging.getLogger(name).debug("frame %s", KEY)
        logging.getLogger(name).info("GET https://example.com/?apiKey=abc")
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
    assert stream.getvalue() == ""
    logging.getLogger("asyncio").warning("slow: %s", "callback")
    assert stream.getvalue() == "2025-10-02 10:40:52 ET  WARNING  asyncio: slow: callback\n"


def test_what_nobody_catches_is_logged(start: Start) -> None:
    stream = start()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("an old call", stacklevel=1)
    text = stream.getvalue()
    assert "CRITICAL  💥 A thread ended with an error: ZeroDivisionError: division by zero" in text
    assert "an old call" in text


def test_an_uncaught_exception_ends_in_the_log_without_secrets(tmp_path: Path) -> None:
    path = tmp_path / "iwm.log"
    program = (
        "import logger, pathlib, sys\n"
        "logger.setup(level='INFO', log_format='console', log_file=pathlib.Path(sys.argv[1]),\n"
        "             secrets=[sys.argv[2]], clock=lambda: 0)\n"
        "def connect(key): raise OSError('cannot reach https://x/?k=' + key)\n"
        "connect(sys.argv[2])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), KEY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1
    assert "💥 The program ended with an error: OSError: cannot reach https://x/?k=***" in done.stdout
    assert "in connect" in done.stdout
    assert path.read_text(encoding="utf-8") == done.stdout
    assert KEY not in done.stdout + done.stderr


# --- Secrets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_spelling_of_a_secret_is_written(
    start: Start, tmp_path: Path, log_format: logger.LogFormat
) -> None:
    path = tmp_path / "iwm.log"
    stream = start(log_format, path)
    log = structlog.get_logger("polygon_client")
    log.info("plain", text=f"key {KEY} and {HEARTBEAT}")
    log.info("fields", key=KEY, nested={"a": [{KEY: KEY}]}, shown=repr(KEY))
    lower_case = re.sub("%..", lambda escape: escape[0].lower(), quote(KEY, safe=""))
    log.info("percent", text=f"{quote(KEY, safe='')} {quote(KEY)} {lower_case}")
    log.info("address", text="path /ping/0f3b3b1e-5d1c-4c55-aaaa-000011112222 of hc.example.com")
    log.info("foreign", text="GET /v3?apiKey=stranger1 Authorization: Bearer stranger2 token=stranger3")
    for before in ("", "a", "ab", "abc"):
        log.info("base64", text=base64.b64encode(f"{before}{KEY}".encode()).decode())
    try:
        raise ValueError(KEY)
    except ValueError as error:
        log.exception("failed", text=str(error))
    logging.getLogger("websockets").error("sent %s", KEY, exc_info=ValueError(HEARTBEAT))
    text = stream.getvalue()
    assert text == path.read_text(encoding="utf-8")
    for trace in ("Canary", "0f3b3b1e", "stranger", base64.b64encode(KEY.encode()).decode()[4:16]):
        assert trace not in text
    assert text.count(MASK) >= 18
    assert "of hc.example.com" in text
    if log_format == "json":
        assert len([json.loads(line) for line in text.splitlines()]) == 11


def test_a_line_that_cannot_be_rendered_is_named(start: Start) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError(KEY)

    stream = start()
    structlog.get_logger("main").info("bad", field=Broken())
    logging.getLogger("asyncio").error("%s %s", "one")  # noqa: PLE1206  (a library may be wrong)
    assert stream.getvalue().splitlines() == [
        "2025-10-02 10:40:52 ET  INFO  ⚠️ A line of iwm.main could not be rendered (RuntimeError)",
        "2025-10-02 10:40:52 ET  ERROR  ⚠️ A line of asyncio could not be rendered (TypeError)",
    ]


# --- Trouble with the places -------------------------------------------------------------------------


def test_a_file_that_cannot_be_opened_is_a_warning(start: Start, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    link = tmp_path / "iwm.log"
    link.symlink_to(target)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, why in (
        (tmp_path, "Is a directory"),
        (link, "it is a symbolic link, which the log refuses"),
        (pipe, "it is a pipe or a socket, not a file"),
        (tmp_path / ("x" * 300), "File name too long"),
        (Path("/dev/null/iwm.log"), "a file is where its folder should be"),
    ):
        stream = start(log_file=path)
        structlog.get_logger("main").info("on", text="goes on")
        first, second = stream.getvalue().splitlines()
        assert first == (
            f"2025-10-02 10:40:52 ET  WARNING  ⚠️ Log file {path} cannot be opened ({why}): "
            "this log is on the console only. LOG_FILE takes a plain file that this user may write"
        )
        assert second.endswith("INFO  goes on")
    assert not target.exists()
    stream = start(log_file=Path("iwm\0.log"))
    assert "Log file iwm\\x00.log cannot be opened (a name that no file can have)" in stream.getvalue()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_once(start: Start) -> None:
    stream = start(log_file=Path("/dev/full"))
    for number in range(3):
        structlog.get_logger("main").info("line", text=f"line {number}")
    logger.close()
    lines = [line.partition("  ")[2] for line in stream.getvalue().splitlines()]
    assert lines == [
        "INFO  line 0",
        "WARNING  ⚠️ Log file /dev/full cannot be written (No space left on device): "
        "this log is on the console only until it can",
        "INFO  line 1",
        "INFO  line 2",
    ]


def fill(path: Path) -> None:
    """Make a log file so long that no further line fits."""
    path.touch()
    os.truncate(path, FILE_BYTES - 10)


def test_a_file_that_comes_back_is_told(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    path = folder / "iwm.log"
    stream = start(log_file=path)
    log = structlog.get_logger("main")
    shutil.rmtree(folder)
    folder.touch()
    log.info("fails", text="a file is where the folder was")
    assert f"Log file {path} cannot be written (a file is where its folder should be)" in stream.getvalue()
    folder.unlink()
    log.info("works", text="written again")
    assert "INFO  ✓ Log file is written again, 1 lines may be missing" in stream.getvalue()
    assert path.read_text(encoding="utf-8").endswith("written again\n")


def test_the_file_is_rotated_and_five_are_kept(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "iwm.log"
    for number in range(8):
        start(log_file=path)
        structlog.get_logger("main").info("fill", text=f"line {number}")
        logger.close()
        fill(path)
    names = sorted(item.name for item in tmp_path.iterdir())
    assert names == ["iwm.log", *(f"iwm.log.{number}" for number in range(1, 6))]
    assert all(stat.S_IMODE(item.stat().st_mode) == 0o600 for item in tmp_path.iterdir())
    assert all(item.stat().st_size <= FILE_BYTES for item in tmp_path.iterdir())


def test_a_console_that_is_gone_does_not_stop_the_file(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "iwm.log"
    stream = start(log_file=path)
    stream.close()
    structlog.get_logger("main").info("on", text="goes on")
    assert path.read_text(encoding="utf-8").endswith("goes on\n")


def test_a_console_that_is_stuck_does_not_hold_other_threads() -> None:
    release = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            release.wait(30)
            return len(text)

    logger.setup(
        level="INFO", log_format="console", log_file=None, secrets=[], clock=lambda: NOW, stream=Stuck()
    )
    log = structlog.get_logger("main")
    writer = threading.Thread(target=lambda: log.info("stuck", text="stuck"))
    try:
        writer.start()
        time.sleep(0.1)
        begun = time.monotonic()
        log.info("watchdog", text="the watchdog's word")
        assert time.monotonic() - begun < logger.LOCK_SECONDS + 5
    finally:
        release.set()
        writer.join()
        logger.close()


def test_set_up_again_and_closed_it_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    logger.close()
    before = (
        [item for item in logging.getLogger().handlers if type(item).__module__ == "logger"],
        logging.getLogger().level,
        sys.excepthook,
        threading.excepthook,
        sys.unraisablehook,
        len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0,
    )
    first = start(log_file=tmp_path / "a.log")
    second = start(log_file=tmp_path / "b.log")
    structlog.get_logger("main").info("once", text="once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1
    logger.close()
    logger.close()
    after = (
        [item for item in logging.getLogger().handlers if type(item).__module__ == "logger"],
        logging.getLogger().level,
        sys.excepthook,
        threading.excepthook,
        sys.unraisablehook,
        len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0,
    )
    assert after == before
