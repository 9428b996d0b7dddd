"""``python -m pictures`` by itself: facts in, a PNG out, or why there is none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pictures.facts import encoded
from pictures.process import FOLDER, flaw
from tests.measured import measured
from tests.pictures.made import trade

FACTS = encoded(trade(30))


def ran(program: tuple[str, ...], facts: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *program],
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"], **measured()},
        input=facts,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_facts_become_a_picture() -> None:
    done = ran(("-m", "pictures"), FACTS)
    assert (done.returncode, done.stderr) == (0, b"")
    assert flaw(done.stdout) == ""


@pytest.mark.parametrize("missing", ["PIL", "msgspec"])
def test_without_a_package_it_names_that_and_draws_nothing(missing: str) -> None:
    program = f"import runpy, sys\nsys.modules[{missing!r}] = None\nrunpy.run_module('pictures', run_name='__main__')"
    done = ran(("-c", program), FACTS)
    assert (done.returncode, done.stdout) == (1, b"")
    said = f"{missing} cannot be loaded: {sys.executable} -m pip install -r requirements.txt\n"
    assert done.stderr.decode() == said
