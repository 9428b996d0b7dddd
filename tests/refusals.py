"""What a machine refuses a process, brought about: another file to open, a lock, or what another user keeps to himself."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534

FLOCK = {"x86_64": 73, "aarch64": 32}
"""The number of the system call that locks a file, by the machine's kind."""

NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
"""What Linux's prctl takes: a process gains no rights any more, and its system calls go through a filter."""

LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
"""Instructions of such a filter (https://docs.kernel.org/userspace-api/seccomp_filter.html)."""

ALLOW, FAIL = 0x7FFF0000, 0x00050000


@contextmanager
def no_more_files() -> Iterator[None]:
    """No file can be opened: the process has as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("yes", ctypes.c_ubyte),
        ("no", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def no_more_locks(error: int) -> None:
    """From now on each lock of a file fails with ``error`` in this process. Raises OSError where Linux has no filters."""
    instructions = (_Instruction * 4)(
        _Instruction(LOAD, 0, 0, 0),
        _Instruction(JUMP_IF_EQUAL, 0, 1, FLOCK[platform.machine()]),
        _Instruction(RETURN, 0, 0, FAIL | error),
        _Instruction(RETURN, 0, 0, ALLOW),
    )
    system = ctypes.CDLL(None, use_errno=True)
    program = ctypes.byref(_Program(len(instructions), instructions))
    for arguments in ((NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SECCOMP, FILTER, program)):
        if system.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


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
