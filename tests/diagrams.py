"""Draws ARCHITECTURE.md's state diagrams from the tables in the code. ``python -m tests.diagrams`` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path

from delivery.outbox import PHASES
from delivery.standing import MOODS
from feeds import states
from link import LINK
from risk_manager import TRANSITIONS
from telling import TELLING
from worker import start

PAGE = Path(__file__).parent.parent / "ARCHITECTURE.md"

Row = tuple[Enum, str, Enum]
"""One transition: from where, by what, to where."""


def nested(table: Mapping[Enum, Mapping[object, Enum]]) -> Iterator[Row]:
    """Yields the rows of a table of tables."""
    for state, row in table.items():
        for event, after in row.items():
            yield state, event.__name__ if isinstance(event, type) else text(event), after


def flat(table: Mapping[tuple[Enum, Enum], Enum]) -> Iterator[Row]:
    """Yields the rows of a table of pairs."""
    for (state, event), after in table.items():
        yield state, text(event), after


def text(value: object) -> str:
    """Returns the words of an enum's member."""
    return str(value.value if isinstance(value, Enum) else value)


TABLES: Mapping[str, list[Row]] = {
    "position": list(nested(TRANSITIONS)),  # type: ignore[arg-type]
    "link": list(flat(LINK)),  # type: ignore[arg-type]
    "blind spell": list(flat(TELLING)),  # type: ignore[arg-type]
    "stocks connection": list(nested(states.TRANSITIONS)),  # type: ignore[arg-type]
    "alert": list(flat(PHASES)),  # type: ignore[arg-type]
    "push service": list(flat(MOODS)),  # type: ignore[arg-type]
    "start": list(flat(start.TRANSITIONS)),  # type: ignore[arg-type]
}


def diagram(rows: Iterable[Row]) -> str:
    """Returns a Mermaid state diagram: one arrow for each pair of states. What leaves a state as it is, is left out."""
    names: dict[Enum, str] = {}
    arrows: dict[tuple[Enum, Enum], list[str]] = {}
    for before, event, after in rows:
        for state in (before, after):
            names.setdefault(state, state.name.lower())
        if before is not after:
            arrows.setdefault((before, after), []).append(event)
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{text(state)}" as {name}' for state, name in names.items()]
    lines += [
        f"    {names[before]} --> {names[after]}: {' / '.join(dict.fromkeys(events))}"
        for (before, after), events in arrows.items()
    ]
    return "\n".join([*lines, "```"])


def redrawn(page: str) -> str:
    """Returns a page with every marked diagram drawn anew. Raises KeyError for one that no table is known for."""
    return re.sub(
        r"(<!-- diagram: ([\w ]+) -->\n)```mermaid\n.*?```",
        lambda found: found[1] + diagram(TABLES[found[2]]),
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
