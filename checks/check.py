"""One result of the checks: what was looked at, what was found, and what to do about it.

Python 3.8 can load it, and it needs no package.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MARKET, PUSH, OUTSIDE = "Market data", "Push", "Outside watch"
"""Headings of the report that more than one file fills."""


class Severity(Enum):
    """The result of a check, as the mark that is printed in front of it."""

    OK = "✓"
    WARNING = "⚠"
    FAIL = "✗"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what was found, and what to do about it."""

    group: str
    severity: Severity
    found: str
    do: str = ""

    def line(self) -> str:
        """Returns the line as it is printed."""
        return f"  {self.severity.value} {self.found}" + (f" — {self.do}" if self.do else "")
