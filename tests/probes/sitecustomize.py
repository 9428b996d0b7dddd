"""Notes which handlers of the worker a process enters. `tests.handlers` puts this folder on Python's path, where every process finds it.

Python imports a module of this name as it starts, before anything else. What `tests.handlers` has compiled takes the place of the
module's own code; each handler in it begins with a call of `entered`. A module that was not compiled there is loaded as ever.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import marshal
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_loader
from types import CodeType, ModuleType

FOLDER = os.environ.get("HANDLERS", "")
"""Holds the code, and the file of what was entered; empty when nothing is to be noted."""

noted: set[str] = set()
unwritten: list[str] = []
"""What could not be written when it was entered, as there was no file left, or another user was at work."""


def entered(place: str) -> None:
    """Notes once that a handler was entered: at once, as the process may be killed next; all processes append to one file."""
    if place not in noted:
        noted.add(place)
        unwritten.append(place)
        write()


def write() -> None:
    """Writes what is not written. What cannot be is tried again at the next handler, and at the end: this one must not see it."""
    with contextlib.suppress(IndexError):
        while True:
            place = unwritten.pop()  # by one thread, whichever comes first
            try:
                append(f"{place}\n".encode())
            except OSError:
                unwritten.append(place)
                return


def append(line: bytes) -> None:
    """Appends a line to the file of all processes. Raises OSError."""
    file = os.open(f"{FOLDER}/entered", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def compiled(path: str) -> str:
    """Returns where the code of the module at ``path`` is, if it was compiled: another Python finds none."""
    return f"{FOLDER}/{sys.implementation.cache_tag}{os.path.abspath(path)}"


class Loader(SourceFileLoader):
    """Loads what was compiled in the place of a module."""

    def get_code(self, fullname: str) -> CodeType:
        """Returns the module's code. A script's folder is put on the path, which Python leaves to whom it hands a script."""
        if fullname == "__main__" and sys.path[0] == self.path:
            sys.path[0] = os.path.dirname(os.path.abspath(self.path))
        with open(compiled(self.path), "rb") as file:
            code: CodeType = marshal.load(file)
        return code


class Finder(PathFinder):
    """Finds what Python finds, and hands it to `Loader` where there is code for it."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns how a module is loaded; None leaves it to the next finder."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin and os.path.isfile(compiled(spec.origin)):
            spec.loader = Loader(fullname, spec.origin)
            return spec
        return None


class Script:
    """What Python takes for an archive with a program in it: a script that was compiled."""

    def __init__(self, path: str) -> None:
        if not (path.endswith(".py") and os.path.isfile(compiled(path))):
            raise ImportError(path)
        self.path = path

    def find_spec(self, fullname: str, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Returns how the program is loaded: it is the one module of its archive."""
        if fullname != "__main__":
            return None
        return spec_from_loader(fullname, Loader(fullname, self.path))


if FOLDER:
    builtins.entered = entered  # type: ignore[attr-defined]
    sys.meta_path.insert(sys.meta_path.index(PathFinder), Finder)
    sys.path_hooks.append(Script)
    atexit.register(write)
