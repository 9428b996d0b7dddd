"""Which part of everything the suite runs: another one after each change that is worth a note."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

CHANGELOG = Path(__file__).parent.parent.parent / "CHANGELOG.md"

SLICES = 4
"""How many tests share the cases of one kind: as many as run at once."""

OFTEN = frozenset({"write", "write, half done"})
"""Steps that are nearly all alike. Of all others each is run."""


def seed() -> int:
    """Returns what the suite draws from: the same on every machine until the notes on changes change."""
    return zlib.crc32(CHANGELOG.read_bytes())


def some(names: Sequence[str], step: int) -> list[int]:
    """Returns the places of every step that is rare, and of every ``step``-th of those that are many."""
    first = seed() % step
    return [place for place, name in enumerate(names) if name not in OFTEN or place % step == first]
