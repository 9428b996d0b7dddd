"""A made record for tests, and what stands in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from events import AlertKind, AlertOutcome, Decision, Declined, DeclineReason, Event, Outcome, Tick
from record.folder import date_of
from record.journal import Journal
from record.lines import SEAL_BYTES, sealed
from rules import Rules
from tests.builders import SESSION, at, bar, chain, quote, row
from tests.test_risk_manager import opened

RULES = Rules()

Edit = Callable[[list[bytes]], None]
"""Changes the texts of a record's lines, without their seals."""

FACTS: list[Event] = [
    Tick(),
    bar(1, 215.01, 500.25, vwap=215.0123),
    bar(2, backfilled=True),
    quote(3, 1.39, 1.41),
    chain(4, row(), row(216.0, delta=None, iv=None)),
    AlertOutcome(kind=AlertKind.BUY, id="7f3a91", outcome=Outcome.ACCEPTED, attempts=1),
]
DECISIONS: list[Decision] = [
    Declined(reason=DeclineReason.BLIND, hold=None, price=1.5, vwap=1.25, momentum=0.1, volume_z=None),
    opened(),
]


def written(path: Path, facts: int = 12, date: str = "") -> Path:
    """A record of a start and some facts, of the date in its name unless another is given."""
    record = Journal(path)
    record.begin(RULES, replace(SESSION, date=date or date_of(path)), at(-300))
    for number in range(facts):
        made = [DECISIONS[number % 2]] if number % 5 == 4 else []
        record.append(at(number), FACTS[number % len(FACTS)], made)
    record.close()
    return path


def rewritten(path: Path, texts: Sequence[bytes]) -> Path:
    """A record of these texts with good checksums."""
    seed, out = 0, b""
    for text in texts:
        line, seed = sealed(text, seed)
        out += line
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out)
    return path


def resealed(path: Path, copy: Path, edit: Edit) -> Path:
    """A copy of a record with its texts edited and every checksum right, as the program of then would have written it."""
    texts = [line[:-SEAL_BYTES] for line in path.read_bytes().splitlines(keepends=True)]
    edit(texts)
    return rewritten(copy, texts)
