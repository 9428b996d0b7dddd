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
from events import (
    SECOND,
    Closed,
    Condition,
    ContractRule,
    Declined,
    DeclineReason,
    Evaluation,
    ExitReason,
    HoldReason,
    Opened,
    Shortfall,
)

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
    log.info("feed_active", text=logger.feed_active_line("IWM", 220.5, 220.3, 1_250_000), price=220.5)
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
    assert "CRITICAL  💥 A thread ended by an error: ZeroDivisionError: division by zero" in text
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
    assert "💥 The program ended by an error: OSError: cannot reach https://x/?k=***" in done.stdout
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
    assert text.count(logger.MASK) >= 18
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
    os.truncate(path, logger.FILE_BYTES - 10)


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
    assert all(item.stat().st_size <= logger.FILE_BYTES for item in tmp_path.iterdir())


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


# --- The lines of the session ------------------------------------------------------------------------


def evaluation(**changes: object) -> Evaluation:
    """An evaluation of the examples, with ``changes``."""
    values: dict[str, object] = {
        "start": NOW,
        "symbol": "IWM",
        "price": 220.5,
        "vwap_1m": 220.3,
        "vwap_5m": 220.1,
        "vwap_5m_change": 0.0121,
        "vwap_distance": (220.5 / 220.3 - 1) * 100,
        "vwap_rising_s": 12,
        "volume": 4200.0,
        "volume_p95": 5000.0,
        "volume_z": 1.23,
        "momentum": 0.0234,
        "relative_volume": 1.83,
        "roc5": 0.10,
        "benchmark_roc5": 0.15,
        "passes": (True, True, False, False, True, True, True),
    }
    return Evaluation(**{**values, **changes})  # type: ignore[arg-type]


def test_the_minute_lines() -> None:
    assert (
        logger.feed_active_line("IWM", 220.5, 220.3, 1_250_000)
        == "📊 Data feed active: IWM $220.50, VWAP $220.30, Vol 1,250,000"
    )
    assert logger.feed_quiet_line("IWM", 220.5, 65_000_000) == "⏳ Data feed quiet: IWM $220.50 is 1m05s old"
    assert logger.feed_active_line("IWM", None, None, 0) == "📊 Data feed active: IWM n/a, VWAP n/a, Vol 0"
    assert logger.conditions_line(evaluation()) == (
        "📈 Signal conditions: Price>$220.30=True, VWAP↑=False, Vol surge=False (Z1.2), Momentum=+0.023, "
        "5m VWAP=True (+0.012%), RelVol=True (1.8), SPY lag=True (+0.05)"
    )


def test_undefined_values_and_conditions_left_out() -> None:
    nothing = evaluation(
        vwap_1m=None,
        vwap_5m_change=None,
        volume_z=None,
        momentum=None,
        relative_volume=None,
        benchmark_roc5=None,
        passes=(False,) * 7,
    )
    assert logger.conditions_line(nothing) == (
        "📈 Signal conditions: Price>n/a=False, VWAP↑=False, Vol surge=False (Z n/a), Momentum=n/a, "
        "5m VWAP=False (n/a), RelVol=False (n/a), SPY lag=False (no SPY)"
    )
    left_out = evaluation(passes=(True, True, False, False, True, None, None))
    line = logger.conditions_line(left_out)
    assert line.endswith("Momentum=+0.023, 5m VWAP=True (+0.012%)")


def test_what_the_lag_behind_the_benchmark_lacks_is_named() -> None:
    assert "SPY lag=False (no IWM base)" in logger.conditions_line(evaluation(roc5=None, passes=(False,) * 7))
    assert logger.lag_text(evaluation(benchmark_roc5=None), "SPY") == "no SPY"
    assert logger.lag_text(evaluation(benchmark_roc5=None, has_benchmark=True), "SPY") == "no SPY base"


def test_every_condition_has_its_place_in_the_line() -> None:
    names = ("5m VWAP", "Price>$220.30", "VWAP↑", "Vol surge", "Momentum", "RelVol", "SPY lag")
    for index, (condition, name) in enumerate(zip(Condition, names, strict=True)):
        if condition is Condition.MOMENTUM:
            continue
        passes = tuple(position == index for position in range(7))
        line = logger.conditions_line(evaluation(passes=passes))
        assert [part.split("=")[0] for part in line.split(": ", 1)[1].split(", ") if "=True" in part] == [
            name
        ]


def test_the_signal_line() -> None:
    assert logger.signal_line(evaluation(volume_z=2.8, momentum=0.087)) == (
        "🚀 MOMENTUM SIGNAL: IWM $220.50 > VWAP $220.30 (+0.09%), Vol Z=2.8, Momentum=+0.087"
    )
    assert "Vol Z=0.0, Momentum=+0.00081" in logger.signal_line(evaluation(volume_z=-0.01, momentum=0.00081))


