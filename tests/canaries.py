"""Looks for the tests' keys in whatever a test leaves: its folder, what it printed and logged, the arguments of its processes.

The keys of the tests are made ones, and each is a canary: where one is found outside the owner's own settings, a real key would
be, too. `tests/conftest.py` loads this; a test that is handed a key on purpose says so with the mark ``shows_keys``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

CANARIES = (
    b"canary-polygon-key-5f1e",
    b"canarytoken000canarytoken00012",
    b"canaryuser0000canaryuser000034",
    b"kEy-0123456789abcdef",
    b"CanaryPolygonKey0123456789",
)
"""The keys of `tests.stage`, `tests.wire` and `tests.checks.given`."""

SETTINGS = frozenset({".env"})
"""The owner's own files, by name: they hold keys because he, or `--init`, wrote them there."""

PIECE = 8 * 1024 * 1024
"""How much of a file is read at a time, bytes."""

processes: list[str] = []
"""The processes whose arguments have had a key, by their first argument, since the last test."""


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Notes a process that is started with a key among its arguments, where every user of the machine can read it."""
    if event != "subprocess.Popen":
        return
    given = arguments[1] if isinstance(arguments[1], (list, tuple)) else [arguments[1]]
    if any(canary in os.fsencode(each) for each in given for canary in CANARIES):
        processes.append(str(given[0]))


sys.addaudithook(note)


def found_in(data: bytes) -> list[str]:
    """The canaries in some bytes, by their first letters."""
    return [canary[:12].decode() for canary in CANARIES if canary in data]


def found_under(folder: Path, piece: int = PIECE) -> Iterator[str]:
    """The files under a folder that hold a canary, but for the owner's own settings."""
    for path in sorted(folder.rglob("*")):
        if path.name in SETTINGS or path.is_symlink() or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                tail = b""
                while data := file.read(piece):
                    for name in found_in(tail + data):
                        yield f"{path.relative_to(folder)}: {name}…"
                    tail = data[-64:]
        except OSError:
            continue  # not even this user may read it


def found_by(sections: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The parts of a test's output that hold a canary."""
    for title, text in sections:
        for name in found_in(text.encode(errors="replace")):
            yield f"{title}: {name}…"


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fails a test that has left a key somewhere."""
    funcargs: dict[str, Any] = getattr(item, "funcargs", {})
    yield
    started, processes[:] = list(processes), []
    if item.get_closest_marker("shows_keys") is not None:
        return
    places = [*found_by((f"{when} {kind}", text) for when, kind, text in item._report_sections)]
    if isinstance(folder := funcargs.get("tmp_path"), Path):
        places += found_under(folder)
    places += [f"the arguments of {name}" for name in started]
    assert not places, f"a key stands in {'; '.join(places)}"
