"""What the figures were measured on."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from pathlib import Path

import msgspec

CPU_INFO, MEMORY_INFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
KIB_IN_GIB = 1024**2


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, and how busy it was when the run began."""

    cpu: str
    cores: int
    memory_gib: float | None
    system: str
    python: str
    commit: str
    load: float | None
    """Processes that wanted to run, mean of the last minute; over 0.5 the figures are of a shared machine."""

    def sentence(self) -> str:
        """In one line."""
        memory = "" if self.memory_gib is None else f", {self.memory_gib:.0f} GiB"
        load = "" if self.load is None else f", load {self.load:.2f} at the start"
        return f"{self.cpu}, {self.cores} cores{memory}, {self.system}, Python {self.python}, commit {self.commit}{load}"


def describe(root: Path) -> Machine:
    """The machine this runs on; ``root`` is the checkout."""
    return Machine(
        cpu=_field(CPU_INFO, "model name") or platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=_memory(),
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        commit=_commit(root),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def source_digest(root: Path) -> str:
    """A name of the code that is measured, to hold that it did not change meanwhile."""
    seen = hashlib.sha256()
    for path in sorted([*root.glob("*.py"), *(root / "benchmarks").rglob("*.py")]):
        seen.update(path.name.encode() + path.read_bytes())
    return seen.hexdigest()


def _field(path: Path, name: str) -> str | None:
    """A field of one of Linux's files; None on another system."""
    if not path.exists():
        return None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _memory() -> float | None:
    total = _field(MEMORY_INFO, "MemTotal")
    return round(int(total.split()[0]) / KIB_IN_GIB, 1) if total else None


def _commit(root: Path) -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
