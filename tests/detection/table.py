"""The table of what was measured, and its place in the documentation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.detection.rows import Row
from tests.detection.stand import Said, stand
from tests.documents import ROOT, section

PAGE = ROOT / "docs" / "reliability.md"
TITLE = "## How soon you learn of it"


NEVER = 1_000.0
"""A premium that no call has: without an entry nothing but the fault rings."""


async def measured(row: Row, folder: Path) -> Said:
    """Start a worker, do to it what the row says, and wait until phone or monitor says so."""
    async with stand(folder) as made:
        if row.begin is None:
            await made.start(min_premium=NEVER)
        else:
            await made.start()
            await row.begin(made)
        return await made.first_said(row.fault)


def table(found: Iterable[tuple[Row, Said]]) -> list[str]:
    """The rows, in seconds rounded up."""
    rows = [f"| {row.name} | {math.ceil(said.seconds)} | {said.by} |" for row, said in found]
    return ["| What has gone wrong | Seconds | Said by |", "|---|---|---|", *rows]


def written(page: str) -> dict[str, tuple[int, str]]:
    """The seconds and the voice of each row of the page, by its name."""
    rows = re.findall(r"(?m)^\| (.+?) \| (\d+) \| (.+?) \|$", section(page, TITLE))
    return {name: (int(seconds), by) for name, seconds, by in rows}


def rewritten(page: str, rows: Sequence[str]) -> str:
    """The page with another table."""
    old = re.findall(r"(?m)^\|.*$", section(page, TITLE))
    return page.replace("\n".join(old), "\n".join(rows))
