"""What the machine brings along: proxies, certificates, consoles, an old Python, packages that are missing, signals."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import config
import entry
from tests.environment import DIAGNOSE, GARBAGE, LOOPBACK, MAIN, ROOT, bare, run
from tests.measured import UNMEASURED, measured
from tests.review.records import record_in
from tests.test_config import KEYS

__all__ = ["bare"]  # a fixture that every test here uses, too


NAMES = st.sampled_from((*config.variable_names(), *config.ALIASES, "SYMBLO", "POLYGON_", "symbol"))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, GARBAGE, max_size=6))
def test_whatever_the_settings_hold_they_are_taken_or_told(drawn: dict[str, str]) -> None:
    config.doubts(drawn, None)
    try:
        config.load({**KEYS, **drawn}, None)
    except config.ConfigError as error:
        assert error.faults
        assert all(fault.partition(":")[0].isascii() for fault in error.faults)


# --- Consoles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((DIAGNOSE, "--offline"), "✓ Python"),
        ((DIAGNOSE, "why", "2025-10-02", "--data-dir", "."), "09:30:03–16:00:00"),
        (("-m", "sim", "verify", "sessions/2025-10-02.jsonl"), "✓ sessions/2025-10-02.jsonl: "),
        (("-m", "sim", "replay", "sessions/2025-10-02.jsonl"), "Session 2025-10-02"),
    ],
)
def test_a_console_of_another_language_shows_everything(
    tmp_path: Path, command: tuple[str, ...], said: str
) -> None:
    record_in(tmp_path)
    latin = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "TZ": ":garbage"}
    done = run(tmp_path, *command, env={**KEYS, **LOOPBACK, **latin})
    assert (done.returncode, done.stderr) == (entry.EXIT_OK, "")
    assert said in done.stdout


def test_outputs_that_are_closed_full_or_gone_end_without_a_traceback(tmp_path: Path) -> None:
    closed = "import os, sys; os.close(1); os.close(2); os.execv(sys.argv[1], sys.argv[1:])"
    done = run(tmp_path, "-c", closed, sys.executable, MAIN, "--version", env=UNMEASURED)
    assert done.returncode == entry.EXIT_OK
    if Path("/dev/full").exists():
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = run(tmp_path, MAIN, "--version", stdout=full, stderr=subprocess.PIPE, capture_output=False)
        assert done.returncode == entry.EXIT_FAILED
        assert done.stderr == "The output cannot be written: No space left on device\n"
    for command in ((MAIN, "--version"), (DIAGNOSE, "--offline"), ("-m", "review", "verify", "gone")):
        reader, writer = os.pipe()
        os.close(reader)
        done = run(tmp_path, *command, stdout=writer, stderr=subprocess.PIPE, capture_output=False)
        os.close(writer)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert done.returncode in (entry.EXIT_PIPE, entry.EXIT_CONFIGURATION)


def test_a_console_that_has_gone_leaves_the_worker_its_status(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, MAIN],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **measured(), **KEYS, **LOOPBACK},
        stdout=writer,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        log = tmp_path / "iwm_momentum.log"
        for _ in range(200):
            if "No session now" in (said := log.read_text(encoding="utf-8")) or "Session 2" in said:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (entry.EXIT_OK, "")
    assert "👋 Stopped" in log.read_text(encoding="utf-8")


def test_a_pipe_that_does_not_wait_is_waited_for(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(
        [sys.executable, DIAGNOSE, "--offline", "--json"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **measured(), **KEYS, **LOOPBACK},
        stdout=writer,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        os.close(writer)
        time.sleep(1.0)
        with open(reader, "rb") as stream:
            said = stream.read()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (entry.EXIT_OK, "")
    assert len(said) > 4096
    assert said.endswith(b"}\n")


@pytest.mark.parametrize(
    ("command", "statuses"),
    [
        ((MAIN,), {entry.EXIT_OK}),
        ((MAIN, "--demo"), {-signal.SIGINT}),
        ((DIAGNOSE, "--offline"), {-signal.SIGINT}),
        (("-m", "review", "replay", "2025-10-02"), {-signal.SIGINT}),
    ],
)
def test_an_interrupt_while_packages_are_loaded_ends_without_a_traceback(
    tmp_path: Path, command: tuple[str, ...], statuses: set[int]
) -> None:
    (tmp_path / "pydantic.py").write_text("print('loading', flush=True)\nimport time\ntime.sleep(30)\n")
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **measured(tmp_path, ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert errors == ""
    assert process.returncode in statuses


def test_a_machine_that_gives_too_little_is_told_in_a_line(tmp_path: Path) -> None:
    few, enough = entry.FILES_LEAST - 1, entry.FILES_LEAST

    def limited(number: int, soft: int, hard: int) -> subprocess.CompletedProcess[str]:
        return run(
            tmp_path,
            MAIN,
            "--version",
            env=UNMEASURED,
            preexec_fn=lambda: resource.setrlimit(number, (soft, hard)),
        )

    refused = limited(resource.RLIMIT_NOFILE, few, few)
    assert (refused.returncode, refused.stdout) == (entry.EXIT_CONFIGURATION, "")
    assert refused.stderr == (
        "main.py: it may open only 63 files at once, and needs 64: raise the limit (ulimit -n)\n"
    )
    for soft, hard in ((enough, enough), (few, enough)):
        assert limited(resource.RLIMIT_NOFILE, soft, hard).returncode == entry.EXIT_OK
    starved = limited(resource.RLIMIT_AS, 30_000_000, 30_000_000)
    assert starved.returncode == entry.EXIT_CONFIGURATION
    # What Python's own modules say of a library that finds no room comes before.
    assert starved.stderr.splitlines()[-1].startswith("main.py: there is no memory left for it: ")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "memory"),
        (SystemError("error return without exception set"), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (OSError(errno.EMFILE, "Too many open files"), "open no more files"),
        (OSError(errno.ENFILE, "Too many open files in system"), "open no more files"),
        (OSError(errno.ENOENT, "No such file or directory"), None),
        (RuntimeError("a source of facts has ended"), None),
        (ValueError("x"), None),
    ],
)
def test_what_the_machine_refuses_is_told_from_a_fault_of_the_program(
    error: Exception, words: str | None
) -> None:
    told = entry.shortage_text(error)
    assert (told is None) if words is None else (told is not None and words in told and ": " in told)


def test_what_a_file_or_a_variable_says_steers_no_terminal(tmp_path: Path) -> None:
    name = "2025-10-02\x1b[2J\u202e.jsonl"
    (tmp_path / name).write_text("no record\n")
    for command in (
        ("-m", "review", "verify", name),
        ("-m", "review", "replay", name),
        (DIAGNOSE, "why", "--data-dir", name),
    ):
        done = run(tmp_path, *command)
        said = done.stdout + done.stderr
        assert "2025-10-02" in said
        assert not {"\x1b", "\u202e"} & set(said)
    for form in ((), ("--json",)):
        done = run(
            tmp_path,
            DIAGNOSE,
            "--offline",
            *form,
            env={**KEYS, "BENCHMARK\x1b[2J": "x", "BENCHMARK\u202e": "y"},
        )
        assert not {"\x1b", "\u202e"} & set(done.stdout + done.stderr)


# --- The Python that it is started with --------------------------------------------------------------


def old_pythons() -> Iterator[Path]:
    """Pythons on this machine that are too old for the program, and new enough to be told so in a line."""
    for minor in (8, 9, 10):
        for folder in (
            sorted(Path("/root/.pyenv/versions").glob(f"3.{minor}.*")) if os.access("/root", os.X_OK) else ()
        ):
            yield folder / "bin" / "python"


@pytest.mark.parametrize("python", list(old_pythons()), ids=lambda path: path.parent.parent.name)
def test_an_old_python_is_told_in_a_line_by_every_command(tmp_path: Path, python: Path) -> None:
    reviews = [(DIAGNOSE, name) for name in ("why", "days", "watch")]
    for command in ((MAIN,), (MAIN, "--demo"), *reviews, ("-m", "review", "verify", "x")):
        done = subprocess.run(
            [str(python), *command],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == entry.EXIT_CONFIGURATION
        assert done.stderr.count("\n") == 1
        assert ", 3.11 or newer is needed: " in done.stderr
    report = subprocess.run([str(python), DIAGNOSE], capture_output=True, text=True, timeout=60, check=False)
    assert report.returncode == entry.EXIT_FAILED
    assert "install Python 3.11 or newer" in report.stdout


@pytest.mark.parametrize("name", ["main.py", "diagnose.py", "sim/__main__.py", "review/__main__.py"])
def test_a_python_that_is_older_still_stops_at_a_line_that_says_it(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    first = next(line for line in lines if ":=" in line)
    assert "# A SyntaxError here: Python 3.11 or newer is needed" in first
    # Nothing before it is new either, so that this is the line at which they stop.
    before = "\n".join(lines[: lines.index(first)])
    assert not [mark for mark in ('f"', "f'", "async ", "->", " = *") if mark in before]


def test_a_missing_package_is_told_in_a_line_by_every_command(tmp_path: Path) -> None:
    for command in ((MAIN, "--version"), ("-m", "review", "verify", "x")):
        done = run(tmp_path, *command, options=("-S",))
        assert done.returncode == entry.EXIT_CONFIGURATION
        assert done.stderr.count("\n") == 1
        assert " is missing (" in done.stderr
        assert ".venv/bin/" in done.stderr
    done = run(tmp_path, DIAGNOSE, options=("-S",))
    assert done.returncode == entry.EXIT_FAILED
    assert "httpx: missing" in done.stdout


def test_a_python_that_trusts_no_folder_finds_the_program(tmp_path: Path) -> None:
    for command in ((MAIN, "--version"), (DIAGNOSE, "--help")):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **measured(), "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (entry.EXIT_OK, "")


def test_a_system_without_file_locks_is_told_to_use_another(tmp_path: Path) -> None:
    program = (
        "import runpy, sys\n"
        "sys.modules['fcntl'] = None\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = run(tmp_path, "-c", program, MAIN)
    assert (done.returncode, done.stderr) == (
        entry.EXIT_CONFIGURATION,
        "main.py: this system has no file locks (fcntl): it runs on macOS and Linux, and on Windows through WSL\n",
    )


def test_a_folder_that_is_gone_is_told_by_every_command(tmp_path: Path) -> None:
    program = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"
    for command in ((MAIN,), (DIAGNOSE,), (DIAGNOSE, "why"), ("-m", "review", "verify", "x")):
        (tmp_path / "gone").mkdir()
        done = run(tmp_path / "gone", "-c", program, sys.executable, *command)
        assert done.returncode == entry.EXIT_CONFIGURATION
        assert "the folder it was started in cannot be used (No such file or directory)" in done.stderr
        assert done.stderr.count("\n") == 1
