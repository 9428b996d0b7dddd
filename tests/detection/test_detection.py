"""Each way to be useless is said within its time, by whom docs/reliability.md says, and as soon."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.detection.rows import LATEST_S, ROWS, Row
from tests.detection.table import PAGE, measured, written

pytestmark = pytest.mark.virtual_time

WRITTEN = written(PAGE.read_text(encoding="utf-8"))
SLACK_S = 5
"""Seconds by which a measurement may differ from the one in the page: the order of a socket's bytes is the machine's."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_it_is_said_in_time(tmp_path: Path, row: Row) -> None:
    said = await measured(row, tmp_path)
    assert said.seconds <= row.latest_s
    seconds, by = WRITTEN[row.name]
    assert said.by == by, "python -m tests.detection --write"
    assert math.ceil(said.seconds) == pytest.approx(seconds, abs=SLACK_S)


def test_the_page_has_every_row_and_none_is_empty_or_late() -> None:
    assert list(WRITTEN) == [row.name for row in ROWS]
    assert all(0 < seconds <= LATEST_S and by for seconds, by in WRITTEN.values())
