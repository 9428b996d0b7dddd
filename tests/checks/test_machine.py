"""The machine's own variables: proxies, certificates, key logs."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import config
import entry
import main
from checks import machine
from tests.environment import DIAGNOSE, GARBAGE, LOOPBACK, MACHINES_OWN, MAIN, run
from tests.test_config import KEYS


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
