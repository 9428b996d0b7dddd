"""docs/research.md says what the code does: the verdict's table is made from its cases."""

from __future__ import annotations

from research.statistics.verdict import CASES
from tests.documents import read, section

PAGE = read("docs/research.md")


def test_the_table_of_verdicts_is_that_of_the_cases() -> None:
    rows = [f"| *{case.verdict.value}* | {case.takes} |" for case in CASES]
    assert [line for line in section(PAGE, "## The verdict").splitlines() if line.startswith("| *")] == rows
