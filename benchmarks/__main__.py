"""`python -m benchmarks`: all benchmarks, one table. Takes some 17 minutes; ``--quick`` about two."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import asdict

from benchmarks import machine, report
from benchmarks.chain import Chain
from benchmarks.engine_speed import EngineSpeed
from benchmarks.environments import Environments, default_cache
from benchmarks.growth import Growth
from benchmarks.harness import ROOT, SHORT, Benchmark, BenchmarkError, Context, Row
from benchmarks.rebuild import Rebuild
from benchmarks.start import Start
from benchmarks.tick_to_alert import TickToAlert
from benchmarks.wire import Wire

BENCHMARKS: tuple[Benchmark, ...] = (
    EngineSpeed(),
    Growth(),
    Wire(),
    TickToAlert(),
    Chain(),
    Rebuild(),
    Start(),
)
"""Every benchmark, in the order of the table. A new one is added here."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer rounds, about two minutes (once the peers are installed and a record is made)",
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", choices=[item.name for item in BENCHMARKS],
        help=f"one of {', '.join(item.name for item in BENCHMARKS)}; may be given again",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures, raw times and the machine")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write an HTML page with the main ratios")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", default=default_cache(),
        help="where the peers are installed (default: %(default)s)",
    )  # fmt: skip
    return parser.parse_args(argv)


class Voice:
    """Progress on standard error, with the time that has passed."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self.name = ""

    def __call__(self, text: str) -> None:
        passed = time.monotonic() - self._begin
        print(f"[{passed:5.0f} s] {self.name}: {text}", file=sys.stderr, flush=True)


@dataclass
class Measured:
    """What came of the benchmarks that ran, and what could not be measured."""

    rows: list[Row] = field(default_factory=list)
    raw: dict[str, object] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def measure(options: argparse.Namespace, voice: Voice) -> Measured:
    """Run what was asked for. One that cannot be measured does not stop the others."""
    measured = Measured()
    source = machine.source_digest(ROOT)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        context = Context(
            quick=options.quick,
            directory=Path(directory),
            environments=Environments(options.cache, voice),
            say=voice,
        )
        for benchmark in BENCHMARKS:
            if options.only and benchmark.name not in options.only:
                continue
            voice.name = benchmark.name
            voice(benchmark.title)
            try:
                benchmark.prepare(context)
                outcome = benchmark.run(context)
            except (BenchmarkError, subprocess.SubprocessError) as error:
                measured.failed.append(f"{benchmark.name}: {error}")
                voice(f"not measured: {error}")
                continue
            measured.rows += outcome.rows
            measured.raw[benchmark.name] = outcome.raw
        measured.versions = context.versions
    if machine.source_digest(ROOT) != source:
        measured.failed.append(
            "the code was changed while it was measured: the figures are of no one state of it"
        )
    return measured


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for. Returns 0 when everything could be measured, whether or not goals are met; else 1."""
    options = arguments(argv)
    described = machine.describe(ROOT)
    print(described.sentence(), flush=True)
    measured = measure(options, Voice())
    rows, versions, failed = measured.rows, measured.versions, measured.failed
    if versions:
        print("beside " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())))
    print(report.table(rows))
    short = sum(row.verdict == SHORT for row in rows)
    goals = sum(row.goal is not None for row in rows)
    print(f"{goals - short} of {goals} goals met" + "".join(f"\nnot measured: {text}" for text in failed))
    if options.json:
        result = {
            "machine": asdict(described),
            "quick": options.quick,
            "versions": versions,
            "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
            "raw": measured.raw,
            "failed": failed,
        }
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    if options.plot:
        options.plot.write_text(report.page(rows, described.sentence(), versions), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
