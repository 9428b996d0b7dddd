"""What the machine brings along: proxies, certificates, consoles, an old Python, packages that are missing, signals."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import config
import entry
import main
import preflight
import utils
from checks import machine
from tests.test_config import KEYS
from tests.test_sim_places import record_in

ROOT = Path(__file__).parent.parent
LOOPBACK = {
    "POLYGON_REST_URL": "http://127.0.0.1:9",
    "POLYGON_WS_URL": "ws://127.0.0.1:9",
    "PUSHOVER_URL": "http://127.0.0.1:9",
}
MACHINES_OWN = (*machine.CERTIFICATES, machine.KEY_LOG, *machine.PROXIES, *map(str.upper, machine.PROXIES))


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variables of the machine that the tests run on."""
    for name in MACHINES_OWN:
        monkeypatch.delenv(name, raising=False)


def run(
    folder: Path,
    *command: str,
    env: Mapping[str, str] | None = None,
    options: tuple[str, ...] = (),
    **more: object,
) -> subprocess.CompletedProcess[str]:
    """One of the commands, in a process of its own."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, *options, *command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(env or {})},
        timeout=60,
        check=False,
        encoding="utf-8",
        **({"capture_output": True} | more),
    )


MAIN, DIAGNOSE = str(ROOT / "main.py"), str(ROOT / "diagnose.py")


# --- Proxies and certificates ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("NO_PROXY", value) for value in ("localhost,::1/128", "[::1]", "a.com, fd00::/8", "http://a:b")),
        *(
            ("HTTPS_PROXY", value)
            for value in ("socks://a:1", "socks5://a:1", "http://a..b", "http://a:99999", "ftp://a")
        ),
        *(("all_proxy", value) for value in ("\x1b[2J", "http://", "http://a b", "http://a/path", "::::")),
        *(("http_proxy", value) for value in ("socks4://a", "//", "http://u@a", "http://a:0")),
        *(("socks_proxy", value) for value in ("http://a:1", "socks://a:1")),
        *(("SSL_CERT_FILE", value) for value in ("/gone", "/dev/zero", "/", "/etc/hostname", "a" * 300)),
        *(("SSL_CERT_DIR", value) for value in ("/gone", "/dev/null", "/proc/1/task")),
        *(("SSLKEYLOGFILE", value) for value in ("/gone/keys", "/", "/dev/null/keys", "keys/")),
    ],
)
def test_what_cannot_be_used_is_one_fault_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    (fault,) = machine.faults(None)
    assert fault.startswith(f"{name}: got ")
    assert "; takes " in fault
    assert "\x1b" not in fault
    # Nothing of it is used for this machine's own loopback.
    assert machine.faults(config.load({**KEYS, **LOOPBACK}, None)[0]) == []
    assert machine.faults(config.load(KEYS, None)[0]) == [fault]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("NO_PROXY", value) for value in ("*", "", "localhost,127.0.0.1,::1,10.0.0.0/8,.a.com, b.com")),
        *(
            ("HTTPS_PROXY", value)
            for value in ("http://a:1", "https://a", "a:3128", "http://u:p@a:1/", "http://[::1]:1")
        ),
        *(("ALL_PROXY", value) for value in ("http://127.0.0.1:3128",)),
        *(("SSL_CERT_FILE", value) for value in ("",)),
    ],
)
def test_what_can_be_used_is_no_fault(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert machine.faults(None) == []
    httpx.Client(verify=False).close()


def test_a_pipe_keeps_nobody_waiting_and_a_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "pipe"))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "pipe"))
    monkeypatch.setenv("HTTPS_PROXY", "http://user:CANARY@a..b:1")
    monkeypatch.setenv("NO_PROXY", "::/0")
    found = machine.faults(None)
    assert [fault.partition(":")[0] for fault in found] == [
        "SSLKEYLOGFILE",
        "SSL_CERT_FILE",
        "HTTPS_PROXY",
        "NO_PROXY",
    ]
    assert "CANARY" not in "".join(found)


def test_sockets_go_the_way_of_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "proxy.example:3128")
    monkeypatch.setenv("https_proxy", "")
    machine.unify()
    assert os.environ["https_proxy"] == "http://proxy.example:3128"


def test_what_the_owner_may_not_know_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert machine.doubts() == []
    monkeypatch.setenv("https_proxy", "http://user:CANARY@proxy.example:3128")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert [doubt.partition(": ")[0] for doubt in machine.doubts()] == [
        "SSLKEYLOGFILE is set",
        "https_proxy is set",
    ]
    assert "through proxy.example:3128," in machine.doubts()[1]
    assert "CANARY" not in "".join(machine.doubts())


def test_every_fault_is_told_at_once_by_every_command_that_connects(tmp_path: Path) -> None:
    bad = {
        **KEYS,
        "HTTPS_PROXY": "socks://a:1",
        "NO_PROXY": "::1/128",
        "SSL_CERT_FILE": "/gone",
        "SSLKEYLOGFILE": "/gone/keys",
        "STALL_SECONDS": "0",
    }
    for command in ((MAIN,), (DIAGNOSE, "--offline"), (DIAGNOSE,)):
        done = run(tmp_path, *command, env=bad)
        assert done.returncode == entry.EXIT_CONFIGURATION
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert all(name in said for name in bad if name not in KEYS)
        assert not any(secret in said for secret in KEYS.values())
    # What needs no connection goes on.
    assert run(tmp_path, MAIN, "--version", env={**bad, "STALL_SECONDS": "5"}).returncode == entry.EXIT_OK


GARBAGE = st.one_of(
    st.sampled_from(
        ["", "*", "/", "/gone", "/dev/null", "::1/128", "socks5://a", "http://a:1", "a..b", "[", "%zz"]
    ),
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20),
    st.text(st.sampled_from("a1:/@.[]\udc80\udcff"), max_size=12),  # bytes that are no UTF-8
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(MACHINES_OWN), GARBAGE, max_size=4))
def test_whatever_the_machines_variables_hold_they_are_used_or_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, drawn: dict[str, str]
) -> None:
    with monkeypatch.context() as patched:
        patched.chdir(tmp_path)
        for name, value in drawn.items():
            patched.setenv(name, value)
        found = machine.faults(None)
        assert all("\n" not in fault and fault.isprintable() for fault in found)
        if not found:
            machine.unify()
            httpx.Client(verify=False).close()
            httpx.create_ssl_context()
        assert main.main(["--version"]) == entry.EXIT_OK


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


# --- Checks of what a vendor, or the way there, does -------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]"),
        UnicodeError("label empty or too long"),
        ValueError("Port out of range 0-65535"),
        httpx.InvalidURL("URL too long"),
        OSError(113, "No route to host"),
        ImportError("Using SOCKS proxy, but the 'socksio' package is not installed"),
    ],
)
async def test_whatever_a_connection_raises_is_a_failing_line(error: Exception) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    found = await preflight.check_network(
        config.load({**KEYS, "HEARTBEAT_URL": "https://hc.example.com/CANARY"}, None)[0],
        utils.SystemClock(),
        transport=httpx.MockTransport(fail),
    )
    failing = [check.found for check in found if check.mark is preflight.Mark.FAIL]
    for subject in ("key", "option chain", "stock bars", "user", "quota", "HEARTBEAT_URL"):
        assert any(text.startswith(f"{subject}: ") for text in failing), subject
    assert "CANARY" not in "".join(failing)


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
    assert run(tmp_path, "-c", closed, sys.executable, MAIN, "--version").returncode == entry.EXIT_OK
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
        env={"PATH": os.environ["PATH"], **KEYS, **LOOPBACK},
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
        env={"PATH": os.environ["PATH"], **KEYS, **LOOPBACK},
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
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}:{ROOT}"},
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
        return run(tmp_path, MAIN, "--version", preexec_fn=lambda: resource.setrlimit(number, (soft, hard)))

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
    for command in ((MAIN,), (MAIN, "--demo"), (DIAGNOSE, "why"), ("-m", "review", "verify", "x")):
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
            env={"PATH": os.environ["PATH"], "PYTHONSAFEPATH": "1"},
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
