"""Coverage of the processes that tests start."""

from __future__ import annotations

import os

CHILDREN = "COVER_CHILDREN"
"""The variable by which `tests.edges` names the configuration that these processes are measured with."""

UNMEASURED = {"COVERAGE_PROCESS_START": ""}
"""For a process that has no room for coverage, which opens files and writes its own: one without memory or outputs."""


def measured() -> dict[str, str]:
    """Returns the variables with which a process counts for coverage; none when nothing is measured.

    A process is measured only where its test hands it these: coverage is loaded before the program, and writes a file as it ends.
    """
    return {"COVERAGE_PROCESS_START": os.environ[CHILDREN]} if CHILDREN in os.environ else {}
