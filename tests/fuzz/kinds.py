"""Every kind of input that is fuzzed, and how a slice of its cases is run."""

from __future__ import annotations

import contextlib
import random
import time
import traceback
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from tests.fuzz.bodies import Answers, Bodies
from tests.fuzz.case import Case, Kind, smallest
from tests.fuzz.frames import Frames
from tests.fuzz.pushes import Pushes
from tests.fuzz.records import Records, Resealed
from tests.fuzz.texts import Csv, EnvFiles, SettingsValues

FAILURES_MAX = 5
"""How many failures of a slice are made small and shown: they are often the same."""


class Share(NamedTuple):
    """A kind, and how many of a hundred cases are of it."""

    kind: Kind
    share: int


KINDS: dict[str, Share] = {
    share.kind.name: share
    for share in (
        Share(Frames(), 50),
        Share(Bodies(), 16),
        Share(Answers(), 8),
        Share(Pushes(), 10),
        Share(Records(), 4),
        Share(Resealed(), 2),
        Share(SettingsValues(), 4),
        Share(EnvFiles(), 3),
        Share(Csv(), 3),
    )
}


@dataclass
class Failure:
    """A case that fails, made small."""

    case: Case
    seed: int
    number: int
    reason: str
    is_small: bool
    """Whether it is as small as it can be; of many failures only some are made so."""

    def told(self) -> str:
        """Returns how to run it again, what is wrong, and the smallest case."""
        pieces = "\n".join(f"  {piece[:2_000]!r}" for piece in self.case.pieces)
        where = f"{self.case.kind}, seed {self.seed}, case {self.number} ({self.case.size:,} bytes)"
        return f"FAILED: {where}\n{self.reason}\n{pieces}\n  {self.case.options}"


@dataclass
class Found:
    """What a slice of cases has come to."""

    kind: str
    count: int = 0
    cpu_s: float = 0.0
    failures: list[Failure] = field(default_factory=list)


def made(name: str, seed: int, number: int) -> Case:
    """Returns one case."""
    return KINDS[name].kind.make(random.Random(f"{name}:{seed}:{number}"))


def wrong(case: Case) -> str:
    """Returns what is wrong with what the program makes of a case; empty if nothing is."""
    try:
        KINDS[case.kind].kind.check(case)
    except Exception as error:  # noqa: BLE001 - any exception at all is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{type(error).__name__}: {str(error)[:600]} ({last.filename.rpartition('/')[2]}:{last.lineno})"
        )
    return ""


def run(name: str, seed: int, first: int, end: int) -> Found:
    """Runs the cases from ``first`` to before ``end``."""
    began = time.process_time()
    found = Found(name)
    with quiet():
        for number in range(first, end):
            _run_one(found, seed, number)
    found.cpu_s = time.process_time() - began
    return found


def _run_one(found: Found, seed: int, number: int) -> None:
    case = made(found.kind, seed, number)
    found.count += 1
    if reason := wrong(case):
        kind_of_fault = reason.partition(":")[0]
        if len(found.failures) < FAILURES_MAX:
            case = smallest(case, lambda smaller: wrong(smaller).partition(":")[0] == kind_of_fault)
            reason = wrong(case) or reason
        found.failures.append(Failure(case, seed, number, reason, len(found.failures) < FAILURES_MAX))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The program's log is written nowhere meanwhile: every bad input would be in it."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(logger: object, name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    raise structlog.DropEvent
