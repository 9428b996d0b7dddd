"""Virtual environments for what we are compared with, outside the repository, made when they are first needed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent

PEERS = {"frameworks": "requirements-peers.txt", "massive": "requirements-massive.txt"}
"""Environment to its pinned requirements. Peers whose pins conflict get an environment, and a file, of their own."""

LIST_VERSIONS = """
import importlib.metadata as m, json, sys
print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))
"""


def default_cache() -> Path:
    """Where the environments are kept unless told otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "iwm-5-vwap-benchmarks"


class Environments:
    """The environments below one directory."""

    def __init__(self, directory: Path, say: Callable[[str], None]) -> None:
        self.directory = directory
        self._say = say

    def python(self, name: str) -> Path:
        """The interpreter of an environment that has what its requirements pin; made, once, when it is not there.

        Raises subprocess.CalledProcessError when pip cannot install them.
        """
        requirements = HERE / PEERS[name]
        # Another pin or another Python is another environment: none is ever changed under a run.
        seed = requirements.read_bytes() + sys.version.encode()
        home = self.directory / f"{name}-{hashlib.sha256(seed).hexdigest()[:10]}"
        python, done = home / "bin" / "python", home / "installed"
        if not done.exists():
            self._say(f"installing {PEERS[name]} into {home} (once; a few minutes)")
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*install, "-r", str(requirements)], check=True)
            done.touch()
        return python

    def versions(self, name: str) -> dict[str, str]:
        """What is installed of the pinned packages: name to version."""
        names = pinned(HERE / PEERS[name])
        command = [str(self.python(name)), "-c", LIST_VERSIONS, *names]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        versions: dict[str, str] = json.loads(found)
        return versions


def pinned(requirements: Path) -> list[str]:
    """The packages that a requirements file pins."""
    lines = (line.split("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines())
    return [line.split("==")[0] for line in lines if line]
