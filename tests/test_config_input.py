"""What comes from outside by way of the settings: digits, paths, hosts, files that are none, names that are misspelt."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
import main
from settings.faults import SHARED_LENGTH
from settings.file import ENV_LINES_NAMED
from settings.types import ADDRESS_LENGTH, host_fault
from tests.measured import measured
from tests.test_config import KEYS, faults, load, write
from worker.ending import EXIT_CONFIG

# --- Digits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["٥", "５", "1_0", "0x5", "5 0", "five", "5e0", "--5", "५"])
def test_a_whole_number_takes_ascii_digits(value: str) -> None:
    (fault,) = faults(STALL_SECONDS=value)
    assert fault.startswith(f"STALL_SECONDS: got {value!r}; takes a whole number (s), 1 to 60")


@pytest.mark.parametrize("value", ["٣.٥", "３.5", "1_0.5", "0x1p3", "3,5", "3.5.1", "1e", "."])
def test_a_number_takes_ascii_digits(value: str) -> None:
    (fault,) = faults(MAX_SPREAD_PERCENT=value)
    assert fault.startswith(f"MAX_SPREAD_PERCENT: got {value!r}; takes a number (% of mid)")


@pytest.mark.parametrize(
    ("value", "number"), [("4", 4), ("+4.5", 4.5), (".5", 0.5), ("5.", 5), ("45e-1", 4.5)]
)
def test_numbers_as_they_are_written(value: str, number: float) -> None:
    assert load(MAX_SPREAD_PERCENT=value).max_spread_percent == number
    assert load(STALL_SECONDS=" 7 ", LAG_BARS="40.0").lag_bars == 40


@pytest.mark.parametrize(
    ("name", "value"),
    [("HARD_TIME_STOP", "１５:３０"), ("NO_ENTRY_AFTER", "١٥:٣٠"), ("SYMBOL", "ＩＷＭ"), ("SYMBOL", "ÄÖÜ")],
)
def test_times_and_tickers_take_ascii(name: str, value: str) -> None:
    assert any(fault.startswith(f"{name}: got ") for fault in faults(**{name: value}))


# --- Places ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DATA_DIR", "LOG_FILE"])
@pytest.mark.parametrize(
    "value",
    [
        '"/var/data"',
        "'data'",
        "$HOME/data",
        "${DATA}",
        "data # where records are",
        "da\ta",
        "data\x1b[2J",
        "a\0b",
    ],
)
def test_what_a_shell_would_have_taken_off_is_refused_in_a_path(name: str, value: str) -> None:
    (fault,) = faults(**{name: value})
    assert fault.startswith(f"{name}: got {value!r}; takes a path without quotes, $, # behind a space")


@pytest.mark.parametrize("value", ["x" * 256, f"a/{'ü' * 128}/b", "/".join(["abc"] * 1500)])
def test_a_path_that_no_file_system_takes_is_refused(value: str) -> None:
    (fault,) = faults(DATA_DIR=value)
    assert "takes a path whose names have at most 255 bytes each" in fault


@pytest.mark.parametrize(
    "value", ["x" * 255, "a b/c#d", "größe", "日本", "a/../b", "data-1_2.x", "raw\udcff"]
)
def test_other_paths_are_taken_as_they_are(value: str) -> None:
    assert load(DATA_DIR=value).data_dir == Path(value)


@pytest.mark.parametrize("key", ['"CanaryKey"', "'CanaryKey'", "$CanaryKey"])
def test_a_key_has_no_quotes(key: str) -> None:
    (fault,) = faults(POLYGON_API_KEY=key)
    assert fault == (
        "POLYGON_API_KEY: got a value that is not shown; takes your Massive (formerly Polygon.io) API key, without quotes or $"
    )


# --- Hosts -------------------------------------------------------------------------------------------


BAD_HOSTS = [
    *("a..b", ".a", "a.", "a.b.", "..", "-a.com", "a-.com", "a" * 64 + ".com", ".".join(["abcdefghi"] * 26)),
    *(
        "1.2.3",
        "999.1.1.1",
        "1.2.3.4.5",
        "a b",
        "a%20b",
        "a*b",
        "xn--zz.com",
        "xn--a\u0080.com",
        "ä..b",
        "\u202e.com",
    ),
    *(
        "[::1",
        "::1]",
        "[fe80::1%eth0]",
        "[1::2::3]",
        "host:0",
        "host:65536",
        "host:-1",
        "host:",
        "host:８０",
        "a,b",
        "",
    ),
]


@pytest.mark.parametrize("host", BAD_HOSTS)
@pytest.mark.parametrize("name", ["POLYGON_REST_URL", "POLYGON_WS_URL", "HEARTBEAT_URL"])
def test_a_host_that_cannot_be_connected_to_is_refused(name: str, host: str) -> None:
    scheme = "wss" if name == "POLYGON_WS_URL" else "https"
    (fault,) = faults(**{name: f"{scheme}://{host}/x"})
    assert fault.startswith(f"{name}: got ")
    assert "; takes " in fault


@pytest.mark.parametrize(
    "host",
    [
        *(
            "api.massive.com",
            "localhost",
            "a",
            "a_b.internal",
            "xn--bcher-kva.example",
            "bücher.example",
            "1.2.3.4",
        ),
        *("[2001:db8::1]", "[::1]:8443", "a:1", "a:65535", "a" * 63 + ".com", "4chan.org", "1.2.3.4.example"),
    ],
)
def test_other_hosts_are_taken(host: str) -> None:
    assert load(POLYGON_REST_URL=f"https://{host}").polygon_rest_url == f"https://{host}"


@pytest.mark.parametrize(
    "text", ["https://a.com/x\ny", "https://a.com\t", "https://a .com", "https:\\\\a.com", "https://@a.com"]
)
def test_an_address_has_no_blanks_line_breaks_or_users(text: str) -> None:
    assert load(POLYGON_REST_URL="https://a.com").polygon_rest_url == "https://a.com"
    if text.strip() != "https://a.com":
        (fault,) = faults(POLYGON_REST_URL=text)
        assert fault.startswith("POLYGON_REST_URL: got ")


@given(st.text(max_size=40))
def test_whatever_the_host_it_is_judged_and_what_is_taken_can_be_encoded(host: str) -> None:
    if host_fault(host) is None and ":" not in host:
        host.encode("idna")  # as the resolver does; raises for what it cannot


@pytest.mark.parametrize(
    ("given_", "taken"),
    [
        ("wss://socket.massive.com/stocks", "wss://socket.massive.com"),
        ("wss://socket.massive.com/stocks/", "wss://socket.massive.com"),
        ("wss://socket.massive.com/options", "wss://socket.massive.com"),
        ("wss://socket.massive.com/feed/stocks", "wss://socket.massive.com/feed"),
        ("wss://socket.massive.com/mystocks", "wss://socket.massive.com/mystocks"),
        ("wss://stocks", "wss://stocks"),
        ("wss://socket.massive.com/", "wss://socket.massive.com"),
    ],
)
def test_the_vendors_own_ending_is_taken_off(given_: str, taken: str) -> None:
    assert load(POLYGON_WS_URL=given_).polygon_ws_url == taken


# --- Files that are no file of settings --------------------------------------------------------------


def fault_of(path: Path) -> str:
    """The one fault of a start with this file."""
    with pytest.raises(config.ConfigError) as caught:
        config.load(KEYS, path)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{path}: ")
    return fault.removeprefix(f"{path}: ")


def test_what_is_no_file_of_settings_is_named_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.mkdir()
    assert fault_of(path) == "cannot be read (it is a folder); it takes a file that this user may read"
    path.rmdir()
    os.mkfifo(path)
    assert fault_of(path) == "cannot be read (it is a pipe); it takes a file that this user may read"
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    assert fault_of(path) == "is a link that leads nowhere; remove it or mend it"
    path.unlink()
    path.write_text("# x\n" * 70_000)
    assert fault_of(path) == "has more than 256 kB, which no file of settings has"
    path.write_bytes("SYMBOL=IWM\n".encode("utf-16"))
    assert fault_of(path) == "cannot be read as UTF-8 text (UnicodeDecodeError)"
    path.write_bytes("SYMBOL=IWM\n".encode("utf-16-le"))
    assert fault_of(path).startswith("holds zero bytes")
    path.unlink()
    path.symlink_to("/dev/null")
    assert config.load(KEYS, path)[0].symbol == "IWM"
    assert fault_of(tmp_path / ("x" * 300)).startswith("cannot be read (File name too long)")


def test_a_file_of_something_else_does_not_fill_the_screen(tmp_path: Path) -> None:
    path = write(tmp_path, "no setting\n" * 500)
    with pytest.raises(config.ConfigError) as caught:
        config.load(KEYS, path)
    assert len(caught.value.faults) == ENV_LINES_NAMED + 1
    assert f"{path}: 490 more lines are no NAME=value: is it a file of settings?" in caught.value.faults


@given(st.binary(max_size=300))
def test_whatever_the_file_holds_it_is_settings_or_faults(data: bytes) -> None:
    path = Path(tempfile.gettempdir()) / f"iwm-env-{os.getpid()}"
    path.write_bytes(data)
    try:
        config.load(KEYS, path)
    except config.ConfigError as error:
        assert error.faults
    finally:
        path.unlink()


# --- Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("SYMBLO", "SYMBOL"), ("LOGLEVEL", "LOG_LEVEL"), ("STOP_LOSS", "STOP_LOSS_PERCENT")),
        *(
            ("WARMUP_SECOND", "WARMUP_SECONDS"),
            ("PUSHOVER_USER", "PUSHOVER_USER_KEY"),
            ("DATADIR", "DATA_DIR"),
        ),
        *(("Stall_Second", "STALL_SECONDS"), ("HEARTBEAT_URI", "HEARTBEAT_URL")),
    ],
)
def test_a_misspelt_name_in_the_environment_is_told(name: str, meant: str) -> None:
    assert config.doubts({**KEYS, name: "CANARY"}, None) == [
        f"the environment has {name}, which is not a setting: did you mean {meant}?"
    ]
    assert load(**{name: "CANARY"}).symbol == "IWM"  # it is no fault: the environment is everybody's


def test_the_worker_warns_of_them_as_it_starts(tmp_path: Path) -> None:
    """A name that is close to a setting's, and one that stands twice: in the log, before what ends this start."""
    (tmp_path / ".env").write_text("STALL_SECONDS=5\nSTALL_SECONDS=6\n", encoding="utf-8")
    (tmp_path / "data").touch()
    done = subprocess.run(
        [sys.executable, str(Path(main.__file__))],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **measured(), **KEYS, "MAX_SPREAD_PERCNT": "4"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == EXIT_CONFIG
    warned = [line for line in done.stdout.splitlines() if "WARNING" in line]
    for name in ("STALL_SECONDS", "MAX_SPREAD_PERCNT"):
        assert [name in line for line in warned].count(True) == 1, warned


def test_a_vendors_name_and_lower_case_are_told_and_others_are_not() -> None:
    assert config.doubts({"POLYGON_SECRET": "x", "symbol": "x"}, None) == [
        "the environment has POLYGON_SECRET, which is not a setting: see .env.example",
        "the environment has symbol, which is not read: write SYMBOL",
    ]
    common = "HOME PATH SHELL TERM LANG LC_ALL LOGNAME DISPLAY XDG_DATA_DIRS PYTHONPATH RENDER TZ SSL_CERT_FILE PWD SECONDS"
    assert config.doubts({**KEYS, **dict.fromkeys(common.split(), "x"), "MASSIVE_API_KEY": "x"}, None) == []


def test_a_name_that_stands_twice_in_the_file_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "STALL_SECONDS=5\n\nSYMBOL=IWM\nstall_seconds=6\n")
    assert config.doubts({}, path) == [f"STALL_SECONDS stands twice in {path}: line 4 counts, not line 1"]
    assert config.load(KEYS, path)[0].stall_seconds == 6
    assert config.doubts({}, write(tmp_path, "STALL_SECONDS=5\nSYMBOL=IWM\n")) == []


