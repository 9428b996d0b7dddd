"""What a machine refuses a process, brought about: another file to open, or what another user keeps to himself."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def no_more_files() -> Iterator[None]:
    """No file can be opened: the process has as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def ordinary_user() -> Iterator[None]:
    """The process is one of an ordinary user: of nobody's, where root runs the tests."""
    is_root = os.geteuid() == 0
    if is_root:
        os.setresuid(NOBODY, NOBODY, 0)  # the real one, too: `os.access` goes by it
    try:
        yield
    finally:
        if is_root:
            os.setresuid(0, 0, 0)


@contextmanager
def users_folder() -> Iterator[Path]:
    """A folder of that user, which he can reach. It is removed afterwards, whatever its rights are by then."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o700)
        shutil.rmtree(folder)
