"""A case of any kind: pieces of bytes with options, how it is kept in a file, and how it is made smaller."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

KEPT = Path(__file__).parent / "kept"

TRIES_MAX, SHRINK_S = 400, 10.0
"""How many smaller cases are tried, and for how long, before the smallest so far is shown."""


@dataclass(frozen=True)
class Case:
    """What is put in. What its pieces and options mean is its kind's business."""

    kind: str
    pieces: tuple[bytes, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def written(self) -> str:
        """Returns the case as JSON."""
        pieces = [piece.decode("latin-1") for piece in self.pieces]
        return json.dumps({"kind": self.kind, "pieces": pieces, "options": self.options}, indent=1)

    @property
    def size(self) -> int:
        """Returns how many bytes its pieces have."""
        return sum(map(len, self.pieces))


def case_of(text: str) -> Case:
    """Returns the case that `Case.written` has written."""
    found = json.loads(text)
    return Case(found["kind"], tuple(piece.encode("latin-1") for piece in found["pieces"]), found["options"])


class Kind(Protocol):
    """One kind of input: makes a case, and checks one. ``check`` raises whatever is wrong."""

    name: str

    def make(self, source: random.Random) -> Case:
        """Returns a case."""

    def check(self, case: Case) -> None:
        """Gives the case to the program, and compares what comes of it with the oracle."""


def smallest(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Returns a small case that still fails: without pieces, and then without bytes, that are not needed for it."""
    tries, end = 0, time.monotonic() + SHRINK_S
    shrunk = True
    while shrunk and tries < TRIES_MAX and time.monotonic() < end:
        shrunk = False
        for smaller in _smaller(case):
            tries += 1
            if fails(smaller):
                case, shrunk = smaller, True
                break
            if tries >= TRIES_MAX or time.monotonic() > end:
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Yields cases with less in them, the smallest first."""
    count = len(case.pieces)
    if count > 1:
        for place in range(count):
            yield replace(case, pieces=case.pieces[:place] + case.pieces[place + 1 :])
    for place, piece in enumerate(case.pieces):
        length = len(piece) // 2
        while length:
            for start in range(0, len(piece), length):
                less = piece[:start] + piece[start + length :]
                yield replace(case, pieces=(*case.pieces[:place], less, *case.pieces[place + 1 :]))
            length //= 2
