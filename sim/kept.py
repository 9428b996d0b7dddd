"""The folder that a demonstration leaves: a DATA_DIR of its own, with a file that says whose it is.

It is new, or was empty. So nothing is ever removed or written over, whatever folder is named.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from config import Settings
from errors import OurError
from settings.types import Place

PREFIX = "iwm-demo-"
"""How the name of a new folder begins."""

MARKER = "DEMO.txt"
MARKER_TEXT = """\
This folder was written by python main.py --demo: a session of a simulated market, and what the worker made of it.
Nothing in it is real, and nothing needs it. You may delete it.
"""


class Refused(OurError):
    """The folder cannot be the demonstration's: why, in a line."""


def folder_for(keep: Path | None) -> Path:
    """Returns the demonstration's folder, made and marked, as an absolute path.

    It is ``keep`` if that is not there yet or is empty; a new folder in ``keep`` if that holds an earlier demonstration; and
    a new one in the system's temporary folder if ``keep`` is None. Raises Refused for any other ``keep``; OSError if there
    is no temporary folder.
    """
    if keep is None:
        return _new_in(Path(tempfile.gettempdir()))
    folder = _absolute(keep)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(os.listdir(folder))
        if not there:
            _mark(folder)
            return folder
        if MARKER in there:
            return _new_in(folder)
    except OSError as error:
        raise Refused(f"--keep {keep}: cannot be used ({error.strerror}); name another folder") from None
    raise Refused(f"--keep {keep}: contains {there[0]}, which is not from a demo; name a new or empty folder")


def _absolute(keep: Path) -> Path:
    """Returns the path of a folder that may be the demonstration's. Raises Refused."""
    try:
        folder = Path(os.path.abspath(TypeAdapter(Place).validate_python(keep)))
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Refused(f"--keep {keep}: {reason}") from None
    if folder == Path(os.path.abspath(Settings.model_fields["data_dir"].default)):
        raise Refused(f"--keep {keep}: the worker keeps real sessions there (DATA_DIR); name another folder")
    return folder


def _new_in(parent: Path) -> Path:
    """Makes a folder of a new name. Returns its absolute path. Raises OSError."""
    folder = Path(os.path.abspath(tempfile.mkdtemp(prefix=PREFIX, dir=parent)))
    _mark(folder)
    return folder


def _mark(folder: Path) -> None:
    """Writes the file that says whose folder it is. Raises OSError, also if it is there already."""
    with open(folder / MARKER, "x", encoding="utf-8") as file:
        file.write(MARKER_TEXT)
