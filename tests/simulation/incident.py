"""The faults of an earlier daemon of this kind, October 2025, put back into this worker, each as a change of its source.

`tests/simulation/test_incident.py` holds that the simulation finds each of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.faults import Fault, Kind

ROOT = Path(__file__).resolve().parents[2]

NOT_COPIED = (
    ".git",
    ".venv*",
    ".*cache",
    "docs",
    "benchmarks",
    "build",
    "deploy",
    "research",
    "*.md",
)
"""What a copy of the source does without."""


@dataclass(frozen=True, slots=True)
class Bug:
    """A fault of then: what it did, the changes that bring it back, and what a run must find."""

    name: str
    story: str
    changes: tuple[tuple[str, str, str], ...]
    """File, what stands there, and what takes its place."""
    invariant: str
    seed: int = 0
    faults: Sequence[Fault] = ()


def copied(bug: Bug, folder: Path) -> Path:
    """Returns a copy of the source with the bug in it. Raises ValueError where the source no longer has what it changes."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for name, old, new in bug.changes:
        path = tree / name
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{name} has {text.count(old)} times, not once: {old}")
        path.write_text(text.replace(old, new), encoding="utf-8")
    return tree


BUGS = (
    Bug(
        "never reconnects",
        "max_connections and close 1008, and the client never connected again: the feed was dead for ten days",
        (
            (
                "feeds/pacing.py",
                "wait = self.EVICTED_S[min(self._evictions, len(self.EVICTED_S) - 1)]",
                "wait = 1e9",
            ),
        ),
        "I10",
        faults=(Fault(Kind.KICK, 60.0, 0.0, {"times": 1, "feed": "stocks"}),),
    ),
    Bug(
        "decides on a frozen price",
        "931 evaluations of signals on the one price that it had seen last",
        (
            (
                "engine.py",
                "if is_new and is_newest and event.symbol == self._symbol:",
                "if event.symbol == self._symbol:",
            ),
        ),
        "I5",
        faults=(Fault(Kind.DUPLICATES, 60.0, 400.0, {"feed": "stocks"}),),
    ),
    Bug(
        "pushes before it records",
        "BUY was pushed first, and then the code crashed that records the position: no SELL ever came",
        (("worker/session.py", "written = self.sync() if is_weighty else None", "written = None"),),
        "I1",
        faults=(Fault(Kind.SYNC_SLOW, 60.0, 400.0, {"by": 0.5}),),
    ),
    Bug(
        "forgets the position and fires again",
        "the loop swallowed the exception: seven BUYs in 25 minutes, for nearly the same contract",
        (
            (
                "engine.py",
                "        self.book.evolve(now, decision, self._evaluated_start)\n",
                "        if type(decision).__name__ != 'Opened':\n"
                "            self.book.evolve(now, decision, self._evaluated_start)\n",
            ),
        ),
        "I2",
    ),
    Bug(
        "runs twice",
        "a second copy was started beside the first",
        (
            (
                "worker/lease_keeper.py",
                "            self._lease.acquire(moment_text(self._clock.now()))\n        except OSError as error:\n            if",
                "            pass\n        except OSError as error:\n            if",
            ),
            ("record/disk.py", "flock(descriptor, LOCK_EX | LOCK_NB)", "pass"),
        ),
        "I7",
        faults=(Fault(Kind.SECOND_COPY, 60.0),),
    ),
    Bug(
        "goes on with old quotes",
        "a poll of the chain that failed was skipped, and nothing said how old its prices were",
        (
            ("contract_selector.py", "lambda item: item.price.age(self._now) <= limit", "lambda item: True"),
            ("quotes.py", "price.age(now) <= limit", "True"),
        ),
        "I4",
        faults=(
            Fault(Kind.STALL, 100.0, 400.0, {"feed": "options", "pings": True}),
            Fault(Kind.REST_RESET, 100.0, 400.0, {"path": "/v3/snapshot"}),
        ),
    ),
    Bug(
        "writes its key to the log",
        "the API key stood in the log five times, in the texts of exceptions",
        (
            (
                "redaction.py",
                "    def redact(text: str) -> str:\n",
                "    def redact(text: str) -> str:\n        return text\n",
            ),
            (
                "feeds/massive/http_client.py",
                "        self._transport = transport\n",
                "        self._transport = transport\n"
                "        __import__('structlog').get_logger('http').error('failed', text=f'GET {base_url}?apiKey={api_key}')\n",
            ),
        ),
        "I9",
    ),
    Bug(
        "fights another copy for the connection",
        "ten commits in one night against connection conflicts: each copy took the connection from the other at once",
        (
            ("feeds/pacing.py", "EVICTED_S = (60.0, 120.0, 300.0)", "EVICTED_S = (0.2, 0.2, 0.2)"),
            ("feeds/pacing.py", "MOST_PER_MINUTE = 12", "MOST_PER_MINUTE = 1000"),
        ),
        "I8",
        faults=(Fault(Kind.KICK, 60.0, 0.0, {"times": 3, "feed": "stocks"}),),
    ),
    Bug(
        "says everything, for ever",
        "3.4 MB of log in two weeks, and no end to it",
        (
            (
                "worker/session.py",
                "        self._narrator.fact(now, event)\n",
                "        log.info('fact', text=f'{event}')\n        self._narrator.fact(now, event)\n",
            ),
            (
                "worker/session.py",
                "PRICES = frozenset({Bar, Quote, Chain, Covered})",
                "PRICES: frozenset[type] = frozenset()",
            ),
        ),
        "I8",
    ),
)
