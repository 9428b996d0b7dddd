"""Which part of everything the suite runs: the same one each time. `python -m tests.fuzz --seed N` looks further."""

from __future__ import annotations

from collections.abc import Sequence

SEED = 1
"""What the suite draws from."""

SLICES = 4
"""How many tests share the cases of one kind: as many as run at once."""

OFTEN = frozenset({"write", "write, half done"})
"""Steps that are nearly all alike. Of all others each is run."""


def some(names: Sequence[str], step: int) -> list[int]:
    """Returns the places of every step that is rare, and of every ``step``-th of those that are many."""
    first = SEED % step
    return [place for place, name in enumerate(names) if name not in OFTEN or place % step == first]