# --- What others of the kind did ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SYMBOL", "ß"),
        ("BENCHMARK", "ß"),
        ("LOG_LEVEL", "ınfo"),
        ("LOG_LEVEL", "ＩＮＦＯ"),
        ("ON_SHUTDOWN", "Keep"),
    ],
)
def test_upper_and_lower_case_make_no_other_word_of_a_value(name: str, value: str) -> None:
    (fault,) = faults(**{name: value})
    assert fault.startswith(f"{name}: got {value!r}; takes ")


@pytest.mark.parametrize("value", ["file:///data", "C:\\data", "s3://bucket/data", "https://a.com/x"])
def test_an_address_or_a_drive_is_no_place(value: str) -> None:
    for name in ("DATA_DIR", "LOG_FILE"):
        (fault,) = faults(**{name: value})
        assert fault.startswith(f"{name}: got ")
        assert fault.endswith("; takes a path of this machine, not an address or a drive")
    assert load(DATA_DIR="da:ta", LOG_FILE="data:").data_dir == Path("da:ta")


@pytest.mark.parametrize(
    "log",
    [
        "data/lease",
        "data/starts",
        "data/sessions",
        "data/sessions/2026-11-30.jsonl",
        "./data/../data/lease",
        ".env",
    ],
)
def test_the_log_is_not_written_over_what_the_program_keeps(log: str) -> None:
    (fault,) = faults(LOG_FILE=log)
    assert fault.startswith("LOG_FILE (")
    assert fault.endswith(
        "must not be .env, the lease in DATA_DIR or a file of its sessions: name a file of its own"
    )
    for other in ("data/iwm.log", "data/sessions.log", "data/lease.log"):
        assert load(LOG_FILE=other).log_file == Path(other)


def test_an_address_that_no_request_can_hold_is_refused() -> None:
    begins = "https://hc.example.com/"
    for name in ("HEARTBEAT_URL", "SECOND_CHANNEL_URL", "POLYGON_REST_URL"):
        load(**{name: begins + "a" * (ADDRESS_LENGTH - len(begins))})
        (fault,) = faults(**{name: begins + "a" * (ADDRESS_LENGTH - len(begins) + 1)})
        assert fault.endswith("of at most 2000 characters")
        assert "aaaa" not in fault


@pytest.mark.parametrize("length", [7, 8, 15, 30])
def test_a_part_of_a_key_in_another_line_is_not_shown(length: int) -> None:
    for key in KEYS.values():
        for start in (0, len(key) - length):
            (fault,) = faults(STOP_LOSS_PERCENT=f"x{key[start : start + length]}")
            assert (key[start : start + length] in fault) is (length < SHARED_LENGTH)
