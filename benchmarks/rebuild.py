"""*Rebuild*: what a restart takes to fold a whole session's record, beside replaying and beside only reading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import BenchmarkError, Contestant, Context, Outcome, Row, call, ratio, take_turns

WAYS = {"fold": "rebuild", "replay": "replay", "read": "read alone"}
REBUILD, REPLAY, READ = WAYS.values()

GOAL_S = 2.0
GOAL_OF_REPLAY = 2.0
"""Our time over replaying the same record, at most."""

ROUNDS, QUICK_ROUNDS = 7, 3


def record_of(context: Context) -> tuple[Path, dict[str, Any]]:
    """A whole session's record, made once a run, and what is in it."""
    path, about = context.directory / "2025-10-02.jsonl", context.directory / "record.json"
    if not about.exists():
        context.say("making a whole session's record (half a minute)")
        maker = Contestant(label="made record", arguments=("-m", "benchmarks.made_record", str(path)))
        about.write_bytes(msgspec.json.encode(call(maker)))
    made: dict[str, Any] = msgspec.json.decode(about.read_bytes())
    return path, made


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
