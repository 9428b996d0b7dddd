"""How a command begins and ends where this machine, this Python or its installation lacks something: in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import entry
from tests.environment import DIAGNOSE, LOOPBACK, MAIN, ROOT, run
from tests.measured import measured
from tests.test_config import KEYS

WITHIN = (
    "import os, runpy, sys\n{}\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
)
"""A command in a process to which something was done before."""


STARTED_INSIDE = f"start it with {ROOT / '.venv/bin/python'}" if (ROOT / ".venv").exists() else ""
"""What a clone that has its environment says to an interpreter that is not the one of it."""


def within(done: str) -> str:
    return WITHIN.format(done)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("sys.modules['pydantic'] = None", "the package pydantic is missing ("),
        ("sys.version_info = (3, 10, 13, 'final', 0)", "this is Python 3.10.13 ("),
        ("os.rmdir(os.getcwd())", "the folder it was started in cannot be used (No such file or directory)"),
        ("sys.modules['fcntl'] = None", "this system has no file locks (fcntl)"),
        (
            "sys.modules['pydantic'] = None; sys.prefix = sys.base_prefix",
            STARTED_INSIDE or " -m venv --clear .venv && ",
        ),
        (
            "sys.modules['pydantic'] = None; sys.prefix = '/nowhere'",
            STARTED_INSIDE or "uv pip install --python ",
        ),
        ("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (63, 63))", "only 63 files at once"),
    ],
)
def test_what_keeps_a_command_from_running_is_one_line(tmp_path: Path, what: str, said: str) -> None:
    (tmp_path / "here").mkdir()
    done = run(tmp_path / "here", "-c", within(what), MAIN)
    assert (done.returncode, done.stdout) == (entry.EXIT_CONFIGURATION, "")
    assert done.stderr.startswith("main.py: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "what",
    [
        "os.close(0)",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 2000))",
    ],
)
def test_what_a_command_can_do_with_or_mend_stops_nothing(tmp_path: Path, what: str) -> None:
    done = run(tmp_path, "-c", within(what), MAIN, "--version")
    assert (done.returncode, done.stderr) == (entry.EXIT_OK, "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise MemoryError", "main.py: there is no memory left for it: "),
        ("raise OSError(24, 'Too many open files')", "main.py: it may open no more files: "),
        ("raise KeyError('part')", "main.py: it cannot be loaded, KeyError: 'part' ("),
        ("def f(:", "main.py: it cannot be loaded, SyntaxError: "),
    ],
)
def test_a_package_that_cannot_be_loaded_is_one_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "pydantic.py").write_text(line, encoding="utf-8")
    done = run(tmp_path, MAIN, env=measured(tmp_path, ROOT))
    assert (done.returncode, done.stdout) == (entry.EXIT_CONFIGURATION, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_a_fault_of_the_programs_own_while_it_is_loaded_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "pydantic.py").write_text("assert False, 'a fault'", encoding="utf-8")
    done = run(tmp_path, MAIN, env=measured(tmp_path, ROOT))
    assert done.returncode == entry.EXIT_FAILED
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("AssertionError: a fault\n")


# --- The end of a command ---

ENDS = "import sys; sys.path.insert(0, {root!r}); import entry; entry.begin('it'); {before}; entry.run(lambda: {body})"


def ends(folder: Path, body: str, before: str = "pass") -> subprocess.CompletedProcess[str]:
    """A command whose work is an expression."""
    return run(folder, "-c", ENDS.format(root=str(ROOT), before=before, body=body))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("MemoryError()", "there is no memory left for it"),
        ('RuntimeError("can\'t start new thread")', "it may start no more threads"),
        ("OSError(24, 'Too many open files')", "it may open no more files"),
    ],
)
def test_what_the_machine_refuses_a_command_at_work_is_one_line(
    tmp_path: Path, error: str, said: str
) -> None:
    done = ends(tmp_path, f"(_ for _ in ()).throw({error})")
    assert (done.returncode, done.stdout) == (entry.EXIT_FAILED, "")
    assert done.stderr.startswith(f"It cannot go on: {said}")
    assert done.stderr.count("\n") == 1


def test_a_fault_of_the_programs_own_at_work_keeps_its_traceback(tmp_path: Path) -> None:
    done = ends(tmp_path, "(_ for _ in ()).throw(RuntimeError('a fault'))")
    assert done.returncode == entry.EXIT_FAILED
    assert done.stderr.endswith("RuntimeError: a fault\n")


@pytest.mark.parametrize(("code", "status"), [("7", 7), ("'words'", 1), ("None", 0), ("''", 0)])
def test_a_command_that_ends_itself_keeps_its_status(tmp_path: Path, code: str, status: int) -> None:
    assert ends(tmp_path, f"sys.exit({code})").returncode == status


def test_an_output_that_fails_only_at_the_end_is_no_success(tmp_path: Path) -> None:
    """What is still buffered is written at the end."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    body = "(sys.stderr.write('never'), 0)[1]"
    full = "import os; sys.stderr.flush(); os.dup2(os.open('/dev/full', os.O_WRONLY), 2)"
    assert ends(tmp_path, body, full).returncode == entry.EXIT_FAILED


def test_a_console_that_takes_nothing_more_leaves_the_worker_its_status(tmp_path: Path) -> None:
    """Its reader is gone, and a line still waits to be written when the worker is stopped."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    full = within("os.dup2(os.open('/dev/full', os.O_WRONLY), 2); os.dup2(2, 1)")
    with subprocess.Popen(
        [sys.executable, "-c", full, MAIN],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **measured(ROOT), **KEYS, **LOOPBACK},
    ) as process:
        log = tmp_path / "iwm_momentum.log"
        for _ in range(300):
            if log.exists() and "🚀" in log.read_text(encoding="utf-8"):
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert process.returncode == entry.EXIT_OK
    assert "👋 Stopped" in log.read_text(encoding="utf-8")


# --- The machine's clock ---


def test_without_a_clock_that_counts_sleep_the_ordinary_one_is_read(tmp_path: Path) -> None:
    """As on macOS, and on kernels that lack the clock that their headers name."""
    for what in ("del time.CLOCK_BOOTTIME", "time.CLOCK_BOOTTIME = 99"):
        program = f"import time\n{what}\nimport utils\nprint(abs(utils.steady_now() - time.monotonic_ns() // 1000) < 1_000_000)"
        done = run(tmp_path, "-c", program)
        assert (done.stdout, done.stderr) == ("True\n", ""), what


@pytest.mark.parametrize("command", [MAIN, DIAGNOSE])
def test_a_python_that_trusts_no_folder_finds_its_own(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, command, "--help", env={"PYTHONSAFEPATH": "1"})
    assert (done.returncode, done.stderr) == (entry.EXIT_OK, "")
