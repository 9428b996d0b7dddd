"""The vault: the newest sessions are sealed against everything that could be fitted to them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

SHARE = 0.2
LEAST = 20
"""The newest fifth of the sessions, and at least 20, are sealed."""


def split(days: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the sessions that may be fitted to, and the sealed ones. ``days`` are ISO dates."""
    ordered = sorted(days)
    sealed = min(len(ordered), max(LEAST, round(SHARE * len(ordered))))
    return ordered[: len(ordered) - sealed], ordered[len(ordered) - sealed :]