@pytest.mark.parametrize(
    ("condition", "value", "threshold", "text"),
    [
        (
            "five_minute_vwap",
            220.3,
            220.312,
            "price $220.300, needed above the 5m VWAP $220.312: $0.012 short",
        ),
        ("five_minute_vwap", -0.0012, 0.0, "5m VWAP -0.0012%, needed a rise: 0.0012% short"),
        ("above_vwap", 220.3, 220.304, "price $220.300, needed above the VWAP $220.304: $0.004 short"),
        ("above_vwap", 220.3, 220.30002, "price $220.300, needed above the VWAP $220.300: $0.00002 short"),
        ("above_vwap", 220.3, 220.3, "price $220.300, needed above the VWAP $220.300: $0.000 short"),
        ("vwap_rising", 27, 30, "VWAP rising for 27 s, needed 30 s: 3 s short"),
        ("volume_surge", 3912, 4105, "volume 3,912, needed 4,105: 5 % short"),
        ("volume_surge", 4100, 4105, "volume 4,100, needed 4,105: 0.12 % short"),
        ("momentum", -0.00081, 0.0, "momentum -0.00081%/s, needed above 0"),
        ("relative_volume", 1.42, 1.5, "relative volume 1.42, needed 1.50: 5 % short"),
        ("spy_lag", 0.243, 0.2, "QQQ ahead by 0.243 points, allowed 0.200: 0.043 too far"),
    ],
)
def test_a_near_miss_in_words(condition: str, value: float, threshold: float, text: str) -> None:
    missed = Shortfall(condition=Condition(condition), value=value, threshold=threshold, ratio=0.1)
    assert logger.miss_text(missed, "QQQ") == text


def opened(**changes: object) -> Opened:
    """The entry of the examples, with ``changes``."""
    values: dict[str, object] = {
        "id": "7f3a91",
        "contract": "O:IWM251003C00220500",
        "strike": 220_500,
        "expiry": "2025-10-03",
        "price": 220.5,
        "vwap": 220.3,
        "momentum": 0.087,
        "volume_z": 2.8,
        "delta": 0.42,
        "iv": 0.285,
        "in_range": True,
        "mid": 14_000,
        "bid": 13_900,
        "ask": 14_500,
        "bid_size": 35.0,
        "ask_size": 40.0,
        "entry": 14_500,
        "stop": 12_325,
        "pay_limit": 15_200,
        "pay_until": NOW,
        "time_stop": NOW,
        "entry_number": 1,
        "considered": 14,
        "fallen": ((ContractRule.SIZE, 2), (ContractRule.SPREAD, 6), (ContractRule.DELTA, 5)),
        "cost_percent": 2.14,
    }
    return Opened(**{**values, **changes})  # type: ignore[arg-type]


def declined(**changes: object) -> Declined:
    """A refusal for want of a contract, with ``changes``."""
    values: dict[str, object] = {
        "reason": DeclineReason.NO_CONTRACT,
        "hold": None,
        "price": 220.5,
        "vwap": 220.3,
        "momentum": 0.087,
        "volume_z": None,
        "considered": 14,
        "fallen": ((ContractRule.SPREAD, 6), (ContractRule.SIZE, 0), (ContractRule.DELTA, 8)),
    }
    return Declined(**{**values, **changes})  # type: ignore[arg-type]


def test_the_selection_line() -> None:
    assert (
        logger.selection_line(opened())
        == "🎯 O:IWM251003C00220500 of 14: spread 6, delta 5, size 2; cost 2.1%"
    )
    assert (
        logger.selection_line(opened(in_range=False, delta=0.297, fallen=()))
        == "🎯 O:IWM251003C00220500 of 14; Δ0.297 nearest to the range, cost 2.1%"
    )
    assert logger.selection_line(declined()) == "🎯 none of 14: delta 8, spread 6"
    assert logger.selection_line(declined(considered=0, fallen=())) == "🎯 none of 0"


def test_the_entry_line() -> None:
    assert logger.entry_line(opened()) == "🔥 ENTRY: O:IWM251003C00220500 @ $1.45"


def closed(**changes: object) -> Closed:
    """The exit of the examples, with ``changes``."""
    values: dict[str, object] = {
        "id": "7f3a91",
        "contract": "O:IWM251003C00220500",
        "reason": ExitReason.HARD_GIVEBACK,
        "price": 214.89,
        "vwap": 214.95,
        "entry": 12_200,
        "opened_at": NOW,
        "peak": 21_000,
        "mark": 14_500,
        "mark_at": NOW,
        "bid": 14_300,
        "bid_size": 35.0,
        "limit_percent": 30.0,
        "time_stop": NOW,
    }
    return Closed(**{**values, **changes})  # type: ignore[arg-type]


def test_the_exit_line() -> None:
    assert logger.exit_line(closed(), "Giveback 31.2% (Hard cap 30%)") == (
        "🚪 EXIT: O:IWM251003C00220500 @ $1.45 (bid $1.43), entry $1.22, peak $2.10, "
        "Giveback 31.2% (Hard cap 30%), P&L +18.9%"
    )
    assert logger.exit_line(closed(mark=None, bid=None), "Time stop 15:55 ET").endswith(
        "@ n/a (bid n/a), entry $1.22, peak $2.10, Time stop 15:55 ET, P&L n/a"
    )
    assert logger.exit_line(closed(mark=10_255), "r").endswith("P&L -15.9%")


def test_the_gate_line() -> None:
    assert logger.gate_line(DeclineReason.COOLDOWN) == "⏰ No entries allowed: cooldown"
    assert (
        logger.gate_line(DeclineReason.HELD, HoldReason.RECORD_OFF)
        == "⏰ No entries allowed: held (record off)"
    )
