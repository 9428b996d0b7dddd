"""*Rebuild*: what a restart takes to fold a whole session's record, beside replaying and beside only reading it."""

from __future__ import annotations

import hashlib
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import (
    ROOT,
    BenchmarkError,
    Contestant,
    Context,
    Outcome,
    Row,
    call,
    ratio,
    take_turns,
)

WAYS = {"fold": "rebuild", "replay": "replay", "read": "read alone"}
REBUILD, REPLAY, READ = WAYS.values()

GOAL_S = 2.0
GOAL_OF_REPLAY = 2.0
"""Our time over replaying the same record, at most."""

ROUNDS, QUICK_ROUNDS = 7, 2

RECORD, ABOUT = "2025-10-02.jsonl", "record.json"
RECORD_FOLDERS = "record-"


def maker_digest() -> str:
    """A name of all that a made record comes from: another one is another record."""
    sources = [*ROOT.glob("*.py"), *(ROOT / "sim").rglob("*.py"), ROOT / "benchmarks" / "made_record.py"]
    seen = hashlib.sha256(f"{sys.version} {version('holidays')} {version('msgspec')}".encode())
    for source in sorted(sources):
        seen.update(source.name.encode() + source.read_bytes())
    return seen.hexdigest()[:16]


def record_of(context: Context) -> tuple[Path, dict[str, Any]]:
    """A whole session's record in this run's own folder, and what is in it.

    A copy is kept beside the environments until the code that makes it changes.
    """
    path, about = context.directory / RECORD, context.directory / ABOUT
    kept = context.environments.directory / f"{RECORD_FOLDERS}{maker_digest()}"
    if not about.exists() and not take_kept(kept, context.directory):
        context.say("making a whole session's record (once for this code; half a minute)")
        made = call(Contestant(label="made record", arguments=("-m", "benchmarks.made_record", str(path))))
        about.write_bytes(msgspec.json.encode(made | {"sha256": sha256_of(path)}))
        keep(context.directory, kept)
    found: dict[str, Any] = msgspec.json.decode(about.read_bytes())
    return path, found


def take_kept(kept: Path, folder: Path) -> bool:
    """Copy what was made before, unless there is none, or it is not as it was made."""
    if not (kept / ABOUT).exists():
        return False
    shutil.copy(kept / RECORD, folder)
    if msgspec.json.decode((kept / ABOUT).read_bytes())["sha256"] != sha256_of(folder / RECORD):
        (folder / RECORD).unlink()
        return False
    shutil.copy(kept / ABOUT, folder)
    return True


def keep(folder: Path, kept: Path) -> None:
    """Keep it instead of all that other code has made. The description comes last: without it nothing is taken."""
    for old in kept.parent.glob(f"{RECORD_FOLDERS}*"):
        shutil.rmtree(old)
    kept.mkdir(parents=True)
    shutil.copy(folder / RECORD, kept)
    shutil.copy(folder / ABOUT, kept)


def sha256_of(path: Path) -> str:
    """A file's digest."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Rebuild:
    """The benchmark."""

    name = "rebuild"
    title = "a whole session's record, folded at a start"

    def __init__(self) -> None:
        self._record = Path()
        self._made: dict[str, Any] = {}

    def prepare(self, context: Context) -> None:
        """Make the record."""
        self._record, self._made = record_of(context)

    def run(self, context: Context) -> Outcome:
        """Time the ways in turns. Folding and replaying must arrive at the same."""
        everyone = [
            Contestant(label=label, arguments=("-m", "benchmarks.rebuild_ours", str(self._record), way))
            for way, label in WAYS.items()
        ]
        digests: dict[str, str] = {}

        def check(one: Contestant, result: dict[str, Any]) -> None:
            if one.label != READ:
                digests[one.label] = result["digest"]
            if len(set(digests.values())) > 1:
                raise BenchmarkError(f"{one.label} arrived at another state")

        timings = take_turns(everyone, QUICK_ROUNDS if context.quick else ROUNDS, context.say, check)
        facts, size = self._made["facts"], self._made["bytes"]
        about = f"{facts:,} facts, {size / 1e6:.0f} MB"
        best, paired = ratio(timings, REBUILD, REPLAY)
        read, _ = ratio(timings, READ, REBUILD)
        rows = [
            Row(
                benchmark=self.name, what="rebuild of a full session's record", unit="s",
                figure=timings[REBUILD].best, median=timings[REBUILD].median, goal=GOAL_S,
                note=f"{about}; {timings[REBUILD].best / facts * 1e6:.1f} µs a fact, {read:.0%} of it reading alone",
            ),
            Row(
                benchmark=self.name, what="rebuild ÷ replay of the same record",
                figure=best, median=paired, goal=GOAL_OF_REPLAY,
                note=f"replay {timings[REPLAY].best:.2f} s: {facts / timings[REPLAY].best:,.0f} facts a second",
            ),
        ]  # fmt: skip
        return Outcome(rows=rows, raw={"record": self._made, "timings": msgspec.to_builtins(timings)})
