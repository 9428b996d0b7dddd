"""A copy of the tree in a folder of its own: nothing is ever changed in the work tree."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent.parent

KEPT = ROOT / ".mutants"
"""What is known from earlier runs; Git ignores it."""


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of every file that Git knows or would take, in a folder beside which there is room; both are gone at the end."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    with TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        tree = Path(folder) / "tree"
        Path(folder).chmod(0o755)  # some tests are another user's for a while
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        yield tree


def write(path: Path, text: str) -> None:
    """Writes a module so that Python compiles it anew: a change of no byte within a second looks like none to it."""
    path.write_text(text, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
