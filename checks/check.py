"""One result of the checks: what was looked at, what was found, and what to do about it.

It can be loaded by Python 3.8 and without any package.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MARKET, PUSH, OUTSIDE = "Market data", "Push", "Outside watch"
"""Groups of lines that more than one file makes."""


class Severity(Enum):
    """How a check came out."""

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
        """The line as it is printed."""
        return f"  {self.severity.value} {self.found}" + (f" — {self.do}" if self.do else "")
