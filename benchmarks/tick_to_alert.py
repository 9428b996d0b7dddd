"""*Tick to alert*: from the deciding bar's frame to the push request on the wire, beside what nobody can do without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import Contestant, Context, Outcome, Row, call
from benchmarks.measured import percentile

WORKER, FLOOR, BARE, MASSIVE = "worker", "floor", "bare", "massive"

LABELS = {
    WORKER: "worker",
    FLOOR: "the same fsync and request alone, httpx in an event loop",
    BARE: "the same fsync and request alone, bare system calls",
    MASSIVE: "massive client with httpx, no record",
}

RATES = {"quiet": "2 frames/s", "busy": "1,000 frames/s"}

GOALS_MS = {50: 0.3, 99: 1.0}
"""The worker's own share above the floor at most, by percentile."""

LEAST = {50: 1, 99: 100}
"""Alerts that a percentile needs to be judged: with fewer, the 99th is no more than the worst."""

ALERTS, QUICK_ALERTS = 600, 40
US_IN_MS = 1_000


def milliseconds(samples: dict[str, list[float]], what: str, percent: float) -> float:
    """A percentile of samples that are in µs."""
    return percentile(samples[what], percent) / US_IN_MS


class TickToAlert:
    """The benchmark."""

    name = "alert"
    title = "from a bar's frame to its push, beside an fsync and a request alone"

    def __init__(self) -> None:
        self._python = Path(sys.executable)

    def prepare(self, context: Context) -> None:
        """Install the vendor's client."""
        self._python = context.environments.python("massive")
        context.versions.update(context.environments.versions("massive"))

    def run(self, context: Context) -> Outcome:
        """One run, in which everyone takes turns with every alert."""
        count = QUICK_ALERTS if context.quick else ALERTS
        folder = context.directory / "alert"
        context.say(f"{count} alerts at each rate, about {count // 2} s")
        stage = Contestant(
            label="tick to alert",
            arguments=("-m", "benchmarks.alert_stage", str(self._python), str(folder), str(count)),
        )
        told = call(stage)
        rows = [row for sort in RATES for row in self._shares(sort, told)]
        rows += [self._told(sort, who, told["samples"][sort]) for sort in RATES for who in LABELS]
        return Outcome(rows=rows, raw=told)

    def _shares(self, sort: str, told: dict[str, Any]) -> list[Row]:
        """The rows with goals: the worker's percentiles less the floor's."""
        worker, floor = (told["samples"][sort][who] for who in (WORKER, FLOOR))
        lost = f"; {told['missed']} waited for in vain" if told["missed"] else ""
        rows = []
        for percent, goal in GOALS_MS.items():
            ours, theirs = (milliseconds(kept, "first_us", percent) for kept in (worker, floor))
            count = len(worker["first_us"])
            is_judged = count >= LEAST[percent]
            rows.append(
                Row(
                    benchmark=self.name, what=f"own share to the first byte, p{percent}, {RATES[sort]}", unit="ms",
                    figure=ours - theirs, goal=goal if is_judged else None,
                    note=f"{ours:.2f} less {theirs:.2f} ms; {count} alerts{'' if is_judged else ', too few to judge'}{lost}",
                )
            )  # fmt: skip
        return rows

    def _told(self, sort: str, who: str, samples: dict[str, Any]) -> Row:
        kept = samples[who]
        p99 = milliseconds(kept, "first_us", 99)
        accepted = [milliseconds(kept, "accepted_us", percent) for percent in GOALS_MS]
        return Row(
            benchmark=self.name, what=f"{LABELS[who]}, {RATES[sort]}", unit="ms",
            figure=milliseconds(kept, "first_us", 50),
            note=f"first byte p50; p99 {p99:.2f}; accepted p50 {accepted[0]:.2f}, p99 {accepted[1]:.2f}",
        )  # fmt: skip
