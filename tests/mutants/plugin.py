"""A pytest plugin for the processes that mutants are tried in: the order of tests, a limit for each, and what became of it.

It is loaded with ``-p tests.mutants.plugin``. Variables say what it does: `ORDER` names a file with a test's name on each line, in the
order to run them in; `LIMIT_S` the seconds after which a test has hung and the process is ended by SIGALRM; `OUTCOMES` a
file that gets a line for each test.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from coverage import Coverage

ORDER = "MUTANTS_ORDER"
LIMIT_S = "MUTANTS_LIMIT_S"
OUTCOMES = "MUTANTS_OUTCOMES"

BEGUN = "begun"
"""The outcome of a test that has not ended."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests into the order that is asked for."""
    if order := os.environ.get(ORDER):
        place = {name: number for number, name in enumerate(Path(order).read_text().splitlines())}
        items.sort(key=lambda item: place.get(item.nodeid, len(place)))


def pytest_collection_finish() -> None:
    """Lets every user write what is measured: some tests are another one's for a while."""
    if (measuring := Coverage.current()) is not None:
        measuring.save()
        with suppress(FileNotFoundError):
            Path(measuring.get_data().data_filename()).chmod(0o666)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart(nodeid: str) -> None:
    """Winds up the clock that ends a process which hangs: no handler, so that nothing in it can stand in the way."""
    _note(nodeid, BEGUN, 0.0)
    if limit := os.environ.get(LIMIT_S):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(limit))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes a part of a test: its setup, the test itself, or what it leaves behind."""
    _note(report.nodeid, report.outcome, report.duration)


def _note(test: str, outcome: str, seconds: float) -> None:
    if (path := os.environ.get(OUTCOMES)) and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps([test, outcome, seconds]) + "\n")
