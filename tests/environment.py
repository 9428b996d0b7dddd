"""Commands in a process of their own, without the variables of the machine that the tests run on."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import strategies as st

from checks import machine
from tests.measured import measured
from tests.stage import KEY, TOKEN, USER

ROOT = Path(__file__).parent.parent

LOOPBACK = {
    "POLYGON_REST_URL": "http://127.0.0.1:9",
    "POLYGON_WS_URL": "ws://127.0.0.1:9",
    "PUSHOVER_URL": "http://127.0.0.1:9",
}

MACHINES_OWN = (*machine.CERTIFICATES, machine.KEY_LOG, *machine.PROXIES, *map(str.upper, machine.PROXIES))


def environment(*folders: Path, **more: str) -> dict[str, str]:
    """An environment with made keys that points at closed loopback ports. Modules are found in ``folders``, too."""
    return {
        "PATH": os.environ["PATH"],
        **measured(*folders),
        "POLYGON_API_KEY": KEY,
        "PUSHOVER_TOKEN": TOKEN,
        "PUSHOVER_USER_KEY": USER,
        **LOOPBACK,
        **more,
    }


@pytest.fixture(autouse=True)
def bare() -> Iterator[None]:
    """Without the variables of the machine that the tests run on. What the program sets itself is taken back, too."""
    kept = dict(os.environ)
    for name in MACHINES_OWN:
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(kept)


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
        env={"PATH": os.environ["PATH"], **measured(ROOT), **(env or {})},
        timeout=60,
        check=False,
        encoding="utf-8",
        **({"capture_output": True} | more),
    )


def run_here(
    main: Callable[[Sequence[str]], int], folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command's ``main`` in this process, with nothing but ``environment``: the same without half a second for its start.

    It proves what a command answers to its arguments and settings. How its process begins, prints and ends needs one (`run`).
    """
    kept, place = dict(os.environ), Path.cwd()
    out, errors = io.StringIO(), io.StringIO()
    os.environ.clear()
    os.environ.update({"PATH": kept["PATH"], **environment})
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = main(arguments)
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        status = ended.code
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ.update(kept)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), errors.getvalue())


MAIN, DIAGNOSE = str(ROOT / "main.py"), str(ROOT / "diagnose.py")

GARBAGE = st.one_of(
    st.sampled_from(
        ["", "*", "/", "/gone", "/dev/null", "::1/128", "socks5://a", "http://a:1", "a..b", "[", "%zz"]
    ),
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20),
    st.text(st.sampled_from("a1:/@.[]\udc80\udcff"), max_size=12),  # bytes that are no UTF-8
)
"""What a variable may hold that nobody would write."""
