"""The checks as they are printed, and the line on a terminal that says what is being asked.

Python 3.8 can load it, and it needs no package.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import TextIO

from checks.check import Check, Severity
from terminal import BOLD, GREEN, RED, YELLOW, painted


def report_text(checks: Sequence[Check]) -> str:
    """Returns the checks by group, one line each, and a summary."""
    lines: list[str] = []
    for group in dict.fromkeys(check.group for check in checks):
        lines += [group, *(check.line() for check in checks if check.group == group), ""]
    counts = {severity: sum(check.severity is severity for check in checks) for severity in Severity}
    verdict = "Not ready" if counts[Severity.FAIL] else "Ready"
    lines.append(
        f"{verdict}: {counts[Severity.OK]} well, {counts[Severity.WARNING]} to look at, {counts[Severity.FAIL]} failing"
    )
    return "\n".join(lines)


STYLES = {"✓": (GREEN,), "⚠": (YELLOW,), "✗": (BOLD, RED)}
"""How the mark of a check is painted on a terminal."""


def coloured(report: str) -> str:
    """Returns the text of a report for a terminal that shows colours: marks painted, headings and verdict bold."""
    lines: list[str] = []
    for line in report.split("\n"):
        mark, rest = line[:3].strip(), line[3:]
        if line.startswith("  ") and mark in STYLES:
            lines.append(f"  {painted(mark, *STYLES[mark])}{rest}")
        else:
            lines.append(line if line.startswith(" ") else painted(line, BOLD))
    return "\n".join(lines)


def report_json(checks: Sequence[Check]) -> str:
    """Returns the checks as one JSON object."""
    rows = [
        {"group": check.group, "mark": check.severity.name.lower(), "found": check.found, "do": check.do}
        for check in checks
    ]
    return json.dumps({"ready": not fails(checks), "checks": rows}, ensure_ascii=False, indent=1)


def fails(checks: Sequence[Check]) -> bool:
    """Returns whether any check fails."""
    return any(check.severity is Severity.FAIL for check in checks)


class TerminalDisplay:
    """Shows on a terminal what is being asked, in one line that is wiped at the end. Prints nothing to a pipe or a file."""

    WIPE = "\r\x1b[K"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_on = stream.isatty()
        self._open: list[str] = []

    def begin(self, subject: str) -> None:
        """Adds a question that has begun."""
        self._open.append(subject)
        self._draw()

    def end(self, subject: str) -> None:
        """Removes a question that was answered or given up."""
        self._open.remove(subject)
        self._draw()

    def _draw(self) -> None:
        if self._is_on:
            text = f"Asking: {', '.join(self._open)} …" if self._open else ""
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(self.WIPE + text[:width])
            self._stream.flush()
