"""*Wire*: frames through a real loopback socket to what the engine is handed, beside the vendor's own client."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import ROOT, BenchmarkError, Contestant, Context, Outcome, Row, ratio, take_turns
from benchmarks.made_frames import SIZES

OURS, FEED, MASSIVE = "connection, decoding, inbox", "with the stocks feed", "massive client"
FRAMES = "the library's frames alone"

GOAL = 4.0
"""Our rate over the massive client's, at least."""

GOAL_SIZE = 2
"""Events in the frames that the goal is about: one second of two symbols."""

EVENTS, QUICK_EVENTS = 40_000, 15_000
WARM = 1_000
ROUNDS, QUICK_ROUNDS = 7, 3
END_S = 10.0


@contextlib.contextmanager
def serving(events: int) -> Iterator[dict[int, int]]:
    """The server in a process of its own; yields frame size to port."""
    command = [sys.executable, "-m", "benchmarks.wire_server", str(events)]
    server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    with server.stdout:
        try:
            line = server.stdout.readline()
            if not line:
                raise BenchmarkError("the server of frames did not start")
            yield {int(size): port for size, port in json.loads(line).items()}
        finally:
            server.stdin.close()
            try:
                server.wait(END_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def contestants(python: Path, size: int, port: int, events: int) -> list[Contestant]:
    """Everyone for one size of frames."""
    numbers = (str(port), str(events), str(WARM))
    ours = ("-m", "benchmarks.wire_ours", *numbers)
    theirs = ("-m", "benchmarks.peers.massive_wire", *numbers)
    return [
        Contestant(label=f"{OURS}, {size}", arguments=ours),
        Contestant(label=f"{FEED}, {size}", arguments=(*ours, "--feed")),
        Contestant(label=f"{FRAMES}, {size}", arguments=(*ours, "--frames")),
        Contestant(label=f"{MASSIVE}, {size}", python=python, arguments=theirs),
    ]


class Wire:
    """The benchmark."""

    name = "wire"
    title = "frames through a socket to the engine's door, beside the vendor's client"

    def __init__(self) -> None:
        self._python = Path(sys.executable)

    def prepare(self, context: Context) -> None:
        """Install the vendor's client."""
        self._python = context.environments.python("massive")
        context.versions.update(context.environments.versions("massive"))

    def run(self, context: Context) -> Outcome:
        """Time them in turns. That all find the same events is checked at every turn."""
        events = QUICK_EVENTS if context.quick else EVENTS
        rounds = QUICK_ROUNDS if context.quick else ROUNDS
        outcome = Outcome(rows=[])
        with serving(events) as ports:
            for size in (GOAL_SIZE,) if context.quick else SIZES:
                everyone = contestants(self._python, size, ports[size], events)
                digests: dict[str, str] = {}

                def check(one: Contestant, result: dict[str, Any], digests: dict[str, str] = digests) -> None:
                    digests[one.label] = result["digest"]
                    if result["count"] != events or len(set(digests.values())) > 1:
                        raise BenchmarkError(f"{one.label} found other events than the others")

                timings = take_turns(everyone, rounds, context.say, check)
                outcome.raw[str(size)] = msgspec.to_builtins(timings)
                each = {name: timing.best / (events - WARM) * 1e6 for name, timing in timings.items()}
                ours, feed, frames, theirs = (one.label for one in everyone)
                for label, what in ((feed, "whole feed"), (ours, "without the feed")):
                    best, paired = ratio(timings, theirs, label)
                    outcome.rows.append(
                        Row(
                            benchmark=self.name, what=f"rate ÷ massive client's, frames of {size}, {what}",
                            figure=best, median=paired, at_most=False,
                            goal=GOAL if size == GOAL_SIZE and label == feed else None,
                            note=f"{each[label]:.1f} µs an event instead of {each[theirs]:.1f}; {each[frames]:.1f} of them the library's",
                        )
                    )  # fmt: skip
        return outcome
