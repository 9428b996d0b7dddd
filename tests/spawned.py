"""A process that imports a module of the tests, says so, and then waits to be told what to do."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from tests.measured import measured

ROOT = Path(__file__).parent.parent

READY = "ready"
"""What the process prints first, once everything is imported."""


async def spawn(module: str, output: Path, limit_s: float, **options: Any) -> asyncio.subprocess.Process:
    """Starts ``module``, which prints into ``output``. Returns its process once it is ready.

    ``options`` are those of `subprocess.Popen`. Raises RuntimeError if it ends, TimeoutError if it takes ``limit_s`` real
    seconds.
    """
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            cwd=ROOT,
            env={**os.environ, **measured()},
            stdin=asyncio.subprocess.PIPE,
            stdout=file,
            stderr=file,
            **options,
        )
    async with asyncio.timeout(limit_s):
        while not (said := _text(output)).startswith(READY):
            if process.returncode is not None:
                raise RuntimeError(f"{module} has ended at once: {said}")
            await asyncio.sleep(0.01)
    return process


def _text(output: Path) -> str:
    return output.read_text(encoding="utf-8")
