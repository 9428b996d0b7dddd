"""Coverage, and the notes on handlers, of the processes that tests start."""

from __future__ import annotations

import os

CHILDREN = "COVER_CHILDREN"
"""The variable by which `tests.edges` names the configuration that these processes are measured with."""

HANDLERS = "HANDLERS"
"""The variable by which `tests.handlers` names the folder where each process notes which handlers it enters."""

PATH = "PYTHONPATH"

UNMEASURED = {"COVERAGE_PROCESS_START": ""}
"""For a process that has no room for coverage, which opens files and writes its own: one without memory or outputs."""


def measured(*folders: object) -> dict[str, str]:
    """Returns the variables with which a process is measured, and finds modules in ``folders``, too.

    A process is measured only where its test hands it these: coverage is loaded before the program, and writes a file as it ends.
    """
    found = {"COVERAGE_PROCESS_START": os.environ[CHILDREN]} if CHILDREN in os.environ else {}
    path = [str(folder) for folder in folders]
    if HANDLERS in os.environ:
        found[HANDLERS] = os.environ[HANDLERS]
        path.append(os.environ[PATH])
    return {**found, PATH: os.pathsep.join(path)} if path else found
