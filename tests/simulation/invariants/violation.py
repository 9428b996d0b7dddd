"""One thing that should not have happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.simulation.books import Books


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: which, when (µs of true time), what was promised, and what was seen."""

    invariant: str
    at: int
    expected: str
    seen: str

    def text(self, began_at: int) -> str:
        """In words, with the seconds after the run's begin."""
        return f"{self.invariant} at {(self.at - began_at) / 1e6:.3f} s: expected {self.expected}; saw {self.seen}"


Judge = Callable[[Books], Iterator[Violation]]
