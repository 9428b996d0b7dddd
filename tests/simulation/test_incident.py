"""The simulation finds what an earlier daemon of this kind did wrong, when it is put back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.incident import BUGS, Bug, copied
from tests.simulation.play import judged

PLAY = """
import sys
from tests.simulation.incident import BUGS
from tests.simulation.play import judged
bug = next(bug for bug in BUGS if bug.name == sys.argv[1])
print(*sorted({violation.invariant for violation in judged(bug.seed, bug.faults)[1]}))
"""


@pytest.mark.shows_keys  # it copies the tests themselves
@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_it_is_found_when_it_is_put_back(tmp_path: Path, bug: Bug) -> None:
    tree = copied(bug, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PLAY, bug.name],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert bug.invariant in done.stdout.split(), done.stdout + done.stderr


@pytest.mark.parametrize("bug", BUGS[::4], ids=[bug.name for bug in BUGS[::4]])
def test_and_not_while_it_is_not_there(bug: Bug) -> None:
    """Some of them; the seeds of the suite play the other faults without the bug."""
    assert judged(bug.seed, bug.faults)[1] == []
